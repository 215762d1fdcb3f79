// Safe output: everything is written under a temporary name in the destination's folder and renamed when it is whole.

internal import Platform
internal import SystemPackage

/// What is allowed and wanted of an output.
public struct OutputOptions: Sendable {
    /// Replace what is there.
    public var force: Bool
    /// Wait until the bytes are on the disk before the output gets its name.
    public var sync: Bool
    /// The files that are being read: the output may be none of them.
    public var inputs: [FileIdentity]

    public init(force: Bool = false, sync: Bool = true, inputs: [FileIdentity] = []) {
        self.force = force
        self.sync = sync
        self.inputs = inputs
    }

    /// Whether the file at a path is being read, itself or what it holds.
    func isInput(_ path: String) -> Bool {
        guard let identity = Paths.identity(path) else { return false }
        return inputs.contains(identity) || VirtualFiles.isHolder(identity)
    }
}

/// Files that are being written and that nobody sees under their names before they are whole.
///
/// They lie in a hidden temporary folder beside the destination (within it where it is a folder that is there already,
/// which may be another disk's), so that publishing is a rename. Until `publish`
/// nothing at the destination changes; afterwards each file there is the new one whole. What was not published is
/// removed when this object goes, and by `Interruption` when the program is interrupted.
public final class StagedOutput: Sendable {
    /// The folder in which to create the files.
    public let folder: String
    /// Where they will be.
    private let destination: String
    private let options: OutputOptions
    /// Names within `folder` and, for each, its final path. For a single file the one name is the destination's own.
    private let isFolder: Bool

    /// Prepares one output file.
    /// - Throws: `outputExists` when it is there and `force` is not given, or when it is one of the inputs;
    ///   `inputOutput` when its folder is missing or cannot be written.
    public convenience init(file destination: String, options: OutputOptions) throws {
        let resolved = Self.resolve(destination)
        try Self.check(resolved, options)
        if Paths.kind(resolved) == .folder {
            throw CheckpointError(
                .outputExists, "the output is a folder", file: destination, remedy: "name a file in it")
        }
        try self.init(destination: resolved, options: options, isFolder: false)
    }

    /// Prepares a folder of files. One that exists and is empty is used; one that holds something needs `force`, and
    /// then only files of the same names are replaced.
    public convenience init(folder destination: String, options: OutputOptions) throws {
        let resolved = Self.resolve(destination)
        switch Paths.kind(resolved) {
        case .missing: try Self.checkLink(resolved, options)
        case .folder:
            if !options.force, !(try Paths.list(resolved).isEmpty) {
                throw CheckpointError(
                    .outputExists, "the output folder is there already and not empty", file: destination,
                    remedy: "choose another name, or replace the files in it with --force")
            }
        case let kind:
            throw CheckpointError(
                .outputExists,
                kind == .file
                    ? "the output should be a folder and is a file" : "the output is neither a file nor a folder",
                file: destination, remedy: "choose another name")
        }
        try self.init(destination: resolved, options: options, isFolder: true)
    }

    /// Prepares files with given names in an existing folder (a split model).
    public convenience init(files names: [String], in destination: String, options: OutputOptions) throws {
        let resolved = Self.resolve(destination)
        for name in names { try Self.check(Paths.join(resolved, name), options) }
        try self.init(destination: resolved, options: options, isFolder: true)
    }

    private init(destination: String, options: OutputOptions, isFolder: Bool) throws {
        self.destination = destination
        self.options = options
        self.isFolder = isFolder
        let isThere = isFolder && Paths.kind(destination) == .folder
        let parent = isThere ? destination : Paths.parent(destination)
        guard Paths.kind(parent) == .folder else {
            throw CheckpointError(
                .inputOutput, "the folder for the output does not exist", file: parent, remedy: "create it first")
        }
        folder = try Interruption.remembering {
            try StagedOutput.makeTemporaryFolder(in: parent, for: Paths.name(destination))
        }
    }

    deinit { discard() }

    /// Where a file is to be created.
    public func path(of name: String) -> String { Paths.join(folder, name) }

    /// The one file's staging path.
    public var path: String { path(of: Paths.name(destination)) }

    /// Gives every staged file its place.
    ///
    /// - Parameter replacing: files that a folder holds from before and that the new ones make stale.
    public func publish(replacing stale: (String) -> Bool = { _ in false }) throws {
        let names = try Paths.list(folder)
        if options.sync {
            for name in names { try Self.flush(path(of: name)) }
        }
        try check(names)
        try Interruption.postponed {
            if isFolder, Paths.kind(destination) == .missing {
                try publishWhole()
            } else {
                try publishEach(names, stale: stale)
            }
        }
        if options.sync {
            if isFolder { try Self.flush(destination) }
            try Self.flush(Paths.parent(destination))
        }
        discard()
    }

    /// Refuses what may not be replaced, by the names of the files that will be published. A writer knows them before
    /// the work begins, so a person need not wait for the end to hear it.
    public func check(_ names: [String]) throws {
        guard isFolder else { return try Self.check(destination, options) }
        for name in names { try Self.check(Paths.join(destination, name), options) }
    }

    /// A folder that is not there yet appears with everything in it.
    private func publishWhole() throws {
        // mkdtemp made it for this user alone; a folder has the rights that mkdir would give it.
        let mask = umask(0)
        umask(mask)
        chmod(folder, 0o777 & ~mask)
        guard rename(folder, destination) == 0 else {
            throw CheckpointError.system(Errno(rawValue: errno), "cannot be put in its place", file: destination)
        }
    }

    /// Files one after another, each of which is the old one or the new one at any moment.
    private func publishEach(_ names: [String], stale: (String) -> Bool) throws {
        for name in names {
            let target = isFolder ? Paths.join(destination, name) : destination
            guard rename(path(of: name), target) == 0 else {
                throw CheckpointError.system(Errno(rawValue: errno), "cannot be put in its place", file: target)
            }
        }
        guard isFolder, options.force else { return }
        for name in try Paths.list(destination) where !names.contains(name) && stale(name) {
            let path = Paths.join(destination, name)
            // What is being read stays, whatever its name.
            if options.isInput(path) { continue }
            unlink(path)
        }
    }

    /// Removes what was not published.
    public func discard() {
        Interruption.removeTree(folder)
        Interruption.forget(folder)
    }

    // MARK: Parts

    /// The file behind a symbolic link: the link stays, its target is replaced. A link that leads nowhere is itself
    /// replaced.
    private static func resolve(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func check(_ path: String, _ options: OutputOptions) throws {
        let kind = Paths.kind(path)
        guard kind != .missing else { return try checkLink(path, options) }
        if options.isInput(path) {
            throw CheckpointError(
                .outputExists, "the output is one of the inputs", file: path,
                remedy: "write to another name; a checkpoint is never changed in place")
        }
        if kind == .other {
            throw CheckpointError(
                .outputExists, "the output is neither a file nor a folder", file: path, remedy: "name a file")
        }
        guard options.force else {
            throw CheckpointError(
                .outputExists, "the output is there already", file: path,
                remedy: "choose another name, or replace it with --force")
        }
    }

    /// Where nothing is, a symbolic link may stand that leads there.
    private static func checkLink(_ path: String, _ options: OutputOptions) throws {
        var status = stat()
        guard !options.force, lstat(path, &status) == 0 else { return }
        throw CheckpointError(
            .outputExists, "the output is a symbolic link that leads nowhere", file: path,
            remedy: "choose another name, or replace the link with --force")
    }

    private static let mark = ".pannier-"

    /// The path that a staged file will have, for messages: nobody knows the temporary folder.
    package static func publishedPath(_ path: String) -> String {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard
            let place = parts.lastIndex(where: { $0.hasPrefix(".") && $0.dropLast(6).hasSuffix(mark) }),
            place + 2 == parts.count
        else { return path }
        let name = String(parts[place].dropFirst().dropLast(6 + mark.count))
        if parts[place + 1] == name || place > 0 && parts[place - 1] == name {
            parts.remove(at: place)
        } else {
            parts[place] = name
        }
        return parts.joined(separator: "/")
    }

    private static func makeTemporaryFolder(in parent: String, for name: String) throws -> String {
        // Names have 255 bytes at most; what is cut off a long one only served recognition.
        let short = String(decoding: Array(name.utf8.prefix(100)), as: UTF8.self)
        var template = Array(Paths.join(parent, ".\(short)\(mark)XXXXXX").utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkdtemp($0) != nil } ?? false }
        guard made else {
            throw CheckpointError.system(
                Errno(rawValue: errno), "nothing can be written in this folder", file: parent)
        }
        return template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }

    private static func flush(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CheckpointError.system(Errno(rawValue: errno), "cannot be opened", file: path)
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw CheckpointError.system(Errno(rawValue: errno), "cannot be flushed to disk", file: path)
        }
    }
}
