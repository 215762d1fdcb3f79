// Rows of a canonical tensor as floats, wherever and however a checkpoint stores them.

internal import Bytes
internal import Conversion
internal import Layouts
internal import Quantization
internal import Tensors

/// One tensor of a comparison in one checkpoint: where its rows lie, and how to read them.
///
/// A row is what moves as one: the innermost dimension of a matrix, one element of a vector. When the stored tensor is
/// the canonical one as it stands, any range of its elements can be read.
struct CanonicalRows: Sendable {
    let reader: any CheckpointReader
    let shape: Shape
    /// Where its rows come from; target rows are canonical rows.
    let segments: [RowSegment]
    /// The stored tensor, when it is the canonical one as it stands.
    let whole: TensorInfo?
    /// By stored tensor; empty for a dtype that has no arithmetic here.
    private let formats: [Int: BlockFormat]
    /// The dtypes it is stored in, each once, in the order of the checkpoint.
    let dtypes: [DType]

    var rows: Int { shape.rowCount }
    var columns: Int { shape.rowElements }
    /// Whether its values can be read as floats.
    var isNumeric: Bool { !formats.isEmpty }
    /// Bytes it takes in its file.
    var storedBytes: UInt64 { UInt64(whole?.byteCount ?? shape.count.multiplied(by: 4) ?? 0) }
    /// "BF16", or "F32 and F16" when rows are stored differently.
    var dtypeText: String { dtypes.map(\.rawValue).joined(separator: " and ") }

    /// A canonical tensor of a recognised checkpoint.
    init(_ tensor: CanonicalTensor, in reader: any CheckpointReader) {
        self.init(
            reader: reader, shape: tensor.shape,
            segments: tensor.runs.map {
                RowSegment(
                    tensor: $0.tensor, sourceRow: $0.storedRow, sourceStep: $0.storedStep,
                    targetRow: $0.canonicalRow, targetStep: 1, count: $0.count)
            }, whole: tensor.whole)
    }

    /// A stored tensor as it stands.
    init(stored index: Int, in reader: any CheckpointReader) {
        let shape = reader.tensors[index].shape
        self.init(
            reader: reader, shape: shape,
            segments: [
                RowSegment(
                    tensor: index, sourceRow: 0, sourceStep: 1, targetRow: 0, targetStep: 1, count: shape.rowCount)
            ], whole: index)
    }

    private init(reader: any CheckpointReader, shape: Shape, segments: [RowSegment], whole: Int?) {
        self.reader = reader
        self.shape = shape
        self.segments = segments
        self.whole = whole.map { reader.tensors[$0] }
        let tensors = Set(segments.map(\.tensor)).sorted()
        var formats: [Int: BlockFormat] = [:]
        for tensor in tensors { formats[tensor] = BlockFormat.of(reader.tensors[tensor].dtype) }
        self.formats = formats.count == tensors.count ? formats : [:]
        var dtypes: [DType] = []
        for tensor in tensors where !dtypes.contains(reader.tensors[tensor].dtype) {
            dtypes.append(reader.tensors[tensor].dtype)
        }
        self.dtypes = dtypes
    }

    /// Elements that a range of a piecewise reading must begin and end on.
    var alignment: Int { whole.map(\.dtype.blockElements) ?? columns }

    /// What a reading thread owns.
    struct Buffers: ~Copyable {
        var raw = ScratchBuffer()
        var gathered = ScratchBuffer()
        init() {}
    }

    /// Elements `range`, in canonical order, as floats.
    /// - Parameter range: begins and ends on multiples of `alignment`.
    func read(
        _ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>, buffers: inout Buffers
    ) throws {
        if let whole {
            return try decode(whole, formats.values.first, range, into: target, buffers: &buffers)
        }
        let columns = columns
        let wanted = range.lowerBound / columns..<range.upperBound / columns
        for run in GatherRun.runs(of: wanted, in: segments) {
            let tensor = reader.tensors[run.tensor]
            guard let format = formats[run.tensor], let rowBytes = tensor.dtype.byteCount(elements: columns) else {
                throw CheckpointError.unsupported(
                    "its rows are no whole blocks of \(tensor.dtype)", file: reader.path, place: tensor.name)
            }
            let elements = run.sourceRow * columns..<(run.sourceRow + run.rows.count) * columns
            var raw = buffers.raw.reserve(run.rows.count * rowBytes)
            try reader.read(tensor, elements: elements, into: raw)
            if !run.isInOrder {
                let gathered = buffers.gathered.reserve(raw.count)
                run.gather(from: raw, to: gathered, rowBytes: rowBytes)
                raw = gathered
            }
            var row = 0
            for stretch in run.stretches {
                let place = (stretch.targetRow - wanted.lowerBound) * columns
                format.decode(
                    UnsafeRawBufferPointer(rebasing: raw[row * rowBytes..<(row + stretch.count) * rowBytes]),
                    into: UnsafeMutableBufferPointer(rebasing: target[place..<place + stretch.count * columns]))
                row += stretch.count
            }
        }
    }

    private func decode(
        _ tensor: TensorInfo, _ format: BlockFormat?, _ range: Range<Int>,
        into target: UnsafeMutableBufferPointer<Float>, buffers: inout Buffers
    ) throws {
        if tensor.dtype == .f32 {
            return try reader.read(tensor, elements: range, into: UnsafeMutableRawBufferPointer(target))
        }
        guard let format, let size = tensor.dtype.byteCount(elements: range.count) else { return }
        let raw = buffers.raw.reserve(size)
        try reader.read(tensor, elements: range, into: raw)
        format.decode(UnsafeRawBufferPointer(raw), into: target)
    }

    /// Where a canonical row is stored.
    func place(ofRow row: Int) -> (tensor: TensorInfo, row: Int)? {
        for segment in segments where row >= segment.targetRow && row < segment.targetRow + segment.count {
            return (reader.tensors[segment.tensor], segment.sourceRow + (row - segment.targetRow) * segment.sourceStep)
        }
        return nil
    }

    /// Some elements of one canonical row as floats; nil when they are no whole blocks.
    func read(
        row: Int, elements: Range<Int>, into target: UnsafeMutableBufferPointer<Float>, buffers: inout Buffers
    ) throws -> Bool {
        guard let (tensor, stored) = place(ofRow: row), let format = BlockFormat.of(tensor.dtype),
            elements.lowerBound % tensor.dtype.blockElements == 0,
            elements.count % tensor.dtype.blockElements == 0
        else { return false }
        let start = stored * columns + elements.lowerBound
        try decode(tensor, format, start..<start + elements.count, into: target, buffers: &buffers)
        return true
    }
}
