// Finding the state of an archive that counts, in a file that may be damaged or cut short.

internal import Bytes

/// The newest state of an archive that can be read.
struct ArchiveOpening {
    let slot: ArchiveSlot
    let entries: [DirectoryEntry]
    /// What was found damaged and got round.
    let remarks: [String]
    /// Newer states that cannot be read, and with them what they added; and that the end of this one is missing.
    let lost: [String]

    /// - Throws: `malformed` when the file is no archive or no state of it can be read; `unsupported` for a version that
    ///   this program does not know.
    init(_ file: File) throws {
        let head = try Self.head(of: file)
        var slots = ArchiveFormat.slotOffsets.compactMap { ArchiveFormat.slot(in: head, at: $0) }
        // A slot is written only when all that it speaks of is on the disk, its copy at the end too: that may be taken
        // for one that is damaged.
        let isWhole = slots.count == ArchiveFormat.slotOffsets.count
        if !isWhole, let slot = try Self.tail(of: file) { slots.append(slot) }
        var remarks: [String] = [], lost: [String] = []
        let named = head.starts(with: ArchiveFormat.magic)
        let version = head.withUnsafeBytes { $0.littleEndian(UInt32.self, at: ArchiveFormat.magic.count) }
        // A slot is proof enough: it has the version under its checksum.
        guard named || !slots.isEmpty else {
            throw CheckpointError.malformed(
                "the file is no Pannier archive", file: file.path, expected: "PANNARCH at its begin, or a slot at its end",
                found: "other bytes", remedy: "`pannier archive create` makes one")
        }
        let known = version.map { ArchiveFormat.versions.contains($0) } ?? false
        guard known || !slots.isEmpty else {
            throw CheckpointError.unsupported(
                "the archive is of another version", file: file.path,
                expected: ArchiveFormat.versions.map { "\($0)" }.joined(separator: " or "),
                found: version.map { "\($0)" } ?? "nothing", remedy: "use the pannier that it was made with")
        }
        if !named || !known { remarks.append("the archive's first bytes are damaged") }
        if !isWhole { remarks.append("the first page is damaged; the copy at the end of the archive is looked at") }
        for slot in slots.sorted(by: { $0.sequence > $1.sequence }) {
            do {
                entries = try Self.directory(slot, file)
                self.slot = slot
                // What is left can be read, but nothing may be written behind an end that is not there.
                if slot.end > file.size {
                    lost.append("the archive was cut short: of its \(slot.end) bytes only \(file.size) are there")
                }
                self.remarks = remarks + lost
                self.lost = lost
                return
            } catch {
                let reason = (error as? CheckpointError)?.message ?? "\(error)"
                lost.append("state \(slot.sequence) of the archive cannot be read: \(reason)")
            }
        }
        guard let (slot, entries) = try Self.search(file) else {
            throw CheckpointError.malformed(
                "no state of the archive can be read", file: file.path, found: (remarks + lost).joined(separator: "; "),
                remedy: "get another copy of it")
        }
        lost.append("the archive was cut short; what was stored up to state \(slot.sequence) is found")
        (self.slot, self.entries, self.remarks, self.lost) = (slot, entries, remarks + lost, lost)
    }

    /// Whether a file is an archive, by its first page or, where that is lost, by its last bytes.
    static func isArchive(_ file: File) -> Bool {
        guard let head = try? head(of: file) else { return false }
        return head.starts(with: ArchiveFormat.magic)
            || ArchiveFormat.slotOffsets.contains { ArchiveFormat.slot(in: head, at: $0) != nil }
            || (try? tail(of: file)) != nil
    }

    private static func head(of file: File) throws -> [UInt8] {
        try file.bytes(at: 0, count: Int(min(file.size, ArchiveFormat.pageSize)))
    }

    /// The slot at the end of a file, where it is one of an archive that ends there.
    private static func tail(of file: File) throws -> ArchiveSlot? {
        let size = UInt64(ArchiveSlot.size)
        guard file.size >= ArchiveFormat.pageSize + size else { return nil }
        let slot = ArchiveFormat.slot(in: try file.bytes(at: file.size - size, count: ArchiveSlot.size), at: 0)
        return slot?.end == file.size ? slot : nil
    }

    private static func directory(_ slot: ArchiveSlot, _ file: File) throws -> [DirectoryEntry] {
        try RecordReader(path: file.path, end: min(slot.end, file.size))
            .directory(try ArchiveReader.load(slot.directory, from: file, what: "the directory"))
    }

    /// The last state whose slot, at what then was the end of the archive, is still in the file.
    private static func search(_ file: File) throws -> (ArchiveSlot, [DirectoryEntry])? {
        let piece: UInt64 = 1 << 22, size = UInt64(ArchiveSlot.size)
        var end = file.size
        while end > ArchiveFormat.pageSize {
            let start = max(ArchiveFormat.pageSize, end > piece ? end - piece : 0)
            // With the begin of the next piece, so that none is overlooked that lies across.
            let bytes = try file.bytes(at: start, count: Int(min(file.size, end + size - 1) - start))
            let found = bytes.withUnsafeBytes { raw -> (ArchiveSlot, [DirectoryEntry])? in
                guard raw.count >= ArchiveSlot.size else { return nil }
                for place in stride(from: raw.count - ArchiveSlot.size, through: 0, by: -1) {
                    // The version, and that the slot ends where it says, before the checksum.
                    guard let version = raw.littleEndian(UInt64.self, at: place + 48),
                        UInt64(ArchiveFormat.versions.lowerBound)...UInt64(ArchiveFormat.version) ~= version,
                        raw.littleEndian(UInt64.self, at: place + 40) == start + UInt64(place) + size,
                        let slot = ArchiveSlot(UnsafeRawBufferPointer(rebasing: raw[place..<place + ArchiveSlot.size])),
                        let entries = try? directory(slot, file)
                    else { continue }
                    return (slot, entries)
                }
                return nil
            }
            if let found { return found }
            end = start
        }
        return nil
    }
}
