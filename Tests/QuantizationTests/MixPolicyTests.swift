// The mixing rules against llama-quantize's own decisions (Golden/mixes.json, see Tests/Golden/make_mixes.py), and the
// options beside them.

import Bytes
import Foundation
import Quantization
import Tensors
import Testing

/// A model of the golden file, its tensors spelled out.
struct GoldenModel {
    var title: String
    var summary: ModelSummary
    var tensors: [MixTensor]
    /// File type (with `+imatrix`) → tensor without its layer → types over the layers.
    var mixes: [String: [String: String]]

    static let all: [GoldenModel] = (try? load()) ?? []

    private struct Entry: Decodable {
        struct Model: Decodable {
            var layers: Int
            var heads: Int
            var kv_heads: Int
            var experts: Int
        }
        enum Item: Decodable {
            case name(String)
            case shape([Int])
            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let name = try? container.decode(String.self) {
                    self = .name(name)
                } else {
                    self = .shape(try container.decode([Int].self))
                }
            }
        }
        var model: Model
        var first_layer: [[Item]]
        var mixes: [String: [String: String]]
    }

    private static func load() throws -> [GoldenModel] {
        let file = try JSONDecoder().decode([String: Entry].self, from: TestRows.golden("mixes.json"))
        return file.map { title, entry in
            var tensors: [MixTensor] = []
            for item in entry.first_layer {
                guard case .name(let name) = item[0], case .shape(let shape) = item[1] else { continue }
                let type: DType = shape.count == 1 ? .f32 : .f16
                let isLayered = name.hasPrefix("blk.0.")
                for layer in 0..<(isLayered ? entry.model.layers : 1) {
                    let full = isLayered ? "blk.\(layer)." + name.dropFirst(6) : name
                    tensors.append(MixTensor(name: full, shape: shape, type: type))
                }
            }
            let order = MixPolicy.writingOrder(tensors.map(\.name))
            return GoldenModel(
                title: title,
                summary: ModelSummary(
                    layers: entry.model.layers, heads: entry.model.heads, kvHeads: entry.model.kv_heads,
                    experts: entry.model.experts), tensors: order.map { tensors[$0] }, mixes: entry.mixes)
        }.sorted { $0.title < $1.title }
    }

    /// Types over the layers as the golden file writes them: "3 Q6_K 19 Q4_K".
    static func runs(_ decisions: [MixDecision]) -> [String: String] {
        var rows: [String: [DType]] = [:]
        for decision in decisions where !decision.name.contains("norm") {
            let parts = decision.name.split(separator: ".", maxSplits: 2)
            let name = parts[0] == "blk" ? String(parts[2]) : decision.name
            rows[name, default: []].append(decision.type)
        }
        return rows.mapValues { types in
            var runs: [(DType, Int)] = []
            for type in types {
                if let last = runs.last, last.0 == type { runs[runs.count - 1].1 += 1 } else { runs.append((type, 1)) }
            }
            return runs.map { "\($0.1) \($0.0)" }.joined(separator: " ")
        }
    }
}

@Suite struct MixPolicyTests {
    @Test(arguments: GoldenModel.all.map(\.title)) func decidesAsLlamaQuantizeDoes(_ title: String) throws {
        let model = try #require(GoldenModel.all.first { $0.title == title })
        for (key, expected) in model.mixes where expected["error"] == nil {
            let parts = key.split(separator: "+")
            var options = MixOptions(fileType: try #require(FileType(name: String(parts[0]))))
            options.hasMatrix = parts.count == 2
            let decisions = try MixPolicy(options, model: model.summary).decide(model.tensors)
            #expect(GoldenModel.runs(decisions) == expected, "\(key)")
            #expect(decisions.allSatisfy { !$0.reason.isEmpty })
        }
    }

    @Test func goldenModelsAreThere() {
        #expect(GoldenModel.all.count == 4)
    }

    static let model = ModelSummary(layers: 22, heads: 32, kvHeads: 4)
    static let tensors = [
        MixTensor(name: "output.weight", shape: [1024, 256], type: .bf16),
        MixTensor(name: "output_norm.weight", shape: [256], type: .f32),
        MixTensor(name: "token_embd.weight", shape: [1024, 256], type: .bf16),
        MixTensor(name: "blk.0.attn_q.weight", shape: [256, 256], type: .bf16),
        MixTensor(name: "blk.0.attn_v.weight", shape: [64, 256], type: .bf16),
        MixTensor(name: "blk.0.ffn_down.weight", shape: [256, 512], type: .bf16),
    ]

    private func types(_ change: (inout MixOptions) -> Void) throws -> [String: DType] {
        var options = MixOptions(fileType: .q4_K_M)
        change(&options)
        let decisions = try MixPolicy(options, model: Self.model).decide(Self.tensors)
        return Dictionary(uniqueKeysWithValues: decisions.map { ($0.name, $0.type) })
    }

    @Test func optionsOverrideRules() throws {
        let plain = try types { _ in }
        #expect(plain["output.weight"] == .q6_K && plain["output_norm.weight"] == .f32)
        #expect(plain["token_embd.weight"] == .q4_K && plain["blk.0.attn_v.weight"] == .q6_K)
        #expect(try types { $0.pure = true }["output.weight"] == .q4_K)
        #expect(try types { $0.leaveOutput = true }["output.weight"] == .bf16)
        #expect(try types { $0.outputType = .q8_0 }["output.weight"] == .q8_0)
        #expect(try types { $0.embeddingType = .f16 }["token_embd.weight"] == .f16)
        #expect(try types { $0.fileType = .copy }["blk.0.attn_q.weight"] == .bf16)
        #expect(try types { $0.fileType = .f16 }["blk.0.attn_q.weight"] == .f16)
        #expect(try types { $0.fileType = .f16 }["output_norm.weight"] == .f32)
    }

    @Test func patternsAreSearchedInNames() throws {
        let some = try types { $0.overrides = [TypeOverride(pattern: "ATTN_(q|v)", type: .q8_0)] }
        #expect(some["blk.0.attn_q.weight"] == .q8_0 && some["blk.0.attn_v.weight"] == .q8_0)
        #expect(some["blk.0.ffn_down.weight"] == .q6_K)
        // The first pattern that is found counts; norms are left alone.
        let first = try types {
            $0.overrides = [
                TypeOverride(pattern: "ffn_down", type: .q5_K), TypeOverride(pattern: "weight$", type: .q3_K),
            ]
        }
        #expect(first["blk.0.ffn_down.weight"] == .q5_K && first["output.weight"] == .q3_K)
        #expect(first["output_norm.weight"] == .f32)
    }

    @Test func wrongOptionsAreRefused() throws {
        #expect(throws: CheckpointError.self) { try TypeOverride(parsing: "attn_q") }
        #expect(throws: CheckpointError.self) { try TypeOverride(parsing: "=q8_0") }
        #expect(throws: CheckpointError.self) { try TypeOverride(parsing: "attn_q=q9") }
        #expect(throws: CheckpointError.self) { try TypeOverride(parsing: "attn_q=") }
        #expect(try TypeOverride(parsing: "attn_q=Q8_0").type == .q8_0)
        #expect(throws: CheckpointError.self) { try types { $0.overrides = [TypeOverride(pattern: "(", type: .f16)] } }
        var options = MixOptions(fileType: .q4_K_M)
        options.outputType = .q4_K
        let narrow = [MixTensor(name: "output.weight", shape: [8, 100], type: .f32)]
        #expect(throws: CheckpointError.self) { try MixPolicy(options, model: Self.model).decide(narrow) }
    }

    @Test func oddShapesFallBack() throws {
        var tensor = Self.tensors[3]
        tensor.shape = [4, 96]
        let decision = try #require(
            try MixPolicy(MixOptions(fileType: .q4_K_M), model: Self.model).decide([tensor]).first)
        #expect(decision.type == .q5_0 && decision.isFallback && decision.reason.contains("96"))
        tensor.shape = [4, 100]
        #expect(try MixPolicy(MixOptions(fileType: .q4_0), model: Self.model).decide([tensor]).first?.type == .f16)
    }

    @Test func fileTypesHaveNames() {
        #expect(FileType(name: "q4_k") == .q4_K_M && FileType(name: "15") == .q4_K_M && FileType(name: "0") == .f32)
        #expect(FileType(name: "COPY") == .copy && FileType(name: "Q7") == nil && FileType(name: "-1") == nil)
        for type in FileType.all { #expect(FileType(name: type.name) == type) }
        let ids = FileType.all.dropLast().map(\.id)
        #expect(Set(ids).count == ids.count)
    }

    @Test func writingOrderIsByLayerThenName() {
        let names = ["token_embd.weight", "blk.10.a", "blk.9.b", "output.weight", "blk.9.a", "blk.x.a"]
        #expect(
            MixPolicy.writingOrder(names).map { names[$0] }
                == ["blk.x.a", "output.weight", "token_embd.weight", "blk.9.a", "blk.9.b", "blk.10.a"])
    }

    @Test func verySmallTypesNeedAMatrix() throws {
        for (fileType, needs) in [(FileType.iq2_xxs, true), (.q2_K_S, true), (.q2_K, false), (.iq3_s, false)] {
            let decisions = try MixPolicy(MixOptions(fileType: fileType), model: Self.model).decide(Self.tensors)
            #expect(decisions.contains { $0.needsMatrix } == needs, "\(fileType)")
            #expect(!decisions[0].needsMatrix && !decisions[2].needsMatrix)
        }
    }

    /// The embedding and the output are spared, but for types that ggml cannot make without a matrix.
    @Test func outputsNeedAMatrixWhereNothingElseDoes() throws {
        for (type, needs) in [
            (DType.iq1_s, true), (.iq2_xxs, true), (.iq2_xs, true), (.iq1_m, false), (.iq2_s, false), (.iq3_xxs, false),
        ] {
            var options = MixOptions(fileType: .q4_K_M)
            options.outputType = type
            options.embeddingType = type
            let decisions = try MixPolicy(options, model: Self.model).decide(Self.tensors)
            #expect(decisions[0].needsMatrix == needs && decisions[2].needsMatrix == needs, "\(type)")
            #expect(BlockFormat.of(type)?.needsMatrix == true)
            options = MixOptions(fileType: .q4_K_M)
            options.overrides = [TypeOverride(pattern: "attn_v", type: type)]
            #expect(try MixPolicy(options, model: Self.model).decide(Self.tensors)[4].needsMatrix, "\(type)")
        }
    }

    @Test func aTypeWithoutFallbackIsRefused() throws {
        let odd = [MixTensor(name: "blk.0.attn_q.weight", shape: [4, 96], type: .f32)]
        #expect(throws: CheckpointError.self) { try MixPolicy(MixOptions(fileType: .q1_0), model: Self.model).decide(odd) }
        #expect(try MixPolicy(MixOptions(fileType: .q2_0), model: Self.model).decide(odd)[0].type == .q4_0)
        let narrow = [MixTensor(name: "blk.0.attn_q.weight", shape: [4, 40], type: .f32)]
        #expect(try MixPolicy(MixOptions(fileType: .q8_0), model: Self.model).decide(narrow)[0].type == .f16)
    }
}

@Suite struct TargetSizeTests {
    @Test(arguments: [DType.f32, .f16, .bf16]) func roomEnoughLosesNothing(type: DType) throws {
        let model = try #require(GoldenModel.all.first { $0.title == "grouped" })
        let tensors = model.tensors.map { MixTensor(name: $0.name, shape: $0.shape, type: $0.shape.count > 1 ? type : .f32) }
        let mix = try TargetSize.choose(
            bytes: 1 << 50, header: 1000, tensors: tensors, model: model.summary, options: MixOptions(fileType: .q4_0),
            matrixNames: nil, alignment: 32)
        #expect(mix.fileType.defaultType == type)
        #expect(mix.decisions.allSatisfy { !$0.changes })
    }

    @Test func choosesTheBestMixThatFits() throws {
        let model = try #require(GoldenModel.all.first { $0.title == "grouped" })
        let elements = model.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
        var last = 0
        for bits in stride(from: 3.0, through: 10.0, by: 0.25) {
            let limit = Int(Double(elements) * bits / 8)
            let mix = try TargetSize.choose(
                bytes: limit, header: 1000, tensors: model.tensors, model: model.summary,
                options: MixOptions(fileType: .q4_0), matrixNames: nil, alignment: 32)
            let sum = zip(mix.decisions, model.tensors).reduce(1000) { sum, pair in
                let bytes = pair.0.type.byteCount(elements: pair.1.shape.reduce(1, *)) ?? 0
                return sum + (bytes + 31) / 32 * 32
            }
            #expect(mix.bytes == sum && mix.bytes <= limit)
            #expect(mix.bytes >= last, "more room gives no smaller file")
            last = mix.bytes
            #expect(mix.decisions.allSatisfy { !$0.needsMatrix })
        }
        #expect(throws: CheckpointError.self) {
            try TargetSize.choose(
                bytes: 1000, header: 100, tensors: model.tensors, model: model.summary,
                options: MixOptions(fileType: .q4_0), matrixNames: nil, alignment: 32)
        }
    }

    @Test func aPureMixStaysPure() throws {
        let model = try #require(GoldenModel.all.first { $0.title == "grouped" })
        let elements = model.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
        var options = MixOptions(fileType: .q4_0)
        options.pure = true
        for bits in [5, 6, 7] {
            let mix = try TargetSize.choose(
                bytes: elements * bits / 8, header: 1000, tensors: model.tensors, model: model.summary, options: options,
                matrixNames: nil, alignment: 32)
            #expect(Set(mix.decisions.filter(\.changes).map(\.type)).count == 1, "\(mix.summary)")
        }
    }

    /// Each tensor takes a multiple of the alignment, and the size counts that in.
    @Test(arguments: [1, 32, 1 << 14]) func theAlignmentCounts(alignment: Int) throws {
        let model = try #require(GoldenModel.all.first { $0.title == "grouped" })
        let elements = model.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
        for bits in [5, 7] {
            let limit = elements * bits / 8
            let mix = try TargetSize.choose(
                bytes: limit, header: 1000, tensors: model.tensors, model: model.summary,
                options: MixOptions(fileType: .q4_0), matrixNames: nil, alignment: alignment)
            let sum = zip(mix.decisions, model.tensors).reduce(1000) { sum, pair in
                let bytes = pair.0.type.byteCount(elements: pair.1.shape.reduce(1, *)) ?? 0
                return sum + (bytes + alignment - 1) / alignment * alignment
            }
            #expect(mix.bytes == sum && mix.bytes <= limit)
        }
    }
}
