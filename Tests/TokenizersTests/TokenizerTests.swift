// The sample model's tokenizer against SentencePiece, and the tokenizer files against hostile bytes.

import Foundation
import Testing

import Bytes
import JSONText
import Tokenizers

/// The folder of the sample model and of this target's golden data.
let project = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
let sample = project.appendingPathComponent("Samples/KJV-Llama-2.8M").path
let golden = project.appendingPathComponent("Tests/TokenizersTests/Golden").path

@Suite struct TokenizerTests {
    @Test func matchesSentencePieceIdForId() throws {
        let tokenizer = try Tokenizer(path: sample)
        let cases = try #require(try JSONText.read(golden + "/tokenizer-cases.json")["kjv"]?.array)
        for entry in cases {
            let text = try #require(entry["text"]?.string)
            let ids = try #require(entry["ids"]?.array).compactMap(\.integer)
            #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
            #expect(tokenizer.decode(ids) == entry["decoded"]?.string, "\(text.debugDescription)")
        }
    }

    @Test func streamsCharactersWhoseBytesAreSpread() throws {
        let tokenizer = try Tokenizer(path: sample)
        let text = "🚀 naïve 日本"
        var stream = tokenizer.stream()
        var parts: [String] = []
        for id in tokenizer.encode(text) { parts.append(stream.append(id)) }
        #expect(parts.joined() + stream.finish() == text)
        #expect(parts.contains(""), "bytes are held back until their character is whole")
        #expect(parts.allSatisfy { !$0.contains("\u{fffd}") })
    }

    @Test func marksBytesThatNeverBecomeACharacter() throws {
        let tokenizer = try Tokenizer(path: sample)
        let start = try #require(tokenizer.id(of: "<0xF0>"))
        var stream = tokenizer.stream()
        #expect(stream.append(start) == "")
        #expect(stream.finish() == "\u{fffd}")
    }

    @Test func findsSpecialTokensOnlyWhenAsked() throws {
        let tokenizer = try Tokenizer(path: sample)
        #expect(tokenizer.bosID == 1)
        #expect(tokenizer.eosIDs == [2])
        #expect(tokenizer.addsBos)
        #expect(!tokenizer.encode("</s>").contains(2))
        #expect(tokenizer.encode("And</s>", special: true).last == 2)
        #expect(tokenizer.decode([2]) == "")
        #expect(tokenizer.decode([2], special: true) == "</s>")
    }

    /// However many tokens begin alike: the longest one, and of equal ones the first.
    @Test func findsTheLongestOfManySpecialTokens() throws {
        let stem = String(repeating: "a", count: 1000)
        let tokens = (0..<4000).map { "\(stem)b\($0)" } + ["a<", "a<b", "a<b>c", "<", "a<b"]
        let added = tokens.enumerated().map { #"{"id": \#($0.offset + 3), "content": "\#($0.element)", "special": true}"# }
        let tokenizer = try Self.tokenizer(
            json: """
                {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, ">": 2}, "merges": []},
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
                 "added_tokens": [\(added.joined(separator: ", "))]}
                """)
        let text = String(repeating: "a", count: 50_000)
        #expect(tokenizer.encode(text, special: true) == Array(repeating: 0, count: 50_000))
        #expect(tokenizer.encode(stem + "b12a<b>a<b>ca<", special: true) == [15, 4004, 2, 4005, 4003])
    }

    @Test func splitsWordsAsTheRegularExpressionsDo() throws {
        let cases = try #require(try JSONText.read(golden + "/word-splitting.json").array)
        #expect(cases.count == 150)
        for entry in cases {
            let text = try #require(entry["text"]?.string)
            for pattern in WordPattern.allCases {
                let words = entry[pattern.rawValue]?.array?.compactMap(\.string)
                #expect(
                    WordSplitter(text, pattern).map { Array($0.utf8) } == words?.map { Array($0.utf8) },
                    "\(pattern) \(text.debugDescription)")
            }
        }
    }

    private static let byteLevel = """
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5, "Ġ": 6, "Ġab": 7},
         "merges": ["b c", ["a", "b"], "Ġ ab", "a bc"]},
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
         "added_tokens": [{"id": 8, "content": "<|eot_id|>", "special": true}]}
        """

    /// One id far above all others would make a vocabulary of a gigabyte.
    @Test func idsLieNearEachOther() throws {
        func json(_ id: Int) -> String { Self.byteLevel.replacingOccurrences(of: "\"id\": 8", with: "\"id\": \(id)") }
        #expect(try Self.tokenizer(json: json(60_000)).count == 60_001)
        #expect(throws: CheckpointError.self) { try Self.tokenizer(json: json(4_000_000)) }
    }

    @Test func mergesByteLevelPairsInTheirOrder() throws {
        let tokenizer = try Self.tokenizer(json: Self.byteLevel)
        #expect(tokenizer.encode("abc") == [5])
        #expect(tokenizer.encode("ab ab") == [3, 7])
        #expect(tokenizer.encode("ab<|eot_id|>c", special: true) == [3, 8, 2])
        #expect(tokenizer.decode([3, 7]) == "ab ab")
        #expect(tokenizer.eosIDs == [8])
    }

    /// A token that is added to the vocabulary and no control token is part of the text: found whether asked for or not.
    @Test func findsAddedTokensInEveryText() throws {
        let json = Self.byteLevel.replacingOccurrences(
            of: "\"special\": true}", with: "\"special\": true}, {\"id\": 9, \"content\": \"<tool>\", \"special\": false}")
        let tokenizer = try Self.tokenizer(json: json)
        #expect(tokenizer.encode("ab<tool>c") == [3, 9, 2])
        #expect(tokenizer.encode("ab<tool>c<|eot_id|>", special: true) == [3, 9, 2, 8])
    }

    /// Tokens that take white space along, or are not found within a word; the ids are those of tokenizers 0.23.
    @Test(arguments: [
        ("b \u{a0}<L> c", [0, 15, 2, 1]), ("b <R> \n c<R>\u{a0}", [0, 2, 16, 1, 16]),
        (
            "word sword words word-word b_word",
            [17, 2, 3, 4, 5, 6, 7, 2, 4, 5, 6, 7, 3, 2, 17, 11, 17, 2, 0, 12, 4, 5, 6, 7]
        ),
        ("éword wordé", [13, 14, 4, 5, 6, 7, 2, 4, 5, 6, 7, 13, 14]), ("b <B>  c <B>", [0, 18, 1, 18]),
        (" <L><R> ", [15, 16]),
    ]) func treatsAddedTokensAsTheirFlagsSay(text: String, ids: [Int]) throws {
        let vocabulary = ["b", "c", "Ġ", "s", "w", "o", "r", "d", "Ċ", "Â", "ł", "-", "_", "Ã", "©"]
        let json = """
            {"model": {"type": "BPE", "merges": [],
              "vocab": {\(vocabulary.enumerated().map { "\"\($1)\": \($0)" }.joined(separator: ", "))}},
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
             "added_tokens": [{"id": 15, "content": "<L>", "lstrip": true}, {"id": 16, "content": "<R>", "rstrip": true},
              {"id": 17, "content": "word", "single_word": true},
              {"id": 18, "content": "<B>", "lstrip": true, "rstrip": true, "special": true}]}
            """
        #expect(try Self.tokenizer(json: json).encode(text, special: true) == ids)
    }

    /// As tokenizers 0.23 splits for SmolLM: numbers alone, then GPT-2's pattern on what lies between.
    @Test func splitsOffEveryNumberForSmolLM() throws {
        let words = { (text: String) in Array(WordSplitter(text, .smollm)) }
        #expect(words("123 4567") == ["1", "2", "3", " ", "4", "5", "6", "7"])
        #expect(words("a1 b  2c's  d") == ["a", "1", " b", "  ", "2", "c", "'s", " ", " d"])
        #expect(words("x²½\n\n7") == ["x", "²", "½", "\n\n", "7"])
        #expect(words("") == [])
        let json = { (steps: String) in
            Self.byteLevel.replacingOccurrences(
                of: #"{"type": "ByteLevel", "add_prefix_space": false}"#,
                with: #"{"type": "Sequence", "pretokenizers": [\#(steps), {"type": "ByteLevel", "add_prefix_space": false}]}"#)
        }
        #expect(try Self.tokenizer(json: json(#"{"type": "Digits", "individual_digits": true}"#)).title.contains("smollm"))
        #expect(throws: CheckpointError.self) {
            try Self.tokenizer(json: json(#"{"type": "Digits", "individual_digits": false}"#))
        }
    }

    /// Metaspace puts no space in front of a text that has one there; the older Prepend always does.
    @Test func aSpaceInFrontIsEnoughForMetaspace() throws {
        let model = #""model": {"type": "BPE", "vocab": {"▁": 0, "a": 1, "▁a": 2}, "merges": ["▁ a"]}"#
        let metaspace = try Self.tokenizer(
            json: """
                {\(model), "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}}
                """)
        #expect(metaspace.encode("a") == [2] && metaspace.encode(" a") == [2] && metaspace.encode("  a") == [0, 2])
        let prepend = try Self.tokenizer(
            json: """
                {\(model), "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                 {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}}
                """)
        #expect(prepend.encode("a") == [2] && prepend.encode(" a") == [0, 2])
    }

    /// Text is cut where no piece has the two characters side by side; what comes out is what merging all of it gives, spaces
    /// that stand within a piece included.
    @Test func mergesAsIfTheTextWereOne() throws {
        let vocabulary = ["▁", "a", "b", "c", "ab", "b▁", "b▁a", "▁c", "▁▁", "ca", "é", "aé"]
        let merges = [("b", "▁"), ("a", "b"), ("b▁", "a"), ("▁", "▁"), ("▁", "c"), ("c", "a"), ("a", "é")]
        let json = """
            {"model": {"type": "BPE", "byte_fallback": true,
              "vocab": {\(vocabulary.enumerated().map { "\"\($1)\": \($0)" }.joined(separator: ", "))},
              "merges": [\(merges.map { "\"\($0) \($1)\"" }.joined(separator: ", "))]},
             "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}}
            """
        let tokenizer = try Self.tokenizer(json: json)
        // Every text of up to six of these characters.
        var texts = [""]
        for _ in 0..<6 {
            texts = texts.flatMap { text in " abcé".map { text + String($0) } }
            for text in texts {
                var symbols = text.map { $0 == " " ? "▁" : String($0) }
                // The first pair of the list that is there, the leftmost of its kind, until there is none.
                while let (left, right) = merges.first(where: { pair in
                    zip(symbols, symbols.dropFirst()).contains { $0 == pair }
                }) {
                    let at = symbols.indices.first { symbols[$0] == left && symbols[$0 + 1] == right }!
                    symbols.replaceSubrange(at...at + 1, with: [left + right])
                }
                #expect(tokenizer.encode(text).map { vocabulary[$0] } == symbols, "\(text.debugDescription)")
            }
        }
    }

    @Test(arguments: [false, true]) func saysHowMuchOfALongTextIsDone(byteLevel: Bool) throws {
        let tokenizer = try byteLevel ? Self.tokenizer(json: Self.byteLevel) : Tokenizer(path: sample)
        let part = byteLevel ? "ab ab<|eot_id|>" : "and the earth</s> "
        let text = String(repeating: part, count: 40_000), whole = text.utf8.count
        for special in [false, true] {
            var done: [Int] = []
            let ids = tokenizer.encode(text, special: special) { done.append($0) }
            #expect(ids == tokenizer.encode(text, special: special))
            #expect(done == done.sorted() && done.last ?? 0 <= whole)
            #expect(done.count >= whole >> 17 && done.last ?? 0 > whole - whole / 4)
        }
    }

    @Test func saysThatABaseModelHasNoChatTemplate() throws {
        let tokenizer = try Tokenizer(path: sample)
        #expect(throws: CheckpointError.self) { try ChatTemplate(of: tokenizer) }
    }

    // MARK: Hostile files

    @Test func refusesEveryTruncationOfAModelFile() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: sample + "/tokenizer.model")))
        let whole = try SentencePieceModel(bytes)
        #expect(whole.pieces.count == 1024)
        #expect(whole.algorithm == .bpe)
        #expect(whole.byteFallback)
        for length in stride(from: 0, to: bytes.count, by: 7) {
            // Cut between two pieces it is a smaller model; anywhere else it is an error. Never a trap.
            if let model = try? SentencePieceModel(Array(bytes[..<length])) { #expect(model.pieces.count <= 1024) }
        }
    }

    @Test(arguments: [
        [], [0x0a], [0x0a, 0xff], [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        [0x00, 0x01], [0x0b, 0x0c], [0x0a, 0x03, 0x0a, 0x01, 0xff], [0x0a, 0x02, 0x18, 0x09],
        [0x0a, 0x05, 0x0a, 0x7f, 0x61, 0x61, 0x61], [0x12, 0x02, 0x18, 0x63],
    ] as [[UInt8]])
    func refusesMalformedProtocolBuffers(_ bytes: [UInt8]) {
        #expect(throws: CheckpointError.self) { try SentencePieceModel(bytes) }
    }

    @Test(arguments: [
        "{}", #"{"model": 3}"#, #"{"model": {"type": "Unigram", "vocab": []}}"#, #"{"model": {"type": "BPE"}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": -1}}}"#, #"{"model": {"type": "BPE", "vocab": {"a": 99999999999}}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": [{"content": "b"}]}"#,
    ])
    func refusesMalformedTokenizerFiles(_ json: String) {
        #expect(throws: CheckpointError.self) { try Self.tokenizer(json: json) }
    }

    static func tokenizer(json: String) throws -> Tokenizer {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(json.utf8).write(to: folder.appendingPathComponent("tokenizer.json"))
        return try Tokenizer(path: folder.path)
    }
}
