// Making a Tokenizer of a folder's files or of a GGUF file's keys.

public import Tensors
internal import Bytes
internal import JSONText
public import OrderedCollections

extension Tokenizer {
    /// - Parameter path: a folder with tokenizer files, a tokenizer.model or a tokenizer.json.
    /// - Throws: `inputOutput` where nothing is there, `unsupported` where there is no vocabulary that Pannier knows.
    public init(path: String) throws {
        switch Paths.kind(path) {
        case .folder:
            guard let files = try TokenizerFiles(folder: path) else {
                throw CheckpointError.unsupported(
                    "the folder has no tokenizer", file: path, expected: "tokenizer.model or tokenizer.json",
                    remedy: "copy the tokenizer's files beside the checkpoint")
            }
            try self.init(files)
        case .missing:
            throw CheckpointError(.inputOutput, "no such file or folder", file: path, remedy: "check the path")
        default:
            let bytes = try File(path).contents(limit: TokenizerFiles.limit)
            // A JSON document begins with a brace; a ModelProto with the tag of its first piece.
            if bytes.first(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }) == 0x7b {
                let json = try TokenizerJSON(JSONText.parse(bytes, file: path), file: path)
                try self.init(json, config: TokenizerConfig(), file: path)
            } else {
                try self.init(SentencePieceModel(bytes, file: path), config: TokenizerConfig(), file: path)
            }
        }
    }

    /// - Throws: `unsupported` for kinds of tokenizers that Pannier does not compute.
    public init(_ files: TokenizerFiles) throws {
        let config = files.config ?? TokenizerConfig()
        if let model = files.sentencePiece {
            try self.init(model, config: config, added: files.addedTokens, file: files.path)
        } else if let json = files.json {
            try self.init(json, config: config, file: files.path)
        } else {
            throw CheckpointError.unsupported("no vocabulary", file: files.path)
        }
    }

    init(
        _ model: SentencePieceModel, config: TokenizerConfig, added: [(content: String, id: Int)] = [], file: String?
    ) throws {
        guard model.algorithm == .bpe else {
            throw CheckpointError.unsupported(
                "a SentencePiece model that is no BPE", file: file, expected: "bpe", found: "\(model.algorithm)")
        }
        guard model.charactersMap.isEmpty else {
            throw CheckpointError.unsupported(
                "a SentencePiece model that replaces characters", file: file, place: "normalizer_spec",
                expected: "identity", found: model.normalizer)
        }
        var pieces = model.pieces.map(\.text), scores = model.pieces.map(\.score), types = model.pieces.map(\.type)
        // Tokens added beside the model's own: found in text whole.
        let limit = min(SentencePieceModel.mostPieces, 2 * pieces.count + SentencePieceModel.mostHoles)
        func add(_ content: String, _ id: Int, _ type: PieceType) throws {
            guard id >= 0, id < limit else {
                throw CheckpointError.malformed(
                    "an added token's id is out of range", file: file, place: content, expected: "0 ..< \(limit)",
                    found: "\(id)",
                    remedy: "the tokens were added to another vocabulary")
            }
            while pieces.count <= id {
                pieces.append("[PAD\(pieces.count)]")
                scores.append(-10000)
                types.append(.control)
            }
            pieces[id] = content
            types[id] = type
        }
        for token in added where token.id >= model.pieces.count {
            try add(token.content, token.id, .userDefined)
        }
        for token in config.addedTokens where token.id >= model.pieces.count {
            try add(token.content, token.id, token.special ? .control : .userDefined)
        }
        let prefix = model.addDummyPrefix && (config.addPrefixSpace ?? true)
        self.init(
            sentencePiece: pieces, types: types, order: .scores(scores), byteFallback: model.byteFallback,
            removesExtraSpaces: model.removeExtraWhitespaces, escapesSpaces: model.escapeWhitespaces,
            spaceAsSuffix: model.treatWhitespaceAsSuffix, prefixesSpace: prefix,
            prefixesOnlyFirst: config.legacy == false, config: config,
            bos: model.bosID >= 0 ? model.bosID : nil, eos: model.eosID >= 0 ? model.eosID : nil)
    }

    init(_ json: TokenizerJSON, config: TokenizerConfig, file: String?) throws {
        let pieces = json.pieces.enumerated().map { $0.element ?? "[PAD\($0.offset)]" }
        var types = [PieceType](repeating: .normal, count: pieces.count)
        for (id, piece) in json.pieces.enumerated() where piece == nil { types[id] = .control }
        if json.byteFallback {
            for (id, piece) in pieces.enumerated() where SentencePieceBytes.byte(of: piece) != nil { types[id] = .byte }
        }
        for token in json.addedTokens { types[token.id] = token.special ? .control : .userDefined }
        if let unknown = json.unknownPiece, let id = json.pieces.firstIndex(of: unknown) { types[id] = .unknown }
        var config = config
        if config.addBos == nil { config.addBos = json.addsBos }
        if config.specialTokens["bos"] == nil { config.specialTokens["bos"] = json.bosToken }
        let pairs = Self.pairs(json.merges, pieces)
        var treatments: [Int: SpecialTokens.Treatment] = [:]
        for token in json.addedTokens {
            var treatment: SpecialTokens.Treatment = []
            if token.leftStrip { treatment.insert(.stripsLeft) }
            if token.rightStrip { treatment.insert(.stripsRight) }
            if token.singleWord { treatment.insert(.isWord) }
            treatments[token.id] = treatment
        }

        if json.byteLevel {
            guard let preTokenizer = json.preTokenizer, let pattern = preTokenizer.pattern else {
                throw Self.unknownSplitting(file, place: "pre_tokenizer", found: json.splitting)
            }
            self.init(
                byteLevel: pieces, types: types, treatments: treatments, pairs: pairs, pattern: pattern,
                ignoresMerges: json.ignoreMerges, prefixesSpace: json.addPrefixSpace, config: config, bos: nil,
                eos: nil, bosByDefault: preTokenizer.addsBos)
        } else {
            self.init(
                sentencePiece: pieces, types: types, treatments: treatments, order: .pairs(pairs),
                byteFallback: json.byteFallback,
                removesExtraSpaces: false, escapesSpaces: true, spaceAsSuffix: false,
                prefixesSpace: json.addPrefixSpace, prefixesOnlyFirst: json.prefixFirstOnly,
                prefixesUnlessThere: json.prefixUnlessThere, config: config, bos: nil, eos: nil)
        }
    }

    /// The tokenizer inside a GGUF file; keys as in ggml's docs/gguf.md.
    /// - Throws: `unsupported` where there is none or it is of another kind.
    public init(metadata: Metadata, file: String? = nil) throws {
        func key(_ name: String) -> MetadataValue? { metadata["tokenizer.ggml." + name] }
        guard let model = key("model")?.string else {
            throw CheckpointError.unsupported(
                "the file has no tokenizer", file: file, place: "tokenizer.ggml.model", expected: "llama or gpt2",
                remedy: "give token ids with --ids, or convert again with the tokenizer's files beside the model")
        }
        let pieces = key("tokens")?.array.map(Self.strings) ?? []
        guard !pieces.isEmpty, pieces.count < SentencePieceModel.mostPieces else {
            throw CheckpointError.malformed(
                "no vocabulary, or one too large", file: file, place: "tokenizer.ggml.tokens", found: "\(pieces.count)")
        }
        var types = [PieceType](repeating: .normal, count: pieces.count)
        if case .i32(let raw)? = key("token_type")?.array {
            for (id, value) in raw.prefix(types.count).enumerated() { types[id] = PieceType(rawValue: value) ?? .normal }
        }
        var config = TokenizerConfig()
        config.addBos = key("add_bos_token")?.boolean
        config.chatTemplate = metadata["tokenizer.chat_template"]?.string
        let bos = key("bos_token_id")?.integer, eos = key("eos_token_id")?.integer
        let prefix = key("add_space_prefix")?.boolean

        switch model {
        case "llama":
            var scores = [Float](repeating: 0, count: pieces.count)
            if case .f32(let raw)? = key("scores")?.array {
                for (id, score) in raw.prefix(scores.count).enumerated() { scores[id] = score }
            }
            self.init(
                sentencePiece: pieces, types: types, order: .scores(scores),
                byteFallback: types.contains(.byte),
                removesExtraSpaces: key("remove_extra_whitespaces")?.boolean ?? false, escapesSpaces: true,
                spaceAsSuffix: false, prefixesSpace: prefix ?? true, prefixesOnlyFirst: false, config: config,
                bos: bos ?? 1, eos: eos ?? 2)
        case "gpt2":
            var merges: [(left: String, right: String)] = []
            for text in key("merges")?.array.map(Self.strings) ?? [] {
                if let halves = splitMerge(text) { merges.append(halves) }
            }
            let name = key("pre")?.string ?? "default"
            guard let preTokenizer = PreTokenizer.named(name), let pattern = preTokenizer.pattern else {
                throw Self.unknownSplitting(file, place: "tokenizer.ggml.pre", found: name)
            }
            self.init(
                byteLevel: pieces, types: types, pairs: Self.pairs(merges, pieces), pattern: pattern,
                ignoresMerges: preTokenizer.ignoresMerges, prefixesSpace: prefix ?? false, config: config, bos: bos,
                eos: eos, bosByDefault: preTokenizer.addsBos)
        default:
            throw CheckpointError.unsupported(
                "a tokenizer of the kind \(model)", file: file, place: "tokenizer.ggml.model",
                expected: "llama or gpt2", found: model)
        }
    }

    // MARK: Parts

    private static func strings(_ array: MetadataArray) -> [String] {
        switch array {
        case .strings(let strings): strings
        case .other(_, let values):
            values.map { value in
                switch value {
                case .string(let text): text
                case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
                default: ""
                }
            }
        default: []
        }
    }

    private static func unknownSplitting(_ file: String?, place: String, found: String) -> CheckpointError {
        let known = PreTokenizer.all.filter { $0.pattern != nil }.map(\.name)
        return .unsupported(
            "an unknown way of splitting text into words", file: file, place: place,
            expected: known.joined(separator: ", "), found: found.escapingControlCharacters,
            remedy: "give token ids with --ids")
    }

    /// Ranks of the pairs by the ids of their halves. A pair whose halves or result are no pieces is never met.
    private static func pairs(
        _ merges: [(left: String, right: String)], _ pieces: [String]
    ) -> [UInt64: (rank: Int32, id: Int32)] {
        let table = PieceTable(pieces) { _ in true }
        var pairs: [UInt64: (rank: Int32, id: Int32)] = [:]
        pairs.reserveCapacity(merges.count)
        for (rank, merge) in merges.enumerated() {
            guard let left = table.id(of: merge.left), let right = table.id(of: merge.right),
                let both = table.id(of: merge.left + merge.right)
            else { continue }
            let key = UInt64(left) << 32 | UInt64(right)
            if pairs[key] == nil { pairs[key] = (Int32(truncatingIfNeeded: rank), Int32(truncatingIfNeeded: both)) }
        }
        return pairs
    }

    private init(
        sentencePiece pieces: [String], types: [PieceType], treatments: [Int: SpecialTokens.Treatment] = [:],
        order: SentencePieceEncoding.Order, byteFallback: Bool,
        removesExtraSpaces: Bool, escapesSpaces: Bool, spaceAsSuffix: Bool, prefixesSpace: Bool,
        prefixesOnlyFirst: Bool, prefixesUnlessThere: Bool = false, config: TokenizerConfig, bos: Int?, eos: Int?
    ) {
        // Control, unknown and byte pieces are not found in text.
        let table = PieceTable(pieces) { [.normal, .userDefined, .unused].contains(types[$0]) }
        var byteIDs = [Int?](repeating: nil, count: 256)
        if byteFallback {
            for (id, type) in types.enumerated() where type == .byte {
                if let byte = SentencePieceBytes.byte(of: pieces[id]) { byteIDs[Int(byte)] = id }
            }
        }
        let userDefined = types.indices.filter { types[$0] == .userDefined }.map { (text: pieces[$0], id: $0) }
        let encoding = SentencePieceEncoding(
            table: table, neighbours: CharacterNeighbours(pieces), order: order, types: types,
            userDefined: SpecialTokens(userDefined), byteIDs: byteIDs, unknownID: types.firstIndex(of: .unknown),
            removesExtraSpaces: removesExtraSpaces, escapesSpaces: escapesSpaces, spaceAsSuffix: spaceAsSuffix)
        self.init(
            title: "SentencePiece BPE" + (byteFallback ? " with byte fallback" : ""), pieces: pieces, types: types,
            treatments: treatments,
            encoding: .sentencePiece(encoding), prefixesSpace: prefixesSpace, prefixesOnlyFirst: prefixesOnlyFirst,
            prefixesUnlessThere: prefixesUnlessThere, config: config, bos: bos, eos: eos, bosByDefault: true)
    }

    private init(
        byteLevel pieces: [String], types: [PieceType], treatments: [Int: SpecialTokens.Treatment] = [:],
        pairs: [UInt64: (rank: Int32, id: Int32)], pattern: WordPattern,
        ignoresMerges: Bool, prefixesSpace: Bool, config: TokenizerConfig, bos: Int?, eos: Int?, bosByDefault: Bool
    ) {
        let encoding = ByteLevelEncoding(
            table: PieceTable(pieces) { types[$0] == .normal }, pairs: pairs, pattern: pattern,
            ignoresMerges: ignoresMerges, unknownID: types.firstIndex(of: .unknown))
        self.init(
            title: "byte-level BPE (\(pattern.rawValue))", pieces: pieces, types: types, treatments: treatments,
            encoding: .byteLevel(encoding),
            prefixesSpace: prefixesSpace, prefixesOnlyFirst: true, prefixesUnlessThere: false, config: config, bos: bos,
            eos: eos, bosByDefault: bosByDefault)
    }

    private init(
        title: String, pieces: [String], types: [PieceType], treatments: [Int: SpecialTokens.Treatment],
        encoding: Encoding, prefixesSpace: Bool,
        prefixesOnlyFirst: Bool, prefixesUnlessThere: Bool, config: TokenizerConfig, bos: Int?, eos: Int?,
        bosByDefault: Bool
    ) {
        self.title = title
        self.pieces = pieces
        self.types = types
        self.encoding = encoding
        self.prefixesSpace = prefixesSpace
        self.prefixesOnlyFirst = prefixesOnlyFirst
        self.prefixesUnlessThere = prefixesUnlessThere
        let named = types.indices.filter { types[$0] == .control || types[$0] == .userDefined }
        var specialTokens = named.map { (text: pieces[$0], id: $0) }
        if let unknown = types.firstIndex(of: .unknown) { specialTokens.append((pieces[unknown], unknown)) }
        specials = SpecialTokens(specialTokens, treatments: treatments)
        if case .byteLevel = encoding {
            added = SpecialTokens(
                types.indices.filter { types[$0] == .userDefined }.map { (text: pieces[$0], id: $0) }, treatments: treatments)
        } else {
            added = SpecialTokens([])
        }
        func id(_ role: String) -> Int? {
            config.specialTokens[role].flatMap { content in named.first { pieces[$0] == content } }
        }
        let known = pieces.indices
        bosID = (id("bos") ?? bos).flatMap { known.contains($0) ? $0 : nil }
        // What ends a turn ends the text as well.
        let enders = ["<|eot_id|>", "<|im_end|>", "<|end_of_text|>", "<|endoftext|>"]
        let turns = named.filter { types[$0] == .control && enders.contains(pieces[$0]) }
        eosIDs = Set([id("eos") ?? eos].compactMap { $0 }.filter(known.contains) + turns).sorted()
        addsBos = config.addBos ?? bosByDefault
        chatTemplate = config.chatTemplate
    }
}
