// Byte-pair encoding: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units"
// (arXiv:1508.07909). The pair that was learnt first is merged first; of equal ones, the leftmost.

/// The halves of a merge that is written as one text, "left right"; nil where it is not two pieces.
///
/// They are divided by the first space that is not in front, as llama.cpp does it. It is looked for among code units: a space
/// and the combining mark after it are one character.
package func splitMerge(_ text: String) -> (left: String, right: String)? {
    guard let space = text.utf8.dropFirst().firstIndex(of: UInt8(ascii: " ")) else { return nil }
    return (String(text[..<space]), String(text[text.utf8.index(after: space)...]))
}

/// A stretch of the text that is a piece, or is to be one.
struct MergeSymbol {
    /// Bytes of the text.
    var range: Range<Int>
    /// Nil where the stretch has no piece.
    var id: Int?
}

/// Merges neighbours until no pair is known.
/// - Parameter merge: the rank (the lower, the earlier) and id of a merged pair, or nil.
func mergePairs(
    _ symbols: [MergeSymbol], merge: (_ left: MergeSymbol, _ right: MergeSymbol) -> (rank: Double, id: Int)?
) -> [MergeSymbol] {
    guard symbols.count > 1 else { return symbols }
    var symbols = symbols
    // A doubly linked list over the array; a merged-away symbol has an empty range.
    var previous = symbols.indices.map { $0 - 1 }
    var next = symbols.indices.map { $0 + 1 < symbols.count ? $0 + 1 : -1 }
    var queue = MergeQueue()

    func propose(_ left: Int, _ right: Int) {
        guard left >= 0, right >= 0, let (rank, id) = merge(symbols[left], symbols[right]) else { return }
        queue.push(
            MergeQueue.Candidate(
                rank: rank, left: left, right: right, id: id,
                length: symbols[left].range.count + symbols[right].range.count))
    }

    for index in 1..<symbols.count { propose(index - 1, index) }
    while let best = queue.pop() {
        let left = best.left, right = best.right
        // Either may have been merged with another neighbour since.
        guard !symbols[left].range.isEmpty, !symbols[right].range.isEmpty,
            symbols[left].range.count + symbols[right].range.count == best.length
        else { continue }
        symbols[left].range = symbols[left].range.lowerBound..<symbols[right].range.upperBound
        symbols[left].id = best.id
        symbols[right].range = symbols[right].range.upperBound..<symbols[right].range.upperBound
        next[left] = next[right]
        if next[right] >= 0 { previous[next[right]] = left }
        propose(previous[left], left)
        propose(left, next[left])
    }
    return symbols.filter { !$0.range.isEmpty }
}

/// A binary heap of pairs, the next to be merged on top.
private struct MergeQueue {
    struct Candidate {
        let rank: Double
        let left: Int
        let right: Int
        let id: Int
        /// Bytes of both: differs once either has changed.
        let length: Int

        func precedes(_ other: Candidate) -> Bool { rank != other.rank ? rank < other.rank : left < other.left }
    }

    private var heap: [Candidate] = []

    mutating func push(_ candidate: Candidate) {
        heap.append(candidate)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> Candidate? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return top }
        heap[0] = last
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { return top }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(heap[parent]) else { return top }
            heap.swapAt(child, parent)
            parent = child
        }
    }
}
