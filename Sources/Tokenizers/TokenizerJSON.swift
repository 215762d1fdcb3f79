// tokenizer.json: what Hugging Face's `tokenizers` library writes. Its serialized form is described in the library's
// documentation of Tokenizer, models.BPE, normalizers, pre_tokenizers and AddedToken.

internal import Bytes
public import JSONText
internal import OrderedCollections

/// A token added to a vocabulary beside the model's own.
public struct AddedToken: Sendable, Hashable {
    public var id: Int
    public var content: String
    /// A control token: not shown when text is decoded.
    public var special: Bool
    /// Takes the white space before and after it along.
    public var leftStrip: Bool
    public var rightStrip: Bool
    /// Is not found within a word.
    public var singleWord: Bool
    /// Looked for in the normalized text, not in the raw one.
    public var normalized: Bool

    public init(
        id: Int, content: String, special: Bool, leftStrip: Bool = false, rightStrip: Bool = false,
        singleWord: Bool = false, normalized: Bool = false
    ) {
        self.id = id
        self.content = content
        self.special = special
        self.leftStrip = leftStrip
        self.rightStrip = rightStrip
        self.singleWord = singleWord
        self.normalized = normalized
    }

    init?(_ json: JSONValue, id: Int) {
        guard let content = json["content"]?.string else { return nil }
        self.init(
            id: id, content: content, special: json["special"]?.bool ?? false, leftStrip: json["lstrip"]?.bool ?? false,
            rightStrip: json["rstrip"]?.bool ?? false, singleWord: json["single_word"]?.bool ?? false,
            normalized: json["normalized"]?.bool ?? false)
    }
}

/// The parts of a tokenizer.json that a BPE vocabulary is made of.
public struct TokenizerJSON: Sendable {
    /// Pieces by id; nil for ids that nothing names.
    public var pieces: [String?] = []
    /// Pairs of pieces, the first to be merged first.
    public var merges: [(left: String, right: String)] = []
    public var addedTokens: [AddedToken] = []
    public var byteFallback = false
    /// A word that is a piece itself is taken whole (Llama 3).
    public var ignoreMerges = false
    public var unknownPiece: String?
    /// Text is turned into bytes with printable names (GPT-2's), not into U+2581 pieces.
    public var byteLevel = false
    /// How text is split beforehand; nil where it is in no way that has a name.
    package var preTokenizer: PreTokenizer?
    /// The same for people, known or not.
    var splitting = ""
    /// A space is put in front of the text.
    public var addPrefixSpace = false
    /// No space is put in front of a text that has one there.
    public var prefixUnlessThere = false
    /// The prefix space comes only before the first part of a text with special tokens (Metaspace's "first").
    public var prefixFirstOnly = false
    /// Whether a special token stands before the text in the post-processor's template, and which.
    public var addsBos: Bool?
    public var bosToken: String?

    /// - Throws: `malformed` where a part that is needed is missing, `unsupported` for other models than BPE.
    public init(_ json: JSONValue, file: String? = nil) throws {
        guard let model = json["model"], model.object != nil else {
            throw CheckpointError.malformed("no tokenizer", file: file, place: "model", expected: "an object")
        }
        // Files written before 2021 have no type beside the vocabulary and merges of a BPE.
        let type = model["type"]?.string ?? (model["merges"] != nil ? "BPE" : "none")
        guard type == "BPE" else {
            throw CheckpointError.unsupported(
                "a tokenizer of the kind \(type)", file: file, place: "model.type", expected: "BPE", found: type,
                remedy: "models of the Llama family use BPE; use their tokenizer.model if there is one")
        }
        guard let vocabulary = model["vocab"]?.object else {
            throw CheckpointError.malformed("no vocabulary", file: file, place: "model.vocab", expected: "an object")
        }
        byteFallback = model["byte_fallback"]?.bool ?? false
        ignoreMerges = model["ignore_merges"]?.bool ?? false
        unknownPiece = model["unk_token"]?.string
        // As many ids may go unnamed as there are names, and some more: a single high one would take a gigabyte.
        let added = json["added_tokens"]?.array ?? []
        let limit = min(SentencePieceModel.mostPieces, 2 * (vocabulary.count + added.count) + SentencePieceModel.mostHoles)
        for (piece, id) in vocabulary { try place(piece, at: id.integer, below: limit, file: file) }
        try readMerges(model["merges"]?.array ?? [], file: file)
        for entry in added {
            guard let id = entry["id"]?.integer, let token = AddedToken(entry, id: id) else {
                throw CheckpointError.malformed(
                    "an added token without id or content", file: file, place: "added_tokens")
            }
            try place(token.content, at: id, below: limit, file: file)
            addedTokens.append(token)
        }
        readTextTreatment(json)
    }

    private mutating func place(_ piece: String, at id: Int?, below limit: Int, file: String?) throws {
        guard let id, id >= 0, id < limit else {
            throw CheckpointError.malformed(
                "a piece's id is out of range", file: file, place: piece, expected: "0 ..< \(limit)",
                found: id.map(String.init) ?? "no integer")
        }
        if id >= pieces.count { pieces.append(contentsOf: repeatElement(nil, count: id + 1 - pieces.count)) }
        pieces[id] = piece
    }

    /// Merges are "left right" strings, or pairs since tokenizers 0.20.
    private mutating func readMerges(_ entries: [JSONValue], file: String?) throws {
        merges.reserveCapacity(entries.count)
        for (index, entry) in entries.enumerated() {
            if let halves = entry.string.flatMap(splitMerge) {
                merges.append(halves)
            } else if let pair = entry.array, pair.count == 2, let left = pair[0].string, let right = pair[1].string {
                merges.append((left, right))
            } else {
                throw CheckpointError.malformed(
                    "a merge is no pair of pieces", file: file, place: "model.merges[\(index)]",
                    expected: "\"left right\" or [\"left\", \"right\"]")
            }
        }
    }

    private mutating func readTextTreatment(_ json: JSONValue) {
        for step in Self.steps(json["normalizer"], key: "normalizers") where step["type"]?.string == "Prepend" {
            addPrefixSpace = true
        }
        preTokenizer = PreTokenizer.of(json["pre_tokenizer"])
        splitting = PreTokenizer.description(of: json["pre_tokenizer"])
        for step in Self.steps(json["pre_tokenizer"], key: "pretokenizers") {
            switch step["type"]?.string {
            case "ByteLevel":
                byteLevel = true
                if step["add_prefix_space"]?.bool == true { addPrefixSpace = true }
            case "Metaspace":
                let scheme = step["prepend_scheme"]?.string
                addPrefixSpace = scheme.map { $0 != "never" } ?? (step["add_prefix_space"]?.bool ?? true)
                prefixFirstOnly = scheme == "first"
                prefixUnlessThere = true
            default: break
            }
        }
        if Self.steps(json["decoder"], key: "decoders").contains(where: { $0["type"]?.string == "ByteLevel" }) {
            byteLevel = true
        }
        for step in Self.steps(json["post_processor"], key: "processors")
        where step["type"]?.string == "TemplateProcessing" {
            let first = step["single"]?.array?.first?["SpecialToken"]
            addsBos = first != nil
            bosToken = first?["id"]?.string
        }
    }

    /// A step, or the steps of a Sequence.
    static func steps(_ json: JSONValue?, key: String) -> [JSONValue] {
        guard let json, json.object != nil else { return [] }
        return json["type"]?.string == "Sequence" ? json[key]?.array ?? [] : [json]
    }
}
