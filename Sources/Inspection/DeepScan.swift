// Reading every value of a checkpoint once: statistics of each tensor, all cores, bounded memory.

internal import Bytes
internal import Conversion
public import Tensors

/// Reads tensors piece by piece and sums up what their values are like.
public struct DeepScan: Sendable {
    private let reader: any CheckpointReader
    private let threads: Int

    public init(_ reader: any CheckpointReader, threads: Int) {
        self.reader = reader
        self.threads = max(1, threads)
    }

    private struct Piece {
        /// Place in the list of wanted tensors.
        let slot: Int
        let firstRow: Int
        let range: Range<Int>
        let rows: RowExtent

        /// Whole rows, or a part of one that is longer than a piece.
        enum RowExtent { case whole, part, lastPart }
    }

    /// About a megabyte of floats a piece.
    private static let pieceElements = 1 << 18

    /// Statistics of some tensors, in their order; nil for dtypes without arithmetic.
    /// - Parameters:
    ///   - histograms: count the values of each range too, over a sample.
    ///   - scales: look for blocks whose scales are no finite numbers too.
    ///   - progress: told the bytes that were read since it was last told, from any thread.
    public func statistics(
        of tensors: [TensorInfo], histograms: Bool = false, scales: Bool = false,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> [TensorStatistics?] {
        let sources = tensors.map { FloatRows($0, in: reader) }
        let pieces = Self.pieces(of: tensors, where: sources.map { $0 != nil })
        let parts = Locked<[TensorStatistics.Part?]>(Array(repeating: nil, count: pieces.count))
        try Parallel.perform(pieces.count, threads: threads, worker: Buffers.init) { index, buffers in
            let piece = pieces[index]
            guard let source = sources[piece.slot] else { return }
            let shape = source.tensor.shape
            var part = TensorStatistics.Part()
            let values = try source.read(piece.range, into: &buffers) { bytes in
                guard scales, let block = source.firstInvalidBlock(in: bytes) else { return }
                part.firstBadBlock = piece.range.lowerBound / source.tensor.dtype.blockElements + block
            }
            part.add(
                values, firstRow: piece.firstRow, columns: shape.columns,
                countsRows: shape.rank > 1 && piece.rows == .whole)
            parts.withValue { $0[index] = part }
            progress(UInt64(source.tensor.dtype.byteCount(elements: piece.range.count) ?? 0))
        }
        // In the order of the pieces, so that the sums do not depend on which thread was faster.
        var totals: [TensorStatistics.Part?] = sources.map { $0 == nil ? nil : TensorStatistics.Part() }
        var rowZeros = 0
        for (piece, part) in zip(pieces, parts.withValue { $0 }) {
            guard let part else { continue }
            totals[piece.slot]? += part
            guard piece.rows != .whole else { continue }
            rowZeros += part.zeros
            guard piece.rows == .lastPart else { continue }
            if rowZeros == tensors[piece.slot].shape.columns { totals[piece.slot]?.addZeroRow(piece.firstRow) }
            rowZeros = 0
        }
        let statistics = totals.map { $0.map(TensorStatistics.init) }
        guard histograms else { return statistics }
        let filled = Locked(statistics)
        try Parallel.perform(tensors.count, threads: threads, worker: Buffers.init) { index, buffers in
            guard let source = sources[index], let one = statistics[index] else { return }
            let bins = try Self.histogram(of: source, one, buffers: &buffers)
            filled.withValue { $0[index]?.histogram = bins }
        }
        return filled.withValue { $0 }
    }

    /// Sixteen bins over mean ± 4 standard deviations, from a piece in the middle of the tensor.
    private static func histogram(
        of source: FloatRows, _ statistics: TensorStatistics, buffers: inout Buffers
    ) throws -> [Int] {
        let block = source.tensor.dtype.blockElements
        let count = source.tensor.shape.count
        let wanted = min(count, 1 << 16) / block * block
        let start = (count - wanted) / 2 / block * block
        let values = try source.read(start..<start + wanted, into: &buffers)
        var bins = Array(repeating: 0, count: 16)
        guard statistics.std > 0 else { return bins }
        let scale = 2 / statistics.std
        for value in values where value.isFinite {
            let place = (Double(value) - statistics.mean) * scale + 8
            bins[Int(Swift.max(0, Swift.min(15, place.rounded(.down))))] += 1
        }
        return bins
    }

    /// Whole rows where they are short enough, parts of a row where one is longer than a piece.
    private static func pieces(of tensors: [TensorInfo], where computable: [Bool]) -> [Piece] {
        var pieces: [Piece] = []
        for (slot, tensor) in tensors.enumerated() where computable[slot] {
            let shape = tensor.shape, columns = max(1, shape.columns)
            guard columns > pieceElements else {
                pieces += ElementPieces(of: 0..<shape.count, length: pieceElements, unit: columns).map {
                    Piece(slot: slot, firstRow: $0.lowerBound / columns, range: $0, rows: .whole)
                }
                continue
            }
            for row in 0..<shape.rows {
                let elements = row * columns..<(row + 1) * columns
                pieces += ElementPieces(of: elements, length: pieceElements, unit: tensor.dtype.blockElements).map {
                    let isLast = $0.upperBound == elements.upperBound
                    return Piece(
                        slot: slot, firstRow: row, range: $0,
                        rows: shape.rank <= 1 ? .whole : isLast ? .lastPart : .part)
                }
            }
        }
        return pieces
    }

    /// What a worker owns.
    struct Buffers: ~Copyable {
        var bytes = ScratchBuffer()
        var floats = ScratchBuffer()
    }
}
