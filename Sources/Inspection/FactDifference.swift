// Differences beside the weights: the model's dimensions and constants, its tokenizer, its metadata.

internal import Bytes
internal import Containers
internal import Conversion
internal import JSONText
internal import Layouts
internal import ModelFiles
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
        let (left, right) = (Surroundings(a), Surroundings(b))
        return config(a, b) + generation(left, right) + tokenizer(left, right) + settings(left, right) + metadata(a, b)
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
        compare("attention_output_bias", one.attentionOutputBias, other.attentionOutputBias)
        compare("mlp_bias", one.mlpBias, other.mlpBias)
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
        if let a = one.eosTokens.first, let b = other.eosTokens.first { compare("eos_tokens", a, b) }
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

    /// What lies beside a checkpoint's weights, as the keys that a GGUF of it has. A folder is asked for those that a
    /// conversion of it would write, so that a model and what was converted from it say the same.
    private struct Surroundings {
        /// Keys of the tokenizer; empty where there is none that a GGUF can say.
        var keys: Metadata = [:]
        /// Its own file or its tokenizer_config.json: whether silence about a chat template means that there is none.
        var saysTemplate = false
        let isGGUF: Bool
        /// `eos_token_id` of generation_config.json: all tokens that end a text.
        var endTokens: [Int]?

        init(_ checkpoint: ComparedCheckpoint) {
            isGGUF = checkpoint.reader.kind == .gguf
            guard !isGGUF else {
                keys = checkpoint.reader.metadata
                saysTemplate = keys["tokenizer.ggml.tokens"] != nil
                return
            }
            guard let folder = try? ModelFolder(reading: checkpoint.reader.folder) else { return }
            let ends = folder.generationConfig?["eos_token_id"]
            let ids = (ends?.array ?? [ends].compactMap { $0 }).compactMap(\.integer)
            if !ids.isEmpty { endTokens = ids.sorted() }
            guard let config = checkpoint.source?.config ?? Self.size(of: folder),
                let built = try? GGUFMetadataBuilder(config: config, folder: folder, fileType: .f16, parameters: 0).build()
            else { return }
            keys = built.metadata
            saysTemplate = folder.tokenizerConfig != nil && keys["tokenizer.ggml.tokens"] != nil
        }

        /// A config of the vocabulary's size alone, for checkpoints of no known layout.
        private static func size(of folder: ModelFolder) -> ModelConfig? {
            let own = folder.sentencePiece?.pieces.count ?? folder.tokenizerJSON?["model"]?["vocab"]?.object?.count
            let added = folder.tokenizerJSON?["added_tokens"]?.array?.count ?? 0
            return own.map { ModelConfig(layers: 1, hidden: 1, heads: 1, ffn: 1, vocab: $0 + added) }
        }

        /// A switch of the tokenizer; nil where nothing is said of it.
        func flag(_ key: String) -> Bool? { keys["tokenizer.ggml." + key]?.boolean }

        /// The chat templates by key: the one that counts by default, and named ones.
        var templates: OrderedDictionary<String, String> {
            let head = "tokenizer.chat_template"
            return keys.reduce(into: [:]) { templates, entry in
                guard entry.key == head || entry.key.utf8.starts(with: (head + ".").utf8), let text = entry.value.string
                else { return }
                templates[String(entry.key.dropFirst("tokenizer.".count))] = text
            }
        }
    }

    /// The tokens of a checkpoint by id, and their scores where they have any.
    private struct Tokens {
        var texts: [String] = []
        var scores: [Float] = []

        init?(_ keys: Metadata) {
            guard let list = keys["tokenizer.ggml.tokens"]?.array, list.count > 0,
                list.count <= SentencePieceModel.mostPieces
            else { return nil }
            texts = (0..<list.count).map {
                switch list[$0] {
                case .string(let text): text
                case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
                default: ""
                }
            }
            if case .f32(let values)? = keys["tokenizer.ggml.scores"]?.array { scores = values }
        }
    }

    /// The tokens that end a text, where both folders say them. A GGUF has one, which its config is compared by.
    private static func generation(_ a: Surroundings, _ b: Surroundings) -> [FactDifference] {
        guard let left = a.endTokens, let right = b.endTokens, left != right else { return [] }
        func text(_ ids: [Int]) -> String { ids.map(String.init).joined(separator: ", ") }
        return [FactDifference(subject: .config, key: "generation eos_token_id", a: text(left), b: text(right))]
    }

    /// What a tokenizer adds to texts, and how it writes a chat. Of two GGUFs the metadata are compared whole.
    private static func settings(_ a: Surroundings, _ b: Surroundings) -> [FactDifference] {
        guard !(a.isGGUF && b.isGGUF) else { return [] }
        var facts: [FactDifference] = []
        for key in ["add_bos_token", "add_eos_token", "add_space_prefix"] {
            guard let left = a.flag(key), let right = b.flag(key), left != right else { continue }
            facts.append(FactDifference(subject: .tokenizer, key: key, a: "\(left)", b: "\(right)"))
        }
        guard a.saysTemplate, b.saysTemplate else { return facts }
        let (left, right) = (a.templates, b.templates)
        for key in Array(left.keys) + right.keys.filter({ left[$0] == nil }) {
            let (one, other) = (left[key] ?? "", right[key] ?? "")
            guard !one.utf8.elementsEqual(other.utf8) else { continue }
            // Templates begin alike: what is shown begins where they part.
            let start = zip(one.unicodeScalars, other.unicodeScalars).prefix { $0 == $1 }.count
            func shown(_ text: String) -> String? {
                text.isEmpty ? nil : short(.string(String(String.UnicodeScalarView(text.unicodeScalars.dropFirst(start)))))
            }
            let place = one.isEmpty || other.isEmpty ? "" : " from character \(start) on"
            facts.append(FactDifference(subject: .tokenizer, key: key + place, a: shown(one), b: shown(other)))
        }
        return facts
    }

    private static func tokenizer(_ a: Surroundings, _ b: Surroundings) -> [FactDifference] {
        guard let left = Tokens(a.keys), let right = Tokens(b.keys) else { return [] }
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
