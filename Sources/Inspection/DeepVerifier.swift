// Verification that reads every value: NaN, infinities, scales of blocks that are either, rows and tensors of zeros,
// matrices that copy others, and whether Q and K agree on the order of their rows.

internal import Bytes
internal import Containers
internal import Conversion
internal import Layouts
internal import Tensors

extension Verifier {
    /// Everything that values show.
    /// - Parameter progress: told the bytes that were read since it was last told, from any thread.
    public func verifyValues(
        threads: Int, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> [Finding] {
        let tensors = source.reader.tensors
        let statistics = try DeepScan(source.reader, threads: threads)
            .statistics(of: tensors, scales: true, progress: progress)
        var findings: [Finding] = []
        for (tensor, one) in zip(tensors, statistics) {
            if let one { findings += Self.findings(of: one, tensor) }
        }
        if let torch = source.reader as? PyTorchReader {
            findings += try torch.verifyChecksums(threads: threads).map { fault in
                Finding(
                    .checksum, .error, tensor: fault.place, fault.message, expected: fault.expected, found: fault.found,
                    hint: fault.remedy)
            }
        }
        findings += try duplicates(statistics, threads: threads)
        findings += try RowOrder(source).findings()
        return findings
    }

    /// What copies of a matrix have in common with it, as far as it is known before their bytes are compared.
    private struct Likeness: Hashable {
        let dtype: DType
        let shape: Shape
        let mean: Double
        let std: Double
        let zeros: Int
    }

    /// Matrices that have the bytes of another one. Those that lie in the same bytes, that are all zeros, and an output that
    /// the config says to be the embedding are spoken of elsewhere.
    private func duplicates(_ statistics: [TensorStatistics?], threads: Int) throws -> [Finding] {
        let reader = source.reader
        let ofModel = Set(source.match.matched.map(\.tensor))
        let isStored = source.match.stores(TensorRole(.output))
        let output = isStored ? source.match.rows(of: TensorRole(.output))?.whole : nil
        let embedding = source.match.rows(of: TensorRole(.tokenEmbedding))?.whole
        var alike: [Likeness: [Int]] = [:]
        for (index, (tensor, one)) in zip(reader.tensors, statistics).enumerated() {
            guard let one, ofModel.contains(index), tensor.shape.rank > 1, one.zeros < one.count,
                index != output || !source.config.tiedOutput
            else { continue }
            let key = Likeness(dtype: tensor.dtype, shape: tensor.shape, mean: one.mean, std: one.std, zeros: one.zeros)
            alike[key, default: []].append(index)
        }
        let candidates = alike.values.filter { $0.count > 1 }.flatMap { $0 }.sorted()
        let digests = Locked<[Digest?]>(Array(repeating: nil, count: candidates.count))
        try Parallel.perform(candidates.count, threads: threads, worker: ScratchBuffer.init) { place, buffer in
            var sha = SHA256()
            try TensorHashes.add(reader.tensors[candidates[place]], of: reader, to: &sha, &buffer) { _ in }
            let digest = sha.digest()
            digests.withValue { $0[place] = digest }
        }
        var first: [Digest: Int] = [:]
        var findings: [Finding] = []
        for (index, digest) in zip(candidates, digests.withValue { $0 }) {
            guard let digest else { continue }
            guard let other = first[digest] else {
                first[digest] = index
                continue
            }
            let (copy, original) = (reader.tensors[index], reader.tensors[other])
            guard copy.dtype == original.dtype, copy.shape == original.shape,
                copy.extent.file.identity != original.extent.file.identity || copy.extent.offset != original.extent.offset
            else { continue }
            let isTie = Set([index, other]) == Set([output, embedding].compactMap { $0 })
            findings.append(
                Finding(
                    .duplicateTensors, isTie ? .note : .warning, tensor: copy.name,
                    "is a copy of \(original.name), byte for byte",
                    hint: isTie
                        ? "the output is the embedding: a config that says tie_word_embeddings needs it once"
                        : "models that were made deeper by repeating layers look like this, and so does a wrong conversion"))
        }
        return findings
    }

    private static func findings(of one: TensorStatistics, _ tensor: TensorInfo) -> [Finding] {
        var findings: [Finding] = []
        let row = one.firstBadRow.map { tensor.shape.rank > 1 ? ", the first in row \($0)" : "" } ?? ""
        if let block = one.firstBadBlock {
            let inRow = block * tensor.dtype.blockElements / max(1, tensor.shape.columns)
            findings.append(
                Finding(
                    .notANumber, .error, tensor: tensor.name,
                    "a scale of block \(block)\(tensor.shape.rank > 1 ? ", in row \(inRow)," : "") is NaN or infinite",
                    expected: "finite scales in all blocks of \(tensor.dtype)", found: "NaN or infinity",
                    hint: "copy the file again if it is damaged, or quantize again from a source that `verify --deep` passes"))
        }
        if one.nans > 0 {
            findings.append(
                Finding(
                    .notANumber, .error, tensor: tensor.name, "\(one.nans) of \(one.count) values are NaN\(row)",
                    expected: "finite values", found: "\(one.nans) NaN", hint: "the training diverged or the file is damaged"))
        }
        if one.infs > 0 {
            findings.append(
                Finding(
                    .infinite, .error, tensor: tensor.name, "\(one.infs) of \(one.count) values are infinite\(row)",
                    expected: "finite values", found: "\(one.infs) infinities",
                    hint: tensor.dtype == .f16 ? "values beyond 65504 do not fit F16: use BF16 or F32" : nil))
        }
        if one.count > 0, one.zeros == one.count {
            findings.append(
                Finding(
                    .zeroTensor, .warning, tensor: tensor.name, "every value is zero",
                    hint: "was it ever written? A sparse or interrupted copy looks like this"))
        } else if let first = one.firstZeroRow {
            findings.append(
                Finding(
                    .zeroRows, .warning, tensor: tensor.name,
                    "\(one.zeroRows) row\(one.zeroRows == 1 ? " is" : "s are") all zeros, the first is row \(first)",
                    found: "\(one.zeroRows) of \(tensor.shape.rows) rows",
                    hint: "tokens that were added and never trained look like this, and so does a damaged copy"))
        }
        return findings
    }
}

/// Whether the rows of Q and of K lie in the same order.
///
/// Attention multiplies dimension d of a query head with dimension d of its key head, so in a trained model row d of
/// W_q and row d of W_k are correlated, and rows that do not belong together are not. When one of the two was permuted
/// for adjacent-pair RoPE and the other was not, the correlation sits on the permuted partner instead. Random weights
/// show neither, and nothing is said of them.
struct RowOrder {
    private let source: ModelSource

    init(_ source: ModelSource) { self.source = source }

    /// How much stronger the wrong pairing must be before it is reported.
    private static let evidence = 1.5

    func findings() throws -> [Finding] {
        let config = source.config
        guard config.fault == nil, config.headDim >= 4, config.headDim % 2 == 0 else { return [] }
        let half = config.headDim / 2
        let straight = Array(0..<config.headDim)
        // Row 2 i + j of a head in adjacent pairs is row half j + i in halves.
        let paired = straight.map { half * ($0 % 2) + $0 / 2 }
        var inverse = straight
        for (place, row) in paired.enumerated() { inverse[row] = place }
        var findings: [Finding] = []
        for layer in 0..<config.layers {
            guard let q = source.match.rows(of: TensorRole(.attnQ, layer: layer)),
                let k = source.match.rows(of: TensorRole(.attnK, layer: layer)),
                let queries = try canonicalRows(of: q), let keys = try canonicalRows(of: k)
            else { continue }
            func energy(_ order: [Int]) -> Double {
                Self.energy(queries, keys, order, config: config, columns: q.shape.columns)
            }
            let now = energy(straight)
            let one = energy(paired)
            let other = energy(inverse)
            let best = max(one, other)
            // Squared cosines of n pairs of random rows sum up to n over their width, with an error of sqrt(2n) over it; the
            // best of several that lies six errors above is no chance.
            let pairs = Double(config.heads * config.headDim)
            let chance = 6 * (4 * pairs).squareRoot() / Double(q.shape.columns)
            guard now > 0, best > now * Self.evidence, best > now + chance else { continue }
            findings.append(
                Finding(
                    .rowOrder, .warning, tensor: source.reader.tensors[k.runs[0].tensor].name,
                    "the rows of Q and K of layer \(layer) do not pair up: one of them looks permuted for RoPE",
                    expected: "rows of a head in the same order in both",
                    found: "\(rounded(best / now)) times the agreement after permuting K",
                    hint: "`pannier parity` against a checkpoint you trust finds out which"))
        }
        return findings
    }

    private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    /// Sum over heads and dimensions of the squared cosine between row d of Q and row order[d] of K.
    private static func energy(
        _ queries: [Float], _ keys: [Float], _ order: [Int], config: ModelConfig, columns: Int
    ) -> Double {
        var total = 0.0
        for head in 0..<config.heads {
            let keyHead = head / config.queriesPerGroup
            for d in 0..<config.headDim {
                let a = (head * config.headDim + d) * columns
                let b = (keyHead * config.headDim + order[d]) * columns
                var dot: Float = 0
                var powerA: Float = 0
                var powerB: Float = 0
                for column in 0..<columns {
                    let x = queries[a + column]
                    let y = keys[b + column]
                    dot += x * y
                    powerA += x * x
                    powerB += y * y
                }
                let scale = Double(powerA) * Double(powerB)
                if scale > 0 { total += Double(dot) * Double(dot) / scale }
            }
        }
        return total
    }

    /// All rows of a canonical matrix as floats; nil for dtypes without arithmetic.
    private func canonicalRows(of tensor: CanonicalTensor) throws -> [Float]? {
        let columns = tensor.shape.columns
        var out = [Float](repeating: 0, count: tensor.shape.count)
        var buffers = DeepScan.Buffers()
        for run in tensor.runs {
            guard let rows = FloatRows(source.reader.tensors[run.tensor], in: source.reader) else { return nil }
            let span = (run.count - 1) * run.storedStep + 1
            let values = try rows.read(run.storedRow * columns..<(run.storedRow + span) * columns, into: &buffers)
            for index in 0..<run.count {
                let from = index * run.storedStep * columns
                let to = (run.canonicalRow + index) * columns
                for column in 0..<columns { out[to + column] = values[from + column] }
            }
        }
        return out
    }
}
