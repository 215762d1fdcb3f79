// The way back: a folder's tokenizer files made from a GGUF's metadata say the same as the metadata did.

import Bytes
import Foundation
import JSONText
import ModelFiles
import OrderedCollections
import Tensors
import Testing
import Tokenizers

@Suite struct HuggingFaceFilesTests {
    /// Folder → metadata → files → folder → metadata: the tokenizer stays the same.
    @Test(arguments: [
        "base", "vocab_1025", "vocab_1027", "padded", "added_out", "ids", "prefix_space", "eos_true", "tmpl_tc",
        "tmpl_list", "gen", "gen_ints", "both", "bpe_l3", "bpe_l3_exact", "qwen2", "qwen2_bos",
    ])
    func tokenizerSurvivesTheRoundTrip(_ name: String) throws {
        let variant = try #require(Variant.all.first { $0.testDescription == name })
        let (metadata, _, dimensions) = try variant.build()
        let (files, warnings) = try HuggingFaceFiles.files(from: metadata)
        #expect(warnings.isEmpty)

        let folder = try TemporaryFolder(named: "back")
        // The ids that only config.json can say come from the config that is written beside.
        var config: JSONObject = [:]
        for role in ["bos", "eos", "unk", "sep", "pad", "mask"] {
            let key = ["unk": "unknown", "sep": "seperator", "pad": "padding"][role] ?? role
            if let id = metadata["tokenizer.ggml.\(key)_token_id"]?.integer { config["\(role)_token_id"] = JSONValue(id) }
        }
        try folder.write("config.json", .object(config))
        for file in files { try Data(file.bytes).write(to: folder.url.appending(path: file.name)) }
        let back = try GGUFMetadataBuilder(
            config: dimensions, folder: ModelFolder(reading: folder.url.path), fileType: .f16, parameters: 1
        ).build().metadata

        for (key, value) in metadata where key.hasPrefix("tokenizer.") || key.hasPrefix("general.sampling.") {
            // Between two texts nothing is added either way; only a post-processor's template says so.
            if key == "tokenizer.ggml.add_sep_token" { continue }
            if key == "general.sampling.sequence" { continue }
            #expect(back[key] == value, "\(key)")
        }
    }

    @Test func modelHasThePiecesItWasMadeFrom() throws {
        let original = try SentencePieceModel(
            File(golden.appending(path: "kjv.model").path).contents(limit: 1 << 20))
        let variant = try #require(Variant.all.first { $0.testDescription == "base" })
        let (files, _) = try HuggingFaceFiles.files(from: try variant.build().metadata)
        let bytes = try #require(files.first { $0.name == "tokenizer.model" }?.bytes)
        let made = try SentencePieceModel(bytes)
        #expect(made.pieces == original.pieces)
        #expect(made.algorithm == .bpe)
        #expect(made.byteFallback)
        #expect(made.addDummyPrefix)
        #expect(!made.removeExtraWhitespaces)
        let ids: [Int] = [made.unknownID, made.bosID, made.eosID, made.padID]
        #expect(ids == [0, 1, 2, -1] as [Int])
    }

    @Test func specialTokensAreNamed() throws {
        let variant = try #require(Variant.all.first { $0.testDescription == "vocab_1027" })
        let (files, _) = try HuggingFaceFiles.files(from: try variant.build().metadata)
        func json(_ name: String) throws -> JSONValue {
            try JSONText.parse(try #require(files.first { $0.name == name }?.bytes))
        }
        let added: JSONValue = ["<pad>": 1024, "<|im_start|>": 1025, "a b": 1026]
        #expect(try json("added_tokens.json") == added)
        let map: JSONValue = ["bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"]
        #expect(try json("special_tokens_map.json") == map)
        let generation: JSONValue = ["bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1024]
        #expect(try json("generation_config.json") == generation)
        let config = try json("tokenizer_config.json")
        #expect(config["tokenizer_class"]?.string == "LlamaTokenizer")
        #expect(config["added_tokens_decoder"]?["1024"]?["special"]?.bool == true)
        #expect(config["added_tokens_decoder"]?["1026"]?["special"]?.bool == false)
    }

    /// The `tokenizers` library numbers added tokens itself unless the vocabulary has them: SmolLM's come first.
    @Test func everyTokenKeepsItsID() throws {
        func tokenizer(_ tokens: [String], _ types: [Int32]) throws -> (json: JSONValue, warnings: [String]) {
            let metadata: Metadata = [
                "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.pre": .string("gpt-2"),
                "tokenizer.ggml.tokens": .array(.strings(tokens)), "tokenizer.ggml.token_type": .array(.i32(types)),
                "tokenizer.ggml.merges": .array(.strings(["a b"])),
            ]
            let (files, warnings) = try HuggingFaceFiles.files(from: metadata)
            return (try JSONText.parse(try #require(files.first { $0.name == "tokenizer.json" }?.bytes)), warnings)
        }
        func ids(_ json: JSONValue) -> [Int] { (json["added_tokens"]?.array ?? []).compactMap { $0["id"]?.integer } }

        let first = try tokenizer(["<|x|>", "<|y|>", "a", "b", "ab"], [3, 3, 1, 1, 1])
        let all: JSONValue = ["<|x|>": 0, "<|y|>": 1, "a": 2, "b": 3, "ab": 4]
        #expect(first.json["model"]?["vocab"] == all)
        #expect(ids(first.json) == [0, 1])

        let last = try tokenizer(["a", "b", "ab", "<|x|>", "<|y|>"], [1, 1, 1, 3, 4])
        let own: JSONValue = ["a": 0, "b": 1, "ab": 2]
        #expect(last.json["model"]?["vocab"] == own)
        #expect(ids(last.json) == [3, 4])

        let both = try tokenizer(["<|x|>", "a", "b", "ab", "<|y|>"], [3, 1, 1, 1, 3])
        let across: JSONValue = ["<|x|>": 0, "a": 1, "b": 2, "ab": 3, "<|y|>": 4]
        #expect(both.json["model"]?["vocab"] == across)

        // What follows a token that is there twice would move up by one.
        let twice = try tokenizer(["a", "b", "ab", "b", "<|x|>"], [1, 1, 1, 1, 3])
        let gap: JSONValue = ["a": 0, "b": 1, "ab": 2, "<|x|>": 4]
        #expect(twice.json["model"]?["vocab"] == gap)
        #expect(twice.warnings.contains { $0.contains("token 3 is there twice") })
        for one in [first, last, both] { #expect(one.warnings.isEmpty) }
    }

    /// Vocabularies that came from a tokenizer.json have no scores.
    @Test func lostScoresAreAWarning() throws {
        let variant = try #require(Variant.all.first { $0.testDescription == "json_only" })
        let (files, warnings) = try HuggingFaceFiles.files(from: try variant.build().metadata)
        #expect(files.contains { $0.name == "tokenizer.model" })
        #expect(warnings.contains { $0.contains("scores") })
    }

    @Test func withoutTokenizerThereIsAWarning() throws {
        let (files, warnings) = try HuggingFaceFiles.files(from: ["general.architecture": .string("llama")])
        #expect(files.map(\.name) == ["generation_config.json"])
        #expect(warnings.count == 1)
    }

    /// Arrays that contradict each other are refused, ids outside of the vocabulary left out.
    @Test func contradictionsAreRefused() throws {
        var metadata: Metadata = [
            "tokenizer.ggml.model": .string("llama"),
            "tokenizer.ggml.tokens": .array(.strings(["<unk>", "a", "b"])),
            "tokenizer.ggml.bos_token_id": .u32(77),
            "tokenizer.ggml.eos_token_id": .u32(.max),
        ]
        let (files, warnings) = try HuggingFaceFiles.files(from: metadata)
        #expect(files.contains { $0.name == "tokenizer.model" })
        #expect(warnings.contains { $0.contains("bos") })
        metadata["tokenizer.ggml.scores"] = .array(.f32([0, 1]))
        #expect(throws: CheckpointError.self) { try HuggingFaceFiles.files(from: metadata) }
        metadata["tokenizer.ggml.scores"] = nil
        metadata["tokenizer.ggml.token_type"] = .array(.i32([1, 1, 1, 1]))
        #expect(throws: CheckpointError.self) { try HuggingFaceFiles.files(from: metadata) }
    }

    /// Whatever a vocabulary holds, the model that is made of it can be read.
    @Test func oddVocabulariesGiveModelsThatLoad() throws {
        let tokens = ["", "a", "a", "<0x41>", "<0xZZ>", "\u{3AC}", "\u{1F71}", "<unk>", "<unk>", "[UNUSED2]"]
        let metadata: Metadata = [
            "tokenizer.ggml.model": .string("llama"), "tokenizer.ggml.tokens": .array(.strings(tokens)),
            "tokenizer.ggml.scores": .array(.f32([.nan, .infinity, 1, 2, 3, 4, 5, 6, 7, 8])),
            "tokenizer.ggml.token_type": .array(.i32([1, 1, 1, 6, 6, 1, 1, 2, 2, 99])),
        ]
        let (files, _) = try HuggingFaceFiles.files(from: metadata)
        let model = try SentencePieceModel(try #require(files.first { $0.name == "tokenizer.model" }?.bytes))
        #expect(model.pieces.count == tokens.count)
        #expect(Set(model.pieces.map { Array($0.text.utf8) }).count == tokens.count)
        #expect(model.pieces.filter { $0.type == .unknown }.count == 1)
        #expect(!model.byteFallback)
        #expect(model.pieces.allSatisfy { $0.score.isFinite })
    }

    @Test func bareTokenizersAreCompleted() throws {
        let folder = try TemporaryFolder()
        try folder.write("tokenizer.model", "@kjv.model")
        let files = HuggingFaceFiles.missing(
            from: try ModelFolder(reading: folder.url.path),
            config: ModelConfig(layers: 4, hidden: 256, heads: 8, ffn: 512, vocab: 1024))
        #expect(files.map(\.name) == ["tokenizer_config.json", "generation_config.json"])
        let config = try JSONText.parse(files[0].bytes)
        #expect(config["bos_token"]?.string == "<s>")
        #expect(config["eos_token"]?.string == "</s>")
        #expect(config["unk_token"]?.string == "<unk>")
        let generation: JSONValue = ["bos_token_id": 1, "eos_token_id": 2]
        #expect(try JSONText.parse(files[1].bytes) == generation)
        try folder.write("tokenizer_config.json", ["bos_token": "<s>"])
        try folder.write("generation_config.json", ["eos_token_id": 2])
        #expect(
            HuggingFaceFiles.missing(
                from: try ModelFolder(reading: folder.url.path),
                config: ModelConfig(layers: 4, hidden: 256, heads: 8, ffn: 512, vocab: 1024)
            ).isEmpty)
    }

    /// generation_config.json names other tokens than tokenizer.model: all files that are made follow the former.
    @Test func filesNameTheSameTokensWhereSourcesDisagree() throws {
        let place = try TemporaryFolder()
        try place.write("tokenizer.model", "@kjv.model")
        try place.write("generation_config.json", ["bos_token_id": 4, "eos_token_id": [5, 2]])
        let folder = try ModelFolder(reading: place.url.path)
        let pieces = try #require(folder.sentencePiece?.pieces)
        let unsaid = ModelConfig(layers: 4, hidden: 256, heads: 8, ffn: 512, vocab: 1024)
        let completed = folder.completing(unsaid)
        #expect(completed.bosToken == 4)
        #expect(completed.eosTokens == [5, 2])
        for config in [unsaid, completed] {
            let files = HuggingFaceFiles.missing(from: folder, config: config)
            #expect(files.map(\.name) == ["tokenizer_config.json"])
            let made = try JSONText.parse(try #require(files.first?.bytes))
            #expect(made["bos_token"]?.string == pieces[4].text)
            #expect(made["eos_token"]?.string == pieces[5].text)
        }
        // What the config says itself counts more than anything beside it.
        var own = unsaid
        (own.bosToken, own.eosTokens) = (6, [7])
        let files = HuggingFaceFiles.missing(from: folder, config: folder.completing(own))
        let made = try JSONText.parse(try #require(files.first?.bytes))
        #expect(made["bos_token"]?.string == pieces[6].text)
        #expect(made["eos_token"]?.string == pieces[7].text)
    }

    /// A config.json that says no tokens stays silent; the files that have to name them take the tokenizer's.
    @Test func aSilentConfigIsLeftSilent() throws {
        let place = try TemporaryFolder()
        try place.write("tokenizer.model", "@kjv.model")
        try place.write("config.json", ["model_type": "llama"])
        let folder = try ModelFolder(reading: place.url.path)
        let config = ModelConfig(layers: 4, hidden: 256, heads: 8, ffn: 512, vocab: 1024)
        #expect(folder.completing(config) == config)
        let files = HuggingFaceFiles.missing(from: folder, config: folder.completing(config))
        #expect(files.map(\.name) == ["tokenizer_config.json", "generation_config.json"])
        #expect(try JSONText.parse(files[0].bytes)["eos_token"]?.string == "</s>")
        let generation: JSONValue = ["bos_token_id": 1, "eos_token_id": 2]
        #expect(try JSONText.parse(files[1].bytes) == generation)
    }

    @Test func companionsAreFoundByName() throws {
        let folder = try TemporaryFolder()
        for name in ["tokenizer.model", "README.md", "LICENSE", "model.safetensors", "config.json", "notes.txt"] {
            try folder.write(name, "x")
        }
        #expect(Companions.present(in: folder.url.path) == ["tokenizer.model", "README.md", "LICENSE"])
        #expect(Companions.present(in: folder.url.appending(path: "missing").path).isEmpty)
    }

    /// Templates have the one folder that goes along; what else lies in it or below does not.
    @Test func additionalTemplatesAreFound() throws {
        let folder = try TemporaryFolder()
        #expect(try Companions.templates(in: folder.url.path).isEmpty)
        let templates = folder.url.appending(path: Companions.templateFolder)
        for below in ["deeper", "a folder.jinja"] {
            try FileManager.default.createDirectory(
                at: templates.appending(path: below), withIntermediateDirectories: true)
        }
        for name in ["tool.jinja", "rag.jinja", "notes.txt", "deeper/x.jinja"] {
            try folder.write("\(Companions.templateFolder)/\(name)", .string(name))
        }
        try folder.write("tokenizer.model", "@kjv.model")
        #expect(try Companions.templates(in: folder.url.path).map(\.name) == ["rag.jinja", "tool.jinja"])
        #expect(Companions.present(in: folder.url.path) == ["tokenizer.model"])
        #expect(
            Companions.paths(in: folder.url.path).map { String($0.dropFirst(folder.url.path.count + 1)) }
                == ["tokenizer.model", "additional_chat_templates/rag.jinja", "additional_chat_templates/tool.jinja"])
        let read = try ModelFolder(reading: folder.url.path)
        #expect(read.additionalTemplates.map(\.name) == ["rag", "tool"])
        #expect(read.additionalTemplates.map(\.template) == ["rag.jinja", "tool.jinja"])
    }
    /// A few hundred templates of the largest size would fill the memory.
    @Test func templatesAreBoundedTogether() throws {
        let folder = try TemporaryFolder()
        let templates = folder.url.appending(path: Companions.templateFolder)
        try FileManager.default.createDirectory(at: templates, withIntermediateDirectories: true)
        for name in ["a.jinja", "b.jinja"] {
            let path = templates.appending(path: name)
            try Data().write(to: path)
            let file = try FileHandle(forWritingTo: path)
            // Nothing but a hole.
            try file.truncate(atOffset: 9 << 20)
            try file.close()
        }
        #expect(throws: CheckpointError.self) { try Companions.templates(in: folder.url.path) }
        #expect(throws: CheckpointError.self) { try ModelFolder(reading: folder.url.path) }
        try FileManager.default.removeItem(at: templates.appending(path: "b.jinja"))
        #expect(try Companions.templates(in: folder.url.path).map(\.bytes.count) == [9 << 20])
    }
}
