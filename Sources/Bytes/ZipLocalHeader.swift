// The header before an entry's data and the descriptor after it, compared with the directory.
// Source: PKWARE's APPNOTE.TXT 6.3.9, 4.3.7, 4.3.9 and 4.5.3.

/// The zip64 extended information of an extra field: the numbers that did not fit their 32 bits, in fixed order.
struct Zip64Extra {
    private var values: [UInt64] = []
    private var next = 0
    private let name: String
    private let file: File
    private let offset: UInt64

    private static let zip64: UInt16 = 0x0001
    /// Info-ZIP's Unicode path and comment: a second name for the same entry.
    private static let unicodeComment: UInt16 = 0x6375
    private static let unicodePath: UInt16 = 0x7075

    init(_ raw: UnsafeRawBufferPointer, name: String, file: File, offset: UInt64) throws {
        self.name = name
        self.file = file
        self.offset = offset
        var at = 0
        var found = false
        while at < raw.count {
            guard let id: UInt16 = raw.littleEndian(at: at), let length: UInt16 = raw.littleEndian(at: at + 2),
                at + 4 + Int(length) <= raw.count
            else { throw fault("the extra field of a zip entry is cut") }
            guard id != Zip64Extra.unicodePath, id != Zip64Extra.unicodeComment else {
                throw fault("a zip entry has a second name in its extra field")
            }
            if id == Zip64Extra.zip64 {
                guard !found, length % 8 == 0 || length % 8 == 4, length <= 28 else {
                    throw fault("the zip64 field of a zip entry is wrong")
                }
                found = true
                for index in 0..<Int(length) / 8 {
                    if let value: UInt64 = raw.littleEndian(at: at + 4 + 8 * index) { values.append(value) }
                }
            }
            at += 4 + Int(length)
        }
    }

    private func fault(_ message: String) -> CheckpointError {
        .malformed(message, file: file.path, place: name, offset: offset)
    }

    /// A 32-bit number, or the next 64-bit one where it says so.
    mutating func resolve(_ number: UInt32) throws -> UInt64 {
        guard number == .max else { return UInt64(number) }
        guard next < values.count else { throw fault("the zip64 field of a zip entry is missing or too short") }
        defer { next += 1 }
        return values[next]
    }

    /// Numbers that nothing asked for would be a second opinion.
    func finish() throws {
        guard next == values.count else { throw fault("the zip64 field of a zip entry holds too much") }
    }

    /// The numbers that were not asked for.
    var rest: ArraySlice<UInt64> { values[next...] }
}

enum ZipLocalHeader {
    /// Compares what lies at the entry with what the directory says of it.
    /// - Parameter next: where the next entry, or the directory, begins.
    static func check(_ record: ZipRecord, in file: File, next: UInt64) throws -> ZipEntry {
        let fixed = ZipSignature.localHeaderSize
        let nameBytes = Array(record.name.utf8)
        func fault(_ message: String, expected: String? = nil, found: String? = nil) -> CheckpointError {
            .malformed(
                message, file: file.path, place: record.name, offset: record.headerOffset, expected: expected,
                found: found, remedy: "do not trust this file")
        }
        guard let start = record.headerOffset.adding(UInt64(fixed + nameBytes.count)), start <= next, next <= file.size
        else { throw fault("the local header of a zip entry is cut") }
        // Most extra fields fit the first read; torch.save pads with at most 64 bytes and four.
        let first = Int(min(UInt64(fixed + nameBytes.count + 128), next - record.headerOffset))
        var bytes = try file.bytes(at: record.headerOffset, count: first)
        let extraLength = bytes.withUnsafeBytes { raw -> UInt16? in
            guard raw.littleEndian(UInt32.self, at: 0) == ZipSignature.localHeader else { return nil }
            return raw.littleEndian(at: 28)
        }
        guard let extraLength else { throw fault("the zip directory points to no local header") }
        guard let dataOffset = start.adding(UInt64(extraLength)), dataOffset <= next else {
            throw fault("the extra field of a zip entry is cut")
        }
        if dataOffset - record.headerOffset > UInt64(first) {
            bytes = try file.bytes(at: record.headerOffset, count: fixed + nameBytes.count + Int(extraLength))
        }
        try bytes.withUnsafeBytes { raw in
            guard let flags: UInt16 = raw.littleEndian(at: 6), let method: UInt16 = raw.littleEndian(at: 8),
                let crc: UInt32 = raw.littleEndian(at: 14), let stored32: UInt32 = raw.littleEndian(at: 18),
                let size32: UInt32 = raw.littleEndian(at: 22), let nameLength: UInt16 = raw.littleEndian(at: 26)
            else { throw fault("the local header of a zip entry is cut") }
            guard Int(nameLength) == nameBytes.count, raw[fixed..<fixed + nameBytes.count].elementsEqual(nameBytes)
            else { throw fault("the name in the local header is not the directory's") }
            guard method == 0 else {
                throw fault("the method in the local header is not the directory's", expected: "0", found: "\(method)")
            }
            guard flags == record.flags else {
                throw fault(
                    "the flags in the local header are not the directory's",
                    expected: "0x" + String(record.flags, radix: 16), found: "0x" + String(flags, radix: 16))
            }
            let extra = UnsafeRawBufferPointer(
                rebasing: raw[fixed + nameBytes.count..<fixed + nameBytes.count + Int(extraLength)])
            var zip64 = try Zip64Extra(extra, name: record.name, file: file, offset: record.headerOffset)
            let size = try zip64.resolve(size32)
            let stored = try zip64.resolve(stored32)
            // With a descriptor the header may leave them 0.
            let deferred = flags & ZipFlags.descriptor != 0
            // PyTorch's writer has the zip64 field for entries beyond 4 GiB although the 32-bit sizes are 0 and do not
            // ask for it: the size, a 0 for the stored size, and behind 4 GiB the header's own place.
            for value in zip64.rest
            where value != record.size && value != record.headerOffset && !(deferred && value == 0) {
                throw fault("the zip64 field in the local header is not the directory's")
            }
            guard size == record.size || deferred && size == 0, stored == record.size || deferred && stored == 0 else {
                throw fault(
                    "the sizes in the local header are not the directory's", expected: "\(record.size)",
                    found: "\(stored) and \(size)")
            }
            guard crc == record.crc || deferred && crc == 0 else {
                throw fault("the CRC-32 in the local header is not the directory's")
            }
        }
        guard let end = dataOffset.adding(record.size), end <= next else {
            throw fault(
                "the data of a zip entry reach into what follows", expected: "at most \(next - dataOffset) bytes",
                found: "\(record.size)")
        }
        try checkDescriptor(record, in: file, from: end, to: next)
        return ZipEntry(
            name: record.name, size: record.size, crc: record.crc, headerOffset: record.headerOffset,
            dataOffset: dataOffset)
    }

    /// What follows the data: nothing, or a descriptor with or without signature, of 32 or 64 bits.
    private static func checkDescriptor(
        _ record: ZipRecord, in file: File, from end: UInt64, to next: UInt64
    ) throws {
        func fault(_ message: String, found: String? = nil) -> CheckpointError {
            .malformed(message, file: file.path, place: record.name, offset: end, found: found)
        }
        let length = next - end
        guard record.flags & ZipFlags.descriptor != 0 else {
            guard length == 0 else { throw fault("bytes lie between zip entries", found: "\(length) bytes") }
            return
        }
        guard [12, 16, 20, 24].contains(length) else {
            throw fault("the data descriptor of a zip entry is wrong", found: "\(length) bytes")
        }
        let bytes = try file.bytes(at: end, count: Int(length))
        let agrees = bytes.withUnsafeBytes { raw -> Bool in
            var at = 0
            if length % 8 == 0 {
                guard raw.littleEndian(UInt32.self, at: 0) == ZipSignature.descriptor else { return false }
                at = 4
            }
            guard raw.littleEndian(UInt32.self, at: at) == record.crc else { return false }
            if length >= 20 {
                return raw.littleEndian(UInt64.self, at: at + 4) == record.size
                    && raw.littleEndian(UInt64.self, at: at + 12) == record.size
            }
            return raw.littleEndian(UInt32.self, at: at + 4).map(UInt64.init) == record.size
                && raw.littleEndian(UInt32.self, at: at + 8).map(UInt64.init) == record.size
        }
        guard agrees else { throw fault("the data descriptor of a zip entry is not the directory's") }
    }
}
