// Rotary position embeddings: Su et al., "RoFormer" (arXiv:2104.09864), and the ways to stretch them.

internal import Bytes
internal import Platform
internal import Tensors

/// The angles by which the pairs of a head are turned at each position. Computed in f64 and rounded to f32.
struct RotaryEmbedding: Sendable {
    let half: Int
    private let headDim: Int
    private let base: Double
    private let context: Int
    private let scaling: RoPEScaling
    private let factors: [Float]?

    /// - Throws: `unsupported` for YaRN and for heads of odd width.
    init(_ config: ModelConfig, factors: [Float]? = nil) throws {
        guard config.headDim % 2 == 0 else {
            throw CheckpointError.unsupported("RoPE turns pairs, and heads are \(config.headDim) wide")
        }
        if case .yarn = config.ropeScaling {
            throw CheckpointError.unsupported(
                "the forward pass does not compute YaRN's RoPE scaling", expected: "none, linear, llama3 or dynamic")
        }
        if let factors { try Self.check(factors: factors.count, of: config) }
        half = config.headDim / 2
        headDim = config.headDim
        base = config.ropeTheta ?? 10000
        context = max(1, config.context)
        scaling = config.ropeScaling
        self.factors = factors
    }

    /// Compares the number of RoPE's factors with the pairs of a head.
    /// - Throws: `malformed` when they differ.
    static func check(factors count: Int, of config: ModelConfig) throws {
        guard count != config.headDim / 2 else { return }
        throw CheckpointError.malformed(
            "RoPE's factors do not fit the head", expected: "\(config.headDim / 2) values", found: "\(count)",
            remedy: "the tensor is another model's, or the file is damaged")
    }

    /// Radians per position of each pair, for a sequence of `length` tokens.
    func frequencies(length: Int) -> [Double] {
        var base = base
        if case .dynamic(let factor) = scaling, length > context, headDim > 2 {
            let stretch = factor * Double(length) / Double(context) - (factor - 1)
            base *= pow(stretch, Double(headDim) / Double(headDim - 2))
        }
        return (0..<half).map { pair in
            let frequency = pow(base, -Double(2 * pair) / Double(headDim)) / Double(factors?[pair] ?? 1)
            switch scaling {
            case .linear(let factor): return frequency / factor
            case .llama3(let factor, let low, let high, let original):
                // Long waves are slowed down by the factor, short ones stay, and those between are blended.
                let turns = Double(original) * frequency / (2 * Double.pi)
                if turns < low { return frequency / factor }
                if turns > high { return frequency }
                let smooth = (turns - low) / (high - low)
                return (1 - smooth) * frequency / factor + smooth * frequency
            default: return frequency
            }
        }
    }

    /// Cosines and sines for positions `first ..< first + count`, `half` of each a position.
    /// - Parameter length: tokens of the sequence that these positions are read with. A dynamic scaling follows it: the
    ///   batches of one reading have one base.
    func fill(
        _ cosine: UnsafeMutablePointer<Float>, _ sine: UnsafeMutablePointer<Float>, first: Int, count: Int, length: Int
    ) {
        let frequencies = frequencies(length: length)
        for token in 0..<count {
            for (pair, frequency) in frequencies.enumerated() {
                let angle = Double(first + token) * frequency
                cosine[token * half + pair] = Float(cos(angle))
                sine[token * half + pair] = Float(sin(angle))
            }
        }
    }
}
