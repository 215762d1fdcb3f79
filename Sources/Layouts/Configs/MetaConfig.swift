// params.json, beside the consolidated.*.pth files of Meta's releases.
//
// Source: the model code and params.json files that Meta published with Llama 1 to 3. The feed-forward width is not
// written down but computed: two thirds of 4 dim, times ffn_dim_multiplier, rounded up to a multiple of multiple_of.

internal import Bytes
public import JSONText
public import Tensors

extension ModelConfig {
    static func meta(_ fields: ConfigFields) throws -> (ModelConfig, Set<UnsaidFact>) {
        let hidden = try fields.requiredInteger("dim")
        let heads = try fields.requiredInteger("n_heads")
        // Llama 1 and 2 say -1, meaning "as the tokenizer has it".
        var unsaid: Set<UnsaidFact> = []
        var vocab = try fields.integer("vocab_size") ?? -1
        if vocab < 0 {
            vocab = 32000
            unsaid.insert(.vocabulary)
        }
        var scaling = RoPEScaling.none
        if try fields.bool("use_scaled_rope") == true {
            scaling = .llama3(
                factor: try fields.number("rope_scaling_factor") ?? 8, lowFrequencyFactor: 1, highFrequencyFactor: 4,
                originalContext: 8192)
        }
        let config = ModelConfig(
            layers: try fields.requiredInteger("n_layers"), hidden: hidden, heads: heads,
            kvHeads: try fields.integer("n_kv_heads"),
            headDim: try fields.integer("head_dim") ?? headDim(hidden: hidden, heads: heads, file: fields.file),
            ffn: try fields.integer("hidden_dim") ?? ffn(hidden: hidden, fields), vocab: vocab,
            context: try fields.integer("max_seq_len") ?? 2048, normEps: try fields.number("norm_eps") ?? 1e-5,
            ropeTheta: try fields.number("rope_theta") ?? 10000, ropeScaling: scaling)
        return (try config.checked(file: fields.file), unsaid)
    }

    private static func ffn(hidden: Int, _ fields: ConfigFields) throws -> Int {
        let multiple = try fields.integer("multiple_of") ?? 256
        let multiplier = try fields.number("ffn_dim_multiplier")
        guard hidden > 0, hidden <= largestDimension, multiple > 0, multiple <= largestDimension,
            multiplier ?? 1 > 0, multiplier ?? 1 < 1000
        else {
            throw CheckpointError.malformed(
                "the feed-forward width cannot be computed", file: fields.file,
                expected: "dim, multiple_of and ffn_dim_multiplier of a sensible size")
        }
        return ffn(hidden: hidden, multiple: multiple, multiplier: multiplier) ?? 0
    }

    /// Meta's rule; nil when it does not fit.
    private static func ffn(hidden: Int, multiple: Int, multiplier: Double?) -> Int? {
        var width = 2 * (4 * hidden) / 3
        if let multiplier { width = Int(multiplier * Double(width)) }
        return width.alignedUp(to: multiple)
    }

    /// The config as Meta's programs read it.
    /// - Throws: `unsupported` for what params.json cannot say.
    public func metaConfig() throws -> JSONObject {
        func refuse(_ what: String, found: String) -> CheckpointError {
            .unsupported(
                "params.json cannot say \(what)", found: found, remedy: "choose another layout")
        }
        guard headDim * heads == hidden else {
            throw refuse("a head width apart from dim / n_heads", found: "\(headDim)")
        }
        if qkvBias || attentionOutputBias || mlpBias { throw refuse("biases", found: "biases") }
        if let slidingWindow { throw refuse("a sliding window", found: "\(slidingWindow)") }
        var out: JSONObject = [
            "dim": JSONValue(hidden), "n_layers": JSONValue(layers), "n_heads": JSONValue(heads),
            "n_kv_heads": JSONValue(kvHeads), "vocab_size": JSONValue(vocab),
        ]
        let (multiple, multiplier) = try ffnRule()
        if let multiplier { out["ffn_dim_multiplier"] = .number(multiplier) }
        out["multiple_of"] = JSONValue(multiple)
        out["norm_eps"] = .number(normEps)
        out["rope_theta"] = .number(ropeTheta ?? 10000)
        out["max_seq_len"] = JSONValue(context)
        switch ropeScaling {
        case .none: break
        case .llama3(let factor, 1, 4, 8192):
            out["use_scaled_rope"] = true
            if factor != 8 { out["rope_scaling_factor"] = .number(factor) }
        default: throw refuse("this RoPE scaling", found: "\(ropeScaling)")
        }
        return out
    }

    /// Numbers from which Meta's rule gives the feed-forward width.
    private func ffnRule() throws -> (multiple: Int, multiplier: Double?) {
        for multiple in [256, 1024, 4096, 512, 128, 64, 32, 16, 8, 4, 2, 1] where ffn % multiple == 0 {
            if Self.ffn(hidden: hidden, multiple: multiple, multiplier: nil) == ffn { return (multiple, nil) }
        }
        for multiple in [256, 1024, 128, 64, 32, 16, 8, 4, 2, 1] where ffn % multiple == 0 {
            // The middle of the range that rounds up to the width, to a few digits.
            let exact = (Double(ffn) - Double(multiple) / 2) / Double(2 * (4 * hidden) / 3)
            let multiplier = (exact * 1e6).rounded() / 1e6
            if Self.ffn(hidden: hidden, multiple: multiple, multiplier: multiplier) == ffn {
                return (multiple, multiplier)
            }
        }
        throw CheckpointError.unsupported("params.json cannot say this feed-forward width", found: "\(ffn)")
    }
}
