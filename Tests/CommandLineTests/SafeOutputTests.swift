// Output is the old file whole or the new one whole; what goes wrong has its exit status and leaves nothing behind.

import Foundation
import Testing

@Suite struct SafeOutputTests {
    @Test func anExistingOutputIsKeptWithoutForce() throws {
        let scratch = try Scratch()
        try Data("precious".utf8).write(to: scratch.url.appending(path: "x.gguf"))
        let made = try pannier("convert", sample, "-o", scratch.path("x.gguf"))
        #expect(made.status == 3)
        #expect(made.errors.contains("--force"))
        #expect(try Data(contentsOf: scratch.url.appending(path: "x.gguf")) == Data("precious".utf8))
        #expect(try pannier("convert", sample, "-o", scratch.path("x.gguf"), "--force").status == 0)
        #expect(scratch.names == ["x.gguf"])
    }

    @Test(arguments: ["same", "hard", "soft"])
    func anOutputThatIsAnInputIsRefused(kind: String) throws {
        let scratch = try Scratch()
        #expect(try pannier("convert", sample, "-o", scratch.path("m.gguf"), "--no-sync").status == 0)
        let before = try Data(contentsOf: scratch.url.appending(path: "m.gguf"))
        let manager = FileManager.default
        if kind == "hard" { try manager.linkItem(atPath: scratch.path("m.gguf"), toPath: scratch.path("o.gguf")) }
        if kind == "soft" {
            try manager.createSymbolicLink(atPath: scratch.path("o.gguf"), withDestinationPath: scratch.path("m.gguf"))
        }
        let output = kind == "same" ? "m.gguf" : "o.gguf"
        let made = try pannier(
            "convert", scratch.path("m.gguf"), "-o", scratch.path(output), "--dtype", "f16", "--force")
        #expect(made.status == 3, "\(made.errors)")
        #expect(try Data(contentsOf: scratch.url.appending(path: "m.gguf")) == before)
    }

    @Test(arguments: ["logits", "imatrix", "html", "svg", "matrix", "types", "config", "diff"])
    func noFileThatIsReadIsReplaced(kind: String) throws {
        let scratch = try Scratch()
        let text = try Data(contentsOf: root.appending(path: "Samples/heldout.txt")).prefix(4000)
        try text.write(to: scratch.url.appending(path: "t"))
        try Data("attn_v=q8_0".utf8).write(to: scratch.url.appending(path: "types.gguf"))
        try FileManager.default.copyItem(at: golden.appending(path: "imatrix.gguf"), to: scratch.url.appending(path: "m.gguf"))
        try FileManager.default.copyItem(atPath: sample, toPath: scratch.path("model"))
        let reading = ["--text", scratch.path("t"), "--force"]
        let quantizing = ["quantize", sample, "--type", "Q4_K_M", "--force"]
        let arguments =
            switch kind {
            case "logits": ["eval", sample, "--logits", scratch.path("t")] + reading
            case "imatrix": ["imatrix", sample, "-o", scratch.path("t")] + reading
            case "html", "svg": ["parity", sample, sample, "--\(kind)", scratch.path("t")] + reading
            case "matrix": quantizing + ["-o", scratch.path("m.gguf"), "--imatrix", scratch.path("m.gguf")]
            case "types": quantizing + ["-o", scratch.path("types.gguf"), "--tensor-type-file", scratch.path("types.gguf")]
            case "diff":
                ["diff", sample, scratch.path("model"), "--html", scratch.path("model/config.json"), "--force"]
            default: ["convert", scratch.path("model"), "-o", scratch.path("model"), "--to", "pytorch", "--force"]
            }
        func contents() throws -> [Data] {
            try ["t", "m.gguf", "types.gguf", "model/config.json", "model/tokenizer.model"].map {
                try Data(contentsOf: scratch.url.appending(path: $0))
            }
        }
        let before = try contents()
        let made = try run(arguments)
        #expect(made.status == 3, "\(made.errors)")
        #expect(made.errors.contains("one of the inputs"), "\(made.errors)")
        #expect(try contents() == before)
        #expect(scratch.names == ["m.gguf", "model", "t", "types.gguf"])
    }

    @Test func missingThingsEndInThree() throws {
        let scratch = try Scratch()
        #expect(try pannier("inspect", scratch.path("nothing.gguf")).status == 3)
        #expect(try pannier("convert", sample, "-o", scratch.path("no/such/folder/x.gguf")).status == 3)
        #expect(scratch.names.isEmpty)
    }

    @Test func aFullDiskLeavesNothing() throws {
        // A device that is always full stands in for the disk.
        let made = try pannier("convert", sample, "-o", "/dev/full")
        #expect(made.status == 3, "\(made.errors)")
    }

    @Test func badInputEndsInTwoAndWrongUsageInSixtyFour() throws {
        let scratch = try Scratch()
        try Data("not a checkpoint at all".utf8).write(to: scratch.url.appending(path: "x.bin"))
        let bad = try pannier("convert", scratch.path("x.bin"), "-o", scratch.path("y.gguf"))
        #expect(bad.status == 2)
        #expect(scratch.names == ["x.bin"])
        #expect(try pannier("convert", sample).status == 64)
        #expect(try pannier("quantize", sample, "-o", scratch.path("q.gguf"), "--type", "Q9_Z").status == 64)
        #expect(try pannier("frobnicate").status == 64)
    }

    @Test func verifyEndsInOneWhenSomethingIsWrong() throws {
        let wrong = try pannier("verify", sample, "--preset", "tinyllama-1.1b", "--json")
        #expect(wrong.status == 1)
        #expect(try wrong.json()["ok"] as? Bool == false)
        let right = try pannier("verify", sample, "--json")
        #expect(right.status == 0)
        #expect(try right.json()["ok"] as? Bool == true)
    }
}
