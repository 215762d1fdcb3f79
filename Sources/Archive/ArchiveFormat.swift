// The fixed parts of an archive: its first page and the slots that say which state is in force.
// Docs/ArchiveFormat.md, "The file".

internal import Bytes
internal import CKernels
internal import CZstd

enum ArchiveFormat {
    static let magic: [UInt8] = Array("PANNARCH".utf8)
    /// The version that archives are made with, and those that can be read and added to. An archive keeps its own.
    static let version: UInt32 = 3
    static let versions: ClosedRange<UInt32> = 2...version
    /// Data begins after the first page.
    static let pageSize: UInt64 = 4096
    /// Where the two slots lie: in different sectors, so that a torn write harms one.
    static let slotOffsets: [UInt64] = [512, 1024]
    /// Bytes of a directory or step record, unpacked, at most.
    static let maxRecord = 256 << 20

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 { pannier_xxh64(bytes.baseAddress, bytes.count) }

    static func checksum(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { checksum($0) } }

    /// The first page of an archive in a given state, in both slots.
    static func page(_ slot: ArchiveSlot) -> [UInt8] {
        var out = magic
        withUnsafeBytes(of: slot.version.littleEndian) { out += $0 }
        for offset in slotOffsets {
            out += [UInt8](repeating: 0, count: Int(offset) - out.count)
            out += slot.bytes
        }
        out += [UInt8](repeating: 0, count: Int(pageSize) - out.count)
        return out
    }

    /// The slot at a place of some bytes; nil when it is damaged or not there.
    static func slot(in bytes: [UInt8], at offset: UInt64) -> ArchiveSlot? {
        Array(bytes.dropFirst(Int(offset)).prefix(ArchiveSlot.size)).withUnsafeBytes { ArchiveSlot($0) }
    }

    /// A first page with the slots of another one and everything else as it should be; nil when one of these is damaged.
    static func page(asIn other: [UInt8], version: UInt32) -> [UInt8]? {
        var out = magic
        withUnsafeBytes(of: version.littleEndian) { out += $0 }
        for offset in slotOffsets {
            out += [UInt8](repeating: 0, count: Int(offset) - out.count)
            guard let slot = Self.slot(in: other, at: offset) else { return nil }
            out += slot.bytes
        }
        out += [UInt8](repeating: 0, count: Int(pageSize) - out.count)
        return out
    }

    static func pack(_ text: String) throws -> [UInt8] {
        let bytes = Array(text.utf8)
        let bound = ZSTD_compressBound(bytes.count)
        let packed = [UInt8](unsafeUninitializedCapacity: bound) { buffer, initialized in
            let size = ZSTD_compress(buffer.baseAddress, bound, bytes, bytes.count, 9)
            initialized = ZSTD_isError(size) == 0 ? size : 0
        }
        guard !packed.isEmpty else { throw CheckpointError(.inputOutput, "zstd could not pack the archive's index") }
        return packed
    }

    /// Nil for what is no whole zstd frame of known, bounded size.
    static func unpack(_ bytes: [UInt8]) -> [UInt8]? {
        let size = ZSTD_getFrameContentSize(bytes, bytes.count)
        guard size <= UInt64(maxRecord) else { return nil }
        let out = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, initialized in
            let got = ZSTD_decompress(buffer.baseAddress, Int(size), bytes, bytes.count)
            initialized = ZSTD_isError(got) == 0 ? got : 0
        }
        return out.count == Int(size) ? out : nil
    }
}

/// A packed text in the archive, stored twice.
struct StoredRecord: Equatable, Sendable {
    var offset: UInt64
    var copy: UInt64
    var length: UInt64
    var checksum: UInt64
}

/// Which state of the archive is in force: 64 bytes, in the first page twice and at the end of the file.
struct ArchiveSlot: Equatable, Sendable {
    static let size = 64

    /// One more with every change.
    var sequence: UInt64
    var directory: StoredRecord
    /// The archive's length in bytes.
    var end: UInt64
    var version: UInt32

    var bytes: [UInt8] {
        var out: [UInt8] = []
        let fields = [
            sequence, directory.offset, directory.copy, directory.length, directory.checksum, end,
            UInt64(version),
        ]
        for field in fields { withUnsafeBytes(of: field.littleEndian) { out += $0 } }
        withUnsafeBytes(of: ArchiveFormat.checksum(out).littleEndian) { out += $0 }
        return out
    }

    /// Nil when the checksum is not that of the bytes.
    init?(_ raw: UnsafeRawBufferPointer) {
        guard raw.count >= Self.size else { return nil }
        let fields = (0..<8).compactMap { raw.littleEndian(UInt64.self, at: 8 * $0) }
        guard fields.count == 8,
            ArchiveFormat.checksum(UnsafeRawBufferPointer(rebasing: raw[0..<56])) == fields[7],
            let version = UInt32(exactly: fields[6]), ArchiveFormat.versions.contains(version)
        else { return nil }
        sequence = fields[0]
        directory = StoredRecord(offset: fields[1], copy: fields[2], length: fields[3], checksum: fields[4])
        end = fields[5]
        self.version = version
    }

    init(sequence: UInt64, directory: StoredRecord, end: UInt64, version: UInt32) {
        self.version = version
        self.sequence = sequence
        self.directory = directory
        self.end = end
    }
}
