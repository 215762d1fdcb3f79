// Meta's checkpoints in model-parallel parts, consolidated.00.pth, consolidated.01.pth and so on: each matrix is cut
// over the parts, by rows or by columns, and is read here as if it were whole.
//
// Source: the layers of github.com/meta-llama/llama and llama3, llama/model.py: ColumnParallelLinear (wq, wk, wv, w1, w3,
// output) cuts the output's dimension, which is the stored matrix's rows; RowParallelLinear (wo, w2) its columns. The
// embedding is cut by columns in Llama 1 and 2 (ParallelEmbedding) and by rows in Llama 3 (VocabParallelEmbedding).
// What has one dimension is the same in every part.

internal import Bytes
internal import Tensors

/// One tensor in parts.
struct JoinedTensor: Sendable {
    enum Join: Sendable {
        /// Each part holds rows, the first part the first.
        case rows
        /// Each part holds columns of every row.
        case columns
        /// Every part holds all of it.
        case copies
    }

    let parts: [TensorInfo]
    let join: Join

    /// The tensor as a whole. Its extent is the first part's, and it counts as a view: it lies dense in no file.
    func whole() throws -> TensorInfo {
        let first = parts[0]
        if case .copies = join { return first }
        var dimensions = first.shape.dimensions
        let along = join == .rows ? 0 : 1
        guard let length = dimensions[along].multiplied(by: parts.count) else { throw tooLarge(first) }
        dimensions[along] = length
        guard let shape = Shape(dimensions) else { throw tooLarge(first) }
        return try TensorInfo(
            name: first.name, dtype: first.dtype, shape: shape, extent: first.extent,
            view: first.view ?? StridedView(offset: 0, strides: [first.shape.columns, 1]), endianness: first.endianness)
    }

    private func tooLarge(_ tensor: TensorInfo) -> CheckpointError {
        .malformed("the parts are too large together", file: tensor.extent.file.path, place: tensor.name)
    }

    /// Reads elements of the whole, row-major.
    /// - Parameter read: reads elements of one part.
    /// - Throws: `malformed` for elements that the whole does not have, and for a buffer of another size.
    func read(
        elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer,
        read: (TensorInfo, Range<Int>, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let first = parts[0]
        let size = first.dtype.blockBytes
        let count = join == .copies ? first.shape.count : first.shape.count * parts.count
        guard range.lowerBound >= 0, range.upperBound <= count, buffer.count == range.count * size else {
            throw CheckpointError.malformed(
                "a read of elements \(range) does not fit the tensor", file: first.extent.file.path, place: first.name,
                expected: "at most \(count) elements")
        }
        guard !range.isEmpty else { return }
        func slice(_ start: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: buffer[start * size..<(start + count) * size])
        }
        var scratch = ScratchBuffer()
        switch join {
        case .copies:
            try read(first, range, buffer)
            for other in parts.dropFirst() {
                let bytes = scratch.reserve(buffer.count)
                try read(other, range, bytes)
                guard bytes.elementsEqual(buffer) else {
                    throw CheckpointError.malformed(
                        "the parts differ where they should be equal", file: other.extent.file.path, place: other.name,
                        expected: "the values of \(first.extent.file.path)", remedy: "the parts belong to different models")
                }
            }
        case .rows:
            for (number, part) in parts.enumerated() {
                let start = number * part.shape.count
                let own = range.clamped(to: start..<start + part.shape.count)
                guard !own.isEmpty else { continue }
                try read(
                    part, own.lowerBound - start..<own.upperBound - start,
                    slice(own.lowerBound - range.lowerBound, own.count))
            }
        case .columns:
            let narrow = first.shape.columns
            let wide = narrow * parts.count
            guard wide > 0 else { return }
            let rows = range.lowerBound / wide..<(range.upperBound - 1) / wide + 1
            for (number, part) in parts.enumerated() {
                let bytes = scratch.reserve(rows.count * narrow * size)
                try read(part, rows.lowerBound * narrow..<rows.upperBound * narrow, bytes)
                for row in rows {
                    let start = row * wide + number * narrow
                    let own = range.clamped(to: start..<start + narrow)
                    guard !own.isEmpty else { continue }
                    let from = ((row - rows.lowerBound) * narrow + own.lowerBound - start) * size
                    slice(own.lowerBound - range.lowerBound, own.count).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: bytes[from..<from + own.count * size]))
                }
            }
        }
    }
}

/// Which files belong together, and how their tensors join.
enum ModelParallel {
    /// Parts of one model; Llama 3.1's largest has 16.
    private static let mostParts = 64

    private static func name(_ number: Int) -> String { "consolidated.\(number < 10 ? "0" : "")\(number).pth" }

    /// The paths of all parts that a file named consolidated.NN.pth is one of; nil when it is the only one, or no part.
    /// - Throws: `malformed` when one is missing between others.
    static func parts(besides path: String) throws -> [String]? {
        let folder = Paths.parent(path)
        guard (0..<mostParts).contains(where: { name($0) == Paths.name(path) }) else { return nil }
        let there = (0..<mostParts).filter { Paths.kind(Paths.join(folder, name($0))) == .file }
        guard let last = there.last, last > 0 else { return nil }
        if let missing = (0..<last).first(where: { !there.contains($0) }) {
            throw CheckpointError.malformed(
                "a part of the checkpoint is missing", file: folder, expected: name(missing),
                found: "\(there.map(name).joined(separator: ", "))")
        }
        return there.map { Paths.join(folder, name($0)) }
    }

    /// Joins the tensors of all parts.
    /// - Throws: `malformed` when the parts do not fit each other; `unsupported` for a matrix that is none of Llama's.
    static func join(_ parts: [PyTorchPart]) throws -> [JoinedTensor] {
        guard let first = parts.first else { return [] }
        let width = first.tensors.first { $0.name == "norm.weight" || $0.name.hasSuffix(".norm.weight") }?.shape.count
        let byName = try parts.map { part in
            guard part.tensors.count == first.tensors.count else {
                throw CheckpointError.malformed(
                    "the parts hold different tensors", file: part.file.path, expected: "\(first.tensors.count) tensors",
                    found: "\(part.tensors.count)")
            }
            return Dictionary(part.tensors.map { (ExactText($0.name), $0) }, uniquingKeysWith: { first, _ in first })
        }
        return try first.tensors.map { tensor in
            let pieces = try zip(parts, byName).map { part, tensors in
                guard let piece = tensors[ExactText(tensor.name)], piece.shape == tensor.shape, piece.dtype == tensor.dtype
                else {
                    throw CheckpointError.malformed(
                        "the parts differ in this tensor", file: part.file.path, place: tensor.name,
                        expected: "\(tensor.dtype) \(tensor.shape)",
                        found: tensors[ExactText(tensor.name)].map { "\($0.dtype) \($0.shape)" } ?? "no such tensor")
                }
                return piece
            }
            return JoinedTensor(parts: pieces, join: try joining(tensor, parts: parts.count, width: width))
        }
    }

    private static func joining(_ tensor: TensorInfo, parts: Int, width: Int?) throws -> JoinedTensor.Join {
        guard tensor.shape.rank > 1 else { return .copies }
        func ends(_ names: String...) -> Bool {
            names.contains { tensor.name == $0 + ".weight" || tensor.name.hasSuffix("." + $0 + ".weight") }
        }
        if tensor.shape.rank == 2 {
            if ends("wq", "wk", "wv", "w1", "w3", "output") { return .rows }
            if ends("wo", "w2") { return .columns }
            if ends("tok_embeddings"), let width {
                if tensor.shape.columns == width { return .rows }
                if tensor.shape.columns.multiplied(by: parts) == width { return .columns }
            }
        }
        throw CheckpointError.unsupported(
            "how this tensor is cut over the parts is not known", file: tensor.extent.file.path, place: tensor.name,
            expected: "the matrices of Meta's Llama", found: "\(tensor.shape) in each of \(parts) parts",
            remedy: "use this model in Hugging Face's form")
    }
}
