// Getting checkpoints out of an archive again, and proving that they would come out: every byte is decoded and the
// SHA-256 of every file compared with that of the original.

public import Bytes

/// Something in an archive that is not as it was stored.
public struct ArchiveDamage: Sendable {
    public let step: Int
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
    /// Decodes every byte of the given steps (nil: all) and compares digests.
    public func verify(
        steps wanted: [ArchivedStep]? = nil, threads: Int, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) -> ArchiveReport {
        var report = ArchiveReport()
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

    /// Decodes a file in order, hands its bytes on, and compares its digest.
    ///
    /// While some threads decode a stretch of the file, one adds up the digest of the stretch before.
    /// - Parameter use: is called from any thread, once for every run of bytes.
    /// - Returns: what is damaged; zeros were handed on for it.
    private func check(
        _ file: StoredFile, of step: ArchivedStep, threads: Int, progress: @escaping @Sendable (UInt64) -> Void,
        _ use: @escaping @Sendable (UnsafeRawBufferPointer, UInt64) throws -> Void
    ) throws -> [ArchiveDamage] {
        let stretch = max(1, threads) * 4
        let memory = StretchBuffers(bytes: stretch * ChunkCodec.maxChunk)
        let damage = Locked<[ArchiveDamage]>([])
        let sha = Locked(SHA256())
        var at: UInt64 = 0
        var turn = 0
        var before: SendableBytes?
        var damagedLayout: (any Error)?
        while at < file.size || before != nil {
            var segments: [FileSegment] = []
            var places: [Int] = []
            var used = 0
            // Tensors may be small: a stretch is full when its buffer is, whatever the number of runs.
            while at < file.size, used + ChunkCodec.maxChunk <= stretch * ChunkCodec.maxChunk {
                do {
                    guard let segment = try segment(of: file, at: at) else { break }
                    segments.append(segment)
                    places.append(used)
                    used += segment.count
                    at += UInt64(segment.count)
                } catch {
                    damagedLayout = error
                    break
                }
            }
            if let damagedLayout { throw damagedLayout }
            let now = memory.half(turn, used), previous = before, runs = segments, starts = places
            // The digest first: it is the longest single piece of work.
            try Parallel.perform(runs.count + 1, threads: threads, worker: { () }) { index, _ in
                guard index > 0 else {
                    if let previous { sha.withValue { $0.add(previous.bytes) } }
                    return
                }
                let run = runs[index - 1]
                let to = UnsafeMutableRawBufferPointer(
                    rebasing: now.bytes[starts[index - 1]..<starts[index - 1] + run.count])
                do {
                    try self.decode(run, into: to)
                } catch {
                    to.initializeMemory(as: UInt8.self, repeating: 0)
                    let lost = ArchiveDamage(
                        step: step.step, file: file.name, tensor: run.tensor, offset: run.offset, count: UInt64(run.count),
                        message: (error as? CheckpointError)?.message ?? "\(error)")
                    damage.withValue { $0.append(lost) }
                }
                try use(UnsafeRawBufferPointer(to), run.offset)
                progress(UInt64(run.count))
            }
            before = used > 0 ? SendableBytes(bytes: UnsafeRawBufferPointer(now.bytes)) : nil
            turn ^= 1
        }
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
                try decode(run.object, chunk: run.chunk, into: to, worker)
            } else {
                let whole = worker.buffer(2, run.chunkSize)
                try decode(run.object, chunk: run.chunk, into: whole, worker)
                to.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[run.start..<run.start + run.count]))
            }
        }
    }
}

/// Bytes that a piece of work on another thread reads.
private struct SendableBytes: @unchecked Sendable { let bytes: UnsafeRawBufferPointer }
private struct SendableBuffer: @unchecked Sendable { let bytes: UnsafeMutableRawBufferPointer }

/// Two buffers: one is filled while the other is added to the digest.
private final class StretchBuffers {
    private let halves: [UnsafeMutableRawBufferPointer]

    init(bytes: Int) {
        halves = (0..<2).map { _ in .allocate(byteCount: bytes, alignment: 64) }
    }

    deinit { for half in halves { half.deallocate() } }

    func half(_ index: Int, _ count: Int) -> SendableBuffer {
        SendableBuffer(bytes: UnsafeMutableRawBufferPointer(rebasing: halves[index][..<count]))
    }
}
