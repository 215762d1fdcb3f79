// Importance matrices: for each weight matrix, how much each of its columns is used.
//
// A column's weight is the mean square of what is multiplied with it, measured over some text. The GGUF form
// (llama-imatrix today) holds sums and counts; the older .dat form sums that were divided already. Sources:
// tools/quantize/quantize.cpp (load_imatrix) and common/imatrix-loader.cpp of llama.cpp.

public import Bytes
internal import Tensors

/// Weights of columns by tensor name.
public struct ImportanceMatrix: Sendable, Equatable {
    /// One weight a column; for experts one after the other, as many as there are matrices.
    public private(set) var entries: [String: [Float]]
    /// The texts it was measured with.
    public var datasets: [String]
    /// Chunks of text it was measured over; -1 or 0 when unknown.
    public var chunkCount: Int

    /// What a file may hold, which is compared with what it claims before that is read: a sparse file claims anything.
    package struct Allowance {
        /// Values of one tensor: sixteen matrices as wide as a model may be, or 256 experts of 65536 columns.
        package static let entry = 16 * ModelConfig.largestDimension
        /// Values of all tensors, 256 MiB: thrice those of a model with 405 billion weights.
        package static let total = 1 << 26
        private var left = Allowance.total

        package init() {}

        /// Takes the values of one tensor into account.
        /// - Throws: `malformed` when they are more than a tensor has, or more than is left.
        package mutating func take(_ count: Int, for name: String) throws {
            guard count <= Self.entry else {
                throw CheckpointError.malformed(
                    "the importance matrix has more values than a tensor has columns", place: name,
                    expected: "at most \(Self.entry)", found: "\(count)",
                    remedy: "the file is damaged, or no importance matrix")
            }
            guard count <= left else {
                throw CheckpointError.malformed(
                    "the importance matrix has more values than a model has columns", place: name,
                    expected: "at most \(Self.total)", found: "\(Self.total - left + count)",
                    remedy: "the file is damaged, or no importance matrix of such a model")
            }
            left -= count
        }
    }

    public init(entries: [String: [Float]] = [:], datasets: [String] = [], chunkCount: Int = -1) {
        self.entries = entries
        self.datasets = datasets
        self.chunkCount = chunkCount
    }

    /// Takes one tensor's sums of squares and their counts, as GGUF files hold them: `counts` has one number a matrix
    /// (one for a tensor without experts), and what was never used weighs one.
    /// - Throws: `malformed` when the sums are no whole number of columns a count, or what no squares and counts are.
    public mutating func add(name: String, sums: [Float], counts: [Float]) throws {
        guard !counts.isEmpty, !sums.isEmpty, sums.count % counts.count == 0 else {
            throw CheckpointError.malformed(
                "sums and counts do not fit each other", place: name, expected: "one count a matrix",
                found: "\(sums.count) sums, \(counts.count) counts")
        }
        if let count = counts.first(where: { !($0 >= 0 && $0.isFinite) }) {
            throw CheckpointError.malformed(
                "the importance matrix holds a count that is none", place: name, expected: "a number of at least 0",
                found: "\(count)", remedy: "make the matrix again")
        }
        let columns = sums.count / counts.count
        var weights = sums
        for (matrix, raw) in counts.enumerated() {
            // Counts are whole numbers in a float.
            let count = raw.rounded(.toNearestOrAwayFromZero)
            for column in matrix * columns..<(matrix + 1) * columns {
                weights[column] = count > 0 ? sums[column] / count : 1
            }
        }
        try set(name: name, weights: weights)
    }

    /// Above any mean of squares that a model gives, and small enough that sums of it times squared weights are numbers.
    private static let heaviest: Float = 1e24

    /// Takes one tensor's weights as they are.
    public mutating func set(name: String, weights: [Float]) throws {
        if let weight = weights.first(where: { !($0 >= 0 && $0 <= Self.heaviest) }) {
            throw CheckpointError.malformed(
                "the importance matrix holds what is no mean of squares", place: name, expected: "0 ... \(Self.heaviest)",
                found: "\(weight)", remedy: "make the matrix again; the model may give NaN on the text")
        }
        entries[name] = weights
    }

    /// Leaves the entries whose names contain one of the patterns, or with `excluding` those that contain none.
    public mutating func keep(_ patterns: [String], excluding: Bool = false) {
        guard !patterns.isEmpty else { return }
        entries = entries.filter { entry in
            patterns.contains { entry.key.contains(bytes: $0) } != excluding
        }
    }

    /// The weights of a tensor, checked against its shape (outermost dimension first).
    /// - Returns: nil when the matrix does not know the tensor.
    /// - Throws: `malformed` when it knows another number of columns. Embeddings are spared, as llama.cpp spares them.
    public func weights(for name: String, shape: [Int]) throws -> [Float]? {
        guard let weights = entries[name] else { return nil }
        let columns = shape.last ?? 1
        let matrices = shape.count > 2 ? shape[shape.count - 3] : 1
        guard columns.multiplied(by: matrices) == weights.count else {
            if TensorCategory(tensorName: name) == .tokenEmbedding { return nil }
            throw CheckpointError.malformed(
                "the importance matrix does not fit the tensor", place: name,
                expected: "\(columns) columns\(matrices > 1 ? " in \(matrices) matrices" : "")",
                found: "\(weights.count)", remedy: "take a matrix that was made from this model")
        }
        return weights
    }
}

extension ImportanceMatrix {
    /// Reads the older form, little-endian: count of entries (i32); of each the name's length and bytes, calls (i32),
    /// count of values (i32) and the values (f32), which are divided by the calls; then perhaps chunks (i32) and
    /// length and bytes of the text's name.
    public init(dat file: File) throws {
        self.init()
        var cursor = FileCursor(file)
        var allowance = Allowance()
        let count = try cursor.integer(Int32.self, for: "the number of entries")
        guard count >= 1 else {
            throw CheckpointError.malformed(
                "no importance matrix, or an empty one", file: file.path, offset: 0, found: "\(count) entries")
        }
        for _ in 0..<count {
            let start = cursor.offset
            let name = try Self.name(&cursor, for: "an entry's name")
            let calls = try cursor.integer(Int32.self, for: "an entry's number of calls")
            let length = try cursor.integer(Int32.self, for: "an entry's number of values")
            guard length >= 1 else {
                throw CheckpointError.malformed(
                    "an entry without values", file: file.path, place: name, offset: start, found: "\(length) values")
            }
            try cursor.require(UInt64(length) * 4, for: "an entry's values")
            do {
                try allowance.take(Int(length), for: name)
                let bytes = try cursor.bytes(UInt64(length) * 4, for: "an entry's values")
                var weights = bytes.withUnsafeBytes { raw in
                    (0..<Int(length)).map { Float(bitPattern: raw.littleEndian(UInt32.self, at: $0 * 4) ?? 0) }
                }
                if calls > 0 {
                    let divisor = Float(calls)
                    for i in weights.indices { weights[i] /= divisor }
                }
                try set(name: name, weights: weights)
            } catch let error as CheckpointError {
                throw error.at(file: file.path)
            }
        }
        guard cursor.remaining >= 4 else { return }
        chunkCount = Int(try cursor.integer(Int32.self, for: "the number of chunks"))
        guard cursor.remaining >= 4 else { return }
        let dataset = try Self.name(&cursor, for: "the text's name")
        if !dataset.isEmpty { datasets = [dataset] }
    }

    /// A length and as many bytes, up to the first zero.
    private static func name(_ cursor: inout FileCursor, for what: String) throws -> String {
        let offset = cursor.offset
        let length = try cursor.integer(Int32.self, for: what)
        guard length >= 0, length <= 4096 else {
            throw CheckpointError.malformed(
                "the length of \(what) is beyond reason", file: cursor.file.path, offset: offset,
                expected: "0 to 4096", found: "\(length)", remedy: "the file is damaged or no importance matrix")
        }
        let bytes = try cursor.bytes(UInt64(length), for: what).prefix { $0 != 0 }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError.malformed("\(what) is not valid UTF-8", file: cursor.file.path, offset: offset)
        }
        return text
    }
}
