// Configs of every ecosystem: read, written, and the same after going round.

import Bytes
import Foundation
import JSONText
import Layouts
import OrderedCollections
import Tensors
import Testing

func read(_ text: String, as name: String = "config.json") throws -> ConfigFile {
    let document =
        name.hasSuffix(".yaml")
        ? try FlatYAML.parse(Array(text.utf8), file: name) : try JSONText.parse(Array(text.utf8), file: name)
    return try ConfigFile(document: document, path: name)
}

@Suite struct HuggingFaceConfigs {
    static let tinyLlama = """
        {"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
         "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5632, "max_position_embeddings": 2048,
         "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 22, "num_key_value_heads": 4,
         "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null, "tie_word_embeddings": false,
         "torch_dtype": "float32", "transformers_version": "4.31.0.dev0", "use_cache": true, "vocab_size": 32000}
        """

    @Test func tinyLlamaIsThePreset() throws {
        let file = try read(Self.tinyLlama)
        var preset = try Preset.named("tinyllama-1.1b").config
        preset.name = nil
        preset.ropeTheta = nil
        preset.dtype = .f32
        #expect(file.kind == .huggingFace)
        #expect(file.config == preset)
        #expect(file.unsaid.isEmpty)
    }

    @Test func anotherPrecisionChangesNothingElse() throws {
        let file = try read(Self.tinyLlama)
        let original = try #require(file.document)
        let written = try file.config.huggingFaceConfig(dtype: .bf16, original: original)
        #expect(written["torch_dtype"] == "bfloat16")
        #expect(written.keys == original.keys)
        for (key, value) in original where key != "torch_dtype" { #expect(written[key] == value, "\(key)") }
    }

    @Test func whatPannierDoesNotKnowIsKept() throws {
        let text = Self.tinyLlama.replacingOccurrences(
            of: "\"use_cache\"", with: "\"quirk\": {\"a\": [1]}, \"use_cache\"")
        let file = try read(text)
        let written = try file.config.huggingFaceConfig(dtype: nil, original: file.document)
        #expect(written["quirk"] == ["a": [1]])
    }

    @Test func everyPresetGoesRound() throws {
        for preset in try Preset.all() {
            var config = preset.config
            config.name = nil
            config.dtype = .bf16
            let text = JSONValue.object(try config.huggingFaceConfig(dtype: nil)).text()
            #expect(try read(text).config == config, "\(preset.name)")
        }
    }

    @Test func variantsGoRound() throws {
        var config = try Preset.named("tinyllama-120m").config
        config.name = nil
        config.dtype = .f16
        func goesRound(_ change: (inout ModelConfig) -> Void) throws -> Bool {
            var changed = config
            change(&changed)
            return try read(JSONValue.object(try changed.huggingFaceConfig(dtype: nil)).text()).config == changed
        }
        #expect(try goesRound { $0.headDim = 80 })
        #expect(try goesRound { $0.tiedOutput = true })
        #expect(try goesRound { $0.mlpBias = true })
        #expect(
            try goesRound {
                $0.vocab = 32003
                $0.padToken = 32000
                $0.eosTokens = [2, 32002]
            })
        #expect(
            try goesRound {
                $0.qkvBias = true
                $0.attentionOutputBias = true
            })
        #expect(
            try goesRound {
                $0.architecture = "qwen2"
                $0.qkvBias = true
                $0.ropeTheta = 1e6
            })
        #expect(
            try goesRound {
                $0.architecture = "qwen2"
                $0.qkvBias = true
                $0.slidingWindow = 99
            })
        #expect(
            try goesRound {
                $0.architecture = "mistral"
                $0.slidingWindow = 4096
            })
        #expect(try goesRound { $0.architecture = "mistral" })
        #expect(try goesRound { $0.ropeScaling = .dynamic(factor: 2) })
        #expect(try goesRound { $0.ropeScaling = .yarn(factor: 4, originalContext: 512) })
        #expect(
            try goesRound {
                $0.ropeScaling = .llama3(
                    factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
            })
    }

    @Test func theClassFollowsFromWhatTheModelHas() throws {
        var config = try Preset.named("kjv-llama-2.8m").config
        func type(_ change: (inout ModelConfig) -> Void) throws -> String? {
            var changed = config
            change(&changed)
            return try changed.huggingFaceConfig(dtype: nil)["model_type"]?.string
        }
        #expect(try type { _ in } == "llama")
        #expect(try type { $0.qkvBias = true } == "qwen2")
        #expect(
            try type {
                $0.qkvBias = true
                $0.attentionOutputBias = true
            } == "llama")
        #expect(try type { $0.slidingWindow = 5 } == "mistral")
        #expect(throws: CheckpointError.self) { try type { $0.attentionOutputBias = true } }
        #expect(throws: CheckpointError.self) {
            try type {
                $0.qkvBias = true
                $0.mlpBias = true
            }
        }
        #expect(throws: CheckpointError.self) {
            try type {
                $0.slidingWindow = 5
                $0.qkvBias = true
                $0.attentionOutputBias = true
            }
        }
        config.architecture = "qwen2"
        #expect(try type { $0.mlpBias = true } == "llama")
    }

    @Test func qwen2sWindowIsForTheLayersItSays() throws {
        func window(_ more: String) throws -> Int? {
            try read(
                Self.tinyLlama.replacingOccurrences(of: "\"llama\"", with: "\"qwen2\", \"sliding_window\": 64, \(more)")
            ).config.slidingWindow
        }
        #expect(try window("\"use_sliding_window\": false") == nil)
        #expect(try window("\"use_sliding_window\": true, \"max_window_layers\": 22") == nil)
        #expect(try window("\"use_sliding_window\": true, \"max_window_layers\": 0") == 64)
        #expect(throws: CheckpointError.self) { try window("\"use_sliding_window\": true, \"max_window_layers\": 7") }
    }

    @Test func theNewerSpellingsAreReadAndKept() throws {
        let text = Self.tinyLlama.replacingOccurrences(
            of: "\"rope_scaling\": null",
            with:
                "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0, \"rope_theta\": 5000.0}"
        )
        .replacingOccurrences(of: "torch_dtype", with: "dtype")
        let file = try read(text)
        #expect(file.config.ropeScaling == .linear(factor: 4))
        #expect(file.config.ropeTheta == 5000)
        #expect(file.config.dtype == .f32)
        var written = try file.config.huggingFaceConfig(dtype: .f16, original: file.document)
        #expect(written["rope_scaling"] == nil && written["torch_dtype"] == nil)
        #expect(written["dtype"] == "float16")
        written["dtype"] = "float32"
        #expect(written == file.document)
    }

    @Test func silenceMeansWhatTransformersTakesItFor() throws {
        let bare = """
            {"model_type": "TYPE", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 8,
             "vocab_size": 9}
            """
        let llama = try read(bare.replacingOccurrences(of: "TYPE", with: "llama")).config
        #expect(llama.kvHeads == 4 && llama.normEps == 1e-6 && llama.context == 2048 && !llama.qkvBias)
        #expect(try read(bare.replacingOccurrences(of: "TYPE", with: "qwen2")).config.qkvBias)
        #expect(try read(bare.replacingOccurrences(of: "TYPE", with: "mistral")).config.slidingWindow == 4096)
    }

    @Test(arguments: [
        ("\"hidden_size\": 2048", "\"hidden_size\": 0"), ("\"hidden_size\": 2048", "\"hidden_size\": \"2048\""),
        ("\"hidden_size\": 2048", "\"hidden_size\": 2047"), ("\"hidden_size\": 2048", "\"hidden_size\": 1e300"),
        ("\"hidden_size\": 2048", "\"hidden_size\": -2048"),
        ("\"num_attention_heads\": 32", "\"num_attention_heads\": 0"),
        ("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 5"),
        ("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 0"),
        ("\"num_hidden_layers\": 22", "\"num_hidden_layers\": 9223372036854775807"),
        ("\"num_hidden_layers\": 22", "\"num_hidden_layers\": 18446744073709551615"),
        ("\"num_hidden_layers\": 22", "\"layers\": 22"), ("\"model_type\": \"llama\"", "\"model_type\": \"gpt2\""),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""), ("1e-05", "-1"), ("1e-05", "NaN"), ("1e-05", "1.0"),
        ("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}"),
        ("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}"),
        ("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"longrope\", \"factor\": 2}"),
        ("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2}"),
        ("\"rope_scaling\": null", "\"rope_scaling\": 4"), ("\"rope_scaling\": null", "\"rope_theta\": 0"),
        ("\"eos_token_id\": 2", "\"eos_token_id\": [[2]]"),
        ("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 0"),
    ])
    func impossibleConfigsAreRefused(find: String, replace: String) throws {
        #expect(Self.tinyLlama.contains(find))
        #expect(throws: CheckpointError.self) { try read(Self.tinyLlama.replacingOccurrences(of: find, with: replace)) }
    }

    @Test func notAConfigAtAll() {
        for text in ["[]", "3", "null", "{}", #"{"a": 1}"#] { #expect(throws: CheckpointError.self) { try read(text) } }
    }
}

@Suite struct OtherConfigs {
    @Test func tinyLlamasLitConfigIsThePreset() throws {
        let file = try read(
            """
            {"org": "StatNLP-research", "name": "code_tiny_LLaMA_1b", "block_size": 8192, "vocab_size": 32000,
             "padding_multiple": 64, "padded_vocab_size": 32000, "n_layer": 22, "n_head": 32, "n_embd": 2048,
             "rotary_percentage": 1.0, "parallel_residual": false, "bias": false, "n_query_groups": 4,
             "shared_attention_norm": false, "_norm_class": "FusedRMSNorm", "norm_eps": 1e-05, "_mlp_class": "LLaMAMLP",
             "intermediate_size": 5632, "condense_ratio": 4}
            """, as: "lit_config.json")
        var preset = try Preset.named("code-tinyllama-1b").config
        preset.name = "code_tiny_LLaMA_1b"
        preset.bosToken = nil
        preset.eosTokens = []
        #expect(file.kind == .litGPTEarly)
        #expect(file.config == preset)
    }

    @Test func litGPTWritesAndReadsItsOwn() throws {
        for preset in try Preset.all() {
            var config = preset.config
            config.name = "name with: a colon"
            config.bosToken = nil
            config.eosTokens = []
            for (layout, file) in [("litgpt", "model_config.yaml"), ("litgpt-early", "lit_config.json")] {
                let files = try ConfigFile.files(
                    for: Layouts.named(layout), config: config, name: "name with: a colon", dtype: .f32)
                #expect(files.map(\.name) == [file])
                #expect(try read(files[0].text, as: file).config == config, "\(preset.name) \(layout)")
            }
        }
    }

    @Test func biasesAndLlama3ScalingGoRoundInLitGPT() throws {
        var config = try Preset.named("tinyllama-120m").config
        config.name = "m"
        config.bosToken = nil
        config.eosTokens = []
        config.qkvBias = true
        config.headDim = 32
        config.ropeTheta = 500_000
        config.ropeScaling = .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
        let file = try read(FlatYAML.text(config.litGPTConfig(name: "m")), as: "model_config.yaml")
        #expect(file.kind == .litGPT && file.config == config)
        #expect(throws: CheckpointError.self) { try config.litGPTEarlyConfig(name: "m", mlpBiases: true) }
        config.attentionOutputBias = true
        #expect(throws: CheckpointError.self) { try config.litGPTConfig(name: "m") }
        config.ropeScaling = .dynamic(factor: 2)
        #expect(throws: CheckpointError.self) { try config.metaConfig() }
    }

    /// Early Lit-GPT's switch means the feed-forward layers too, that of TinyLlama's fork does not.
    @Test func oneSwitchForBiasesSaysNoMoreThanItMeans() throws {
        var config = try Preset.named("tinyllama-120m").config
        (config.qkvBias, config.attentionOutputBias) = (true, true)
        for mlp in [false, true] {
            config.mlpBias = mlp
            for (layout, means) in [("litgpt-early", true), ("litgpt-tinyllama", false)] {
                let files = try? ConfigFile.files(for: Layouts.named(layout), config: config, name: "m", dtype: nil)
                #expect((files != nil) == (mlp == means), "\(layout) \(mlp)")
            }
        }
    }

    @Test func whatALayoutCannotSayOfAWindowIsRefused() throws {
        var config = try Preset.named("tinyllama-120m").config
        config.slidingWindow = 16
        for layout in ["meta", "litgpt-early"] {
            #expect(throws: CheckpointError.self) {
                try ConfigFile.files(for: Layouts.named(layout), config: config, name: "m", dtype: nil)
            }
        }
        // transformers' Llama has none, whatever the config says.
        let text = """
            {"model_type": "TYPE", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 4,
             "vocab_size": 9, "sliding_window": 16}
            """
        for (type, window) in [("llama", nil), ("mistral", 16)] as [(String, Int?)] {
            let config = try read(text.replacingOccurrences(of: "TYPE", with: type)).config
            #expect(config.slidingWindow == window)
        }
    }

    /// What no single-precision number holds could not be computed with, nor be written to GGUF.
    @Test(arguments: [
        #""rope_theta": 1e39"#, #""rope_theta": 1e-60"#, #""rope_theta": -1"#, #""rope_theta": 0"#,
        #""rope_scaling": {"type": "linear", "factor": 1e300}"#, #""rope_scaling": {"type": "linear", "factor": 0}"#,
        #""model_type": "mistral", "sliding_window": -5"#, #""max_position_embeddings": 9223372036854775807"#,
    ]) func numbersBeyondReasonAreRefused(_ member: String) throws {
        let text = """
            {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 4, "vocab_size": 9,
             \(member)}
            """
        #expect(throws: CheckpointError.self) { try read(text, as: "config.json") }
    }

    /// transformers 5 reads the base out of either object, before the one at the top.
    @Test(arguments: [
        #""rope_scaling": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000.0}"#,
        #""rope_scaling": {"rope_type": "default", "rope_theta": 500000.0}, "rope_parameters": null"#,
        #""rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}, "rope_theta": 10000.0"#,
    ]) func theBaseMayStandInTheScaling(_ rope: String) throws {
        let text = """
            {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 4,
             "vocab_size": 9, \(rope)}
            """
        #expect(try read(text, as: "config.json").config.ropeTheta == 500_000)
    }

    @Test func paddedVocabularyIsWhatTheEmbeddingHas() throws {
        let text = """
            {"name": "x", "vocab_size": 32003, "padding_multiple": 64, "n_layer": 1, "n_head": 2, "n_embd": 8,
             "intermediate_size": 4}
            """
        #expect(try read(text, as: "lit_config.json").config.vocab == 32064)
        #expect(
            try read(
                text.replacingOccurrences(of: "\"name\"", with: "\"padded_vocab_size\": 32003, \"name\""),
                as: "lit_config.json"
            ).config.vocab == 32003)
    }

    /// Whatever their sum would be: the rows that it gives are none that a model has.
    @Test(arguments: [
        ("vocab_size", -1, 64), ("vocab_size", -1, .max), ("vocab_size", .min, .max), ("vocab_size", 0, 64),
        ("vocab_size", .max, 64), ("vocab_size", 1 << 20 + 1, 64), ("padding_multiple", 100, .max),
        ("padding_multiple", 100, -1), ("padding_multiple", 100, 0), ("padding_multiple", 100, .min),
    ] as [(String, Int, Int)]) func sizesOfAVocabularyThatCannotBe(key: String, vocab: Int, padding: Int) throws {
        let text = """
            {"n_embd": 64, "n_head": 4, "n_layer": 2, "intermediate_size": 128, "vocab_size": \(vocab),
             "padding_multiple": \(padding)}
            """
        #expect {
            try read(text, as: "lit_config.json")
        } throws: {
            ($0 as? CheckpointError)?.place == key
        }
    }

    @Test func otherFamiliesOfLitGPTAreRefused() throws {
        let text = #"{"vocab_size": 64, "n_layer": 1, "n_head": 2, "n_embd": 8, "intermediate_size": 4, MORE}"#
        for more in [
            #""norm_class_name": "LayerNorm""#, #""_mlp_class": "GptNeoxMLP""#, #""rotary_percentage": 0.25"#,
            #""parallel_residual": true"#, #""n_expert": 8"#, #""padding_multiple": 9223372036854775807"#,
        ] {
            #expect(throws: CheckpointError.self) {
                try read(text.replacingOccurrences(of: "MORE", with: more), as: "lit_config.json")
            }
        }
    }

    @Test func metasWidthRuleGivesThePublishedWidths() throws {
        func ffn(_ text: String) throws -> Int {
            try read("{\"n_layers\": 2, \"n_heads\": 32, \(text)}", as: "params.json").config.ffn
        }
        #expect(try ffn("\"dim\": 4096, \"multiple_of\": 256") == 11008)
        #expect(try ffn("\"dim\": 4096, \"multiple_of\": 1024, \"ffn_dim_multiplier\": 1.3") == 14336)
        #expect(try ffn("\"dim\": 8192, \"multiple_of\": 4096, \"ffn_dim_multiplier\": 1.3") == 28672)
        #expect(try ffn("\"dim\": 2048, \"multiple_of\": 256, \"ffn_dim_multiplier\": 1.5") == 8192)
        #expect(throws: CheckpointError.self) { try ffn("\"dim\": 4096, \"multiple_of\": 0") }
        #expect(throws: CheckpointError.self) { try ffn("\"dim\": 4096, \"ffn_dim_multiplier\": 1e300") }
    }

    @Test func metaGoesRoundAndLeavesTheVocabularyToTheTokenizer() throws {
        for preset in try Preset.all() where preset.config.ropeScaling == .none {
            var config = preset.config
            config.name = nil
            config.bosToken = nil
            config.eosTokens = []
            let text = JSONValue.object(try config.metaConfig()).text()
            #expect(try read(text, as: "params.json").config == config)
        }
        let file = try read(
            #"{"dim": 2048, "multiple_of": 256, "n_heads": 32, "n_layers": 22, "norm_eps": 1e-06, "vocab_size": -1}"#)
        #expect(file.kind == .meta && file.unsaid == [.vocabulary])
    }

    @Test func ggufKeysAreTheSample() throws {
        let metadata: Metadata = [
            "general.architecture": .string("llama"), "general.name": .string("KJV"), "llama.block_count": .u32(4),
            "llama.context_length": .u32(512), "llama.embedding_length": .u32(256),
            "llama.feed_forward_length": .u32(512),
            "llama.attention.head_count": .u32(8), "llama.attention.head_count_kv": .u32(2),
            "llama.rope.freq_base": .f32(10000), "llama.attention.layer_norm_rms_epsilon": .f32(1e-5),
            "llama.vocab_size": .u32(1024), "llama.rope.dimension_count": .u32(32),
            "tokenizer.ggml.bos_token_id": .u32(1), "tokenizer.ggml.eos_token_id": .u32(2),
        ]
        let file = try ConfigFile(gguf: metadata, path: "x.gguf")
        var preset = try Preset.named("kjv-llama-2.8m").config
        preset.name = "KJV"
        #expect(file.config == preset)
        #expect(file.unsaid == [.tiedOutput, .biases])
        for (key, value) in [
            ("general.architecture", MetadataValue.string("gpt2")), ("llama.block_count", .string("4")),
            ("llama.attention.head_count", .array(.u32([8, 4]))), ("llama.attention.head_count", .u32(0)),
            ("llama.embedding_length", .u64(.max)), ("llama.attention.layer_norm_rms_epsilon", .f32(.nan)),
            ("llama.attention.value_length", .u32(16)), ("llama.rope.scaling.type", .string("longrope")),
            ("llama.rope.scaling.type", .string("linear")),
        ] {
            var wrong = metadata
            wrong[key] = value
            #expect(throws: CheckpointError.self, "\(key)") { try ConfigFile(gguf: wrong, path: "x.gguf") }
        }
    }

    /// The architecture names GGUF's keys and stands in reports: it is one of those that are carried, as in a GGUF.
    @Test func aPresetsArchitectureIsOneThatIsCarried() throws {
        func preset(_ architecture: String) throws -> ModelConfig {
            try read(
                """
                {"schema": "pannier.preset/1", "name": "x", "architecture": "\(architecture)", "layers": 1, "hidden": 8,
                 "heads": 2, "ffn": 4, "vocab": 9}
                """
            ).config
        }
        for known in ["llama", "mistral", "qwen2"] { #expect(try preset(known).architecture == known) }
        for unknown in ["gpt2", "", "Llama", "\\u001b[31mllama", "llama\\n"] {
            #expect {
                try preset(unknown)
            } throws: {
                let error = $0 as? CheckpointError
                return error?.kind == .unsupported && error?.place == "architecture"
            }
        }
    }

    /// Whoever is refused reads everything that would have been taken.
    @Test func aRefusedArchitectureIsToldWhatIsCarried() throws {
        #expect {
            try ConfigFile(gguf: ["general.architecture": .string("gpt2")], path: "x.gguf")
        } throws: {
            ($0 as? CheckpointError)?.expected == "llama, mistral, qwen2"
        }
    }

    @Test func aFolderSaysWhoseConfigItIs() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "pannier-config-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try ConfigFile.find(in: folder.path) == nil)
        let config = try Preset.named("kjv-llama-2.8m").config
        for layout in try Layouts.all() {
            for file in try ConfigFile.files(for: layout, config: config, name: "kjv", dtype: .bf16) {
                try Data(file.text.utf8).write(to: folder.appending(path: file.name))
            }
        }
        #expect(try ConfigFile.find(in: folder.path)?.kind == .huggingFace)
        for kind in [ConfigKind.litGPT, .litGPTEarly, .meta] {
            let found = try ConfigFile.find(in: folder.path, preferred: [kind])
            #expect(found?.kind == kind && found?.config.heads == 8)
        }
    }
}

@Suite struct YAML {
    @Test func readsWhatPyYAMLDumps() throws {
        let value = try FlatYAML.parse(
            Array(
                """
                # as litgpt dumps it
                attention_scores_scalar: null
                bias: false
                gelu_approximate: none
                hf_config:
                  name: TinyLlama-1.1B-intermediate-step-1431k-3T
                  org: TinyLlama
                n_layer: 22
                norm_eps: 1.0e-05
                padded_vocab_size: 32000
                rope_adjustments:
                  factor: 8.0
                rotary_percentage: 1.0   # a comment
                sliding_window_indices:
                - 1
                - 0
                empty: {}
                flow: {a: 1, 'b': [x, "y\\n", ~]}
                quoted: 'it''s # not a comment'
                nothing:
                """.utf8))
        #expect(
            value == [
                "attention_scores_scalar": nil, "bias": false, "gelu_approximate": "none",
                "hf_config": ["name": "TinyLlama-1.1B-intermediate-step-1431k-3T", "org": "TinyLlama"], "n_layer": 22,
                "norm_eps": 1e-5, "padded_vocab_size": 32000, "rope_adjustments": ["factor": 8.0],
                "rotary_percentage": 1.0,
                "sliding_window_indices": [1, 0], "empty": [:], "flow": ["a": 1, "b": ["x", "y\n", nil]],
                "quoted": "it's # not a comment", "nothing": nil,
            ])
    }

    @Test func writtenTextIsReadBack() throws {
        let object: JSONObject = [
            "small": 1e-05, "whole": 2.0, "text": "yes", "number": "1.5", "colon": "a: b", "quote": "say \"no\"",
            "line": "a\nb", "list": [1, "two", nil], "nested": ["x": ["y": true]], "empty": "", "none": [:],
            "unicode": "\u{1F999}", "dash": "- a", "hash": "a #b",
        ]
        let text = FlatYAML.text(object)
        #expect(text.contains("small: 1.0e-05\n"))
        #expect(try FlatYAML.parse(Array(text.utf8)) == .object(object))
    }

    @Test(arguments: [
        "", "# only a comment", "a: 1\na: 2", "a: &x 1", "a: *x", "a: !!python/object 1", "!!map\na: 1", "a: |\n  text",
        "a: >\n  text", "? a\n: b", "a: 1\n---\nb: 2", "%YAML 1.1\n---\na: 1", "a: 1\n  b: 2", "  a: 1\nb: 2", "a:1",
        "a", "- - 1", "- a: 1\n  b: 2", "a: [1, 2", "a: {b: 1", "a: {b: 1, b: 2}", "a: \"open", "a: 'open",
        "a: \"\\q\"", "a: \"\\uD800\"", "a: b: c", "\ta: 1", "a: 1\rb: 2", "a: \u{0}", "a: [1] 2", "a: @b", "a: `b`",
        ": 1",
        "a: ]", "a: text\n   goes on",
    ])
    func whatIsNotPlainIsRefused(text: String) {
        #expect(throws: CheckpointError.self) { try FlatYAML.parse(Array(text.utf8)) }
    }

    @Test func deepNestingIsRefused() {
        let flow = "a: " + String(repeating: "[", count: 100_000)
        #expect(throws: CheckpointError.self) { try FlatYAML.parse(Array(flow.utf8)) }
        let block = (0..<1000).map { String(repeating: " ", count: $0) + "a:" }.joined(separator: "\n")
        #expect(throws: CheckpointError.self) { try FlatYAML.parse(Array(block.utf8)) }
        #expect(throws: CheckpointError.self) { try FlatYAML.parse([0x61, 0x3A, 0x20, 0xFF]) }
    }
}

@Suite struct GoldenConfigs {
    static func file(_ name: String) throws -> ConfigFile {
        try ConfigFile.read(
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(name)").path)
    }

    /// As litgpt 0.5.9's save_config wrote them.
    @Test func litGPTsOwnDumpsAreRead() throws {
        let tiny = try Self.file("tiny-llama-1.1b.model_config.yaml")
        var preset = try Preset.named("tinyllama-1.1b").config
        preset.name = "tiny-llama-1.1b"
        preset.bosToken = nil
        preset.eosTokens = []
        #expect(tiny.kind == .litGPT && tiny.config == preset && tiny.unsaid.isEmpty)
        let llama = try Self.file("llama-3.2-1b.model_config.yaml").config
        #expect(llama.headDim == 64 && llama.heads == 32 && llama.kvHeads == 8 && llama.ropeTheta == 500_000)
        #expect(
            llama.ropeScaling
                == .llama3(factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192))
        let qwen = try Self.file("qwen2.5-0.5b.model_config.yaml").config
        #expect(qwen.qkvBias && !qwen.attentionOutputBias && !qwen.mlpBias && qwen.vocab == 151_936)
    }

    @Test func whatIsWrittenFromThemIsTheSameConfig() throws {
        for name in ["tiny-llama-1.1b", "llama-3.2-1b", "qwen2.5-0.5b"] {
            let config = try Self.file("\(name).model_config.yaml").config
            let text = FlatYAML.text(try config.litGPTConfig(name: try #require(config.name)))
            #expect(try read(text, as: "model_config.yaml").config == config)
        }
    }

    @Test func theSamplesConfigIsWrittenAsItWas() throws {
        let file = try Self.file("kjv.config.json")
        let written = try ConfigFile.files(
            for: Layouts.named("hf-llama"), config: file.config, name: "kjv", dtype: .bf16, source: file)
        #expect(written.first?.name == "config.json")
        #expect(try JSONText.parse(Array(written[0].text.utf8)).object == file.document)
    }
}
