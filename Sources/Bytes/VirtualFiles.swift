// Files that no disk has: what a checkpoint archive holds is read by the same code as what lies in a folder.

/// Where the bytes of a virtual file come from. Reads name their place, so threads share one source.
public protocol ByteSource: Sendable {
    /// Fills `buffer` from `offset`; the range lies within the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws
}

/// What stands at a virtual path.
public enum VirtualNode: Sendable {
    case file(size: UInt64, identity: FileIdentity, modified: Int64, source: any ByteSource)
    /// The names in it, sorted by their bytes.
    case folder([String])
}

/// The one resolver of virtual paths. `File` and `Paths` ask it about paths with a colon that no disk knows.
public enum VirtualFiles {
    public typealias Resolver = @Sendable (_ path: String) throws -> VirtualNode?

    private static let resolver = Locked<Resolver?>(nil)
    private static let names = Locked<(@Sendable (_ path: String) -> String?)?>(nil)
    private static let holders = Locked<Set<FileIdentity>>([])

    /// Sets the resolver, once, when a program starts.
    /// - Parameter name: what something was called where it came from, for a path that is not named after it.
    public static func install(_ resolve: @escaping Resolver, name: @escaping @Sendable (_ path: String) -> String?) {
        resolver.withValue { $0 = resolve }
        names.withValue { $0 = name }
    }

    /// What stands at a virtual path was called so elsewhere; nil where its path says its name.
    public static func originalName(of path: String) -> String? {
        guard path.utf8.contains(UInt8(ascii: ":")), let name = names.withValue({ $0 }) else { return nil }
        return name(path)
    }

    /// Says that virtual files are read out of a file of the disk. It is an input then, whatever the identities of what
    /// it holds are.
    public static func note(holder: FileIdentity) { _ = holders.withValue { $0.insert(holder) } }

    /// Whether virtual files are read out of it.
    static func isHolder(_ identity: FileIdentity) -> Bool { holders.withValue { $0.contains(identity) } }

    /// What stands at a path; nil when it is no virtual one.
    static func node(_ path: String) throws -> VirtualNode? {
        guard path.utf8.contains(UInt8(ascii: ":")), let resolve = resolver.withValue({ $0 }) else { return nil }
        return try resolve(path)
    }
}
