// Which rows of a stored tensor are which rows of the canonical model.
//
// Every difference between the layouts of a Llama is a permutation of rows: fusing Q, K and V stacks rows, grouping
// interleaves them by heads, and the two conventions of RoPE order the rows within a head differently. Columns never
// move. So a list of row runs says everything, in both directions.

/// Rows `storedRow`, `storedRow + storedStep`, ... of a stored tensor (`count` of them) are the canonical rows
/// `canonicalRow`, `canonicalRow + 1`, ... of `role`. A tensor of one dimension counts as rows of one column.
public struct RowRun: Sendable, Hashable {
    public let storedRow: Int
    public let storedStep: Int
    public let role: TensorRole
    public let canonicalRow: Int
    public let count: Int

    public init(storedRow: Int, storedStep: Int = 1, role: TensorRole, canonicalRow: Int, count: Int) {
        self.storedRow = storedRow
        self.storedStep = storedStep
        self.role = role
        self.canonicalRow = canonicalRow
        self.count = count
    }
}

/// How the rows of several roles lie in one stored tensor.
public enum Grouping: String, Sendable, CaseIterable {
    /// All rows of the first, then all rows of the second, ...
    case concatenated
    /// For each query group its query heads, then its key head, then its value head.
    case interleaved
}

/// The numbers that decide how Q, K and V rows lie.
struct HeadGeometry: Sendable, Hashable {
    let heads: Int
    let kvHeads: Int
    let headDim: Int
}

/// The rows of a stored tensor, described; `runs` spells them out.
struct RowArrangement: Sendable, Hashable {
    /// All rows of one role.
    struct Part: Sendable, Hashable {
        let role: TensorRole
        let rows: Int
    }

    /// In stored order.
    let parts: [Part]
    let grouping: Grouping
    /// Rows of a head in adjacent-pair order: 0, half, 1, half + 1, ... of the rotate-half order.
    let adjacentPairs: Bool
    let geometry: HeadGeometry

    /// Runs in stored order; together they name every stored row once.
    var runs: [RowRun] {
        var runs: [RowRun] = []
        var stored = 0
        switch grouping {
        case .concatenated:
            for part in parts {
                append(part.role, from: 0, count: part.rows, at: &stored, to: &runs)
            }
        case .interleaved:
            for group in 0..<geometry.kvHeads {
                for part in parts {
                    let rows = part.rows / geometry.kvHeads
                    append(part.role, from: group * rows, count: rows, at: &stored, to: &runs)
                }
            }
        }
        return runs
    }

    /// Adds whole heads `from ..< from + count` of a role.
    private func append(_ role: TensorRole, from: Int, count: Int, at stored: inout Int, to runs: inout [RowRun]) {
        guard adjacentPairs, role.role.isRotated, geometry.headDim > 1 else {
            runs.append(RowRun(storedRow: stored, role: role, canonicalRow: from, count: count))
            stored += count
            return
        }
        let half = geometry.headDim / 2
        for head in stride(from: 0, to: count, by: geometry.headDim) {
            // Stored row 2 i + j of a head is its canonical row half j + i.
            for j in 0..<2 {
                runs.append(
                    RowRun(
                        storedRow: stored + head + j, storedStep: 2, role: role, canonicalRow: from + head + half * j,
                        count: half))
            }
        }
        stored += count
    }
}
