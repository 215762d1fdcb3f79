// tokenizer.json out of a GGUF's byte-level BPE vocabulary, in the serialized form of Hugging Face's `tokenizers`.

internal import Bytes
internal import JSONText
internal import Tokenizers

enum TokenizerJSONWriter {
    static func json(of vocabulary: GGUFVocabulary, warnings: inout [String]) -> JSONValue {
        var own = JSONObject()
        var added: [JSONValue] = []
        var names: Set<ExactText> = []
        for (id, token) in vocabulary.tokens.enumerated() {
            if vocabulary.isAdded(id) {
                added.append(addedToken(token.text, id: id, special: token.type == .control))
            } else if names.insert(ExactText(token.text)).inserted {
                own[token.text] = JSONValue(id)
            } else {
                warnings.append("token \(id) is there twice: tokenizer.json has it once")
            }
        }
        return [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added),
            "normalizer": vocabulary.pre == "qwen2" ? ["type": "NFC"] : nil,
            "pre_tokenizer": preTokenizer(vocabulary.pre, warnings: &warnings),
            "post_processor": postProcessor(vocabulary),
            "decoder": byteLevel(prefix: true, regex: true),
            "model": [
                "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
                "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false,
                // A word that is a token is taken whole: Llama 3's vocabulary was not made by merging alone.
                "ignore_merges": .bool(PreTokenizer.regex(named: vocabulary.pre) == PreTokenizer.regex(named: "llama-bpe")),
                "vocab": .object(own), "merges": .array(merges(vocabulary, names, warnings: &warnings)),
            ],
        ]
    }

    static func addedToken(_ text: String, id: Int?, special: Bool) -> JSONValue {
        var members: JSONObject = [
            "content": .string(text), "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": .bool(special),
        ]
        if let id { members = JSONObject([("id", JSONValue(id))] + Array(members)) }
        return .object(members)
    }

    /// The library refuses a merge of tokens that the vocabulary does not have.
    private static func merges(
        _ vocabulary: GGUFVocabulary, _ names: Set<ExactText>, warnings: inout [String]
    ) -> [JSONValue] {
        var kept: [JSONValue] = []
        kept.reserveCapacity(vocabulary.merges.count)
        for merge in vocabulary.merges {
            guard let space = merge.utf8.firstIndex(of: UInt8(ascii: " ")) else { continue }
            let left = String(merge[..<space])
            let right = String(merge[merge.utf8.index(after: space)...])
            guard [left, right, left + right].allSatisfy({ names.contains(ExactText($0)) }) else { continue }
            kept.append(.string(merge))
        }
        if kept.count < vocabulary.merges.count {
            warnings.append("\(vocabulary.merges.count - kept.count) merges name tokens that the vocabulary does not have and are left out")
        }
        return kept
    }

    private static func byteLevel(prefix: Bool, regex: Bool) -> JSONValue {
        ["type": "ByteLevel", "add_prefix_space": .bool(prefix), "trim_offsets": true, "use_regex": .bool(regex)]
    }

    private static func preTokenizer(_ pre: String, warnings: inout [String]) -> JSONValue {
        if let regex = PreTokenizer.regex(named: pre) {
            return [
                "type": "Sequence",
                "pretokenizers": [
                    ["type": "Split", "pattern": ["Regex": .string(regex)], "behavior": "Isolated", "invert": false],
                    byteLevel(prefix: false, regex: false),
                ],
            ]
        }
        if pre == "smollm" {
            return [
                "type": "Sequence",
                "pretokenizers": [
                    ["type": "Digits", "individual_digits": true], byteLevel(prefix: false, regex: true),
                ],
            ]
        }
        if !PreTokenizer.isGPT2(pre) {
            warnings.append("how \"\(pre)\" splits text is not known here: tokenizer.json splits as GPT-2's does, and text may be cut otherwise")
        }
        return byteLevel(prefix: false, regex: true)
    }

    /// bos before every text where the GGUF says so; Llama 3's does when it says nothing.
    private static func postProcessor(_ vocabulary: GGUFVocabulary) -> JSONValue {
        let plain = byteLevel(prefix: true, regex: true)
        let isLlama3 = PreTokenizer.regex(named: vocabulary.pre) == PreTokenizer.regex(named: "llama-bpe")
        guard vocabulary.addsBos ?? isLlama3, let id = vocabulary.ids["bos"], let bos = vocabulary.text("bos") else {
            return plain
        }
        func token(_ type: Int) -> JSONValue { ["SpecialToken": ["id": .string(bos), "type_id": JSONValue(type)]] }
        func text(_ name: String, _ type: Int) -> JSONValue {
            ["Sequence": ["id": .string(name), "type_id": JSONValue(type)]]
        }
        let entry: JSONValue = ["id": .string(bos), "ids": [JSONValue(id)], "tokens": [.string(bos)]]
        return [
            "type": "Sequence",
            "processors": [
                plain,
                [
                    "type": "TemplateProcessing", "single": [token(0), text("A", 0)],
                    "pair": [token(0), text("A", 0), token(1), text("B", 1)],
                    "special_tokens": .object(JSONObject([(key: bos, value: entry)])),
                ],
            ],
        ]
    }
}
