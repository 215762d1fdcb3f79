// Parity: do two checkpoints compute the same function? Both run over the same text; their predictions, and on request
// their layers, are compared.
//
// The scored positions are llama-perplexity's (the second half of each chunk), so that divergences compare with its
// --kl-divergence.

internal import Bytes
internal import CKernels
internal import Platform
internal import Tokenizers
package import Tensors

/// How a layer of the candidate compares with the reference's.
public struct LayerParity: Sendable, Equatable {
    /// -1: the embedding; 0 ..< n: after that layer; n: the final norm and output.
    public var layer: Int
    /// Error of the hidden state behind it (of the logits for n), relative to the reference's; it holds what earlier
    /// layers did.
    public var relativeError: Double
    /// The layer's own error: both are given the reference's hidden state, and what they add to it is compared.
    public var ownError: Double
    /// What the layer's storage explains; an own error above it is a fault.
    public var expectedError: Double

    public var isDivergent: Bool { !(ownError <= expectedError) }
}

/// A fault that was undone to see whether it is the one.
public struct ParityHint: Sendable, Equatable {
    /// "rope_permutation", "gate_up_swap", ...
    public var code: String
    public var layer: Int?
    /// One sentence.
    public var message: String
    /// The own error before and after undoing it.
    public var before: Double
    public var after: Double
}

/// What `parity` found.
public struct ParityReport: Sendable {
    /// Predictions compared.
    public var tokens = 0
    public var meanKLD = 0.0
    public var medianKLD = 0.0
    public var kld99 = 0.0
    public var maxKLD = 0.0
    /// Fraction of predictions whose likeliest token is the same.
    public var top1Agreement = 0.0
    public var maxAbsLogit = 0.0
    /// Mean squared error of the logits relative to the reference's mean square.
    public var logitNMSE = 0.0
    public var perplexityReference = 0.0
    public var perplexityCandidate = 0.0
    /// The limit that mean KLD is held to.
    public var limit = 0.0
    /// Empty unless layers were compared.
    public var layers: [LayerParity] = []
    public var hints: [ParityHint] = []
    /// What was found beside the numbers: other vocabularies, other token ids.
    public var faults: [String] = []
    /// The checkpoint whose tokenizer read the text: the reference, or the candidate where that has none.
    public var tokenizer = ""
    /// KLD of every prediction, for plots.
    public var divergences: [Float] = []

    public var firstDivergentLayer: Int? { layers.first(where: \.isDivergent)?.layer }
    public var ok: Bool { meanKLD <= limit && faults.isEmpty && firstDivergentLayer == nil }
}

/// What `parity` is at, for a display of progress.
public enum ParityStage: Sendable {
    /// Running both models over the text; counts tokens, each once a model.
    case predictions
    /// Each layer of the candidate on the reference's hidden state.
    case layers
    /// Undoing known mistakes; counts the layers that are wrong.
    case faults
}

/// Compares a candidate with a reference.
public final class ParityComparison {
    let reference: LanguageModel
    let candidate: LanguageModel
    let left: Transformer
    let right: Transformer
    /// Rows of the smaller vocabulary: logits are compared over these.
    let vocab: Int
    /// Tokens for which one model runs before the other does: what a transformer computes at once.
    private static let piece = 256

    /// - Throws: `unsupported` where the two have different widths, so that nothing can be compared.
    public init(reference: LanguageModel, candidate: LanguageModel, threads: Int) throws {
        self.reference = reference
        self.candidate = candidate
        left = try Transformer(reference.weights, threads: threads)
        right = try Transformer(candidate.weights, threads: threads)
        vocab = min(left.config.vocab, right.config.vocab)
    }

    /// - Parameters:
    ///   - limit: of the mean KL divergence; nil takes one that suits the candidate's formats.
    ///   - layers: compare every layer as well, and look for the fault where there is one.
    ///   - progress: is told how much of a stage is done.
    /// - Throws: `usage` for chunks that do not fit into the memory, `unsupported` for ids that the reference does not
    ///   know, for a text without tokens enough, and where neither model has a tokenizer.
    public func run(
        text: String, context: Int, chunks limitOfChunks: Int?, limit: Double?, layers: Bool,
        progress: (_ stage: ParityStage, _ done: Int, _ of: Int) -> Void = { _, _, _ in }
    ) throws -> ParityReport {
        let (tokenizer, owner) = try self.tokenizer()
        let chunks = try TextChunks(text, tokenizer: tokenizer, context: context, limit: limitOfChunks)
        try checkMemory(tokens: chunks.context, layers: layers)
        var report = ParityReport()
        report.tokenizer = owner
        report.limit = limit ?? ExpectedError.divergenceLimit(candidate.weights.matrices.values.map(\.dtype))
        checkVocabularies(text, tokenizer, &report)
        var hiddenError = HiddenError(layers: left.config.layers)
        let comparable = left.config.hidden == right.config.hidden && left.config.layers == right.config.layers
        try withUnsafeMutablePointer(to: &hiddenError) {
            do {
                try compare(chunks, comparable && layers ? $0 : nil, &report, progress)
            } catch let error as CheckpointError {
                // An id that is out of the reference's range is the fault of the tokenizer that gave it.
                throw error.at(file: owner)
            }
        }
        if layers, comparable {
            let probe = try ParityProbe(self, tokens: Array(chunks[0].prefix(128)))
            report.layers = try probe.layers(hiddenError) { progress(.layers, $0, $1) }
            if !report.ok { report.hints = try probe.hints(report) { progress(.faults, $0, $1) } }
        } else if layers {
            report.faults.append(
                "the models differ in their dimensions (\(left.config.layers) and \(right.config.layers) layers of "
                    + "\(left.config.hidden) and \(right.config.hidden)): layers are not compared")
        }
        if !report.ok { try ConfigTrials(self).look(at: chunks, &report) }
        return report
    }

    /// The reference's tokenizer; the candidate's where a bare checkpoint has none.
    /// - Returns: the tokenizer and the path of the checkpoint that it belongs to.
    private func tokenizer() throws -> (tokenizer: Tokenizer, owner: String) {
        do {
            return (try reference.tokenizer(), reference.path)
        } catch let error as CheckpointError where error.kind == .unsupported {
            guard let tokenizer = try? candidate.tokenizer() else { throw error }
            return (tokenizer, candidate.path)
        }
    }

    /// Both models' sequences are in memory together, with the reference's logits and hidden states of a piece.
    /// - Throws: `usage`.
    private func checkMemory(tokens: Int, layers: Bool) throws {
        let config = left.config, stored = layers ? config.layers + 2 : 0
        // Dimensions are at most 1 << 20 each, so this fits.
        let kept = min(Self.piece, tokens) * (config.vocab + stored * config.hidden) * MemoryLayout<Float>.stride
        let both = left.bytesBesideCache(positions: tokens).adding(right.bytesBesideCache(positions: tokens))
        let perPosition = KVCache.positionBytes(config).flatMap { ours in
            KVCache.positionBytes(right.config)?.adding(ours)
        }
        try KVCache.check(bytesPerPosition: perPosition, tokens: tokens, beside: both?.adding(kept) ?? .max)
    }

    /// The two have to mean the same by the same ids.
    private func checkVocabularies(_ text: String, _ tokenizer: Tokenizer, _ report: inout ParityReport) {
        if left.config.vocab != right.config.vocab {
            report.faults.append(
                "the vocabularies differ: \(left.config.vocab) rows in the reference, \(right.config.vocab) in the "
                    + "candidate; logits are compared over the first \(vocab)")
        }
        guard let other = try? candidate.tokenizer() else { return }
        let sample = String(text.prefix(4000))
        let ours = tokenizer.encode(sample), theirs = other.encode(sample)
        guard ours != theirs else { return }
        let shifts = Set(zip(ours, theirs).map { $1 - $0 })
        if ours.count == theirs.count, shifts.count == 1, let shift = shifts.first {
            report.faults.append(
                "the candidate's tokenizer is shifted: every id is \(abs(shift)) \(shift > 0 ? "higher" : "lower")")
            report.hints.append(
                ParityHint(
                    code: "tokenizer_shift", layer: nil,
                    message: "taking \(abs(shift)) \(shift > 0 ? "from" : "more than") every id of the candidate's "
                        + "tokenizer gives the reference's ids", before: 1, after: 0))
        } else if let place = zip(ours, theirs).enumerated().first(where: { $1.0 != $1.1 }) {
            let name = tokenizer.piece(place.element.0) ?? "?"
            report.faults.append(
                "the tokenizers differ: token \(place.offset) (\"\(name.escapingControlCharacters)\") is "
                    + "\(place.element.0) in the reference and \(place.element.1) in the candidate")
        } else {
            report.faults.append("the tokenizers differ: \(ours.count) and \(theirs.count) tokens for the same text")
        }
    }

    private func compare(
        _ chunks: TextChunks, _ hiddenError: UnsafeMutablePointer<HiddenError>?, _ report: inout ParityReport,
        _ progress: (ParityStage, Int, Int) -> Void
    ) throws {
        var sums = (squared: 0.0, reference: 0.0, largest: 0.0, same: 0)
        var nll = (reference: RunningMean(), candidate: RunningMean())
        let width = left.config.vocab, total = 2 * chunks.count * chunks.context
        var logits = [Float](repeating: 0, count: min(Self.piece, chunks.context) * width)
        var computed = 0
        progress(.predictions, 0, total)
        for chunk in 0..<chunks.count {
            let tokens = chunks[chunk]
            // All of them before any is scored: the last of a piece predicts the first of the next.
            try left.check(tokens)
            // A smaller vocabulary cannot be asked about the ids it does not have.
            let known = tokens.map { $0 < right.config.vocab ? $0 : 0 }
            let caches = (left: KVCache(left.config), right: KVCache(right.config))
            // The two take turns, so that logits and hidden states are kept of one piece only, however long a chunk is.
            for start in stride(from: 0, to: tokens.count, by: Self.piece) {
                let part = start..<min(tokens.count, start + Self.piece)
                let scored = chunks.scored.clamped(to: part)
                let wanted = scored.lowerBound - start..<scored.upperBound - start
                var states = HiddenStates()
                var observer = ForwardObserver()
                if hiddenError != nil { observer.hidden = { states.keep($0, $2, self.left.config.hidden, $3) } }
                try left.forward(
                    Array(tokens[part]), cache: caches.left, wanted: wanted, length: tokens.count, observer: observer
                ) { block in
                    let at = (block.first - wanted.lowerBound) * width
                    for index in 0..<block.tokens * width { logits[at + index] = block.values[index] }
                    for token in 0..<block.tokens {
                        nll.reference.add(Evaluator.nll(of: tokens[start + block.first + token + 1], in: block[token]))
                    }
                }
                computed += part.count
                progress(.predictions, computed, total)
                if let hiddenError {
                    observer.hidden = { hiddenError.pointee.add($0, states, at: $1, $2, self.left.config.hidden, $3) }
                }
                try right.forward(
                    Array(known[part]), cache: caches.right, wanted: wanted, length: tokens.count, observer: observer
                ) { block in
                    for token in 0..<block.tokens {
                        let index = block.first + token
                        nll.candidate.add(Evaluator.nll(of: known[start + index + 1], in: block[token]))
                        let difference = logits.withUnsafeBufferPointer { reference in
                            pannier_compare_logits(
                                reference.baseAddress.map { $0 + (index - wanted.lowerBound) * width },
                                block.values + token * block.vocab, Int64(vocab))
                        }
                        report.divergences.append(Float(difference.divergence))
                        sums.squared += difference.squared_error
                        sums.reference += difference.squared_reference
                        if !(difference.largest <= sums.largest) { sums.largest = difference.largest }
                        if difference.top_reference == difference.top_candidate { sums.same += 1 }
                    }
                }
                computed += part.count
                progress(.predictions, computed, total)
            }
        }
        for (model, mean) in [("reference", nll.reference.mean), ("candidate", nll.candidate.mean)] where mean.isNaN {
            report.faults.append("the \(model)'s results are no numbers (NaN): `pannier verify --deep` says why")
        }
        let sorted = report.divergences.sorted { $0.isNaN ? false : $1.isNaN || $0 < $1 }
        report.tokens = sorted.count
        guard let last = sorted.last else { return }
        report.meanKLD = sorted.reduce(0) { $0 + Double($1) } / Double(sorted.count)
        report.medianKLD = Double(sorted[sorted.count / 2])
        report.kld99 = Double(sorted[min(sorted.count - 1, sorted.count * 99 / 100)])
        report.maxKLD = Double(last)
        report.top1Agreement = Double(sums.same) / Double(sorted.count)
        report.maxAbsLogit = sums.largest
        // Zeros have no error; NaN is none.
        report.logitNMSE = sums.reference == 0 ? 0 : sums.squared / sums.reference
        report.perplexityReference = exp(nll.reference.mean)
        report.perplexityCandidate = exp(nll.candidate.mean)
    }
}

/// The reference's hidden states over one chunk, by layer, until the candidate's have been compared with them.
struct HiddenStates {
    private(set) var layers: [Int: [Float]] = [:]

    mutating func keep(_ layer: Int, _ tokens: Int, _ width: Int, _ values: UnsafePointer<Float>) {
        layers[layer, default: []] += UnsafeBufferPointer(start: values, count: tokens * width)
    }
}

/// Squared errors of hidden states, summed by layer.
struct HiddenError {
    private var error: [Double]
    private var reference: [Double]

    init(layers: Int) {
        error = Array(repeating: 0, count: layers + 2)
        reference = error
    }

    mutating func add(
        _ layer: Int, _ states: HiddenStates, at first: Int, _ tokens: Int, _ width: Int, _ values: UnsafePointer<Float>
    ) {
        guard let state = states.layers[layer], state.count >= (first + tokens) * width else { return }
        var sums = pannier_error(squared_error: 0, squared_reference: 0, largest: 0, count: 0)
        state.withUnsafeBufferPointer { state in
            guard let base = state.baseAddress else { return }
            pannier_error_f32(base + first * width, values, Int64(tokens * width), &sums)
        }
        error[layer + 1] += sums.squared_error
        reference[layer + 1] += sums.squared_reference
    }

    func relative(_ layer: Int) -> Double {
        reference[layer + 1] > 0 ? (error[layer + 1] / reference[layer + 1]).squareRoot() : 0
    }
}

/// What rounding and quantizing explain.
package enum ExpectedError {
    /// Relative error of values stored as `candidate` where they were `reference`.
    static func of(_ candidate: DType, from reference: DType) -> Double {
        if candidate == reference { return 0 }
        switch (reference, candidate) {
        case (_, .f64), (_, .f32), (.bf16, .f16): return 1e-6
        case (_, .f16): return 3e-4
        case (_, .bf16): return 2e-3
        default: return 1.5 * exp2(0.5 - candidate.bitsPerElement)
        }
    }

    /// A mean KL divergence, in nats, that no sound conversion to matrices of these formats has: the limit of the coarsest.
    package static func divergenceLimit(_ matrices: [DType]) -> Double {
        matrices.map { limit(of: $0) }.max() ?? 0.01
    }

    /// About three times what the sample model has in a format (the table in Docs/Parity.md); more where a format leaves
    /// larger models less than the sample.
    private static func limit(of dtype: DType) -> Double {
        switch dtype {
        // Made for models that were trained in them: little is left of others, and one to which all tokens are alike has 4.4.
        case .tq1_0, .tq2_0, .q1_0, .q2_0: return 3.5
        case .iq1_s, .iq1_m: return 2
        case .iq2_xxs, .iq2_xs: return 1
        case .iq2_s, .q2_K: return 0.7
        default: break
        }
        switch dtype.bitsPerElement {
        case 16...: return 0.01
        case 6.5...: return 0.02
        case 5...: return 0.05
        case 4...: return 0.1
        case 3...: return 0.3
        default: return 3.5
        }
    }
}
