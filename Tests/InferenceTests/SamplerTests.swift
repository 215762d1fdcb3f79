// Choosing tokens: how often each comes against the distribution worked out plainly, and that a seed settles the text.

import CKernels
import Foundation
import Testing

import Inference
import Tokenizers

/// The settings of a sampler, and the distribution that they ask for.
struct SamplingCase: CustomTestStringConvertible, Sendable {
    var temperature = 1.0
    var topK = 0
    var topP = 1.0
    var minP = 0.0

    var testDescription: String { "temperature \(temperature), top-k \(topK), top-p \(topP), min-p \(minP)" }

    static let all = [
        SamplingCase(), SamplingCase(temperature: 0.5), SamplingCase(temperature: 2.5), SamplingCase(topK: 1),
        SamplingCase(topK: 5), SamplingCase(topK: 1000), SamplingCase(topP: 0.9), SamplingCase(topP: 0.5),
        SamplingCase(topP: 0), SamplingCase(minP: 0.1), SamplingCase(minP: 1),
        SamplingCase(temperature: 0.8, topK: 8, topP: 0.9, minP: 0.05),
        SamplingCase(temperature: 3, topK: 12, topP: 0.7, minP: 0.2),
    ]

    /// Probabilities by the definitions: top-k keeps the k likeliest; top-p, of what is left, the fewest likeliest whose
    /// probabilities reach p; min-p those at least p times as likely as the likeliest; then softmax at the temperature.
    func probabilities(_ logits: [Double]) -> [Double] {
        var kept = Array(logits.indices).sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        if topK > 0 { kept = Array(kept.prefix(topK)) }
        func softmax(_ temperature: Double) -> [Double] {
            let weights = kept.map { exp(logits[$0] / temperature) }
            return weights.map { $0 / weights.reduce(0, +) }
        }
        if topP < 1 {
            let plain = softmax(1)
            let enough = plain.indices.first { plain[...$0].reduce(0, +) >= topP } ?? plain.count - 1
            kept = Array(kept.prefix(enough + 1))
        }
        if minP > 0 {
            let plain = softmax(1)
            kept = zip(kept, plain).filter { $1 >= minP * plain[0] * (1 - 1e-12) }.map(\.0)
        }
        var result = [Double](repeating: 0, count: logits.count)
        for (index, probability) in zip(kept, softmax(temperature)) { result[index] = probability }
        return result
    }
}

@Suite struct SamplerTests {
    private static let logits: [Float] = (0..<24).map { Float(sin(Double($0) * 1.7) * 2.5 + cos(Double($0) * 0.3)) }

    @Test(arguments: SamplingCase.all) func choosesAsOftenAsItShould(_ options: SamplingCase) {
        var sampler = Sampler(
            temperature: options.temperature, topK: options.topK, topP: options.topP, minP: options.minP, seed: 11)
        let draws = 100_000
        var counts = [Int](repeating: 0, count: Self.logits.count)
        for _ in 0..<draws { counts[Self.logits.withUnsafeBufferPointer { sampler.choose($0) }] += 1 }
        let expected = options.probabilities(Self.logits.map(Double.init))
        #expect(abs(expected.reduce(0, +) - 1) < 1e-9)
        // Pearson's statistic over what is expected often enough; what must not come, comes never.
        var statistic = 0.0, freedom = -1.0
        for (count, probability) in zip(counts, expected) {
            if probability == 0 { #expect(count == 0) }
            let mean = probability * Double(draws)
            guard mean >= 5 else { continue }
            statistic += (Double(count) - mean) * (Double(count) - mean) / mean
            freedom += 1
        }
        // Five standard deviations of a chi-squared variable above its mean; the seed is fixed, so this never flickers.
        #expect(statistic <= freedom + 5 * (2 * max(1, freedom)).squareRoot(), "\(statistic) for \(freedom)")
    }

    @Test func zeroTemperatureIsGreedyWhateverTheSeed() {
        for seed: UInt64 in [0, 1, .max] {
            var sampler = Sampler(temperature: 0, topK: 3, topP: 0.5, minP: 0.5, seed: seed)
            let chosen = Self.logits.withUnsafeBufferPointer { (sampler.choose($0), Sampler.greedy($0)) }
            #expect(chosen.0 == chosen.1)
        }
    }

    @Test func survivesLogitsThatAreNoNumbers() {
        var sampler = Sampler(temperature: 1, topK: 2, topP: 0.9, minP: 0.1, seed: 3)
        for logits in [[Float.nan, .nan], [.infinity, 1], [-.infinity, -.infinity], [.infinity, .infinity], []] {
            let chosen = logits.withUnsafeBufferPointer { sampler.choose($0) }
            #expect(chosen >= 0 && chosen < max(1, logits.count))
        }
    }

    @Test func theSeedSettlesTheTextWhateverTheThreads() throws {
        let model = try LanguageModel(sample)
        let prompt = try model.prompt("And it came to pass")
        func text(seed: UInt64, threads: Int) throws -> [Int] {
            var tokens: [Int] = []
            let transformer = try Transformer(model.weights, threads: threads)
            _ = try transformer.generate(
                prompt, cache: KVCache(model.config), most: 40, ends: [],
                sampler: Sampler(temperature: 0.9, topK: 40, topP: 0.95, minP: 0.05, seed: seed)
            ) { tokens.append($0); return true }
            return tokens
        }
        let first = try text(seed: 7, threads: 1)
        #expect(first.count == 40)
        for threads in [1, 2, 3, 5] { #expect(try text(seed: 7, threads: threads) == first, "\(threads) threads") }
        #expect(try text(seed: 8, threads: 1) != first)
    }

    /// Rows laid out anew (with AVX2) give the logits of rows as the file has them.
    @Test(arguments: [Compute.f32, .bf16]) func rowsInGroupsChangeNoLogits(_ compute: Compute) throws {
        let model = try LanguageModel(sample + "-Q4_K_M.gguf")
        let tokens = try model.prompt("And it came to pass, that he said unto them")
        func logits(grouped: Bool) throws -> [[Float]] {
            let transformer = try Transformer(model.weights, threads: 2, compute: compute)
            let cache = KVCache(model.config)
            if grouped { #expect(try transformer.groupRows() == (pannier_cpu_current() == PANNIER_CPU_AVX2)) }
            return try tokens.map { try transformer.lastLogits([$0], cache: cache) }
        }
        let plain = try logits(grouped: false), largest = plain.joined().map(abs).max() ?? 0
        #expect(largest > 5)
        // Activations of 16 bits are sometimes rounded to the other side.
        let tolerance = largest * (compute == .f32 ? 1e-5 : 2e-4)
        let furthest = zip(plain.joined(), try logits(grouped: true).joined()).map { abs($0 - $1) }.max()
        #expect(try #require(furthest) <= tolerance)
    }

    /// Long enough for the weights to be laid out anew.
    @Test func theSeedSettlesALongTextOfAQuantizedModel() throws {
        let model = try LanguageModel(sample + "-Q4_K_M.gguf")
        func text(threads: Int) throws -> [Int] {
            var tokens: [Int] = []
            let report = try Transformer(model.weights, threads: threads).generate(
                try model.prompt("And it came to pass"), cache: KVCache(model.config), most: 100, ends: [],
                sampler: Sampler(temperature: 0.9, topK: 40, topP: 0.95, minP: 0.05, seed: 7)
            ) { tokens.append($0); return true }
            #expect((report.layoutSeconds > 0) == (pannier_cpu_current() == PANNIER_CPU_AVX2))
            return tokens
        }
        let first = try text(threads: 1)
        #expect(first.count == 100)
        for threads in [1, 2, 3] { #expect(try text(threads: threads) == first, "\(threads) threads") }
    }
}
