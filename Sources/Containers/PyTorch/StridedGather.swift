// Reading a view that is not dense: slices, transposed matrices, expanded rows.
//
// The wanted elements are cut into boxes. A box whose elements lie close together in the file is read with one read and
// sorted out in memory; one whose elements lie far apart is halved along the dimension with the widest step, until its
// parts are close. A transposed matrix is thus read column by column of the wanted rows, a slice row by row, and
// something small with one read.

import Bytes
import Tensors

struct StridedGather {
    let tensor: TensorInfo
    let view: StridedView
    /// Elements from one index to the next in the dense result.
    private let denseStrides: [Int]

    /// Bytes that may be read for nothing, to spare system calls.
    private static let slack = 16 << 10
    /// The longest single read.
    private static let longest = 4 << 20

    init(_ tensor: TensorInfo, _ view: StridedView) {
        self.tensor = tensor
        self.view = view
        var strides = [Int](repeating: 1, count: tensor.shape.rank)
        for at in strides.indices.dropLast().reversed() {
            strides[at] = strides[at + 1] * max(1, tensor.shape.dimensions[at + 1])
        }
        denseStrides = strides
    }

    /// Part of the tensor: a begin and a length in each dimension.
    private struct Box {
        var start: [Int]
        var count: [Int]
    }

    /// Reads elements in row-major order; the bytes stay in the file's order.
    func read(elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws {
        let size = tensor.dtype.blockBytes
        guard range.lowerBound >= 0, range.upperBound <= tensor.shape.count, buffer.count == range.count * size else {
            throw CheckpointError.malformed(
                "a read of elements \(range) does not fit the tensor", file: tensor.extent.file.path,
                place: tensor.name)
        }
        guard !range.isEmpty else { return }
        var scratch = ScratchBuffer()
        var boxes: [Box] = []
        cut(range, dimension: 0, prefix: [], into: &boxes)
        for box in boxes { try read(box, first: range.lowerBound, into: buffer, &scratch) }
    }

    /// Cuts a run of row-major elements into boxes, at most two a dimension and one.
    private func cut(_ range: Range<Int>, dimension: Int, prefix: [Int], into boxes: inout [Box]) {
        let dimensions = tensor.shape.dimensions
        func add(_ rows: Range<Int>) {
            let rest = dimensions.dropFirst(dimension + 1)
            boxes.append(
                Box(
                    start: prefix + [rows.lowerBound] + rest.map { _ in 0 },
                    count: prefix.map { _ in 1 } + [rows.count] + rest))
        }
        guard dimension < dimensions.count else {
            boxes.append(Box(start: prefix, count: prefix.map { _ in 1 }))
            return
        }
        let inner = denseStrides[dimension]
        let (first, last) = (range.lowerBound / inner, (range.upperBound - 1) / inner)
        func cutRow(_ row: Int, _ part: Range<Int>) {
            if part.count == inner {
                add(row..<row + 1)
            } else {
                cut(part, dimension: dimension + 1, prefix: prefix + [row], into: &boxes)
            }
        }
        if first == last {
            cutRow(first, range.lowerBound - first * inner..<range.upperBound - first * inner)
            return
        }
        var whole = first..<last + 1
        if range.lowerBound % inner != 0 {
            cutRow(first, range.lowerBound - first * inner..<inner)
            whole = first + 1..<whole.upperBound
        }
        let tail = range.upperBound - last * inner
        if tail != inner { whole = whole.lowerBound..<last }
        if !whole.isEmpty { add(whole) }
        if tail != inner { cutRow(last, 0..<tail) }
    }

    private func read(
        _ box: Box, first: Int, into buffer: UnsafeMutableRawBufferPointer, _ scratch: inout ScratchBuffer
    ) throws {
        let size = tensor.dtype.blockBytes
        var (start, span, wanted, widest, step) = (view.offset, 1, 1, -1, 0)
        for at in box.count.indices {
            start += box.start[at] * view.strides[at]
            let reach = (box.count[at] - 1) * view.strides[at]
            span += reach
            wanted *= box.count[at]
            if reach > step { (widest, step) = (at, reach) }
        }
        // Repeated elements (strides of 0) count once.
        let distinct = min(wanted, span)
        if widest >= 0, span * size > max(StridedGather.slack, 2 * distinct * size) || span * size > StridedGather.longest {
            var (left, right) = (box, box)
            left.count[widest] = box.count[widest] / 2
            right.count[widest] -= left.count[widest]
            right.start[widest] += left.count[widest]
            try read(left, first: first, into: buffer, &scratch)
            try read(right, first: first, into: buffer, &scratch)
            return
        }
        let place = zip(box.start, denseStrides).reduce(-first) { $0 + $1.0 * $1.1 }
        let offset = tensor.extent.offset + UInt64(start * size)
        let source = scratch.reserve(span * size)
        try tensor.extent.file.read(into: source, at: offset)
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[(place * size)...])
        switch size {
        case 1: copy(UInt8.self, box, UnsafeRawBufferPointer(source), target)
        case 2: copy(UInt16.self, box, UnsafeRawBufferPointer(source), target)
        case 4: copy(UInt32.self, box, UnsafeRawBufferPointer(source), target)
        case 8: copy(UInt64.self, box, UnsafeRawBufferPointer(source), target)
        default: copy(SIMD2<UInt64>.self, box, UnsafeRawBufferPointer(source), target)
        }
    }

    /// Sorts the elements of a box out of what was read; both begin at the box's first element.
    private func copy<T>(
        _: T.Type, _ box: Box, _ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer
    ) {
        // Dimensions of one element do not matter; the innermost of the others runs in a tight loop.
        let dimensions = box.count.indices.filter { box.count[$0] > 1 }
        guard let inner = dimensions.last else {
            target.storeBytes(of: source.loadUnaligned(as: T.self), as: T.self)
            return
        }
        let size = MemoryLayout<T>.size
        let (count, from, to) = (box.count[inner], view.strides[inner] * size, denseStrides[inner] * size)
        var index = [Int](repeating: 0, count: dimensions.count - 1)
        while true {
            var (read, write) = (0, 0)
            for (at, dimension) in dimensions.dropLast().enumerated() {
                read += index[at] * view.strides[dimension] * size
                write += index[at] * denseStrides[dimension] * size
            }
            if from == size, to == size {
                UnsafeMutableRawBufferPointer(rebasing: target[write..<write + count * size])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[read..<read + count * size]))
            } else {
                for _ in 0..<count {
                    target.storeBytes(
                        of: source.loadUnaligned(fromByteOffset: read, as: T.self), toByteOffset: write, as: T.self)
                    read += from
                    write += to
                }
            }
            var at = index.count - 1
            while at >= 0 {
                index[at] += 1
                if index[at] < box.count[dimensions[at]] { break }
                index[at] = 0
                at -= 1
            }
            if at < 0 { return }
        }
    }
}
