// Dynamic RoPE scaling by its definition: beyond the context the base is that of the whole sequence's length, for all of
// its tokens; keys that a cache holds keep the base that they were read with.

import Foundation
import Testing

import Inference
import Tensors

@Suite struct DynamicRoPETests {
    private static let context = 128, factor = 2.0
    private static let tokens = (0..<300).map { 3 + $0 * 37 % 1000 }

    /// The sample with a shorter context; beyond it the base grows.
    private func scaled() throws -> ModelWeights {
        var weights = try LanguageModel(sample).weights
        weights.config.context = Self.context
        weights.config.ropeScaling = .dynamic(factor: Self.factor)
        return weights
    }

    /// The sample with the base that a sequence of so many tokens has.
    private func golden(length: Int) throws -> ModelWeights {
        var weights = try LanguageModel(sample).weights
        let width = Double(weights.config.headDim)
        let stretch = Self.factor * Double(length) / Double(Self.context) - (Self.factor - 1)
        weights.config.ropeTheta = (weights.config.ropeTheta ?? 10000) * pow(stretch, width / (width - 2))
        return weights
    }

    /// The logits of tokens that follow those in the cache.
    private func logits(
        _ transformer: Transformer, _ tokens: some Collection<Int>, _ cache: KVCache, length: Int? = nil
    ) throws -> [Float] {
        var all: [Float] = []
        let tokens = Array(tokens)
        try transformer.forward(tokens, cache: cache, wanted: 0..<tokens.count, length: length) { block in
            for token in 0..<block.tokens { all += block[token] }
        }
        return all
    }

    private func difference(_ a: [Float], _ b: [Float]) -> Float {
        a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
    }

    @Test(arguments: [32, 64, 256, 300]) func aReadingHasOneBaseWhateverTheBatch(batch: Int) throws {
        let transformer = try Transformer(scaled(), threads: 2, batch: batch)
        let ours = try logits(transformer, Self.tokens, KVCache(transformer.config))
        let plain = try Transformer(golden(length: Self.tokens.count), threads: 2)
        let expected = try logits(plain, Self.tokens, KVCache(plain.config))
        #expect(difference(ours, expected) < 1e-3)
    }

    @Test func aReadingInPiecesKnowsItsLength() throws {
        let transformer = try Transformer(scaled(), threads: 2)
        let whole = try logits(transformer, Self.tokens, KVCache(transformer.config))
        let cache = KVCache(transformer.config)
        var pieces: [Float] = []
        for start in stride(from: 0, to: Self.tokens.count, by: 100) {
            pieces += try logits(transformer, Self.tokens[start..<start + 100], cache, length: Self.tokens.count)
        }
        #expect(difference(whole, pieces) < 1e-3)
    }

    @Test func whatIsInTheCacheKeepsItsBase() throws {
        let transformer = try Transformer(scaled(), threads: 2)
        let cache = KVCache(transformer.config), shared = KVCache(transformer.config)
        for part in [0..<200, 200..<201, 201..<202, 202..<203] {
            let ours = try logits(transformer, Self.tokens[part], cache)
            let plain = try Transformer(golden(length: part.upperBound), threads: 2)
            #expect(try difference(ours, logits(plain, Self.tokens[part], shared)) < 1e-3)
        }
    }
}
