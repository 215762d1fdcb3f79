// Safe output: the old file or the new one, whole; nothing left behind; inputs never touched.

import Bytes
import Foundation
import Testing

@Suite struct StagedOutputTests {
    /// A folder that is gone when the test is.
    final class Scratch {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("pannier-test-\(UUID().uuidString)").path
        init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
        func path(_ name: String) -> String { path + "/" + name }
        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path(name)))
        }
        func text(_ name: String) -> String? {
            (try? Data(contentsOf: URL(fileURLWithPath: path(name)))).map { String(decoding: $0, as: UTF8.self) }
        }
        func names(_ name: String = "") -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: path(name))) ?? []).sorted()
        }
    }

    /// Creates a file in the staging folder.
    static func fill(_ staged: StagedOutput, _ name: String, _ text: String) throws {
        let file = try OutputFile(creating: staged.path(of: name), size: UInt64(text.utf8.count))
        try file.write(Array(text.utf8), at: 0)
    }

    func expect(_ kind: CheckpointError.Kind, _ body: () throws -> Void) {
        do {
            try body()
            Issue.record("nothing was thrown")
        } catch let error as CheckpointError {
            #expect(error.kind == kind, "\(error)")
            #expect(error.exitStatus == 3)
        } catch {
            Issue.record(error)
        }
    }

    @Test(arguments: [true, false]) func aFileAppearsWhenItIsPublished(sync: Bool) throws {
        let scratch = Scratch()
        let staged = try StagedOutput(file: scratch.path("out"), options: OutputOptions(sync: sync))
        try Self.fill(staged, "out", "new")
        #expect(scratch.text("out") == nil)
        try staged.publish()
        #expect(scratch.text("out") == "new")
        #expect(scratch.names() == ["out"])
    }

    @Test func whatIsNotPublishedGoes() throws {
        let scratch = Scratch()
        try scratch.write("out", "old")
        do {
            let staged = try StagedOutput(file: scratch.path("out"), options: OutputOptions(force: true))
            try Self.fill(staged, "out", "new")
            #expect(scratch.names().count == 2)
        }
        #expect(scratch.names() == ["out"])
        #expect(scratch.text("out") == "old")
    }

    /// Folders in folders go too, and a link goes alone.
    @Test func foldersThatAreNotPublishedGo() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path("mine"), withIntermediateDirectories: true)
        try scratch.write("mine/x", "text")
        do {
            let staged = try StagedOutput(folder: scratch.path("out"), options: OutputOptions())
            try Paths.makeFolders(staged.path(of: "a/b/c"))
            try Paths.makeFolders(staged.path(of: "d"))
            for name in ["top", "a/x", "a/b/c/y"] { try Self.fill(staged, name, "new") }
            for name in ["link", "a/b/link"] {
                try FileManager.default.createSymbolicLink(
                    atPath: staged.path(of: name), withDestinationPath: scratch.path("mine"))
            }
            withExtendedLifetime(staged) { #expect(scratch.names().count == 2) }
        }
        #expect(scratch.names() == ["mine"])
        #expect(scratch.text("mine/x") == "text")
    }

    /// An interruption removes the folders that are known, under a lock that it keeps to the end: while another holds it,
    /// no folder may be made, or one would stay behind that nobody knew of.
    @Test func aFolderIsMadeAndKnownInOneStep() {
        let scratch = Scratch(), path = scratch.path("out")
        let made = DispatchSemaphore(value: 0), seen = DispatchSemaphore(value: 0), gone = DispatchSemaphore(value: 0)
        Interruption.postponed {
            Thread.detachNewThread {
                do {
                    let staged = try? StagedOutput(file: path, options: OutputOptions())
                    made.signal()
                    withExtendedLifetime(staged) { seen.wait() }
                }
                gone.signal()
            }
            #expect(made.wait(timeout: .now() + 0.2) == .timedOut)
            #expect(scratch.names().isEmpty)
        }
        made.wait()
        #expect(scratch.names().count == 1)
        seen.signal()
        gone.wait()
        #expect(scratch.names().isEmpty)
    }

    @Test func existingOutputNeedsForce() throws {
        let scratch = Scratch()
        try scratch.write("out", "old")
        expect(.outputExists) { _ = try StagedOutput(file: scratch.path("out"), options: OutputOptions()) }
        #expect(scratch.names() == ["out"])
        let staged = try StagedOutput(file: scratch.path("out"), options: OutputOptions(force: true))
        try Self.fill(staged, "out", "new")
        #expect(scratch.text("out") == "old")
        try staged.publish()
        #expect(scratch.text("out") == "new")
    }

    /// Somebody else made the file while this program worked.
    @Test func outputThatAppearedMeanwhileIsKept() throws {
        let scratch = Scratch()
        let staged = try StagedOutput(file: scratch.path("out"), options: OutputOptions())
        try Self.fill(staged, "out", "new")
        try scratch.write("out", "theirs")
        expect(.outputExists) { try staged.publish() }
        #expect(scratch.text("out") == "theirs")
    }

    @Test func anInputIsNeverReplaced() throws {
        let scratch = Scratch()
        try scratch.write("in", "input")
        try FileManager.default.createDirectory(atPath: scratch.path("d"), withIntermediateDirectories: true)
        #expect(link(scratch.path("in"), scratch.path("hard")) == 0)
        #expect(link(scratch.path("in"), scratch.path("d/hard")) == 0)
        #expect(symlink("in", scratch.path("soft")) == 0)
        let identity = try #require(Paths.identity(scratch.path("in")))
        let options = OutputOptions(force: true, inputs: [identity])
        for name in ["in", "hard", "soft", "./d/../in"] {
            expect(.outputExists) { _ = try StagedOutput(file: scratch.path(name), options: options) }
        }
        let staged = try StagedOutput(folder: scratch.path("d"), options: options)
        expect(.outputExists) { try staged.check(["other", "hard"]) }
        try Self.fill(staged, "hard", "new")
        expect(.outputExists) { try staged.publish() }
        expect(.outputExists) { _ = try StagedOutput(files: ["hard"], in: scratch.path("d"), options: options) }
        #expect(scratch.text("in") == "input")
    }

    @Test func aLinkStaysAndItsTargetIsReplaced() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path("d"), withIntermediateDirectories: true)
        try scratch.write("d/target", "old")
        #expect(symlink("d/target", scratch.path("link")) == 0)
        let staged = try StagedOutput(file: scratch.path("link"), options: OutputOptions(force: true))
        try Self.fill(staged, Paths.name(staged.path), "new")
        try staged.publish()
        #expect(scratch.text("d/target") == "new")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: scratch.path("link")) == "d/target")
        #expect(scratch.names("d") == ["target"])
    }

    /// A link that leads nowhere is something that is there.
    @Test func aLinkThatLeadsNowhereNeedsForce() throws {
        let scratch = Scratch()
        #expect(symlink("nowhere", scratch.path("link")) == 0)
        expect(.outputExists) { _ = try StagedOutput(file: scratch.path("link"), options: OutputOptions()) }
        expect(.outputExists) { _ = try StagedOutput(folder: scratch.path("link"), options: OutputOptions()) }
        let staged = try StagedOutput(file: scratch.path("link"), options: OutputOptions(force: true))
        try Self.fill(staged, Paths.name(staged.path), "new")
        try staged.publish()
        #expect(scratch.text("link") == "new" && scratch.names() == ["link"])
    }

    @Test func placesThatCannotBe() throws {
        let scratch = Scratch()
        try scratch.write("file", "x")
        expect(.inputOutput) { _ = try StagedOutput(file: scratch.path("no/out"), options: OutputOptions()) }
        expect(.inputOutput) { _ = try StagedOutput(file: scratch.path("file/out"), options: OutputOptions()) }
        expect(.inputOutput) { _ = try StagedOutput(file: "", options: OutputOptions()) }
        expect(.outputExists) { _ = try StagedOutput(file: scratch.path, options: OutputOptions(force: true)) }
        expect(.outputExists) { _ = try StagedOutput(file: "/dev/null", options: OutputOptions(force: true)) }
        expect(.outputExists) { _ = try StagedOutput(folder: scratch.path("file"), options: OutputOptions(force: true)) }
        // A superuser may write anywhere.
        if geteuid() != 0 {
            #expect(chmod(scratch.path, 0o555) == 0)
            expect(.inputOutput) { _ = try StagedOutput(file: scratch.path("out"), options: OutputOptions()) }
            #expect(chmod(scratch.path, 0o755) == 0)
        }
        #expect(scratch.names() == ["file"])
    }

    @Test func aNewFolderAppearsWhole() throws {
        let scratch = Scratch()
        let staged = try StagedOutput(folder: scratch.path("model"), options: OutputOptions())
        try Self.fill(staged, "a", "1")
        try Self.fill(staged, "b", "2")
        #expect(scratch.names().count == 1 && !scratch.names().contains("model"))
        try staged.publish()
        #expect(scratch.names() == ["model"])
        #expect(scratch.names("model") == ["a", "b"])
        var status = stat()
        #expect(stat(scratch.path("model"), &status) == 0)
        let mask = umask(0)
        umask(mask)
        #expect(status.st_mode & 0o777 == 0o777 & ~mask)
    }

    @Test func aFolderThatHoldsSomethingNeedsForce() throws {
        let scratch = Scratch()
        let files = FileManager.default
        try files.createDirectory(atPath: scratch.path("empty"), withIntermediateDirectories: true)
        try files.createDirectory(atPath: scratch.path("model"), withIntermediateDirectories: true)
        for (name, text) in [("a", "old"), ("notes", "mine"), ("old-shard", "stale"), ("input", "input")] {
            try scratch.write("model/" + name, text)
        }
        let empty = try StagedOutput(folder: scratch.path("empty"), options: OutputOptions())
        try Self.fill(empty, "a", "1")
        try empty.publish()
        #expect(scratch.names("empty") == ["a"])

        expect(.outputExists) { _ = try StagedOutput(folder: scratch.path("model"), options: OutputOptions()) }
        let input = try #require(Paths.identity(scratch.path("model/input")))
        let staged = try StagedOutput(
            folder: scratch.path("model"), options: OutputOptions(force: true, inputs: [input]))
        try Self.fill(staged, "a", "new")
        try Self.fill(staged, "b", "new")
        try staged.publish { $0 == "old-shard" || $0 == "input" }
        #expect(scratch.names("model") == ["a", "b", "input", "notes"])
        #expect(scratch.text("model/a") == "new")
        #expect(scratch.names() == ["empty", "model"])
    }

    @Test func partsGoIntoAFolderThatIsThere() throws {
        let scratch = Scratch()
        try scratch.write("other", "x")
        let staged = try StagedOutput(files: ["p-1", "p-2"], in: scratch.path, options: OutputOptions())
        try Self.fill(staged, "p-1", "1")
        try Self.fill(staged, "p-2", "2")
        try staged.publish()
        #expect(scratch.names() == ["other", "p-1", "p-2"])
        expect(.outputExists) { _ = try StagedOutput(files: ["p-2"], in: scratch.path, options: OutputOptions()) }
    }

    /// A folder may be another disk's, to which nothing can be renamed from outside.
    @Test func filesAreStagedWithinAFolderThatIsThere() throws {
        let scratch = Scratch()
        for staged in [
            try StagedOutput(files: ["a"], in: scratch.path, options: OutputOptions()),
            try StagedOutput(folder: scratch.path, options: OutputOptions(force: true)),
        ] {
            #expect(Paths.identity(Paths.parent(staged.folder)) == Paths.identity(scratch.path))
        }
        #expect(scratch.names().isEmpty)
    }

    @Test func messagesNameTheFileAndNotItsStaging() throws {
        let scratch = Scratch()
        let file = try StagedOutput(file: scratch.path("out"), options: OutputOptions())
        let folder = try StagedOutput(folder: scratch.path("model"), options: OutputOptions())
        for (path, published) in [
            (file.path(of: "out"), "/out"), (folder.path(of: "weights"), "/model/weights"),
        ] {
            do {
                _ = try OutputFile(creating: path, size: 1 << 62)
                Issue.record("created")
            } catch let error as CheckpointError {
                #expect(error.file.map { Paths.name($0) } == Paths.name(published))
                #expect(error.file?.hasSuffix(published) == true, "\(error)")
                #expect(error.file?.contains("pannier-") == true && !error.description.contains(".pannier-"))
            }
        }
    }

    @Test func aFullDiskIsAnError() throws {
        // No disk has room for this.
        let scratch = Scratch()
        expect(.inputOutput) { _ = try OutputFile(creating: scratch.path("huge"), size: 1 << 62) }
        #expect(scratch.names().isEmpty)
        expect(.inputOutput) { _ = try OutputFile(creating: scratch.path("a/b"), size: 1) }
    }
}
