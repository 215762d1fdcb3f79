// The files that a Hugging Face or Lit-GPT folder has beside its weights and config, made from a GGUF's metadata or
// completed from what lies beside another checkpoint. The names and keys are those of the transformers library.

internal import Bytes
internal import JSONText
public import OrderedCollections
public import Tensors
internal import Tokenizers

/// A small file to be written into a model's folder.
public struct ModelFile: Sendable, Hashable {
    public var name: String
    public var bytes: [UInt8]

    public init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    init(name: String, json: JSONValue) {
        self.init(name: name, bytes: Array((json.text() + "\n").utf8))
    }
}

public enum HuggingFaceFiles {
    /// The tokenizer and generation files that say what a GGUF's metadata says.
    ///
    /// config.json is not among them; it is written from the model's dimensions.
    /// - Returns: the files, and what a person should know about them.
    /// - Throws: `malformed` when the metadata contradicts itself.
    public static func files(from metadata: Metadata) throws -> (files: [ModelFile], warnings: [String]) {
        var files: [ModelFile] = []
        var warnings: [String] = []
        let vocabulary = try GGUFVocabulary(metadata)
        if let vocabulary {
            warnings += vocabulary.warnings
            if vocabulary.model == "llama" {
                if let model = SentencePieceWriter.model(of: vocabulary, warnings: &warnings) {
                    files.append(ModelFile(name: "tokenizer.model", bytes: model))
                }
                if let added = addedTokens(vocabulary) { files.append(ModelFile(name: "added_tokens.json", json: added)) }
            } else {
                let json = TokenizerJSONWriter.json(of: vocabulary, warnings: &warnings)
                files.append(ModelFile(name: "tokenizer.json", json: json))
            }
            files.append(ModelFile(name: "tokenizer_config.json", json: tokenizerConfig(vocabulary, metadata)))
            files.append(ModelFile(name: "special_tokens_map.json", json: specialTokensMap(vocabulary)))
        } else {
            let name = metadata["tokenizer.ggml.model"]?.string
            warnings.append(
                name == nil || name == "none" || name == "no_vocab"
                    ? "the GGUF has no tokenizer: the folder will have none"
                    : "the GGUF's \"\(name ?? "")\" tokenizer is none that a Llama has: the folder will have no tokenizer")
        }
        files.append(ModelFile(name: "generation_config.json", json: generationConfig(metadata, vocabulary)))
        return (files, warnings)
    }

    // MARK: From a GGUF

    private static func addedTokens(_ vocabulary: GGUFVocabulary) -> JSONValue? {
        var members = JSONObject()
        for id in vocabulary.ownCount..<vocabulary.tokens.count {
            members[vocabulary.tokens[id].text] = JSONValue(id)
        }
        return members.isEmpty ? nil : .object(members)
    }

    private static func tokenizerConfig(_ vocabulary: GGUFVocabulary, _ metadata: Metadata) -> JSONValue {
        var config = JSONObject()
        let isSentencePiece = vocabulary.model == "llama"
        if isSentencePiece || vocabulary.addsBos != nil {
            config["add_bos_token"] = .bool(vocabulary.addsBos ?? true)
        }
        if isSentencePiece || vocabulary.addsEos != nil { config["add_eos_token"] = .bool(vocabulary.addsEos ?? false) }
        if let adds = vocabulary.addsSpacePrefix { config["add_prefix_space"] = .bool(adds) }
        var decoder = JSONObject()
        for id in vocabulary.tokens.indices where vocabulary.isAdded(id) {
            let token = vocabulary.tokens[id]
            decoder[String(id)] = TokenizerJSONWriter.addedToken(token.text, id: nil, special: token.type == .control)
        }
        if !decoder.isEmpty { config["added_tokens_decoder"] = .object(decoder) }
        for role in ["bos", "eos", "pad", "unk"] {
            if let text = vocabulary.text(role) { config["\(role)_token"] = .string(text) }
        }
        if config["unk_token"] == nil, isSentencePiece,
            let unknown = vocabulary.tokens.first(where: { $0.type == .unknown })
        {
            config["unk_token"] = .string(unknown.text)
        }
        if !vocabulary.namedTemplates.isEmpty {
            var templates = vocabulary.namedTemplates
            if let standard = vocabulary.template { templates.insert(("default", standard), at: 0) }
            config["chat_template"] = .array(
                templates.map { ["name": .string($0.name), "template": .string($0.template)] })
        } else if let template = vocabulary.template {
            config["chat_template"] = .string(template)
        }
        config["clean_up_tokenization_spaces"] = false
        if isSentencePiece { config["legacy"] = false }
        let architecture = metadata["general.architecture"]?.string ?? "llama"
        if let context = metadata["\(architecture).context_length"]?.integer {
            config["model_max_length"] = JSONValue(context)
        }
        config["tokenizer_class"] = isSentencePiece ? "LlamaTokenizer" : "PreTrainedTokenizerFast"
        return .object(config)
    }

    private static func specialTokensMap(_ vocabulary: GGUFVocabulary) -> JSONValue {
        var map = JSONObject()
        for role in ["bos", "eos", "unk", "pad"] {
            if let text = vocabulary.text(role) { map["\(role)_token"] = .string(text) }
        }
        return .object(map)
    }

    private static func generationConfig(_ metadata: Metadata, _ vocabulary: GGUFVocabulary?) -> JSONValue {
        var config = JSONObject()
        for role in ["bos", "eos", "pad"] {
            if let id = vocabulary?.ids[role] { config["\(role)_token_id"] = JSONValue(id) }
        }
        for (key, names, isInteger) in SamplingKeys.all {
            guard let value = metadata["general.sampling.\(key)"], let name = names.last else { continue }
            if isInteger {
                if let number = value.integer { config[name] = JSONValue(number) }
            } else if case .f32(let number) = value, number.isFinite {
                // The shortest decimal of the single-precision number: 0.7, not 0.699999988.
                config[name] = .number(Double(number.description) ?? Double(number))
            }
        }
        // transformers takes these for a mistake when it is not told to sample.
        if ["temperature", "top_k", "top_p", "min_p"].contains(where: { config[$0] != nil }) { config["do_sample"] = true }
        return .object(config)
    }

    // MARK: Completing what lies beside a checkpoint

    /// The tokenizer_config.json and generation_config.json that a folder lacks: Meta's and early Lit-GPT's have only a
    /// tokenizer.model, and transformers and litgpt ask for more. Both name the special tokens of the config, where it says
    /// any; see ``ModelFolder/completing(_:)`` for what it is to say in a folder without a config.json.
    public static func missing(from folder: ModelFolder, config: ModelConfig) -> [ModelFile] {
        var files: [ModelFile] = []
        let model = folder.sentencePiece
        // The silence of a config.json stays in it; these files have to name the tokens all the same.
        let config = folder.withSpecialTokens(config)
        func text(_ id: Int?) -> String? {
            guard let model, let id, model.pieces.indices.contains(id) else { return nil }
            return model.pieces[id].text
        }
        if folder.tokenizerConfig == nil, let model {
            var entries: JSONObject = ["add_bos_token": true, "add_eos_token": false]
            entries["bos_token"] = text(config.bosToken).map(JSONValue.string)
            entries["eos_token"] = text(config.eosTokens.first).map(JSONValue.string)
            entries["pad_token"] = text(config.padToken).map(JSONValue.string)
            entries["unk_token"] = text(model.unknownID).map(JSONValue.string)
            entries["clean_up_tokenization_spaces"] = false
            entries["legacy"] = false
            if config.context > 0 { entries["model_max_length"] = JSONValue(config.context) }
            entries["tokenizer_class"] = "LlamaTokenizer"
            files.append(ModelFile(name: "tokenizer_config.json", json: .object(entries)))
        }
        if folder.generationConfig == nil {
            var entries = JSONObject()
            let eos = config.eosTokens
            if let bos = config.bosToken, bos >= 0 { entries["bos_token_id"] = JSONValue(bos) }
            if eos.count == 1, eos[0] >= 0 { entries["eos_token_id"] = JSONValue(eos[0]) }
            if eos.count > 1 { entries["eos_token_id"] = .array(eos.filter { $0 >= 0 }.map(JSONValue.init)) }
            if let pad = config.padToken, pad >= 0 { entries["pad_token_id"] = JSONValue(pad) }
            if !entries.isEmpty { files.append(ModelFile(name: "generation_config.json", json: .object(entries))) }
        }
        return files
    }
}
