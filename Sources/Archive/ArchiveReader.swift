// An open archive: its steps, and the bytes of any object of any of them.

public import Bytes
internal import CKernels

/// A step of an archive, for people and programs that list them.
public struct ArchivedStep: Sendable {
    /// Its place in the order of adding.
    public let ordinal: Int
    public let step: Int
    public let name: String

    /// What to say to a person who named it by a number that only its name has; nil where there is nothing to say.
    public func choice(named text: String) -> String? {
        guard let number = Int(text), number != step, name != text else { return nil }
        return "no step has the number \(number); step \(step) is taken, which has it in its name, \(name)"
    }
}

/// What a step of an archive holds.
public struct StepContents: Sendable {
    public struct File: Sendable {
        public let name: String
        public let size: UInt64
        public let sha256: Digest
        /// Of its blocks; nil in records that have none.
        package let digests: [Digest]?
    }

    public let isFolder: Bool
    public let files: [File]
    public let tensors: Int
    /// Bytes by which the archive grew with this step: its chunks, its record, and the directory that named it first.
    public let stored: UInt64
    /// How many of its objects are coded against an earlier step.
    public let relative: Int
    /// Bytes of its files; a record in which they have no sum is not read.
    public var bytes: UInt64 { files.reduce(0) { $0 + $1.size } }
}

/// An archive open for reading. All of its methods may be called from any thread.
public final class ArchiveReader: Sendable {
    public let path: String
    let file: File
    let slot: ArchiveSlot
    let entries: [DirectoryEntry]
    /// What was found damaged and got round while opening.
    public let remarks: [String]
    /// Of these, states and ends that are not there any more.
    let lost: [String]

    private let records = Locked<[Int: StepRecord]>([:])
    private let workers = Locked<[ChunkWorker]>([])
    /// For chunks on their way.
    let buffers = BufferPool(bytes: ChunkCodec.maxChunk)

    /// References from one object to an earlier one, at most, until one that stands alone.
    static let maxChain = 16

    /// Opens an archive and reads its directory.
    /// - Throws: `malformed` when it is no archive, or neither of its states can be read.
    public init(_ path: String) throws {
        self.path = path
        file = try File(path)
        let opening = try ArchiveOpening(file)
        (slot, entries, remarks, lost) = (opening.slot, opening.entries, opening.remarks, opening.lost)
    }

    /// The steps in the order of their numbers.
    public var steps: [ArchivedStep] {
        entries.enumerated()
            .map { ArchivedStep(ordinal: $0.offset, step: $0.element.step, name: $0.element.name) }
            .sorted { ($0.step, $0.ordinal) < ($1.step, $1.ordinal) }
    }

    /// The step that a person names: by its number, by the name of its file or folder, or by the number in that. The last
    /// is not looked at in an archive that is damaged where it says its steps: the one that is meant may be lost.
    public func step(named text: String) -> ArchivedStep? {
        if let number = Int(text), let found = steps.first(where: { $0.step == number }) { return found }
        let steps = steps
        if let found = steps.first(where: { $0.name == text }) { return found }
        guard let number = Int(text), remarks.isEmpty else { return nil }
        return steps.first { StepName.step(of: $0.name) == number }
    }

    /// The same.
    /// - Throws: `usage` when there is none.
    public func existingStep(named text: String) throws -> ArchivedStep {
        guard let step = step(named: text) else {
            throw CheckpointError(
                .usage, "the archive has no step \(text)\(lost.isEmpty ? "" : ", or it is lost")", file: path,
                expected: steps.isEmpty ? nil : "one of " + steps.map { "\($0.step)" }.joined(separator: ", "),
                remedy: "`pannier archive list` shows the steps")
        }
        return step
    }

    /// What a step's files take, outside and in the archive.
    /// - Throws: `malformed` when its record is damaged or says sizes that nothing stored covers.
    public func contents(of step: ArchivedStep) throws -> StepContents {
        let record = try record(step.ordinal)
        for file in record.files { try checkPieces(of: file) }
        return StepContents(
            isFolder: record.isFolder,
            files: record.files.map {
                StepContents.File(name: $0.name, size: $0.size, sha256: $0.digest, digests: $0.digests)
            },
            tensors: record.files.reduce(0) { $0 + $1.pieces.count { $0.tensor != nil } },
            stored: growth(by: step.ordinal, record),
            relative: record.objects.count { $0.reference != nil })
    }

    /// Bytes by which the archive grew with a step. Each is written behind all that is there, so it has all up to where
    /// the next one begins.
    private func growth(by ordinal: Int, _ record: StepRecord) -> UInt64 {
        /// Where a step begins: with its first chunk, or its record where it brought none.
        func begin(_ ordinal: Int, _ record: StepRecord) -> UInt64 {
            record.objects.reduce(entries[ordinal].record.offset) { $1.chunks.reduce($0) { min($0, $1.offset) } }
        }
        let next = ordinal + 1
        let end: UInt64? =
            entries.indices.contains(next)
            ? (try? self.record(next)).map { begin(next, $0) } : min(slot.end, file.size)
        // A record that cannot be read, or that is not where programs put it, says nothing about what is before it.
        let own = record.objects.reduce(UInt64(0)) { $1.chunks.reduce($0) { $0.adding(UInt64($1.length)) ?? .max } }
        let length = entries[ordinal].record.length
        let least = length.adding(length).flatMap { own.adding($0) } ?? .max
        guard let size = end?.subtracting(begin(ordinal, record)), size >= least else { return least }
        return size
    }

    /// A packed text: its first copy, or the second where that is damaged.
    static func load(_ record: StoredRecord, from file: File, what: String) throws -> [UInt8] {
        for offset in [record.offset, record.copy] {
            if let text = text(record, at: offset, in: file) { return text }
        }
        throw CheckpointError.malformed(
            "\(what) is damaged in both of its copies", file: file.path, offset: record.offset)
    }

    /// One copy of a packed text; nil when it is damaged.
    private static func text(_ record: StoredRecord, at offset: UInt64, in file: File) -> [UInt8]? {
        guard let end = offset.adding(record.length), end <= file.size, record.length <= UInt64(ArchiveFormat.maxRecord),
            let bytes = try? file.bytes(at: offset, count: Int(record.length)),
            ArchiveFormat.checksum(bytes) == record.checksum
        else { return nil }
        return ArchiveFormat.unpack(bytes)
    }

    /// What belongs to no step's bytes: newer states that were lost, and what is there twice and damaged once, by which
    /// nothing is lost yet.
    func damageAround() -> [ArchiveDamage] {
        var damage = lost.map {
            ArchiveDamage(step: nil, file: Paths.name(path), tensor: nil, offset: 0, count: 0, message: $0)
        }
        func say(_ step: Int?, _ what: String, _ offset: UInt64, _ count: UInt64) {
            damage.append(
                ArchiveDamage(
                    step: step, file: Paths.name(path), tensor: nil, offset: offset, count: count,
                    message: "\(what) is damaged; there is another copy", isLost: false))
        }
        if (try? hasWholePage()) != true { say(nil, "the first page", 0, ArchiveFormat.pageSize) }
        // Of an archive that was cut short that is said already.
        if slot.end >= UInt64(ArchiveSlot.size), slot.end <= file.size {
            let at = slot.end - UInt64(ArchiveSlot.size)
            if (try? file.bytes(at: at, count: ArchiveSlot.size)) != slot.bytes {
                say(nil, "the slot at the end", at, UInt64(ArchiveSlot.size))
            }
        }
        for (record, step) in [(slot.directory, nil)] + entries.map({ ($0.record, $0.step) }) {
            for offset in [record.offset, record.copy] where Self.text(record, at: offset, in: file) == nil {
                say(step, step == nil ? "the directory" : "the step's record", offset, record.length)
            }
        }
        return damage
    }

    /// Whether the first page is as programs write it, with both of its slots.
    func hasWholePage() throws -> Bool {
        let page = try file.bytes(at: 0, count: Int(min(file.size, ArchiveFormat.pageSize)))
        return page == ArchiveFormat.page(asIn: page, version: slot.version)
    }

    func record(_ ordinal: Int) throws -> StepRecord {
        if let known = records.withValue({ $0[ordinal] }) { return known }
        guard entries.indices.contains(ordinal) else {
            throw CheckpointError.malformed("a step is named that the archive does not have", file: path)
        }
        let bytes = try Self.load(entries[ordinal].record, from: file, what: "the record of step \(entries[ordinal].step)")
        let record = try RecordReader(path: path, end: min(slot.end, file.size)).record(bytes, ordinal: ordinal)
        records.withValue { $0[ordinal] = record }
        return record
    }

    func object(_ id: ObjectID) throws -> StoredObject {
        let objects = try record(id.record).objects
        guard objects.indices.contains(id.index) else {
            throw CheckpointError.malformed("an object is named that the archive does not have", file: path)
        }
        return objects[id.index]
    }

    /// The object of a piece, checked to hold the piece.
    func object(of piece: FilePiece) throws -> StoredObject {
        let object = try object(piece.object)
        guard let end = piece.objectOffset.adding(piece.count), end <= object.size else {
            throw CheckpointError.malformed("a file's piece lies beyond its object", file: path, place: piece.tensor)
        }
        return object
    }

    // MARK: Chunks

    /// Bytes of a chunk of an object.
    static func chunkSize(_ object: StoredObject, _ index: Int) -> Int {
        let start = UInt64(index) * UInt64(ChunkCodec.maxChunk)
        return Int(min(UInt64(ChunkCodec.maxChunk), object.size - min(start, object.size)))
    }

    /// A worker of its own for the caller's thread.
    func withWorker<Result>(_ body: (ChunkWorker) throws -> Result) rethrows -> Result {
        let worker = workers.withValue { $0.popLast() } ?? ChunkWorker(version: slot.version)
        defer { workers.withValue { $0.append(worker) } }
        return try body(worker)
    }

    /// A chunk of an object and where its bytes go, exactly as many as it has.
    struct WantedChunk {
        let object: ObjectID
        let index: Int
        let bytes: UnsafeMutableRawBufferPointer
    }

    /// Decodes a chunk, and first what it was coded against.
    /// - Parameters:
    ///   - checked: whether the checksums of what is stored are compared; if not, the caller proves the bytes, or decodes
    ///     once more to learn what is damaged.
    ///   - digests: of a block that is this chunk.
    /// - Throws: `malformed` when one of these is damaged.
    func decode(_ wanted: WantedChunk, _ worker: ChunkWorker, checked: Bool = true, digests: BlockDigests? = nil) throws {
        // The oldest first; each takes the place of the one it was coded against.
        var reference: UnsafeRawBufferPointer?
        for (place, link) in try chain(of: wanted).enumerated().reversed() {
            let payload = try payload(of: link, to: worker.buffer(.payload, ChunkWorker.bytes), checked: checked)
            let digests = place == 0 ? digests : nil
            guard worker.codec.decode(payload, into: wanted.bytes, reference: reference, digests: digests) else {
                throw damaged(link)
            }
            reference = UnsafeRawBufferPointer(wanted.bytes)
        }
    }

    /// A chunk of a chain of references, and the step that stored it, counted in order of adding.
    private struct ChainLink {
        let chunk: StoredChunk
        let record: Int
    }

    /// A chunk, the one it was coded against, and so on.
    private func chain(of wanted: WantedChunk) throws -> [ChainLink] {
        var chain: [ChainLink] = []
        var current = wanted.object
        var size: UInt64?
        while true {
            let object = try object(current)
            guard object.chunks.indices.contains(wanted.index), size == nil || size == object.size,
                Self.chunkSize(object, wanted.index) == wanted.bytes.count, chain.count <= Self.maxChain
            else {
                throw CheckpointError.malformed("the chain of references of an object is damaged", file: path)
            }
            size = object.size
            let chunk = object.chunks[wanted.index]
            let link = ChainLink(chunk: chunk, record: current.record)
            chain.append(link)
            let head = try file.bytes(at: chunk.offset, count: min(chunk.length, ChunkCodec.head))
            guard head.withUnsafeBytes({ ChunkCodec.needsReference($0) }) else { return chain }
            guard let reference = object.reference else { throw damaged(link) }
            current = reference
        }
    }

    /// Reads a chunk's payload to memory that has room for the slack behind it, and compares its checksum if wanted.
    private func payload(
        of link: ChainLink, to memory: UnsafeMutableRawBufferPointer, checked: Bool
    ) throws -> UnsafeRawBufferPointer {
        let chunk = link.chunk
        guard chunk.length + ChunkCodec.slack <= memory.count else { throw damaged(link) }
        let payload = UnsafeMutableRawBufferPointer(rebasing: memory[..<chunk.length])
        try file.read(into: payload, at: chunk.offset)
        UnsafeMutableRawBufferPointer(rebasing: memory[chunk.length...].prefix(ChunkCodec.slack))
            .initializeMemory(as: UInt8.self, repeating: 0)
        guard !checked || ArchiveFormat.checksum(UnsafeRawBufferPointer(payload)) == chunk.checksum else {
            throw damaged(link)
        }
        return UnsafeRawBufferPointer(payload)
    }

    private func damaged(_ link: ChainLink) -> CheckpointError {
        .malformed(
            "a chunk of step \(entries[link.record].step) is damaged", file: path, offset: link.chunk.offset,
            expected: "checksum \(Hexadecimal.text(link.chunk.checksum))", found: "other bytes",
            remedy: "get another copy of the archive; `extract --keep-damaged` saves the rest")
    }
}

/// What a thread owns while it codes and decodes chunks.
final class ChunkWorker: @unchecked Sendable {
    /// What a buffer is for.
    enum Role: Hashable {
        case payload
        /// A chunk that another is coded against, or of which a part is wanted.
        case whole
    }

    /// A buffer has room for a chunk, or for a payload and its slack.
    static let bytes = ChunkCodec.maxChunk + 1 + ChunkCodec.slack

    /// What decoding the chunk in the buffer `whole` came to.
    private struct KeptChunk {
        let object: ObjectID
        let index: Int
        /// Whether the checksums of what is stored were compared.
        let checked: Bool
        /// Why it could not be decoded; nil where the buffer holds it.
        let failure: CheckpointError?
    }

    let codec: ChunkCodec
    private var buffers: [Role: UnsafeMutableRawBufferPointer] = [:]
    private var kept: KeptChunk?

    /// - Parameter version: of the archive that chunks are coded for.
    init(version: UInt32) { codec = ChunkCodec(version: version) }

    deinit { for buffer in buffers.values { buffer.deallocate() } }

    /// The first `count` bytes of a buffer, to write to.
    func buffer(_ role: Role, _ count: Int) -> UnsafeMutableRawBufferPointer {
        if role == .whole { kept = nil }
        let buffer = buffers[role] ?? .allocate(byteCount: Self.bytes, alignment: 64)
        buffers[role] = buffer
        return UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    }

    /// The bytes of a chunk of which a part is wanted, valid until the buffer `whole` is used again. They are decoded once
    /// for all parts that follow each other: thousands of pieces of a byte may lie in one chunk. So is what is damaged.
    /// - Parameters:
    ///   - checked: whether the checksums of what is stored are compared.
    ///   - decode: decodes the chunk to memory of `size` bytes.
    func whole(
        _ object: ObjectID, _ index: Int, size: Int, checked: Bool, decode: (UnsafeMutableRawBufferPointer) throws -> Void
    ) throws -> UnsafeRawBufferPointer {
        if let known = kept, known.object == object, known.index == index {
            if let failure = known.failure {
                if known.checked == checked { throw failure }
            } else if known.checked || !checked, let buffer = buffers[.whole] {
                return UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(rebasing: buffer[..<size]))
            }
        }
        let whole = buffer(.whole, size)
        do {
            try decode(whole)
        } catch let error as CheckpointError where error.kind == .malformed {
            // Not what the system refused: that may go better the next time.
            kept = KeptChunk(object: object, index: index, checked: checked, failure: error)
            throw error
        }
        kept = KeptChunk(object: object, index: index, checked: checked, failure: nil)
        return UnsafeRawBufferPointer(whole)
    }
}
