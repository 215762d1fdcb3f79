// The names of ways to split text: what each means in a GGUF and in a tokenizer.json. Ids are those of
// llama-tokenize (llama.cpp 0.5.0) with the same vocabulary.

import Bytes
import JSONText
import OrderedCollections
import Tensors
import Testing
import Tokenizers

@Suite struct PreTokenizerTests {
    private static let merges = [
        "1 2", "12 3", "3 4", "4 5", "Ġ 1", "' s", "a b", "Ġ ab", ". .", "! '", "Ġ Ġ", "ĠĠ Ġ", "b c", "c d",
    ]

    /// GPT-2's names of the 256 bytes, the pieces that the merges make, a word that no merge makes, and a control token.
    private static let tokens: [String] =
        ByteLevelEncoding.names.map { String($0) } + merges.map { $0.filter { $0 != " " } } + ["abcd", "<|end|>"]

    private static func metadata(_ pre: String?, merges: [String] = merges) -> Metadata {
        var metadata: Metadata = [
            "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.tokens": .array(.strings(tokens)),
            "tokenizer.ggml.token_type": .array(.i32(tokens.map { $0 == "<|end|>" ? 3 : 1 })),
            "tokenizer.ggml.merges": .array(.strings(merges)), "tokenizer.ggml.bos_token_id": .u32(271),
            "tokenizer.ggml.eos_token_id": .u32(271),
        ]
        metadata["tokenizer.ggml.pre"] = pre.map(MetadataValue.string)
        return metadata
    }

    /// Ids of "12345 123", "a  ..! '", "ab's 'S" and "abcd 1" by the pattern that a name stands for.
    private static let ids: [String: [[Int]]] = [
        "default": [[257, 259, 32, 257], [97, 266, 264, 33, 32, 39], [262, 39, 115, 32, 39, 83], [262, 269, 32, 49]],
        "llama3": [[257, 259, 32, 257], [97, 32, 32, 264, 33, 32, 39], [262, 261, 32, 39, 83], [262, 269, 32, 49]],
        "qwen2": [
            [49, 50, 51, 52, 53, 32, 49, 50, 51], [97, 32, 32, 264, 33, 32, 39], [262, 261, 32, 39, 83],
            [262, 269, 32, 49],
        ],
        "gpt2": [[257, 259, 32, 257], [97, 32, 32, 264, 33, 32, 39], [262, 261, 32, 39, 83], [262, 269, 260]],
        "smollm": [
            [49, 50, 51, 52, 53, 32, 49, 50, 51], [97, 32, 32, 264, 33, 32, 39], [262, 261, 32, 39, 83],
            [262, 269, 32, 49],
        ],
    ]

    @Test(arguments: [
        ("default", "default"), ("", "default"), (nil, "default"), ("llama-bpe", "llama3"), ("llama3", "llama3"),
        ("llama-v3", "llama3"), ("smaug-bpe", "llama3"), ("qwen2", "qwen2"), ("deepseek-r1-qwen", "qwen2"),
        ("gpt-2", "gpt2"), ("smollm", "smollm"), ("minerva-7b", "smollm"),
    ] as [(String?, String)])
    func namesSplitAsTheyDoInThePeer(pre: String?, pattern: String) throws {
        let tokenizer = try Tokenizer(metadata: Self.metadata(pre))
        var expected = try #require(Self.ids[pattern])
        // Llama 3 takes a word whole that is a token, and has bos before a text; Smaug, which splits alike, does neither.
        let isLlama3 = pattern == "llama3" && pre != "smaug-bpe"
        if isLlama3 { expected[3] = [270, 32, 49] }
        #expect(["12345 123", "a  ..! '", "ab's 'S", "abcd 1"].map { tokenizer.encode($0) } == expected)
        #expect(tokenizer.addsBos == isLlama3)
        #expect(tokenizer.title.contains("(\(pattern))"))
    }

    @Test func nameThatIsNotKnownIsRefused() {
        for pre in ["deepseek-llm", "tekken", "nonsense"] {
            #expect { try Tokenizer(metadata: Self.metadata(pre)) } throws: {
                let error = $0 as? CheckpointError
                return error?.kind == .unsupported && error?.place == "tokenizer.ggml.pre" && error?.found == pre
            }
        }
    }

    @Test func noNameIsThereTwice() {
        let names = PreTokenizer.all.flatMap { [$0.name] + $0.aliases }
        #expect(Set(names).count == names.count)
        for way in PreTokenizer.all {
            for name in [way.name] + way.aliases { #expect(PreTokenizer.named(name)?.name == way.name) }
        }
        #expect(Set(PreTokenizer.all.compactMap(\.pattern)) == Set(WordPattern.allCases))
    }

    /// The same steps give the same name whether a tokenizer is read for its ids or for a GGUF; steps that only look alike give
    /// none.
    @Test func stepsAreComparedWhole() {
        func split(_ regex: String) -> JSONValue {
            ["type": "Split", "pattern": ["Regex": .string(regex)], "behavior": "Isolated", "invert": false]
        }
        func byteLevel(_ regex: Bool) -> JSONValue {
            ["type": "ByteLevel", "add_prefix_space": false, "use_regex": .bool(regex)]
        }
        func name(_ steps: [JSONValue]) -> String? {
            PreTokenizer.of(["type": "Sequence", "pretokenizers": .array(steps)])?.name
        }
        for way in PreTokenizer.all where way.name != "smaug-bpe" {
            #expect(name(way.expressions.map(split) + [byteLevel(false)]) == way.name)
        }
        let llama3 = PreTokenizer.all[0].expressions[0]
        let digits: JSONValue = ["type": "Digits", "individual_digits": true]
        #expect(PreTokenizer.of(byteLevel(true))?.name == "gpt-2")
        #expect(name([digits, byteLevel(true)]) == "smollm")
        #expect(name([split(llama3), byteLevel(true)]) == nil)
        #expect(name([split(llama3 + "|x"), byteLevel(false)]) == nil)
        #expect(name([split(llama3)]) == nil)
        #expect(name([byteLevel(false)]) == nil)
        #expect(name([byteLevel(true), digits]) == nil)
        #expect(name([["type": "Punctuation"], byteLevel(true)]) == nil)
        #expect(PreTokenizer.of(nil) == nil)
    }

    /// A space in front is part of the left half; one before a combining mark divides like any other.
    @Test func mergesAreDividedAtTheFirstSpaceThatIsNotInFront() {
        func halves(_ text: String) -> [String]? { splitMerge(text).map { [$0.left, $0.right] } }
        #expect(halves("a b") == ["a", "b"])
        #expect(halves("  b") == [" ", "b"])
        #expect(halves("a b c") == ["a", "b c"])
        #expect(halves(" b") == nil && halves("ab") == nil && halves("") == nil)
        #expect(halves("a \u{308}")?.map { Array($0.utf8) } == [[0x61], [0xcc, 0x88]])
    }

    @Test func bytesAreFoundByTheirNames() {
        #expect(SentencePieceBytes.byte(of: "<0x0A>") == 10)
        for piece in ["<0x+1>", "<0x1>", "<0xGG>", "<0x0A", "", "<0x００>"] {
            #expect(SentencePieceBytes.byte(of: piece) == nil, "\(piece)")
        }
        for byte in UInt8.min...UInt8.max {
            #expect(SentencePieceBytes.byte(of: SentencePieceBytes.piece(for: byte)) == byte)
        }
    }
}
