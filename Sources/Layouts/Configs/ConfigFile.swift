// The config beside a checkpoint, of whatever ecosystem: found, read, and turned into a ModelConfig.

internal import Bytes
public import JSONText
public import Tensors

/// Whose config it is.
public enum ConfigKind: String, Sendable, CaseIterable {
    /// config.json of transformers.
    case huggingFace = "config.json"
    /// model_config.yaml of today's litgpt.
    case litGPT = "model_config.yaml"
    /// lit_config.json of early Lit-GPT and of TinyLlama's fork.
    case litGPTEarly = "lit_config.json"
    /// params.json of Meta's releases.
    case meta = "params.json"
    /// Keys of a GGUF file.
    case gguf = "GGUF keys"
    /// A table of Formats/presets, or a user's own in that form.
    case preset = "preset"
}

/// A config that was read.
public struct ConfigFile: Sendable {
    public let kind: ConfigKind
    /// Nil when it came out of the checkpoint itself.
    public let path: String?
    public let config: ModelConfig
    /// What this kind of file cannot say and the tensors show.
    public let unsaid: Set<UnsaidFact>
    /// The whole document, so that what Pannier does not know survives; nil for GGUF.
    public let document: JSONObject?

    public init(
        kind: ConfigKind, path: String?, config: ModelConfig, unsaid: Set<UnsaidFact> = [], document: JSONObject? = nil
    ) {
        self.kind = kind
        self.path = path
        self.config = config
        self.unsaid = unsaid
        self.document = document
    }

    /// The same with a RoPE scaling that was found elsewhere.
    public func scaled(by scaling: RoPEScaling) -> ConfigFile {
        var config = config
        config.ropeScaling = scaling
        return ConfigFile(kind: kind, path: path, config: config, unsaid: unsaid, document: document)
    }

    /// A config file is at most this many bytes.
    static let sizeLimit: UInt64 = 1 << 20

    /// The names a config may have beside a checkpoint, the one that says most first.
    public static let fileNames = [
        ConfigKind.huggingFace, .litGPT, .litGPTEarly, .meta,
    ].map(\.rawValue)

    /// Reads the config that lies in a folder, if there is one.
    /// - Parameter preferred: whose config to take when there are several; otherwise the order of `fileNames`.
    public static func find(in folder: String, preferred: [ConfigKind] = []) throws -> ConfigFile? {
        for name in preferred.map(\.rawValue) + fileNames {
            let path = Paths.join(folder, name)
            if Paths.kind(path) == .file { return try read(path) }
        }
        return nil
    }

    /// Reads a config file of any kind. Its keys tell which kind it is; the file's name does not matter, except that
    /// YAML ends in .yaml or .yml.
    /// - Throws: `malformed` or `unsupported` naming the file and the key.
    public static func read(_ path: String) throws -> ConfigFile {
        let bytes = try File(path).contents(limit: sizeLimit)
        if path.hasSuffix(".yaml") || path.hasSuffix(".yml") {
            return try ConfigFile(document: FlatYAML.parse(bytes, file: path), path: path)
        }
        return try ConfigFile(document: JSONText.parse(bytes, file: path), path: path)
    }

    /// The config files to write beside a checkpoint in a layout, for its programs to load it as it stands.
    /// - Parameters:
    ///   - name: the model's.
    ///   - dtype: of the weights that are written.
    ///   - source: the config that was read; what Pannier does not know of a config.json is kept in another one.
    /// - Throws: `unsupported` for what such a file cannot say.
    public static func files(
        for layout: Layout, config: ModelConfig, name: String, dtype: DType?, source: ConfigFile? = nil
    ) throws -> [(name: String, text: String)] {
        try layout.configs.compactMap { kind in
            let text: String
            switch kind {
            case .huggingFace:
                let original = source?.kind == .huggingFace ? source?.document : nil
                text = JSONValue.object(try config.huggingFaceConfig(dtype: dtype, original: original)).text() + "\n"
            case .litGPT: text = FlatYAML.text(try config.litGPTConfig(name: name))
            case .litGPTEarly:
                let early = try config.litGPTEarlyConfig(name: name, mlpBiases: layout.holds(.ffnUpBias))
                text = JSONValue.object(early).text() + "\n"
            case .meta: text = JSONValue.object(try config.metaConfig()).text() + "\n"
            case .gguf, .preset: return nil
            }
            return (kind.rawValue, text)
        }
    }

    /// Takes a config out of its document.
    public init(document: JSONValue, path: String?) throws {
        let fields = try ConfigFields(document, file: path)
        let kind: ConfigKind
        var unsaid: Set<UnsaidFact> = []
        let config: ModelConfig
        if fields["schema"] != nil {
            kind = .preset
            config = try Preset(fields).config
        } else if fields["n_embd"] != nil {
            kind = path.map { $0.hasSuffix(".json") } == true ? .litGPTEarly : .litGPT
            (config, unsaid) = try ModelConfig.litGPT(fields)
        } else if fields["hidden_size"] != nil || fields["model_type"] != nil {
            kind = .huggingFace
            config = try ModelConfig(huggingFace: fields)
        } else if fields["dim"] != nil {
            kind = .meta
            (config, unsaid) = try ModelConfig.meta(fields)
        } else {
            throw CheckpointError.unsupported(
                "this is the config of no kind of Llama", file: path,
                expected: "keys like hidden_size (Hugging Face), n_embd (Lit-GPT) or dim (Meta)",
                found: fields.members.keys.prefix(4).joined(separator: ", "))
        }
        self.init(kind: kind, path: path, config: config, unsaid: unsaid, document: fields.members)
    }
}
