// Layouts are recognised by names, explained, and what does not fit is listed.

import Bytes
import Layouts
import Tensors
import Testing

@Suite struct Recognition {
    static let sample = "kjv-llama-2.8m"

    @Test func everyLayoutIsRecognisedFromItsOwnTensors() throws {
        for preset in try Preset.all() {
            for layout in try Layouts.all() {
                let match = try Layouts.recognise(storedTensors(layout, preset.config), config: preset.config)
                #expect(match.layout.name == layout.name)
                #expect(match.isComplete && match.unexpected.isEmpty && match.assumptions.isEmpty)
                for role in TensorRole.all(in: preset.config) {
                    let found = try #require(match.rows(of: role))
                    #expect(found.runs.reduce(0) { $0 + $1.count } == found.shape.dimensions[0])
                }
            }
        }
    }

    @Test func explainsItself() throws {
        let config = try Preset.named("tinyllama-1.1b").config
        func explanation(_ layout: String, prefix: String = "") throws -> String {
            try Layouts.recognise(storedTensors(Layouts.named(layout), config, prefix: prefix), config: config)
                .explanation
        }
        #expect(
            try explanation("litgpt-tinyllama")
                == "Lit-GPT, TinyLlama's fork: transformer.h.N.mlp.swiglu.w1 found; QKV interleaved in 4 groups; "
                + "Q and K rows in halves"
        )
        #expect(
            try explanation("litgpt", prefix: "model.").contains(
                "transformer.h.N.attn.qkv found; under model; QKV fused"))
        #expect(try explanation("gguf-llama").hasSuffix("Q and K rows in adjacent pairs"))
    }

    @Test func theThreeLitGPTLayoutsAreToldApartByNamesAlone() throws {
        let config = try Preset.named(Self.sample).config
        for name in ["litgpt", "litgpt-early", "litgpt-tinyllama"] {
            // The same shapes, and of the telling names only one layer's.
            let tensors = try storedTensors(Layouts.named(name), config)
            #expect(try Layouts.recognise(tensors).layout.name == name)
        }
    }

    @Test func trainingCheckpointsHavePrefixesAndBookkeeping() throws {
        let config = try Preset.named(Self.sample).config
        for prefix in [
            "model.", "module.", "_forward_module.", "model._forward_module.", "state_dict.module.", "model._orig_mod.",
        ] {
            var tensors = try storedTensors(Layouts.named("litgpt-tinyllama"), config, prefix: prefix)
            for name in ["optimizer.state.0.exp_avg", "step_count", "hparams.lr"] {
                tensors.append(NamedShape(name: name, shape: try #require(Shape([3]))))
            }
            let match = try Layouts.recognise(tensors, config: config)
            #expect(match.prefix == prefix)
            #expect(match.isComplete && match.unexpected.isEmpty)
            #expect(match.bookkeeping.count == 3)
        }
        let plain = try Layouts.recognise(
            storedTensors(Layouts.named("hf-llama"), config, prefix: "model."), config: config)
        #expect(plain.prefix == "model." && plain.isComplete)
    }

    @Test func whatCarriesNothingIsDropped() throws {
        let config = try Preset.named(Self.sample).config
        var tensors = try storedTensors(Layouts.named("hf-llama"), config)
        tensors.append(
            NamedShape(name: "model.layers.2.self_attn.rotary_emb.inv_freq", shape: try #require(Shape([16]))))
        tensors.append(NamedShape(name: "score.weight", shape: try #require(Shape([2, 256]))))
        let match = try Layouts.recognise(tensors, config: config)
        #expect(match.dropped == [tensors.count - 2])
        #expect(match.unexpected == [tensors.count - 1])
    }

    @Test func missingAndMisshapenTensorsAreListedNotThrown() throws {
        let config = try Preset.named(Self.sample).config
        var tensors = try storedTensors(Layouts.named("hf-llama"), config)
        let gone = tensors.remove(at: 3)
        let wrong = try #require(tensors.firstIndex { $0.name == "model.layers.1.mlp.down_proj.weight" })
        tensors[wrong] = NamedShape(name: tensors[wrong].name, shape: try #require(Shape([256, 511])))
        let match = try Layouts.recognise(tensors, config: config)
        #expect(match.missing.map(\.name) == [gone.name])
        #expect(match.misshapen.map(\.tensor) == [wrong])
        #expect(match.misshapen[0].spec.formula == "hidden × ffn")
        #expect(match.rows(of: TensorRole(.ffnDown, layer: 1)) == nil)
        #expect { try match.requireComplete() } throws: {
            let error = $0 as? CheckpointError
            return error?.place == "model.layers.1.mlp.down_proj.weight"
                && error?.expected == "hidden × ffn = [256, 512]"
        }
    }

    @Test func aConfigOfAnotherModelIsAListOfFindings() throws {
        let tensors = try storedTensors(Layouts.named("hf-llama"), Preset.named(Self.sample).config)
        let match = try Layouts.recognise(tensors, config: Preset.named("tinyllama-1.1b").config)
        #expect(match.misshapen.count == tensors.count)
        #expect(match.missing.count == 201 - tensors.count)
    }

    @Test func layersBeyondTheConfigAreUnexpected() throws {
        var config = try Preset.named(Self.sample).config
        let tensors = try storedTensors(Layouts.named("gguf-llama"), config)
        config.layers = 3
        let match = try Layouts.recognise(tensors, config: config)
        #expect(match.unexpected.count == 9)
        #expect(match.missing.isEmpty)
    }

    @Test func aTiedOutputMayBeAbsentAndIsTheEmbedding() throws {
        var config = try Preset.named(Self.sample).config
        config.tiedOutput = true
        let tensors = try storedTensors(Layouts.named("gguf-llama"), config)
        #expect(!tensors.contains { $0.name == "output.weight" })
        for match in [
            try Layouts.recognise(tensors, config: config), try Layouts.recognise(tensors),
            try Layouts.recognise(tensors, config: Preset.named(Self.sample).config, unsaid: [.tiedOutput]),
        ] {
            #expect(match.isComplete && match.config.tiedOutput)
            #expect(!match.stores(TensorRole(.output)))
            #expect(match.rows(of: TensorRole(.output))?.whole == 0)
        }
        let untied = try Layouts.recognise(tensors, config: Preset.named(Self.sample).config)
        #expect(untied.missing.map(\.name) == ["output.weight"])
    }

    @Test func aStoredOutputIsTheModelsWhateverTheConfigSays() throws {
        let untied = try Preset.named(Self.sample).config
        var config = untied
        config.tiedOutput = true
        let tensors = try storedTensors(Layouts.named("hf-llama"), untied)
        let match = try Layouts.recognise(tensors, config: config)
        #expect(match.isComplete && match.config == untied)
        #expect(match.stores(TensorRole(.output)) && TensorRole.all(in: match.config).contains(TensorRole(.output)))
        let output = try #require(tensors.firstIndex { $0.name == "lm_head.weight" })
        #expect(match.rows(of: TensorRole(.output))?.whole == output)
        // One in another shape cannot be used, and is no output.
        var misshapen = tensors
        misshapen[output] = NamedShape(name: "lm_head.weight", shape: try #require(Shape([3, 256])))
        let wrong = try Layouts.recognise(misshapen, config: config)
        #expect(wrong.config.tiedOutput && wrong.misshapen.count == 1)
    }

    @Test func litGPTAlwaysStoresTheOutput() throws {
        var config = try Preset.named(Self.sample).config
        config.tiedOutput = true
        #expect(try storedTensors(Layouts.named("litgpt"), config).contains { $0.name == "lm_head.weight" })
    }

    @Test func dimensionsComeFromShapesWhenThereIsNoConfig() throws {
        for preset in ["tinyllama-1.1b", "tinyllama-120m", "kjv-llama-2.8m"] {
            let expected = try Preset.named(preset).config
            for layout in try Layouts.all() {
                let match = try Layouts.recognise(storedTensors(layout, expected))
                #expect(match.isComplete && match.unexpected.isEmpty)
                #expect(match.config.heads == expected.heads && match.config.kvHeads == expected.kvHeads)
                #expect(match.config.layers == expected.layers && match.config.vocab == expected.vocab)
                #expect(match.assumptions.first?.contains(preset) == true)
            }
        }
    }

    @Test func headWidthIsAssumedAloudOrTakenFromRotaryFrequencies() throws {
        let config = ModelConfig(
            layers: 2, hidden: 320, heads: 5, kvHeads: 1, headDim: 64, ffn: 700, vocab: 99, qkvBias: true)
        for name in ["hf-llama", "litgpt", "gguf-llama"] {
            let match = try Layouts.recognise(storedTensors(Layouts.named(name), config))
            #expect(match.isComplete && match.unexpected.isEmpty && match.config.heads == 5 && match.config.qkvBias)
            #expect(match.assumptions.contains { $0.contains("heads of 64") })
        }
        let wide = ModelConfig(layers: 1, hidden: 256, heads: 4, kvHeads: 2, headDim: 32, ffn: 700, vocab: 99)
        var tensors = try storedTensors(Layouts.named("hf-llama"), wide)
        tensors.append(
            NamedShape(name: "model.layers.0.self_attn.rotary_emb.inv_freq", shape: try #require(Shape([16]))))
        #expect(try Layouts.recognise(tensors).config.headDim == 32)
    }

    @Test func openDimensionsAskForAConfig() throws {
        let odd = ModelConfig(layers: 1, hidden: 21, heads: 3, kvHeads: 1, headDim: 7, ffn: 5, vocab: 9)
        #expect { try Layouts.recognise(storedTensors(Layouts.named("hf-llama"), odd)) } throws: {
            ($0 as? CheckpointError)?.remedy?.contains("--config") == true
        }
    }

    @Test func otherModelsAreRefused() throws {
        let names = [
            "bert.encoder.layer.0.attention.self.query.weight", "bert.pooler.dense.weight", "lm_head.weight", "x",
        ]
        let tensors = try names.map { NamedShape(name: $0, shape: try #require(Shape([4, 4]))) }
        #expect { try Layouts.recognise(tensors) } throws: { ($0 as? CheckpointError)?.kind == .unsupported }
        #expect(throws: CheckpointError.self) { try Layouts.recognise([]) }
    }

    @Test func hostileLayerNumbersCostNothing() throws {
        let shape = try #require(Shape([4, 4]))
        let tensors = ["999999", "0999", "1000000", "18446744073709551616", "-1", ""].map {
            NamedShape(name: "model.layers.\($0).self_attn.q_proj.weight", shape: shape)
        }
        #expect(throws: CheckpointError.self) { try Layouts.recognise(tensors) }
        var huge = try Preset.named(Self.sample).config
        huge.layers = 1 << 20
        #expect(throws: CheckpointError.self) { try Layouts.recognise(tensors, config: huge) }
    }
}

extension Recognition {
    @Test func theCheckpointsOwnNameChoosesBetweenEqualPresets() throws {
        let tensors = try storedTensors(Layouts.named("litgpt-tinyllama"), Preset.named("tinyllama-1.1b").config)
        #expect(try Layouts.recognise(tensors).config.context == 2048)
        let code = try Layouts.recognise(tensors, modelName: "code_tiny_LLaMA_1b").config
        #expect(code.context == 8192 && code.ropeScaling == .linear(factor: 4))
        // A name whose lengths are others says nothing.
        #expect(try Layouts.recognise(tensors, modelName: "tiny_LLaMA_120M").config.hidden == 2048)
    }
}
