// Records of an archive read and changed from outside, after Docs/ArchiveFormat.md: what no program writes, with all
// checksums as they should be.

import CKernels
import CZstd
import Foundation
import Testing

/// The bytes of an archive.
struct RecordSurgery {
    private(set) var bytes: Data

    init(_ path: String) throws { bytes = try Data(contentsOf: URL(filePath: path)) }

    /// The record of a step, counted in order of adding.
    func record(_ ordinal: Int) throws -> [String: Any] {
        let steps = try #require(try unpack(slot()[1], slot()[3])["steps"] as? [[String: Any]])
        let entry = steps[ordinal]
        return try unpack(
            #require((entry["offset"] as? NSNumber)?.uint64Value), #require((entry["length"] as? NSNumber)?.uint64Value))
    }

    /// Changes the first file of a step.
    mutating func changeFile(_ ordinal: Int, _ change: (inout [String: Any]) throws -> Void) throws {
        try changeFirst("files", of: ordinal, change)
    }

    /// Changes the first of a step's files or objects.
    mutating func changeFirst(_ list: String, of ordinal: Int, _ change: (inout [String: Any]) throws -> Void) throws {
        try changeRecord(ordinal) { record in
            var parts = try #require(record[list] as? [[String: Any]])
            try change(&parts[0])
            record[list] = parts
        }
    }

    /// Changes the record of a step.
    mutating func changeRecord(_ ordinal: Int, _ change: (inout [String: Any]) throws -> Void) throws {
        var record = try record(ordinal)
        try change(&record)
        try replace(ordinal, with: record)
    }

    /// Changes the list of steps, in a new state of the archive.
    mutating func changeDirectory(_ change: (inout [[String: Any]]) throws -> Void) throws {
        let fields = try slot()
        var steps = try #require(try unpack(fields[1], fields[3])["steps"] as? [[String: Any]])
        try change(&steps)
        bytes.removeSubrange(Int(fields[5])...)
        try commit(steps, after: fields)
    }

    /// Changes the slot in force, in both places of the first page and at the end.
    /// - Parameter change: is given its sequence, the directory's offset, copy, length and checksum, end, and version.
    mutating func changeSlot(_ change: (inout [UInt64]) -> Void) throws {
        var fields = Array(try slot().prefix(7))
        let end = Int(fields[5])
        change(&fields)
        let slot = Self.packed(fields)
        for at in [512, 1024, end - 64] { bytes.replaceSubrange(at..<at + 64, with: slot) }
    }

    /// Puts another record in the place of a step's, in a new state of the archive.
    private mutating func replace(_ ordinal: Int, with record: [String: Any]) throws {
        let fields = try slot()
        var steps = try #require(try unpack(fields[1], fields[3])["steps"] as? [[String: Any]])
        bytes.removeSubrange(Int(fields[5])...)
        let place = try append(record)
        steps[ordinal]["offset"] = place.offset
        steps[ordinal]["copy"] = place.offset + place.length
        steps[ordinal]["length"] = place.length
        steps[ordinal]["checksum"] = String(format: "%016lx", place.checksum)
        try commit(steps, after: fields)
    }

    /// Appends a directory and the slot that makes it count, after the state with the given slot.
    private mutating func commit(_ steps: [[String: Any]], after fields: [UInt64]) throws {
        let directory = try append(["steps": steps])
        let end = UInt64(bytes.count) + 64, sequence = fields[0] + 1
        let slot = Self.packed([
            sequence, directory.offset, directory.offset + directory.length, directory.length, directory.checksum, end,
            fields[6],
        ])
        bytes.append(slot)
        let at = sequence % 2 == 0 ? 512 : 1024
        bytes.replaceSubrange(at..<at + 64, with: slot)
    }

    // MARK: Parts

    private static func checksum(_ data: Data) -> UInt64 {
        data.withUnsafeBytes { pannier_xxh64($0.baseAddress, $0.count) }
    }

    /// A slot of seven fields, with its checksum.
    private static func packed(_ fields: [UInt64]) -> Data {
        var slot = Data()
        for field in fields { withUnsafeBytes(of: field.littleEndian) { slot.append(contentsOf: $0) } }
        withUnsafeBytes(of: checksum(slot).littleEndian) { slot.append(contentsOf: $0) }
        return slot
    }

    /// The eight fields of the slot in force.
    private func slot() throws -> [UInt64] {
        let slots = [512, 1024].map { at in
            (0..<8).map { field in
                bytes[(at + 8 * field)..<(at + 8 * field + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
            }
        }
        return try #require(slots.max { $0[0] < $1[0] })
    }

    private func unpack(_ offset: UInt64, _ length: UInt64) throws -> [String: Any] {
        let packed = [UInt8](bytes[Int(offset)..<Int(offset + length)])
        var text = [UInt8](repeating: 0, count: Int(ZSTD_getFrameContentSize(packed, packed.count)))
        #expect(ZSTD_decompress(&text, text.count, packed, packed.count) == text.count)
        return try #require(try JSONSerialization.jsonObject(with: Data(text)) as? [String: Any])
    }

    /// Appends a packed text twice.
    private mutating func append(_ value: [String: Any]) throws -> (offset: UInt64, length: UInt64, checksum: UInt64) {
        let text = [UInt8](try JSONSerialization.data(withJSONObject: value))
        var packed = [UInt8](repeating: 0, count: ZSTD_compressBound(text.count))
        packed.removeLast(packed.count - ZSTD_compress(&packed, packed.count, text, text.count, 3))
        let offset = UInt64(bytes.count)
        bytes.append(contentsOf: packed + packed)
        return (offset, UInt64(packed.count), Self.checksum(Data(packed)))
    }
}
