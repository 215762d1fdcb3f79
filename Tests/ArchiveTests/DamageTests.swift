// What is lost of an archive is said as that and nothing else: no other step is taken for it, and what is left comes out.

import Archive
import Bytes
import Foundation
import Testing

@Suite struct DamageTests {
    // MARK: Steps

    /// Three steps, of which the first is called by the number of the last.
    private struct Numbered {
        let scratch: Scratch
        let archive: String
        /// Where the archive ended after each step.
        var ends: [Int] = []

        init() throws {
            scratch = try Scratch()
            archive = scratch.path("run.pannier")
            try ArchiveWriter.create(archive)
            for (step, name) in [(150, "iter-000600.txt"), (300, "iter-001200.txt"), (600, "iter-002400.txt")] {
                try scratch.write(Data("step \(step)".utf8), name)
                _ = try ArchiveWriter.add(scratch.path(name), to: archive, step: step, options: ArchiveOptions(threads: 1))
                ends.append(try scratch.data("run.pannier").count)
            }
        }
    }

    @Test func aStepIsNamedByItsNumberFirst() throws {
        let series = try Numbered()
        let reader = try ArchiveReader(series.archive)
        for (name, step, isSaid) in [
            ("600", 600, false), ("150", 150, false), ("iter-000600.txt", 150, false), ("2400", 600, true), ("1200", 300, true),
        ] {
            let found = try reader.existingStep(named: name)
            #expect(found.step == step, "\(name)")
            #expect((found.choice(named: name) != nil) == isSaid, "\(name)")
        }
        #expect(reader.step(named: "601") == nil)
    }

    /// Cut behind the first step, and behind the second with the last state's slot gone, so that nothing speaks of it.
    @Test(arguments: [0, 1]) func noOtherStepIsTakenForALostOne(left: Int) throws {
        let series = try Numbered()
        var bytes = try series.scratch.data("run.pannier").prefix(series.ends[left] + 10)
        if left == 1 { bytes.replaceSubrange(512..<576, with: Data(count: 64)) }
        try series.scratch.write(bytes, "cut.pannier")
        let cut = series.scratch.path("cut.pannier")
        let reader = try ArchiveReader(cut)
        #expect(reader.steps.map(\.step) == Array([150, 300].prefix(left + 1)))
        #expect(reader.step(named: "600") == nil)
        let error = #expect(throws: CheckpointError.self) { try reader.existingStep(named: "600") }
        #expect(error?.kind == .usage)
        #expect(reader.step(named: "150")?.step == 150 && reader.step(named: "iter-000600.txt")?.step == 150)
        #expect(!reader.verify(threads: 1).ok)
        ArchiveMounts.install()
        #expect(Paths.kind("\(cut):600") == .missing)
        #expect(Paths.kind("\(cut):150") == .file)
    }

    // MARK: The first page

    /// All of it, or its slots: the state is found at the end of the file, and adding writes the page anew.
    @Test(arguments: [0..<1088, 0..<4096, 0..<8, 512..<1088, 512..<576]) func aLostFirstPageIsGotRound(gap: Range<Int>) throws {
        let series = try Series(steps: 2, elements: [700, 333, 25])
        var bytes = try series.scratch.data("run.pannier")
        bytes.replaceSubrange(gap, with: Data(count: gap.count))
        try series.scratch.write(bytes, "p.pannier")
        let path = series.scratch.path("p.pannier")
        let reader = try ArchiveReader(path)
        #expect(!reader.remarks.isEmpty)
        let report = reader.verify(threads: 1)
        #expect(report.soundSteps == [0, 100])
        #expect(report.damage.map(\.message) == ["the first page is damaged; there is another copy"])
        #expect(report.damage.map(\.isLost) == [false])
        for (step, original) in zip(reader.steps, series.files) { #expect(try series.extracted(reader, step).0 == original) }
        ArchiveMounts.install()
        #expect(try File("\(path):100").contents(limit: 1 << 20) == Array(series.files[1]))

        _ = try ArchiveWriter.add(
            series.scratch.path("step-0.safetensors"), to: path, step: 7, options: ArchiveOptions(threads: 1))
        let longer = try ArchiveReader(path)
        #expect(longer.remarks.isEmpty)
        let after = longer.verify(threads: 1)
        #expect(after.ok && after.soundSteps == [0, 7, 100])
    }

    /// A slot counts only where its archive ends.
    @Test func otherFilesAreStillNoArchives() throws {
        let series = try Series(steps: 1, elements: [700, 333, 25])
        var bytes = try series.scratch.data("run.pannier")
        bytes.replaceSubrange(0..<4096, with: Data(count: 4096))
        var generator = SeededGenerator(state: 2)
        let noise = Data((0..<9000).map { _ in UInt8.random(in: 0...255, using: &generator) })
        let others: [Data] = [
            bytes + Data([0]), Data(bytes.dropLast()), Data(bytes.dropFirst(100)), Data(bytes.suffix(64)), noise,
            Data(count: 9000),
        ]
        for other in others {
            try series.scratch.write(other, "o.pannier")
            let error = #expect(throws: CheckpointError.self) { try ArchiveReader(series.scratch.path("o.pannier")) }
            #expect(error?.message == "the file is no Pannier archive")
        }
    }

    // MARK: References

    /// A word coded in the light of another needs the top bits of that only. Which steps come out is what `verify` says.
    @Test func aStepIsSoundWhenItsOwnBytesAre() throws {
        let series = try Series(steps: 2, elements: [70_000], distance: 0.01)
        let surgery = try RecordSurgery(series.archive)
        let objects = try #require(surgery.record(0)["objects"] as? [[String: Any]])
        let large = try #require(objects.first { ($0["size"] as? Int) == 280_000 })
        let chunk = try #require((large["chunks"] as? [[Any]])?.first)
        let offset = try #require(chunk[0] as? Int), length = try #require(chunk[1] as? Int)
        var spared = 0
        for part in 1..<12 {
            var bytes = surgery.bytes
            bytes[offset + length * part / 12] ^= 1
            try series.scratch.write(bytes, "d.pannier")
            let reader = try ArchiveReader(series.scratch.path("d.pannier"))
            let report = reader.verify(threads: 2)
            #expect(!report.ok && report.damage.count == 2, "part \(part)")
            #expect(report.damage.allSatisfy { $0.message.hasPrefix("a chunk of step 0 is damaged") }, "part \(part)")
            for (step, original) in zip(reader.steps, series.files) {
                let isSound = report.soundSteps.contains(step.step)
                #expect(report.damage.filter { $0.step == step.step }.map(\.isLost) == [!isSound], "part \(part)")
                let data = try? series.extracted(reader, step).0
                #expect((data != nil) == isSound, "step \(step.step), part \(part)")
                if let data { #expect(data == original, "step \(step.step), part \(part)") }
            }
            #expect(!report.soundSteps.contains(0))
            if report.soundSteps == [100] { spared += 1 }
        }
        #expect(spared > 0)
    }
}
