// A file inside an archive, read in place: any range of it, through a small cache of decoded chunks.

internal import Bytes

/// Chunks decoded lately, shared by all files of an archive that are open.
final class ChunkCache: Sendable {
    struct Key: Hashable, Sendable {
        let object: ObjectID
        let chunk: Int
    }

    /// A chunk that one thread decodes while others wait for it.
    final class Entry: Sendable {
        let bytes = Locked<[UInt8]?>(nil)
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// The least lately used first.
        var order: [Key] = []
    }

    private let state = Locked(State())
    private let capacity: Int

    init(chunks: Int) { capacity = chunks }

    func entry(_ key: Key) -> Entry {
        state.withValue { state in
            if let place = state.order.firstIndex(of: key) { state.order.remove(at: place) }
            state.order.append(key)
            if let known = state.entries[key] { return known }
            let entry = Entry()
            state.entries[key] = entry
            if state.order.count > capacity { state.entries[state.order.removeFirst()] = nil }
            return entry
        }
    }
}

/// The bytes of a stored file.
final class ArchivedFile: ByteSource {
    private let archive: ArchiveReader
    private let file: StoredFile
    private let cache: ChunkCache

    init(_ archive: ArchiveReader, _ file: StoredFile, cache: ChunkCache) {
        self.archive = archive
        self.file = file
        self.cache = cache
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
        var done = 0
        while done < buffer.count {
            let at = offset + UInt64(done)
            guard let segment = try archive.segment(of: file, at: at) else {
                throw CheckpointError.malformed("a read beyond the end of a file in the archive", file: archive.path)
            }
            let count = min(segment.count, buffer.count - done)
            let to = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            let size = try archive.chunkSize(of: segment)
            if count == size {
                // A whole chunk goes straight where it is wanted.
                try archive.withWorker { try archive.decode(segment.wanted(to), $0) }
            } else {
                let entry = cache.entry(ChunkCache.Key(object: segment.object, chunk: segment.chunk))
                try entry.bytes.withValue { bytes in
                    if bytes == nil {
                        bytes = try [UInt8](unsafeUninitializedCapacity: size) { memory, initialized in
                            let whole = UnsafeMutableRawBufferPointer(memory)
                            try archive.withWorker { try archive.decode(segment.wanted(whole), $0) }
                            initialized = size
                        }
                    }
                    bytes?.withUnsafeBytes {
                        to.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[segment.start..<segment.start + count]))
                    }
                }
            }
            done += count
        }
    }
}
