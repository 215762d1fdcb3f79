// Llama 3's RoPE scaling as GGUF's tensor of factors, and back.

import ModelFiles
import Tensors
import Testing

@Suite struct RoPEFactorsBothWays {
    static func config(_ scaling: RoPEScaling, theta: Double = 500_000) -> ModelConfig {
        ModelConfig(
            layers: 1, hidden: 128, heads: 2, headDim: 64, ffn: 8, vocab: 9, ropeTheta: theta, ropeScaling: scaling)
    }

    @Test func publishedScalingsComeBack() throws {
        for (factor, original) in [(8.0, 8192), (32.0, 8192), (4.0, 4096), (16.0, 300)] {
            let scaling = RoPEScaling.llama3(
                factor: factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: original)
            let values = try #require(RoPEFactors.values(for: Self.config(scaling)))
            #expect(values.count == 32)
            #expect(RoPEFactors.scaling(of: values, in: Self.config(.none)) == scaling)
        }
    }

    /// What no model was published with: the same factors come from other numbers in the same ratios.
    @Test(arguments: [(2.0, 4.0), (1.0, 8.0), (2.0, 7.0), (1.0, 2.0), (1.5, 6.0)])
    func otherBoundsComeBackAsTheSameFactors(low: Double, high: Double) throws {
        for (factor, original, headDim) in [(8.0, 8192, 64), (32.0, 8192, 128), (4.0, 64, 16)] {
            var config = Self.config(
                .llama3(factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext: original))
            config.headDim = headDim
            let values = try #require(RoPEFactors.values(for: config))
            config.ropeScaling = try #require(RoPEFactors.scaling(of: values, in: config))
            let again = try #require(RoPEFactors.values(for: config))
            #expect(zip(values, again).allSatisfy { abs($0 - $1) <= 1e-4 * $0 }, "\(config.ropeScaling)")
        }
    }

    @Test func withoutAFactorBetweenAnEqualScalingIsFound() throws {
        let scaling = RoPEScaling.llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 32)
        let narrow = ModelConfig(
            layers: 1, hidden: 64, heads: 4, ffn: 8, vocab: 9, ropeTheta: 500_000, ropeScaling: scaling)
        let values = try #require(RoPEFactors.values(for: narrow))
        #expect(values.allSatisfy { $0 == 1 || $0 == 8 })
        #expect(RoPEFactors.scaling(of: values, in: narrow) == scaling)
    }

    @Test func otherFactorsAreNotTakenForLlama3s() {
        let config = Self.config(.none)
        #expect(RoPEFactors.scaling(of: Array(repeating: 1, count: 32), in: config) == RoPEScaling.none)
        for factors: [Float] in [
            [], [1, 2], Array(repeating: 2, count: 32), Array(repeating: .nan, count: 32),
            Array(repeating: .infinity, count: 32), Array(repeating: 0, count: 32), (1...32).map(Float.init),
        ] {
            #expect(RoPEFactors.scaling(of: factors, in: config) == nil)
        }
    }
}
