// Models whose dimensions are known by name, from the tables in Formats/presets.

internal import Bytes
internal import JSONText
public import Tensors

/// A model that can be named instead of giving its config.
public struct Preset: Sendable {
    /// The word on the command line: "tinyllama-1.1b".
    public let name: String
    /// For people.
    public let title: String
    /// Names that its authors' own programs use, as they stand in checkpoints: "tiny_LLaMA_1b".
    public let aliases: [String]
    public let config: ModelConfig

    private static let builtIn = Result {
        try Layouts.embedded("preset").map { try Preset(text: $0.text, file: $0.path) }
    }

    /// All built-in presets.
    public static func all() throws -> [Preset] { try builtIn.get() }

    /// - Throws: `usage` listing the known names.
    public static func named(_ name: String) throws -> Preset {
        let all = try all()
        guard let preset = all.first(where: { $0.name == name || $0.aliases.contains(name) }) else {
            throw CheckpointError(
                .usage, "no preset is called \"\(name)\"", expected: all.map(\.name).joined(separator: ", "),
                remedy: "name one of these, or give a config with --config FILE")
        }
        return preset
    }
}

extension Preset {
    /// Reads a preset's table, or a user's own in the same form.
    init(text: [UInt8], file: String?) throws {
        try self.init(ConfigFields(JSONText.parse(text, file: file), file: file))
    }

    init(_ fields: ConfigFields) throws {
        let file = fields.file
        guard try fields.string("schema") == Preset.schema else {
            throw CheckpointError.malformed(
                "not a preset of this version", file: file, place: "schema", expected: "\"\(Preset.schema)\"")
        }
        guard let name = try fields.string("name") else {
            throw CheckpointError.malformed("a name is missing", file: file, place: "name")
        }
        self.name = name
        title = try fields.string("title") ?? name
        aliases = fields["aliases"]?.array?.compactMap(\.string) ?? []
        config = try ModelConfig(preset: fields)
    }

    static let schema = "pannier.preset/1"
}

extension ModelConfig {
    /// The dimensions in Pannier's own words.
    init(preset fields: ConfigFields) throws {
        let architecture = try fields.string("architecture") ?? "llama"
        guard Self.architectures.contains(architecture) else {
            throw CheckpointError.unsupported(
                "the model is no Llama", file: fields.file, place: "architecture",
                expected: Self.architectures.joined(separator: ", "), found: architecture)
        }
        let hidden = try fields.requiredInteger("hidden")
        let heads = try fields.requiredInteger("heads")
        var scaling = RoPEScaling.none
        if let object = try fields.object("rope_scaling") { scaling = try RoPEScaling(huggingFace: object) }
        self.init(
            architecture: architecture, layers: try fields.requiredInteger("layers"),
            hidden: hidden, heads: heads, kvHeads: try fields.integer("kv_heads"),
            headDim: try fields.integer("head_dim") ?? Self.headDim(hidden: hidden, heads: heads, file: fields.file),
            ffn: try fields.requiredInteger("ffn"), vocab: try fields.requiredInteger("vocab"),
            context: try fields.integer("context") ?? 2048, normEps: try fields.number("norm_eps") ?? 1e-5,
            ropeTheta: try fields.number("rope_theta"), ropeScaling: scaling,
            tiedOutput: try fields.bool("tied_output") ?? false, qkvBias: try fields.bool("qkv_bias") ?? false,
            attentionOutputBias: try fields.bool("attention_output_bias") ?? false,
            mlpBias: try fields.bool("mlp_bias") ?? false, slidingWindow: try fields.integer("sliding_window"),
            bosToken: try fields.integer("bos_token"), eosTokens: try fields.integers("eos_tokens"),
            name: try fields.string("title"))
        self = try checked(file: fields.file)
    }
}
