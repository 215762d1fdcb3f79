// Byte-level tokenizers on their way into a GGUF and back: every way of splitting text that is written can be run, and text has
// the same ids everywhere.

import Foundation
import Testing
import Tokenizers

@Suite struct PreTokenizerTests {
    private static let llama3 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// GPT-2's names of the 256 bytes by their values, and what the merges make of them.
    private static let merges = ["1 2", "12 3", "4 5", "Ġ 1", "' s", "a b"]
    private static let vocabulary: [String] =
        ByteLevelEncoding.names.map { String($0) } + merges.map { $0.replacingOccurrences(of: " ", with: "") }

    private static func steps(_ expressions: [String]) -> [String: Any] {
        let splits: [[String: Any]] = expressions.map {
            ["type": "Split", "pattern": ["Regex": $0], "behavior": "Isolated", "invert": false]
        }
        let last: [String: Any] = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": expressions.isEmpty]
        return ["type": "Sequence", "pretokenizers": splits + [last]]
    }

    /// The sample's weights with a byte-level tokenizer.
    private func folder(_ scratch: Scratch, _ preTokenizer: [String: Any]) throws -> String {
        let folder = scratch.url.appending(path: "model")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["config.json", "model.safetensors"] {
            try FileManager.default.copyItem(atPath: sample + "/" + name, toPath: folder.path + "/" + name)
        }
        let ids = Dictionary(uniqueKeysWithValues: Self.vocabulary.enumerated().map { ($1, $0) })
        let tokenizer: [String: Any] = [
            "version": "1.0", "added_tokens": [Any](), "pre_tokenizer": preTokenizer, "decoder": ["type": "ByteLevel"],
            "model": ["type": "BPE", "vocab": ids, "merges": Self.merges],
        ]
        try JSONSerialization.data(withJSONObject: tokenizer).write(to: folder.appending(path: "tokenizer.json"))
        return folder.path
    }

    private func ids(_ model: String, _ text: String) throws -> [Int] {
        let outcome = try pannier("tokenize", model, text, "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try #require(try outcome.json()["ids"] as? [Int])
    }

    /// Ids of "12345 ab's 1", which are llama.cpp's for the GGUF's name of the way.
    @Test(arguments: [
        ("llama-bpe", [257, 258, 32, 261, 260, 32, 49]), ("gpt-2", [257, 258, 32, 261, 260, 259]),
        ("smollm", [49, 50, 51, 52, 53, 32, 261, 260, 32, 49]), ("default", [257, 258, 32, 261, 39, 115, 32, 49]),
    ])
    func whatIsWrittenCanBeRun(name: String, expected: [Int]) throws {
        let ways: [String: [String: Any]] = [
            "llama-bpe": Self.steps([Self.llama3]), "gpt-2": Self.steps([]),
            "smollm": Self.steps([#"\p{N}"#, Self.gpt2]),
            "default": Self.steps([#"[\p{P}\$\+<=>\^~\|]+"#, Self.gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]"]),
        ]
        let scratch = try Scratch(), text = "12345 ab's 1"
        let folder = try self.folder(scratch, try #require(ways[name]))
        let made = try pannier("convert", folder, "-o", scratch.path("m.gguf"), "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        let back = try pannier("convert", scratch.path("m.gguf"), "-o", scratch.path("back"), "--no-sync")
        #expect(back.status == 0, "\(back.errors)")
        for model in [folder, scratch.path("m.gguf"), scratch.path("back")] { #expect(try ids(model, text) == expected) }
        let run = try pannier("run", scratch.path("m.gguf"), "-p", text, "-n", "1")
        #expect(run.status == 0, "\(run.errors)")
        // Splitting comes back by the same name.
        #expect(try pannier("convert", scratch.path("back"), "-o", scratch.path("again.gguf"), "--no-sync").status == 0)
        #expect(
            try pannier("inspect", scratch.path("again.gguf"), "--metadata").output
                .split(separator: "\n").contains { $0.contains("tokenizer.ggml.pre ") && $0.contains(name) })
    }

    /// A way that GGUF has no name for is refused where its ids are asked for. The GGUF says "default", with a warning, and
    /// is cut as llama.cpp cuts it.
    @Test func unknownWayIsWrittenAsDefault() throws {
        let scratch = try Scratch()
        let folder = try self.folder(scratch, Self.steps([#"\p{N}{1,3}"#, Self.gpt2]))
        #expect(try pannier("tokenize", folder, "ab").status == 2)
        let made = try pannier("convert", folder, "-o", scratch.path("m.gguf"), "--no-sync")
        #expect(made.status == 0 && made.errors.contains("default"), "\(made.errors)")
        #expect(try ids(scratch.path("m.gguf"), "12345 ab's 1") == [257, 258, 32, 261, 39, 115, 32, 49])
        #expect(try pannier("run", scratch.path("m.gguf"), "-p", "ab", "-n", "1").status == 0)
    }
}
