// Writing zip archives of stored entries whose sizes are known before their bytes, which then arrive in any order.
//
// Source: PKWARE's APPNOTE.TXT 6.3.9; caffe2/serialize/inline_container.cc for the alignment: an extra field "FB" pads
// each local header, so that data begin at multiples of 64 bytes and can be mapped.

/// Writes one zip archive. Everything but the checksums is decided when it is made; `finish` writes the headers.
public final class ZipWriter: Sendable {
    /// What is to be written.
    public struct Entry: Sendable {
        public let name: String
        public let size: UInt64

        public init(name: String, size: UInt64) {
            self.name = name
            self.size = size
        }
    }

    /// Data begin at multiples of this, as torch.save has it.
    static let alignment: UInt64 = 64

    /// Bytes of the finished archive.
    public let totalBytes: UInt64
    private let file: OutputFile
    private let plan: ZipPlan
    private let checksums: Locked<[CRC32Pieces]>

    /// Creates the file.
    /// - Throws: `inputOutput`; `unsupported` when names or sizes are too large.
    public init(creating path: String, entries: [Entry]) throws {
        plan = try ZipPlan(entries, path: path)
        totalBytes = plan.totalBytes
        file = try OutputFile(creating: path, size: plan.totalBytes)
        checksums = Locked(entries.map { _ in CRC32Pieces() })
    }

    /// Bytes that an archive of these entries would have.
    /// - Throws: `unsupported` when names or sizes are too large.
    public static func size(of entries: [Entry]) throws -> UInt64 { try ZipPlan(entries, path: "").totalBytes }

    /// Writes bytes of an entry. Threads may write at the same time; every byte is written exactly once.
    public func write(entry index: Int, at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.count > 0 else { return }
        let entry = plan.entries[index]
        precondition(
            offset <= entry.size && UInt64(bytes.count) <= entry.size - offset, "the bytes lie within the entry")
        let crc = CRC32(bytes)
        try file.write(bytes, at: plan.dataOffsets[index] + offset)
        checksums.withValue { $0[index].insert(crc, at: offset) }
    }

    public func write(entry index: Int, _ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write(entry: index, at: 0, $0) }
    }

    /// Writes the headers and the directory.
    /// - Throws: `inputOutput`, also when bytes of an entry were never written.
    public func finish() throws {
        let pieces = checksums.withValue { $0 }
        var checksums: [UInt32] = []
        for (entry, pieces) in zip(plan.entries, pieces) {
            guard let crc = pieces.whole, crc.count == entry.size else {
                throw CheckpointError(
                    .inputOutput, "the bytes of an entry are not complete", file: file.path, place: entry.name,
                    expected: "\(entry.size)")
            }
            checksums.append(crc.value)
        }
        for index in plan.entries.indices {
            try file.write(plan.localHeader(index, crc: checksums[index]), at: plan.headerOffsets[index])
        }
        try file.write(plan.directory(checksums), at: plan.directoryOffset)
    }
}

/// Where everything in an archive goes.
struct ZipPlan {
    let entries: [ZipWriter.Entry]
    private(set) var headerOffsets: [UInt64] = []
    private(set) var dataOffsets: [UInt64] = []
    let directoryOffset: UInt64
    let totalBytes: UInt64

    /// Numbers from here on are written in 64 bits.
    private static let large = UInt64(UInt32.max)

    init(_ entries: [ZipWriter.Entry], path: String) throws {
        self.entries = entries
        let tooLarge = CheckpointError.unsupported("the zip archive would be too large", file: path)
        var offset: UInt64 = 0
        var directory: UInt64 = 0
        for entry in entries {
            guard entry.name.utf8.count < 0x8000, !entry.name.isEmpty else {
                throw CheckpointError.unsupported("the name of a zip entry is too long", file: path)
            }
            headerOffsets.append(offset)
            let name = UInt64(entry.name.utf8.count)
            let zip64: UInt64 = entry.size >= ZipPlan.large ? 20 : 0
            guard
                let data = offset.adding(UInt64(ZipSignature.localHeaderSize) + name + zip64 + 4)?
                    .alignedUp(to: ZipWriter.alignment), let end = data.adding(entry.size)
            else { throw tooLarge }
            dataOffsets.append(data)
            directory += UInt64(ZipSignature.directoryHeaderSize) + name
            let numbers = (entry.size >= ZipPlan.large ? 2 : 0) + (offset >= ZipPlan.large ? 1 : 0)
            directory += numbers > 0 ? UInt64(4 + 8 * numbers) : 0
            offset = end
        }
        directoryOffset = offset
        let isLarge = offset >= ZipPlan.large || directory >= ZipPlan.large || entries.count >= 0xFFFF
        let tail = ZipSignature.endSize + (isLarge ? ZipSignature.end64Size + ZipSignature.end64LocatorSize : 0)
        guard let total = offset.adding(directory + UInt64(tail)) else { throw tooLarge }
        totalBytes = total
    }

    private func version(_ index: Int) -> UInt16 {
        entries[index].size >= ZipPlan.large || headerOffsets[index] >= ZipPlan.large ? 45 : 20
    }

    /// Header, name, extra field: all bytes up to the data.
    func localHeader(_ index: Int, crc: UInt32) -> [UInt8] {
        let entry = entries[index]
        let name = Array(entry.name.utf8)
        let isLarge = entry.size >= ZipPlan.large
        let extra = Int(dataOffsets[index] - headerOffsets[index]) - ZipSignature.localHeaderSize - name.count
        let size = UInt32(clamping: entry.size)
        var out: [UInt8] = []
        out.appendInteger(ZipSignature.localHeader)
        out.appendInteger(version(index))
        out.appendInteger(ZipFlags.utf8)
        out.appendInteger(UInt16(0))  // stored
        out.appendInteger(ZipPlan.time)
        out.appendInteger(ZipPlan.date)
        out.appendInteger(crc)
        out.appendInteger(size)
        out.appendInteger(size)
        out.appendInteger(UInt16(clamping: name.count))
        out.appendInteger(UInt16(clamping: extra))
        out += name
        if isLarge {
            out.appendInteger(UInt16(1))
            out.appendInteger(UInt16(16))
            out.appendInteger(entry.size)
            out.appendInteger(entry.size)
        }
        let padding = extra - 4 - (isLarge ? 20 : 0)
        out += "FB".utf8
        out.appendInteger(UInt16(clamping: padding))
        out += [UInt8](repeating: UInt8(ascii: "Z"), count: padding)
        return out
    }

    /// The central directory and the end records.
    func directory(_ checksums: [UInt32]) -> [UInt8] {
        var out: [UInt8] = []
        for (index, entry) in entries.enumerated() {
            let name = Array(entry.name.utf8)
            let size = UInt32(clamping: entry.size)
            var numbers: [UInt64] = entry.size >= ZipPlan.large ? [entry.size, entry.size] : []
            if headerOffsets[index] >= ZipPlan.large { numbers.append(headerOffsets[index]) }
            out.appendInteger(ZipSignature.directoryHeader)
            out.appendInteger(version(index))
            out.appendInteger(version(index))
            out.appendInteger(ZipFlags.utf8)
            out.appendInteger(UInt16(0))
            out.appendInteger(ZipPlan.time)
            out.appendInteger(ZipPlan.date)
            out.appendInteger(checksums[index])
            out.appendInteger(size)
            out.appendInteger(size)
            out.appendInteger(UInt16(clamping: name.count))
            out.appendInteger(UInt16(clamping: numbers.isEmpty ? 0 : 4 + 8 * numbers.count))
            out += [UInt8](repeating: 0, count: 10)  // comment, disk, attributes
            out.appendInteger(UInt32(clamping: headerOffsets[index]))
            out += name
            if !numbers.isEmpty {
                out.appendInteger(UInt16(1))
                out.appendInteger(UInt16(clamping: 8 * numbers.count))
                for number in numbers { out.appendInteger(number) }
            }
        }
        appendEnd(&out, size: UInt64(out.count))
        return out
    }

    private func appendEnd(_ out: inout [UInt8], size: UInt64) {
        let count = UInt64(entries.count)
        if directoryOffset >= ZipPlan.large || size >= ZipPlan.large || count >= 0xFFFF {
            let place = directoryOffset + size
            out.appendInteger(ZipSignature.end64)
            out.appendInteger(UInt64(ZipSignature.end64Size - 12))
            out.appendInteger(UInt16(45))
            out.appendInteger(UInt16(45))
            out.appendInteger(UInt64(0))  // both disks
            out.appendInteger(count)
            out.appendInteger(count)
            out.appendInteger(size)
            out.appendInteger(directoryOffset)
            out.appendInteger(ZipSignature.end64Locator)
            out.appendInteger(UInt32(0))
            out.appendInteger(place)
            out.appendInteger(UInt32(1))
        }
        out.appendInteger(ZipSignature.end)
        out.appendInteger(UInt32(0))  // both disks
        out.appendInteger(UInt16(clamping: count))
        out.appendInteger(UInt16(clamping: count))
        out.appendInteger(UInt32(clamping: size))
        out.appendInteger(UInt32(clamping: directoryOffset))
        out.appendInteger(UInt16(0))
    }

    /// 1 January 1980, so that the same tensors give the same bytes.
    private static let time: UInt16 = 0
    private static let date: UInt16 = 0x21
}

/// The checksums of the parts of an entry that have arrived, joined where they meet.
struct CRC32Pieces {
    private var pieces: [(start: UInt64, crc: CRC32)] = []

    /// The checksum when one unbroken run from the begin has arrived (nothing at all counts as one).
    var whole: CRC32? {
        if pieces.isEmpty { return CRC32() }
        return pieces.count == 1 && pieces[0].start == 0 ? pieces[0].crc : nil
    }

    mutating func insert(_ crc: CRC32, at start: UInt64) {
        // The first piece that begins after this one.
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].start < start { low = middle + 1 } else { high = middle }
        }
        var at = low
        if at > 0, pieces[at - 1].start + pieces[at - 1].crc.count == start {
            at -= 1
            pieces[at].crc.append(crc)
        } else {
            pieces.insert((start, crc), at: at)
        }
        if at + 1 < pieces.count, pieces[at].start + pieces[at].crc.count == pieces[at + 1].start {
            pieces[at].crc.append(pieces[at + 1].crc)
            pieces.remove(at: at + 1)
        }
    }
}

extension [UInt8] {
    /// Appends an integer, least significant byte first.
    package mutating func appendInteger<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
