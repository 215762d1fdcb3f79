// The dimensions of a model of the Llama family, whatever file they were written in.

/// How positions are turned into rotation angles.
public enum RoPEScaling: Sendable, Hashable {
    case none
    /// Positions are divided by `factor` (TinyLlama's `condense_ratio`, Hugging Face's "linear").
    case linear(factor: Double)
    /// Llama 3.1's interpolation between low and high frequencies.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
    /// Hugging Face's "dynamic" NTK scaling: the base grows when the sequence is longer than the context.
    case dynamic(factor: Double)
    /// YaRN: carried through conversions, not computed by the forward pass.
    case yarn(factor: Double, originalContext: Int)

    /// By how much positions are stretched; nil where they are not.
    public var factor: Double? {
        switch self {
        case .none: nil
        case .linear(let factor), .dynamic(let factor), .llama3(let factor, _, _, _), .yarn(let factor, _): factor
        }
    }
}

/// The dimensions and constants of a decoder-only transformer of the Llama family.
///
/// Counts are numbers of elements, heads or layers. What a source did not say is nil and stays unsaid in what is
/// written, unless the target's format needs it.
public struct ModelConfig: Sendable, Hashable {
    /// GGUF's name of the architecture, which is also Hugging Face's `model_type`: "llama", "mistral", "qwen2".
    public var architecture: String
    public var layers: Int
    /// Width of the residual stream.
    public var hidden: Int
    /// Query heads.
    public var heads: Int
    /// Key/value heads; `heads` is a multiple of it.
    public var kvHeads: Int
    /// Width of one head. Usually hidden / heads.
    public var headDim: Int
    /// Width of the gated feed-forward layer.
    public var ffn: Int
    /// Rows of the embedding (Lit-GPT's padded_vocab_size).
    public var vocab: Int
    /// Longest sequence it was trained for.
    public var context: Int
    public var normEps: Double
    /// RoPE's base; nil when the source leaves it unsaid (10000 by convention).
    public var ropeTheta: Double?
    public var ropeScaling: RoPEScaling
    /// The output projection is the embedding.
    public var tiedOutput: Bool
    /// Q, K and V have biases (Qwen2).
    public var qkvBias: Bool
    /// The attention output has a bias.
    public var attentionOutputBias: Bool
    /// The feed-forward projections have biases.
    public var mlpBias: Bool
    /// Positions each token may look back; nil for all.
    public var slidingWindow: Int?
    public var bosToken: Int?
    public var eosTokens: [Int]
    public var padToken: Int?
    /// The dtype that the source says its weights have.
    public var dtype: DType?
    /// The model's own name, where its config has one.
    public var name: String?

    public init(
        architecture: String = "llama", layers: Int, hidden: Int, heads: Int, kvHeads: Int? = nil,
        headDim: Int? = nil, ffn: Int, vocab: Int, context: Int = 2048, normEps: Double = 1e-5,
        ropeTheta: Double? = nil, ropeScaling: RoPEScaling = .none, tiedOutput: Bool = false, qkvBias: Bool = false,
        attentionOutputBias: Bool = false, mlpBias: Bool = false, slidingWindow: Int? = nil, bosToken: Int? = nil,
        eosTokens: [Int] = [], padToken: Int? = nil, dtype: DType? = nil, name: String? = nil
    ) {
        self.architecture = architecture
        self.layers = layers
        self.hidden = hidden
        self.heads = heads
        self.kvHeads = kvHeads ?? heads
        self.headDim = headDim ?? (heads > 0 ? hidden / heads : 0)
        self.ffn = ffn
        self.vocab = vocab
        self.context = context
        self.normEps = normEps
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.tiedOutput = tiedOutput
        self.qkvBias = qkvBias
        self.attentionOutputBias = attentionOutputBias
        self.mlpBias = mlpBias
        self.slidingWindow = slidingWindow
        self.bosToken = bosToken
        self.eosTokens = eosTokens
        self.padToken = padToken
        self.dtype = dtype
        self.name = name
    }

    /// Query heads that share one key/value head.
    public var queriesPerGroup: Int { kvHeads > 0 ? heads / kvHeads : 0 }
    /// Rows of the query projection.
    public var queryRows: Int { heads &* headDim }
    /// Rows of the key and of the value projection.
    public var kvRows: Int { kvHeads &* headDim }

    /// The largest dimension a config may claim. Far above any model, and small enough that products of three fit.
    public static let largestDimension = 1 << 20
    /// Tokens of a context, at most: places in it are counted in machine words.
    public static let longestContext = 1 << 40

    /// What makes the dimensions impossible, or nil when they are sound.
    public var fault: (field: String, expected: String, found: String)? {
        for (name, value) in [
            ("layers", layers), ("hidden", hidden), ("heads", heads), ("key/value heads", kvHeads),
            ("head width", headDim), ("feed-forward width", ffn), ("vocabulary", vocab),
        ] where value < 1 || value > Self.largestDimension {
            return (name, "1 ... \(Self.largestDimension)", "\(value)")
        }
        if heads % kvHeads != 0 {
            return ("heads", "a multiple of the \(kvHeads) key/value heads", "\(heads)")
        }
        if context < 0 || context > Self.longestContext { return ("context", "0 ... \(Self.longestContext)", "\(context)") }
        if let window = slidingWindow, window < 0 || window > Self.longestContext {
            return ("sliding window", "0 ... \(Self.longestContext)", "\(window)")
        }
        // They are computed with, and written to GGUF, in single precision.
        func fits(_ value: Double) -> Bool { Float(value).isNormal && value > 0 }
        if let ropeTheta, !fits(ropeTheta) { return ("RoPE base", "a positive number in single precision", "\(ropeTheta)") }
        if let factor = ropeScaling.factor, !fits(factor) {
            return ("RoPE scaling factor", "a positive number in single precision", "\(factor)")
        }
        if !(normEps >= 0 && normEps < 1) { return ("norm epsilon", "0 ..< 1", "\(normEps)") }
        return nil
    }
}
