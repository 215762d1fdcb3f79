// The tokenizer in a GGUF's metadata, checked (ggml's docs/gguf.md, "Tokenizer").

internal import Bytes
internal import OrderedCollections
internal import Tensors
internal import Tokenizers

/// `tokenizer.*` of a GGUF: tokens, scores, types and merges of the same length and in range.
struct GGUFVocabulary {
    struct Token {
        var text: String
        var score: Float
        var type: PieceType
    }

    /// "llama" or "gpt2".
    let model: String
    let pre: String
    /// By id. Padding at the end, which only fills the embedding, is left out.
    private(set) var tokens: [Token]
    let merges: [String]
    /// By role: "bos", "eos", "unk", "pad", ...
    private(set) var ids: [String: Int] = [:]
    let addsBos: Bool?
    let addsEos: Bool?
    let addsSpacePrefix: Bool?
    let removesExtraWhitespaces: Bool?
    let charactersMap: [UInt8]
    /// The default template, and the named ones.
    let template: String?
    let namedTemplates: [(name: String, template: String)]
    private(set) var warnings: [String] = []

    /// - Returns: nil when there is no tokenizer, or one that no Llama has.
    /// - Throws: `malformed` when the arrays' lengths contradict each other.
    init?(_ metadata: Metadata) throws {
        guard let model = metadata["tokenizer.ggml.model"]?.string, ["llama", "gpt2"].contains(model),
            let list = metadata["tokenizer.ggml.tokens"]?.array, list.count > 0
        else { return nil }
        guard list.count <= Vocabulary.largest else {
            throw CheckpointError.malformed(
                "the vocabulary is too large", place: "tokenizer.ggml.tokens",
                expected: "at most \(Vocabulary.largest) tokens", found: "\(list.count)")
        }
        self.model = model
        pre = metadata["tokenizer.ggml.pre"]?.string ?? "default"
        let scores = metadata["tokenizer.ggml.scores"]?.array
        let types = metadata["tokenizer.ggml.token_type"]?.array
        for (key, array) in [("scores", scores), ("token_type", types)] {
            guard let array, array.count != list.count else { continue }
            throw CheckpointError.malformed(
                "the array is not as long as the list of tokens", place: "tokenizer.ggml.\(key)",
                expected: "\(list.count)", found: "\(array.count)")
        }
        var damaged = 0
        tokens = []
        tokens.reserveCapacity(list.count)
        for id in 0..<list.count {
            let text: String
            switch list[id] {
            case .string(let value): text = value
            case .bytes(let bytes):
                text = String(decoding: bytes, as: UTF8.self)
                damaged += 1
            default:
                throw CheckpointError.malformed("a token is no text", place: "tokenizer.ggml.tokens[\(id)]")
            }
            let type = types?[id].integer.flatMap { Int32(exactly: $0) }.flatMap(PieceType.init(rawValue:))
            tokens.append(
                Token(text: text, score: scores?[id].number.map { Float($0) } ?? 0, type: type ?? .normal))
        }
        if damaged > 0 { warnings.append("\(damaged) tokens are not valid UTF-8; what is invalid in them is replaced") }
        if let array = metadata["tokenizer.ggml.merges"]?.array {
            merges = (0..<array.count).compactMap { array[$0].string }
        } else {
            merges = []
        }
        addsBos = metadata["tokenizer.ggml.add_bos_token"]?.boolean
        addsEos = metadata["tokenizer.ggml.add_eos_token"]?.boolean
        addsSpacePrefix = metadata["tokenizer.ggml.add_space_prefix"]?.boolean
        removesExtraWhitespaces = metadata["tokenizer.ggml.remove_extra_whitespaces"]?.boolean
        let map = metadata["tokenizer.ggml.precompiled_charsmap"]?.array
        charactersMap = map.map { map in (0..<map.count).map { UInt8(truncatingIfNeeded: map[$0].integer ?? 0) } } ?? []
        template = metadata["tokenizer.chat_template"]?.string
        let head = "tokenizer.chat_template."
        namedTemplates = metadata.compactMap { key, value in
            guard key.utf8.starts(with: head.utf8), let text = value.string else { return nil }
            return (String(key.dropFirst(head.count)), text)
        }
        for (role, name) in [
            ("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"), ("sep", "seperator"),
            ("mask", "mask"), ("eot", "eot"), ("eom", "eom"),
        ] {
            // All ones is ggml's "none".
            guard let id = metadata["tokenizer.ggml.\(name)_token_id"]?.integer, id != Int(UInt32.max) else { continue }
            guard id >= 0, id < list.count else {
                warnings.append("the \(role) token \(id) is outside of the vocabulary and left out")
                continue
            }
            ids[role] = id
        }
        while tokens.count > 1, let last = tokens.last, last.type == .unused, last.text == "[PAD\(tokens.count - 1)]" {
            tokens.removeLast()
        }
        ids = ids.filter { $0.value < tokens.count }
    }

    /// The text of a special token.
    func text(_ role: String) -> String? { ids[role].map { tokens[$0].text } }

    /// Whether a token was added to the vocabulary of the model: converters give those a score of -1000.
    func isAdded(_ id: Int) -> Bool {
        (tokens[id].type == .userDefined || tokens[id].type == .control)
            && (model == "gpt2" || tokens[id].score == -1000)
    }

    /// Where the tokens begin that the model's own vocabulary does not have: all from there on were added.
    var ownCount: Int {
        var count = tokens.count
        while count > 1, isAdded(count - 1) { count -= 1 }
        return count
    }
}
