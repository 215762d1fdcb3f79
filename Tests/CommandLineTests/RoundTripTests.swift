// Every container and layout, there and back: every tensor bit for bit.

import Foundation
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: ["litgpt-tinyllama", "litgpt-early", "litgpt", "meta", "hf-llama"])
    func throughPyTorchAndGGUFGivesTheSameFile(layout: String) throws {
        let scratch = try Scratch()
        let lit = scratch.path("torch")
        #expect(try pannier("convert", sample, "-o", lit, "--to", "pytorch", "--layout", layout, "--no-sync").status == 0)
        #expect(try pannier("verify", lit, "--deep").status == 0)
        #expect(try pannier("convert", lit, "-o", scratch.path("m.gguf"), "--dtype", "f32", "--no-sync").status == 0)
        let back = try pannier("convert", scratch.path("m.gguf"), "-o", scratch.path("back"), "--dtype", "bf16", "--no-sync")
        #expect(back.status == 0, "\(back.errors)")
        #expect(
            try Data(contentsOf: URL(filePath: scratch.path("back/model.safetensors")))
                == Data(contentsOf: URL(filePath: sample + "/model.safetensors")))
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path("back"))
        #expect(Set(names).isSuperset(of: ["config.json", "tokenizer.model", "tokenizer_config.json"]))
    }

    @Test func ownPrecisionIsKeptWithoutAsking() throws {
        let scratch = try Scratch()
        #expect(try pannier("convert", sample, "-o", scratch.path("m.gguf"), "--no-sync").status == 0)
        #expect(try pannier("convert", scratch.path("m.gguf"), "-o", scratch.path("back"), "--no-sync").status == 0)
        #expect(
            try Data(contentsOf: URL(filePath: scratch.path("back/model.safetensors")))
                == Data(contentsOf: URL(filePath: sample + "/model.safetensors")))
    }

    @Test(arguments: ["safetensors", "pytorch"])
    func shardsHoldTheSameTensors(container: String) throws {
        let scratch = try Scratch()
        let made = try pannier(
            "convert", sample, "-o", scratch.path("s"), "--to", container, "--shard-size", "2MB", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path("s"))
        #expect(names.contains { $0.hasSuffix(".index.json") })
        #expect(names.count { $0.contains("-of-00003.") } == 3, "\(names)")
        #expect(try pannier("verify", scratch.path("s"), "--deep").status == 0)
        func digests(_ path: String) throws -> [String: String] {
            let tensors = try #require(try pannier("hash", path, "--json").json()["tensors"] as? [[String: Any]])
            return Dictionary(
                uniqueKeysWithValues: tensors.map { ($0["name"] as? String ?? "", $0["sha256"] as? String ?? "") })
        }
        #expect(try digests(scratch.path("s")) == digests(sample))
    }

    /// What is written with a table of one's own is read with it, by all commands that read a checkpoint.
    @Test func ownLayoutsAreReadToo() throws {
        let scratch = try Scratch()
        let table = try String(contentsOf: root.appending(path: "Formats/hf-llama/layout.json"), encoding: .utf8)
        let own = table.replacingOccurrences(of: "model.layers.{i}.", with: "blocks.{i}.")
            .replacingOccurrences(of: "hf-llama", with: "own")
        try own.write(to: scratch.url.appending(path: "own.json"), atomically: true, encoding: .utf8)
        let (mine, there) = (scratch.path("own.json"), scratch.path("own"))
        #expect(try pannier("convert", sample, "-o", there, "--layout", mine, "--to", "safetensors").status == 0)
        #expect(try pannier("convert", there, "-o", scratch.path("unknown")).status != 0)
        #expect(try pannier("convert", there, "-o", scratch.path("back"), "--source-layout", mine).status == 0)
        #expect(try pannier("diff", sample, scratch.path("back")).status == 0)
        #expect(try pannier("verify", there, "--layout", mine).status == 0)
        for (model, layout) in [(sample, []), (there, ["--layout", mine])] {
            let file = scratch.path(layout.isEmpty ? "a.gguf" : "b.gguf")
            #expect(try run(["quantize", model, "-o", file, "--type", "Q4_0"] + layout).status == 0)
            let text = try run(["run", model, "-p", "In the", "-n", "4", "--temperature", "0", "-q"] + layout)
            #expect(text.status == 0 && !text.output.isEmpty)
        }
        let digests = try ["a.gguf", "b.gguf"].map { name in
            try #require(try pannier("hash", scratch.path(name), "--json").json()["tensors"] as? [[String: Any]])
                .map { $0["sha256"] as? String }
        }
        #expect(digests[0] == digests[1])
        #expect(try pannier("convert", there, "-o", scratch.path("x"), "--layout", "keep", "--source-layout", mine).status == 64)
    }

    @Test func mergingASplitGivesTheSameFile() throws {
        let scratch = try Scratch()
        #expect(try pannier("convert", sample, "-o", scratch.path("m.gguf"), "--no-sync").status == 0)
        for limit in [["--max-size", "1MB"], ["--max-tensors", "7"]] {
            let split = try run(["split", scratch.path("m.gguf"), "-o", scratch.path("p"), "--force", "--no-sync"] + limit)
            #expect(split.status == 0, "\(split.errors)")
            let first = try #require(split.output.split(separator: "\n").first.map(String.init))
            #expect(try pannier("verify", first).status == 0)
            #expect(try pannier("merge", first, "-o", scratch.path("again.gguf"), "--force", "--no-sync").status == 0)
            #expect(
                try Data(contentsOf: URL(filePath: scratch.path("again.gguf")))
                    == Data(contentsOf: URL(filePath: scratch.path("m.gguf"))))
        }
    }

    @Test func quantizedBlocksAreDecodedWhenAsked() throws {
        let scratch = try Scratch()
        #expect(try pannier("quantize", sample, "-o", scratch.path("q.gguf"), "--type", "Q8_0", "--no-sync").status == 0)
        let made = try pannier(
            "convert", scratch.path("q.gguf"), "-o", scratch.path("x.bin"), "--dtype", "f32", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        let report = try pannier("inspect", scratch.path("x.bin"), "--json").json()
        #expect(report["container"] as? String == "pytorch")
        #expect(report["parameters"] as? Int == 2_754_816)
    }

    /// Weights of another model beside a GGUF in parts are none of its business, even where it may replace files.
    @Test func partsLeaveOtherModelsAlone() throws {
        let scratch = try Scratch()
        let other = Data("another model".utf8)
        try other.write(to: URL(filePath: scratch.path("model-other.safetensors")))
        let made = try pannier(
            "convert", sample, "-o", scratch.path("m.gguf"), "--shard-size", "2MB", "--force", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        #expect(scratch.names.contains { $0.hasPrefix("m-00001-of-") }, "\(scratch.names)")
        #expect(scratch.names.contains("model-other.safetensors"), "\(scratch.names)")
        #expect((try? Data(contentsOf: URL(filePath: scratch.path("model-other.safetensors")))) == other)
    }

    /// generation_config.json and tokenizer.model name different tokens, and the config none: the output names one pair.
    @Test func specialTokensAreTheSameInAllFiles() throws {
        let scratch = try Scratch()
        let source = scratch.path("lit")
        try FileManager.default.copyItem(atPath: sample + "-litgpt-tinyllama", toPath: source)
        try FileManager.default.removeItem(atPath: source + "/tokenizer_config.json")
        try Data(#"{"bos_token_id": 4, "eos_token_id": [5, 2]}"#.utf8).write(
            to: URL(filePath: source + "/generation_config.json"))
        let made = try pannier("convert", source, "-o", scratch.path("hf"), "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        func json(_ name: String) throws -> [String: Any] {
            let data = try Data(contentsOf: URL(filePath: scratch.path("hf/" + name)))
            return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        }
        let config = try json("config.json"), tokenizer = try json("tokenizer_config.json")
        #expect(config["bos_token_id"] as? Int == 4)
        #expect(config["eos_token_id"] as? [Int] == [5, 2])
        // The pieces 4 and 5 of the sample's tokenizer.model.
        #expect(tokenizer["bos_token"] as? String == "<0x01>")
        #expect(tokenizer["eos_token"] as? String == "<0x02>")
    }
}

/// A model's folder in Hugging Face's cache: what lies beside the weights is found from its root as from the snapshot.
@Suite struct HubCacheTests {
    private let scratch: Scratch
    /// The model's plain folder, of the repository's name.
    private let plain: String
    /// models--ORGANIZATION--NAME, with the same files.
    private let cache: String

    init() throws {
        scratch = try Scratch()
        let files = FileManager.default
        plain = scratch.path("KJV-Llama-2.8M")
        cache = scratch.path("models--someone--KJV-Llama-2.8M")
        try files.copyItem(atPath: sample, toPath: plain)
        try Data("{{ messages }}".utf8).write(to: URL(filePath: plain + "/chat_template.jinja"))
        try files.createDirectory(atPath: plain + "/additional_chat_templates", withIntermediateDirectories: true)
        try Data("{{ tools }}".utf8).write(to: URL(filePath: plain + "/additional_chat_templates/tool.jinja"))
        for folder in ["blobs", "refs", "snapshots/0ld", "snapshots/c0ffee/additional_chat_templates"] {
            try files.createDirectory(atPath: cache + "/" + folder, withIntermediateDirectories: true)
        }
        try Data("c0ffee".utf8).write(to: URL(filePath: cache + "/refs/main"))
        for (number, name) in try files.subpathsOfDirectory(atPath: plain).sorted().enumerated() {
            guard name != "additional_chat_templates" else { continue }
            try files.copyItem(atPath: plain + "/" + name, toPath: cache + "/blobs/\(number)")
            let up = String(repeating: "../", count: 2 + name.count { $0 == "/" })
            try files.createSymbolicLink(
                atPath: cache + "/snapshots/c0ffee/" + name, withDestinationPath: up + "blobs/\(number)")
        }
    }

    private func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: scratch.path(name))) }

    @Test func givesTheSameGGUF() throws {
        for (source, name) in [(plain, "plain.gguf"), (cache, "root.gguf"), (cache + "/snapshots/c0ffee", "snapshot.gguf")] {
            let made = try pannier("convert", source, "-o", scratch.path(name), "--no-sync")
            #expect(made.status == 0, "\(made.errors)")
            #expect(!made.errors.contains("tokenizer"), "\(made.errors)")
        }
        #expect(try bytes("root.gguf") == bytes("plain.gguf"))
        #expect(try bytes("snapshot.gguf") == bytes("plain.gguf"))
    }

    /// Whole folders, with what is made for them: tokenizer_config.json, and the name in Lit-GPT's config.
    @Test(arguments: ["hf-llama", "litgpt", "keep"])
    func givesTheSameFolder(layout: String) throws {
        for folder in [plain, cache + "/snapshots/c0ffee"] {
            try FileManager.default.removeItem(atPath: folder + "/tokenizer_config.json")
        }
        for (source, name) in [(plain, "from-plain"), (cache, "from-root")] {
            let made = try pannier("convert", source, "-o", scratch.path(name), "--layout", layout, "--no-sync")
            #expect(made.status == 0, "\(made.errors)")
        }
        let names = try FileManager.default.subpathsOfDirectory(atPath: scratch.path("from-plain")).sorted()
        #expect(try FileManager.default.subpathsOfDirectory(atPath: scratch.path("from-root")).sorted() == names)
        #expect(names.contains("tokenizer.model") && names.contains("additional_chat_templates/tool.jinja"), "\(names)")
        #expect(layout == "keep" || names.contains("tokenizer_config.json"), "\(names)")
        for name in names where name != "additional_chat_templates" {
            #expect(try bytes("from-root/" + name) == bytes("from-plain/" + name), "\(name)")
        }
    }

    @Test func hasATokenizer() throws {
        let expected = try pannier("tokenize", sample, "In the beginning")
        #expect(expected.status == 0)
        for path in [cache, cache + "/", cache + "/snapshots/c0ffee"] {
            let found = try pannier("tokenize", path, "In the beginning")
            #expect(found.status == 0, "\(found.errors)")
            #expect(found.output == expected.output)
        }
        // So has a folder whose only file is a GGUF.
        try FileManager.default.createDirectory(atPath: scratch.path("gguf"), withIntermediateDirectories: true)
        #expect(try pannier("convert", plain, "-o", scratch.path("gguf/x.gguf"), "--no-sync").status == 0)
        #expect(try pannier("tokenize", scratch.path("gguf"), "In the beginning").output == expected.output)
    }
}
