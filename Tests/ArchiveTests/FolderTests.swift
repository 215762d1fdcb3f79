// Steps that are folders: all of their files come out or none does, and what is called alike to people is kept apart.

import Archive
import Bytes
import Containers
import Foundation
import Tensors
import Testing

@Suite struct FolderTests {
    /// A step of two folders and a file, the second folder deeper than the first.
    private static let names = ["a/model.safetensors", "b/c/model.safetensors", "config.json"]

    private static func archive(in scratch: Scratch) throws -> (path: String, files: [Data]) {
        for folder in ["step-1/a", "step-1/b/c"] {
            try FileManager.default.createDirectory(at: scratch.url.appending(path: folder), withIntermediateDirectories: true)
        }
        var run = TrainingRun(seed: 9, elements: [700, 333, 25])
        var files = [run.safetensors()]
        run.advance()
        files += [run.safetensors(), Data("{}".utf8)]
        for (name, data) in zip(names, files) { try scratch.write(data, "step-1/" + name) }
        let path = scratch.path("run.pannier")
        try ArchiveWriter.create(path)
        let told = Locked<UInt64>(0)
        var total: UInt64 = 0
        let added = try ArchiveWriter.add(
            scratch.path("step-1"), to: path, options: ArchiveOptions(threads: 2),
            progress: { count in told.withValue { $0 += count } }, total: { total = $0 })
        #expect(total == added.bytes && told.withValue { $0 } == total)
        return (path, files)
    }

    /// Into nothing, and with --force into folders that are there.
    @Test(arguments: [false, true]) func nothingIsPublishedBeforeAllIsWhole(isThere: Bool) throws {
        let scratch = try Scratch()
        let (archive, files) = try Self.archive(in: scratch)
        // The last tensor of the second folder; behind it there is only the file at the top.
        let objects = try #require(try RecordSurgery(archive).record(0)["objects"] as? [[String: Any]])
        let chunks = try #require(objects[objects.count - 2]["chunks"] as? [[Any]])
        var bytes = try scratch.data("run.pannier")
        bytes[try #require(chunks[0][0] as? Int) + 20] ^= 1
        try scratch.write(bytes, "damaged.pannier")
        let out = scratch.path("out")
        if isThere {
            for folder in ["out/a", "out/b/c"] {
                try FileManager.default.createDirectory(
                    at: scratch.url.appending(path: folder), withIntermediateDirectories: true)
            }
        }
        let before = try FileManager.default.subpathsOfDirectory(atPath: scratch.url.path).sorted()
        let reader = try ArchiveReader(scratch.path("damaged.pannier")), options = OutputOptions(force: isThere, sync: false)
        #expect(throws: CheckpointError.self) {
            try reader.extract(reader.steps[0], to: out, options: options, threads: 2)
        }
        #expect(try FileManager.default.subpathsOfDirectory(atPath: scratch.url.path).sorted() == before)
        let kept = try reader.extract(reader.steps[0], to: out, options: options, keepDamaged: true, threads: 2)
        #expect(kept.damage.map(\.file) == [Self.names[1]])
        #expect(try scratch.data("out/" + Self.names[0]) == files[0])
        #expect(try scratch.data("out/" + Self.names[1]).count == files[1].count)

        // And what is whole comes out, over what is there.
        let sound = try ArchiveReader(archive)
        #expect(try sound.extract(sound.steps[0], to: out, options: OutputOptions(force: true), threads: 2).ok)
        for (name, data) in zip(Self.names, files) { #expect(try scratch.data("out/" + name) == data, "\(name)") }
        #expect(try Paths.list(out) == ["a", "b", "config.json"])
    }

    /// A file is not put in a folder's place, nor the other files in theirs.
    @Test func aFolderInAFilesPlaceIsSaidFirst() throws {
        let scratch = try Scratch()
        let (archive, _) = try Self.archive(in: scratch)
        for folder in ["out/a", "out/config.json"] {
            try FileManager.default.createDirectory(at: scratch.url.appending(path: folder), withIntermediateDirectories: true)
        }
        let reader = try ArchiveReader(archive)
        let error = #expect(throws: CheckpointError.self) {
            try reader.extract(
                reader.steps[0], to: scratch.path("out"), options: OutputOptions(force: true, sync: false), threads: 1)
        }
        #expect(error?.kind == .outputExists)
        #expect(try Paths.list(scratch.path("out")) == ["a", "config.json"])
        #expect(try Paths.list(scratch.path("out/a")) == [])
    }

    /// Each part of Meta's checkpoints has tensors of its own.
    @Test func modelParallelPartsAreStoredAsTensorsEach() throws {
        let scratch = try Scratch()
        let folder = scratch.path("llama-7")
        try Paths.makeFolders(folder)
        let plans = [
            try TensorPlan(name: "norm.weight", dtype: .f32, shape: #require(Shape([8]))),
            try TensorPlan(name: "layers.0.attention.wq.weight", dtype: .f32, shape: #require(Shape([4, 8]))),
        ]
        for part in 0..<2 {
            let writer = try PyTorchWriter(in: folder, name: "consolidated.0\(part).pth", tensors: plans)
            for (index, plan) in plans.enumerated() {
                let values = (0..<plan.shape.count).map { Float($0 + 1000 * index * part) }
                try values.withUnsafeBytes { try writer.write(tensor: index, at: 0, $0) }
            }
            try writer.finish()
        }
        #expect(try Containers.open(folder).files.count == 2)
        let archive = scratch.path("run.pannier")
        try ArchiveWriter.create(archive)
        _ = try ArchiveWriter.add(folder, to: archive, options: ArchiveOptions(threads: 1))
        let reader = try ArchiveReader(archive)
        #expect(try reader.contents(of: reader.steps[0]).tensors == 4)
        #expect(reader.verify(threads: 1).ok)
    }

    /// The system tells apart what is one text: "é", and "e" with an accent.
    @Test func namesAreBytes() throws {
        let scratch = try Scratch()
        let names = ["\u{e9}/x", "e\u{301}/x"], folder = scratch.path("step-3")
        for name in names {
            let path = Paths.join(folder, name)
            try Paths.makeFolders(Paths.parent(path))
            try OutputFile(creating: path).write(Array(name.utf8), at: 0)
        }
        let archive = scratch.path("run.pannier"), out = scratch.path("out")
        try ArchiveWriter.create(archive)
        _ = try ArchiveWriter.add(folder, to: archive, options: ArchiveOptions(threads: 1))
        let reader = try ArchiveReader(archive)
        #expect(try reader.extract(reader.steps[0], to: out, options: OutputOptions(sync: false), threads: 1).ok)
        ArchiveMounts.install()
        for name in names {
            for path in [Paths.join(out, name), Paths.join("\(archive):3", name)] {
                #expect(try File(path).contents(limit: 100) == Array(name.utf8), "\(path)")
            }
        }
    }

    /// A mark makes one character of the slash before it and of itself, which is a slash to the system all the same.
    @Test(arguments: ["../x", "..", "a/../x", "../\u{301}x", "a/../\u{301}x", "/x", "a//x", "./x"])
    func namesThatLeaveTheFolderAreRefused(name: String) throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeRecord(0) { $0["folder"] = true }
        try surgery.changeFile(0) { $0["name"] = name }
        try series.scratch.write(surgery.bytes, "n.pannier")
        let reader = try ArchiveReader(series.scratch.path("n.pannier"))
        let error = #expect(throws: CheckpointError.self) { try reader.contents(of: reader.steps[0]) }
        #expect(error?.kind == .malformed)
    }

    /// A record that calls a file and a folder the same, for a folder that is there.
    @Test(arguments: [false, true]) func aNameIsNotAFilesAndAFolders(isThere: Bool) throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeRecord(0) { record in
            let file = try #require((record["files"] as? [[String: Any]])?.first)
            record["folder"] = true
            record["files"] = ["a", "a/b"].map { name in file.merging(["name": name]) { $1 } }
        }
        try series.scratch.write(surgery.bytes, "n.pannier")
        let reader = try ArchiveReader(series.scratch.path("n.pannier")), out = series.scratch.path("out")
        if isThere { try Paths.makeFolders(out) }
        let before = try Paths.list(series.scratch.url.path)
        #expect(throws: CheckpointError.self) {
            try reader.extract(reader.steps[0], to: out, options: OutputOptions(sync: false), threads: 1)
        }
        #expect(try Paths.list(series.scratch.url.path) == before)
        if isThere { #expect(try Paths.list(out) == []) }
    }
}
