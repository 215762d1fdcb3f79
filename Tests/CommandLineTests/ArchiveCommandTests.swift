// pannier archive as other programs see it, and every command on checkpoints inside archives.

import Foundation
import Testing

@Suite struct ArchiveCommandTests {
    /// Four steps of the sample's training.
    private static let steps = root.appending(path: "Samples/Steps/run.pannier").path

    @Test func listSaysWhatIsThere() throws {
        let told = try pannier("archive", "list", Self.steps, "--json")
        #expect(told.status == 0)
        #expect(told.output.hasPrefix("{\n  \"schema\": \"pannier.archive.list/1\""))
        let steps = try #require(try told.json()["steps"] as? [[String: Any]])
        #expect(steps.map { $0["step"] as? Int } == [150, 300, 600, 900])
        #expect(steps.map { $0["tensors"] as? Int } == [31, 31, 31, 31])
        #expect(steps.map { ($0["relative"] as? Int ?? 0) > 0 } == [false, true, true, true])
    }

    @Test func everyStepOfTheSampleIsWhatWasStored() throws {
        let scratch = try Scratch()
        let sums = try String(contentsOf: root.appending(path: "Samples/Steps/SHA256SUMS"), encoding: .utf8)
        let lines = sums.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.count == 4)
        for line in lines {
            let step = line[1]
            #expect(try pannier("archive", "extract", Self.steps, step, "-o", scratch.path(step), "--no-sync").status == 0)
            #expect(try sha256(scratch.path(step)) == line[0])
        }
        let told = try pannier("archive", "verify", Self.steps, "--json")
        #expect(told.status == 0)
        #expect(try told.json()["ok"] as? Bool == true)
        #expect(try told.json()["sound_steps"] as? [Int] == [150, 300, 600, 900])
        let one = try pannier("archive", "verify", Self.steps, "600", "--json")
        #expect(try one.json()["sound_steps"] as? [Int] == [600])
        #expect(try pannier("archive", "verify", Self.steps, "601").status == 64)
    }

    @Test func aWholeArchiveIsATimeline() throws {
        let told = try pannier("diff", Self.steps, "--json")
        #expect(told.status == 1)
        let steps = try #require(try told.json()["steps"] as? [[String: Any]])
        #expect(steps.count == 4)
        let pair = try pannier("diff", Self.steps + ":150", Self.steps + ":900", "--json")
        #expect(pair.status == 1)
        let facts = try #require(try pair.json()["metadata"] as? [[String: Any]])
        #expect(facts.map { $0["key"] as? String } == ["iter_num", "step_count"])
        // The sample model is step 600, in another container and layout.
        #expect(try pannier("diff", Self.steps + ":600", sample).status == 0)
    }

    @Test func anArchiveIsNoCheckpointAndSaysSo() throws {
        for command in ["inspect", "verify"] {
            let told = try pannier(command, Self.steps)
            #expect(told.status == 2)
            #expect(told.errors.contains("an archive of checkpoints") && told.errors.contains("ARCHIVE:STEP"))
        }
    }

    /// What a command says and writes is the same for a checkpoint and for the same one inside an archive.
    @Test func everyCommandReadsInsideAnArchive() throws {
        let scratch = try Scratch()
        let archive = scratch.path("a.pannier")
        #expect(try pannier("archive", "create", archive, sample, "--step", "7", "--no-sync").status == 0)
        let inside = archive + ":7"
        let text = scratch.path("text.txt")
        try Data("In the beginning God created the heaven and the earth. And the earth was without form.".utf8)
            .write(to: URL(filePath: text))
        let commands = [
            ["inspect", "@", "--tensors", "--stats", "--json"], ["verify", "@", "--deep", "--json"], ["hash", "@", "--json"],
            ["diff", "@", sample, "-q"],
            ["run", "@", "-p", "In the", "-n", "4", "--temperature", "0"],
            ["tokenize", "@", "In the beginning", "--json"],
        ]
        for command in commands {
            let plain = try run(command.map { $0 == "@" ? sample : $0 })
            let stored = try run(command.map { $0 == "@" ? inside : $0 })
            #expect(plain.status == 0, "\(command): \(plain.errors)")
            #expect(stored.status == 0, "\(command): \(stored.errors)")
            #expect(Self.lasting(stored.output, inside) == Self.lasting(plain.output, sample), "\(command)")
        }
        for (name, command) in [
            ("k.gguf", ["convert", "@"]), ("k-lit.pth", ["convert", "@", "--to", "pytorch", "--layout", "litgpt"]),
            ("k-q4.gguf", ["quantize", "@", "--type", "Q4_K_M"]),
        ] {
            for (source, output) in [(sample, "plain-" + name), (inside, "stored-" + name)] {
                let told = try run(command.map { $0 == "@" ? source : $0 } + ["-o", scratch.path(output), "--no-sync"])
                #expect(told.status == 0, "\(told.errors)")
            }
            #expect(try sha256(scratch.path("plain-" + name)) == sha256(scratch.path("stored-" + name)), "\(name)")
        }
        let parity = try pannier("parity", inside, scratch.path("plain-k.gguf"), "--text", text, "--context", "16", "--json")
        #expect(parity.status == 0, "\(parity.errors)")
        #expect(try parity.json()["ok"] as? Bool == true)
        let scores = try [sample, inside].map { path in
            try pannier("eval", path, "--text", text, "--context", "16", "--json").json()["nll"] as? Double
        }
        #expect(scores[0] != nil && scores[0] == scores[1])
    }

    /// Without the path and what depends on the clock.
    private static func lasting(_ output: String, _ path: String) -> String {
        output.replacing(path, with: "@").split(separator: "\n")
            .filter { !$0.contains("_per_second") && !$0.contains("seconds") }.joined(separator: "\n")
    }

    @Test func listDrawsItsSteps() throws {
        let scratch = try Scratch()
        let files = ["--html", scratch.path("l.html"), "--svg", scratch.path("l.svg")]
        #expect(try run(["archive", "list", Self.steps] + files).status == 0)
        let drawing = try String(contentsOfFile: scratch.path("l.svg"), encoding: .utf8)
        for step in [150, 300, 600, 900] { #expect(drawing.contains(">step \(step)<")) }
        #expect(drawing.contains("%, alone<"))
        #expect(drawing.contains("%, against an earlier step<"))
        #expect(try String(contentsOfFile: scratch.path("l.html"), encoding: .utf8).hasPrefix("<!DOCTYPE html>"))
        #expect(try run(["archive", "list", Self.steps] + files).status == 3)
        #expect(try run(["archive", "list", Self.steps, "--force"] + files).status == 0)
        #expect(scratch.names == ["l.html", "l.svg"])
    }

    /// What is read inside an archive makes the archive an input.
    @Test func anArchiveIsNotOverwrittenByWhatIsReadInIt() throws {
        let scratch = try Scratch()
        let archive = scratch.path("a.pannier")
        try FileManager.default.copyItem(atPath: Self.steps, toPath: archive)
        let before = try sha256(archive)
        let commands = [
            ["diff", archive + ":150", archive + ":900", "--svg", archive], ["diff", archive, "--html", archive],
            ["convert", archive + ":600", "-o", archive, "--to", "gguf"],
            ["quantize", archive + ":600", "-o", archive, "--type", "Q8_0"],
            ["archive", "list", archive, "--svg", archive], ["archive", "extract", archive, "150", "-o", archive],
        ]
        for command in commands {
            #expect(try run(command + ["--force"]).status == 3, "\(command)")
            #expect(try sha256(archive) == before, "\(command)")
        }
        #expect(scratch.names == ["a.pannier"])
    }

    @Test func failedCreationLeavesNothing() throws {
        let scratch = try Scratch()
        #expect(try pannier("archive", "create", scratch.path("a.pannier"), scratch.path("nothing")).status == 3)
        #expect(scratch.names == [])
        try Data("text".utf8).write(to: scratch.url.appending(path: "x"))
        #expect(try pannier("archive", "create", scratch.path("a.pannier"), scratch.path("x"), "--no-sync").status == 0)
        #expect(try pannier("archive", "create", scratch.path("a.pannier"), scratch.path("x")).status == 3)
        #expect(try pannier("archive", "add", scratch.path("a.pannier"), scratch.path("x"), "--step", "0").status == 3)
        #expect(try pannier("archive", "extract", scratch.path("a.pannier"), "5").status == 64)
        #expect(try pannier("archive", "list", scratch.path("x")).status == 2)
        #expect(try pannier("archive", "extract", scratch.path("a.pannier"), "0", "-o", scratch.path("x")).status == 3)
        #expect(try pannier("diff", scratch.path("a.pannier")).status == 64)
        #expect(scratch.names == ["a.pannier", "x"])
    }

    @Test func aNameIsWantedForWhatIsExtracted() throws {
        let scratch = try Scratch()
        let told = try pannier("archive", "extract", Self.steps, "150", "-o", "-", in: scratch.url)
        #expect(told.status == 64)
        #expect(told.errors.contains("standard output"), "\(told.errors)")
        #expect(scratch.names == [])
    }

    /// Step 600 is in a file of number 2400.
    @Test func aNumberOutOfANameIsSaid() throws {
        let scratch = try Scratch()
        let named = try pannier("archive", "extract", Self.steps, "2400", "-o", scratch.path("a"), "--no-sync")
        #expect(named.status == 0 && named.errors.contains("step 600 is taken"), "\(named.errors)")
        let inside = try pannier("hash", Self.steps + ":2400")
        #expect(inside.status == 0 && inside.errors.contains("step 600 is taken"), "\(inside.errors)")
        let numbered = try pannier("archive", "extract", Self.steps, "600", "-o", scratch.path("b"), "--no-sync")
        #expect(numbered.status == 0 && !numbered.errors.contains("is taken"), "\(numbered.errors)")
        #expect(try sha256(scratch.path("a")) == sha256(scratch.path("b")))
        // Of what is left of a cut archive step 150 has the number 600 in its name.
        let cut = try Data(contentsOf: URL(filePath: Self.steps)).prefix(4_597_553)
        try cut.write(to: scratch.url.appending(path: "cut.pannier"))
        let lost = try pannier("archive", "extract", scratch.path("cut.pannier"), "600", "-o", scratch.path("c"))
        #expect(lost.status == 64, "\(lost.errors)")
        #expect(try pannier("inspect", scratch.path("cut.pannier:600")).status != 0)
        #expect(try pannier("archive", "extract", scratch.path("cut.pannier"), "150", "-o", scratch.path("d")).status == 0)
        #expect(scratch.names == ["a", "b", "cut.pannier", "d"])
    }

    /// Two links to the folder they lie in are two ways on at every depth.
    @Test(.timeLimit(.minutes(1))) func foldersWithoutAnEndAreLeftAtOnce() throws {
        let scratch = try Scratch()
        let folder = scratch.url.appending(path: "loop")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data("text".utf8).write(to: folder.appending(path: "x"))
        for name in ["a", "b"] {
            try FileManager.default.createSymbolicLink(
                atPath: folder.appending(path: name).path, withDestinationPath: ".")
        }
        let told = try pannier("archive", "create", scratch.path("a.pannier"), folder.path, "--no-sync")
        #expect(told.status == 3)
        #expect(told.errors.contains("too deep"), "\(told.errors)")
        #expect(scratch.names == ["loop"])
        // The way on may go through what is staged, which nobody has named.
        let within = try pannier("archive", "create", folder.path + "/a.pannier", folder.path, "--no-sync")
        #expect(within.status == 3)
        #expect(within.errors.contains(folder.path + ": folders lie too deep"), "\(within.errors)")
    }

    @Test func damageEndsInOneAndIsNamed() throws {
        let scratch = try Scratch()
        var bytes = try Data(contentsOf: URL(filePath: Self.steps))
        bytes[1_000_000] ^= 1
        try bytes.write(to: scratch.url.appending(path: "d.pannier"))
        let told = try pannier("archive", "verify", scratch.path("d.pannier"), "--json")
        #expect(told.status == 1)
        let damage = try #require(try told.json()["damage"] as? [[String: Any]])
        #expect(Set(damage.compactMap { $0["tensor"] as? String }).count == 1)
        #expect(try pannier("archive", "extract", scratch.path("d.pannier"), "150", "-o", scratch.path("x")).status == 2)
        #expect(scratch.names == ["d.pannier"])
        let kept = ["archive", "extract", scratch.path("d.pannier"), "150", "-o", scratch.path("x"), "--keep-damaged"]
        #expect(try run(kept).status == 1)
        #expect(scratch.names == ["d.pannier", "x"])
    }

    /// The state stands at the end of the file too.
    @Test(arguments: [0..<1088, 0..<4096, 512..<1088]) func aLostFirstPageEndsInOne(gap: Range<Int>) throws {
        let scratch = try Scratch()
        var bytes = try Data(contentsOf: URL(filePath: Self.steps))
        bytes.replaceSubrange(gap, with: Data(count: gap.count))
        try bytes.write(to: scratch.url.appending(path: "p.pannier"))
        let told = try pannier("archive", "verify", scratch.path("p.pannier"), "--json")
        #expect(told.status == 1)
        #expect(try told.json()["sound_steps"] as? [Int] == [150, 300, 600, 900])
        let out = scratch.path("x")
        #expect(try pannier("archive", "extract", scratch.path("p.pannier"), "900", "-o", out, "--no-sync").status == 0)
        #expect(try sha256(out) == "e4f3db6a555e2d1a2f5b938748414a5047f36fd60c90aebbcd7726eb4e71d363")
    }
}
