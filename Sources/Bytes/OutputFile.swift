// A file being written at known offsets under a temporary name; nobody sees it before it is whole.

internal import CKernels
internal import Platform
internal import SystemPackage

/// A file open for positional writing. Threads may write different places at the same time.
public final class OutputFile: Sendable {
    public let path: String
    /// The path for messages: where a staged file will be.
    private var shown: String { StagedOutput.publishedPath(path) }
    private let descriptor: FileDescriptor

    /// Creates the file and reserves its space, so that a full disk shows now and not at the end.
    /// - Throws: `inputOutput` when the folder is missing or read-only or the disk is full; `outputExists` when the
    ///   name is taken.
    public init(creating path: String, size: UInt64 = 0) throws {
        self.path = path
        do {
            descriptor = try FileDescriptor.open(
                FilePath(path), .readWrite, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: FilePermissions(rawValue: 0o644))
        } catch let errno as Errno {
            throw CheckpointError.system(errno, "cannot be created", file: StagedOutput.publishedPath(path))
        }
        guard size > 0 else { return }
        do {
            #if canImport(Glibc) || canImport(Musl)
                if try reserveInMemory(size) { return }
                var status = EINTR
                while status == EINTR { status = posix_fallocate(descriptor.rawValue, 0, off_t(clamping: size)) }
                if status != 0, status != EOPNOTSUPP, status != EINVAL {
                    throw CheckpointError.system(
                        Errno(rawValue: status), "\(size) bytes cannot be reserved", file: shown)
                }
                if status != 0 { try truncate(to: size) }
            #else
                try truncate(to: size)
            #endif
        } catch {
            try? descriptor.close()
            unlink(path)
            throw error
        }
    }

    #if canImport(Glibc) || canImport(Musl)
        /// In a file system that lives in memory, reserving means clearing every page, on one thread; there it is only
        /// looked whether there is room.
        /// - Returns: false where the file lies elsewhere.
        private func reserveInMemory(_ size: UInt64) throws -> Bool {
            var room: UInt64 = 0
            guard pannier_memory_file_room(descriptor.rawValue, &room) != 0 else { return false }
            guard room >= size else {
                throw CheckpointError.system(.noSpace, "\(size) bytes cannot be reserved", file: shown)
            }
            try truncate(to: size)
            return true
        }
    #endif

    /// Opens a file that is there, to write into it, and locks it against others that do the same.
    /// - Throws: `inputOutput` when it is missing, not permitted, or being written by another process.
    public init(updating path: String) throws {
        self.path = path
        do {
            descriptor = try FileDescriptor.open(FilePath(path), .readWrite, options: [.closeOnExec])
        } catch let errno as Errno {
            throw CheckpointError.system(errno, "cannot be opened for writing", file: path)
        }
        guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else {
            try? descriptor.close()
            throw CheckpointError(
                .inputOutput, "another process is writing to this file", file: path, remedy: "wait until it is done")
        }
    }

    deinit { try? descriptor.close() }

    /// Sets the file's length.
    public func truncate(to size: UInt64) throws {
        guard ftruncate(descriptor.rawValue, off_t(clamping: size)) == 0 else {
            throw CheckpointError.system(Errno(rawValue: errno), "cannot be resized", file: shown)
        }
    }

    /// Writes all of `bytes` at `offset`.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
        guard let base = bytes.baseAddress else { return }
        guard let start = off_t(exactly: offset) else {
            throw CheckpointError(.inputOutput, "an offset is beyond what a file can hold", file: shown)
        }
        var done = 0
        while done < bytes.count {
            let put = pwrite(descriptor.rawValue, base + done, min(bytes.count - done, 1 << 30), start + off_t(done))
            if put >= 0 {
                done += put
            } else if errno != EINTR {
                throw CheckpointError.system(Errno(rawValue: errno), "cannot be written", file: shown)
            }
        }
    }

    /// Writes all of `bytes` at `offset`.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws {
        try bytes.withUnsafeBytes { try write($0, at: offset) }
    }

    /// Waits until the bytes are on the disk.
    public func flush() throws {
        guard fsync(descriptor.rawValue) == 0 else {
            throw CheckpointError.system(Errno(rawValue: errno), "cannot be flushed to disk", file: shown)
        }
    }
}
