// Where two configs state different constants: the candidate runs again with the reference's. An error that all layers
// have stands out in none, and small ones drown in a coarse format's own.

internal import CKernels
internal import Conversion
internal import Tensors

/// Tries the reference's constants in the candidate.
struct ConfigTrials {
    private let comparison: ParityComparison
    private var left: Transformer { comparison.left }
    private var right: Transformer { comparison.right }
    /// Tokens that are read for a trial.
    private static let most = 128

    init(_ comparison: ParityComparison) { self.comparison = comparison }

    /// Puts the constants that were at fault in front of the report's hints, and dimensions that differ behind its faults.
    /// Only for a report that is not ok: models may differ in what changes nothing.
    func look(at chunks: TextChunks, _ report: inout ParityReport) throws {
        // What nobody stated was inferred from the tensors.
        guard comparison.reference.source.configFile != nil, comparison.candidate.source.configFile != nil else { return }
        report.faults += dimensions(chunks.context)
        let tokens = Array(chunks[0].prefix(Self.most))
        let known = Set(report.hints.map(\.code))
        report.hints = try constants(tokens, length: chunks.context).filter { !known.contains($0.code) } + report.hints
    }

    /// What cannot be taken from the other, a sentence each.
    private func dimensions(_ context: Int) -> [String] {
        func window(_ config: ModelConfig) -> Int? { config.slidingWindow.flatMap { $0 < context ? $0 : nil } }
        func said(_ value: Int?) -> String { value.map(String.init) ?? "none" }
        let one = left.config, other = right.config
        let pairs: [(name: String, ours: Int?, theirs: Int?)] = [
            ("query heads", one.heads, other.heads), ("key/value heads", one.kvHeads, other.kvHeads),
            ("width of a head", one.headDim, other.headDim), ("sliding window", window(one), window(other)),
        ]
        return pairs.filter { $0.ours != $0.theirs }.map {
            "the configs differ in \($0.name): \(said($0.ours)) in the reference, \(said($0.theirs)) in the candidate"
        }
    }

    /// What the candidate gains by the reference's constants.
    /// - Parameter length: tokens of the sequences that these begin.
    private func constants(_ tokens: [Int], length: Int) throws -> [ParityHint] {
        let saved = (right.rope, right.normEps)
        defer { (right.rope, right.normEps) = saved }
        let turnsAlike =
            left.rope.half != right.rope.half
            || zip(left.rope.frequencies(length: length), right.rope.frequencies(length: length))
                .allSatisfy { abs($0 - $1) <= 1e-5 * abs($0) }
        let epsAlike = left.normEps == right.normEps
        guard !turnsAlike || !epsAlike else { return [] }
        let reference = try logits(left, tokens, length)
        let before = try divergence(from: reference, tokens, length)
        var hints: [ParityHint] = []
        func attempt(_ code: String, _ title: String, _ change: () -> Void) throws {
            change()
            defer { (right.rope, right.normEps) = saved }
            let after = try divergence(from: reference, tokens, length)
            guard after < 0.5 * before else { return }
            hints.append(
                ParityHint(
                    code: code, layer: nil,
                    message: "the configs differ: \(title) brings the mean KL divergence over \(tokens.count) tokens from "
                        + "\(ParityProbe.text(before)) to \(ParityProbe.text(after))", before: before, after: after))
        }
        if !turnsAlike {
            try attempt("rope_base", "using " + Self.rope(left.config, right.config)) { right.rope = left.rope }
        }
        if !epsAlike {
            try attempt("norm_eps", "using the reference's norm epsilon, \(left.normEps) in place of \(right.normEps),") {
                right.normEps = left.normEps
            }
        }
        return hints
    }

    /// "the reference's RoPE base, 10000.0 in place of 500000.0,"
    static func rope(_ reference: ModelConfig, _ candidate: ModelConfig) -> String {
        let bases = (reference.ropeTheta ?? 10000, candidate.ropeTheta ?? 10000)
        return bases.0 != bases.1
            ? "the reference's RoPE base, \(bases.0) in place of \(bases.1),"
            : "the reference's RoPE scaling (\(reference.ropeScaling) in place of \(candidate.ropeScaling))"
    }

    /// The logits `[tokens, vocab]` of a text; ids that a smaller vocabulary does not have are read as 0.
    private func logits(_ model: Transformer, _ tokens: [Int], _ length: Int) throws -> [Float] {
        let known = tokens.map { $0 < model.config.vocab ? $0 : 0 }
        var all: [Float] = []
        all.reserveCapacity(tokens.count * model.config.vocab)
        try model.forward(known, cache: KVCache(model.config), wanted: 0..<tokens.count, length: length) { block in
            all += UnsafeBufferPointer(start: block.values, count: block.tokens * block.vocab)
        }
        return all
    }

    /// The candidate's mean KL divergence, in nats, over the vocabulary that both have.
    private func divergence(from reference: [Float], _ tokens: [Int], _ length: Int) throws -> Double {
        let candidate = try logits(right, tokens, length)
        let widths = (left.config.vocab, right.config.vocab)
        var sum = 0.0
        reference.withUnsafeBufferPointer { reference in
            candidate.withUnsafeBufferPointer { candidate in
                guard let ours = reference.baseAddress, let theirs = candidate.baseAddress else { return }
                for token in tokens.indices {
                    sum += pannier_compare_logits(
                        ours + token * widths.0, theirs + token * widths.1, Int64(comparison.vocab)
                    ).divergence
                }
            }
        }
        return tokens.isEmpty ? 0 : sum / Double(tokens.count)
    }
}
