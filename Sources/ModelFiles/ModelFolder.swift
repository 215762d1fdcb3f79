// The files that lie beside a model's weights: config, tokenizer, chat template, model card.

internal import Bytes
public import JSONText
public import Tensors
public import Tokenizers

/// What lies beside a model's weights, parsed. Files that are not there are nil.
public struct ModelFolder: Sendable {
    /// The name that the model goes by: its folder's.
    public var name: String
    /// config.json, as it stands.
    public var config: JSONValue?
    public var generationConfig: JSONValue?
    public var tokenizerConfig: JSONValue?
    /// special_tokens_map.json
    public var specialTokensMap: JSONValue?
    public var tokenizerJSON: JSONValue?
    /// added_tokens.json: tokens and their ids in the order of the file.
    public var addedTokens: [(token: String, id: Int)] = []
    public var sentencePiece: SentencePieceModel?
    /// chat_template.jinja
    public var chatTemplate: String?
    /// chat_template.json's `chat_template`, in older folders of multimodal models.
    public var chatTemplateJSON: JSONValue?
    /// additional_chat_templates/NAME.jinja
    public var additionalTemplates: [(name: String, template: String)] = []
    /// README.md's front matter.
    public var card: FrontMatter?
    /// What could not be read and does not stop a conversion.
    public var warnings: [String] = []

    public init(name: String) { self.name = name }

    /// Sizes beyond these are refused: tokenizers of 256 thousand tokens take about 35 MB, other files less than one.
    static let largestJSON: UInt64 = 96 << 20
    static let largestText: UInt64 = 16 << 20

    /// Reads what lies beside a checkpoint.
    /// - Parameters:
    ///   - folder: the folder that its weights lie in.
    ///   - name: the name that the model goes by, where that is not the folder's.
    /// - Throws: `malformed` for a config or tokenizer file that is damaged. A damaged generation_config.json or model
    ///   card is a warning.
    public init(reading folder: String, name: String? = nil) throws {
        self.init(name: name ?? Paths.name(folder))
        func json(_ file: String) throws -> JSONValue? {
            let place = Paths.join(folder, file)
            guard Paths.kind(place) == .file else { return nil }
            let holdsTokens = file == "tokenizer.json" || file == "added_tokens.json"
            return try JSONText.read(place, limit: holdsTokens ? Self.largestJSON : Self.largestText)
        }
        func decoded(_ bytes: [UInt8], _ place: String) throws -> String {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw CheckpointError.malformed("the text is not valid UTF-8", file: place)
            }
            return text
        }
        func text(_ file: String) throws -> String? {
            let place = Paths.join(folder, file)
            guard Paths.kind(place) == .file else { return nil }
            return try decoded(File(place).contents(limit: Self.largestText), place)
        }
        config = try json("config.json")
        tokenizerConfig = try json("tokenizer_config.json")
        specialTokensMap = try json("special_tokens_map.json")
        tokenizerJSON = try json("tokenizer.json")
        chatTemplateJSON = try json("chat_template.json")?["chat_template"]
        chatTemplate = try text("chat_template.jinja")
        if let added = try json("added_tokens.json") {
            try readAddedTokens(added, file: Paths.join(folder, "added_tokens.json"))
        }
        let model = Paths.join(folder, "tokenizer.model")
        if Paths.kind(model) == .file {
            sentencePiece = try SentencePieceModel(File(model).contents(limit: Self.largestJSON), file: model)
        }
        do {
            generationConfig = try json("generation_config.json")
        } catch {
            warnings.append("generation_config.json is left out: \(error)")
        }
        do {
            card = try text("README.md").map(FrontMatter.init(card:))
            for entry in card?.skipped ?? [] { warnings.append("an entry of the model card is left out: \(entry)") }
        } catch {
            warnings.append("the model card is left out: \(error)")
        }
        for file in try Companions.templates(in: folder) {
            let name = String(file.name.dropLast(Companions.templateEnding.count))
            let place = Paths.join(Paths.join(folder, Companions.templateFolder), file.name)
            additionalTemplates.append((name, try decoded(file.bytes, place)))
        }
    }

    /// A config with the special tokens that it does not say. Lit-GPT's and Meta's say none, but what lies beside them does.
    /// A config.json is left as it is, since its silence means transformers' own.
    public func completing(_ config: ModelConfig) -> ModelConfig {
        self.config == nil ? withSpecialTokens(config) : config
    }

    /// A config that says which tokens are special, whatever its kind: its own, else those of generation_config.json, else
    /// those of tokenizer.model.
    func withSpecialTokens(_ config: ModelConfig) -> ModelConfig {
        var completed = config
        func said(_ key: String) -> [Int] {
            let value = generationConfig?[key]
            return (value?.array ?? [value].compactMap { $0 }).compactMap(\.integer).filter { $0 >= 0 }
        }
        func own(_ id: Int?) -> [Int] { [id].compactMap { $0 }.filter { $0 >= 0 } }
        if config.bosToken == nil { completed.bosToken = (said("bos_token_id") + own(sentencePiece?.bosID)).first }
        if config.eosTokens.isEmpty {
            let eos = said("eos_token_id")
            completed.eosTokens = eos.isEmpty ? own(sentencePiece?.eosID) : eos
        }
        if config.padToken == nil { completed.padToken = said("pad_token_id").first }
        return completed
    }

    private mutating func readAddedTokens(_ json: JSONValue, file: String) throws {
        guard let members = json.object else {
            throw CheckpointError.malformed("the added tokens are no JSON object", file: file)
        }
        for (token, value) in members {
            guard let id = value.integer, id >= 0 else {
                throw CheckpointError.malformed("an added token has no id", file: file, place: token)
            }
            addedTokens.append((token, id))
        }
    }
}
