// Choosing the next token. The filters work in the order that llama.cpp has them: top-k, top-p, min-p, temperature.

internal import Bytes
internal import Platform

/// Chooses tokens by their logits. The same seed and logits give the same tokens.
public struct Sampler: Sendable {
    /// 0 chooses the most likely token.
    public var temperature: Double
    /// Only the k most likely; 0 means all.
    public var topK: Int
    /// Only the most likely that together reach this probability; 1 means all.
    public var topP: Double
    /// Only those at least this fraction as likely as the most likely; 0 means all.
    public var minP: Double
    private var state: UInt64

    public init(temperature: Double = 0, topK: Int = 0, topP: Double = 1, minP: Double = 0, seed: UInt64 = 0) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        state = seed
    }

    /// The index of the chosen logit. NaN is never chosen where there is a number.
    public mutating func choose(_ logits: UnsafeBufferPointer<Float>) -> Int {
        guard temperature > 0 else { return Self.greedy(logits) }
        var candidates = logits.indices.filter { !logits[$0].isNaN }
        guard !candidates.isEmpty else { return 0 }
        // Equal logits keep the order of their ids.
        candidates.sort { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
        if topK > 0 { candidates.removeLast(max(0, candidates.count - topK)) }
        let largest = Double(logits[candidates[0]])
        if topP < 1 {
            let weights = candidates.map { exp(Double(logits[$0]) - largest) }
            let total = weights.reduce(0, +)
            var sum = 0.0, kept = 0
            while kept < weights.count, sum < topP * total {
                sum += weights[kept]
                kept += 1
            }
            candidates.removeLast(candidates.count - max(1, kept))
        }
        if minP > 0 {
            let least = largest + log(minP)
            candidates.removeAll { Double(logits[$0]) < least }
        }
        let weights = candidates.map { exp((Double(logits[$0]) - largest) / temperature) }
        var at = uniform() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            at -= weight
            if at < 0 { return candidates[index] }
        }
        return candidates.last ?? 0
    }

    /// The index of the largest logit, the first of equal ones.
    public static func greedy(_ logits: UnsafeBufferPointer<Float>) -> Int {
        var best = 0, largest = -Float.infinity
        for (index, logit) in logits.enumerated() where logit > largest {
            largest = logit
            best = index
        }
        return best
    }

    /// In 0 ..< 1. SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    private mutating func uniform() -> Double {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    }
}

/// How a generation went.
public struct GenerationReport: Sendable {
    public var promptTokens = 0
    public var generatedTokens = 0
    public var promptSeconds = 0.0
    /// Laying the weights out for one token at a time, between the first token and the second.
    public var layoutSeconds = 0.0
    /// The rest.
    public var generationSeconds = 0.0
    /// Ended by a token that ends the text.
    public var ended = false
}

extension Transformer {
    /// Continues a prompt.
    /// - Parameters:
    ///   - prompt: at least one token.
    ///   - cache: what the prompt follows.
    ///   - most: tokens to make at most.
    ///   - ends: tokens that end the text; they are not reported.
    ///   - reading: is told of the prompt's tokens as they are read.
    ///   - body: is given each token as it comes; false ends the text.
    /// - Throws: `usage` for a prompt that does not fit into the memory, `malformed` where the model gives NaN, and what
    ///   `body` throws.
    public func generate(
        _ prompt: [Int], cache: KVCache, most: Int, ends: Set<Int>, sampler: Sampler,
        reading: ((_ tokens: Int) -> Void)? = nil, _ body: (Int) throws -> Bool
    ) throws -> GenerationReport {
        try KVCache.check(config, tokens: prompt.count)
        var sampler = sampler
        var report = GenerationReport(promptTokens: prompt.count)
        var clock = Stopwatch()
        var observer = ForwardObserver()
        observer.batch = reading
        var logits = try lastLogits(prompt, cache: cache, observer: observer)
        report.promptSeconds = clock.lap()
        while report.generatedTokens < most {
            guard !logits.contains(where: \.isNaN) else {
                throw CheckpointError.noNumbers(in: "token \(report.generatedTokens + 1)")
            }
            let token = logits.withUnsafeBufferPointer { sampler.choose($0) }
            if ends.contains(token) {
                report.ended = true
                break
            }
            report.generatedTokens += 1
            guard try body(token), report.generatedTokens < most else { break }
            if report.generatedTokens == 1, most >= Self.tokensWorthGrouping {
                report.generationSeconds = clock.lap()
                if try groupRows() { report.layoutSeconds = clock.lap() }
            }
            logits = try lastLogits([token], cache: cache)
        }
        report.generationSeconds += clock.lap()
        return report
    }
}
