// lit_config.json (early Lit-GPT, TinyLlama's fork) and model_config.yaml (today's litgpt): the same fields, as both
// dump their Config class, with a few renamed over time.
//
// Source: litgpt 0.5's Config class; TinyLlama's lit_gpt/config.py, which has condense_ratio, _norm_class and
// _mlp_class, and whose model code uses RoPE's base 10000 always.

internal import Bytes
public import JSONText
public import Tensors

extension ModelConfig {
    static func litGPT(_ fields: ConfigFields) throws -> (ModelConfig, Set<UnsaidFact>) {
        func size(_ key: String) throws -> Int? {
            guard let size = try fields.integer(key) else { return nil }
            guard (1...largestDimension).contains(size) else {
                throw fields.fault(
                    "the size cannot be", key, expected: "1 ... \(largestDimension)", found: fields[key])
            }
            return size
        }
        try refuseOtherFamilies(fields)
        let hidden = try fields.requiredInteger("n_embd")
        let heads = try fields.requiredInteger("n_head")
        // The rows of the embedding are padded_vocab_size; without it, vocab_size rounded up.
        let unpadded = try size("vocab_size"), padding = try size("padding_multiple") ?? 512
        guard
            let vocab = try fields.integer("padded_vocab_size")
                ?? (unpadded ?? fields.requiredInteger("vocab_size")).alignedUp(to: padding)
        else {
            throw CheckpointError.malformed("the vocabulary does not fit", file: fields.file, place: "vocab_size")
        }
        let bias = try fields.bool("bias")
        var unsaid: Set<UnsaidFact> = []
        // The switch is for all projections in Lit-GPT, but not for the feed-forward ones in TinyLlama's fork.
        if bias != false { unsaid.insert(.biases) }
        let config = ModelConfig(
            layers: try fields.requiredInteger("n_layer"), hidden: hidden, heads: heads,
            kvHeads: try fields.integer("n_query_groups"),
            headDim: try fields.integer("head_size") ?? headDim(hidden: hidden, heads: heads, file: fields.file),
            ffn: try fields.requiredInteger("intermediate_size"), vocab: vocab,
            context: try fields.integer("block_size") ?? 2048, normEps: try fields.number("norm_eps") ?? 1e-5,
            ropeTheta: try fields.number("rope_base") ?? 10000, ropeScaling: try ropeScaling(fields),
            qkvBias: try bias == true || fields.bool("attn_bias") == true, attentionOutputBias: bias == true,
            mlpBias: bias == true, slidingWindow: try fields.integer("sliding_window_size"),
            name: try fields.string("name").flatMap { $0.isEmpty ? nil : $0 })
        return (try config.checked(file: fields.file), unsaid)
    }

    /// Lit-GPT's fields describe several families; only a Llama's values pass.
    private static func refuseOtherFamilies(_ fields: ConfigFields) throws {
        func refuse(_ key: String, expected: String) -> CheckpointError {
            .unsupported(
                "the model is no Llama", file: fields.file, place: key, expected: expected,
                found: fields[key]?.text(.compact))
        }
        if let norm = try fields.string("norm_class_name", "_norm_class"), norm != "RMSNorm", norm != "FusedRMSNorm" {
            throw refuse(fields["norm_class_name"] == nil ? "_norm_class" : "norm_class_name", expected: "RMSNorm")
        }
        if let mlp = try fields.string("mlp_class_name", "_mlp_class"), mlp != "LLaMAMLP" {
            throw refuse(fields["mlp_class_name"] == nil ? "_mlp_class" : "mlp_class_name", expected: "LLaMAMLP")
        }
        if let rotary = try fields.number("rotary_percentage"), rotary != 1 {
            throw refuse("rotary_percentage", expected: "1.0")
        }
        for key in [
            "parallel_residual", "shared_attention_norm", "norm_qk", "post_attention_norm", "post_mlp_norm",
            "scale_embeddings", "lm_head_bias",
        ] where try fields.bool(key) == true {
            throw refuse(key, expected: "false")
        }
        for key in ["attention_logit_softcapping", "final_logit_softcapping", "attention_scores_scalar"]
        where fields[key] != nil {
            throw refuse(key, expected: "null")
        }
        if let experts = try fields.integer("n_expert"), experts != 0 { throw refuse("n_expert", expected: "0") }
    }

    private static func ropeScaling(_ fields: ConfigFields) throws -> RoPEScaling {
        if let adjustments = try fields.object("rope_adjustments"), let factor = try adjustments.number("factor") {
            if let low = try adjustments.number("low_freq_factor"),
                let high = try adjustments.number("high_freq_factor"),
                let original = try adjustments.integer("original_max_seq_len")
            {
                return .llama3(
                    factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext: original)
            }
            return .linear(factor: factor)
        }
        if let ratio = try fields.number("rope_condense_ratio", "condense_ratio"), ratio != 1 {
            return .linear(factor: ratio)
        }
        return .none
    }

    /// model_config.yaml as litgpt's Config.from_file reads it.
    /// - Parameter name: the model's; litgpt chooses prompts and special cases by it.
    /// - Throws: `unsupported` for what litgpt cannot say.
    public func litGPTConfig(name: String) throws -> JSONObject {
        try checkSayable()
        var out = litCommon(name: name)
        out["hf_config"] = .object(["name": .string(name), "org": ""])
        out["head_size"] = JSONValue(headDim)
        out["attn_bias"] = .bool(qkvBias && !mlpBias)
        out["lm_head_bias"] = false
        out["norm_class_name"] = "RMSNorm"
        out["mlp_class_name"] = "LLaMAMLP"
        // litgpt computes with whole numbers here where it can.
        out["rope_base"] = Self.shortest(ropeTheta ?? 10000)
        switch ropeScaling {
        case .none: out["rope_condense_ratio"] = 1
        case .linear(let factor): out["rope_condense_ratio"] = Self.shortest(factor)
        case .llama3(let factor, let low, let high, let original):
            out["rope_condense_ratio"] = 1
            out["rope_adjustments"] = .object([
                "factor": .number(factor), "low_freq_factor": .number(low), "high_freq_factor": .number(high),
                "original_max_seq_len": JSONValue(original),
            ])
        case .dynamic, .yarn: throw Self.unsayable("this RoPE scaling", found: "\(ropeScaling)")
        }
        if let slidingWindow { out["sliding_window_size"] = JSONValue(slidingWindow) }
        return Self.sortedByKey(out)
    }

    /// lit_config.json as early Lit-GPT and TinyLlama's fork read it.
    /// - Parameter mlpBiases: whether the switch for biases means those of the feed-forward layers too, as in early Lit-GPT.
    /// - Throws: `unsupported` for what they cannot say.
    public func litGPTEarlyConfig(name: String, mlpBiases: Bool) throws -> JSONObject {
        var out = litCommon(name: name)
        guard qkvBias == attentionOutputBias, mlpBias == (qkvBias && mlpBiases) else {
            throw Self.unsayable(
                "which projections have biases, with one switch for all",
                found: "Q, K, V \(qkvBias), attention output \(attentionOutputBias), feed-forward \(mlpBias)")
        }
        out["bias"] = .bool(qkvBias)
        guard headDim * heads == hidden else {
            throw Self.unsayable("a head width apart from n_embd / n_head", found: "\(headDim)")
        }
        if slidingWindow != nil { throw Self.unsayable("a sliding window", found: "\(slidingWindow ?? 0)") }
        // Later versions of early Lit-GPT have these two; the first ones, and TinyLlama's fork, refuse unknown keys.
        let base = ropeTheta ?? 10000
        if base != 10000 { out["rope_base"] = Self.shortest(base) }
        let ratio = base == 10000 ? "condense_ratio" : "rope_condense_ratio"
        out["_norm_class"] = "RMSNorm"
        out["_mlp_class"] = "LLaMAMLP"
        switch ropeScaling {
        case .none: out[ratio] = 1
        case .linear(let factor): out[ratio] = Self.shortest(factor)
        default: throw Self.unsayable("this RoPE scaling", found: "\(ropeScaling)")
        }
        return out
    }

    /// The fields that both have under the same names.
    private func litCommon(name: String) -> JSONObject {
        [
            "name": .string(name), "block_size": JSONValue(context), "vocab_size": JSONValue(vocab),
            "padding_multiple": 64, "padded_vocab_size": JSONValue(vocab), "n_layer": JSONValue(layers),
            "n_head": JSONValue(heads), "n_embd": JSONValue(hidden), "rotary_percentage": 1.0,
            "parallel_residual": false, "bias": .bool(mlpBias), "n_query_groups": JSONValue(kvHeads),
            "shared_attention_norm": false, "norm_eps": .number(normEps), "intermediate_size": JSONValue(ffn),
        ]
    }

    private func checkSayable() throws {
        if attentionOutputBias != mlpBias || (mlpBias && !qkvBias) {
            throw Self.unsayable(
                "which projections have biases: one switch is for all, another for Q, K and V",
                found: "attention output \(attentionOutputBias), feed-forward \(mlpBias)")
        }
    }

    private static func unsayable(_ what: String, found: String) -> CheckpointError {
        .unsupported("a Lit-GPT config cannot say \(what)", found: found, remedy: "choose another layout")
    }

    /// A whole number without a fraction.
    private static func shortest(_ value: Double) -> JSONValue {
        Int64(exactly: value).map(JSONValue.integer) ?? .number(value)
    }

    /// As litgpt's own dump orders the keys.
    private static func sortedByKey(_ object: JSONObject) -> JSONObject {
        JSONObject(object.sorted { Array($0.key.utf8).lexicographicallyPrecedes(Array($1.key.utf8)) })
    }
}
