// Ways in which rows of a Llama's tensors are known to get into the wrong place.

internal import Layouts
internal import Tensors

/// Row r of B's tensor is a certain row of one of A's tensors.
struct RowMap: Sendable {
    let kind: DifferenceCause.Kind
    let sentence: String
    /// The tensors of A it takes rows from.
    let sources: [CanonicalRows]
    /// Source and row for a row of B; nil for a row that the map says nothing of.
    let source: @Sendable (Int) -> (source: Int, row: Int)?

    /// All rows one further down or up.
    static func shifts(_ left: CanonicalRows) -> [RowMap] {
        guard left.shape.rank > 1, left.rows > 2 else { return [] }
        let rows = left.rows
        return [(1, "down"), (-1, "up")].map { step, word in
            RowMap(
                kind: .rowsShifted, sentence: "B's rows are A's, shifted \(word) by one", sources: [left],
                source: { row in (row - step >= 0 && row - step < rows) ? (0, row - step) : nil })
        }
    }

    /// What is known of a tensor with a role.
    struct Known {
        let role: TensorRole
        let left: CanonicalRows
        let config: ModelConfig
        /// A's tensor of another role, where both checkpoints have one.
        let rows: (TensorRole) -> CanonicalRows?

        /// Rows of Q and K in the other order of RoPE: one of the two was permuted and should not have been, or the
        /// other way round. With the query heads' number for K too, which some converters took.
        func permutations() -> [RowMap] {
            guard role.role.isRotated else { return [] }
            var maps: [RowMap] = []
            var widths = [(config.headDim, "")]
            if config.kvHeads != config.heads, role.role == .attnK || role.role == .attnKBias, config.heads > 0,
                left.rows % config.heads == 0
            {
                widths.append((left.rows / config.heads, " as if there were \(config.heads) key heads"))
            }
            for (width, how) in widths where width >= 4 && width % 2 == 0 && left.rows % width == 0 {
                let half = width / 2
                maps.append(
                    RowMap(
                        kind: .ropePermutation,
                        sentence:
                            "B's rows are A's with each head permuted from halves to adjacent pairs for RoPE\(how)",
                        sources: [left],
                        source: { row in
                            let place = row % width
                            return (0, row - place + half * (place % 2) + place / 2)
                        }))
                maps.append(
                    RowMap(
                        kind: .ropePermutation,
                        sentence:
                            "B's rows are A's with each head permuted from adjacent pairs to halves for RoPE\(how)",
                        sources: [left],
                        source: { row in
                            let place = row % width
                            return (0, row - place + (place < half ? 2 * place : 2 * (place - half) + 1))
                        }))
            }
            return maps
        }

        /// Q, K and V out of one fused tensor that was taken for interleaved and is concatenated, or the reverse.
        func groupings() -> [RowMap] {
            guard let own = [Role.attnQ, .attnK, .attnV].firstIndex(of: role.role),
                let q = rows(TensorRole(.attnQ, layer: role.layer)), let k = rows(TensorRole(.attnK, layer: role.layer)),
                let v = rows(TensorRole(.attnV, layer: role.layer)), config.kvHeads > 1, config.headDim > 0
            else { return [] }
            let sources = [q, k, v]
            let counts = sources.map(\.rows)
            let groups = config.kvHeads
            guard counts.allSatisfy({ $0 % groups == 0 }) else { return [] }
            let shares = counts.map { $0 / groups }
            let group = shares.reduce(0, +)
            let starts = [0, counts[0], counts[0] + counts[1]]
            let inner = [0, shares[0], shares[0] + shares[1]]
            return [
                RowMap(
                    kind: .qkvGrouping, sentence: "B took A's interleaved Q, K and V for concatenated ones",
                    sources: sources,
                    source: { row in
                        // The row's place in a concatenated tensor, looked up in an interleaved one.
                        let place = starts[own] + row
                        let within = place % group
                        let part = within >= inner[2] ? 2 : within >= inner[1] ? 1 : 0
                        return (part, place / group * shares[part] + within - inner[part])
                    }),
                RowMap(
                    kind: .qkvGrouping, sentence: "B took A's concatenated Q, K and V for interleaved ones",
                    sources: sources,
                    source: { row in
                        let place = row / shares[own] * group + inner[own] + row % shares[own]
                        let part = place >= starts[2] ? 2 : place >= starts[1] ? 1 : 0
                        return (part, place - starts[part])
                    }),
            ]
        }

        /// Another tensor of the same shape in its place.
        func swaps() -> [RowMap] {
            let partners: [[Role]] = [
                [.ffnGate, .ffnUp], [.attnNorm, .ffnNorm], [.attnK, .attnV], [.attnQ, .attnOutput],
                [.tokenEmbedding, .output],
            ]
            return partners.flatMap { pair -> [RowMap] in
                guard pair.contains(role.role), let other = pair.first(where: { $0 != role.role }),
                    let source = rows(TensorRole(other, layer: role.layer)), source.shape == left.shape
                else { return [] }
                return [
                    RowMap(
                        kind: .swapped, sentence: "B has A's \(other.rawValue) in the place of \(role.role.rawValue)",
                        sources: [source], source: { (0, $0) })
                ]
            }
        }

        /// The tensor of a neighbouring layer.
        func layers() -> [RowMap] {
            guard let layer = role.layer else { return [] }
            return [layer - 1, layer + 1].compactMap { other in
                guard other >= 0, let source = rows(TensorRole(role.role, layer: other)), source.shape == left.shape
                else { return nil }
                return RowMap(
                    kind: .layerShifted, sentence: "B has A's layer \(other) in the place of layer \(layer)",
                    sources: [source], source: { (0, $0) })
            }
        }
    }
}
