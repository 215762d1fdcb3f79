// tokenizer.json out of a GGUF's byte-level BPE vocabulary, in the serialized form of Hugging Face's `tokenizers`.

internal import Bytes
internal import JSONText
internal import Tokenizers

enum TokenizerJSONWriter {
    static func json(of vocabulary: GGUFVocabulary, warnings: inout [String]) -> JSONValue {
        let preTokenizer = PreTokenizer.named(vocabulary.pre)
        if preTokenizer == nil {
            warnings.append(
                "how \"\(vocabulary.pre)\" splits text is not known here: tokenizer.json splits as GPT-2's does, and text may "
                    + "be cut otherwise")
        }
        // A normal token does not hide an added one of the same text: programs look for added ones first.
        var addedNames: Set<ExactText> = []
        var twins: [Int] = []
        var added: [JSONValue] = []
        for (id, token) in vocabulary.tokens.enumerated() where vocabulary.isAdded(id) {
            added.append(addedToken(token.text, id: id, special: token.type == .control))
            if !addedNames.insert(ExactText(token.text)).inserted { twins.append(id) }
        }
        let end = numbersTailItself(vocabulary) ? vocabulary.ownCount : vocabulary.tokens.count
        var own = JSONObject()
        var names: Set<ExactText> = []
        for (id, token) in vocabulary.tokens.enumerated() {
            let text = ExactText(token.text)
            if vocabulary.isAdded(id) {
                if id < end, names.insert(text).inserted { own[token.text] = JSONValue(id) }
            } else if !addedNames.contains(text), names.insert(text).inserted {
                own[token.text] = JSONValue(id)
            } else {
                twins.append(id)
            }
        }
        warnings += twins.sorted().map { "token \($0) is there twice: tokenizer.json has it once" }
        return [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added),
            "normalizer": vocabulary.pre == "qwen2" ? ["type": "NFC"] : nil,
            "pre_tokenizer": steps(of: preTokenizer?.expressions ?? [PreTokenizer.gpt2]),
            "post_processor": postProcessor(vocabulary, bosByDefault: preTokenizer?.addsBos ?? false),
            "decoder": byteLevel(prefix: true, regex: true),
            "model": [
                "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
                "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": .bool(preTokenizer?.ignoresMerges ?? false),
                "vocab": .object(own), "merges": .array(merges(vocabulary, names, warnings: &warnings)),
            ],
        ]
    }

    /// Whether the `tokenizers` library gives the tokens behind the model's own vocabulary their ids although `model.vocab`
    /// does not have them, which is how publishers write them.
    ///
    /// It numbers such tokens itself, in their order, from the count of `model.vocab` on: an id within the vocabulary, or
    /// one behind a gap, is kept only for a token that stands in `model.vocab` too.
    private static func numbersTailItself(_ vocabulary: GGUFVocabulary) -> Bool {
        let end = vocabulary.ownCount
        var names: Set<ExactText> = []
        return vocabulary.tokens.enumerated().allSatisfy { id, token in
            // Added tokens without text are passed over there.
            (id < end ? !vocabulary.isAdded(id) : !token.text.isEmpty) && names.insert(ExactText(token.text)).inserted
        }
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
            // The library divides a merge wherever a space is, and wants two halves.
            guard let (left, right) = splitMerge(merge), !right.utf8.contains(UInt8(ascii: " ")) else { continue }
            guard [left, right, left + right].allSatisfy({ names.contains(ExactText($0)) }) else { continue }
            kept.append(.string(merge))
        }
        if kept.count < vocabulary.merges.count {
            warnings.append(
                "\(vocabulary.merges.count - kept.count) merges name tokens that the vocabulary does not have and are left out")
        }
        return kept
    }

    private static func byteLevel(prefix: Bool, regex: Bool) -> JSONValue {
        ["type": "ByteLevel", "add_prefix_space": .bool(prefix), "trim_offsets": true, "use_regex": .bool(regex)]
    }

    /// The steps that split by one expression after another, in the words that publishers' files have for them.
    private static func steps(of expressions: [String]) -> JSONValue {
        // ByteLevel comes last and has GPT-2's expression built in.
        let isBuiltIn = expressions.last == PreTokenizer.gpt2
        var steps = (isBuiltIn ? expressions.dropLast() : expressions[...]).map { expression -> JSONValue in
            if expression == PreTokenizer.singleNumbers { return ["type": "Digits", "individual_digits": true] }
            return [
                "type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Isolated", "invert": false,
            ]
        }
        steps.append(byteLevel(prefix: false, regex: isBuiltIn))
        return steps.count == 1 ? steps[0] : ["type": "Sequence", "pretokenizers": .array(steps)]
    }

    /// bos before every text where the GGUF says so, or by default.
    private static func postProcessor(_ vocabulary: GGUFVocabulary, bosByDefault: Bool) -> JSONValue {
        let plain = byteLevel(prefix: true, regex: true)
        guard vocabulary.addsBos ?? bosByDefault, let id = vocabulary.ids["bos"], let bos = vocabulary.text("bos") else {
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
