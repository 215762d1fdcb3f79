// Questions about paths: what stands there, what a folder holds.

internal import Platform
internal import SystemPackage

/// What stands at a path, symbolic links followed.
public enum PathKind: Sendable, Equatable {
    case missing
    case file
    case folder
    case other
}

public enum Paths {
    public static func kind(_ path: String) -> PathKind {
        var status = stat()
        guard stat(path, &status) == 0 else {
            switch try? VirtualFiles.node(path) {
            case .file?: return .file
            case .folder?: return .folder
            case nil: return .missing
            }
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .folder
        default: return .other
        }
    }

    /// Device and inode of what stands at a path, symbolic links followed; nil when nothing does.
    public static func identity(_ path: String) -> FileIdentity? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if case .file(_, let identity, _, _)? = try? VirtualFiles.node(path) { return identity }
            return nil
        }
        return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// The last component without trailing slashes; "." and ".." are resolved to the folder's own name.
    public static func name(_ path: String) -> String {
        let last = FilePath(path).lexicallyNormalized().lastComponent?.string ?? ""
        if !last.isEmpty, last != "..", last != "." { return last }
        guard let resolved = realpath(path, nil) else { return last }
        defer { free(resolved) }
        return FilePath(String(cString: resolved)).lastComponent?.string ?? last
    }

    /// The folder a path lies in; "." for a bare name.
    public static func parent(_ path: String) -> String {
        var file = FilePath(path)
        guard file.removeLastComponent() else { return path }
        return file.isEmpty ? "." : file.string
    }

    public static func join(_ folder: String, _ name: String) -> String {
        FilePath(folder).appending(name).string
    }

    /// The names in a folder, sorted by their bytes.
    public static func list(_ folder: String) throws -> [String] {
        guard let directory = opendir(folder) else {
            if case .folder(let names)? = try VirtualFiles.node(folder) { return names }
            throw CheckpointError.system(Errno(rawValue: errno), "the folder cannot be read", file: folder)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    /// Removes a file, if it can be.
    public static func removeFile(_ path: String) { unlink(path) }

    /// Makes a folder and those it lies in, where they are missing.
    public static func makeFolders(_ folder: String) throws {
        guard kind(folder) == .missing else { return }
        let above = parent(folder)
        if above != folder { try makeFolders(above) }
        guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
            throw CheckpointError.system(Errno(rawValue: errno), "the folder cannot be made", file: folder)
        }
    }
}
