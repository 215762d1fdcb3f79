// What the values of a tensor are like: one pass over all of them, in parallel, in bounded memory.

internal import Bytes
internal import CKernels
internal import Quantization
internal import Tensors

/// Range and moments of a tensor's values. NaNs and infinities are counted and left out of the rest.
public struct TensorStatistics: Sendable {
    /// Nil when no value is finite.
    public var min: Double?
    public var max: Double?
    public var mean = 0.0
    /// Standard deviation of the whole tensor (not of a sample).
    public var std = 0.0
    public var zeros = 0
    public var nans = 0
    public var infs = 0
    /// Rows of which every value is zero, of a tensor with several rows.
    public var zeroRows = 0
    /// The first such row.
    public var firstZeroRow: Int?
    /// The first row with a NaN or an infinity.
    public var firstBadRow: Int?
    /// The first block of a block format of which a scale is NaN or infinite, where scales were looked at.
    public var firstBadBlock: Int?
    /// How many of the finite values lie in each sixteenth of the range ±4 standard deviations, over a sample.
    public var histogram: [Int] = []
    public var count = 0
}

/// Decodes pieces of a tensor to floats, whatever its dtype.
struct FloatRows {
    let reader: any CheckpointReader
    let tensor: TensorInfo
    private let format: BlockFormat

    /// - Returns: nil for dtypes that have no arithmetic here.
    init?(_ tensor: TensorInfo, in reader: any CheckpointReader) {
        guard let format = BlockFormat.of(tensor.dtype) else { return nil }
        self.format = format
        self.reader = reader
        self.tensor = tensor
    }

    /// The first block of stored bytes that has a scale of NaN or infinity; nil for plain floats, whose values show it.
    func firstInvalidBlock(in bytes: UnsafeRawBufferPointer) -> Int? { format.firstInvalidBlock(in: bytes) }

    /// Elements `range` (whole blocks) as floats.
    /// - Parameter look: is shown the bytes before they are decoded.
    func read(
        _ range: Range<Int>, into buffers: inout DeepScan.Buffers, look: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws -> UnsafeBufferPointer<Float> {
        let size = tensor.dtype.byteCount(elements: range.count) ?? 0
        let raw = buffers.bytes.reserve(size)
        try reader.read(tensor, elements: range, into: raw)
        look(UnsafeRawBufferPointer(raw))
        if tensor.dtype == .f32 {
            return UnsafeBufferPointer(
                start: raw.baseAddress.map { UnsafePointer($0.assumingMemoryBound(to: Float.self)) },
                count: range.count)
        }
        let target = buffers.floats.reserveFloats(range.count)
        format.decode(UnsafeRawBufferPointer(raw), into: target)
        return UnsafeBufferPointer(target)
    }
}

extension TensorStatistics {
    /// Sums of a part of a tensor, to be added up in the order of the parts.
    struct Part {
        var sums = pannier_statistics()
        var zeroRows = 0
        var firstZeroRow: Int?
        var firstBadRow: Int?
        var firstBadBlock: Int?

        /// Values that are zero.
        var zeros: Int { Int(sums.zeros) }

        init() { pannier_statistics_begin(&sums) }

        /// Adds values.
        /// - Parameter countsRows: whether they are whole rows, of which those of zeros are counted.
        mutating func add(_ values: UnsafeBufferPointer<Float>, firstRow: Int, columns: Int, countsRows: Bool) {
            guard let base = values.baseAddress else { return }
            guard countsRows, columns > 0 else {
                pannier_statistics_add(base, Int64(values.count), &sums)
                if sums.nans + sums.infinities > 0, firstBadRow == nil { firstBadRow = firstRow }
                return
            }
            for row in 0..<values.count / columns {
                let zeros = sums.zeros
                let bad = sums.nans + sums.infinities
                pannier_statistics_add(base + row * columns, Int64(columns), &sums)
                if sums.zeros - zeros == Int64(columns) { addZeroRow(firstRow + row) }
                if firstBadRow == nil, sums.nans + sums.infinities > bad { firstBadRow = firstRow + row }
            }
        }

        /// Counts a row of zeros that lay in several pieces; rows come in their order.
        mutating func addZeroRow(_ row: Int) {
            zeroRows += 1
            firstZeroRow = firstZeroRow ?? row
        }

        static func += (left: inout Part, right: Part) {
            left.sums.sum += right.sums.sum
            left.sums.sum_squares += right.sums.sum_squares
            left.sums.smallest = Swift.min(left.sums.smallest, right.sums.smallest)
            left.sums.largest = Swift.max(left.sums.largest, right.sums.largest)
            left.sums.count += right.sums.count
            left.sums.zeros += right.sums.zeros
            left.sums.nans += right.sums.nans
            left.sums.infinities += right.sums.infinities
            left.zeroRows += right.zeroRows
            left.firstZeroRow = left.firstZeroRow ?? right.firstZeroRow
            left.firstBadRow = left.firstBadRow ?? right.firstBadRow
            left.firstBadBlock = left.firstBadBlock ?? right.firstBadBlock
        }
    }

    init(_ part: Part) {
        let sums = part.sums
        let finite = Double(sums.count - sums.nans - sums.infinities)
        min = sums.smallest.isFinite ? Double(sums.smallest) : nil
        max = sums.largest.isFinite ? Double(sums.largest) : nil
        mean = finite > 0 ? sums.sum / finite : 0
        std = finite > 0 ? Swift.max(0, sums.sum_squares / finite - mean * mean).squareRoot() : 0
        zeros = Int(sums.zeros)
        nans = Int(sums.nans)
        infs = Int(sums.infinities)
        count = Int(sums.count)
        zeroRows = part.zeroRows
        firstZeroRow = part.firstZeroRow
        firstBadRow = part.firstBadRow
        firstBadBlock = part.firstBadBlock
    }
}
