// The dimensions of a model from a GGUF file's keys.
//
// Source: ggml's docs/gguf.md (key names and meanings). Which tensors have biases and whether the output is tied is
// not written in the keys; the tensors show it.

internal import Bytes
public import OrderedCollections
public import Tensors

extension ConfigFile {
    /// Reads `general.architecture` and the keys of that architecture.
    /// - Throws: `unsupported` for another architecture than a Llama's, `malformed` for impossible values.
    public init(gguf metadata: Metadata, path: String?) throws {
        guard let architecture = metadata["general.architecture"]?.string else {
            throw CheckpointError.malformed("the key is missing", file: path, place: "general.architecture")
        }
        guard ModelConfig.architectures.contains(architecture) else {
            throw CheckpointError.unsupported(
                "the model is no Llama", file: path, place: "general.architecture",
                expected: ModelConfig.architectures.joined(separator: ", "), found: architecture)
        }
        let keys = GGUFKeys(metadata: metadata, architecture: architecture, file: path)
        let hidden = try keys.required("embedding_length")
        let heads = try keys.required("attention.head_count")
        var unsaid: Set<UnsaidFact> = [.tiedOutput, .biases]
        var vocab = try keys.integer("vocab_size") ?? metadata["tokenizer.ggml.tokens"]?.array?.count
        if vocab == nil {
            unsaid.insert(.vocabulary)
            vocab = 32000
        }
        let headDim =
            try keys.integer("attention.key_length") ?? keys.integer("rope.dimension_count")
            ?? ModelConfig.headDim(hidden: hidden, heads: heads, file: path)
        if let values = try keys.integer("attention.value_length"), values != headDim {
            throw CheckpointError.unsupported(
                "keys and values have different widths", file: path, expected: "\(headDim)", found: "\(values)")
        }
        if let rotated = try keys.integer("rope.dimension_count"), rotated != headDim {
            throw CheckpointError.unsupported(
                "only a part of each head is rotated", file: path, place: "\(architecture).rope.dimension_count",
                expected: "\(headDim)", found: "\(rotated)")
        }
        let config = ModelConfig(
            architecture: architecture, layers: try keys.required("block_count"), hidden: hidden, heads: heads,
            kvHeads: try keys.integer("attention.head_count_kv"), headDim: headDim,
            ffn: try keys.required("feed_forward_length"), vocab: vocab ?? 32000,
            context: try keys.integer("context_length") ?? 2048,
            normEps: try keys.number("attention.layer_norm_rms_epsilon") ?? 1e-5,
            ropeTheta: try keys.number("rope.freq_base"), ropeScaling: try keys.ropeScaling(),
            slidingWindow: try keys.integer("attention.sliding_window").flatMap { $0 > 0 ? $0 : nil },
            bosToken: metadata["tokenizer.ggml.bos_token_id"]?.integer,
            eosTokens: metadata["tokenizer.ggml.eos_token_id"]?.integer.map { [$0] } ?? [],
            padToken: metadata["tokenizer.ggml.padding_token_id"]?.integer,
            name: metadata["general.name"]?.string)
        self.init(kind: .gguf, path: path, config: try config.checked(file: path), unsaid: unsaid)
    }
}

/// The keys that begin with the architecture.
private struct GGUFKeys {
    let metadata: Metadata
    let architecture: String
    let file: String?

    private func value(_ key: String) -> MetadataValue? { metadata["\(architecture).\(key)"] }

    func integer(_ key: String) throws -> Int? {
        guard let value = value(key) else { return nil }
        guard let integer = value.integer else {
            throw CheckpointError.unsupported(
                "the value is not one whole number", file: file, place: "\(architecture).\(key)",
                expected: "an integer", found: value.type.name,
                remedy: value.array == nil ? nil : "models whose layers differ are not carried")
        }
        return integer
    }

    func required(_ key: String) throws -> Int {
        guard let value = try integer(key) else {
            throw CheckpointError.malformed("the key is missing", file: file, place: "\(architecture).\(key)")
        }
        return value
    }

    /// A float32 is taken for the decimal it was made from: 1e-5, not 9.99999974e-06.
    func number(_ key: String) throws -> Double? {
        guard let value = value(key) else { return nil }
        let number = if case .f32(let single) = value { Double(single.description) } else { value.number }
        guard let number, number.isFinite else {
            throw CheckpointError.malformed(
                "the value is not a number", file: file, place: "\(architecture).\(key)", found: value.type.name)
        }
        return number
    }

    func ropeScaling() throws -> RoPEScaling {
        // Files from before 2023-11 have the factor alone.
        let kind = value("rope.scaling.type")?.string ?? (value("rope.scale_linear") == nil ? "none" : "linear")
        func factor() throws -> Double {
            guard let factor = try number("rope.scaling.factor") ?? number("rope.scale_linear") else {
                throw CheckpointError.malformed(
                    "RoPE scaling has no factor", file: file, place: "\(architecture).rope.scaling.factor")
            }
            return factor
        }
        switch kind {
        case "none": return .none
        case "linear":
            let factor = try factor()
            return factor == 1 ? .none : .linear(factor: factor)
        case "yarn":
            return .yarn(
                factor: try factor(),
                originalContext: try integer("rope.scaling.original_context_length") ?? integer("context_length")
                    ?? 2048)
        default:
            throw CheckpointError.unsupported(
                "this kind of RoPE scaling is not carried", file: file, place: "\(architecture).rope.scaling.type",
                expected: "none, linear or yarn", found: kind)
        }
    }
}
