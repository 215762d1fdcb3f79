// The metadata of small made-up models against what llama.cpp's convert_hf_to_gguf.py wrote for the same folders
// (Golden/variants.json: the folder's files, and the keys, types and values of the peer's file in its order).

import Bytes
import Foundation
import JSONText
import ModelFiles
import OrderedCollections
import Tensors
import Testing

/// One folder and what the peer made of it.
struct Variant: CustomTestStringConvertible, Sendable {
    let json: JSONValue
    var testDescription: String { json["name"]?.string ?? "" }

    static let all: [Variant] = ((try? goldenJSON("variants.json"))?.array ?? []).map(Variant.init(json:))

    func build() throws -> (metadata: Metadata, warnings: [String], config: ModelConfig) {
        let folder = try TemporaryFolder(named: json["folder"]?.string ?? "model")
        let config = try #require(json["config"])
        try folder.write("config.json", config)
        for (name, content) in json["files"]?.object ?? [:] { try folder.write(name, content) }
        let dimensions = modelConfig(config)
        let dtype = try #require(json["dtype"]?.string.flatMap { DType(rawValue: $0.uppercased()) })
        let fileType = try #require(GGUFFileType(dtype))
        let built = try GGUFMetadataBuilder(
            config: dimensions, folder: ModelFolder(reading: folder.url.path), modelName: json["model_name"]?.string,
            fileType: fileType, parameters: json["parameters"]?.integer ?? 0
        ).build()
        return (built.metadata, built.warnings, dimensions)
    }
}

@Suite struct GGUFMetadataTests {
    /// Lit-GPT's and Meta's configs say no special tokens: what lies beside them does. A config.json is left alone.
    @Test func specialTokensComeFromWhatLiesBesideAConfig() throws {
        var folder = ModelFolder(name: "m")
        let config = ModelConfig(layers: 1, hidden: 8, heads: 2, ffn: 8, vocab: 9)
        #expect(folder.completing(config) == config)
        folder.generationConfig = ["bos_token_id": 2, "eos_token_id": [3, 4], "pad_token_id": 0]
        let completed = folder.completing(config)
        #expect(completed.bosToken == 2 && completed.eosTokens == [3, 4] && completed.padToken == 0)
        var own = config
        (own.bosToken, own.eosTokens) = (5, [6])
        #expect(folder.completing(own).bosToken == 5 && folder.completing(own).eosTokens == [6])
        folder.config = ["model_type": "llama"]
        #expect(folder.completing(config) == config)
    }

    /// Where this differs from the peer on purpose.
    static let exceptions: Set<String> = [
        "ids_neg_pad",  // the peer stops; the id is left out here
        "json_only_padded",  // the peer writes fewer tokens than the embedding has rows, and no program loads that
    ]

    @Test(arguments: Variant.all.filter { !exceptions.contains($0.testDescription) })
    func isWhatTheConverterWrites(_ variant: Variant) throws {
        let (metadata, _, config) = try variant.build()
        let expected = try #require(variant.json["expected"]?.array)
        #expect(Array(metadata.keys) == expected.compactMap { $0.array?[0].string })
        for entry in expected {
            let key = try #require(entry.array?[0].string)
            let type = try #require(entry.array?[1].string)
            let value = try #require(entry.array?[2])
            let found = try #require(metadata[key], "\(key)")
            #expect(matches(found, type: type, value), "\(key): expected \(type) \(value.text(.compact)), found \(found)")
        }
        if let rope = variant.json["rope"]?.array {
            #expect(RoPEFactors.values(for: config) == rope.compactMap { $0.number.map { Float($0) } })
        } else {
            #expect(RoPEFactors.values(for: config) == nil || variant.json["parameters"]?.integer == 0)
        }
    }

    @Test func variantsAreThere() {
        #expect(Variant.all.count >= 80)
    }

    @Test func negativeIdsAreLeftOutWithAWarning() throws {
        let variant = try #require(Variant.all.first { $0.testDescription == "ids_neg_pad" })
        let (metadata, warnings, _) = try variant.build()
        #expect(metadata["tokenizer.ggml.padding_token_id"] == nil)
        #expect(warnings.contains { $0.contains("negative") })
    }

    @Test func vocabularyFromJSONIsPaddedToTheEmbedding() throws {
        let variant = try #require(Variant.all.first { $0.testDescription == "json_only_padded" })
        let (metadata, _, _) = try variant.build()
        #expect(metadata["tokenizer.ggml.tokens"]?.array?.count == 1032)
        #expect(metadata["tokenizer.ggml.tokens"]?.array?[1031] == .string("[PAD1031]"))
        #expect(metadata["tokenizer.ggml.scores"]?.array?[1031] == .f32(-10000))
        #expect(metadata["tokenizer.ggml.token_type"]?.array?[1031] == .i32(5))
    }

    private func matches(_ found: MetadataValue, type: String, _ expected: JSONValue) -> Bool {
        switch (type, found) {
        case ("string", .string(let text)): return Array(text.utf8) == Array((expected.string ?? "").utf8)
        case ("uint32", .u32(let value)): return expected.integer == Int(value)
        case ("int32", .i32(let value)): return expected.integer == Int(value)
        case ("float32", .f32(let value)): return expected.number.map { Float($0) } == value
        case ("bool", .bool(let value)): return expected.bool == value
        case (_, .array(let array)):
            let names: [MetadataType: String] = [.string: "string", .f32: "float32", .i32: "int32"]
            guard type == "array/" + (names[array.elementType] ?? "") else { return false }
            if let digest = expected["fnv"]?.string {
                return expected["count"]?.integer == array.count && array.digest == digest
            }
            return expected.array.map { $0.map { $0.string ?? "" } } == (0..<array.count).map { array[$0].string ?? "" }
        default: return false
        }
    }
}

/// The sample model's metadata, byte for byte as it stands in a file of the peer.
@Suite struct SampleMetadataTests {
    static let config: JSONValue = [
        "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 256,
        "intermediate_size": 512, "max_position_embeddings": 512, "model_type": "llama", "num_attention_heads": 8,
        "num_hidden_layers": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_scaling": nil,
        "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 1024,
    ]
    static let tokenizerConfig: JSONValue = [
        "add_bos_token": true, "add_eos_token": false, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "legacy": false, "model_max_length": 512, "tokenizer_class": "LlamaTokenizer",
    ]

    @Test func sampleGivesTheGoldenBytes() throws {
        let folder = try TemporaryFolder(named: "KJV-Llama-2.8M")
        try folder.write("config.json", Self.config)
        try folder.write("tokenizer_config.json", Self.tokenizerConfig)
        try folder.write("tokenizer.model", "@kjv.model")
        try folder.write("generation_config.json", ["bos_token_id": 1, "eos_token_id": 2, "max_length": 512])
        let built = try GGUFMetadataBuilder(
            config: modelConfig(Self.config), folder: ModelFolder(reading: folder.url.path), fileType: .f16,
            parameters: 2_754_816
        ).build()
        #expect(built.warnings.isEmpty)
        let expected = try Data(contentsOf: golden.appending(path: "kjv-f16.kv"))
        #expect(bytes(of: built.metadata) == Array(expected))
    }

    /// The key/value section of a GGUF file, little endian.
    private func bytes(of metadata: Metadata) -> [UInt8] {
        var out: [UInt8] = []
        func integer(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { out += $0 } }
        func string(_ text: String) {
            integer(UInt64(text.utf8.count))
            out += Array(text.utf8)
        }
        func scalar(_ value: MetadataValue) {
            switch value {
            case .u32(let value): integer(value)
            case .i32(let value): integer(value)
            case .f32(let value): integer(value.bitPattern)
            case .bool(let value): out.append(value ? 1 : 0)
            case .string(let text): string(text)
            default: Issue.record("no such type in this file")
            }
        }
        for (key, value) in metadata {
            string(key)
            integer(value.type.rawValue)
            if let array = value.array {
                integer(array.elementType.rawValue)
                integer(UInt64(array.count))
                for index in 0..<array.count { scalar(array[index]) }
            } else {
                scalar(value)
            }
        }
        return out
    }
}
