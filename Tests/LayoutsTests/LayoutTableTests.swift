// Layout tables are checked before they are believed: every way to write a wrong one has an answer.

import Bytes
import Foundation
import JSONText
import Layouts
import Tensors
import Testing

@Suite struct LayoutTables {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Formats").standardizedFileURL

    static func source(_ name: String = "gguf-llama") throws -> String {
        try String(contentsOf: folder.appending(path: "\(name)/layout.json"), encoding: .utf8)
    }

    @Test func everyTableInTheFolderIsEmbedded() throws {
        let files = FileManager.default
        let folders = try files.contentsOfDirectory(atPath: Self.folder.path)
        let tables = folders.filter { files.fileExists(atPath: Self.folder.appending(path: "\($0)/layout.json").path) }
        #expect(Set(tables) == Set(try Layouts.all().map(\.name)))
        for table in tables {
            #expect(files.fileExists(atPath: Self.folder.appending(path: "\(table)/README.md").path), "\(table)")
        }
        let presets = try files.contentsOfDirectory(atPath: Self.folder.appending(path: "presets").path)
            .filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }
        #expect(Set(presets) == Set(try Preset.all().map(\.name)))
    }

    @Test func aTableOfOnesOwnIsRead() throws {
        let text = try Self.source("litgpt").replacingOccurrences(of: "transformer.", with: "decoder.")
            .replacingOccurrences(of: "\"litgpt\"", with: "\"mine\"")
        let mine = try Layout(text: Array(text.utf8))
        let config = try Preset.named("kjv-llama-2.8m").config
        let match = try Layouts.recognise(storedTensors(mine, config), config: config, among: [mine])
        #expect(match.isComplete && match.layout.name == "mine")
    }

    @Test func rowsFusedByOnesOwnTableKeepTheirOrder() throws {
        // Gate and up in one tensor, and Q, K, V fused and permuted at once.
        let text = """
            {"schema": "pannier.layout/1", "name": "own", "title": "Own", "containers": ["safetensors"], "tell": "l.{i}.gu",
             "tensors": [
              {"name": "e", "rename": "token_embedding", "shape": ["vocab", "hidden"]},
              {"name": "l.{i}.n1", "rename": "attn_norm", "shape": ["hidden"]},
              {"name": "l.{i}.qkv", "fuse": ["attn_q", "attn_k", "attn_v"], "grouping": "interleaved", "permute_rope": true,
               "shape": ["head_dim * (heads + kv_heads + kv_heads)", "hidden"]},
              {"name": "l.{i}.o", "rename": "attn_output", "shape": ["hidden", "head_dim*heads"]},
              {"name": "l.{i}.n2", "rename": "ffn_norm", "shape": ["hidden"]},
              {"name": "l.{i}.gu", "fuse": ["ffn_up", "ffn_gate"], "grouping": "concatenated", "shape": ["2*ffn", "hidden"]},
              {"name": "l.{i}.d", "rename": "ffn_down", "shape": ["hidden", "ffn"]},
              {"name": "n", "rename": "output_norm", "shape": ["hidden"]},
              {"name": "o", "rename": "output", "shape": ["vocab", "hidden"], "tie": "token_embedding"}]}
            """
        let own = try Layout(text: Array(text.utf8))
        let config = ModelConfig(layers: 1, hidden: 8, heads: 4, kvHeads: 2, headDim: 4, ffn: 5, vocab: 3)
        let specs = try own.specs(for: config)
        let gateUp = try #require(specs.first { $0.name == "l.0.gu" })
        #expect(gateUp.shape.dimensions == [10, 8])
        #expect(gateUp.runs.map(\.role.role) == [.ffnUp, .ffnGate])
        let qkv = try #require(specs.first { $0.name == "l.0.qkv" })
        // The second group begins with query head 2: rows 8, 10, 9, 11 of Q.
        let second = qkv.runs.filter { $0.storedRow >= 16 && $0.storedRow < 20 }
        #expect(second.map(\.canonicalRow) == [8, 10])
        #expect(second.map(\.storedStep) == [2, 2])
        #expect(try Layouts.recognise(storedTensors(own, config), config: config, among: [own]).isComplete == true)
    }

    @Test(arguments: [
        ("\"pannier.layout/1\"", "\"pannier.layout/9\"", "version"),
        ("\"gguf-llama\"", "\"GGUF llama\"", "a-z"),
        ("\"name\": \"gguf-llama\"", "\"name\": 3", "text"),
        ("[\"gguf\"]", "[\"onnx\"]", "container"),
        ("[\"gguf\"]", "[]", "container"),
        ("\"tell\": \"blk.{i}.attn_q.weight\"", "\"tell\": \"blk\"", "telling"),
        ("\"drop\"", "\"dorp\"", "unknown key"),
        ("\"permute_rope\": true", "\"permute\": true", "unknown key"),
        ("\"permute_rope\": true", "\"permute_rope\": 1", "true or false"),
        (
            "\"blk.{i}.attn_norm.weight\", \"rename\"",
            "\"blk.{i}.attn_norm.weight\", \"permute_rope\": true, \"rename\"", "Q and K"
        ),
        ("\"rename\": \"ffn_up\"", "\"rename\": \"ffn_top\"", "unknown role"),
        ("\"rename\": \"ffn_up\"", "\"rename\": \"ffn_gate\"", "twice"),
        ("\"rename\": \"ffn_up\"", "\"rename\": \"ffn_up\", \"fuse\": [\"ffn_up\", \"ffn_gate\"]", "either"),
        (
            "\"rename\": \"ffn_up\"", "\"fuse\": [\"ffn_up\", \"ffn_down\"], \"grouping\": \"concatenated\"",
            "cannot be fused"
        ),
        ("\"rename\": \"ffn_up\"", "\"fuse\": [\"ffn_up\", \"ffn_gate\"]", "grouping"),
        ("\"rename\": \"ffn_up\"", "\"fuse\": [\"ffn_up\", \"ffn_gate\"], \"grouping\": \"interleaved\"", "Q, K and V"),
        ("\"rename\": \"ffn_up\"", "\"rename\": \"ffn_up\", \"tie\": \"token_embedding\"", "tied"),
        ("\"tie\": \"token_embedding\"", "\"tie\": \"output_norm\"", "tied"),
        ("blk.{i}.ffn_up.weight", "blk.{i}.ffn_gate.weight", "twice"),
        ("blk.{i}.ffn_up.weight", "blk.ffn_up.weight", "{i}"),
        ("blk.{i}.ffn_up.weight", "blk.{i}.{i}.weight", "{i}"),
        ("blk.{i}.ffn_up.weight", "blk{i}.ffn_up.weight", "{i}"),
        ("blk.{i}.ffn_up.weight", "blk.{j}.ffn_up.weight", "{i}"),
        ("blk.{i}.ffn_up.weight", "blk.7.{i}.ffn_up.weight", "layer"),
        ("blk.{i}.ffn_up.weight", "blk..{i}.ffn_up.weight", "empty"),
        ("blk.{i}.ffn_up.weight", "blk.{i}.ffn up", "ASCII"),
        ("token_embd.weight", "token_embd.{i}.weight", "{i}"),
        ("[\"hidden\", \"ffn\"]", "[\"ffn\", \"hidden\"]", "shape"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\"]", "shape"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"5632\"]", "shape"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"ffn\", 1]", "shape"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"ffn / 2\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"ffn - 1\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"99999999999999999999\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"0*ffn\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"(((((((((ffn)))))))))\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"(ffn\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", \"1048576*1048576*1048576*1048576\"]", "sum of products"),
        ("[\"hidden\", \"ffn\"]", "[\"hidden\", null]", "text"),
        ("\"drop\": [", "\"drop\": [\"\",", "text"),
        ("\"prefixes\": [", "\"prefixes\": [\".\"", "prefix"),
        ("\"prefixes\": [", "\"prefixes\": [\"model\"", "prefix"),
        ("\"configs\": [", "\"configs\": [\"passwd\"", "config"),
    ])
    func wrongTablesAreRefused(find: String, replace: String, message: String) throws {
        var text = try Self.source()
        if find.hasPrefix("\"configs") {
            text = text.replacingOccurrences(of: "\"prefixes\"", with: "\"configs\": [],\n  \"prefixes\"")
        }
        let range = try #require(text.range(of: find), "\(find)")
        text.replaceSubrange(range, with: replace)
        #expect { try Layout(text: Array(text.utf8), file: "mine.json") } throws: { error in
            guard let error = error as? CheckpointError else { return false }
            return error.file == "mine.json" && error.message.contains(message)
        }
    }

    @Test func aTableWithoutARoleIsRefused() throws {
        let lines = try Self.source().split(separator: "\n").filter { !$0.contains("ffn_up.bias") }
        #expect { try Layout(text: Array(lines.joined(separator: "\n").utf8)) } throws: {
            ($0 as? CheckpointError)?.expected == "ffn_up_bias"
        }
    }

    @Test func longExpressionsEndSoon() throws {
        let long = Array(repeating: "(hidden+ffn)", count: 16).joined(separator: "*")
        let text = try Self.source().replacingOccurrences(
            of: "[\"hidden\", \"ffn\"]", with: "[\"hidden\", \"\(long)\"]")
        #expect(throws: CheckpointError.self) { try Layout(text: Array(text.utf8)) }
    }

    @Test func impossibleConfigsAreRefusedNotExpanded() throws {
        let layout = try Layouts.named("gguf-llama")
        var configs: [ModelConfig] = []
        func vary(_ change: (inout ModelConfig) -> Void) throws {
            var config = try Preset.named("kjv-llama-2.8m").config
            change(&config)
            configs.append(config)
        }
        try vary { $0.layers = 1 << 20 }
        try vary { $0.layers = 0 }
        try vary { $0.layers = .max }
        try vary { $0.heads = 0 }
        try vary { $0.kvHeads = 0 }
        try vary { $0.kvHeads = 3 }
        try vary { $0.headDim = 31 }
        try vary { $0.headDim = -2 }
        try vary { $0.hidden = .min }
        try vary { $0.heads = 1 << 20 }
        try vary { $0.normEps = .nan }
        for config in configs {
            #expect(throws: CheckpointError.self) { try layout.specs(for: config) }
        }
        var biased = try Preset.named("kjv-llama-2.8m").config
        biased.qkvBias = true
        #expect { try Layouts.named("meta").specs(for: biased) } throws: {
            ($0 as? CheckpointError)?.message.contains("no place for attn_q_bias") == true
        }
    }

    @Test func unknownNamesListTheKnownOnes() throws {
        #expect { try Layouts.named("ggml") } throws: {
            ($0 as? CheckpointError)?.expected?.contains("gguf-llama") == true
        }
        #expect { try Preset.named("gpt-2") } throws: {
            ($0 as? CheckpointError)?.expected?.contains("tinyllama-1.1b") == true
        }
        #expect(try Preset.named("tiny_LLaMA_1b").name == "tinyllama-1.1b")
        #expect(try Preset.named("code-tinyllama-1b").config.ropeScaling == .linear(factor: 4))
        #expect(try Preset.named("code-tinyllama-1b").config.context == 8192)
    }
}
