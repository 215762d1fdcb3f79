// Adding checkpoints to an archive. Nothing that is there is touched: data and records go behind the end, and one
// slot of the first page, written last, makes them part of the archive.

internal import Bytes
internal import JSONText

/// How checkpoints are added.
public struct ArchiveOptions: Sendable {
    public var threads: Int
    /// Steps in a row that may be coded against each other before one stands alone: reading one of them decodes at
    /// most this many. At least 1, at most 16.
    public var chain: Int
    /// Whether to wait until the disk has it.
    public var sync = true

    public init(threads: Int, chain: Int = 4) {
        self.threads = max(1, threads)
        self.chain = max(1, min(chain, ArchiveReader.maxChain))
    }
}

/// What adding a step did.
public struct AddedStep: Sendable {
    public let step: Int
    public let name: String
    /// Bytes of its files, and by how much the archive grew.
    public let bytes: UInt64
    public let stored: UInt64
    /// Bytes that were there already.
    public let shared: UInt64
}

public enum ArchiveWriter {
    /// Makes an archive without steps.
    /// - Throws: `outputExists` when something of that name is there.
    public static func create(_ path: String) throws {
        guard Paths.kind(path) == .missing else {
            throw CheckpointError(
                .outputExists, "the archive is there already", file: path,
                remedy: "add to it with `pannier archive add`, or choose another name")
        }
        let output = try OutputFile(creating: path)
        let packed = try ArchiveFormat.pack(JSONValue.object(["steps": .array([])]).text(.compact))
        let offset = ArchiveFormat.pageSize
        let copy = offset + UInt64(packed.count)
        let end = copy + UInt64(packed.count) + UInt64(ArchiveSlot.size)
        let slot = ArchiveSlot(
            sequence: 1,
            directory: StoredRecord(
                offset: offset, copy: copy, length: UInt64(packed.count), checksum: ArchiveFormat.checksum(packed)),
            end: end)
        try output.write(ArchiveFormat.page(slot) + packed + packed + slot.bytes, at: 0)
        try output.flush()
    }

    /// Checkpoints in the order of the steps that their names say, by number; without numbers as they were given.
    public static func ordered(_ checkpoints: [String]) throws -> [String] {
        let numbered = checkpoints.map { (path: $0, step: StepName.step(of: Paths.name($0))) }
        guard numbered.allSatisfy({ $0.step != nil }) else { return checkpoints }
        return numbered.enumerated()
            .sorted { ($0.element.step ?? 0, $0.offset) < ($1.element.step ?? 0, $1.offset) }
            .map(\.element.path)
    }

    /// Bytes that `add` will report as progress for a checkpoint.
    public static func work(_ checkpoint: String) throws -> UInt64 {
        guard Paths.kind(checkpoint) == .folder else { return try 2 * File(checkpoint).size }
        return try Paths.list(checkpoint).reduce(0) { sum, name in
            let path = Paths.join(checkpoint, name)
            return sum + (Paths.kind(path) == .folder ? try work(path) : 2 * ((try? File(path).size) ?? 0))
        }
    }

    /// Adds a checkpoint, a file or a folder, as one step.
    /// - Parameters:
    ///   - step: its number; nil to take it from the checkpoint's own counter or its name, or the next one
    ///     where neither says any.
    ///   - progress: is told bytes as they are done; their sum is twice the checkpoint's size.
    /// - Throws: whatever reading and writing throws; the archive is then what it was.
    public static func add(
        _ checkpoint: String, to path: String, step: Int? = nil, options: ArchiveOptions,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> AddedStep {
        let output = try OutputFile(updating: path)
        let archive = try ArchiveReader(path)
        let contents = try CheckpointContents(checkpoint)
        let number = step ?? contents.step ?? (archive.entries.map(\.step).max() ?? -1) + 1
        guard !archive.entries.contains(where: { $0.step == number }) else {
            throw CheckpointError(
                .outputExists, "the archive has a step \(number) already", file: path,
                remedy: "give the new one another number with --step")
        }
        let addition = Addition(
            archive: archive, output: output, contents: contents, step: number, options: options, progress: progress)
        return try addition.run()
    }
}

/// One `add` at work.
private struct Addition {
    let archive: ArchiveReader
    let output: OutputFile
    let contents: CheckpointContents
    let step: Int
    let options: ArchiveOptions
    let progress: @Sendable (UInt64) -> Void

    func run() throws -> AddedStep {
        let start = archive.slot.end
        let (fileDigests, objectDigests) = try hash()
        // What the archive has already, by its digest.
        var known: [Digest: ObjectID] = [:]
        for ordinal in archive.entries.indices {
            for (index, object) in try archive.record(ordinal).objects.enumerated() {
                known[object.digest] = known[object.digest] ?? ObjectID(record: ordinal, index: index)
            }
        }
        let ordinal = archive.entries.count
        var ids: [[ObjectID]] = []
        var stored: [StoredObject] = []
        var sources: [SourceObject] = []
        var shared: UInt64 = 0
        let earlier = try earlierObjects()
        for (file, digests) in zip(contents.files, objectDigests) {
            var own: [ObjectID] = []
            for (object, digest) in zip(file.objects, digests) {
                if let id = known[digest] {
                    own.append(id)
                    shared += object.size
                    continue
                }
                let id = ObjectID(record: ordinal, index: stored.count)
                known[digest] = id
                own.append(id)
                stored.append(
                    StoredObject(
                        digest: digest, size: object.size, width: object.width,
                        reference: try object.tensor.flatMap { earlier[$0] }.flatMap { try reference($0, for: object) },
                        chunks: []))
                sources.append(object)
            }
            ids.append(own)
        }
        var end = start
        try encode(sources, &stored, end: &end)
        // A file that changed while it was read would not come back as it was.
        for file in contents.files {
            let now = try File(file.file.path)
            guard now.size == file.file.size, now.modified == file.file.modified, now.identity == file.file.identity else {
                throw CheckpointError(
                    .inputOutput, "the file changed while it was being stored", file: now.path, remedy: "add it again")
            }
        }
        let record = StepRecord(
            step: step, name: contents.name, isFolder: contents.isFolder,
            files: zip(zip(contents.files, fileDigests), ids).map { file, ids in
                StoredFile(name: file.0.name, size: file.0.file.size, digest: file.1, pieces: file.0.pieces(ids))
            },
            objects: stored)
        try commit(record, end: &end)
        return AddedStep(
            step: step, name: contents.name, bytes: contents.files.reduce(0) { $0 + $1.file.size }, stored: end - start,
            shared: shared)
    }

    // MARK: Digests

    /// SHA-256 of every file and of every object in it.
    private func hash() throws -> (files: [Digest], objects: [[Digest]]) {
        // Whole files first: they take longest.
        let parts = contents.files.enumerated().flatMap { index, file in
            file.objects.indices.map { (file: index, object: Optional($0)) }
        }
        let tasks: [(file: Int, object: Int?)] = contents.files.indices.map { ($0, nil) } + parts
        let results = Locked([Digest?](repeating: nil, count: tasks.count))
        try Parallel.perform(tasks.count, threads: options.threads, worker: { ScratchBuffer() }) { index, scratch in
            let file = contents.files[tasks[index].file]
            let object =
                tasks[index].object.map { file.objects[$0] }
                ?? SourceObject(file: file.file, ranges: [0..<file.file.size], width: 0, tensor: nil)
            var sha = SHA256()
            var at: UInt64 = 0
            let size = object.size
            while at < size {
                let piece = scratch.reserve(Int(min(size - at, 1 << 20)))
                try object.read(into: piece, at: at)
                sha.add(UnsafeRawBufferPointer(piece))
                at += UInt64(piece.count)
                if tasks[index].object == nil { progress(UInt64(piece.count)) }
            }
            let digest = sha.digest()
            results.withValue { $0[index] = digest }
        }
        let digests = results.withValue { $0.compactMap { $0 } }
        var objects: [[Digest]] = []
        var at = contents.files.count
        for file in contents.files {
            objects.append(Array(digests[at..<at + file.objects.count]))
            at += file.objects.count
        }
        return (Array(digests[..<contents.files.count]), objects)
    }

    // MARK: References

    /// The tensors of the step before this one: the nearest smaller number, else the one added last.
    private func earlierObjects() throws -> [String: ObjectID] {
        let before = archive.steps.last { $0.step < step } ?? archive.steps.last
        guard let before else { return [:] }
        var objects: [String: ObjectID] = [:]
        for file in try archive.record(before.ordinal).files {
            for piece in file.pieces {
                if let tensor = piece.tensor { objects[tensor] = piece.object }
            }
        }
        return objects
    }

    /// The object to code against: of the same size and width, and not at the end of a chain that is long already.
    private func reference(_ id: ObjectID, for object: SourceObject) throws -> ObjectID? {
        guard object.width > 0 else { return nil }
        let earlier = try archive.object(id)
        guard earlier.size == object.size, earlier.width == object.width else { return nil }
        var length = 1
        var next = earlier.reference
        while let reference = next {
            length += 1
            guard length < options.chain + 1 else { return nil }
            next = try archive.object(reference).reference
        }
        return length < options.chain ? id : nil
    }

    // MARK: Data

    /// Codes all objects and writes their chunks behind each other, in order, so that the same checkpoints always
    /// give the same archive.
    private func encode(_ sources: [SourceObject], _ stored: inout [StoredObject], end: inout UInt64) throws {
        struct Task { let object: Int, chunk: Int }
        var tasks: [Task] = []
        for (index, object) in stored.enumerated() {
            tasks += (0..<StoredObject.chunkCount(object.size)).map { Task(object: index, chunk: $0) }
        }
        var depends = [Bool](repeating: false, count: stored.count)
        let batch = options.threads * 6
        for from in stride(from: 0, to: tasks.count, by: batch) {
            let now = Array(tasks[from..<min(from + batch, tasks.count)])
            let payloads = Locked([[UInt8]](repeating: [], count: now.count))
            let objects = stored
            try Parallel.perform(now.count, threads: options.threads, worker: { () }) { index, _ in
                let task = now[index], object = objects[task.object]
                let payload = try archive.withWorker { worker -> [UInt8] in
                    let bytes = worker.buffer(2, ArchiveReader.chunkSize(object, task.chunk))
                    try sources[task.object].read(into: bytes, at: UInt64(task.chunk) * UInt64(ChunkCodec.maxChunk))
                    var reference: UnsafeRawBufferPointer?
                    if let id = object.reference {
                        let earlier = worker.buffer(3, bytes.count)
                        try archive.decode(id, chunk: task.chunk, into: earlier, worker)
                        reference = UnsafeRawBufferPointer(earlier)
                    }
                    progress(UInt64(bytes.count))
                    return worker.codec.encode(
                        UnsafeRawBufferPointer(bytes), width: object.width, reference: reference)
                }
                payloads.withValue { $0[index] = payload }
            }
            for (task, payload) in zip(now, payloads.withValue({ $0 })) {
                try output.write(payload, at: end)
                stored[task.object].chunks.append(
                    StoredChunk(offset: end, length: payload.count, checksum: ArchiveFormat.checksum(payload)))
                end += UInt64(payload.count)
                if payload.withUnsafeBytes({ ChunkCodec.needsReference($0) }) { depends[task.object] = true }
            }
        }
        for index in stored.indices where !depends[index] { stored[index].reference = nil }
    }

    // MARK: Commit

    /// Writes the step's record and the new directory, waits for the disk, and only then the slot that counts.
    private func commit(_ record: StepRecord, end: inout UInt64) throws {
        func store(_ packed: [UInt8]) throws -> StoredRecord {
            let place = StoredRecord(
                offset: end, copy: end + UInt64(packed.count), length: UInt64(packed.count),
                checksum: ArchiveFormat.checksum(packed))
            try output.write(packed + packed, at: end)
            end += 2 * UInt64(packed.count)
            return place
        }
        let place = try store(try ArchiveFormat.pack(record.json.text(.compact)))
        let entries = archive.entries + [DirectoryEntry(step: step, name: contents.name, record: place)]
        let directory = try store(
            try ArchiveFormat.pack(JSONValue.object(["steps": .array(entries.map(\.json))]).text(.compact)))
        end += UInt64(ArchiveSlot.size)
        let slot = ArchiveSlot(sequence: archive.slot.sequence + 1, directory: directory, end: end)
        try output.write(slot.bytes, at: end - UInt64(ArchiveSlot.size))
        try output.truncate(to: end)
        if options.sync { try output.flush() }
        try output.write(slot.bytes, at: ArchiveFormat.slotOffsets[Int(slot.sequence % 2)])
        if options.sync { try output.flush() }
    }
}
