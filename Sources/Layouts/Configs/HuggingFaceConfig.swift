// config.json, as transformers' LlamaForCausalLM, MistralForCausalLM and Qwen2ForCausalLM read and write it.
//
// Source: the configuration classes of transformers 4.35 to 5 and the config.json files published with the models.
// Older files have rope_theta and rope_scaling at the top, newer ones rope_parameters; torch_dtype became dtype.

internal import Bytes
public import JSONText
public import Tensors

extension ModelConfig {
    /// Reads the members of a config.json.
    init(huggingFace fields: ConfigFields) throws {
        let type = try fields.string("model_type") ?? "llama"
        guard let defaults = HuggingFaceDefaults.of[type] else {
            throw CheckpointError.unsupported(
                "the model is no Llama", file: fields.file, place: "model_type",
                expected: HuggingFaceDefaults.of.keys.sorted().joined(separator: ", "), found: type)
        }
        if let activation = try fields.string("hidden_act"), activation != "silu" {
            throw CheckpointError.unsupported(
                "the activation is not a Llama's", file: fields.file, place: "hidden_act", expected: "silu",
                found: activation)
        }
        let hidden = try fields.requiredInteger("hidden_size")
        let heads = try fields.requiredInteger("num_attention_heads")
        // The newer object's members stand in the older one too where transformers 5 wrote it by that name.
        let rope = try fields.object("rope_parameters") ?? fields.object("rope_scaling")
        var scaling = try rope.map(RoPEScaling.init(huggingFace:)) ?? .none
        let context = try fields.integer("max_position_embeddings") ?? defaults.context
        if case .yarn(let factor, let original) = scaling, original == 0 {
            scaling = .yarn(factor: factor, originalContext: context)
        }
        // A Llama has none, whatever its config says.
        var window = type == "llama" ? nil : try fields.integer("sliding_window")
        // A Mistral config without the key means 4096, with null means none; Qwen2 has a switch beside it.
        if type == "mistral", fields.members["sliding_window"] == nil { window = 4096 }
        if type == "qwen2" {
            window = try Self.qwen2Window(window, layers: fields.integer("num_hidden_layers") ?? 0, fields)
        }
        let attentionBias = try fields.bool("attention_bias") ?? false
        self.init(
            architecture: type, layers: try fields.requiredInteger("num_hidden_layers"), hidden: hidden, heads: heads,
            kvHeads: try fields.integer("num_key_value_heads"),
            headDim: try fields.integer("head_dim") ?? Self.headDim(hidden: hidden, heads: heads, file: fields.file),
            ffn: try fields.requiredInteger("intermediate_size"), vocab: try fields.requiredInteger("vocab_size"),
            context: context, normEps: try fields.number("rms_norm_eps") ?? 1e-6,
            ropeTheta: try rope?.number("rope_theta") ?? fields.number("rope_theta"), ropeScaling: scaling,
            tiedOutput: try fields.bool("tie_word_embeddings") ?? false, qkvBias: defaults.qkvBias || attentionBias,
            attentionOutputBias: attentionBias, mlpBias: try fields.bool("mlp_bias") ?? false, slidingWindow: window,
            bosToken: try fields.integer("bos_token_id"), eosTokens: try fields.integers("eos_token_id"),
            padToken: try fields.integer("pad_token_id"),
            dtype: try fields.string("torch_dtype", "dtype").flatMap(DType.init(torchName:)), name: nil)
        self = try checked(file: fields.file)
    }

    /// Qwen2's window is for the layers from `max_window_layers` on, if it is switched on at all.
    private static func qwen2Window(_ window: Int?, layers: Int, _ fields: ConfigFields) throws -> Int? {
        guard try fields.bool("use_sliding_window") == true else { return nil }
        let first = try fields.integer("max_window_layers") ?? 28
        guard first > 0 else { return window ?? 4096 }
        guard first >= layers else {
            throw CheckpointError.unsupported(
                "a sliding window in some layers only is not carried", file: fields.file, place: "max_window_layers",
                expected: "0, or at least the number of layers", found: "\(first)")
        }
        return nil
    }

    /// The class of transformers that a model needs: Qwen2 is a Llama with biases on Q, K and V alone, Mistral one with
    /// a sliding window.
    private func huggingFaceType() throws -> String {
        let type =
            if qkvBias, !attentionOutputBias {
                "qwen2"
            } else if slidingWindow != nil || architecture == "mistral" {
                "mistral"
            } else {
                "llama"
            }
        let fault: String? =
            if attentionOutputBias != qkvBias, type != "qwen2" {
                "biases of the attention output alone"
            } else if type == "qwen2", mlpBias {
                "biases of the feed-forward layers without one of the attention output"
            } else if type == "mistral", qkvBias || mlpBias {
                "a sliding window with biases of all projections"
            } else {
                nil
            }
        if let fault {
            throw CheckpointError.unsupported(
                "no class of transformers that Pannier writes has \(fault)", remedy: "choose another layout")
        }
        return type
    }

    /// The config as transformers reads it, complete for the model's class.
    /// - Parameters:
    ///   - dtype: of the weights that are written beside it.
    ///   - original: the config.json of the source; what Pannier does not know of it is kept, in its order.
    /// - Throws: `unsupported` when no class has what the model has.
    public func huggingFaceConfig(dtype: DType?, original: JSONObject? = nil) throws -> JSONObject {
        let type = try huggingFaceType()
        let newStyle = original?["rope_parameters"]?.object != nil
        var out = original ?? [:]
        func set(_ key: String, _ value: JSONValue?) {
            // A key whose meaning does not change keeps its spelling, an absent default stays absent.
            if let value { out[key] = value }
        }
        func setUnlessDefault(_ key: String, _ value: JSONValue, default usual: JSONValue) {
            if value != usual || out[key] != nil { out[key] = value }
        }
        let className = JSONValue.array([.string(HuggingFaceDefaults.of[type]?.className ?? "LlamaForCausalLM")])
        set(
            "architectures",
            original?["model_type"]?.string == type ? original?["architectures"] ?? className : className)
        if original == nil {
            set("attention_bias", type == "llama" ? .bool(attentionOutputBias) : nil)
            set("attention_dropout", 0.0)
        } else {
            if type == "llama" { setUnlessDefault("attention_bias", .bool(attentionOutputBias), default: false) }
        }
        if bosToken != nil || out["bos_token_id"] != nil {
            set("bos_token_id", bosToken.map { JSONValue($0) } ?? .null)
        }
        if !eosTokens.isEmpty || out["eos_token_id"] != nil {
            set(
                "eos_token_id",
                eosTokens.isEmpty
                    ? .null : eosTokens.count == 1 ? JSONValue(eosTokens[0]) : .array(eosTokens.map { JSONValue($0) }))
        }
        let impliedHeadDim = heads > 0 && hidden % heads == 0 ? hidden / heads : 0
        if headDim != impliedHeadDim || out["head_dim"] != nil { set("head_dim", JSONValue(headDim)) }
        set("hidden_act", "silu")
        set("hidden_size", JSONValue(hidden))
        set("initializer_range", out["initializer_range"] ?? 0.02)
        set("intermediate_size", JSONValue(ffn))
        set("max_position_embeddings", JSONValue(context))
        if type == "llama" { setUnlessDefault("mlp_bias", .bool(mlpBias), default: false) }
        set("model_type", .string(type))
        set("num_attention_heads", JSONValue(heads))
        set("num_hidden_layers", JSONValue(layers))
        set("num_key_value_heads", JSONValue(kvHeads))
        if padToken != nil || out["pad_token_id"] != nil {
            set("pad_token_id", padToken.map { JSONValue($0) } ?? .null)
        }
        set("rms_norm_eps", .number(normEps))
        setRoPE(&out, newStyle: newStyle)
        if type != "llama" {
            if type == "qwen2" {
                if slidingWindow != nil { set("max_window_layers", 0) }
                if original == nil || slidingWindow != nil { set("use_sliding_window", .bool(slidingWindow != nil)) }
            }
            if slidingWindow != nil || type == "mistral" {
                set("sliding_window", slidingWindow.map { JSONValue($0) } ?? .null)
            }
        }
        set("tie_word_embeddings", .bool(tiedOutput))
        if let name = (dtype ?? self.dtype)?.torchName {
            set(original?["dtype"] != nil ? "dtype" : "torch_dtype", .string(name))
        }
        set("transformers_version", out["transformers_version"] ?? "4.35.0")
        set("use_cache", out["use_cache"] ?? true)
        set("vocab_size", JSONValue(vocab))
        return out
    }

    private func setRoPE(_ out: inout JSONObject, newStyle: Bool) {
        if newStyle {
            // Only what differs is touched: a config that says the same in other words stays as it is.
            if let said = out["rope_parameters"], let fields = try? ConfigFields(said, file: nil),
                (try? RoPEScaling(huggingFace: fields)) == ropeScaling, (try? fields.number("rope_theta")) == ropeTheta
            {
                return
            }
            var members = ropeScaling.huggingFace ?? ["rope_type": "default"]
            if let ropeTheta { members["rope_theta"] = .number(ropeTheta) }
            out["rope_parameters"] = .object(members)
            return
        }
        if let said = out["rope_scaling"], let fields = try? ConfigFields(said, file: nil),
            (try? RoPEScaling(huggingFace: fields)) == ropeScaling
        {
        } else {
            out["rope_scaling"] = ropeScaling.huggingFace.map(JSONValue.object) ?? .null
        }
        if let ropeTheta, out["rope_theta"]?.number != ropeTheta { out["rope_theta"] = .number(ropeTheta) }
    }
}

extension RoPEScaling {
    /// Reads rope_scaling or rope_parameters.
    init(huggingFace fields: ConfigFields) throws {
        func factor() throws -> Double {
            guard let factor = try fields.number("factor") else {
                throw fields.fault("RoPE scaling has no factor", "factor", expected: "a number", found: nil)
            }
            return factor
        }
        switch try fields.string("rope_type", "type") ?? "default" {
        case "default": self = .none
        case "linear": self = .linear(factor: try factor())
        case "dynamic": self = .dynamic(factor: try factor())
        case "llama3":
            guard let low = try fields.number("low_freq_factor"), let high = try fields.number("high_freq_factor"),
                let original = try fields.integer("original_max_position_embeddings")
            else {
                throw fields.fault(
                    "Llama 3's RoPE scaling is incomplete", "rope_type",
                    expected: "low_freq_factor, high_freq_factor and original_max_position_embeddings", found: nil)
            }
            self = .llama3(
                factor: try factor(), lowFrequencyFactor: low, highFrequencyFactor: high, originalContext: original)
        case "yarn":
            // 0 stands for "the context", which the caller knows.
            self = .yarn(
                factor: try factor(), originalContext: try fields.integer("original_max_position_embeddings") ?? 0)
        case let other:
            throw CheckpointError.unsupported(
                "this kind of RoPE scaling is not carried", file: fields.file, place: fields.place,
                expected: "default, linear, dynamic, llama3 or yarn", found: other)
        }
    }

    /// The members of rope_scaling, with the older "type" beside "rope_type" where both are read; nil for none.
    var huggingFace: JSONObject? {
        switch self {
        case .none: nil
        case .linear(let factor): ["type": "linear", "rope_type": "linear", "factor": .number(factor)]
        case .dynamic(let factor): ["type": "dynamic", "rope_type": "dynamic", "factor": .number(factor)]
        case .llama3(let factor, let low, let high, let original):
            [
                "factor": .number(factor), "high_freq_factor": .number(high), "low_freq_factor": .number(low),
                "original_max_position_embeddings": JSONValue(original), "rope_type": "llama3",
            ]
        case .yarn(let factor, let original):
            [
                "factor": .number(factor), "original_max_position_embeddings": JSONValue(original), "type": "yarn",
                "rope_type": "yarn",
            ]
        }
    }
}

/// What transformers takes where a config.json of this type is silent.
private struct HuggingFaceDefaults {
    let className: String
    let context: Int
    let qkvBias: Bool

    static let of: [String: HuggingFaceDefaults] = [
        "llama": .init(className: "LlamaForCausalLM", context: 2048, qkvBias: false),
        "mistral": .init(className: "MistralForCausalLM", context: 131_072, qkvBias: false),
        "qwen2": .init(className: "Qwen2ForCausalLM", context: 32_768, qkvBias: true),
    ]
}

extension DType {
    /// PyTorch's name, as torch_dtype has it.
    public var torchName: String? {
        switch self {
        case .f16: "float16"
        case .bf16: "bfloat16"
        case .f32: "float32"
        case .f64: "float64"
        default: nil
        }
    }

    public init?(torchName: String) {
        guard
            let type = [DType.f16, .bf16, .f32, .f64].first(where: {
                $0.torchName == torchName || "torch." + ($0.torchName ?? "") == torchName
            })
        else { return nil }
        self = type
    }
}
