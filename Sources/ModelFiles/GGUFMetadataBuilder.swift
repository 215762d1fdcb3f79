// The metadata of a GGUF file made from a checkpoint: keys, order, types and values as llama.cpp's convert_hf_to_gguf.py
// writes them (with the transformers library beside it, which fills what a config leaves unsaid). Meaning of the keys:
// ggml's docs/gguf.md.

internal import Bytes
internal import JSONText
public import OrderedCollections
public import Tensors
internal import Tokenizers

/// Builds the metadata of a GGUF file.
public struct GGUFMetadataBuilder: Sendable {
    public var config: ModelConfig
    /// The files beside the weights.
    public var folder: ModelFolder
    /// Overrides the name that folder, config and card give: `--model-name`.
    public var modelName: String?
    /// `general.file_type`: which block format most weights have.
    public var fileType: GGUFFileType
    /// Elements of all tensors that are written, `rope_freqs.weight` among them; 0 for a file with the vocabulary only.
    public var parameters: Int

    public init(
        config: ModelConfig, folder: ModelFolder, modelName: String? = nil, fileType: GGUFFileType, parameters: Int
    ) {
        self.config = config
        self.folder = folder
        self.modelName = modelName
        self.fileType = fileType
        self.parameters = parameters
    }

    /// GGUF's name of the architecture: Mistral's is Llama's.
    public var architecture: String { config.architecture == "qwen2" ? "qwen2" : "llama" }

    /// The metadata in the order of the file, and what a person should know about it.
    /// - Throws: `malformed` for tokenizer files that contradict themselves.
    public func build() throws -> (metadata: Metadata, warnings: [String]) {
        var metadata: Metadata = [:]
        var warnings = folder.warnings
        metadata["general.architecture"] = .string(architecture)
        metadata["general.type"] = .string("model")
        if let generation = folder.generationConfig { SamplingKeys.write(generation, to: &metadata) }
        var authorship = Authorship(
            card: folder.card, nameOrPath: folder.config?["_name_or_path"]?.string, folder: folder.name,
            parameters: parameters)
        if let modelName { authorship.name = modelName }
        authorship.write(to: &metadata)
        try writeDimensions(to: &metadata, warnings: &warnings)
        metadata["general.quantization_version"] = .u32(2)
        try writeTokenizer(to: &metadata, warnings: &warnings)
        return (metadata, warnings)
    }

    // MARK: Dimensions

    private func count(_ value: Int, _ what: String) throws -> MetadataValue {
        guard let value = UInt32(exactly: value) else {
            throw CheckpointError.malformed("a dimension does not fit in GGUF", place: what, found: "\(value)")
        }
        return .u32(value)
    }

    private func writeDimensions(to metadata: inout Metadata, warnings: inout [String]) throws {
        let prefix = architecture
        metadata["\(prefix).block_count"] = try count(config.layers, "layers")
        if config.context > 0 { metadata["\(prefix).context_length"] = try count(config.context, "context") }
        metadata["\(prefix).embedding_length"] = try count(config.hidden, "hidden")
        metadata["\(prefix).feed_forward_length"] = try count(config.ffn, "feed-forward width")
        metadata["\(prefix).attention.head_count"] = try count(config.heads, "heads")
        metadata["\(prefix).attention.head_count_kv"] = try count(config.kvHeads, "key/value heads")
        try writeScaling(prefix, to: &metadata, warnings: &warnings)
        metadata["\(prefix).rope.freq_base"] = .f32(Float(config.ropeTheta ?? 10000))
        metadata["\(prefix).attention.layer_norm_rms_epsilon"] = .f32(Float(config.normEps))
        if prefix == "llama" || saysHeadDim {
            metadata["\(prefix).attention.key_length"] = try count(config.headDim, "head width")
            metadata["\(prefix).attention.value_length"] = try count(config.headDim, "head width")
        }
        metadata["general.file_type"] = .u32(fileType.rawValue)
        if prefix == "llama" {
            metadata["llama.vocab_size"] = try count(config.vocab, "vocabulary")
            metadata["llama.rope.dimension_count"] = try count(config.headDim, "head width")
        }
        if config.slidingWindow != nil, prefix == "llama" {
            warnings.append(
                "GGUF's llama architecture has no sliding window: beyond \(config.slidingWindow ?? 0) tokens "
                    + "the model attends to all")
        }
    }

    /// Whether the width of a head has to be said: it is in the config, or is not the usual one.
    private var saysHeadDim: Bool {
        folder.config?["head_dim"]?.integer != nil || config.headDim != config.hidden / max(1, config.heads)
    }

    private func writeScaling(_ prefix: String, to metadata: inout Metadata, warnings: inout [String]) throws {
        let key = "\(prefix).rope.scaling"
        switch config.ropeScaling {
        case .none, .llama3: break  // Llama 3's scaling is a tensor: RoPEFactors.
        case .linear(let factor):
            metadata["\(key).type"] = .string("linear")
            metadata["\(key).factor"] = .f32(Float(factor))
        case .dynamic(let factor):
            warnings.append(
                "GGUF has no key for dynamic RoPE scaling (factor \(factor)): the file is "
                    + "right up to the trained context of \(config.context) tokens")
        case .yarn(let factor, let original):
            metadata["\(key).type"] = .string("yarn")
            metadata["\(key).factor"] = .f32(Float(factor))
            metadata["\(key).original_context_length"] = try count(original, "original context")
            let said = folder.config?["rope_parameters"] ?? folder.config?["rope_scaling"]
            for (name, sources) in [
                ("yarn_ext_factor", ["extrapolation_factor"]), ("yarn_attn_factor", ["attention_factor", "attn_factor"]),
                ("yarn_beta_fast", ["beta_fast"]), ("yarn_beta_slow", ["beta_slow"]),
            ] {
                if let value = sources.lazy.compactMap({ said?[$0]?.number }).first {
                    metadata["\(key).\(name)"] = .f32(Float(value))
                }
            }
        }
    }

    // MARK: Tokenizer

    /// The folder with a config.json that says which tokens are special, where it has none.
    private func saying(_ config: ModelConfig) -> ModelFolder {
        guard folder.config == nil else { return folder }
        var saying = folder, ids = JSONObject()
        for (role, id) in [("bos", config.bosToken), ("eos", config.eosTokens.first), ("pad", config.padToken)] {
            ids["\(role)_token_id"] = id.map { JSONValue($0) }
        }
        saying.config = .object(ids)
        return saying
    }

    private func writeTokenizer(to metadata: inout Metadata, warnings: inout [String]) throws {
        if architecture == "llama", let adds = folder.tokenizerConfig?["add_prefix_space"]?.bool {
            metadata["tokenizer.ggml.add_space_prefix"] = .bool(adds)
        }
        guard let vocabulary = try vocabulary(warnings: &warnings) else {
            metadata["tokenizer.ggml.model"] = .string("none")
            if metadata["\(architecture).vocab_size"] == nil {
                metadata["\(architecture).vocab_size"] = try count(config.vocab, "vocabulary")
            }
            return
        }
        vocabulary.write(to: &metadata)
        warnings += vocabulary.warnings
        let isBPE = vocabulary.model == "gpt2"
        let special = try GGUFSpecialTokens(
            saying(folder.completing(config)), vocabulary: isBPE ? nil : vocabulary.tokens.count, loadMerges: isBPE)
        special.write(to: &metadata)
        warnings += special.warnings
        if isBPE, special.merges.isEmpty { warnings.append("tokenizer.json has no merges: text will be cut into bytes") }
        // Two families that are known by nothing but the size of their vocabulary.
        if architecture == "llama", config.vocab == 32016 {
            // CodeLlama ends the middle of an infill with <EOT>.
            if metadata["tokenizer.ggml.eot_token_id"] == nil { metadata["tokenizer.ggml.eot_token_id"] = .u32(32010) }
        }
        if architecture == "llama", config.vocab == 49152 {
            // Granite's small models.
            metadata["tokenizer.ggml.add_bos_token"] = .bool(false)
        }
    }

    private func vocabulary(warnings: inout [String]) throws -> Vocabulary? {
        if let model = folder.sentencePiece {
            return try Vocabulary(sentencePiece: model, folder: folder, size: config.vocab)
        }
        guard let json = folder.tokenizerJSON else {
            warnings.append(
                "there is no tokenizer beside the weights: the GGUF has none and takes only token ids; "
                    + "put tokenizer.model or tokenizer.json there")
            return nil
        }
        switch Vocabulary.kind(of: json) {
        case .byteLevel: return try Vocabulary(byteLevelJSON: json, size: config.vocab)
        case .sentencePiece where architecture == "llama":
            return try Vocabulary(sentencePieceJSON: json, folder: folder, size: config.vocab)
        default:
            warnings.append(
                "tokenizer.json holds a \(json["model"]?["type"]?.string ?? "nameless") tokenizer that GGUF's "
                    + "\(architecture) has no place for: the GGUF has no tokenizer")
            return nil
        }
    }
}

/// `general.file_type`: llama.cpp's number for the block format that most tensors of a file have (`llama_ftype` in
/// include/llama.h).
public struct GGUFFileType: RawRepresentable, Sendable, Hashable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let f32 = GGUFFileType(rawValue: 0)
    public static let f16 = GGUFFileType(rawValue: 1)
    public static let q8_0 = GGUFFileType(rawValue: 7)
    public static let bf16 = GGUFFileType(rawValue: 32)

    /// The file type of a conversion to one dtype; nil for what no converter writes.
    public init?(_ dtype: DType) {
        switch dtype {
        case .f32, .f64: self = .f32
        case .f16: self = .f16
        case .bf16: self = .bf16
        case .q8_0: self = .q8_0
        default: return nil
        }
    }
}
