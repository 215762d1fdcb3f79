// Checkpoints inside archives as paths: `run.pannier:150` is a file or a folder to every command.

internal import Bytes

/// Paths into archives.
public enum ArchiveMounts {
    private struct Mount: Sendable {
        let archive: ArchiveReader
        let identity: FileIdentity
        let modified: Int64
        let cache: ChunkCache
    }

    /// Who is told what, and what was told.
    private struct Telling: Sendable {
        var tell: @Sendable (String) -> Void = { _ in }
        var told: Set<String> = []
    }

    private static let mounts = Locked<[String: Mount]>([:])
    private static let telling = Locked(Telling())

    /// Lets `File` and `Paths` see into archives. Called once when the program starts.
    /// - Parameter tell: is told, once for each, which step a path was taken for that has another number.
    public static func install(telling tell: @escaping @Sendable (String) -> Void = { _ in }) {
        telling.withValue { $0.tell = tell }
        VirtualFiles.install(
            { path in
                guard let place = try place(path) else { return nil }
                return try node(place.mount, place.step, place.inner)
            },
            name: { path in
                guard let place = try? place(path), place.inner.isEmpty else { return nil }
                return place.step.name
            })
    }

    /// A path for each step of an archive, in the order of their numbers; nil when the file is no archive.
    public static func steps(of path: String) throws -> [String]? {
        try mount(path)?.archive.steps.map { "\(path):\($0.step)" }
    }

    /// The step that `ARCHIVE:STEP` or `ARCHIVE:STEP/NAME` is about; nil when the part before the colon is no archive.
    private static func place(_ path: String) throws -> (mount: Mount, step: ArchivedStep, inner: String)? {
        let text = Array(path.utf8)
        // A colon may also stand in a folder's name: the first one after which an archive's path ends counts.
        for colon in text.indices where text[colon] == UInt8(ascii: ":") && colon > 0 {
            let archive = String(decoding: text[..<colon], as: UTF8.self)
            guard let mount = try mount(archive) else { continue }
            let rest = String(decoding: text[(colon + 1)...], as: UTF8.self)
            let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: true).map(String.init)
            guard let name = parts.first else { return nil }
            let step = try mount.archive.existingStep(named: name)
            if let choice = step.choice(named: name) { say("\(archive): \(choice)") }
            return (mount, step, parts.count > 1 ? parts[1] : "")
        }
        return nil
    }

    /// A path is looked at many times.
    private static func say(_ line: String) {
        let tell: (@Sendable (String) -> Void)? = telling.withValue {
            $0.told.insert(line).inserted ? $0.tell : nil
        }
        tell?(line)
    }

    private static func node(_ mount: Mount, _ step: ArchivedStep, _ inner: String) throws -> VirtualNode? {
        let record = try mount.archive.record(step.ordinal)
        guard record.isFolder else {
            guard inner.isEmpty, let file = record.files.first else { return nil }
            return try self.file(mount, step, file, 0)
        }
        let wanted = inner.split(separator: "/").joined(separator: "/")
        if let index = record.files.firstIndex(where: { ExactText($0.name) == ExactText(wanted) }) {
            return try file(mount, step, record.files[index], index)
        }
        // A folder: the next part of every name that begins with it.
        let prefix = wanted.isEmpty ? "" : wanted + "/"
        let names = Set(
            record.files.compactMap { file -> String? in
                guard file.name.hasPrefix(prefix) else { return nil }
                return file.name.dropFirst(prefix.count).split(separator: "/").first.map(String.init)
            })
        guard !names.isEmpty else { return nil }
        return .folder(names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) })
    }

    private static func file(
        _ mount: Mount, _ step: ArchivedStep, _ file: StoredFile, _ index: Int
    ) throws -> VirtualNode {
        try mount.archive.checkPieces(of: file)
        // No inode is that large; two files of an archive are still told apart.
        let identity = FileIdentity(
            device: mount.identity.device, inode: mount.identity.inode ^ (UInt64(step.ordinal + 1) << 40 | UInt64(index) << 24))
        return .file(
            size: file.size, identity: identity, modified: mount.modified,
            source: ArchivedFile(mount.archive, file, cache: mount.cache))
    }

    private static func mount(_ path: String) throws -> Mount? {
        if let known = mounts.withValue({ $0[path] }) { return known }
        guard Paths.kind(path) == .file, let file = try? File(path), ArchiveOpening.isArchive(file) else { return nil }
        let mount = Mount(
            archive: try ArchiveReader(path), identity: file.identity, modified: file.modified, cache: ChunkCache(chunks: 12))
        mounts.withValue { $0[path] = mount }
        VirtualFiles.note(holder: file.identity)
        return mount
    }
}
