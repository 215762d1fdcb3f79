// A file opened for positional reading: every read names its place, so threads share one descriptor.

internal import Platform
internal import SystemPackage

/// Which file it is, whatever it is called: device and inode.
public struct FileIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64

    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// An open, read-only, regular file of known length.
///
/// Reads are `pread`s into the caller's memory. Nothing is mapped, so a file that shrinks while it is read is an
/// error and not a signal.
public final class File: Sendable {
    /// The path as the caller gave it, for messages.
    public let path: String
    /// Length in bytes when it was opened.
    public let size: UInt64
    public let identity: FileIdentity
    /// Seconds since 1970 of the last change of its bytes.
    public let modified: Int64
    /// Nil for a virtual file, whose bytes come from `source`.
    private let descriptor: FileDescriptor?
    private let source: (any ByteSource)?

    /// Opens a regular file.
    /// - Throws: `inputOutput` when it is missing, not permitted, or not a regular file.
    public init(_ path: String) throws {
        self.path = path
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec, .nonBlocking])
        } catch let errno as Errno {
            switch try VirtualFiles.node(path) {
            case .file(let size, let identity, let modified, let source)?:
                self.descriptor = nil
                self.source = source
                self.size = size
                self.identity = identity
                self.modified = modified
                return
            case .folder?:
                throw CheckpointError(.inputOutput, "is a folder", file: path, remedy: "name a file")
            case nil: break
            }
            throw CheckpointError.system(errno, "cannot be opened", file: path)
        }
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else {
            let errno = Errno(rawValue: errno)
            try? descriptor.close()
            throw CheckpointError.system(errno, "cannot be examined", file: path)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            try? descriptor.close()
            throw CheckpointError(
                .inputOutput, status.st_mode & S_IFMT == S_IFDIR ? "is a folder" : "is not a regular file", file: path,
                remedy: "name a file")
        }
        self.descriptor = descriptor
        source = nil
        size = UInt64(clamping: status.st_size)
        identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        #if canImport(Darwin)
            modified = Int64(status.st_mtimespec.tv_sec)
        #else
            modified = Int64(status.st_mtim.tv_sec)
        #endif
    }

    deinit { try? descriptor?.close() }

    /// Fills `buffer` from `offset`.
    /// - Throws: `malformed` when the file ends before; `inputOutput` when the system refuses.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
        guard buffer.count > 0, let base = buffer.baseAddress else { return }
        guard let end = offset.adding(UInt64(buffer.count)), end <= UInt64(Int64.max) else {
            throw CheckpointError.malformed("a read reaches beyond what a file can hold", file: path, offset: offset)
        }
        guard let descriptor else {
            guard end <= size else {
                throw CheckpointError.malformed(
                    "the file ends too early", file: path, offset: offset, expected: "\(buffer.count) bytes",
                    found: "\(offset < size ? size - offset : 0)")
            }
            try source?.read(into: buffer, at: offset)
            return
        }
        var done = 0
        while done < buffer.count {
            let got = pread(
                descriptor.rawValue, base + done, min(buffer.count - done, 1 << 30), off_t(offset) + off_t(done))
            if got > 0 {
                done += got
            } else if got == 0 {
                throw CheckpointError.malformed(
                    "the file ends too early", file: path, offset: offset + UInt64(done),
                    expected: "\(buffer.count - done) more bytes", found: "its end",
                    remedy: "it may be an incomplete download or copy")
            } else if errno != EINTR {
                throw CheckpointError.system(Errno(rawValue: errno), "cannot be read", file: path)
            }
        }
    }

    /// `count` bytes from `offset`. Compared with the file's length before anything is allocated.
    public func bytes(at offset: UInt64, count: Int) throws -> [UInt8] {
        guard count >= 0, let end = offset.adding(UInt64(count)), end <= size else {
            throw CheckpointError.malformed(
                "the file ends too early", file: path, offset: offset, expected: "\(count) bytes",
                found: "\(offset < size ? size - offset : 0)", remedy: "it may be an incomplete download or copy")
        }
        return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            initialized = count
        }
    }

    /// The whole file, refused above `limit` bytes.
    public func contents(limit: UInt64) throws -> [UInt8] {
        guard size <= limit, let count = Int(exactly: size) else {
            throw CheckpointError.malformed(
                "the file is too large for what it should be", file: path, expected: "at most \(limit) bytes",
                found: "\(size)")
        }
        return try bytes(at: 0, count: count)
    }

    /// Maps the file; a virtual one is read into memory of its own.
    fileprivate func mapped(_ count: Int) throws -> UnsafeMutableRawPointer {
        let address =
            if let descriptor {
                mmap(nil, count, PROT_READ, MAP_SHARED, descriptor.rawValue, 0)
            } else {
                mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0)
            }
        guard let address, address != MAP_FAILED else {
            throw CheckpointError.system(Errno(rawValue: errno), "cannot be mapped", file: path)
        }
        guard let source else { return address }
        do {
            try source.read(into: UnsafeMutableRawBufferPointer(start: address, count: count), at: 0)
        } catch {
            munmap(address, count)
            throw error
        }
        return address
    }

    /// Whether its bytes come from elsewhere than a file of their own.
    public var isVirtual: Bool { descriptor == nil }

    /// The whole file mapped read-only, for the forward pass. A file that shrinks meanwhile kills the process, which
    /// is why the converting commands do not use it.
    public func map() throws -> MappedFile { try MappedFile(self) }
}

/// A read-only mapping of a whole file; it stays valid as long as this object lives.
public final class MappedFile: @unchecked Sendable {
    public let file: File
    public let bytes: UnsafeRawBufferPointer
    /// Whether pages that are given back can be read again: a virtual file's are memory, and would come back as zeros.
    public var isOnDisk: Bool { !file.isVirtual }

    init(_ file: File) throws {
        self.file = file
        guard let count = Int(exactly: file.size) else {
            throw CheckpointError.unsupported("the file is too large to map", file: file.path)
        }
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        bytes = UnsafeRawBufferPointer(start: UnsafeRawPointer(try file.mapped(count)), count: count)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }
}
