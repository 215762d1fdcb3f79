// Carrying out a plan: workers take runs of rows, read them, transform them, and write them at their planned place.

internal import Bytes
public import Quantization
public import Tensors

/// How far the blocks of a tensor are from the source's values, over the rows that were compared.
public struct TensorError: Sendable {
    public let name: String
    public let dtype: DType
    public let error: QuantizationError
}

/// Carries out a `ConversionPlan`.
///
/// Memory is bounded by threads × a piece of about a megabyte, whatever the model's size. Rows arrive in any order, so
/// the writer must know every offset beforehand, which `CheckpointWriter` promises.
public struct PlanExecutor: Sendable {
    private let plan: ConversionPlan
    private let reader: any CheckpointReader
    private let writer: any CheckpointWriter
    private let threads: Int
    /// Every how many pieces of a quantized tensor are decoded again and compared; 0 for none.
    private let compareEvery: Int

    /// - Parameter compareEvery: 1 compares every piece with its source, n one in n, 0 none.
    public init(
        _ plan: ConversionPlan, from reader: any CheckpointReader, to writer: any CheckpointWriter, threads: Int,
        compareEvery: Int = 0
    ) {
        self.plan = plan
        self.reader = reader
        self.writer = writer
        self.threads = max(1, threads)
        self.compareEvery = compareEvery
    }

    /// Elements a piece has, about. A piece of source, its floats and its blocks stay within a core's second cache.
    private static let pieceElements = 1 << 17

    /// A run of rows of one step.
    private struct Piece {
        let step: Int
        let rows: Range<Int>
    }

    /// Runs the plan.
    /// - Parameter progress: told the bytes that were written since it was last told, from any thread.
    /// - Returns: the errors of quantized tensors, as far as they were compared.
    /// - Throws: the first error that any worker met.
    @discardableResult
    public func run(progress: @escaping @Sendable (UInt64) -> Void = { _ in }) throws -> [TensorError] {
        let converters = try plan.steps.map(Self.converters(reader: reader))
        let pieces = makePieces()
        let errors = Locked(Array(repeating: QuantizationError(), count: plan.steps.count))
        try Parallel.perform(pieces.count, threads: threads, worker: Buffers.init) { index, buffers in
            let piece = pieces[index]
            let compare = compareEvery > 0 && index % compareEvery == 0
            let (bytes, error) = try work(
                piece, converters: converters[piece.step], buffers: &buffers, compare: compare)
            if let error { errors.withValue { $0[piece.step] += error } }
            progress(UInt64(bytes))
        }
        return zip(plan.steps, errors.withValue { $0 }).compactMap { step, error in
            error.count > 0 ? TensorError(name: step.target.name, dtype: step.target.dtype, error: error) : nil
        }
    }

    /// A converter for each dtype that a step reads.
    private static func converters(
        reader: any CheckpointReader
    ) -> (ConversionStep) throws -> [DType: ElementConverter] {
        { step in
            guard case .rows(let segments) = step.origin else { return [:] }
            var found: [DType: ElementConverter] = [:]
            for tensor in Set(segments.map(\.tensor)) {
                let source = reader.tensors[tensor]
                guard found[source.dtype] == nil else { continue }
                do {
                    found[source.dtype] = try ElementConverter(from: source.dtype, to: step.target.dtype)
                } catch let error as CheckpointError {
                    throw error.at(file: reader.path, place: step.target.name)
                }
            }
            return found
        }
    }

    private func makePieces() -> [Piece] {
        var pieces: [Piece] = []
        for (index, step) in plan.steps.enumerated() {
            let rows = step.target.shape.rowCount
            guard rows > 0 else { continue }
            guard case .rows = step.origin else {
                pieces.append(Piece(step: index, rows: 0..<rows))
                continue
            }
            let width = step.target.shape.rowElements
            var height = max(1, Self.pieceElements / max(1, width))
            // Whole heads, so that a permutation within heads stays within a piece.
            if width > 1, height > 64 { height -= height % 64 }
            var row = 0
            while row < rows {
                let end = min(rows, row + height)
                pieces.append(Piece(step: index, rows: row..<end))
                row = end
            }
        }
        return pieces
    }

    /// What a worker owns: grown once, used for every piece.
    private struct Buffers: ~Copyable {
        var input = ScratchBuffer()
        var gathered = ScratchBuffer()
        var output = ScratchBuffer()
        var floats = ScratchBuffer()
        var decoded = ScratchBuffer()
    }

    private func work(
        _ piece: Piece, converters: [DType: ElementConverter], buffers: inout Buffers, compare: Bool
    ) throws -> (bytes: Int, error: QuantizationError?) {
        let step = plan.steps[piece.step]
        let target = step.target
        guard case .rows(let segments) = step.origin else {
            if case .bytes(let bytes) = step.origin {
                try bytes.withUnsafeBytes { try writer.write(tensor: piece.step, at: 0, $0) }
                return (bytes.count, nil)
            }
            return (0, nil)
        }
        let width = target.shape.rowElements
        guard let rowBytes = target.dtype.byteCount(elements: width) else { return (0, nil) }
        let output = buffers.output.reserve(piece.rows.count * rowBytes)
        var sums: QuantizationError?
        for run in GatherRun.runs(of: piece.rows, in: segments) {
            let source = reader.tensors[run.tensor]
            guard let converter = converters[source.dtype],
                let sourceRowBytes = source.dtype.byteCount(elements: width)
            else { continue }
            let elements = run.sourceRow * width..<(run.sourceRow + run.rows.count) * width
            let inputBytes = run.rows.count * sourceRowBytes
            let stretches = run.stretches
            func place(of stretch: GatherRun.Stretch) -> UnsafeMutableRawBufferPointer {
                let start = (stretch.targetRow - piece.rows.lowerBound) * rowBytes
                return UnsafeMutableRawBufferPointer(rebasing: output[start..<start + stretch.count * rowBytes])
            }
            if converter.isCopy, run.isInOrder, stretches.count == 1 {
                try reader.read(source, elements: elements, into: place(of: stretches[0]))
                continue
            }
            var input = buffers.input.reserve(inputBytes)
            try reader.read(source, elements: elements, into: input)
            if !run.isInOrder {
                let gathered = buffers.gathered.reserve(inputBytes)
                run.gather(from: input, to: gathered, rowBytes: sourceRowBytes)
                input = gathered
            }
            var row = 0
            for stretch in stretches {
                let count = stretch.count * width
                let from = UnsafeRawBufferPointer(
                    rebasing: input[row * sourceRowBytes..<(row + stretch.count) * sourceRowBytes])
                let floats = buffers.floats.reserveFloats(converter.isCopy ? 0 : count)
                let to = place(of: stretch)
                let bad = withImportance(step.importance) {
                    converter.convert(
                        from, into: to, rows: stretch.count, columns: width, floats: floats, importance: $0)
                }
                if let bad {
                    throw CheckpointError.malformed(
                        "row \(stretch.targetRow + bad) holds NaN or an infinity, which \(target.dtype) cannot say",
                        file: reader.path, place: source.name,
                        remedy: "`pannier verify --deep` lists what is broken; f32, f16 and bf16 carry it as it is")
                }
                if compare, converter.quantizes {
                    var error = sums ?? QuantizationError()
                    converter.compare(
                        UnsafeBufferPointer(floats), with: UnsafeRawBufferPointer(to),
                        scratch: buffers.decoded.reserveFloats(count), error: &error)
                    sums = error
                }
                row += stretch.count
            }
        }
        let bytes = piece.rows.count * rowBytes
        try writer.write(tensor: piece.step, at: piece.rows.lowerBound * rowBytes, UnsafeRawBufferPointer(output))
        return (bytes, sums)
    }

    private func withImportance<R>(_ importance: [Float]?, _ body: (UnsafeBufferPointer<Float>?) -> R) -> R {
        guard let importance else { return body(nil) }
        return importance.withUnsafeBufferPointer { body($0) }
    }
}
