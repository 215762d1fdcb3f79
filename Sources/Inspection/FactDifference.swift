// Differences beside the weights: the model's dimensions and constants, its tokenizer, its metadata.

internal import Bytes
internal import Conversion
internal import Layouts
internal import OrderedCollections
internal import Tensors
internal import Tokenizers

/// One fact on which two checkpoints disagree.
public struct FactDifference: Sendable, Hashable {
    public enum Subject: String, Sendable, CaseIterable {
        case config, tokenizer, metadata
    }

    public let subject: Subject
    /// "rope_theta", "token 31999", "general.name".
    public let key: String
    /// Nil where that side does not have it.
    public let a: String?
    public let b: String?

    /// All that is known of both and differs. What only one kind of file can say is no difference.
    static func all(_ a: ComparedCheckpoint, _ b: ComparedCheckpoint) -> [FactDifference] {
        config(a, b) + tokenizer(a, b) + metadata(a, b)
    }

    // MARK: Config

    private static func config(_ a: ComparedCheckpoint, _ b: ComparedCheckpoint) -> [FactDifference] {
        guard let left = a.source, let right = b.source else { return [] }
        var facts: [FactDifference] = []
        let (one, other) = (left.config, right.config)
        func compare<T: Equatable>(_ key: String, _ a: T, _ b: T) {
            if a != b { facts.append(FactDifference(subject: .config, key: key, a: "\(a)", b: "\(b)")) }
        }
        compare("layers", one.layers, other.layers)
        compare("hidden", one.hidden, other.hidden)
        compare("heads", one.heads, other.heads)
        compare("kv_heads", one.kvHeads, other.kvHeads)
        compare("head_dim", one.headDim, other.headDim)
        compare("ffn", one.ffn, other.ffn)
        compare("vocab", one.vocab, other.vocab)
        compare("tied_output", one.tiedOutput, other.tiedOutput)
        compare("qkv_bias", one.qkvBias, other.qkvBias)
        // The rest is in no shape: it is known only where a file says it.
        guard left.configFile != nil, right.configFile != nil else { return facts }
        compare("architecture", one.architecture, other.architecture)
        compare("context", one.context, other.context)
        // GGUF keeps it in single precision.
        compare("norm_eps", Float(one.normEps), Float(other.normEps))
        compare("rope_theta", Float(one.ropeTheta ?? 10000), Float(other.ropeTheta ?? 10000))
        compare("rope_scaling", text(of: one.ropeScaling), text(of: other.ropeScaling))
        compare("sliding_window", one.slidingWindow.map(String.init) ?? "none", other.slidingWindow.map(String.init) ?? "none")
        if let a = one.bosToken, let b = other.bosToken { compare("bos_token", a, b) }
        if !one.eosTokens.isEmpty, !other.eosTokens.isEmpty { compare("eos_tokens", one.eosTokens.first ?? 0, other.eosTokens.first ?? 0) }
        return facts
    }

    private static func text(of scaling: RoPEScaling) -> String {
        switch scaling {
        case .none: "none"
        case .linear(let factor): "linear \(Float(factor))"
        case .llama3(let factor, let low, let high, let context):
            "llama3 \(Float(factor)), \(Float(low)) to \(Float(high)), \(context)"
        case .dynamic(let factor): "dynamic \(Float(factor))"
        case .yarn(let factor, let context): "yarn \(Float(factor)), \(context)"
        }
    }

    // MARK: Tokenizer

    /// The tokens of a checkpoint by id, and their scores where they have any.
    private struct Tokens {
        var texts: [String] = []
        var scores: [Float] = []

        init?(_ checkpoint: ComparedCheckpoint) {
            if checkpoint.reader.kind == .gguf {
                guard let list = checkpoint.reader.metadata["tokenizer.ggml.tokens"]?.array,
                    list.count <= SentencePieceModel.mostPieces
                else { return nil }
                texts = (0..<list.count).map {
                    switch list[$0] {
                    case .string(let text): text
                    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
                    default: ""
                    }
                }
                if case .f32(let values)? = checkpoint.reader.metadata["tokenizer.ggml.scores"]?.array { scores = values }
            } else {
                guard let files = try? TokenizerFiles(folder: Paths.parent(checkpoint.reader.path)) else { return nil }
                if let model = files.sentencePiece {
                    texts = model.pieces.map(\.text)
                    scores = model.pieces.map(\.score)
                    for (content, id) in files.addedTokens where id == texts.count { texts.append(content) }
                } else if let json = files.json {
                    texts = json.pieces.map { $0 ?? "" }
                }
            }
            guard !texts.isEmpty else { return nil }
        }
    }

    private static func tokenizer(_ a: ComparedCheckpoint, _ b: ComparedCheckpoint) -> [FactDifference] {
        guard let left = Tokens(a), let right = Tokens(b) else { return [] }
        var facts: [FactDifference] = []
        let common = min(left.texts.count, right.texts.count)
        let differing = (0..<common).filter { !left.texts[$0].utf8.elementsEqual(right.texts[$0].utf8) }
        for id in differing.prefix(4) {
            facts.append(
                FactDifference(subject: .tokenizer, key: "token \(id)", a: left.texts[id], b: right.texts[id]))
        }
        if differing.count > 4 {
            facts.append(
                FactDifference(
                    subject: .tokenizer, key: "tokens", a: nil, b: "\(differing.count) of \(common) have other texts"))
        }
        // Converters fill the vocabulary up to the embedding with tokens of no meaning.
        let longer = left.texts.count > common ? left.texts : right.texts
        if longer.dropFirst(common).contains(where: { !$0.hasPrefix("[PAD") }) {
            facts.append(
                FactDifference(
                    subject: .tokenizer, key: "tokens", a: "\(left.texts.count)", b: "\(right.texts.count)"))
        }
        let scored = min(common, left.scores.count, right.scores.count)
        // -1000 and -10000 are what converters give to added tokens and to padding.
        let scores = (0..<scored).filter {
            left.scores[$0] != right.scores[$0] && left.scores[$0] > -1000 && right.scores[$0] > -1000
        }
        if let first = scores.first {
            facts.append(
                FactDifference(
                    subject: .tokenizer, key: "scores (\(scores.count) differ, the first is of token \(first))",
                    a: "\(left.scores[first])", b: "\(right.scores[first])"))
        }
        return facts
    }

    // MARK: Metadata

    /// Keys of two containers of the same kind; the large arrays of a tokenizer are compared above.
    private static func metadata(_ a: ComparedCheckpoint, _ b: ComparedCheckpoint) -> [FactDifference] {
        guard a.reader.kind == b.reader.kind else { return [] }
        let (left, right) = (a.reader.metadata, b.reader.metadata)
        let skipped: Set = ["tokenizer.ggml.tokens", "tokenizer.ggml.scores"]
        let keys = Array(left.keys) + right.keys.filter { left[$0] == nil }
        return keys.compactMap { key in
            guard !skipped.contains(key), left[key] != right[key] else { return nil }
            return FactDifference(
                subject: .metadata, key: key, a: left[key].map(short), b: right[key].map(short))
        }
    }

    private static func short(_ value: MetadataValue) -> String {
        switch value {
        case .string(let text): return text.count > 80 ? "\"\(text.prefix(80))\"... (\(text.count) characters)" : "\"\(text)\""
        case .array(let array): return "\(array.count) of \(array.elementType.name)"
        case .bytes(let bytes): return "\(bytes.count) bytes"
        case .bool(let flag): return "\(flag)"
        case .f32(let number): return "\(number)"
        case .f64(let number): return "\(number)"
        case .u64(let number): return "\(number)"
        default: return value.integer.map(String.init) ?? ""
        }
    }
}
