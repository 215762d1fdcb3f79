// Reading zip archives of stored entries, strictly: every record is read twice, in the directory and where it lies,
// and both must say the same.
//
// Source: PKWARE's APPNOTE.TXT 6.3.9. What is stricter here: entries lie one after another from byte 0 to the
// directory, with nothing between, before or after; names are unique without regard to case (PyTorch's own reader looks
// them up so); no encryption, no patches, no second disk, no names in extra fields, no compression. Scanners of model
// files were led astray by each of these.

/// One stored entry.
public struct ZipEntry: Sendable {
    public let name: String
    /// Bytes of its data.
    public let size: UInt64
    /// CRC-32 of its data, as the directory says.
    public let crc: UInt32
    /// Where its local header begins.
    public let headerOffset: UInt64
    /// Where its data begin.
    public let dataOffset: UInt64
}

/// A zip archive whose directory and local headers have been checked against each other. Data is not read on opening.
public struct ZipArchive: Sendable {
    public let file: File
    /// In the order in which they lie in the file.
    public let entries: [ZipEntry]
    /// False when every entry has the checksum 0, which stands for none: torch.serialization.set_crc32_options(False).
    public let hasChecksums: Bool
    private let places: [ExactText: Int]

    /// Whether a file that begins with these bytes can be a zip archive.
    public static func begins(with head: some Collection<UInt8>) -> Bool {
        head.starts(with: [0x50, 0x4B, 0x03, 0x04]) || head.starts(with: [0x50, 0x4B, 0x05, 0x06])
    }

    /// - Throws: `malformed` where the format is not followed, `unsupported` for compressed or encrypted entries.
    public init(_ file: File) throws {
        self.file = file
        let directory = try ZipDirectory(file)
        var records = try directory.records()
        records.sort { $0.headerOffset < $1.headerOffset }
        var entries: [ZipEntry] = []
        entries.reserveCapacity(records.count)
        var end: UInt64 = 0
        for (index, record) in records.enumerated() {
            let next = index + 1 < records.count ? records[index + 1].headerOffset : directory.offset
            guard record.headerOffset == end, next > end else {
                throw CheckpointError.malformed(
                    record.headerOffset > end ? "bytes lie between zip entries" : "zip entries overlap",
                    file: file.path, place: record.name, offset: min(end, record.headerOffset),
                    expected: "the local header at \(end)", found: "at \(record.headerOffset)")
            }
            let entry = try ZipLocalHeader.check(record, in: file, next: next)
            entries.append(entry)
            end = next
        }
        guard end == directory.offset else {
            throw CheckpointError.malformed(
                "bytes lie before the zip directory", file: file.path, offset: end, expected: "the directory",
                found: "\(directory.offset - end) other bytes")
        }
        self.entries = entries
        hasChecksums = entries.isEmpty || entries.contains { $0.crc != 0 }
        places = try ZipArchive.index(entries, file)
    }

    private static func index(_ entries: [ZipEntry], _ file: File) throws -> [ExactText: Int] {
        var places: [ExactText: Int] = [:]
        var folded: Set<ExactText> = []
        for (index, entry) in entries.enumerated() {
            places[ExactText(entry.name)] = index
            let fold = String(decoding: entry.name.utf8.map { $0 >= 65 && $0 <= 90 ? $0 + 32 : $0 }, as: UTF8.self)
            guard folded.insert(ExactText(fold)).inserted else {
                throw CheckpointError.malformed(
                    "a zip entry stands twice", file: file.path, place: entry.name, offset: entry.headerOffset,
                    expected: "names that differ in more than case", remedy: "do not trust this file")
            }
        }
        return places
    }

    public subscript(name: String) -> ZipEntry? { places[ExactText(name)].map { entries[$0] } }

    /// The data of a small entry, checked against its CRC-32.
    /// - Throws: `malformed` also when it is larger than `limit`.
    public func contents(of entry: ZipEntry, limit: UInt64) throws -> [UInt8] {
        guard entry.size <= limit, let count = Int(exactly: entry.size) else {
            throw CheckpointError.malformed(
                "the zip entry is too large for what it should be", file: file.path, place: entry.name,
                offset: entry.headerOffset, expected: "at most \(limit) bytes", found: "\(entry.size)")
        }
        let bytes = try file.bytes(at: entry.dataOffset, count: count)
        try check(CRC32(bytes), of: entry)
        return bytes
    }

    /// Reads all data of an entry and compares its CRC-32 with the directory's.
    public func verify(_ entry: ZipEntry) throws {
        var crc = CRC32()
        let piece: UInt64 = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Int(min(piece, max(entry.size, 1))), alignment: 64)
        defer { buffer.deallocate() }
        var done: UInt64 = 0
        while done < entry.size {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(piece, entry.size - done))])
            try file.read(into: part, at: entry.dataOffset + done)
            crc.append(UnsafeRawBufferPointer(part))
            done += UInt64(part.count)
        }
        try check(crc, of: entry)
    }

    private func check(_ crc: CRC32, of entry: ZipEntry) throws {
        guard !hasChecksums || crc.value == entry.crc else {
            throw CheckpointError.malformed(
                "the CRC-32 of a zip entry is wrong", file: file.path, place: entry.name, offset: entry.dataOffset,
                expected: "0x" + String(entry.crc, radix: 16), found: "0x" + String(crc.value, radix: 16),
                remedy: "the file is damaged; fetch or copy it again")
        }
    }
}
