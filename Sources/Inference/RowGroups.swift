// Weights laid out for one token at a time: rows side by side, in memory of their own.

internal import CKernels
internal import Platform

/// A matrix's rows in groups, as products with one token are fastest on some machines (Sources/CKernels/products/
/// matvec_groups.inc). What it takes in memory is about what the rows take in the file.
final class RowGroups {
    let bytes: UnsafeMutablePointer<UInt8>
    private let memory: UnsafeMutableRawPointer

    /// Bytes of a matrix's groups; 0 where this machine multiplies it no faster so.
    static func byteCount(of matrix: WeightMatrix) -> Int { Int(pannier_groups_bytes(matrix.kernel)) }

    /// - Returns: nil where the machine gains nothing or has no memory.
    init?(_ matrix: WeightMatrix, pool: WorkerPool) {
        let count = Self.byteCount(of: matrix)
        guard count > 0, let memory = malloc(count + 64) else { return nil }
        self.memory = memory
        bytes = memory.alignedUp(toMultipleOf: 64).bindMemory(to: UInt8.self, capacity: count)
        let kernel = matrix.kernel, bytes = bytes
        pool.run(over: (matrix.rows + Int(PANNIER_ROW_GROUP) - 1) / Int(PANNIER_ROW_GROUP), by: 16) { groups, _ in
            pannier_group_rows(kernel, Int64(groups.lowerBound), Int64(groups.upperBound), bytes)
        }
    }

    deinit { free(memory) }
}

extension Transformer {
    /// Tokens that must be wanted for the layout to be made up for (Docs/Performance.md). A fixed number: sums are rounded in
    /// another order with groups, and the same seed is to give the same text however fast the machine is at the moment.
    static let tokensWorthGrouping = 64

    /// Lays the weights out for making many tokens, where this machine multiplies them faster so and has the memory. The
    /// mapped file's pages are given back, so a process grows by little; a longer input maps them again.
    /// - Returns: whether anything was laid out.
    package func groupRows() throws -> Bool {
        let projections: [WritableKeyPath<Layer, WeightMatrix>] = [\.q, \.k, \.v, \.o, \.gate, \.up, \.down]
        let matrices = layers.flatMap { layer in projections.map { layer[keyPath: $0] } } + [output]
        let needed = matrices.filter { $0.groups == nil }.reduce(0) { $0 + RowGroups.byteCount(of: $1) }
        // The system takes mapped pages back when others need the memory; these it cannot.
        guard needed > 0, let limit = memoryLimit(), needed <= limit / 2 else { return false }
        func group(_ matrix: inout WeightMatrix) throws {
            guard matrix.groups == nil, let grouped = try matrix.grouped(by: pool) else { return }
            matrix = grouped
            matrix.releasePages()
        }
        for layer in layers.indices {
            for projection in projections { try group(&layers[layer][keyPath: projection]) }
        }
        try group(&output)
        return true
    }
}
