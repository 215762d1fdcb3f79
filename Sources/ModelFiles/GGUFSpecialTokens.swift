// Which tokens are special and which are added to every text, from the four places that say so. The order in which
// llama.cpp's converter asks them (SpecialVocab in gguf-py/gguf/vocab.py) decides the values and the order of the keys.

internal import Bytes
internal import JSONText
internal import OrderedCollections
internal import Tensors

/// Special token ids, automatic tokens, merges and chat templates as GGUF has them.
struct GGUFSpecialTokens {
    /// Roles in GGUF's order of asking; a post-processor may add "eot" and "eom".
    private var roles = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]
    private(set) var ids: [(role: String, id: Int)] = []
    /// Whether a token is put before, after or between texts.
    private(set) var automatic: [(role: String, adds: Bool)] = []
    private(set) var merges: [String] = []
    private var template: JSONValue?
    private var lowercase: Bool?
    private var stripAccents: Bool?
    private(set) var warnings: [String] = []
    /// Ids from here on do not exist; nil for no bound.
    private let vocabulary: Int?

    /// - Parameters:
    ///   - vocabulary: number of tokens; ids at or above are left out.
    ///   - loadMerges: take the merges of a BPE from tokenizer.json.
    init(_ folder: ModelFolder, vocabulary: Int?, loadMerges: Bool) throws {
        self.vocabulary = vocabulary
        var config = folder.tokenizerConfig?.object
        var added: [JSONValue] = []
        if let tokenizer = folder.tokenizerJSON {
            added = tokenizer["added_tokens"]?.array ?? []
            if loadMerges { merges = try Self.merges(of: tokenizer) }
            readNormalizer(tokenizer["normalizer"], depth: 0)
            readPostProcessor(tokenizer["post_processor"], config: &config)
        }
        if let config {
            readTemplate(folder, config: config)
            read(config: config, added: added)
        }
        for role in roles {
            let id = folder.config?["\(role)_token_id"] ?? folder.config?["text_config"]?["\(role)_token_id"]
            if case .integer? = id, let id = id?.integer { set(role, id) }
        }
    }

    private mutating func set(_ role: String, _ id: Int) {
        guard id >= 0 else {
            warnings.append("the config's \(role)_token_id \(id) is negative and left out")
            return
        }
        if let vocabulary, id >= vocabulary {
            warnings.append("the \(role) token \(id) is outside of the vocabulary of \(vocabulary) and left out")
            return
        }
        guard let id32 = UInt32(exactly: id) else { return }
        if !ids.contains(where: { $0.role == role }) { ids.append((role, Int(id32))) }
    }

    private mutating func setAutomatic(_ role: String, _ adds: Bool, unlessSet: Bool = false) {
        if let index = automatic.firstIndex(where: { $0.role == role }) {
            if !unlessSet { automatic[index].adds = adds }
        } else {
            automatic.append((role, adds))
        }
    }

    // MARK: tokenizer_config.json

    private mutating func read(config: JSONObject, added: [JSONValue]) {
        var idOf: [ExactText: Int] = [:]
        for token in added {
            if let content = token["content"]?.string, let id = token["id"]?.integer, idOf[ExactText(content)] == nil {
                idOf[ExactText(content)] = id
            }
        }
        for role in roles {
            if let adds = config["add_\(role)_token"]?.bool {
                if let known = automatic.first(where: { $0.role == role })?.adds, known != adds {
                    warnings.append(
                        "tokenizer_config.json says add_\(role)_token \(adds), tokenizer.json \(known): the latter counts")
                }
                setAutomatic(role, adds, unlessSet: true)
            }
            let entry = config["\(role)_token"]
            guard let content = entry?.string ?? entry?["content"]?.string else { continue }
            if let id = idOf[ExactText(content)] { set(role, id) }
        }
    }

    private mutating func readTemplate(_ folder: ModelFolder, config: JSONObject) {
        var beside: JSONValue?
        if let template = folder.chatTemplate {
            beside = .string(template)
            if !folder.additionalTemplates.isEmpty {
                let all = [("default", template)] + folder.additionalTemplates.map { ($0.name, $0.template) }
                beside = .array(all.map { ["name": .string($0.0), "template": .string($0.1)] })
            }
        } else {
            beside = folder.chatTemplateJSON
        }
        let found = config["chat_template"] ?? beside
        switch found {
        case .string?, .array?: template = found
        case nil, .null?: break
        default: warnings.append("the chat_template of tokenizer_config.json is neither text nor list and left out")
        }
    }

    // MARK: tokenizer.json

    /// Merges as "left right". Spaces within a part, which pairs may have, are written as U+0120.
    private static func merges(of tokenizer: JSONValue) throws -> [String] {
        try (tokenizer["model"]?["merges"]?.array ?? []).enumerated().map { index, merge in
            if let text = merge.string { return text }
            guard let pair = merge.array, pair.count == 2, let left = pair[0].string, let right = pair[1].string else {
                throw CheckpointError.malformed(
                    "a merge is no pair of tokens", file: "tokenizer.json", place: "model.merges[\(index)]")
            }
            return [left, right].map { part in
                var text = ""
                for scalar in part.unicodeScalars { text.unicodeScalars.append(scalar == " " ? "\u{120}" : scalar) }
                return text
            }.joined(separator: " ")
        }
    }

    private mutating func readNormalizer(_ normalizer: JSONValue?, depth: Int) {
        guard let normalizer, depth < 8 else { return }
        switch normalizer["type"]?.string {
        case "Lowercase": lowercase = true
        case "StripAccents": stripAccents = true
        case "BertNormalizer":
            lowercase = normalizer["lowercase"]?.bool ?? lowercase
            stripAccents = normalizer["strip_accents"]?.bool ?? stripAccents
        case "Sequence":
            for step in normalizer["normalizers"]?.array ?? [] { readNormalizer(step, depth: depth + 1) }
        default: break
        }
    }

    /// A value that Python takes for true: not missing, null, empty or false.
    private static func says(_ value: JSONValue?) -> Bool {
        switch value {
        case nil, .null?, .bool(false)?, .integer(0)?: false
        case .string(let text)?: !text.isEmpty
        case .array(let elements)?: !elements.isEmpty
        case .object(let members)?: !members.isEmpty
        default: true
        }
    }

    private mutating func readPostProcessor(_ processor: JSONValue?, config: inout JSONObject?) {
        // What the config lacks is filled from its siblings: cls stands for bos, sep for eos.
        var template = TemplateReading(config: config)
        if Self.says(processor), let processor {
            for step in processor["processors"]?.array ?? [processor] {
                switch step["type"]?.string {
                case "ByteLevel":
                    setAutomatic("bos", false, unlessSet: true)
                    setAutomatic("eos", false, unlessSet: true)
                case "TemplateProcessing": readTemplateProcessing(step, &template)
                default: break
                }
            }
        }
        config = template.config
    }

    /// The special tokens that a config names, while a post-processor's template is read.
    private struct TemplateReading {
        var config: JSONObject?
        var bos: JSONValue?
        var cls: JSONValue?
        var eos: JSONValue?
        var sep: JSONValue?

        init(config: JSONObject?) {
            self.config = config
            bos = config?["bos_token"]
            cls = config?["cls_token"]
            eos = config?["eos_token"]
            sep = config?["sep_token"]
            guard config != nil else { return }
            if !GGUFSpecialTokens.says(bos), GGUFSpecialTokens.says(cls) {
                bos = cls
                self.config?["bos_token"] = cls
            }
            if !GGUFSpecialTokens.says(eos), GGUFSpecialTokens.says(sep) {
                eos = sep
                self.config?["eos_token"] = sep
            }
        }
    }

    /// Reads what a template puts first and last in a text, and between two. Simple templates only, as in the peer.
    private mutating func readTemplateProcessing(_ step: JSONValue, _ reading: inout TemplateReading) {
        func special(_ part: JSONValue?) -> JSONValue? { part?["SpecialToken"]?["id"] }
        let single = step["single"]?.array ?? []
        var first: JSONValue?
        var last: JSONValue?
        if single.count > 1 {
            if let token = special(single.first), Self.says(token) {
                first = token
                if reading.config == nil {
                    reading.bos = token
                } else if token != reading.bos, token != reading.cls {
                    if !Self.says(reading.bos) {
                        reading.bos = token
                        reading.config?["bos_token"] = token
                    }
                    if !Self.says(reading.cls) {
                        reading.cls = token
                        reading.config?["cls_token"] = token
                    }
                }
                setAutomatic("bos", token == reading.bos || token == reading.cls)
            }
            if let token = special(single.last), Self.says(token) {
                last = token
                if reading.config != nil, token != reading.eos {
                    // The config's own end becomes the end of a turn or of a message.
                    if let role = ["eot", "eom"].first(where: { !roles.contains($0) }) {
                        roles.append(role)
                        reading.config?["\(role)_token"] = reading.eos ?? .null
                    }
                    reading.config?["eos_token"] = token
                }
                reading.eos = token
                setAutomatic("eos", true)
            }
        }
        guard var pair = step["pair"]?.array, !pair.isEmpty else { return }
        let (pairFirst, pairLast) = (special(pair.first), special(pair.last))
        if let first, pairFirst == first { pair.removeFirst() }
        if let last, pairLast == last, !pair.isEmpty { pair.removeLast() }
        guard pair.count > 2, pair.first?["Sequence"]?["id"]?.string == "A",
            pair.last?["Sequence"]?["id"]?.string == "B"
        else { return }
        let middle = Array(pair.dropFirst().dropLast())
        func separates(_ token: JSONValue?) -> Bool {
            Self.says(token) && (token == reading.sep || token == reading.eos)
        }
        var adds = separates(special(middle.first)) && last == nil
        if middle.count == 2, separates(special(middle[1])) { adds = true }
        setAutomatic("sep", adds)
        if adds, !Self.says(reading.sep), reading.config != nil {
            reading.config?["sep_token"] = reading.eos
        }
    }

    // MARK: Keys

    private static let idKeys = [
        "bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding", "mask": "mask",
        "eot": "eot", "eom": "eom",
    ]

    /// Adds the keys in the order of llama.cpp's converter. GGUF has no key for "cls"; its "seperator" is spelt so.
    func write(to metadata: inout Metadata) {
        if !merges.isEmpty { metadata["tokenizer.ggml.merges"] = .array(.strings(merges)) }
        for (role, id) in ids {
            guard let key = Self.idKeys[role], let id = UInt32(exactly: id) else { continue }
            metadata["tokenizer.ggml.\(key)_token_id"] = .u32(id)
        }
        for (role, adds) in automatic where ["bos", "eos", "sep"].contains(role) {
            metadata["tokenizer.ggml.add_\(role)_token"] = .bool(adds)
        }
        writeTemplate(to: &metadata)
        if let lowercase { metadata["tokenizer.ggml.normalizer.lowercase"] = .bool(lowercase) }
        if let stripAccents { metadata["tokenizer.ggml.normalizer.strip_accents"] = .bool(stripAccents) }
    }

    private func writeTemplate(to metadata: inout Metadata) {
        switch template {
        case .string(let text)? where !text.isEmpty: metadata["tokenizer.chat_template"] = .string(text)
        case .array(let choices)?:
            var standard: String?
            var names: [String] = []
            for choice in choices {
                guard let name = choice["name"]?.string, !name.isEmpty, let text = choice["template"]?.string else {
                    continue
                }
                // Names become part of a key.
                var key = ""
                for scalar in name.unicodeScalars {
                    key.unicodeScalars.append(
                        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.isDecimal) ? scalar : "_")
                }
                if key == "default" {
                    standard = text
                } else {
                    if !names.contains(key) { names.append(key) }
                    if !text.isEmpty { metadata["tokenizer.chat_template.\(key)"] = .string(text) }
                }
            }
            if !names.isEmpty { metadata["tokenizer.chat_templates"] = .array(.strings(names)) }
            if let standard, !standard.isEmpty { metadata["tokenizer.chat_template"] = .string(standard) }
        default: break
        }
    }
}
