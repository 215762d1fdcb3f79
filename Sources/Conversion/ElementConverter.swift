// From one coding of numbers to another, a run of whole rows at a time.

internal import Bytes
internal import CKernels
internal import Quantization
internal import Tensors

/// Turns rows of one dtype into rows of another.
///
/// Half floats are rounded to nearest, ties to even; blocks are made and decoded by the formats that give ggml's
/// bytes. Types without arithmetic (integers, 8-bit floats) are carried as they are or not at all.
struct ElementConverter: Sendable {
    private enum Route: Sendable {
        case copy
        /// One kernel from source to target: the conversions that whole models go through.
        case kernel(@Sendable (UnsafeRawPointer, UnsafeMutableRawPointer, Int64) -> Void)
        /// Decoded to f32, then coded.
        case throughFloat(BlockFormat, BlockFormat)
    }

    let source: DType
    let target: DType
    private let route: Route

    /// - Throws: `unsupported` when there is no arithmetic between the two.
    init(from source: DType, to target: DType) throws {
        self.source = source
        self.target = target
        switch (source, target) {
        case _ where source == target: route = .copy
        case (.bf16, .f32): route = .kernel { pannier_bf16_to_f32($0, $1.assumingMemoryBound(to: Float.self), $2) }
        case (.f16, .f32): route = .kernel { pannier_f16_to_f32($0, $1.assumingMemoryBound(to: Float.self), $2) }
        case (.f32, .f16): route = .kernel { pannier_f32_to_f16($0.assumingMemoryBound(to: Float.self), $1, $2) }
        case (.f32, .bf16): route = .kernel { pannier_f32_to_bf16($0.assumingMemoryBound(to: Float.self), $1, $2) }
        case (.f16, .bf16): route = .kernel { pannier_f16_to_bf16($0, $1, $2) }
        case (.bf16, .f16): route = .kernel { pannier_bf16_to_f16($0, $1, $2) }
        default:
            guard let decoder = BlockFormat.of(source), let encoder = BlockFormat.of(target) else {
                throw CheckpointError.unsupported(
                    "\(source) values are carried as they are, never turned into \(target)",
                    expected: "one of \(BlockFormat.all.map(\.name).joined(separator: ", "))", found: "\(source)")
            }
            route = .throughFloat(decoder, encoder)
        }
    }

    /// Whether bytes are only carried.
    var isCopy: Bool { source == target }
    /// Whether blocks are made.
    var quantizes: Bool { !isCopy && target.isQuantized }

    /// Converts whole rows.
    /// - Parameters:
    ///   - input: `rows * columns` elements in `source`.
    ///   - output: room for as many in `target`.
    ///   - floats: room for as many floats, which hold the source's values afterwards where blocks are made.
    ///   - importance: a weight a column, for block formats.
    /// - Returns: the first row that holds NaN or an infinity where blocks are made; nil when all went well.
    func convert(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, rows: Int, columns: Int,
        floats: UnsafeMutableBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?
    ) -> Int? {
        guard let from = input.baseAddress, let to = output.baseAddress else { return nil }
        let count = rows * columns
        switch route {
        case .copy: to.copyMemory(from: from, byteCount: min(input.count, output.count))
        case .kernel(let kernel): kernel(from, to, Int64(count))
        case .throughFloat(let decoder, let encoder):
            let values = UnsafeMutableBufferPointer(rebasing: floats[..<count])
            decoder.decode(input, into: values)
            if quantizes, !FloatKernels.allFinite(UnsafeBufferPointer(values)) {
                return (0..<rows).first {
                    let row = values[($0 * columns)..<(($0 + 1) * columns)]
                    return !FloatKernels.allFinite(UnsafeBufferPointer(rebasing: row))
                }
            }
            encoder.quantize(
                UnsafeBufferPointer(values), rows: rows, columns: columns, importance: importance, into: output)
        }
        return nil
    }

    /// Compares the source's values with what the blocks made of them say.
    func compare(
        _ floats: UnsafeBufferPointer<Float>, with blocks: UnsafeRawBufferPointer,
        scratch: UnsafeMutableBufferPointer<Float>, error: inout QuantizationError
    ) {
        guard case .throughFloat(_, let format) = route else { return }
        format.decode(blocks, into: scratch)
        error.add(reference: floats, approximation: UnsafeBufferPointer(scratch))
    }
}
