// One `add` at work: what is new is found, coded and written, and then made part of the archive.

internal import Bytes
internal import JSONText

/// One `add` at work.
struct ArchiveAddition: Sendable {
    let archive: ArchiveReader
    let output: OutputFile
    let contents: CheckpointContents
    let step: Int
    let options: ArchiveOptions
    let progress: @Sendable (UInt64) -> Void

    func run() throws -> AddedStep {
        let start = archive.slot.end
        let sources = contents.files.flatMap(\.objects)
        let places = try ObjectSearch(archive: archive, threads: options.threads).find(sources)
        let earlier = try earlierObjects()
        var stored: [StoredObject] = []
        var ids: [ObjectID] = []
        var shared: UInt64 = 0
        for (object, place) in zip(sources, places) {
            switch place {
            case .known(let id):
                ids.append(id)
                shared += object.size
            case .same(let other):
                ids.append(ids[other])
                shared += object.size
            case .new(let key):
                ids.append(ObjectID(record: archive.entries.count, index: stored.count))
                let before = object.tensor.flatMap { earlier[ExactText($0)] }
                let reference = try before.flatMap { try self.reference($0, for: object) }
                stored.append(StoredObject(key: key, hash: 0, width: object.width, reference: reference, chunks: []))
            }
        }
        var first = 0
        let pieces = contents.files.map { file in
            defer { first += file.objects.count }
            return file.pieces(Array(ids[first..<first + file.objects.count]))
        }
        var (end, digests) = try encode(ids, &stored, pieces.map { FileDigests(options.digests ? $0 : nil) }, from: start)
        // A file that changed while it was read would not come back as it was.
        for file in contents.files {
            let now = try File(file.file.path)
            guard now.size == file.file.size, now.modified == file.file.modified, now.identity == file.file.identity else {
                throw CheckpointError(
                    .inputOutput, "the file changed while it was being stored", file: now.path, remedy: "add it again")
            }
        }
        var files: [StoredFile] = []
        for ((file, pieces), digests) in zip(zip(contents.files, pieces), digests) {
            let (whole, blocks) = digests.result()
            files.append(
                StoredFile(name: file.name, size: file.file.size, digest: whole, pieces: pieces, digests: blocks))
        }
        let record = StepRecord(
            step: step, name: contents.name, isFolder: contents.isFolder, files: files, objects: stored)
        try commit(record, end: &end)
        return AddedStep(
            step: step, name: contents.name, bytes: contents.size, stored: end - start,
            shared: shared)
    }

    // MARK: References

    /// The tensors of the step before this one: the nearest smaller number, else the one added last.
    private func earlierObjects() throws -> [ExactText: ObjectID] {
        let before = archive.steps.last { $0.step < step } ?? archive.steps.last
        guard let before else { return [:] }
        var objects: [ExactText: ObjectID] = [:]
        for file in try archive.record(before.ordinal).files {
            for piece in file.pieces {
                if let tensor = piece.tensor { objects[ExactText(tensor)] = piece.object }
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

    /// A run of a file's bytes to read once: it goes into the file's digest, is coded, or both.
    private struct Piece: Sendable {
        /// The file whose digest it goes into next; nil for bytes that went there before.
        var file: Int?
        var source: SourceObject
        /// Within the source.
        var offset: UInt64
        var count: Int
        /// Where it goes when it is new.
        var code: (object: Int, chunk: Int)?
    }

    /// Every file's bytes in order, each once, so that the digest can follow; a chunk that is spread over the file is
    /// read once more.
    private func pieces(_ ids: [ObjectID]) -> [Piece] {
        let ordinal = archive.entries.count
        var pieces: [Piece] = []
        var index = 0
        var coded: Set<Int> = []
        func chunks(_ source: SourceObject, file: Int?, object: Int?) -> [Piece] {
            (0..<StoredObject.chunkCount(source.size)).map { chunk in
                let offset = UInt64(chunk) * UInt64(ChunkCodec.maxChunk)
                return Piece(
                    file: file, source: source, offset: offset,
                    count: Int(min(UInt64(ChunkCodec.maxChunk), source.size - offset)), code: object.map { ($0, chunk) })
            }
        }
        for (number, file) in contents.files.enumerated() {
            var inOrder: [(at: UInt64, pieces: [Piece])] = []
            var behind: [Piece] = []
            for source in file.objects {
                let id = ids[index]
                // The first of equal objects is the one that is stored.
                let object = id.record == ordinal && coded.insert(id.index).inserted ? id.index : nil
                index += 1
                if source.ranges.count == 1, let range = source.ranges.first {
                    inOrder.append((range.lowerBound, chunks(source, file: number, object: object)))
                    continue
                }
                for range in source.ranges {
                    let part = SourceObject(file: source.file, ranges: [range], width: 0, tensor: nil)
                    inOrder.append((range.lowerBound, chunks(part, file: number, object: nil)))
                }
                if object != nil { behind += chunks(source, file: nil, object: object) }
            }
            inOrder.sort { $0.at < $1.at }
            pieces += inOrder.flatMap(\.pieces) + behind
        }
        return pieces
    }

    /// A piece that was read, and coded where it is new.
    private struct Coded: Sendable {
        var buffer: BufferPool.Buffer
        var payload: [UInt8] = []
        /// Checksums of the bytes and of the payload.
        var content: UInt64 = 0
        var checksum: UInt64 = 0
    }

    /// Everything that is settled in order.
    private struct Settled {
        var end: UInt64
        var digests: [FileDigests]
        var stored: [StoredObject]
        var contents: [[UInt64]]
        var depends: [Bool]
    }

    /// Reads everything once, codes all new objects, and writes their chunks behind each other, in order, so that the
    /// same checkpoints always give the same archive.
    /// - Parameter digests: of every file, before its first byte.
    /// - Returns: where the chunks end, and the digests of every file.
    private func encode(
        _ ids: [ObjectID], _ stored: inout [StoredObject], _ digests: [FileDigests], from start: UInt64
    ) throws -> (end: UInt64, digests: [FileDigests]) {
        let work = pieces(ids), objects = stored
        let state = Locked(
            Settled(
                end: start, digests: digests, stored: stored, contents: stored.map { _ in [] },
                depends: stored.map { _ in false }))
        try Parallel.inOrder(
            work.count, ahead: options.threads * 3, threads: options.threads, worker: { () },
            make: { index, _ -> Coded in
                let piece = work[index]
                var coded = Coded(buffer: archive.buffers.take(piece.count))
                try piece.source.read(into: coded.buffer.bytes, at: piece.offset)
                if piece.file != nil { progress(UInt64(piece.count)) }
                if let (number, chunk) = piece.code {
                    try archive.withWorker { try encode(objects[number], chunk: chunk, &coded, $0) }
                }
                return coded
            },
            order: { index, coded -> (payload: [UInt8], offset: UInt64) in
                state.withValue { settle(work[index], coded, &$0) }
            },
            finish: { _, written in try output.write(written.payload, at: written.offset) })
        return state.withValue { state in
            stored = state.stored
            for index in stored.indices {
                stored[index].hash = ObjectSearch.hash(state.contents[index])
                if !state.depends[index] { stored[index].reference = nil }
            }
            return (state.end, state.digests)
        }
    }

    /// Codes a piece that was read.
    private func encode(_ object: StoredObject, chunk: Int, _ coded: inout Coded, _ worker: ChunkWorker) throws {
        let bytes = UnsafeRawBufferPointer(coded.buffer.bytes)
        coded.content = ArchiveFormat.checksum(bytes)
        var reference: UnsafeRawBufferPointer?
        if let earlier = object.reference {
            let whole = worker.buffer(.whole, bytes.count)
            try archive.decode(.init(object: earlier, index: chunk, bytes: whole), worker)
            reference = UnsafeRawBufferPointer(whole)
        }
        coded.payload = worker.codec.encode(bytes, width: object.width, reference: reference)
        coded.checksum = ArchiveFormat.checksum(coded.payload)
    }

    /// Gives a piece its place in the archive; called in the order of the pieces.
    private func settle(_ piece: Piece, _ coded: Coded, _ state: inout Settled) -> (payload: [UInt8], offset: UInt64) {
        if let file = piece.file { state.digests[file].add(UnsafeRawBufferPointer(coded.buffer.bytes)) }
        archive.buffers.give(coded.buffer)
        let offset = state.end
        guard let (number, _) = piece.code else { return ([], offset) }
        state.stored[number].chunks.append(
            StoredChunk(offset: offset, length: coded.payload.count, checksum: coded.checksum))
        state.contents[number].append(coded.content)
        state.end += UInt64(coded.payload.count)
        if coded.payload.withUnsafeBytes({ ChunkCodec.needsReference($0) }) { state.depends[number] = true }
        return (coded.payload, offset)
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
        // Whether another state can follow was looked at before anything was written.
        let slot = ArchiveSlot(
            sequence: archive.slot.sequence + 1, directory: directory, end: end, version: archive.slot.version)
        try output.write(slot.bytes, at: end - UInt64(ArchiveSlot.size))
        try output.truncate(to: end)
        if options.sync { try output.flush() }
        try output.write(slot.bytes, at: ArchiveFormat.slotOffsets[Int(slot.sequence % 2)])
        if options.sync { try output.flush() }
    }
}
