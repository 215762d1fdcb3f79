// Getting checkpoints out of an archive again, and proving that they would come out: every byte is decoded and the
// SHA-256 of every file compared with that of the original.

public import Bytes

/// Something in an archive that is not as it was stored.
public struct ArchiveDamage: Sendable {
    /// Nil for what belongs to no step.
    public let step: Int?
    /// A file of the step, or the archive.
    public let file: String
    /// The tensor whose bytes are lost; nil when they lie around tensors.
    public let tensor: String?
    /// Where in the file, and how many bytes.
    public let offset: UInt64
    public let count: UInt64
    public let message: String
}

/// What `verify` and `extract` found.
public struct ArchiveReport: Sendable {
    /// Steps whose files are all as they were, and the files and bytes that were looked at.
    public var soundSteps: [Int] = []
    public var files = 0
    public var bytes: UInt64 = 0
    public var damage: [ArchiveDamage] = []
    public var ok: Bool { damage.isEmpty }
}

extension ArchiveReader {
    /// Decodes every byte of the given steps (nil: all) and compares digests; looks also at what is there twice.
    public func verify(
        steps wanted: [ArchivedStep]? = nil, threads: Int, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) -> ArchiveReport {
        var report = ArchiveReport()
        report.damage = damageAround()
        for step in wanted ?? steps {
            do {
                var sound = true
                for file in try record(step.ordinal).files {
                    let damage = try check(file, of: step, threads: threads, progress: progress) { _, _ in }
                    report.files += 1
                    report.bytes += file.size
                    report.damage += damage
                    if !damage.isEmpty { sound = false }
                }
                if sound { report.soundSteps.append(step.step) }
            } catch {
                report.damage.append(
                    ArchiveDamage(step: step.step, file: step.name, tensor: nil, offset: 0, count: 0, message: "\(error)"))
            }
        }
        return report
    }

    /// Writes a step's file or folder.
    /// - Parameters:
    ///   - destination: the file, or the folder for a step that is one.
    ///   - keepDamaged: writes zeros where bytes are lost, instead of stopping.
    /// - Throws: `malformed` when a part is damaged and not to be kept; `outputExists` when something is there.
    public func extract(
        _ step: ArchivedStep, to destination: String, options: OutputOptions, keepDamaged: Bool = false, threads: Int,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> ArchiveReport {
        let record = try record(step.ordinal)
        var report = ArchiveReport()
        func write(_ file: StoredFile, to path: String) throws {
            let output = try OutputFile(creating: path, size: file.size)
            let damage = try check(file, of: step, threads: threads, progress: progress) { bytes, offset in
                try output.write(bytes, at: offset)
            }
            if let first = damage.first, !keepDamaged {
                throw CheckpointError.malformed(
                    "\(file.name) of step \(step.step) is damaged: \(first.message)", file: self.path, place: first.tensor,
                    remedy: "--keep-damaged writes what is left, with zeros in the gaps")
            }
            report.files += 1
            report.bytes += file.size
            report.damage += damage
        }
        if record.isFolder {
            try extractFolder(record, to: destination, options: options, write)
        } else if let file = record.files.first {
            let staged = try StagedOutput(file: destination, options: options)
            try write(file, to: staged.path)
            try staged.publish()
        }
        if report.ok { report.soundSteps.append(step.step) }
        return report
    }

    /// Files at the top are published together; those in folders below go to folders of their own.
    private func extractFolder(
        _ record: StepRecord, to destination: String, options: OutputOptions, _ write: (StoredFile, String) throws -> Void
    ) throws {
        var folders: [String: [StoredFile]] = [:]
        for file in record.files {
            let parent = file.name.contains("/") ? Paths.parent(file.name) : ""
            folders[parent, default: []].append(file)
        }
        // The outermost first: a folder has to be there before one in it is made.
        for (folder, files) in folders.sorted(by: { $0.key < $1.key }) {
            let target = folder.isEmpty ? destination : Paths.join(destination, folder)
            try Paths.makeFolders(Paths.parent(target))
            let staged = try StagedOutput(folder: target, options: options)
            for file in files { try write(file, staged.path(of: Paths.name(file.name))) }
            try staged.publish()
        }
    }

    /// Decodes a file, hands its bytes on, and compares its digest.
    /// - Parameter use: is called from any thread, once for every run of bytes.
    /// - Returns: what is damaged; zeros were handed on for it.
    private func check(
        _ file: StoredFile, of step: ArchivedStep, threads: Int, progress: @escaping @Sendable (UInt64) -> Void,
        _ use: @escaping @Sendable (UnsafeRawBufferPointer, UInt64) throws -> Void
    ) throws -> [ArchiveDamage] {
        let runs = try segments(of: file)
        let damage = Locked<[ArchiveDamage]>([])
        let sha = Locked(SHA256())
        // The digest goes over a run while it is still in a cache, and other threads decode.
        try Parallel.inOrder(
            runs.count, ahead: max(1, threads) * 3, threads: threads, worker: { () },
            make: { index, _ -> BufferPool.Buffer in
                let run = runs[index], buffer = buffers.take(run.count)
                do {
                    try decode(run, into: buffer.bytes)
                } catch {
                    buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0)
                    let lost = ArchiveDamage(
                        step: step.step, file: file.name, tensor: run.tensor, offset: run.offset, count: UInt64(run.count),
                        message: (error as? CheckpointError)?.message ?? "\(error)")
                    damage.withValue { $0.append(lost) }
                }
                try use(UnsafeRawBufferPointer(buffer.bytes), run.offset)
                progress(UInt64(run.count))
                return buffer
            },
            order: { _, buffer in
                sha.withValue { $0.add(UnsafeRawBufferPointer(buffer.bytes)) }
                return buffer
            },
            finish: { _, buffer in buffers.give(buffer) })
        var found = damage.withValue { $0 }.sorted { $0.offset < $1.offset }
        if found.isEmpty, sha.withValue({ $0.digest() }) != file.digest {
            found.append(
                ArchiveDamage(
                    step: step.step, file: file.name, tensor: nil, offset: 0, count: file.size,
                    message: "the SHA-256 is not that of the original"))
        }
        return found
    }

    /// Decodes a run of a file.
    private func decode(_ run: FileSegment, into to: UnsafeMutableRawBufferPointer) throws {
        try withWorker { worker in
            if run.count == run.chunkSize {
                try decode(run.wanted(to), worker)
            } else {
                let whole = worker.buffer(.whole, run.chunkSize)
                try decode(run.wanted(whole), worker)
                to.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[run.start..<run.start + run.count]))
            }
        }
    }
}
