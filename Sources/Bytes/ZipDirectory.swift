// The end record and the central directory of a zip archive. Source: PKWARE's APPNOTE.TXT 6.3.9, 4.3.12 to 4.3.16.

/// What zip calls its records, as little-endian numbers, and their fixed lengths.
enum ZipSignature {
    static let localHeader: UInt32 = 0x0403_4B50
    static let descriptor: UInt32 = 0x0807_4B50
    static let directoryHeader: UInt32 = 0x0201_4B50
    static let end: UInt32 = 0x0605_4B50
    static let end64: UInt32 = 0x0606_4B50
    static let end64Locator: UInt32 = 0x0706_4B50

    static let localHeaderSize = 30
    static let directoryHeaderSize = 46
    static let endSize = 22
    static let end64Size = 56
    static let end64LocatorSize = 20
}

/// General purpose bits.
enum ZipFlags {
    /// Sizes and CRC follow the data.
    static let descriptor: UInt16 = 1 << 3
    static let utf8: UInt16 = 1 << 11
    /// Those that mean nothing for stored data, and the two above.
    static let harmless: UInt16 = descriptor | utf8 | 1 << 1 | 1 << 2
}

/// What the central directory says of one entry.
struct ZipRecord {
    var name: String
    var flags: UInt16
    var crc: UInt32
    var size: UInt64
    var headerOffset: UInt64
}

/// Where the central directory lies.
struct ZipDirectory {
    let file: File
    let offset: UInt64
    let size: UInt64
    let count: UInt64

    /// Entries and bytes of a directory; far above the largest checkpoints.
    static let largestCount: UInt64 = 1 << 19
    static let largestSize: UInt64 = 64 << 20

    init(_ file: File) throws {
        self.file = file
        let (end, tail) = try ZipDirectory.findEnd(file)
        func fault(_ message: String, at place: UInt64? = nil) -> CheckpointError {
            .malformed(message, file: file.path, offset: place ?? end, remedy: "the file is damaged, or no zip archive")
        }
        let (offset, size, count, limit) = try tail.withUnsafeBytes { raw in
            guard let disk: UInt16 = raw.littleEndian(at: 4), let directoryDisk: UInt16 = raw.littleEndian(at: 6),
                let onDisk: UInt16 = raw.littleEndian(at: 8), let count: UInt16 = raw.littleEndian(at: 10),
                let size: UInt32 = raw.littleEndian(at: 12), let offset: UInt32 = raw.littleEndian(at: 16)
            else { throw fault("the zip end record is cut") }
            guard disk == 0, directoryDisk == 0, onDisk == count else {
                throw fault("the zip archive is spread over several disks")
            }
            guard let large = try ZipDirectory.end64(before: end, in: file) else {
                guard count != .max, size != .max, offset != .max else {
                    throw fault("the zip64 end record is missing")
                }
                return (UInt64(offset), UInt64(size), UInt64(count), end)
            }
            guard count == .max || UInt64(count) == large.count, size == .max || UInt64(size) == large.size,
                offset == .max || UInt64(offset) == large.offset
            else { throw fault("the two end records of the zip archive differ") }
            return (large.offset, large.size, large.count, large.place)
        }
        guard let directoryEnd = offset.adding(size), directoryEnd == limit else {
            throw CheckpointError.malformed(
                "the zip directory does not end where the end record begins", file: file.path, offset: end,
                expected: "\(limit)", found: "\(offset) + \(size)", remedy: "the file is damaged or has been added to")
        }
        guard count <= size / UInt64(ZipSignature.directoryHeaderSize) else {
            throw fault("the zip directory is too short for its \(count) entries")
        }
        guard count <= ZipDirectory.largestCount, size <= ZipDirectory.largestSize else {
            throw CheckpointError.unsupported(
                "the zip directory is too large", file: file.path, offset: offset,
                expected: "at most \(ZipDirectory.largestCount) entries in \(ZipDirectory.largestSize) bytes",
                found: "\(count) in \(size)")
        }
        self.offset = offset
        self.size = size
        self.count = count
    }

    /// The end record: the last signature in the file, whose comment reaches exactly to the file's end.
    private static func findEnd(_ file: File) throws -> (offset: UInt64, tail: [UInt8]) {
        let fixed = ZipSignature.endSize
        let length = Int(min(file.size, UInt64(fixed + 0xFFFF)))
        let start = file.size - UInt64(length)
        // Writers of checkpoints leave no comment: the first look is at the last 22 bytes only.
        for window in [min(length, fixed), length] {
            let tail = try file.bytes(at: file.size - UInt64(window), count: window)
            let found: Int? = tail.withUnsafeBytes { raw in
                var at = window - fixed
                while at >= 0 {
                    if raw.littleEndian(UInt32.self, at: at) == ZipSignature.end { return at }
                    at -= 1
                }
                return nil
            }
            guard let found else { continue }
            let comment: UInt16? = tail.withUnsafeBytes { $0.littleEndian(at: found + 20) }
            guard let comment, found + fixed + Int(comment) == window else {
                throw CheckpointError.malformed(
                    "the comment of the zip archive does not end with the file", file: file.path,
                    offset: file.size - UInt64(window - found), expected: "\(window - found - fixed) bytes",
                    found: comment.map { "\($0)" }, remedy: "the file is damaged or has been added to")
            }
            return (file.size - UInt64(window - found), Array(tail[found...]))
        }
        throw CheckpointError.malformed(
            "the zip archive has no end record", file: file.path, offset: start,
            expected: "PK\\5\\6 in the last bytes", remedy: "it may be an incomplete download or copy")
    }

    /// The zip64 end record that a locator right before the end record points to; nil when there is no locator.
    private static func end64(
        before end: UInt64, in file: File
    ) throws -> (offset: UInt64, size: UInt64, count: UInt64, place: UInt64)? {
        let locatorSize = UInt64(ZipSignature.end64LocatorSize)
        let recordSize = UInt64(ZipSignature.end64Size)
        guard let locator = end.subtracting(locatorSize) else { return nil }
        let bytes = try file.bytes(at: locator, count: ZipSignature.end64LocatorSize)
        func fault(_ message: String) -> CheckpointError {
            .malformed(message, file: file.path, offset: locator, remedy: "the file is damaged or has been added to")
        }
        let place: UInt64? = try bytes.withUnsafeBytes { raw in
            guard raw.littleEndian(UInt32.self, at: 0) == ZipSignature.end64Locator else { return nil }
            guard raw.littleEndian(UInt32.self, at: 4) == 0, raw.littleEndian(UInt32.self, at: 16) == 1,
                let place: UInt64 = raw.littleEndian(at: 8)
            else { throw fault("the zip archive is spread over several disks") }
            return place
        }
        guard let place else { return nil }
        guard place.adding(recordSize) == locator else {
            throw fault("the zip64 end record does not lie right before its locator")
        }
        let record = try file.bytes(at: place, count: ZipSignature.end64Size)
        return try record.withUnsafeBytes { raw in
            guard raw.littleEndian(UInt32.self, at: 0) == ZipSignature.end64,
                raw.littleEndian(UInt64.self, at: 4) == recordSize - 12,
                raw.littleEndian(UInt32.self, at: 16) == 0, raw.littleEndian(UInt32.self, at: 20) == 0,
                let onDisk: UInt64 = raw.littleEndian(at: 24), let count: UInt64 = raw.littleEndian(at: 32),
                let size: UInt64 = raw.littleEndian(at: 40), let offset: UInt64 = raw.littleEndian(at: 48),
                onDisk == count
            else { throw fault("the zip64 end record is wrong") }
            return (offset, size, count, place)
        }
    }

    /// All entries of the directory, in its order.
    func records() throws -> [ZipRecord] {
        guard let length = Int(exactly: size), let count = Int(exactly: count) else { return [] }
        let bytes = try file.bytes(at: offset, count: length)
        var records: [ZipRecord] = []
        records.reserveCapacity(count)
        var at = 0
        try bytes.withUnsafeBytes { raw in
            for _ in 0..<count { records.append(try record(raw, &at)) }
        }
        guard at == length else {
            throw CheckpointError.malformed(
                "the zip directory holds more than its \(count) entries", file: file.path, offset: offset + UInt64(at))
        }
        return records
    }

    private func record(_ raw: UnsafeRawBufferPointer, _ at: inout Int) throws -> ZipRecord {
        let place = offset + UInt64(at)
        func fault(_ message: String, name: String? = nil) -> CheckpointError {
            .malformed(message, file: file.path, place: name, offset: place)
        }
        guard raw.littleEndian(UInt32.self, at: at) == ZipSignature.directoryHeader,
            let flags: UInt16 = raw.littleEndian(at: at + 8), let method: UInt16 = raw.littleEndian(at: at + 10),
            let crc: UInt32 = raw.littleEndian(at: at + 16), let stored32: UInt32 = raw.littleEndian(at: at + 20),
            let size32: UInt32 = raw.littleEndian(at: at + 24), let nameLength: UInt16 = raw.littleEndian(at: at + 28),
            let extraLength: UInt16 = raw.littleEndian(at: at + 30),
            let commentLength: UInt16 = raw.littleEndian(at: at + 32), let disk: UInt16 = raw.littleEndian(at: at + 34),
            let offset32: UInt32 = raw.littleEndian(at: at + 42)
        else { throw fault("an entry of the zip directory is cut or wrong") }
        let nameStart = at + ZipSignature.directoryHeaderSize
        let extraStart = nameStart + Int(nameLength)
        let end = extraStart + Int(extraLength) + Int(commentLength)
        guard end <= raw.count else { throw fault("an entry of the zip directory is cut") }
        let name = try ZipName.check(raw[nameStart..<extraStart], file: file, offset: place)
        at = end
        try ZipRecord.checkMethod(method, flags: flags, name: name, file: file, offset: place)
        guard disk == 0 else { throw fault("a zip entry lies on another disk", name: name) }
        var zip64 = try Zip64Extra(
            UnsafeRawBufferPointer(rebasing: raw[extraStart..<extraStart + Int(extraLength)]), name: name, file: file,
            offset: place)
        let size = try zip64.resolve(size32)
        let stored = try zip64.resolve(stored32)
        let headerOffset = try zip64.resolve(offset32)
        try zip64.finish()
        guard stored == size else {
            throw fault("the two sizes of a stored zip entry differ: \(stored) and \(size)", name: name)
        }
        return ZipRecord(name: name, flags: flags, crc: crc, size: size, headerOffset: headerOffset)
    }
}

extension ZipRecord {
    /// Only stored data, and no flag that changes its meaning.
    static func checkMethod(_ method: UInt16, flags: UInt16, name: String, file: File, offset: UInt64) throws {
        if flags & 1 != 0 || flags & 1 << 6 != 0 || flags & 1 << 13 != 0 {
            throw CheckpointError.unsupported("the zip entry is encrypted", file: file.path, place: name, offset: offset)
        }
        guard flags & ~ZipFlags.harmless == 0 else {
            throw CheckpointError.malformed(
                "the zip entry has flags that mean nothing here", file: file.path, place: name, offset: offset,
                found: "0x" + String(flags, radix: 16))
        }
        guard method == 0 else {
            throw CheckpointError.unsupported(
                "the zip entry is compressed (\(method == 8 ? "deflate" : "method \(method)"))", file: file.path,
                place: name, offset: offset, expected: "stored entries, as torch.save writes them",
                remedy: "unpack the archive and pack its folder again with 'zip -0 -r -D'")
        }
    }
}

/// Names of entries.
enum ZipName {
    /// Text without control characters, that stays within the archive.
    static func check(_ raw: Slice<UnsafeRawBufferPointer>, file: File, offset: UInt64) throws -> String {
        guard let name = String(validating: raw, as: UTF8.self) else {
            throw CheckpointError.malformed("the name of a zip entry is not valid UTF-8", file: file.path, offset: offset)
        }
        let bad = name.utf8.contains { $0 < 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "\\") }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !name.isEmpty, !bad, parts.first != "", !parts.contains(".."), !parts.contains(".") else {
            throw CheckpointError.malformed(
                "the name of a zip entry leaves the archive or holds control characters", file: file.path,
                place: name, offset: offset, remedy: "do not trust this file")
        }
        return name
    }
}
