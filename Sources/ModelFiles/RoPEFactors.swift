// Llama 3.1's rotary frequencies as GGUF has them: not in the metadata but as a tensor of factors.

internal import Platform
public import Tensors

/// The tensor `rope_freqs.weight`, which a GGUF of a model with "llama3" scaling has as its first tensor: F32, one
/// value for every pair of a head, by which the pair's frequency is divided.
public enum RoPEFactors {
    public static let tensorName = "rope_freqs.weight"

    /// The factors, or nil when the model has no such scaling.
    ///
    /// Computed in single precision in the order of llama.cpp's converter (conversion/llama.py), so that the bytes are
    /// the same.
    public static func values(for config: ModelConfig) -> [Float]? {
        guard case .llama3(let factor, let low, let high, let original) = config.ropeScaling, config.headDim > 0 else {
            return nil
        }
        let base = Float(config.ropeTheta ?? 10000)
        let longest = Float(Double(original) / low)
        let shortest = Float(Double(original) / high)
        return stride(from: 0, to: config.headDim, by: 2).map { index in
            let frequency = 1 / powf(base, Float(index) / Float(config.headDim))
            // PyTorch divides a number by a tensor as the number times the reciprocal.
            let wavelength = (1 / frequency) * Float(2 * Double.pi)
            if wavelength < shortest { return 1 }
            if wavelength > longest { return Float(factor) }
            let smooth = ((1 / wavelength) * Float(original) - Float(low)) / Float(high - low)
            return 1 / ((1 - smooth) / Float(factor) + smooth)
        }
    }

    /// The scaling whose factors these are: the way back, for a GGUF that is converted to a form with a config.
    ///
    /// The largest factor is `factor` itself. Those between 1 and it lie on a line over the reciprocal wavelength, from
    /// which the original context and the upper bound come as multiples of the lower one: only their ratios show in the
    /// factors, so the lower bound is taken for 1, as in every published model, or for the next small number that makes the
    /// context whole.
    /// - Returns: `none` when all factors are 1; nil when the factors are no Llama 3's.
    public static func scaling(of factors: [Float], in config: ModelConfig) -> RoPEScaling? {
        guard factors.count == config.headDim / 2, let largest = factors.max(), largest.isFinite,
            factors.allSatisfy({ $0 >= 1 })
        else { return nil }
        if largest == 1 { return RoPEScaling.none }
        /// The reciprocal wavelength of a pair, and how far its factor lies from the largest (0) to 1 (1).
        func point(_ index: Int) -> (x: Double, smooth: Double) {
            let turns = pow(config.ropeTheta ?? 10000, -Double(2 * index) / Double(config.headDim)) / (2 * Double.pi)
            return (turns, (1 / Double(factors[index]) - 1 / Double(largest)) / (1 - 1 / Double(largest)))
        }
        let between = factors.indices.filter { factors[$0] > 1 && factors[$0] < largest }
        // The published upper bound; where there are two points, that of their line; else what is usual.
        var bounds: [Double] = [4]
        if let first = between.first, let last = between.last, first < last {
            let (a, b) = (point(first), point(last))
            let slope = (a.smooth - b.smooth) / (a.x - b.x)
            bounds.append(((1 - 1 / (a.smooth - slope * a.x)) * 1000).rounded() / 1000)
        } else {
            bounds += [2, 8, 16, 3, 6]
        }
        for low in between.isEmpty ? [1.0] : [1, 2, 3, 4, 6, 8] {
            for high in bounds where high.isFinite && high > 1 {
                // Without a factor between, any context does that gives these; it is a power of two in every published model.
                var contexts = [8192] + (4...24).map { 1 << $0 }
                if let index = between.first {
                    let (x, smooth) = point(index)
                    let context = low * (1 + (high - 1) * smooth) / x
                    contexts = context >= 1 && context < 1e9 ? [Int(context.rounded())] : []
                }
                for original in contexts {
                    var tried = config
                    tried.ropeScaling = .llama3(
                        factor: Double(largest), lowFrequencyFactor: low, highFrequencyFactor: low * high,
                        originalContext: original)
                    // The last bits depend on who computed them.
                    if let values = values(for: tried), zip(values, factors).allSatisfy({ abs($0 - $1) <= 1e-4 * $1 }) {
                        return tried.ropeScaling
                    }
                }
            }
        }
        return nil
    }
}
