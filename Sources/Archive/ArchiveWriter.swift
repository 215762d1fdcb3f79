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
    /// Whether a file's blocks get digests; without, the record is as the first programs of this format wrote it.
    package var digests = true

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
    public static func create(_ path: String) throws { try create(path, version: ArchiveFormat.version) }

    /// The same in an earlier version of the format, which the archive keeps.
    package static func create(_ path: String, version: UInt32) throws {
        try checkMissing(path)
        let output = try OutputFile(creating: path)
        let packed = try ArchiveFormat.pack(JSONValue.object(["steps": .array([])]).text(.compact))
        let offset = ArchiveFormat.pageSize
        let copy = offset + UInt64(packed.count)
        let end = copy + UInt64(packed.count) + UInt64(ArchiveSlot.size)
        let slot = ArchiveSlot(
            sequence: 1,
            directory: StoredRecord(
                offset: offset, copy: copy, length: UInt64(packed.count), checksum: ArchiveFormat.checksum(packed)),
            end: end, version: version)
        try output.write(ArchiveFormat.page(slot) + packed + packed + slot.bytes, at: 0)
        try output.flush()
    }

    /// Makes an archive that gets its name with its first step in it: one in which nothing could be stored would only be in
    /// the way of the next attempt. Nothing of it is left either when the program is interrupted before.
    /// - Parameters:
    ///   - sync: whether to wait until the disk has it.
    ///   - store: adds a first step to the archive at the path that it is given.
    /// - Throws: `outputExists` when something of that name is there; whatever `store` throws.
    public static func create<Result>(
        _ path: String, sync: Bool = true, storing store: (String) throws -> Result
    ) throws -> Result {
        try checkMissing(path)
        let staged = try StagedOutput(file: path, options: OutputOptions(sync: sync))
        let hidden = staged.path
        do {
            try create(hidden, version: ArchiveFormat.version)
            let result = try store(hidden)
            try staged.publish()
            return result
        } catch let error as CheckpointError where error.file == hidden {
            // Nobody knows the path that it has meanwhile.
            var told = error
            told.file = path
            throw told
        }
    }

    private static func checkMissing(_ path: String) throws {
        guard Paths.kind(path) == .missing else {
            throw CheckpointError(
                .outputExists, "the archive is there already", file: path,
                remedy: "add to it with `pannier archive add`, or choose another name")
        }
    }

    /// Checkpoints in the order of the steps that their names say, by number; without numbers as they were given.
    public static func ordered(_ checkpoints: [String]) throws -> [String] {
        let numbered = checkpoints.map { (path: $0, step: StepName.step(of: Paths.name($0))) }
        guard numbered.allSatisfy({ $0.step != nil }) else { return checkpoints }
        return numbered.enumerated()
            .sorted { ($0.element.step ?? 0, $0.offset) < ($1.element.step ?? 0, $1.offset) }
            .map(\.element.path)
    }

    /// Adds a checkpoint, a file or a folder, as one step.
    /// - Parameters:
    ///   - step: its number; nil to take it from the checkpoint's own counter or its name, or the next one
    ///     where neither says any.
    ///   - progress: is told bytes as they are done; their sum is the checkpoint's size.
    ///   - total: is told the checkpoint's size before the first byte is stored.
    /// - Throws: whatever reading and writing throws; the archive is then what it was.
    public static func add(
        _ checkpoint: String, to path: String, step: Int? = nil, options: ArchiveOptions,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }, total: (UInt64) -> Void = { _ in }
    ) throws -> AddedStep {
        let output = try OutputFile(updating: path)
        let archive = try ArchiveReader(path)
        try checkEnd(of: archive)
        let contents = try CheckpointContents(checkpoint)
        if contents.files.contains(where: { $0.file.identity == archive.file.identity }) {
            throw CheckpointError(
                .outputExists, "the archive would be stored in itself", file: path,
                remedy: "name other files, or keep the archive outside of the folder")
        }
        let number = try step ?? contents.step ?? next(in: archive)
        guard !archive.entries.contains(where: { $0.step == number }) else {
            throw CheckpointError(
                .outputExists, "the archive has a step \(number) already", file: path,
                remedy: "give the new one another number with --step")
        }
        // Where the first page is damaged, the state may stand at the end of the file alone, which is about to move. What
        // the page says of a state that is lost stays.
        if archive.lost.isEmpty, try !archive.hasWholePage() {
            try output.write(ArchiveFormat.page(archive.slot), at: 0)
            if options.sync { try output.flush() }
        }
        total(contents.size)
        let addition = ArchiveAddition(
            archive: archive, output: output, contents: contents, step: number, options: options, progress: progress)
        return try addition.run()
    }

    /// The step after all others.
    private static func next(in archive: ArchiveReader) throws -> Int {
        let last = archive.entries.map(\.step).max() ?? -1
        guard let next = last.adding(1) else {
            throw CheckpointError(
                .usage, "there is no number after that of the last step", file: archive.path, found: "step \(last)",
                remedy: "give the new one another number with --step")
        }
        return next
    }

    /// Refuses an archive behind whose end nothing can be written, before anything is.
    private static func checkEnd(of archive: ArchiveReader) throws {
        let slot = archive.slot, size = archive.file.size
        guard slot.end <= size else {
            throw CheckpointError.malformed(
                "the archive was cut short, and nothing can be added to it", file: archive.path,
                expected: "\(slot.end) bytes", found: "\(size)",
                remedy: "get another copy of it, or extract its steps and store them in a new archive")
        }
        // What is written from the end on must not lie over what is there. Chunks are compared with it when they are read.
        let records = [slot.directory] + archive.entries.map(\.record)
        let isBehind = records.allSatisfy { record in
            guard let end = max(record.offset, record.copy).adding(record.length) else { return false }
            return end <= slot.end
        }
        guard slot.end >= ArchiveFormat.pageSize, isBehind, slot.sequence < UInt64.max else {
            throw CheckpointError.malformed(
                "the state of the archive contradicts itself, and nothing can be added to it", file: archive.path,
                found: "state \(slot.sequence), which ends at byte \(slot.end)",
                remedy: "extract its steps and store them in a new archive")
        }
    }
}
