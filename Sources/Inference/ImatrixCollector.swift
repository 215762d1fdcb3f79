// Importance matrices: for each weight matrix, the sums of squares of what its columns are multiplied with, over a text.
// The GGUF form is llama-imatrix's (llama.cpp, tools/imatrix): NAME.in_sum2 [columns] and NAME.counts [1], both F32.

internal import Bytes
internal import Containers
internal import Layouts
internal import OrderedCollections
internal import Tensors

/// Sums the squares of the inputs of every projection.
public final class ImatrixCollector {
    private var sums: [TensorRole: [Double]] = [:]
    private var counts: [TensorRole: Int] = [:]
    private let transformer: Transformer

    public init(_ transformer: Transformer) { self.transformer = transformer }

    /// Runs the chunks of a text through the model.
    /// - Parameter progress: is told after every batch how many tokens are done.
    /// - Throws: `usage` for chunks that do not fit into the memory, `malformed` where the model gives NaN.
    public func collect(_ chunks: TextChunks, progress: @escaping (_ tokens: Int) -> Void = { _ in }) throws {
        try KVCache.check(transformer.config, tokens: chunks.context)
        var observer = ForwardObserver()
        var computed = 0
        observer.batch = { tokens in
            computed += tokens
            progress(computed)
        }
        observer.input = { roles, tokens, columns, values in
            // Projections of the same input share its sums until the end.
            guard let first = roles.first, first.role != .output else { return }
            var sum = self.sums[first] ?? [Double](repeating: 0, count: columns)
            for token in 0..<tokens {
                let row = values + token * columns
                for column in 0..<columns { sum[column] += Double(row[column] * row[column]) }
            }
            for role in roles {
                self.sums[role] = sum
                self.counts[role, default: 0] += tokens
            }
        }
        for chunk in 0..<chunks.count {
            try transformer.forward(
                chunks[chunk], cache: KVCache(transformer.config), wanted: 0..<0, observer: observer
            ) { _ in }
            guard sums.values.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
                throw CheckpointError.noNumbers(in: "chunk \(chunk + 1)")
            }
        }
    }

    /// Writes the sums as llama-imatrix does, sorted by tensor name.
    /// - Parameters:
    ///   - folder: where the file is created under `name`.
    ///   - dataset: what the text is called in the file.
    public func write(in folder: String, name: String, dataset: String, chunks: TextChunks) throws {
        let entries = try sums.keys.compactMap { role in
            try Self.tensorName(role).map { (name: $0, role: role) }
        }.sorted { $0.name < $1.name }
        var plans: [TensorPlan] = []
        for entry in entries {
            let columns = sums[entry.role]?.count ?? 0
            guard let row = Shape([columns]), let one = Shape([1]) else { continue }
            plans.append(try TensorPlan(name: entry.name + ".in_sum2", dtype: .f32, shape: row))
            plans.append(try TensorPlan(name: entry.name + ".counts", dtype: .f32, shape: one))
        }
        let metadata: Metadata = [
            "general.type": .string("imatrix"),
            "imatrix.datasets": .array(.strings([dataset])),
            "imatrix.chunk_count": .u32(UInt32(clamping: chunks.count)),
            "imatrix.chunk_size": .u32(UInt32(clamping: chunks.context)),
        ]
        let writer = try GGUFWriter(in: folder, name: name, tensors: plans, metadata: metadata)
        for (index, entry) in entries.enumerated() {
            let values = (sums[entry.role] ?? []).map { Float($0) }
            try values.withUnsafeBytes { try writer.write(tensor: 2 * index, at: 0, $0) }
            try [Float(counts[entry.role] ?? 0)].withUnsafeBytes { try writer.write(tensor: 2 * index + 1, at: 0, $0) }
        }
        try writer.finish()
    }

    /// GGUF's name of a role's tensor, from the layout's table.
    private static func tensorName(_ role: TensorRole) throws -> String? {
        let layout = try Layouts.named("gguf-llama")
        guard let entry = layout.entries.first(where: { $0.roles == [role.role] }) else { return nil }
        return role.layer.map { entry.name.replacingLayer(with: $0) } ?? entry.name
    }
}
