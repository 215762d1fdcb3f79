// Meta's checkpoints in parts: cut by hand, read as one.

import Bytes
import Containers
import Foundation
import Tensors
import Testing

/// A matrix of I16 whose elements are numbered, or some of its rows and columns.
private struct Matrix {
    let name: String
    let rows: Range<Int>
    let columns: Range<Int>
    let width: Int

    init(_ name: String, _ rows: Range<Int>, _ columns: Range<Int>, width: Int? = nil) {
        self.name = name
        self.rows = rows
        self.columns = columns
        self.width = width ?? columns.upperBound
    }

    var bytes: [UInt8] {
        rows.flatMap { row in
            columns.flatMap { column in withUnsafeBytes(of: Int16(truncatingIfNeeded: row * width + column), Array.init) }
        }
    }

    func plan() throws -> TensorPlan {
        let shape = rows.count == 1 ? [columns.count] : [rows.count, columns.count]
        return try TensorPlan(name: name, dtype: .i16, shape: #require(Shape(shape)))
    }
}

private func write(_ matrices: [Matrix], as name: String, in scratch: Scratch) throws {
    let writer = try PyTorchWriter(in: scratch.path, name: name, tensors: matrices.map { try $0.plan() })
    for (index, matrix) in matrices.enumerated() {
        try matrix.bytes.withUnsafeBytes { try writer.write(tensor: index, at: 0, $0) }
    }
    try writer.finish()
}

/// Part `number` of two: 8 wide, 6 rows of Q, 10 of the embedding.
private func part(_ number: Int, embeddingByRows: Bool = false, norm: Int = 8) -> [Matrix] {
    let half = { (count: Int) in number * count / 2..<(number + 1) * count / 2 }
    return [
        embeddingByRows
            ? Matrix("tok_embeddings.weight", half(10), 0..<8)
            : Matrix("tok_embeddings.weight", 0..<10, half(8), width: 8),
        Matrix("norm.weight", 0..<1, 0..<norm),
        Matrix("layers.0.attention.wq.weight", half(6), 0..<8),
        Matrix("layers.0.attention.wo.weight", 0..<8, half(6), width: 6),
        Matrix("layers.0.feed_forward.w2.weight", 0..<8, half(12), width: 12),
        Matrix("output.weight", half(10), 0..<8),
    ]
}

@Suite struct ModelParallelTests {
    @Test(arguments: [false, true]) func partsAreReadAsOne(embeddingByRows: Bool) throws {
        let scratch = Scratch()
        for number in 0..<2 {
            try write(part(number, embeddingByRows: embeddingByRows), as: "consolidated.0\(number).pth", in: scratch)
        }
        let whole = [
            Matrix("tok_embeddings.weight", 0..<10, 0..<8), Matrix("norm.weight", 0..<1, 0..<8),
            Matrix("layers.0.attention.wq.weight", 0..<6, 0..<8), Matrix("layers.0.attention.wo.weight", 0..<8, 0..<6),
            Matrix("layers.0.feed_forward.w2.weight", 0..<8, 0..<12), Matrix("output.weight", 0..<10, 0..<8),
        ]
        for path in ["", "consolidated.00.pth", "consolidated.01.pth"] {
            let reader = try Containers.open(scratch.path(path))
            #expect(reader.files.count == 2)
            #expect(reader.details.hasSuffix("2 model-parallel parts"))
            #expect(reader.tensors.map(\.name) == whole.map(\.name))
            for (tensor, expected) in zip(reader.tensors, whole) {
                #expect(try tensor.shape == expected.plan().shape, "\(tensor.name)")
                #expect(try reader.readAll(tensor) == expected.bytes, "\(tensor.name)")
                // Every range, aligned to nothing.
                for start in 0..<tensor.shape.count {
                    for end in start + 1...tensor.shape.count {
                        var bytes = [UInt8](repeating: 0, count: (end - start) * 2)
                        try bytes.withUnsafeMutableBytes { try reader.read(tensor, elements: start..<end, into: $0) }
                        #expect(bytes == Array(expected.bytes[start * 2..<end * 2]), "\(tensor.name) \(start)..<\(end)")
                    }
                }
            }
        }
    }

    /// What is not read is said: a buffer keeps what was in it.
    @Test func readsThatDoNotFitAreRefused() throws {
        let scratch = Scratch()
        for number in 0..<2 { try write(part(number), as: "consolidated.0\(number).pth", in: scratch) }
        let reader = try Containers.open(scratch.path)
        for tensor in reader.tensors {
            let count = tensor.shape.count
            for (range, bytes) in [(0..<2, 3), (0..<2, 6), (count - 1..<count + 1, 4), (-1..<1, 4), (0..<0, 2)] {
                var buffer = [UInt8](repeating: 0, count: bytes)
                #expect(throws: CheckpointError.self, "\(tensor.name) \(range)") {
                    try buffer.withUnsafeMutableBytes { try reader.read(tensor, elements: range, into: $0) }
                }
            }
            var none: [UInt8] = []
            try none.withUnsafeMutableBytes { try reader.read(tensor, elements: 0..<0, into: $0) }
        }
    }

    @Test func partsThatDoNotFit() throws {
        func refused(_ parts: [Int: [Matrix]], saying message: String, whileReading: Bool = false) throws {
            let scratch = Scratch()
            for (number, matrices) in parts { try write(matrices, as: "consolidated.0\(number).pth", in: scratch) }
            let error = #expect(throws: CheckpointError.self) {
                let reader = try Containers.open(scratch.path)
                if whileReading { for tensor in reader.tensors { _ = try reader.readAll(tensor) } }
            }
            #expect(error?.exitStatus == 2)
            #expect(error?.description.contains(message) == true, "\(String(describing: error))")
        }
        try refused([0: part(0), 2: part(1)], saying: "consolidated.01.pth")
        try refused([0: part(0), 1: part(1, norm: 4)], saying: "differ in this tensor")
        try refused([0: part(0), 1: Array(part(1).dropLast())], saying: "different tensors")
        try refused([0: part(0, norm: 16), 1: part(1, norm: 16)], saying: "not known")
        let odd = Matrix("layers.0.attention.wx.weight", 0..<2, 0..<2)
        try refused([0: part(0) + [odd], 1: part(1) + [odd]], saying: "not known")
        var other = part(1)
        other[1] = Matrix("norm.weight", 1..<2, 0..<8, width: 8)
        try refused([0: part(0), 1: other], saying: "the parts differ where", whileReading: true)
    }
}
