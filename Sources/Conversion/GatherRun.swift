// Which source rows, or elements, a piece of the target needs, in as few reads as possible.

/// Neighbouring rows of one source tensor that one read brings, and where in the target they go.
package struct GatherRun {
    package let tensor: Int
    /// The first row that is read.
    package let sourceRow: Int
    /// For each target row, in rising order of target rows, the source row relative to `sourceRow`.
    package let rows: [(targetRow: Int, offset: Int)]
    /// Whether the rows come in the order of the target.
    package let isInOrder: Bool

    /// Target rows that lie next to each other.
    package struct Stretch {
        package let targetRow: Int
        package let count: Int
    }

    /// The target rows of the run as stretches, in the order of `rows`.
    package var stretches: [Stretch] {
        var out: [Stretch] = []
        var at = 0
        while at < rows.count {
            var end = at + 1
            while end < rows.count, rows[end].targetRow == rows[end - 1].targetRow + 1 { end += 1 }
            out.append(Stretch(targetRow: rows[at].targetRow, count: end - at))
            at = end
        }
        return out
    }

    /// Puts the rows that were read into the order of the target.
    package func gather(
        from input: UnsafeMutableRawBufferPointer, to output: UnsafeMutableRawBufferPointer, rowBytes: Int
    ) {
        guard let from = input.baseAddress, let to = output.baseAddress else { return }
        for (place, row) in rows.enumerated() {
            (to + place * rowBytes).copyMemory(from: from + row.offset * rowBytes, byteCount: rowBytes)
        }
    }

    /// The reads for some rows of a target.
    package static func runs(of target: Range<Int>, in segments: [RowSegment]) -> [GatherRun] {
        var wanted: [(tensor: Int, source: Int, target: Int)] = []
        wanted.reserveCapacity(target.count)
        for segment in segments {
            let step = max(1, segment.targetStep)
            let last = segment.targetRow + (segment.count - 1) * step
            guard segment.count > 0, last >= target.lowerBound, segment.targetRow < target.upperBound else { continue }
            let first =
                segment.targetRow >= target.lowerBound
                ? 0 : (target.lowerBound - segment.targetRow + step - 1) / step
            let end = min(segment.count, (target.upperBound - segment.targetRow + step - 1) / step)
            guard first < end else { continue }
            for index in first..<end {
                wanted.append(
                    (segment.tensor, segment.sourceRow + index * segment.sourceStep, segment.targetRow + index * step))
            }
        }
        wanted.sort { ($0.tensor, $0.source) < ($1.tensor, $1.source) }
        var runs: [GatherRun] = []
        var at = 0
        while at < wanted.count {
            var end = at + 1
            while end < wanted.count, wanted[end].tensor == wanted[at].tensor,
                wanted[end].source == wanted[end - 1].source + 1
            { end += 1 }
            let group = wanted[at..<end]
            let first = wanted[at].source
            let isInOrder = zip(group, group.dropFirst()).allSatisfy { $0.target < $1.target }
            let rows = group.map { (targetRow: $0.target, offset: $0.source - first) }
            runs.append(
                GatherRun(
                    tensor: wanted[at].tensor, sourceRow: first,
                    rows: isInOrder ? rows : rows.sorted { $0.targetRow < $1.targetRow }, isInOrder: isInOrder))
            at = end
        }
        return runs
    }
}

/// Elements that lie next to each other in one source tensor and in the target: what needs no gathering.
struct ElementRun {
    let tensor: Int
    /// The first element in the source tensor.
    let source: Int
    /// The first element in the target.
    let target: Int
    let count: Int

    /// The runs that make up some elements of a target whose rows have `width` elements.
    static func runs(of elements: Range<Int>, in segments: [RowSegment], width: Int) -> [ElementRun] {
        guard !elements.isEmpty, width > 0 else { return [] }
        let rows = elements.lowerBound / width..<(elements.upperBound - 1) / width + 1
        var runs: [ElementRun] = []
        func add(_ segment: RowSegment, first index: Int, rows count: Int) {
            let start = (segment.targetRow + index * segment.targetStep) * width
            let from = max(start, elements.lowerBound), to = min(start + count * width, elements.upperBound)
            guard from < to else { return }
            let source = (segment.sourceRow + index * segment.sourceStep) * width + from - start
            runs.append(ElementRun(tensor: segment.tensor, source: source, target: from, count: to - from))
        }
        for segment in segments {
            guard !segment.isOneRun else {
                add(segment, first: 0, rows: segment.count)
                continue
            }
            let step = max(1, segment.targetStep)
            for row in rows where row >= segment.targetRow && (row - segment.targetRow) % step == 0 {
                let index = (row - segment.targetRow) / step
                if index < segment.count { add(segment, first: index, rows: 1) }
            }
        }
        return runs
    }
}

extension RowSegment {
    /// Whether its rows lie next to each other on both sides, in the same order.
    var isOneRun: Bool { count <= 1 || sourceStep == 1 && targetStep == 1 }
}
