// Files beside the weights that lie: refused with a message, or left out with a warning; never a trap.

import Bytes
import Foundation
import JSONText
import ModelFiles
import OrderedCollections
import Tensors
import Testing

@Suite struct HostileFilesTests {
    static let config = ModelConfig(layers: 1, hidden: 8, heads: 2, kvHeads: 1, ffn: 8, vocab: 1024)

    /// A byte-level tokenizer.json with two tokens and one added token, changed in one place.
    static func tokenizer(vocab: JSONValue = ["a": 0, "b": 1], added: JSONValue = [], merges: JSONValue = []) -> JSONValue {
        [
            "model": ["type": "BPE", "vocab": vocab, "merges": merges], "decoder": ["type": "ByteLevel"],
            "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false], "added_tokens": added,
        ]
    }

    private func build(_ files: [String: JSONValue], config: ModelConfig = config) throws -> (Metadata, [String]) {
        let folder = try TemporaryFolder()
        for (name, content) in files { try folder.write(name, content) }
        let built = try GGUFMetadataBuilder(
            config: config, folder: ModelFolder(reading: folder.url.path), fileType: .f16, parameters: 1
        ).build()
        return (built.metadata, built.warnings)
    }

    static let refused: [(String, [String: JSONValue])] = [
        ("an id beyond any vocabulary", ["tokenizer.json": tokenizer(vocab: ["a": 4_194_304])]),
        ("the largest id", ["tokenizer.json": tokenizer(vocab: ["a": 9_223_372_036_854_775_807])]),
        ("a negative id", ["tokenizer.json": tokenizer(vocab: ["a": -1])]),
        ("an id that is no integer", ["tokenizer.json": tokenizer(vocab: ["a": 0.5])]),
        ("an id that is text", ["tokenizer.json": tokenizer(vocab: ["a": "0"])]),
        ("two tokens with one id", ["tokenizer.json": tokenizer(vocab: ["a": 0, "b": 0])]),
        ("a vocabulary that is a list", ["tokenizer.json": tokenizer(vocab: [["a", 0]])]),
        ("more tokens than rows", ["tokenizer.json": tokenizer(vocab: ["a": 0, "b": 1024])]),
        ("an added token without content", ["tokenizer.json": tokenizer(added: [["id": 2]])]),
        ("an added token without id", ["tokenizer.json": tokenizer(added: [["content": "x"]])]),
        (
            "two added tokens with one id",
            ["tokenizer.json": tokenizer(added: [["id": 2, "content": "x"], ["id": 2, "content": "y"]])]
        ),
        ("a merge that is a number", ["tokenizer.json": tokenizer(merges: [1])]),
        ("a merge of three", ["tokenizer.json": tokenizer(merges: [["a", "b", "c"]])]),
        ("JSON that is none", ["tokenizer.json": "{"]),
        ("a config that is none", ["config.json": "nonsense", "tokenizer.model": "@kjv.model"]),
        ("a model that is none", ["tokenizer.model": "version https://git-lfs.github.com/spec/v1\n"]),
        ("an empty model", ["tokenizer.model": ""]),
        ("added tokens in a list", ["tokenizer.model": "@kjv.model", "added_tokens.json": ["x"]]),
        ("an added token with a negative id", ["tokenizer.model": "@kjv.model", "added_tokens.json": ["x": -1]]),
        ("an added token with a text for id", ["tokenizer.model": "@kjv.model", "added_tokens.json": ["x": "1"]]),
        (
            "an added token with a word for id",
            ["tokenizer.model": "@kjv.model", "tokenizer_config.json": ["added_tokens_decoder": ["x": ["content": "y"]]]]
        ),
        (
            "a decoder entry without content",
            ["tokenizer.model": "@kjv.model", "tokenizer_config.json": ["added_tokens_decoder": ["3": ["special": true]]]]
        ),
        (
            "a decoder entry with a negative id",
            ["tokenizer.model": "@kjv.model", "tokenizer_config.json": ["added_tokens_decoder": ["-3": ["content": "y"]]]]
        ),
    ]

    @Test(arguments: refused.map(\.0))
    func isRefused(_ name: String) throws {
        let files = try #require(Self.refused.first { $0.0 == name }?.1)
        #expect {
            _ = try build(files)
        } throws: {
            ($0 as? CheckpointError)?.kind == .malformed
        }
    }

    static let endured: [(String, [String: JSONValue])] = [
        ("ids far outside", ["tokenizer.model": "@kjv.model", "added_tokens.json": ["x": 9_223_372_036_854_775_807]]),
        ("special ids far outside", ["tokenizer.model": "@kjv.model", "config.json": ["bos_token_id": 4_294_967_296]]),
        ("special ids of other types", ["tokenizer.model": "@kjv.model", "config.json": ["bos_token_id": "1", "eos_token_id": 1.5]]),
        ("a config of other types", ["tokenizer.model": "@kjv.model", "tokenizer_config.json": ["bos_token": 5, "chat_template": 7, "add_bos_token": "x", "added_tokens_decoder": [1]]]),
        ("a config that is a list", ["tokenizer.model": "@kjv.model", "tokenizer_config.json": [1, 2]]),
        ("templates of other types", ["tokenizer.model": "@kjv.model", "tokenizer_config.json": ["chat_template": [1, ["name": 2], ["name": "", "template": "x"]]]]),
        ("damaged generation settings", ["tokenizer.model": "@kjv.model", "generation_config.json": "{]"]),
        ("generation settings of other types", ["tokenizer.model": "@kjv.model", "generation_config.json": ["top_k": 1e300, "temperature": "x", "top_p": [1]]]),
        ("no tokenizer at all", ["README.md": "---\nlicense: [\n---\n"]),
        ("a tokenizer of another kind", ["tokenizer.json": ["model": ["type": "WordPiece", "vocab": ["a": 0]]]]),
        ("a tokenizer.json that is a list", ["tokenizer.json": [1]]),
        ("an odd post-processor", ["tokenizer.json": [
            "model": ["type": "BPE", "vocab": ["a": 0], "merges": []], "decoder": ["type": "ByteLevel"],
            "post_processor": ["type": "TemplateProcessing", "single": [1, "x"], "pair": [["SpecialToken": 1]]],
            "normalizer": ["type": "Sequence", "normalizers": [["type": "Sequence"], 3]], "pre_tokenizer": 7,
            "added_tokens": "none",
        ]]),
    ]

    @Test(arguments: endured.map(\.0))
    func isEndured(_ name: String) throws {
        let files = try #require(Self.endured.first { $0.0 == name }?.1)
        let (metadata, _) = try build(files)
        #expect(metadata["general.architecture"] == .string("llama"))
        #expect(metadata["tokenizer.ggml.model"] != nil)
    }

    /// Without a tokenizer the file says so, which llama.cpp loads, and the person is told.
    @Test func noTokenizerIsSaid() throws {
        let (metadata, warnings) = try build([:])
        #expect(metadata["tokenizer.ggml.model"] == .string("none"))
        #expect(metadata["tokenizer.ggml.tokens"] == nil)
        #expect(metadata["llama.vocab_size"] == .u32(1024))
        #expect(warnings.count == 1)
    }

    /// Dimensions that do not fit in GGUF's 32 bits are refused, impossible vocabularies too.
    @Test func impossibleDimensionsAreRefused() {
        var config = Self.config
        config.context = 1 << 40
        #expect(throws: CheckpointError.self) { try build(["tokenizer.model": "@kjv.model"], config: config) }
        config = Self.config
        config.vocab = 1 << 30
        #expect(throws: CheckpointError.self) { try build(["tokenizer.model": "@kjv.model"], config: config) }
        config.vocab = -1
        #expect(throws: CheckpointError.self) { try build(["tokenizer.model": "@kjv.model"], config: config) }
    }

    /// A piece twice in different normal forms is two pieces: Llama's vocabulary has such.
    @Test func canonicallyEqualTokensStayApart() throws {
        let (metadata, _) = try build(
            ["tokenizer.json": Self.tokenizer(vocab: .object(JSONObject([(key: "\u{3AC}", value: 0), (key: "\u{1F71}", value: 1)])))])
        let tokens = try #require(metadata["tokenizer.ggml.tokens"]?.array)
        #expect(tokens[0].string.map { Array($0.unicodeScalars) } == ["\u{3AC}"])
        #expect(tokens[1].string.map { Array($0.unicodeScalars) } == ["\u{1F71}"])
    }

    /// Every prefix and many single-byte changes of the small files.
    @Test func damagedFilesDoNotTrap() throws {
        let config = Array(SampleMetadataTests.tokenizerConfig.text().utf8)
        let folder = try TemporaryFolder()
        try folder.write("tokenizer.model", "@kjv.model")
        let target = folder.url.appending(path: "tokenizer_config.json")
        for index in config.indices {
            for damaged in [Array(config[..<index]), config.enumerated().map { $0.offset == index ? $0.element ^ 0x10 : $0.element }] {
                try Data(damaged).write(to: target)
                _ = try? GGUFMetadataBuilder(
                    config: Self.config, folder: ModelFolder(reading: folder.url.path), fileType: .f16, parameters: 1
                ).build()
            }
        }
    }
}
