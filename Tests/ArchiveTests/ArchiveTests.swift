// Whole archives: what goes in comes out, what is equal is stored once, what is damaged is found and the rest saved.

import Archive
import Bytes
import Containers
import Foundation
import Tensors
import Testing

@Suite struct ArchiveTests {
    @Test(arguments: [false, true], [(version: UInt32(2), digests: true), (2, false), (3, true), (3, false)])
    func everyStepComesBackBitForBit(bf16: Bool, made: (version: UInt32, digests: Bool)) throws {
        let version = made.version
        let series = try Series(steps: 6, bf16: bf16, version: version, digests: made.digests)
        // An archive keeps its version, in the first page and both of its slots, whatever is added.
        let page = try series.scratch.data("run.pannier").prefix(4096)
        for place in [8, 512 + 48, 1024 + 48] { #expect(page[place] == UInt8(version)) }
        let reader = try ArchiveReader(series.archive)
        #expect(reader.steps.map(\.step) == [0, 100, 200, 300, 400, 500])
        #expect(reader.remarks.isEmpty)
        for (step, original) in zip(reader.steps, series.files) {
            let (data, report) = try series.extracted(reader, step)
            #expect(data == original)
            #expect(report.ok)
        }
        let report = reader.verify(threads: 2)
        #expect(report.ok)
        #expect(report.soundSteps.count == 6)
        // Later steps lean on earlier ones, three in a row at most, and are smaller for it.
        let contents = try reader.steps.map { try reader.contents(of: $0) }
        #expect(contents[0].relative == 0)
        #expect(contents[1].relative > 0 && contents[2].relative > 0)
        #expect(contents[3].relative == 0)
        #expect(contents[1].stored < contents[0].stored * 19 / 20)
        // The tensor that never changes is in the first step only.
        #expect(contents[3].stored < contents[0].stored)
    }

    @Test func equalCheckpointsAreStoredOnce() throws {
        let series = try Series(steps: 1)
        let again = try ArchiveWriter.add(
            series.scratch.path("step-0.safetensors"), to: series.archive, step: 7, options: ArchiveOptions(threads: 2))
        #expect(again.shared == UInt64(series.files[0].count))
        #expect(again.stored < 4096)
        let reader = try ArchiveReader(series.archive)
        #expect(try series.extracted(reader, #require(reader.step(named: "7"))).0 == series.files[0])
        // What adding reported is what a list says, of the last step and of one before others.
        #expect(try reader.contents(of: #require(reader.step(named: "7"))).stored == again.stored)
        let third = try ArchiveWriter.add(
            series.scratch.path("step-0.safetensors"), to: series.archive, step: 8, options: ArchiveOptions(threads: 2))
        let longer = try ArchiveReader(series.archive)
        #expect(try longer.steps.suffix(2).map { try longer.contents(of: $0).stored } == [again.stored, third.stored])
    }

    @Test func aFolderComesBackWithAllItsFiles() throws {
        let series = try Series(steps: 2)
        let folder = series.scratch.url.appending(path: "step-900")
        try FileManager.default.createDirectory(at: folder.appending(path: "deep/er"), withIntermediateDirectories: true)
        let files = [
            "model.safetensors": series.files[1], "config.json": Data("{\"a\": 1}".utf8), "empty": Data(),
            "deep/er/notes.txt": Data("some text".utf8),
        ]
        for (name, data) in files { try data.write(to: folder.appending(path: name)) }
        _ = try ArchiveWriter.add(folder.path, to: series.archive, options: ArchiveOptions(threads: 2))
        let reader = try ArchiveReader(series.archive)
        let step = try #require(reader.step(named: "900"))
        let out = series.scratch.path("out")
        #expect(try reader.extract(step, to: out, options: OutputOptions(sync: false), threads: 2).ok)
        for (name, data) in files { #expect(try Data(contentsOf: URL(filePath: out).appending(path: name)) == data) }
    }

    @Test func stepsAreReadInPlace() throws {
        let series = try Series(steps: 3)
        ArchiveMounts.install()
        for (step, original) in zip([0, 100, 200], series.files) {
            let path = "\(series.archive):\(step)"
            let file = try File(path)
            #expect(file.size == UInt64(original.count))
            #expect(try file.contents(limit: 1 << 30) == Array(original))
            #expect(try file.bytes(at: 1234, count: 4321) == Array(original[1234..<1234 + 4321]))
            #expect(throws: CheckpointError.self) { try file.bytes(at: file.size, count: 1) }
            let reader = try Containers.open(path)
            let plain = try Containers.open(series.scratch.path("step-\(step).safetensors"))
            #expect(reader.tensors.map(\.name) == plain.tensors.map(\.name))
            for (a, b) in zip(reader.tensors, plain.tensors) { #expect(try reader.readAll(a) == plain.readAll(b)) }
        }
        #expect(throws: CheckpointError.self) { try File("\(series.archive):55") }
        #expect(Paths.kind("\(series.archive):55") == .missing)
    }

    @Test(arguments: [true, false]) func damageIsFoundAndTheRestComesOut(digests: Bool) throws {
        let series = try Series(steps: 2, digests: digests)
        var bytes = try series.scratch.data("run.pannier")
        // A byte in the first tensor of the first step, on which the second step leans.
        bytes[6000] ^= 0x10
        try series.scratch.write(bytes, "damaged.pannier")
        let reader = try ArchiveReader(series.scratch.path("damaged.pannier"))
        let report = reader.verify(threads: 2)
        #expect(!report.ok)
        #expect(Set(report.damage.compactMap(\.tensor)).count == 1)
        let step = try #require(reader.step(named: "0"))
        #expect(throws: CheckpointError.self) { try series.extracted(reader, step) }
        let (data, kept) = try series.extracted(reader, step, keepDamaged: true)
        let lost = try #require(kept.damage.first)
        let gap = Int(lost.offset)..<Int(lost.offset + lost.count)
        #expect(data.count == series.files[0].count)
        for place in data.indices where !gap.contains(place) && data[place] != series.files[0][place] {
            Issue.record("byte \(place) outside the damage differs")
            break
        }
    }

    @Test func aDamagedFirstPageOrRecordIsGotRound() throws {
        let series = try Series(steps: 2)
        let whole = try series.scratch.data("run.pannier")
        func stepsLeft(_ bytes: Data) throws -> Int {
            try series.scratch.write(bytes, "x.pannier")
            let reader = try ArchiveReader(series.scratch.path("x.pannier"))
            return reader.verify(threads: 2).soundSteps.count
        }
        var bytes = whole
        bytes.replaceSubrange(512..<4096, with: Data(count: 4096 - 512))
        #expect(try stepsLeft(bytes) == 2)
        // Either slot alone: the newest, or the state before the last step was added.
        for slot in [512, 1024] {
            bytes = whole
            bytes[slot + 3] ^= 1
            #expect(try stepsLeft(bytes) >= 1)
        }
    }

    /// One byte flipped, anywhere: verifying says so or nothing was harmed, and all that was not hit comes out.
    @Test(arguments: [true, false]) func anyFlippedByteIsFoundAndHarmsOnlyItsPlace(digests: Bool) throws {
        let series = try Series(steps: 4, elements: [9000, 3333, 256], digests: digests)
        let whole = try series.scratch.data("run.pannier")
        var generator = SeededGenerator(state: 5)
        // The first page's words, the newest records at the end, and places all over.
        let special = [0, 7, 8, 11, 12, 511, 576, 1023, 1088, 4095] + stride(from: 512, to: 576, by: 5)
            + stride(from: 1024, to: 1088, by: 5) + stride(from: whole.count - 1500, to: whole.count, by: 41)
        let places = special + (0..<300).map { _ in Int.random(in: 0..<whole.count, using: &generator) }
        for place in places {
            var bytes = whole
            bytes[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
            try series.scratch.write(bytes, "f.pannier")
            let reader = try ArchiveReader(series.scratch.path("f.pannier"))
            let report = reader.verify(threads: 1)
            try #require(reader.steps.map(\.step) == [0, 100, 200, 300], "byte \(place) costs a step")
            for (step, original) in zip(reader.steps, series.files) {
                let (data, kept) = try series.extracted(reader, step, keepDamaged: true)
                if kept.ok {
                    #expect(data == original, "byte \(place)")
                } else {
                    #expect(!report.ok, "byte \(place)")
                    // One chunk of one tensor, which here is all of it.
                    #expect(Set(kept.damage.map(\.tensor)).count == 1, "byte \(place)")
                }
                let gaps = kept.damage.map { Int($0.offset)..<Int($0.offset + $0.count) }
                #expect(data.count == original.count)
                #expect(
                    !data.indices.contains { at in data[at] != original[at] && !gaps.contains { $0.contains(at) } },
                    "byte \(place)")
            }
        }
    }

    /// A second copy that is damaged costs nothing yet, and is said all the same.
    @Test func aDamagedCopyIsSaid() throws {
        let series = try Series(steps: 2)
        let whole = try series.scratch.data("run.pannier")
        // The slot at the end, the second copy of the directory before it, the first page's padding.
        for place in [whole.count - 10, whole.count - 70, 2000] {
            var bytes = whole
            bytes[place] ^= 4
            try series.scratch.write(bytes, "c.pannier")
            let report = try ArchiveReader(series.scratch.path("c.pannier")).verify(threads: 1)
            #expect(report.soundSteps == [0, 100])
            #expect(!report.ok, "byte \(place)")
        }
    }

    /// Cut anywhere, what was stored before the cut comes out.
    @Test func aTruncatedArchiveKeepsItsEarlierSteps() throws {
        let series = try Series(steps: 1, elements: [9000, 3333, 256])
        var ends = [try series.scratch.data("run.pannier").count]
        var run = TrainingRun(seed: 3, elements: [9000, 3333, 256])
        var files = series.files
        for step in 1..<5 {
            run.advance()
            files.append(run.safetensors())
            try series.scratch.write(files[step], "step-\(step * 100).safetensors")
            _ = try ArchiveWriter.add(
                series.scratch.path("step-\(step * 100).safetensors"), to: series.archive, options: ArchiveOptions(threads: 2))
            ends.append(try series.scratch.data("run.pannier").count)
        }
        let whole = try series.scratch.data("run.pannier")
        var generator = SeededGenerator(state: 8)
        let cuts = ends + ends.map { $0 - 1 } + (0..<40).map { _ in Int.random(in: ends[0]..<whole.count, using: &generator) }
        for cut in cuts {
            try series.scratch.write(whole.prefix(cut), "t.pannier")
            let complete = ends.count { $0 <= cut }
            guard complete > 0 else { continue }
            let reader = try ArchiveReader(series.scratch.path("t.pannier"))
            #expect(reader.steps.count >= complete, "cut at \(cut)")
            #expect(reader.verify(threads: 1).ok == (complete == 5), "cut at \(cut)")
            for (step, original) in zip(reader.steps, files).prefix(complete) {
                #expect(try series.extracted(reader, step).0 == original, "cut at \(cut)")
            }
        }
    }

    @Test(arguments: [true, false]) func hostileBytesEndInErrorsOnly(digests: Bool) throws {
        let series = try Series(steps: 2, elements: [700, 333, 25], digests: digests)
        let whole = try series.scratch.data("run.pannier")
        var generator = SeededGenerator(state: 11)
        for round in 0..<150 {
            var bytes = whole
            if round % 3 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator)) }
            for _ in 0..<Int.random(in: 1...8, using: &generator) where !bytes.isEmpty {
                let limit = round % 2 == 0 ? bytes.count : min(bytes.count, 1100)
                bytes[Int.random(in: 0..<limit, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            try series.scratch.write(bytes, "h.pannier")
            guard let reader = try? ArchiveReader(series.scratch.path("h.pannier")) else { continue }
            for step in reader.verify(threads: 1).soundSteps {
                // What it calls sound is what it was.
                let found = try #require(reader.step(named: "\(step)"))
                #expect(try series.extracted(reader, found).0 == series.files[step / 100])
            }
        }
    }

    /// Neither itself nor in a folder.
    @Test func anArchiveIsNotStoredInItself() throws {
        let series = try Series(steps: 1)
        let before = try series.scratch.data("run.pannier")
        for checkpoint in [series.archive, Paths.parent(series.archive)] {
            #expect(throws: CheckpointError.self) {
                try ArchiveWriter.add(checkpoint, to: series.archive, step: 7, options: ArchiveOptions(threads: 1))
            }
        }
        #expect(try series.scratch.data("run.pannier") == before)
    }

    @Test func existingNamesAndStepsAreRefused() throws {
        let series = try Series(steps: 1)
        #expect(throws: CheckpointError.self) { try ArchiveWriter.create(series.archive) }
        #expect(throws: CheckpointError.self) {
            try ArchiveWriter.add(
                series.scratch.path("step-0.safetensors"), to: series.archive, options: ArchiveOptions(threads: 1))
        }
        #expect(throws: CheckpointError.self) { try ArchiveReader(series.scratch.path("step-0.safetensors")) }
    }

    // MARK: Records that lie

    /// A size that nothing stored covers is refused before anything is made of it, wherever its pieces are.
    @Test(arguments: [0, 1]) func sizesThatNothingCoversAreRefused(record: Int) throws {
        let series = try Series(steps: 2, elements: [700, 333, 25])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeFile(1) { file in
            let size = 1 << 62
            file["size"] = size
            file["pieces"] = [[0, size, record, 0, 0]]
            file["digests"] = nil
        }
        let lying = series.scratch.path("lying.pannier"), out = series.scratch.path("out")
        try series.scratch.write(surgery.bytes, "lying.pannier")
        let reader = try ArchiveReader(lying)
        let error = #expect(throws: CheckpointError.self) { try reader.contents(of: reader.steps[1]) }
        #expect(error?.kind == .malformed && error?.message == "a file's piece lies beyond its object")
        for keepDamaged in [false, true] {
            #expect(throws: CheckpointError.self) {
                try reader.extract(
                    reader.steps[1], to: out, options: OutputOptions(sync: false), keepDamaged: keepDamaged, threads: 1)
            }
        }
        #expect(Paths.kind(out) == .missing)
        ArchiveMounts.install()
        #expect(throws: CheckpointError.self) { try File("\(lying):100") }
        #expect(reader.verify(threads: 1).soundSteps == [0])
    }

    @Test func sizesWithoutASumAreRefused() throws {
        let series = try Series(steps: 2, elements: [700, 333, 25])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeRecord(1) { record in
            record["folder"] = true
            record["files"] = (0..<3).map { number -> [String: Any] in
                let pieces = [[0, Int.max, 0, 0, 0]]
                return ["name": "f\(number)", "size": Int.max, "sha256": String(repeating: "0", count: 64), "pieces": pieces]
            }
        }
        try series.scratch.write(surgery.bytes, "sum.pannier")
        let reader = try ArchiveReader(series.scratch.path("sum.pannier"))
        let error = #expect(throws: CheckpointError.self) { try reader.contents(of: reader.steps[1]) }
        #expect(error?.message == "the sizes of a step's files are beyond what a disk can hold")
        let report = reader.verify(threads: 1)
        #expect(report.soundSteps == [0] && report.damage.count == 1)
    }

    @Test func noStepFollowsTheLastNumber() throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        try series.scratch.write(Data("some text".utf8), "plain.txt")
        let plain = series.scratch.path("plain.txt")
        _ = try ArchiveWriter.add(plain, to: series.archive, step: Int.max, options: ArchiveOptions(threads: 1))
        let error = #expect(throws: CheckpointError.self) {
            try ArchiveWriter.add(plain, to: series.archive, options: ArchiveOptions(threads: 1))
        }
        #expect(error?.kind == .usage && error?.remedy?.contains("--step") == true)
        _ = try ArchiveWriter.add(plain, to: series.archive, step: 5, options: ArchiveOptions(threads: 1))
        #expect(try ArchiveReader(series.archive).steps.map(\.step) == [0, 5, Int.max])
    }

    /// Its checksum is as it should be, and its sequence or end such that nothing can follow.
    @Test(arguments: [(0, UInt64.max), (5, UInt64.max), (5, 32_212_254_720), (5, 0), (5, 4096), (5, 5000)])
    func nothingIsAddedToAStateThatLies(field: Int, value: UInt64) throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeSlot { $0[field] = value }
        try series.scratch.write(surgery.bytes, "s.pannier")
        let error = #expect(throws: CheckpointError.self) {
            try ArchiveWriter.add(
                series.scratch.path("step-0.safetensors"), to: series.scratch.path("s.pannier"), step: 7,
                options: ArchiveOptions(threads: 1))
        }
        #expect(error?.kind == .malformed && error?.remedy != nil)
        #expect(try series.scratch.data("s.pannier") == surgery.bytes)
        guard value > UInt64(surgery.bytes.count) else { return }
        // All that is there comes out, and what is not is said.
        let reader = try ArchiveReader(series.scratch.path("s.pannier"))
        #expect(try series.extracted(reader, reader.steps[0]).0 == series.files[0])
        #expect(reader.verify(threads: 1).ok == (field == 0))
        #expect(reader.remarks.isEmpty == (field == 0))
    }

    /// A directory that names one record for two steps is not read; the state before it is.
    @Test(arguments: ["same", "crossed", "inside", "wide"]) func stepsDoNotShareARecord(how: String) throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeDirectory { steps in
            var second = steps[0]
            let offset = try #require(second["offset"] as? Int), copy = try #require(second["copy"] as? Int)
            second["step"] = 7
            switch how {
            case "same": break
            case "crossed":
                second["offset"] = copy
                second["copy"] = offset
            case "inside":
                second["offset"] = offset + 1
                second["copy"] = 10
                second["length"] = 5
            default: second["offset"] = UInt64.max
            }
            steps.append(second)
        }
        try series.scratch.write(surgery.bytes, "shared.pannier")
        let reader = try ArchiveReader(series.scratch.path("shared.pannier"))
        #expect(reader.steps.map(\.step) == [0])
        #expect(reader.remarks.count == 1 && reader.remarks[0].contains(how == "wide" ? "outside" : "overlap"))
        #expect(!reader.verify(threads: 1).ok)
    }

    @Test(arguments: ["", "a\0b"]) func namesThatNoFileHasAreRefused(name: String) throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        var directory = try RecordSurgery(series.archive), record = directory, file = directory
        try directory.changeDirectory { $0[0]["name"] = name }
        try series.scratch.write(directory.bytes, "n.pannier")
        #expect(try ArchiveReader(series.scratch.path("n.pannier")).remarks.count == 1)
        try record.changeRecord(0) { $0["name"] = name }
        try file.changeFile(0) { $0["name"] = name }
        for surgery in [record, file] {
            try series.scratch.write(surgery.bytes, "n.pannier")
            let reader = try ArchiveReader(series.scratch.path("n.pannier"))
            let error = #expect(throws: CheckpointError.self) { try reader.contents(of: reader.steps[0]) }
            #expect(error?.kind == .malformed)
        }
    }

    /// Small pieces of one chunk: what one decoding of it gave all of them is right, and so is what they say of damage.
    @Test(arguments: [true, false]) func manyPiecesOfOneChunkAreReadAlike(digests: Bool) throws {
        let series = try Series(steps: 2, elements: [9000, 3333, 256], digests: digests)
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeFile(1) { file in
            let pieces = try #require(file["pieces"] as? [[Any]])
            file["pieces"] = try pieces.flatMap { piece -> [[Any]] in
                let offset = try #require(piece[0] as? Int), count = try #require(piece[1] as? Int)
                let within = try #require(piece[4] as? Int)
                return stride(from: 0, to: count, by: 100).map { at -> [Any] in
                    var fields: [Any] = [offset + at, min(100, count - at), piece[2], piece[3], within + at]
                    fields += piece.dropFirst(5)
                    return fields
                }
            }
        }
        try series.scratch.write(surgery.bytes, "p.pannier")
        let reader = try ArchiveReader(series.scratch.path("p.pannier"))
        #expect(reader.verify(threads: 2).ok)
        #expect(try series.extracted(reader, reader.steps[1]).0 == series.files[1])
        // The first chunk that the second step brought.
        let objects = try #require(surgery.record(1)["objects"] as? [[String: Any]])
        let chunks = try #require(objects[0]["chunks"] as? [[Any]])
        let payload = try #require(chunks[0][0] as? Int), size = try #require(objects[0]["size"] as? Int)
        var bytes = surgery.bytes
        bytes[payload + 20] ^= 1
        try series.scratch.write(bytes, "q.pannier")
        let damaged = try ArchiveReader(series.scratch.path("q.pannier"))
        let found = damaged.verify(threads: 2)
        #expect(found.soundSteps == [0])
        #expect(found.damage.reduce(0) { $0 + Int($1.count) } == size)
        let (kept, report) = try series.extracted(damaged, damaged.steps[1], keepDamaged: true)
        var expected = series.files[1]
        for lost in report.damage {
            let gap = Int(lost.offset)..<Int(lost.offset + lost.count)
            expected.replaceSubrange(gap, with: Data(count: gap.count))
        }
        #expect(report.damage.count == found.damage.count)
        #expect(kept == expected)
    }

    /// Its name is there only when a step is.
    @Test func anArchiveWithoutAFirstStepLeavesNothing() throws {
        let scratch = try Scratch()
        let archive = scratch.path("a.pannier")
        try scratch.write(Data("some text".utf8), "x")
        func names() throws -> [String] { try Paths.list(scratch.url.path) }
        let error = #expect(throws: CheckpointError.self) {
            try ArchiveWriter.create(archive, sync: false) { hidden -> AddedStep in
                #expect(Paths.kind(archive) == .missing)
                return try ArchiveWriter.add(scratch.url.path, to: hidden, options: ArchiveOptions(threads: 1))
            }
        }
        // The folder to store had the archive in it.
        #expect(error?.kind == .outputExists && error?.file == archive)
        #expect(try names() == ["x"])
        let added = try ArchiveWriter.create(archive, sync: false) {
            try ArchiveWriter.add(scratch.path("x"), to: $0, options: ArchiveOptions(threads: 1))
        }
        #expect(added.step == 0)
        #expect(try names() == ["a.pannier", "x"])
        #expect(try ArchiveReader(archive).verify(threads: 1).soundSteps == [0])
    }

    @Test(arguments: [
        ("iter-001200-ckpt.pth", 1200), ("step-240k-503b", 240_000), ("checkpoint-500", 500), ("KJV-Llama-2.8M", nil),
        ("TinyLlama-1.1B-step-50K-105b", 50_000), ("model.f32.900.safetensors", 900), ("pytorch_model.bin", nil),
    ])
    func namesSayTheirStep(name: String, step: Int?) {
        #expect(StepName.step(of: name) == step)
    }
}
