// A matrix of broken conversions: parity flags each, names the first wrong layer, and says what was wrong.

import Foundation
import Testing

import Bytes
import Inference
import JSONText
import Layouts
import Tensors
import Tokenizers

/// Something done wrong to the sample model in memory.
struct BrokenConversion: CustomTestStringConvertible, Sendable {
    let testDescription: String
    /// The first layer that parity has to name.
    let layer: Int?
    /// The hint it has to give; nil where naming the layer is enough.
    let hint: String?
    let damage: @Sendable (inout LanguageModel) throws -> Void

    init(
        _ name: String, layer: Int?, hint: String?, _ damage: @escaping @Sendable (inout LanguageModel) throws -> Void
    ) {
        testDescription = name
        self.layer = layer
        self.hint = hint
        self.damage = damage
    }

    static let all: [BrokenConversion] = [
        BrokenConversion("K not permuted for GGUF, in all layers", layer: 0, hint: "rope_permutation_missing") { model in
            for layer in 0..<4 { try permute(&model, .attnK, layer, toHalves) }
        },
        BrokenConversion("K permuted once too often in layer 3", layer: 3, hint: "rope_permutation") { model in
            try permute(&model, .attnK, 3, toPairs)
        },
        BrokenConversion("Q permuted twice in all layers", layer: 0, hint: "rope_permutation") { model in
            for layer in 0..<4 { try permute(&model, .attnQ, layer, toPairs) }
        },
        BrokenConversion("fused QKV read as concatenated", layer: 1, hint: "qkv_interleaving") { model in
            try regroup(&model, layer: 1) { canonical in
                // The fused rows lie in group order: 4 query heads, a key head, a value head, 2 groups of 32 rows.
                var stored = [Int](repeating: 0, count: canonical.count)
                for (place, row) in groupOrder.enumerated() { stored[place] = canonical[row] }
                return stored
            }
        },
        BrokenConversion("fused QKV read as interleaved", layer: 2, hint: "qkv_interleaving") { model in
            try regroup(&model, layer: 2) { canonical in
                var read = [Int](repeating: 0, count: canonical.count)
                for (place, row) in groupOrder.enumerated() { read[row] = canonical[place] }
                return read
            }
        },
        BrokenConversion("gate and up swapped in layer 2", layer: 2, hint: "gate_up_swap") { model in
            let gate = TensorRole(.ffnGate, layer: 2), up = TensorRole(.ffnUp, layer: 2)
            (model.weights.matrices[gate], model.weights.matrices[up]) = (
                model.weights.matrices[up], model.weights.matrices[gate]
            )
        },
        BrokenConversion("layers from 1 on shifted by one", layer: 1, hint: "layer_shift") { model in
            let old = model.weights
            for layer in 1..<3 {
                for role in Role.allCases where role.isPerLayer {
                    let from = TensorRole(role, layer: layer + 1), to = TensorRole(role, layer: layer)
                    if let matrix = old.matrices[from] { model.weights.matrices[to] = matrix }
                    if let vector = old.vectors[from] { model.weights.vectors[to] = vector }
                }
            }
        },
        BrokenConversion("wrong norm epsilon", layer: 0, hint: "norm_eps") { $0.weights.config.normEps = 1e-3 },
        BrokenConversion("wrong RoPE base", layer: 0, hint: "rope_base") { $0.weights.config.ropeTheta = 500_000 },
        BrokenConversion("truncated vocabulary", layer: nil, hint: nil) { model in
            model.weights.config.vocab = 1000
            for role in [TensorRole(.tokenEmbedding), TensorRole(.output)] {
                model.weights.matrices[role] = try model.weights.matrices[role]?.selecting(rows: Array(0..<1000))
            }
        },
        BrokenConversion("all of attn_v doubled in layer 1", layer: 1, hint: "scaled") { model in
            let role = TensorRole(.attnV, layer: 1)
            model.weights.matrices[role] = try model.weights.matrices[role]?.scaled(by: 2)
        },
        BrokenConversion("one block's scale doubled", layer: 2, hint: "rows") { model in
            try edit(&model, .ffnUp, 2) { values in for column in 64..<96 { values[100 * 256 + column] *= 2 } }
        },
        BrokenConversion("one row zeroed", layer: 2, hint: "rows") { model in
            try edit(&model, .ffnDown, 2) { values in for column in 0..<512 { values[17 * 512 + column] = 0 } }
        },
        BrokenConversion("tokenizer shifted by one", layer: nil, hint: "tokenizer_shift") { model in
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: sample + "/tokenizer.model")))
            // One more piece in front, of the type unused.
            bytes.insert(contentsOf: [0x0a, 0x06, 0x0a, 0x02, 0x7e, 0x7e, 0x18, 0x05], at: 0)
            let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
            try Data(bytes).write(to: path)
            defer { try? FileManager.default.removeItem(at: path) }
            model.use(try Tokenizer(path: path.path))
        },
        BrokenConversion("transposed projection", layer: 0, hint: "transposed") { model in
            let role = TensorRole(.attnOutput, layer: 0)
            model.weights.matrices[role] = try model.weights.matrices[role]?.transposed()
        },
        BrokenConversion("embedding shifted by one row", layer: -1, hint: "embedding_shift") { model in
            let role = TensorRole(.tokenEmbedding)
            model.weights.matrices[role] = try model.weights.matrices[role]?.selecting(rows: [0] + Array(0..<1023))
        },
        BrokenConversion("embedding shifted by forty rows", layer: -1, hint: "embedding_shift") { model in
            let role = TensorRole(.tokenEmbedding)
            model.weights.matrices[role] = try model.weights.matrices[role]?.selecting(
                rows: (0..<1024).map { max(0, $0 - 40) })
        },
        BrokenConversion("layer 1 once more in place of layer 2", layer: 2, hint: "layer_shift") { model in
            for role in Role.allCases where role.isPerLayer {
                let from = TensorRole(role, layer: 1), to = TensorRole(role, layer: 2)
                if let matrix = model.weights.matrices[from] { model.weights.matrices[to] = matrix }
                if let vector = model.weights.vectors[from] { model.weights.vectors[to] = vector }
            }
        },
        BrokenConversion("embedding in place of the output", layer: 4, hint: nil) { model in
            model.weights.matrices[TensorRole(.output)] = model.weights.matrices[TensorRole(.tokenEmbedding)]
        },
        BrokenConversion("norms swapped in layer 3", layer: 3, hint: "norm_swap") { model in
            let a = TensorRole(.attnNorm, layer: 3), b = TensorRole(.ffnNorm, layer: 3)
            (model.weights.vectors[a], model.weights.vectors[b]) = (model.weights.vectors[b], model.weights.vectors[a])
        },
    ]

    // MARK: Tools. Heads are 32 wide; 8 query heads, 2 key/value heads.

    static let toHalves: @Sendable (Int) -> Int = { $0 < 16 ? 2 * $0 : 2 * ($0 - 16) + 1 }
    static let toPairs: @Sendable (Int) -> Int = { $0 % 2 == 0 ? $0 / 2 : 16 + $0 / 2 }

    /// Rows of [q; k; v] in the order of query groups.
    static let groupOrder: [Int] = {
        var order: [Int] = []
        for group in 0..<2 {
            order += (group * 128)..<(group * 128 + 128)
            order += (256 + group * 32)..<(288 + group * 32)
            order += (320 + group * 32)..<(352 + group * 32)
        }
        return order
    }()

    static func permute(_ model: inout LanguageModel, _ role: Role, _ layer: Int, _ map: (Int) -> Int) throws {
        let role = TensorRole(role, layer: layer)
        let matrix = try #require(model.weights.matrices[role])
        model.weights.matrices[role] = try matrix.selecting(rows: (0..<matrix.rows).map { $0 / 32 * 32 + map($0 % 32) })
    }

    static func regroup(_ model: inout LanguageModel, layer: Int, _ order: ([Int]) -> [Int]) throws {
        let roles = [Role.attnQ, .attnK, .attnV].map { TensorRole($0, layer: layer) }
        let parts = try roles.map { try #require(model.weights.matrices[$0]) }
        let rows = order(Array(0..<384))
        for (role, range) in zip(roles, [0..<256, 256..<320, 320..<384]) {
            model.weights.matrices[role] = try WeightMatrix.gather(parts, rows: Array(rows[range]))
        }
    }

    static func edit(_ model: inout LanguageModel, _ role: Role, _ layer: Int, _ change: (inout [Float]) -> Void) throws {
        let role = TensorRole(role, layer: layer)
        let matrix = try #require(model.weights.matrices[role])
        var values = matrix.decoded()
        change(&values)
        model.weights.matrices[role] = try WeightMatrix(values: values, columns: matrix.columns)
    }
}

/// A model of random weights in memory. What has the same shape in two of them has the same values, and of embeddings and
/// outputs the first rows are the same.
struct SmallModel: CustomTestStringConvertible, Sendable {
    var ffn = 64, heads = 4, kvHeads = 2, vocab = 260
    /// Of the output's values; nil for the usual ones.
    var outputSeed: UInt64?

    var testDescription: String { "ffn \(ffn), \(heads) heads, \(kvHeads) key/value heads, vocabulary \(vocab)" }

    /// Bytes as tokens: ids 3 to 258.
    static let bytes: [UInt8] = vocabulary([])
    /// Lower-case letters have ids from 259 on; all else is bytes.
    static let letters: [UInt8] = vocabulary((UInt8(0x61)...0x7a).map { [$0] })

    /// A SentencePiece model of the control tokens, the bytes, and some words.
    private static func vocabulary(_ words: [[UInt8]]) -> [UInt8] {
        var model: [UInt8] = []
        func append(_ text: [UInt8], type: UInt8) {
            var piece: [UInt8] = [0x0a, UInt8(text.count)]
            piece += text
            piece += [0x18, type]
            model += [0x0a, UInt8(piece.count)]
            model += piece
        }
        append(Array("<unk>".utf8), type: 2)
        append(Array("<s>".utf8), type: 3)
        append(Array("</s>".utf8), type: 3)
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in 0..<256 {
            // <0x2C>
            append([0x3c, 0x30, 0x78, digits[byte / 16], digits[byte % 16], 0x3e], type: 6)
        }
        for word in words { append(word, type: 1) }
        // BPE, with bytes for what has no token.
        model += [0x12, 0x05, 0x18, 0x02, 0x98, 0x02, 0x01]
        return model
    }

    func model(_ vocabulary: [UInt8] = SmallModel.bytes) throws -> LanguageModel {
        let config = ModelConfig(
            layers: 2, hidden: 32, heads: heads, kvHeads: kvHeads, headDim: 16, ffn: ffn, vocab: vocab, context: 512)
        var matrices: [TensorRole: WeightMatrix] = [:]
        var vectors: [TensorRole: [Float]] = [:]
        for role in TensorRole.all(in: config) {
            let shape = try role.role.shape(in: config)
            if role.role.isNorm {
                vectors[role] = [Float](repeating: 1, count: shape.count)
                continue
            }
            let place = UInt64(Role.allCases.firstIndex(of: role.role) ?? 0) + 100 * UInt64(role.layer ?? 0)
            let seed = role.role == .output ? outputSeed ?? place : place
            matrices[role] = try WeightMatrix(values: Self.values(shape.count, seed: seed), columns: shape.columns)
        }
        // In place of the sample's own weights and tokenizer.
        var model = try LanguageModel(sample)
        model.weights = ModelWeights(config: config, matrices: matrices, vectors: vectors)
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try Data(vocabulary).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        model.use(try Tokenizer(path: path.path))
        return model
    }

    /// Between -0.3 and 0.3, by SplitMix64.
    private static func values(_ count: Int, seed: UInt64) -> [Float] {
        var state = (seed + 1) << 32
        var values: [Float] = []
        values.reserveCapacity(count)
        for _ in 0..<count {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            mixed ^= mixed >> 31
            values.append((Float(mixed >> 40) / Float(1 << 24) - 0.5) * 0.6)
        }
        return values
    }

    static func report(_ reference: SmallModel, _ candidate: SmallModel) throws -> ParityReport {
        try report(reference.model(), candidate.model())
    }

    static func report(_ reference: LanguageModel, _ candidate: LanguageModel) throws -> ParityReport {
        let comparison = try ParityComparison(reference: reference, candidate: candidate, threads: 2)
        return try comparison.run(text: ParityTests.text, context: 128, chunks: 1, limit: nil, layers: true)
    }
}

@Suite struct ParityTests {
    static let text = """
        And it came to pass in those days, that he went out into a mountain to pray, and continued all night in prayer \
        to God. And when it was day, he called unto him his disciples: and of them he chose twelve, whom also he named \
        apostles; Simon, whom he also named Peter, and Andrew his brother, James and John, Philip and Bartholomew, \
        Matthew and Thomas, James the son of Alphaeus, and Simon called Zelotes, and Judas the brother of James, and \
        Judas Iscariot, which also was the traitor.
        """

    static func report(_ candidate: LanguageModel) throws -> ParityReport {
        let comparison = try ParityComparison(reference: LanguageModel(sample), candidate: candidate, threads: 2)
        return try comparison.run(text: text, context: 128, chunks: 1, limit: nil, layers: true)
    }

    @Test func aModelIsAtParityWithItself() throws {
        let report = try Self.report(LanguageModel(sample))
        #expect(report.ok)
        #expect(report.maxKLD == 0)
        #expect(report.top1Agreement == 1)
        #expect(report.maxAbsLogit == 0)
        #expect(report.layers.count == 6)
        #expect(report.layers.allSatisfy { $0.relativeError == 0 && $0.ownError == 0 })
        #expect(report.hints.isEmpty)
    }

    @Test(arguments: BrokenConversion.all) func flagsABrokenConversion(_ broken: BrokenConversion) throws {
        var candidate = try LanguageModel(sample)
        try broken.damage(&candidate)
        let report = try Self.report(candidate)
        #expect(!report.ok)
        #expect(report.firstDivergentLayer == broken.layer)
        if let hint = broken.hint {
            let given = report.hints.map(\.code)
            #expect(given.first == hint, "\(report.hints.map(\.message))")
        } else {
            #expect(!report.faults.isEmpty || !report.hints.isEmpty)
        }
    }

    /// Rows that lie elsewhere are no multiple of those that should be there.
    @Test func noRatioIsSaidOfOtherRows() throws {
        var candidate = try LanguageModel(sample)
        let role = TensorRole(.attnQ, layer: 1)
        candidate.weights.matrices[role] = try candidate.weights.matrices[role]?.selecting(
            rows: Array(32..<64) + Array(0..<32) + Array(64..<256))
        let report = try Self.report(candidate)
        #expect(report.firstDivergentLayer == 1)
        let hint = try #require(report.hints.first)
        #expect(hint.code == "rows" && hint.message.contains("64 rows"), "\(hint.message)")
        #expect(!hint.message.contains("times"), "\(hint.message)")
    }

    // MARK: Configs

    /// Said without looking at the layers, where nothing else would.
    @Test(arguments: [("rope_base", true), ("norm_eps", false)])
    func otherConstantsAreTriedWithoutLayers(code: String, base: Bool) throws {
        var candidate = try LanguageModel(sample)
        if base { candidate.weights.config.ropeTheta = 500_000 } else { candidate.weights.config.normEps = 0.5 }
        let comparison = try ParityComparison(reference: LanguageModel(sample), candidate: candidate, threads: 2)
        let report = try comparison.run(text: Self.text, context: 128, chunks: 1, limit: nil, layers: false)
        #expect(!report.ok && report.layers.isEmpty)
        let hint = try #require(report.hints.first)
        #expect(report.hints.count == 1 && hint.code == code && hint.layer == nil, "\(hint.message)")
        #expect(hint.before > report.limit && hint.after == 0)
    }

    @Test func otherHeadsAndWindowsAreFaultsOnlyOfAModelThatDiffers() throws {
        func report(_ window: Int?) throws -> ParityReport {
            var candidate = try LanguageModel(sample)
            candidate.weights.config.slidingWindow = window
            return try Self.report(candidate)
        }
        let short = try report(8)
        #expect(short.faults == ["the configs differ in sliding window: none in the reference, 8 in the candidate"])
        #expect(try report(4096).ok)
    }

    // MARK: Tokenizers

    @Test func aBareReferenceIsReadWithTheCandidatesTokenizer() throws {
        let bare = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: bare, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: bare) }
        for name in ["config.json", "model.safetensors"] {
            try FileManager.default.copyItem(atPath: sample + "/" + name, toPath: bare + "/" + name)
        }
        func report(_ reference: String, _ candidate: String) throws -> ParityReport {
            let comparison = try ParityComparison(
                reference: LanguageModel(reference), candidate: LanguageModel(candidate), threads: 2)
            return try comparison.run(text: Self.text, context: 128, chunks: 1, limit: nil, layers: false)
        }
        let fallen = try report(bare, sample)
        #expect(fallen.ok && fallen.tokenizer == sample)
        #expect(try report(sample, bare).tokenizer == sample)
        let error = #expect(throws: CheckpointError.self) { _ = try report(bare, bare) }
        #expect(error?.message.contains("tokenizer") == true)
    }

    // MARK: Limits

    /// The coarsest matrices of some of llama-quantize's types. Those of the table's are sound: none may be refused, and none
    /// may have room for a model with K's rows in the wrong order, whose divergence in Q2_K is 1.68.
    @Test func limitsLieAboveWhatSoundFilesHave() throws {
        let coarsest: [String: DType] = [
            "F16": .f16, "BF16": .bf16, "Q8_0": .q8_0, "Q6_K": .q6_K, "Q5_0": .q5_0, "Q5_1": .q5_1, "Q5_K_S": .q5_K,
            "Q4_0": .q4_0, "Q4_1": .q4_1, "Q4_K_S": .q4_K, "IQ4_NL": .iq4_nl, "IQ4_XS": .iq4_xs, "Q3_K_S": .q3_K,
            "IQ3_S": .iq3_s, "Q2_K": .q2_K, "TQ1_0": .tq1_0, "TQ2_0": .tq2_0, "Q1_0": .q1_0, "Q2_0": .q2_0,
        ]
        let table = try JSONText.read(project.appendingPathComponent("Tests/Interop/parity_table.json").path)
        for (name, dtype) in coarsest {
            let sound = try #require(table[name]?["mean_kld"]?.number, "\(name)")
            let limit = ExpectedError.divergenceLimit([.f32, dtype])
            #expect(limit > 1.25 * sound, "\(name)")
        }
        // With an importance matrix, from the table in Docs/Parity.md.
        let measured: [(DType, Double)] = [
            (.iq1_s, 0.664996), (.iq1_m, 0.57798), (.iq2_xxs, 0.381932), (.iq2_xs, 0.29594), (.iq2_s, 0.187853),
            (.q2_K, 0.278486), (.iq3_xxs, 0.087164),
        ]
        for (dtype, sound) in measured {
            let limit = ExpectedError.divergenceLimit([.q8_0, dtype])
            #expect(limit > 2 * sound && limit < 4 * sound, "\(dtype)")
        }
        #expect(ExpectedError.divergenceLimit([.q6_K, .q2_K]) < 1.684)
    }

    // MARK: Models of other dimensions

    /// Rows of the vocabularies: the candidate's output is another one, so that trials of the output are made.
    @Test(arguments: [(260, 263), (263, 260), (512, 260), (260, 512)])
    func modelsOfOtherVocabulariesAreCompared(reference: Int, candidate: Int) throws {
        let report = try SmallModel.report(SmallModel(vocab: reference), SmallModel(vocab: candidate, outputSeed: 77))
        #expect(!report.ok)
        #expect(report.firstDivergentLayer == 2, "the output is the only one that differs")
        #expect(report.layers.dropLast().allSatisfy { $0.ownError == 0 })
        #expect(report.faults.contains { $0.hasPrefix("the vocabularies differ: \(reference) rows") }, "\(report.faults)")
        #expect(report.hints.isEmpty, "\(report.hints.map(\.message))")
    }

    /// The text has ids that the smaller embedding has no rows for.
    @Test func rowsOfASmallerEmbeddingAreNamed() throws {
        var small = try SmallModel(vocab: 260).model(SmallModel.letters)
        let role = TensorRole(.tokenEmbedding), comma = 3 + 0x2c
        let embedding = try #require(small.weights.matrices[role])
        var values = embedding.decoded()
        for column in 0..<32 { values[comma * 32 + column] *= 2 }
        small.weights.matrices[role] = try WeightMatrix(values: values, columns: 32)
        let report = try SmallModel.report(SmallModel(vocab: 512).model(SmallModel.letters), small)
        #expect(report.firstDivergentLayer == -1)
        #expect(report.layers.dropFirst().allSatisfy { $0.ownError == 0 })
        #expect(report.hints.map(\.code) == ["embedding_rows"], "\(report.hints.map(\.message))")
        #expect(report.hints.first?.message.contains("\(comma)") == true)
    }

    /// No weight of one can stand in the place of the other's that differ.
    @Test(arguments: [
        (SmallModel(), SmallModel(ffn: 96)), (SmallModel(ffn: 96), SmallModel()),
        (SmallModel(), SmallModel(heads: 8, kvHeads: 8)), (SmallModel(heads: 8, kvHeads: 8), SmallModel()),
        (SmallModel(), SmallModel(ffn: 96, heads: 8, kvHeads: 4, vocab: 263)),
    ])
    func modelsOfOtherWidthsAreCompared(reference: SmallModel, candidate: SmallModel) throws {
        let report = try SmallModel.report(reference, candidate)
        #expect(!report.ok)
        #expect(report.firstDivergentLayer == 0)
        #expect(report.layers.count == 4)
        #expect(report.hints.isEmpty, "\(report.hints.map(\.message))")
    }

    // MARK: Memory

    @Test func activationsThatDoNotFitAreRefused() throws {
        let weights = try LanguageModel(sample).weights
        for batch in [1 << 40, Int.max] {
            let error = #expect(throws: CheckpointError.self) {
                _ = try Transformer(weights, threads: 1, batch: batch)
            }
            #expect(error?.kind == .usage)
        }
    }

    @Test func sequencesThatDoNotFitAreRefused() throws {
        let config = try LanguageModel(sample).config
        for tokens in [1 << 50, Int.max] {
            let error = #expect(throws: CheckpointError.self) { try KVCache.check(config, tokens: tokens) }
            #expect(error?.kind == .usage)
        }
        // As large as a config may say, and more than can be counted.
        let most = ModelConfig.largestDimension
        let large = ModelConfig(layers: most, hidden: 1, heads: most, headDim: most, ffn: 1, vocab: 1)
        let error = #expect(throws: CheckpointError.self) { try KVCache.check(large, tokens: 1) }
        #expect(error?.kind == .usage)
    }

    @Test func theReportIsOnePage() throws {
        var candidate = try LanguageModel(sample)
        try BrokenConversion.permute(&candidate, .attnK, 3, BrokenConversion.toPairs)
        let page = try ParityPage(Self.report(candidate), reference: "a<b", candidate: "c&d").html
        #expect(page.hasPrefix("<!DOCTYPE html>"))
        #expect(page.contains("a&lt;b") && page.contains("c&amp;d"))
        #expect(page.contains("undoing the RoPE permutation on attn_k of layer 3"))
        #expect(page.contains("prefers-color-scheme: dark"))
        for way in ["src=", "href=", "url(", "@import", "<script"] {
            #expect(!page.contains(way), "nothing is loaded from elsewhere")
        }
    }
}
