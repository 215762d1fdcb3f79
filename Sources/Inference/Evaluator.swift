// Perplexity by the protocol of llama-perplexity, so that figures compare (llama.cpp, tools/perplexity): the text is one
// stream of tokens, cut into chunks; bos stands in place of each chunk's first token; only predictions from the middle
// of a chunk on are scored.

internal import Bytes
internal import CKernels
internal import Platform
public import Tokenizers

/// A text cut for evaluation.
public struct TextChunks: Sendable {
    public let context: Int
    public let count: Int
    private let tokens: [Int]
    private let bos: Int?

    /// - Parameters:
    ///   - context: tokens in a chunk. A text shorter than that is one chunk.
    ///   - limit: chunks at most; nil for all. What does not fill a chunk is left out.
    ///   - progress: is told now and then how many of the text's bytes became tokens.
    /// - Throws: `unsupported` where there is nothing to score.
    public init(
        _ text: String, tokenizer: Tokenizer, context: Int, limit: Int? = nil, progress: (_ bytes: Int) -> Void = { _ in }
    ) throws {
        var tokens = tokenizer.encode(text, progress: progress)
        let bos = tokenizer.addsBos ? tokenizer.bosID : nil
        if let bos { tokens.insert(bos, at: 0) }
        try self.init(tokens: tokens, bos: bos, context: context, limit: limit)
    }

    /// - Parameter bos: put in place of each chunk's first token; nil leaves it.
    public init(tokens: [Int], bos: Int?, context: Int, limit: Int? = nil) throws {
        let context = min(max(0, context), tokens.count)
        guard context >= 4 else {
            throw CheckpointError.unsupported(
                "the text is too short to evaluate", expected: "at least 4 tokens", found: "\(context)",
                remedy: "give a longer text")
        }
        self.context = context
        self.tokens = tokens
        self.bos = bos
        count = min(tokens.count / context, max(1, limit ?? .max))
    }

    public subscript(chunk: Int) -> [Int] {
        var part = Array(tokens[chunk * context..<(chunk + 1) * context])
        if let bos { part[0] = bos }
        return part
    }

    /// Positions whose prediction of the next token is scored.
    public var scored: Range<Int> { context / 2..<context - 1 }
    /// Predictions scored in all chunks.
    public var predictions: Int { scored.count * count }
}

/// What `eval` found.
public struct Evaluation: Sendable, Equatable {
    /// Predictions scored.
    public var tokens = 0
    /// Mean negative log-likelihood, in nats.
    public var nll = 0.0
    /// Standard error of the mean.
    public var nllError = 0.0
    public var perplexity: Double { exp(nll) }
    /// Tokens computed in a second.
    public var tokensPerSecond = 0.0
}

/// A running mean with its error.
struct RunningMean {
    private(set) var count = 0
    private var sum = 0.0, squares = 0.0

    mutating func add(_ value: Double) {
        count += 1
        sum += value
        squares += value * value
    }

    var mean: Double { count > 0 ? sum / Double(count) : 0 }
    var error: Double {
        guard count > 1 else { return 0 }
        return max(0, (squares / Double(count) - mean * mean) / Double(count - 1)).squareRoot()
    }
}

extension CheckpointError {
    /// The model computes NaN: its weights hold some, or its config does not fit them.
    static func noNumbers(in place: String) -> CheckpointError {
        malformed(
            "the model's results are no numbers", place: place, found: "NaN",
            remedy: "`pannier verify --deep` lists which weights are broken")
    }
}

/// Evaluates a model on a text.
public struct Evaluator {
    let transformer: Transformer

    public init(_ transformer: Transformer) { self.transformer = transformer }

    /// Negative log-likelihood of a token.
    package static func nll(of token: Int, in logits: UnsafeBufferPointer<Float>) -> Double {
        pannier_log_sum_exp(logits.baseAddress, Int64(logits.count)) - Double(logits[token])
    }

    /// - Parameters:
    ///   - logits: where the logits of every token are written as a .npy array, beside scoring.
    ///   - progress: is told after every batch how many tokens are done, with the perplexity so far; nil until something
    ///     is scored.
    /// - Throws: `usage` for chunks that do not fit into the memory, `malformed` where the model gives NaN.
    public func perplexity(
        _ chunks: TextChunks, logits: NPYWriter? = nil,
        progress: @escaping (_ tokens: Int, _ perplexity: Double?) -> Void = { _, _ in }
    ) throws -> Evaluation {
        try KVCache.check(transformer.config, tokens: chunks.context)
        var mean = RunningMean(), computed = 0
        var clock = Stopwatch()
        var observer = ForwardObserver()
        observer.batch = { tokens in
            computed += tokens
            progress(computed, mean.count > 0 ? exp(mean.mean) : nil)
        }
        for chunk in 0..<chunks.count {
            let tokens = chunks[chunk]
            let cache = KVCache(transformer.config)
            let wanted = logits == nil ? chunks.scored : 0..<tokens.count
            try transformer.forward(tokens, cache: cache, wanted: wanted, observer: observer) { block in
                for token in 0..<block.tokens {
                    let position = block.first + token
                    if chunks.scored.contains(position) {
                        mean.add(Self.nll(of: tokens[position + 1], in: block[token]))
                    }
                }
                try logits?.append(UnsafeBufferPointer(start: block.values, count: block.tokens * block.vocab))
            }
            guard !mean.mean.isNaN else { throw CheckpointError.noNumbers(in: "chunk \(chunk + 1)") }
        }
        let seconds = clock.lap()
        return Evaluation(
            tokens: mean.count, nll: mean.mean, nllError: mean.error,
            tokensPerSecond: seconds > 0 ? Double(computed) / seconds : 0)
    }
}
