// The tokenizer files of a model's folder, in Hugging Face's naming: tokenizer.model, tokenizer.json,
// tokenizer_config.json, added_tokens.json, special_tokens_map.json and chat_template.jinja.

internal import Bytes
public import JSONText
internal import OrderedCollections

/// tokenizer_config.json: which tokens are special and how the tokenizer is used.
public struct TokenizerConfig: Sendable {
    public var addBos: Bool?
    /// Contents of the special tokens by role: "bos", "eos", "unk", "pad".
    public var specialTokens: [String: String] = [:]
    /// `added_tokens_decoder`, by rising id.
    public var addedTokens: [AddedToken] = []
    /// The default template where several are named.
    public var chatTemplate: String?
    public var legacy: Bool?
    public var addPrefixSpace: Bool?

    public init() {}

    /// - Throws: `malformed` where an added token's id is no id.
    public init(_ json: JSONValue, file: String? = nil) throws {
        addBos = json["add_bos_token"]?.bool
        legacy = json["legacy"]?.bool
        addPrefixSpace = json["add_prefix_space"]?.bool
        merge(specialTokens: json)
        if let templates = json["chat_template"]?.array {
            let named = templates.first { $0["name"]?.string == "default" } ?? templates.first
            chatTemplate = named?["template"]?.string
        } else {
            chatTemplate = json["chat_template"]?.string
        }
        for (key, entry) in json["added_tokens_decoder"]?.object ?? [:] {
            guard let id = Int(key), id >= 0, let token = AddedToken(entry, id: id) else {
                throw CheckpointError.malformed(
                    "an added token without id or content", file: file, place: "added_tokens_decoder.\(key)")
            }
            addedTokens.append(token)
        }
        addedTokens.sort { $0.id < $1.id }
    }

    /// Takes `bos_token` and the others from tokenizer_config.json or special_tokens_map.json, as texts or objects.
    mutating func merge(specialTokens json: JSONValue) {
        for role in ["bos", "eos", "unk", "pad"] where specialTokens[role] == nil {
            let entry = json["\(role)_token"]
            if let content = entry?.string ?? entry?["content"]?.string { specialTokens[role] = content }
        }
    }
}

/// What a model's folder has of a tokenizer, parsed.
public struct TokenizerFiles: Sendable {
    public var sentencePiece: SentencePieceModel?
    public var json: TokenizerJSON?
    public var config: TokenizerConfig?
    /// added_tokens.json: content and id, by rising id.
    public var addedTokens: [(content: String, id: Int)] = []
    /// Where the vocabulary came from.
    public var path: String

    /// Bounds on the size of files with a vocabulary, and of the others.
    static let limit: UInt64 = 96 << 20
    private static let smallLimit: UInt64 = 16 << 20

    /// Reads the tokenizer files of a folder; nil where it has no vocabulary.
    /// - Parameter preferJSON: read tokenizer.json even where tokenizer.model is there.
    public init?(folder: String, preferJSON: Bool = false) throws {
        let modelPath = Paths.join(folder, "tokenizer.model"), jsonPath = Paths.join(folder, "tokenizer.json")
        let hasModel = Paths.kind(modelPath) == .file, hasJSON = Paths.kind(jsonPath) == .file
        guard hasModel || hasJSON else { return nil }
        path = hasModel && !(preferJSON && hasJSON) ? modelPath : jsonPath
        if path == modelPath {
            sentencePiece = try SentencePieceModel(File(modelPath).contents(limit: Self.limit), file: modelPath)
        } else {
            json = try TokenizerJSON(JSONText.read(jsonPath, limit: Self.limit), file: jsonPath)
        }
        let configPath = Paths.join(folder, "tokenizer_config.json")
        if Paths.kind(configPath) == .file {
            config = try TokenizerConfig(JSONText.read(configPath, limit: Self.smallLimit), file: configPath)
        }
        let mapPath = Paths.join(folder, "special_tokens_map.json")
        if Paths.kind(mapPath) == .file {
            config = config ?? TokenizerConfig()
            config?.merge(specialTokens: try JSONText.read(mapPath, limit: Self.smallLimit))
        }
        let templatePath = Paths.join(folder, "chat_template.jinja")
        if config?.chatTemplate == nil, Paths.kind(templatePath) == .file {
            config = config ?? TokenizerConfig()
            let bytes = try File(templatePath).contents(limit: 1 << 20)
            config?.chatTemplate = String(decoding: bytes, as: UTF8.self)
        }
        let addedPath = Paths.join(folder, "added_tokens.json")
        if Paths.kind(addedPath) == .file {
            for (content, value) in try JSONText.read(addedPath, limit: Self.limit).object ?? [:] {
                guard let id = value.integer, id >= 0 else {
                    throw CheckpointError.malformed("an added token without an id", file: addedPath, place: content)
                }
                addedTokens.append((content, id))
            }
            addedTokens.sort { $0.id < $1.id }
        }
    }
}
