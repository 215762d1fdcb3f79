// Cutting a tensor into pieces for the workers: whoever walks over values walks over these.

/// Ranges of a tensor's elements, one after the other, none longer than what a worker should hold at a time.
///
/// A piece is bounded by elements and not by rows, since a row may be as long as a whole tensor (a vector is one row).
package struct ElementPieces: Sequence, IteratorProtocol {
    private let end: Int
    private let step: Int
    private var start: Int

    /// - Parameters:
    ///   - range: the elements; they begin on a multiple of `unit`.
    ///   - length: elements a piece has at most, unless a unit has more.
    ///   - unit: each piece but the last is a multiple of it: a block, a row, some rows.
    package init(of range: Range<Int>, length: Int, unit: Int) {
        let unit = Swift.max(1, unit)
        start = range.lowerBound
        end = range.upperBound
        step = Swift.max(unit, length / unit * unit)
    }

    package mutating func next() -> Range<Int>? {
        guard start < end else { return nil }
        // What is left is compared first: the sum may not fit for a tensor that is all there is of numbers.
        let piece = start..<start + Swift.min(step, end - start)
        start = piece.upperBound
        return piece
    }
}
