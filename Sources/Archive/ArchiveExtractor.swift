// Getting checkpoints out of an archive again, and proving that they would come out: every byte is decoded and compared
// with the original's SHA-256: those of its blocks, or that of the file where its record has no others.

public import Bytes

/// Something in an archive that is not as it was stored.
public struct ArchiveDamage: Sendable {
    /// Nil for what belongs to no step.
    public let step: Int?
    /// A file of the step, or the archive.
    public let file: String
    /// The tensor whose bytes it is about; nil when they lie around tensors.
    public let tensor: String?
    /// Where in the file, and how many bytes.
    public let offset: UInt64
    public let count: UInt64
    public let message: String
    /// Whether bytes are lost. Where none are, what is stored is damaged and all comes out right.
    public var isLost = true
}

/// What `verify` and `extract` found.
public struct ArchiveReport: Sendable {
    /// Steps whose files all come out as they were, and the files and bytes that were looked at.
    public var soundSteps: [Int] = []
    public var files = 0
    public var bytes: UInt64 = 0
    public var damage: [ArchiveDamage] = []
    public var ok: Bool { damage.isEmpty }
}

extension ArchiveReader {
    /// Decodes every byte of the given steps (nil: all) and compares digests, and the checksums of what is stored, parts of
    /// which no byte may depend on; looks also at what is there twice.
    public func verify(
        steps wanted: [ArchivedStep]? = nil, threads: Int, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) -> ArchiveReport {
        var report = ArchiveReport()
        report.damage = damageAround()
        for step in wanted ?? steps {
            do {
                var sound = true
                for file in try record(step.ordinal).files {
                    let damage = try check(file, of: step, stored: true, threads: threads, progress: progress) { _, _ in }
                    report.files += 1
                    report.bytes += file.size
                    report.damage += damage
                    if damage.contains(where: \.isLost) { sound = false }
                }
                if sound { report.soundSteps.append(step.step) }
            } catch {
                report.damage.append(
                    ArchiveDamage(step: step.step, file: step.name, tensor: nil, offset: 0, count: 0, message: "\(error)"))
            }
        }
        return report
    }

    /// Writes a step's file or folder. Nothing gets its name before every file is decoded and compared.
    /// - Parameters:
    ///   - destination: the file, or the folder for a step that is one.
    ///   - keepDamaged: writes zeros where bytes are lost, instead of stopping.
    /// - Throws: `malformed` when a part is damaged and not to be kept; `outputExists` when something is there.
    public func extract(
        _ step: ArchivedStep, to destination: String, options: OutputOptions, keepDamaged: Bool = false, threads: Int,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> ArchiveReport {
        let record = try record(step.ordinal)
        // Before space is reserved for what nothing stored covers.
        for file in record.files { try checkPieces(of: file) }
        var report = ArchiveReport()
        func write(_ file: StoredFile, to path: String) throws {
            let output = try OutputFile(creating: path, size: file.size)
            let damage = try check(file, of: step, stored: false, threads: threads, progress: progress) { bytes, offset in
                try output.write(bytes, at: offset)
            }
            if let first = damage.first, !keepDamaged {
                throw CheckpointError.malformed(
                    "\(file.name) of step \(step.step) is damaged: \(first.message)", file: self.path, place: first.tensor,
                    remedy: "--keep-damaged writes what is left, with zeros in the gaps")
            }
            // A disk that turns out to be full is known before anything gets its name.
            if options.sync { try output.flush() }
            report.files += 1
            report.bytes += file.size
            report.damage += damage
        }
        if record.isFolder {
            let staging = try FolderStaging(record.files, in: destination, options: options, archive: path)
            try staging.write(write)
            try staging.publish()
        } else if let file = record.files.first {
            let staged = try StagedOutput(file: destination, options: options)
            try write(file, to: staged.path)
            try staged.publish()
        }
        if report.ok { report.soundSteps.append(step.step) }
        return report
    }

    /// Decodes a file, hands its bytes on, and compares its digests.
    /// - Parameters:
    ///   - stored: compares the checksums of what is stored too, where digests prove the bytes without them. What is handed
    ///     on is then of no use where something is damaged.
    ///   - use: is called once for every block, in order, from any thread.
    /// - Returns: what is damaged; zeros were handed on for chunks that are.
    private func check(
        _ file: StoredFile, of step: ArchivedStep, stored: Bool, threads: Int, progress: @escaping @Sendable (UInt64) -> Void,
        _ use: @escaping @Sendable (UnsafeRawBufferPointer, UInt64) throws -> Void
    ) throws -> [ArchiveDamage] {
        let blocks = try blocks(of: file)
        let damage = Locked<[ArchiveDamage]>([])
        let sha = Locked(SHA256())
        // The file's own digest is needed only where blocks have none. It goes over one while it is still in a cache, and
        // other threads decode. So do writes, one at a time: the system does not let two into one file, and a thread that
        // has to wait for another's decodes nothing.
        let serial = file.digests == nil
        try Parallel.inOrder(
            blocks.count, ahead: max(1, threads) * 3, threads: threads, worker: { () },
            make: { index, _ -> BufferPool.Buffer in
                let block = blocks[index], buffer = buffers.take(block.count)
                let found = withWorker { decode(block, of: file, step, stored: stored, into: buffer.bytes, $0) }
                if !found.isEmpty { damage.withValue { $0 += found } }
                return buffer
            },
            order: { index, buffer in
                let bytes = UnsafeRawBufferPointer(buffer.bytes)
                if serial { sha.withValue { $0.add(bytes) } }
                try use(bytes, blocks[index].offset)
                progress(UInt64(bytes.count))
                return buffer
            },
            finish: { _, buffer in buffers.give(buffer) })
        var found = damage.withValue { $0 }.sorted { $0.offset < $1.offset }
        if serial, found.isEmpty, sha.withValue({ $0.digest() }) != file.digest {
            found.append(.init(otherThan: file, of: step, tensor: nil, offset: 0, count: file.size))
        }
        return found
    }

    /// Decodes a block of a file, and compares its digests where there are any.
    /// - Returns: what is damaged; the bytes of chunks that are become zeros.
    private func decode(
        _ block: FileBlock, of file: StoredFile, _ step: ArchivedStep, stored: Bool,
        into bytes: UnsafeMutableRawBufferPointer, _ worker: ChunkWorker
    ) -> [ArchiveDamage] {
        let wanted = file.digests?[block.digests]
        /// Decodes the whole block and says whether its bytes are those that were stored.
        func proves(_ wanted: ArraySlice<Digest>, checked: Bool) -> Bool {
            let digests = BlockDigests(parts: block.parts)
            let decoded: Void? = try? each(block, bytes) {
                try decode($0, into: $1, worker, checked: checked, digests: block.segments.count == 1 ? digests : nil)
            }
            return decoded != nil && digests.result(of: UnsafeRawBufferPointer(bytes)).elementsEqual(wanted)
        }
        // Digests prove the bytes. What is stored has checksums to say where it is damaged, which are needed only when it
        // is.
        if let wanted, proves(wanted, checked: stored) { return [] }
        var damage: [ArchiveDamage] = []
        each(block, bytes) { segment, bytes in
            do {
                try decode(segment, into: bytes, worker, checked: true)
            } catch {
                bytes.initializeMemory(as: UInt8.self, repeating: 0)
                damage.append(
                    ArchiveDamage(
                        step: step.step, file: file.name, tensor: segment.tensor, offset: segment.offset,
                        count: UInt64(segment.count), message: (error as? CheckpointError)?.message ?? "\(error)"))
            }
        }
        guard let wanted else { return damage }
        guard damage.isEmpty else {
            // What is coded against a damaged chunk may need only bits of it that are right.
            return stored && proves(wanted, checked: false) ? damage.map(\.spared) : damage
        }
        let found = BlockDigests(parts: block.parts).result(of: UnsafeRawBufferPointer(bytes))
        let tensor = block.segments.count == 1 ? block.segments[0].tensor : nil
        return zip(block.parts, zip(found, wanted)).filter { $0.1.0 != $0.1.1 }.map { part, _ in
            .init(
                otherThan: file, of: step, tensor: tensor, offset: block.offset + UInt64(part.lowerBound),
                count: UInt64(part.count))
        }
    }

    /// Goes over a block's runs and their places in the block's bytes.
    private func each(
        _ block: FileBlock, _ bytes: UnsafeMutableRawBufferPointer,
        _ body: (FileSegment, UnsafeMutableRawBufferPointer) throws -> Void
    ) rethrows {
        var done = 0
        for segment in block.segments {
            try body(segment, UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + segment.count]))
            done += segment.count
        }
    }

    /// Decodes a run of a file.
    /// - Parameter digests: of the block that is this run.
    private func decode(
        _ run: FileSegment, into to: UnsafeMutableRawBufferPointer, _ worker: ChunkWorker, checked: Bool,
        digests: BlockDigests? = nil
    ) throws {
        let size = try chunkSize(of: run)
        guard run.count < size else {
            return try decode(run.wanted(to), worker, checked: checked, digests: digests)
        }
        let whole = try worker.whole(run.object, run.chunk, size: size, checked: checked) {
            try decode(run.wanted($0), worker, checked: checked)
        }
        to.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[run.start..<run.start + run.count]))
    }
}

extension ArchiveDamage {
    /// The same of bytes that come out right.
    fileprivate var spared: ArchiveDamage {
        ArchiveDamage(
            step: step, file: file, tensor: tensor, offset: offset, count: count,
            message: message + "; these bytes come out right all the same", isLost: false)
    }

    /// Bytes that come out and are not those that were stored.
    fileprivate init(otherThan file: StoredFile, of step: ArchivedStep, tensor: String?, offset: UInt64, count: UInt64) {
        self.init(
            step: step.step, file: file.name, tensor: tensor, offset: offset, count: count,
            message: "the SHA-256 is not that of the original")
    }
}
