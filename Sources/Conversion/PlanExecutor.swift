// Carrying out a plan: workers take pieces of the target, read what they are made of, transform it, and write it at its
// planned place.

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
/// Memory is bounded by threads × a piece of about a megabyte, whatever the model's size and however long its rows are.
/// Only where blocks are made is a row the least piece: some formats weigh a block by the whole row's squares, as ggml
/// does. Pieces arrive in any order, so the writer must know every offset beforehand, which `CheckpointWriter` promises.
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

    /// A part of one step's target.
    private struct Piece {
        let step: Int
        let extent: Extent

        enum Extent {
            /// Rows that are gathered, or made into blocks.
            case rows(Range<Int>)
            /// Elements that are carried or converted one by one.
            case elements(Range<Int>)
            /// All of what no source tensor holds.
            case whole
        }
    }

    /// Runs the plan.
    /// - Parameter progress: told the bytes that were written since it was last told, from any thread.
    /// - Returns: the errors of quantized tensors, as far as they were compared.
    /// - Throws: the first error that any worker met.
    @discardableResult
    public func run(progress: @escaping @Sendable (UInt64) -> Void = { _ in }) throws -> [TensorError] {
        let converters = try plan.steps.map(Self.converters(reader: reader, refusingNotFinite: plan.refusesNotFinite))
        let pieces = makePieces()
        let errors = Locked(Array(repeating: QuantizationError(), count: plan.steps.count))
        try Parallel.perform(pieces.count, threads: threads, worker: Buffers.init) { index, buffers in
            let piece = pieces[index]
            let converters = converters[piece.step]
            switch (piece.extent, plan.steps[piece.step].origin) {
            case (.rows(let rows), .rows(let segments)):
                let compare = compareEvery > 0 && index % compareEvery == 0
                let (bytes, error) = try work(
                    rows, of: piece.step, segments, converters: converters, buffers: &buffers, compare: compare)
                if let error { errors.withValue { $0[piece.step] += error } }
                progress(UInt64(bytes))
            case (.elements(let elements), .rows(let segments)):
                let bytes = try work(
                    elements: elements, of: piece.step, segments, converters: converters, buffers: &buffers)
                progress(UInt64(bytes))
            case (_, .bytes(let bytes)):
                try bytes.withUnsafeBytes { try writer.write(tensor: piece.step, at: 0, $0) }
                progress(UInt64(bytes.count))
            case (.whole, .rows): break
            }
        }
        return zip(plan.steps, errors.withValue { $0 }).compactMap { step, error in
            error.count > 0 ? TensorError(name: step.target.name, dtype: step.target.dtype, error: error) : nil
        }
    }

    /// A converter for each dtype that a step reads.
    private static func converters(
        reader: any CheckpointReader, refusingNotFinite: Bool
    ) -> (ConversionStep) throws -> [DType: ElementConverter] {
        { step in
            guard case .rows(let segments) = step.origin else { return [:] }
            var found: [DType: ElementConverter] = [:]
            for tensor in Set(segments.map(\.tensor)) {
                let source = reader.tensors[tensor]
                guard found[source.dtype] == nil else { continue }
                do {
                    found[source.dtype] = try ElementConverter(
                        from: source.dtype, to: step.target.dtype, refusingNotFinite: refusingNotFinite)
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
            let shape = step.target.shape, rows = shape.rowCount, width = shape.rowElements
            guard rows > 0 else { continue }
            guard case .rows(let segments) = step.origin else {
                pieces.append(Piece(step: index, extent: .whole))
                continue
            }
            let dtypes = Set(segments.map { reader.tensors[$0.tensor].dtype })
            var height = max(1, Self.pieceElements / width)
            // Whole heads, so that a permutation within heads stays within a piece.
            if width > 1, height > 64 { height -= height % 64 }
            let quantizes = step.target.dtype.isQuantized && dtypes != [step.target.dtype]
            // A row that is longer than a piece lies in one run whatever the order of rows.
            if !quantizes, width > Self.pieceElements || segments.allSatisfy(\.isOneRun) {
                let block = dtypes.reduce(step.target.dtype.blockElements) { max($0, $1.blockElements) }
                let length = width > Self.pieceElements ? Self.pieceElements : height * width
                pieces += ElementPieces(of: 0..<shape.count, length: length, unit: block).map {
                    Piece(step: index, extent: .elements($0))
                }
            } else {
                pieces += ElementPieces(of: 0..<rows, length: height, unit: 1).map {
                    Piece(step: index, extent: .rows($0))
                }
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

    /// Carries or converts elements that keep their order.
    /// - Returns: bytes that were written.
    private func work(
        elements: Range<Int>, of index: Int, _ segments: [RowSegment], converters: [DType: ElementConverter],
        buffers: inout Buffers
    ) throws -> Int {
        let target = plan.steps[index].target
        guard let start = target.dtype.byteCount(elements: elements.lowerBound),
            let size = target.dtype.byteCount(elements: elements.count)
        else { throw brokenBlocks(target.dtype, in: target.name) }
        let output = buffers.output.reserve(size)
        for run in ElementRun.runs(of: elements, in: segments, width: target.shape.rowElements) {
            let source = reader.tensors[run.tensor]
            guard let converter = converters[source.dtype], run.source % source.dtype.blockElements == 0,
                let inputBytes = source.dtype.byteCount(elements: run.count),
                let at = target.dtype.byteCount(elements: run.target - elements.lowerBound),
                let bytes = target.dtype.byteCount(elements: run.count)
            else { throw brokenBlocks(source.dtype, in: source.name) }
            let place = UnsafeMutableRawBufferPointer(rebasing: output[at..<at + bytes])
            let range = run.source..<run.source + run.count
            let fault: ValueFault?
            if converter.isCopy {
                try reader.read(source, elements: range, into: place)
                fault = copyFault(converter, place)
            } else {
                let input = buffers.input.reserve(inputBytes)
                try reader.read(source, elements: range, into: input)
                fault = converter.convert(
                    UnsafeRawBufferPointer(input), into: place, rows: 1, columns: run.count,
                    floats: buffers.floats.reserveFloats(run.count), importance: nil)
            }
            if let fault { throw refusal(fault, element: run.target + fault.element, of: source, in: target) }
        }
        try writer.write(tensor: index, at: start, UnsafeRawBufferPointer(output))
        return size
    }

    private func brokenBlocks(_ dtype: DType, in name: String) -> CheckpointError {
        .unsupported(
            "its values would be moved in parts of \(dtype) blocks", file: reader.path, place: name,
            expected: "a multiple of \(dtype.blockElements) values at a time",
            remedy: "make the checkpoint again with this tensor in f32, f16 or bf16")
    }

    private func work(
        _ rows: Range<Int>, of index: Int, _ segments: [RowSegment], converters: [DType: ElementConverter],
        buffers: inout Buffers, compare: Bool
    ) throws -> (bytes: Int, error: QuantizationError?) {
        let step = plan.steps[index]
        let target = step.target
        let width = target.shape.rowElements
        guard let rowBytes = target.dtype.byteCount(elements: width) else {
            throw brokenBlocks(target.dtype, in: target.name)
        }
        let output = buffers.output.reserve(rows.count * rowBytes)
        var sums: QuantizationError?
        for run in GatherRun.runs(of: rows, in: segments) {
            let source = reader.tensors[run.tensor]
            guard let converter = converters[source.dtype],
                let sourceRowBytes = source.dtype.byteCount(elements: width)
            else { throw brokenBlocks(source.dtype, in: source.name) }
            let elements = run.sourceRow * width..<(run.sourceRow + run.rows.count) * width
            let inputBytes = run.rows.count * sourceRowBytes
            let stretches = run.stretches
            func place(of stretch: GatherRun.Stretch) -> UnsafeMutableRawBufferPointer {
                let start = (stretch.targetRow - rows.lowerBound) * rowBytes
                return UnsafeMutableRawBufferPointer(rebasing: output[start..<start + stretch.count * rowBytes])
            }
            if converter.isCopy, run.isInOrder, stretches.count == 1 {
                let to = place(of: stretches[0])
                try reader.read(source, elements: elements, into: to)
                if let fault = copyFault(converter, to) {
                    throw refusal(
                        fault, element: stretches[0].targetRow * width + fault.element, of: source, in: target)
                }
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
                let fault = withImportance(step.importance) {
                    converter.convert(
                        from, into: to, rows: stretch.count, columns: width, floats: floats, importance: $0)
                }
                if let fault {
                    throw refusal(fault, element: stretch.targetRow * width + fault.element, of: source, in: target)
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
        try writer.write(tensor: index, at: rows.lowerBound * rowBytes, UnsafeRawBufferPointer(output))
        return (output.count, sums)
    }

    /// What must not be written of bytes that were carried.
    private func copyFault(_ converter: ElementConverter, _ bytes: UnsafeMutableRawBufferPointer) -> ValueFault? {
        let bytes = UnsafeRawBufferPointer(bytes)
        return converter.fault(in: bytes, from: bytes, floats: UnsafeMutableBufferPointer(start: nil, count: 0))
    }

    /// - Parameter element: the value's place in the target.
    private func refusal(
        _ fault: ValueFault, element: Int, of source: TensorInfo, in target: TensorPlan
    ) -> CheckpointError {
        let width = max(1, target.shape.rowElements)
        let place = width > 1 ? "row \(element / width)" : "value \(element)"
        let dtype = target.dtype
        guard fault.overflows else {
            let carried = plan.refusesNotFinite ? "`pannier convert` carries" : "f32, f16 and bf16 carry"
            return .malformed(
                "\(place) holds NaN or an infinity, "
                    + (dtype.isQuantized ? "which \(dtype) cannot say" : "which no quantized model can have"),
                file: reader.path, place: source.name,
                remedy: "`pannier verify --deep` lists what is broken; \(carried) it as it is")
        }
        let (limit, wider): (String, String) =
            switch dtype {
            case .f16: ("at most 65504 in magnitude", "bf16 or f32")
            case .bf16: ("at most 3.39e38 in magnitude", "f32")
            case .f32: ("at most 3.4e38 in magnitude", "a safetensors or PyTorch file, which holds \(source.dtype)")
            default: ("scales of at most 65504 in magnitude", "bf16 or f32")
            }
        return .unsupported(
            "\(place) holds values that are too large for \(dtype)" + (dtype.isQuantized ? "'s scales" : ""),
            file: reader.path, place: source.name, expected: limit, found: "values of \(source.dtype) beyond it",
            remedy: "choose \(wider) instead of \(dtype) for this tensor")
    }

    private func withImportance<R>(_ importance: [Float]?, _ body: (UnsafeBufferPointer<Float>?) -> R) -> R {
        guard let importance else { return body(nil) }
        return importance.withUnsafeBufferPointer { body($0) }
    }
}
