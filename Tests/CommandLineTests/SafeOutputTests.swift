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
