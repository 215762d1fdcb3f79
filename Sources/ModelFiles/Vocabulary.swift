// A vocabulary as GGUF stores it: tokens, scores and types by id.
//
// Rules and constants (padding, scores of added tokens) are those of llama.cpp's converter, conversion/base.py and
// gguf-py/gguf/vocab.py.

internal import Bytes
internal import JSONText
internal import OrderedCollections
internal import Tensors
internal import Tokenizers

/// Tokens by id, and which tokenizer of ggml they are for.
struct Vocabulary {
    /// `tokenizer.ggml.model`: "llama" is SentencePiece, "gpt2" byte-level BPE.
    var model: String
    /// `tokenizer.ggml.pre`: how text is split before it is cut into tokens.
    var pre: String
    var tokens: [String]
    /// Byte-level BPE has none: its merges are ranked.
    var scores: [Float]?
    var types: [PieceType]
    var warnings: [String] = []

    /// Vocabularies are refused above this.
    static let largest = SentencePieceModel.mostPieces
    /// Score of ids that no file names.
    private static let paddingScore: Float = -10000
    /// Score of tokens added to a model's own vocabulary.
    private static let addedScore: Float = -1000

    private init(model: String, pre: String, count: Int, scored: Bool) throws {
        guard count > 0, count <= Self.largest else {
            throw CheckpointError.malformed(
                "the vocabulary's size is impossible", place: "vocab_size", expected: "1 ... \(Self.largest)",
                found: "\(count)")
        }
        self.model = model
        self.pre = pre
        tokens = (0..<count).map { "[PAD\($0)]" }
        scores = scored ? Array(repeating: Self.paddingScore, count: count) : nil
        types = Array(repeating: .unused, count: count)
    }

    private mutating func set(_ id: Int, _ token: String, _ score: Float, _ type: PieceType) {
        tokens[id] = token
        scores?[id] = score
        types[id] = type
    }

    /// Ids in the files that the embedding has no row for, as one warning.
    private mutating func warn(outside ids: [Int], in file: String) {
        guard let first = ids.first else { return }
        warnings.append(
            ids.count == 1
                ? "\(file): token \(first) is outside of the vocabulary of \(tokens.count) and left out"
                : "\(file): \(ids.count) tokens from \(first) on are outside of the vocabulary of \(tokens.count) and left out")
    }

    // MARK: tokenizer.model

    /// The pieces of a SentencePiece model, then the tokens that were added to them.
    init(sentencePiece model: SentencePieceModel, folder: ModelFolder, size: Int?) throws {
        try self.init(model: "llama", pre: "default", count: size ?? model.pieces.count, scored: true)
        for (id, piece) in model.pieces.enumerated().prefix(tokens.count) {
            // The peer knows no user-defined pieces in a model and calls them normal.
            set(id, piece.text, piece.score, piece.type == .userDefined ? .normal : piece.type)
        }
        if model.pieces.count > tokens.count {
            warn(outside: Array(tokens.count..<model.pieces.count), in: "tokenizer.model")
        }
        if model.algorithm != .bpe {
            warnings.append("tokenizer.model is no BPE model (\(model.algorithm)): ggml cuts text as BPE does")
        }
        // What GGUF has no key for, or llama.cpp's converter does not say.
        if !model.charactersMap.isEmpty {
            warnings.append(
                "GGUF cannot say that tokenizer.model replaces characters (\(model.normalizer)): such text is cut otherwise")
        }
        if !model.addDummyPrefix, folder.tokenizerConfig?["add_prefix_space"]?.bool != false {
            warnings.append(
                "tokenizer.model puts no space in front of a text, the GGUF does: \"add_prefix_space\": false in "
                    + "tokenizer_config.json carries it")
        }
        if model.pieces.contains(where: { $0.type == .userDefined }) {
            warnings.append(
                "tokenizer.model's user-defined pieces are plain ones in the GGUF, as llama.cpp's converter has them")
        }

        var outside: [Int] = []
        for (token, id) in folder.addedTokens {
            if id < tokens.count {
                set(id, token, Self.addedScore, .userDefined)
            } else {
                outside.append(id)
            }
        }
        warn(outside: outside, in: "added_tokens.json")

        outside = []
        for (key, token) in folder.tokenizerConfig?["added_tokens_decoder"]?.object ?? [:] {
            guard let id = Int(key), id >= 0, let content = token["content"]?.string else {
                throw CheckpointError.malformed(
                    "an added token has no id or no content", file: "tokenizer_config.json",
                    place: "added_tokens_decoder.\(key)")
            }
            guard id < tokens.count else {
                outside.append(id)
                continue
            }
            if types[id] != .unused, !tokens[id].utf8.elementsEqual(content.utf8) {
                warnings.append("tokenizer_config.json replaces token \(id), \(tokens[id]), with \(content)")
            }
            let isControl = token["special"]?.bool == true || Self.looksSpecial(content)
            set(
                id, isControl ? content : Self.withSpaces(content), Self.addedScore,
                isControl ? .control : .userDefined)
        }
        warn(outside: outside, in: "tokenizer_config.json")
    }

    // MARK: tokenizer.json

    /// What kind of tokenizer a tokenizer.json holds, as far as ggml has one for it.
    enum JSONKind { case sentencePiece, byteLevel, other }

    static func kind(of json: JSONValue) -> JSONKind {
        let model = json["model"]
        guard model?["type"]?.string ?? (model?["merges"] == nil ? nil : "BPE") == "BPE" else { return .other }
        let fallsBack = model?["byte_fallback"]?.bool ?? false
        switch json["decoder"]?["type"]?.string {
        case "Sequence"? where fallsBack: return .sentencePiece
        case "ByteLevel"? where !fallsBack: return .byteLevel
        case "Sequence"? where json["decoder"]?["decoders"]?.array?.contains { $0["type"]?.string == "ByteLevel" } == true:
            return .byteLevel
        default: return .other
        }
    }

    /// tokenizer.json taken apart: its own tokens by id, and those that were added.
    private struct Entries {
        var own: [Int: String] = [:]
        var added: [(id: Int, token: JSONValue, content: String)] = []
        /// One more than the largest id.
        var end = 0

        init(_ json: JSONValue) throws {
            guard let vocabulary = json["model"]?["vocab"]?.object else {
                throw CheckpointError.malformed(
                    "no vocabulary", file: "tokenizer.json", place: "model.vocab", expected: "an object")
            }
            own.reserveCapacity(vocabulary.count)
            for (token, value) in vocabulary {
                let id = try Self.id(value, of: token)
                guard own.updateValue(token, forKey: id) == nil else {
                    throw CheckpointError.malformed(
                        "two tokens have the id \(id)", file: "tokenizer.json", place: token)
                }
                end = max(end, id + 1)
            }
            var seen: Set<Int> = []
            for token in json["added_tokens"]?.array ?? [] {
                guard let content = token["content"]?.string else {
                    throw CheckpointError.malformed(
                        "an added token has no content", file: "tokenizer.json", place: "added_tokens")
                }
                let id = try Self.id(token["id"], of: content)
                guard seen.insert(id).inserted else {
                    throw CheckpointError.malformed(
                        "two added tokens have the id \(id)", file: "tokenizer.json", place: content)
                }
                added.append((id, token, content))
                end = max(end, id + 1)
            }
        }

        private static func id(_ value: JSONValue?, of token: String) throws -> Int {
            guard case .integer? = value, let id = value?.integer, id >= 0, id < Vocabulary.largest else {
                throw CheckpointError.malformed(
                    "a token's id is impossible", file: "tokenizer.json", place: token,
                    expected: "0 ..< \(Vocabulary.largest)")
            }
            return id
        }
    }

    /// A SentencePiece vocabulary that only tokenizer.json has. The scores are lost there: all are -1000.
    init(sentencePieceJSON json: JSONValue, folder: ModelFolder, size: Int?) throws {
        let entries = try Entries(json)
        try self.init(model: "llama", pre: "default", count: max(size ?? 0, entries.end), scored: true)
        if let size, size < entries.end {
            warnings.append("tokenizer.json has \(entries.end) tokens and the embedding \(size) rows")
        }
        let special = Self.namedSpecial(folder)
        for (id, token) in entries.own {
            let type: PieceType =
                SentencePieceBytes.byte(of: token) != nil
                ? .byte : special.contains(ExactText(token)) ? .control : .normal
            set(id, token, Self.addedScore, type)
        }
        for (id, _, content) in entries.added where entries.own[id] == nil {
            set(id, content, Self.addedScore, special.contains(ExactText(content)) ? .control : .userDefined)
        }
        warnings.append(
            "the vocabulary comes from tokenizer.json, which has no scores: programs that cut "
                + "text by scores will cut it otherwise; put tokenizer.model beside the weights")
    }

    /// A byte-level BPE vocabulary.
    init(byteLevelJSON json: JSONValue, size: Int?) throws {
        let entries = try Entries(json)
        guard entries.end <= size ?? entries.end else {
            throw CheckpointError.malformed(
                "tokenizer.json has more tokens than the embedding has rows", file: "tokenizer.json",
                expected: "at most \(size ?? 0)", found: "\(entries.end)")
        }
        let preTokenizer = PreTokenizer.of(json["pre_tokenizer"])
        try self.init(
            model: "gpt2", pre: preTokenizer?.name ?? "default", count: size ?? entries.end, scored: false)
        if preTokenizer == nil {
            warnings.append(
                "the way tokenizer.json splits text is not one that GGUF has a name for: tokenizer.ggml.pre is written as "
                    + "\"default\" and text may be cut otherwise; set it with --metadata tokenizer.ggml.pre=str:NAME")
        }
        for (id, token) in entries.own { set(id, token, 0, .normal) }
        for (id, token, content) in entries.added {
            let isControl = token["special"]?.bool == true || Self.looksSpecial(content)
            set(id, isControl ? content : Self.withSpaces(content), 0, isControl ? .control : .userDefined)
        }
    }

    /// Contents that the tokenizer's config names as special.
    private static func namedSpecial(_ folder: ModelFolder) -> Set<ExactText> {
        var named: Set<ExactText> = []
        func add(_ value: JSONValue?) {
            if let content = value?.string ?? value?["content"]?.string { named.insert(ExactText(content)) }
        }
        for source in [folder.tokenizerConfig, folder.specialTokensMap] {
            for role in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] { add(source?["\(role)_token"]) }
            for list in ["additional_special_tokens", "extra_special_tokens"] {
                for token in source?[list]?.array ?? [] { add(token) }
            }
        }
        return named
    }

    /// Tokens that ought to be control tokens although their file does not say so.
    static func looksSpecial(_ token: String) -> Bool {
        func framed(_ head: String, _ tail: String) -> Bool {
            token.utf8.starts(with: head.utf8) && token.utf8.reversed().starts(with: tail.utf8.reversed())
        }
        return ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(token) || framed("<|", "|>")
            || framed("<\u{FF5C}", "\u{FF5C}>") || framed("<unused", ">")
    }

    /// U+2581, SentencePiece's space, as a space: ggml looks for user-defined tokens in raw text.
    private static func withSpaces(_ token: String) -> String {
        var out = ""
        for scalar in token.unicodeScalars { out.unicodeScalars.append(scalar == "\u{2581}" ? " " : scalar) }
        return out
    }

    // MARK: Keys

    func write(to metadata: inout Metadata) {
        metadata["tokenizer.ggml.model"] = .string(model)
        metadata["tokenizer.ggml.pre"] = .string(pre)
        metadata["tokenizer.ggml.tokens"] = .array(.strings(tokens))
        if let scores { metadata["tokenizer.ggml.scores"] = .array(.f32(scores)) }
        metadata["tokenizer.ggml.token_type"] = .array(.i32(types.map(\.rawValue)))
    }
}
