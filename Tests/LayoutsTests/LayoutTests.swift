// The built-in layouts: their sizes, their row runs, and that they are told apart.

import Layouts
import Tensors
import Testing

/// Every tensor of a model as a layout stores it.
func storedTensors(_ layout: Layout, _ config: ModelConfig, prefix: String = "") throws -> [NamedShape] {
    try layout.specs(for: config).filter { !$0.optional }.map { NamedShape(name: prefix + $0.name, shape: $0.shape) }
}

@Suite struct LayoutSizes {
    @Test func tinyLlamaHasTheSameParametersInEveryLayout() throws {
        let config = try Preset.named("tinyllama-1.1b").config
        for layout in try Layouts.all() {
            let count = try layout.specs(for: config).reduce(0) { $0 + $1.shape.count }
            #expect(count == 1_100_048_384, "\(layout.name)")
        }
        #expect(try Layouts.named("hf-llama").specs(for: config).count == 201)
        #expect(try Layouts.named("gguf-llama").specs(for: config).count == 201)
        #expect(try Layouts.named("meta").specs(for: config).count == 201)
        for name in ["litgpt", "litgpt-early", "litgpt-tinyllama"] {
            #expect(try Layouts.named(name).specs(for: config).count == 201 - 2 * 22)
        }
    }

    @Test func chatVocabulariesFollowFromTheConfig() throws {
        for vocab in [32001, 32003] {
            var config = try Preset.named("tinyllama-1.1b").config
            config.vocab = vocab
            let embedding = try #require(try Layouts.named("litgpt").specs(for: config).first)
            #expect(embedding.shape.dimensions == [vocab, 2048])
        }
    }

    @Test func naturalOrderIsEmbeddingLayersNormOutput() throws {
        let names = try Layouts.named("gguf-llama").specs(for: Preset.named("kjv-llama-2.8m").config).map(\.name)
        #expect(names.first == "token_embd.weight")
        #expect(names[1] == "blk.0.attn_norm.weight")
        #expect(Array(names.suffix(2)) == ["output_norm.weight", "output.weight"])
    }

    @Test func fusedShapeIsAFormulaOfTheConfig() throws {
        let config = try Preset.named("tinyllama-1.1b").config
        let fused = try #require(
            try Layouts.named("litgpt-tinyllama").specs(for: config).first {
                $0.name == "transformer.h.7.attn.attn.weight"
            })
        #expect(fused.formula == "(heads + 2*kv_heads)*head_dim × hidden")
        #expect(fused.shape.dimensions == [2560, 2048])
    }
}

@Suite struct RowRuns {
    /// Random but sound dimensions, from a generator that gives the same ones every time.
    static func configs(_ count: Int) -> [ModelConfig] {
        var state: UInt64 = 42
        func next(_ range: ClosedRange<Int>) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return range.lowerBound + Int((state >> 33) % UInt64(range.count))
        }
        return (0..<count).map { index in
            let groups = next(1...4)
            return ModelConfig(
                architecture: index % 4 == 3 ? "qwen2" : "llama", layers: next(1...3), hidden: next(1...40),
                heads: groups * next(1...5), kvHeads: groups, headDim: 2 * next(1...6), ffn: next(1...30),
                vocab: next(1...50), tiedOutput: index % 3 == 0, qkvBias: index % 2 == 0,
                attentionOutputBias: index % 4 == 0, mlpBias: index % 5 == 0)
        }
    }

    @Test func storedAndCanonicalRowsAreABijection() throws {
        for config in Self.configs(60) {
            let roles = TensorRole.all(in: config)
            for layout in try Layouts.all() where roles.allSatisfy({ layout.holds($0.role) }) {
                var canonical: [TensorRole: Set<Int>] = [:]
                for spec in try layout.specs(for: config) {
                    var stored = Set<Int>()
                    let rows = spec.shape.dimensions[0]
                    for run in spec.runs {
                        let shape = try run.role.role.shape(in: config)
                        #expect(Array(shape.dimensions.dropFirst()) == Array(spec.shape.dimensions.dropFirst()))
                        for index in 0..<run.count {
                            #expect(stored.insert(run.storedRow + index * run.storedStep).inserted)
                            #expect(canonical[run.role, default: []].insert(run.canonicalRow + index).inserted)
                        }
                    }
                    #expect(stored == Set(0..<rows), "\(layout.name) \(spec.name)")
                }
                for role in roles {
                    let rows = try role.role.shape(in: config).dimensions[0]
                    #expect(canonical[role] == Set(0..<rows), "\(layout.name) \(role)")
                }
            }
        }
    }

    @Test func tinyLlamaIsInterleavedInFourGroupsOf640Rows() throws {
        let config = try Preset.named("tinyllama-1.1b").config
        for name in ["litgpt-tinyllama", "litgpt-early"] {
            let fused = try #require(
                try Layouts.named(name).specs(for: config).first { $0.name == "transformer.h.0.attn.attn.weight" })
            #expect(fused.runs.count == 12)
            for group in 0..<4 {
                let runs = Array(fused.runs[group * 3..<group * 3 + 3])
                #expect(runs.map(\.role.role) == [.attnQ, .attnK, .attnV])
                #expect(runs.map(\.storedRow) == [group * 640, group * 640 + 512, group * 640 + 576])
                #expect(runs.map(\.canonicalRow) == [group * 512, group * 64, group * 64])
                #expect(runs.map(\.count) == [512, 64, 64])
            }
        }
    }

    @Test func todaysLitGPTHasAllQThenAllKThenAllV() throws {
        let config = try Preset.named("tinyllama-1.1b").config
        let fused = try #require(
            try Layouts.named("litgpt").specs(for: config).first { $0.name == "transformer.h.0.attn.qkv.weight" })
        #expect(fused.runs.map(\.storedRow) == [0, 2048, 2304])
        #expect(fused.runs.map(\.count) == [2048, 256, 256])
    }

    @Test func adjacentPairsFollowTheFormula() throws {
        let config = try Preset.named("tinyllama-120m").config
        for (layout, name, heads) in [
            ("gguf-llama", "blk.3.attn_q.weight", 12), ("gguf-llama", "blk.3.attn_k.weight", 1),
            ("meta", "layers.3.attention.wq.weight", 12), ("meta", "layers.3.attention.wk.weight", 1),
        ] {
            let spec = try #require(try Layouts.named(layout).specs(for: config).first { $0.name == name })
            var canonical: [Int: Int] = [:]
            for run in spec.runs {
                for index in 0..<run.count {
                    canonical[run.storedRow + index * run.storedStep] = run.canonicalRow + index
                }
            }
            // Output row h·head + 2·i + j is input row h·head + half·j + i.
            for h in 0..<heads {
                for i in 0..<32 {
                    for j in 0..<2 { #expect(canonical[h * 64 + 2 * i + j] == h * 64 + 32 * j + i) }
                }
            }
            #expect(!spec.isCanonical)
        }
        let value = try #require(
            try Layouts.named("gguf-llama").specs(for: config).first { $0.name == "blk.3.attn_v.weight" })
        #expect(value.isCanonical)
    }

    @Test func qwen2IsNotPermutedInGGUF() throws {
        var config = try Preset.named("tinyllama-120m").config
        config.architecture = "qwen2"
        config.qkvBias = true
        for spec in try Layouts.named("gguf-llama").specs(for: config) { #expect(spec.isCanonical, "\(spec.name)") }
    }
}
