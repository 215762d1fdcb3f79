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
}
