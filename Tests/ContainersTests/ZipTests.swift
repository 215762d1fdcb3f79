// Zip archives: what is refused, that truncation never passes, and that what is written is read back.

import Bytes
import Foundation
import HostileFiles
import Testing

extension BadZip: CustomTestStringConvertible {
    public var testDescription: String { name }
}

@Suite struct ZipReading {
    @Test(arguments: badZips)
    func wrongArchivesAreRefused(_ zip: BadZip) throws {
        try withFile(zip.bytes) { path in
            let error = #expect(throws: CheckpointError.self) { try ZipArchive(File(path)) }
            let fault = try #require(error)
            #expect(fault.exitStatus == 2)
            #expect(zip.message.isEmpty || fault.description.contains(zip.message), "\(fault)")
        }
    }

    @Test func soundArchivesAreRead() throws {
        var zip = TestZip(helloEntries())
        zip.comment = Array("a comment".utf8)
        zip.entries[0].flags = 8
        zip.entries[0].localCRC = 0
        zip.entries[0].localSize = 0
        zip.entries[0].after = descriptor("hello")
        zip.entries[1].localExtra = Array("FB".utf8) + Op.le(UInt16(3)) + [0x5A, 0x5A, 0x5A]
        try withFile(zip.bytes) { path in
            let archive = try ZipArchive(File(path))
            #expect(archive.entries.map(\.name) == ["a/x", "a/y"])
            let entry = try #require(archive["a/y"])
            #expect(try archive.contents(of: entry, limit: 100) == Array("world, more of it".utf8))
            #expect(throws: CheckpointError.self) { try archive.contents(of: entry, limit: 3) }
            try archive.entries.forEach(archive.verify)
        }
    }

    /// What torch.save writes for a storage beyond 4 GiB, here with small numbers: 32-bit sizes of 0, the size in the
    /// zip64 field, 0 for the stored size, and the header's own place.
    @Test func theSizesOfALargeEntryFollowItsData() throws {
        var zip = TestZip(helloEntries())
        let place = UInt64(30 + 3 + 5)
        zip.entries[1].flags = 8
        zip.entries[1].localCRC = 0
        zip.entries[1].localSize = 0
        var field: [UInt8] = Op.le(UInt16(1)) + Op.le(UInt16(24))
        for number in [17, 0, place] { field += Op.le(number) }
        zip.entries[1].localExtra = field
        var after: [UInt8] = Op.le(UInt32(0x0807_4B50)) + Op.le(CRC32(zip.entries[1].data).value)
        for _ in 0..<2 { after += Op.le(UInt64(17)) }
        zip.entries[1].after = after
        try withFile(zip.bytes) { path in
            let archive = try ZipArchive(File(path))
            try archive.entries.forEach(archive.verify)
        }
        zip.entries[1].localExtra = Op.le(UInt16(1)) + Op.le(UInt16(8)) + Op.le(UInt64(18))
        try withFile(zip.bytes) { path in
            #expect(throws: CheckpointError.self) { try ZipArchive(File(path)) }
        }
    }

    @Test func anArchiveWithoutChecksumsIsRead() throws {
        var zip = TestZip(helloEntries())
        for index in zip.entries.indices { zip.entries[index].crc = 0 }
        try withFile(zip.bytes) { path in
            let archive = try ZipArchive(File(path))
            #expect(!archive.hasChecksums)
            try archive.entries.forEach(archive.verify)
        }
    }

    @Test func aWrongChecksumIsFoundWhenAskedFor() throws {
        var zip = TestZip(helloEntries())
        zip.entries[1].crc = 1
        try withFile(zip.bytes) { path in
            let archive = try ZipArchive(File(path))
            try archive.verify(archive.entries[0])
            #expect(throws: CheckpointError.self) { try archive.verify(archive.entries[1]) }
            #expect(throws: CheckpointError.self) { try archive.contents(of: archive.entries[1], limit: 100) }
        }
    }

    @Test func noTruncationPasses() throws {
        let golden = ExpectedCheckpoint.folder
        for name in ["zip-plain", "stream-protocol2"] {
            let whole = try [UInt8](Data(contentsOf: golden.appendingPathComponent(name + ".pt")))
            for length in 0..<whole.count {
                let fault = try openingFault(Array(whole[..<length]))
                #expect(fault != nil, "\(name) of \(length) bytes")
            }
        }
    }

    @Test func noDamagedByteTraps() throws {
        let golden = ExpectedCheckpoint.folder
        for name in ["zip-plain", "stream-protocol2"] {
            let whole = try [UInt8](Data(contentsOf: golden.appendingPathComponent(name + ".pt")))
            for at in whole.indices {
                for value in [0xFF, whole[at] ^ 1] {
                    var copy = whole
                    copy[at] = value
                    _ = try openingFault(copy)
                }
            }
        }
    }
}

@Suite struct Checksums {
    @Test func knownValues() {
        #expect(CRC32(Array("123456789".utf8)).value == 0xCBF4_3926)
        #expect(CRC32([UInt8]()).value == 0)
        #expect(CRC32([0]).value == 0xD202_EF8D)
    }

    @Test func piecesJoinToTheWhole() {
        let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
        // Bit by bit, by the definition.
        var register: UInt32 = .max
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = register >> 1 ^ (register & 1 != 0 ? 0xEDB8_8320 : 0) }
        }
        #expect(CRC32(bytes).value == ~register)
        for cut in [0, 1, 15, 16, 63, 64, 65, 80, 1000, 4999, 5000] {
            var left = CRC32(Array(bytes[..<cut]))
            left.append(CRC32(Array(bytes[cut...])))
            #expect(left == CRC32(bytes), "cut at \(cut)")
        }
    }
}
