// The factors of Llama 3's RoPE scaling against PyTorch's arithmetic in single precision (Golden/rope-factors.json).

import JSONText
import ModelFiles
import Tensors
import Testing

@Suite struct RoPEFactorsPeerTests {
    @Test func factorsAreThoseOfTheConverter() throws {
        for entry in try goldenJSON("rope-factors.json").array ?? [] {
            let dim = entry["dim"]?.integer ?? 0
            let config = ModelConfig(
                layers: 1, hidden: dim, heads: 1, headDim: dim, ffn: 1, vocab: 1, ropeTheta: entry["base"]?.number,
                ropeScaling: .llama3(
                    factor: entry["factor"]?.number ?? 0, lowFrequencyFactor: entry["lo"]?.number ?? 0,
                    highFrequencyFactor: entry["hi"]?.number ?? 0, originalContext: entry["old"]?.integer ?? 0))
            let expected = entry["values"]?.array?.compactMap { $0.number.map { Float($0) } }
            let found = RoPEFactors.values(for: config)
            if [32, 64, 128].contains(dim) {
                #expect(found == expected, "\(entry["base"]?.number ?? 0), \(dim)")
            } else {
                // PyTorch's vectorized power and the C library's differ in a last bit here and there.
                #expect(found?.count == expected?.count)
                for (a, b) in zip(found ?? [], expected ?? []) { #expect(abs(a - b) <= abs(b) * 1e-6) }
            }
        }
    }

    @Test func otherScalingsHaveNone() {
        #expect(RoPEFactors.values(for: ModelConfig(layers: 1, hidden: 8, heads: 1, ffn: 1, vocab: 1)) == nil)
    }
}
