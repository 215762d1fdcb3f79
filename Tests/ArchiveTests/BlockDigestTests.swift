// Digests of blocks: which bytes they are of, what they prove, what a damaged or hostile record of them leads to.

import Archive
import Bytes
import Foundation
import Testing

@Suite struct BlockDigestTests {
    private static let chunk = 4 << 20
    /// f32: pieces of several chunks, of one, and small ones in a row.
    private static let elements = [2_600_000, 300_000, 600_000, 100, 5, 100_000]

    private static func digest(_ data: Data) -> Digest {
        var sha = SHA256()
        data.withUnsafeBytes { sha.add($0) }
        return sha.digest()
    }

    /// The bytes that each digest is of, from the sizes of a safetensors file's pieces: its begin, then its tensors.
    private static func parts(_ file: Data, _ elements: [Int]) -> [Range<Int>] {
        let header = 8 + file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let runs = ([header] + (elements + [5000]).map { 4 * $0 }).flatMap { piece in
            [Int](repeating: chunk, count: piece / chunk) + (piece % chunk > 0 ? [piece % chunk] : [])
        }
        var blocks: [Int] = []
        for run in runs {
            if let last = blocks.last, last + run <= chunk { blocks[blocks.count - 1] += run } else { blocks.append(run) }
        }
        var parts: [Range<Int>] = [], at = 0
        for block in blocks {
            let cuts = block < 1 << 20 ? [at, at + block] : [at, at + block / 2, at + block]
            parts += zip(cuts, cuts.dropFirst()).map { $0..<$1 }
            at += block
        }
        return parts
    }

    /// Without looking for the differences of megabytes when there are some.
    private static func isEqual(_ a: Data, _ b: Data) -> Bool { a == b }

    @Test func areOfTheBytesThatTheFormatSays() throws {
        let series = try Series(steps: 2, elements: Self.elements)
        let reader = try ArchiveReader(series.archive)
        for (step, file) in zip(reader.steps, series.files) {
            let parts = Self.parts(file, Self.elements)
            #expect(parts.last?.upperBound == file.count)
            #expect(parts.count == 9)
            let stored = try #require(reader.contents(of: step).files.first)
            #expect(stored.digests == parts.map { Self.digest(file[$0]) })
            #expect(stored.sha256 == Self.digest(file))
            #expect(try Self.isEqual(series.extracted(reader, step).0, file))
        }
        #expect(reader.verify(threads: 2).ok)
    }

    @Test func areLeftOutWhereNotWanted() throws {
        let series = try Series(steps: 1, digests: false)
        let reader = try ArchiveReader(series.archive)
        #expect(try reader.contents(of: reader.steps[0]).files.map(\.digests) == [nil])
    }

    /// Damage in a chunk that another step leans on is told as exactly that chunk of both, with digests of blocks and
    /// without, and everything else comes out.
    @Test(arguments: [true, false]) func aDamagedReferenceIsToldWhereItIs(digests: Bool) throws {
        let series = try Series(steps: 2, elements: Self.elements, digests: digests)
        let surgery = try RecordSurgery(series.archive)
        let objects = try #require(surgery.record(0)["objects"] as? [[String: Any]])
        let large = try #require(objects.first { ($0["size"] as? Int) == 4 * Self.elements[0] })
        let chunks = try #require(large["chunks"] as? [[Any]])
        #expect(chunks.count == 3)
        let header = 8 + Int(series.files[0].prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        for (index, place) in [(0, 0.5), (1, 0.001), (1, 0.999), (2, 0.0)] {
            let offset = try #require(chunks[index][0] as? Int), length = try #require(chunks[index][1] as? Int)
            var bytes = surgery.bytes
            bytes[offset + Int(Double(length) * place)] ^= 0x40
            try series.scratch.write(bytes, "d.pannier")
            let reader = try ArchiveReader(series.scratch.path("d.pannier"))
            let gap = header + index * Self.chunk..<header + min((index + 1) * Self.chunk, 4 * Self.elements[0])
            for (step, original) in zip(reader.steps, series.files) {
                let found = reader.verify(steps: [step], threads: 2)
                #expect(found.damage.map(\.tensor) == ["layer.0.weight"])
                #expect(found.damage.map(\.message) == ["a chunk of step 0 is damaged"])
                #expect(found.damage.map { Int($0.offset)..<Int($0.offset + $0.count) } == [gap])
                #expect(throws: CheckpointError.self) { try series.extracted(reader, step) }
                let (data, _) = try series.extracted(reader, step, keepDamaged: true)
                var expected = original
                expected.replaceSubrange(gap, with: Data(count: gap.count))
                #expect(Self.isEqual(data, expected))
            }
        }
    }

    /// Every digest alone: its bytes are told as others than the original's, and come out as they are.
    @Test func anotherDigestIsToldWhereItIs() throws {
        let series = try Series(steps: 2, elements: Self.elements)
        let parts = Self.parts(series.files[1], Self.elements)
        for (index, part) in parts.enumerated() {
            var surgery = try RecordSurgery(series.archive)
            try surgery.changeFile(1) { file in
                var digests = try #require(file["digests"] as? [String])
                digests[index] = String(digests[index].reversed())
                file["digests"] = digests
            }
            try series.scratch.write(surgery.bytes, "o.pannier")
            let reader = try ArchiveReader(series.scratch.path("o.pannier"))
            let report = reader.verify(threads: 2)
            #expect(report.soundSteps == [0])
            #expect(report.damage.map(\.step) == [100])
            #expect(report.damage.map(\.message) == ["the SHA-256 is not that of the original"])
            #expect(report.damage.map { Int($0.offset)..<Int($0.offset + $0.count) } == [part])
            #expect(try Self.isEqual(series.extracted(reader, reader.steps[1], keepDamaged: true).0, series.files[1]))
        }
    }

    /// Stored bytes on which none of the file's depend: `verify` says so, and all comes out.
    @Test(arguments: [true, false]) func damageThatChangesNothingIsFound(digests: Bool) throws {
        let series = try Series(steps: 1, elements: Self.elements, digests: digests)
        var surgery = try RecordSurgery(series.archive)
        // As good as another payload that decodes to the same: another checksum.
        try surgery.changeFirst("objects", of: 0) { object in
            var chunks = try #require(object["chunks"] as? [[Any]])
            chunks[0][2] = String(try #require(chunks[0][2] as? String).reversed())
            object["chunks"] = chunks
        }
        try series.scratch.write(surgery.bytes, "c.pannier")
        let reader = try ArchiveReader(series.scratch.path("c.pannier"))
        let report = reader.verify(threads: 2)
        // Without digests of its own a block is proven by those checksums.
        #expect(report.soundSteps == (digests ? [0] : []))
        #expect(report.damage.map(\.isLost) == [!digests])
        #expect(report.damage.allSatisfy { $0.message.hasPrefix("a chunk of step 0 is damaged") })
        guard digests else { return }
        let (bytes, extracted) = try series.extracted(reader, reader.steps[0])
        #expect(Self.isEqual(bytes, series.files[0]))
        #expect(extracted.ok)
    }

    /// Pieces that name each other's objects: every chunk is sound, and the file is another.
    @Test(arguments: [true, false]) func aWrongPieceIsFound(digests: Bool) throws {
        let series = try Series(steps: 1, elements: [70_000, 70_000, 256])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeFile(0) { file in
            var pieces = try #require(file["pieces"] as? [[Any]])
            let large = pieces.indices.filter { pieces[$0][1] as? Int == 280_000 }
            #expect(large.count == 2)
            (pieces[large[0]][3], pieces[large[1]][3]) = (pieces[large[1]][3], pieces[large[0]][3])
            file["pieces"] = pieces
            if !digests { file["digests"] = nil }
        }
        try series.scratch.write(surgery.bytes, "w.pannier")
        let report = try ArchiveReader(series.scratch.path("w.pannier")).verify(threads: 2)
        #expect(report.soundSteps.isEmpty)
        #expect(Set(report.damage.map(\.message)) == ["the SHA-256 is not that of the original"])
    }

    /// Records as programs wrote them that knew no digests of blocks are proven by that of the whole file.
    @Test func aRecordWithoutThemIsReadAsBefore() throws {
        let series = try Series(steps: 2, elements: Self.elements)
        for other in [false, true] {
            var surgery = try RecordSurgery(series.archive)
            try surgery.changeFile(1) { file in
                file["digests"] = nil
                if other { file["sha256"] = String(repeating: "0", count: 64) }
            }
            try series.scratch.write(surgery.bytes, "b.pannier")
            let reader = try ArchiveReader(series.scratch.path("b.pannier"))
            #expect(try reader.contents(of: reader.steps[1]).files[0].digests == nil)
            let report = reader.verify(threads: 2)
            #expect(report.soundSteps == (other ? [0] : [0, 100]))
            #expect(report.damage.map(\.message) == (other ? ["the SHA-256 is not that of the original"] : []))
        }
    }

    @Test(arguments: ["none", "fewer", "more", "short", "letters", "text", "number", "null"])
    func malformedOnesAreRefused(how: String) throws {
        // Blocks of the begin, of a chunk, of the rest.
        let series = try Series(steps: 2, elements: [1_100_000])
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeFile(1) { file in
            let digests = try #require(file["digests"] as? [String])
            #expect(digests.count == 4)
            file["digests"] =
                switch how {
                case "none": [String]()
                case "fewer": Array(digests.dropLast())
                case "more": digests + [digests[0]]
                case "short": Array(digests.dropLast()) + [String(digests[0].dropLast(2))]
                case "letters": Array(digests.dropLast()) + [String(repeating: "g", count: 64)]
                case "text": digests.joined()
                case "number": [Int](repeating: 7, count: digests.count)
                default: NSNull()
                }
        }
        try series.scratch.write(surgery.bytes, "m.pannier")
        let reader = try ArchiveReader(series.scratch.path("m.pannier"))
        let error = #expect(throws: CheckpointError.self) { try reader.contents(of: reader.steps[1]) }
        #expect(error?.kind == .malformed)
        #expect(error?.file?.hasSuffix("m.pannier") == true && error?.remedy != nil)
        let counts = ["none": ("1 or more", "0"), "fewer": ("4 or more", "3"), "more": ("4", "5")]
        #expect(error?.expected == counts[how]?.0 && error?.found == counts[how]?.1)
        // The step that leans on nothing of it is as it was.
        #expect(reader.verify(threads: 2).soundSteps == [0])
    }

    /// A size that no object has is no reason to count blocks.
    @Test(arguments: [0, 1, 5, nil]) func claimedSizesCostNothing(digests: Int?) throws {
        let series = try Series(steps: 1)
        var surgery = try RecordSurgery(series.archive)
        try surgery.changeFile(0) { file in
            let size = 1 << 62
            file["size"] = size
            file["pieces"] = [[0, size, 0, 0, 0]]
            file["digests"] = digests.map { [String](repeating: String(repeating: "0", count: 64), count: $0) }
        }
        try series.scratch.write(surgery.bytes, "c.pannier")
        let reader = try ArchiveReader(series.scratch.path("c.pannier"))
        let report = reader.verify(threads: 2)
        #expect(report.soundSteps.isEmpty && report.damage.count == 1)
        #expect(throws: CheckpointError.self) { try series.extracted(reader, reader.steps[0], keepDamaged: true) }
    }
}
