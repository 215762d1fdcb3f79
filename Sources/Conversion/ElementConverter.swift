// From one coding of numbers to another, a run of whole rows at a time.

internal import Bytes
internal import CKernels
internal import Quantization
internal import Tensors

/// A value that cannot be written.
struct ValueFault {
    /// Its place among the elements that were converted; of a block that cannot hold its values, the block's first.
    let element: Int
    /// It is a number in the source, and beyond the target's range. Otherwise it is NaN or infinite in the source already.
    let overflows: Bool
}

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
    /// Whether NaN and infinities of the source are refused also where the target could carry them.
    private let refusesNotFinite: Bool

    /// - Throws: `unsupported` when there is no arithmetic between the two.
    init(from source: DType, to target: DType, refusingNotFinite: Bool = false) throws {
        self.source = source
        self.target = target
        refusesNotFinite = refusingNotFinite
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

    /// Converts whole rows; where no blocks are made, any whole blocks of the source do as one row.
    /// - Parameters:
    ///   - input: `rows * columns` elements in `source`.
    ///   - output: room for as many in `target`.
    ///   - floats: room for as many floats, which hold the source's values afterwards where blocks are made.
    ///   - importance: a weight a column, for block formats.
    /// - Returns: the first value that must not be written as it came out; nil when all went well.
    func convert(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, rows: Int, columns: Int,
        floats: UnsafeMutableBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?
    ) -> ValueFault? {
        guard let from = input.baseAddress, let to = output.baseAddress else { return nil }
        let count = rows * columns
        switch route {
        case .copy: to.copyMemory(from: from, byteCount: min(input.count, output.count))
        case .kernel(let kernel): kernel(from, to, Int64(count))
        case .throughFloat(let decoder, let encoder):
            let values = UnsafeMutableBufferPointer(rebasing: floats[..<count])
            decoder.decode(input, into: values)
            if quantizes, !FloatKernels.allFinite(UnsafeBufferPointer(values)),
                let element = FloatKernels.firstNotFinite(in: UnsafeRawBufferPointer(values), of: .f32)
            {
                return ValueFault(element: element, overflows: isNumber(element, in: input, floats: values))
            }
            encoder.quantize(
                UnsafeBufferPointer(values), rows: rows, columns: columns, importance: importance, into: output)
        }
        return fault(in: UnsafeRawBufferPointer(output), from: input, floats: floats)
    }

    /// The first value of converted bytes that must not be written: one that the target's range or its blocks' scales do
    /// not hold, as ggml_validate_row_data finds it, and where that is asked for one that is no number in the source.
    func fault(
        in output: UnsafeRawBufferPointer, from input: UnsafeRawBufferPointer,
        floats: UnsafeMutableBufferPointer<Float>
    ) -> ValueFault? {
        if target.isQuantized {
            guard quantizes || refusesNotFinite, let block = BlockFormat.of(target)?.firstInvalidBlock(in: output) else {
                return nil
            }
            return ValueFault(element: block * target.blockElements, overflows: quantizes)
        }
        guard refusesNotFinite || narrows, let first = FloatKernels.firstNotFinite(in: output, of: target) else {
            return nil
        }
        for element in first..<output.count / target.blockBytes
        where !FloatKernels.isFinite(element, in: output, of: target) {
            let overflows = isNumber(element, in: input, floats: floats)
            if overflows || refusesNotFinite { return ValueFault(element: element, overflows: overflows) }
        }
        return nil
    }

    /// Whether the target's range is smaller than the source's.
    private var narrows: Bool {
        switch target {
        case .f16, .bf16: source != target && !(source == .f16 && target == .bf16)
        case .f32: source == .f64
        default: false
        }
    }

    /// Whether the source's value is finite. The values of blocks were decoded into `floats`.
    private func isNumber(
        _ element: Int, in input: UnsafeRawBufferPointer, floats: UnsafeMutableBufferPointer<Float>
    ) -> Bool {
        if source.isQuantized { return element < floats.count && floats[element].isFinite }
        return FloatKernels.isFinite(element, in: input, of: source)
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
