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
            if count == segment.chunkSize {
                // A whole chunk goes straight where it is wanted.
                try archive.withWorker { try archive.decode(segment.wanted(to), $0) }
            } else {
                let entry = cache.entry(ChunkCache.Key(object: segment.object, chunk: segment.chunk))
                try entry.bytes.withValue { bytes in
                    if bytes == nil {
                        bytes = try [UInt8](unsafeUninitializedCapacity: segment.chunkSize) { memory, initialized in
                            let whole = UnsafeMutableRawBufferPointer(memory)
                            try archive.withWorker { try archive.decode(segment.wanted(whole), $0) }
                            initialized = segment.chunkSize
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

/// A run of a file's bytes that lies within one chunk.
struct FileSegment: Sendable {
    var offset: UInt64
    var count: Int
    var object: ObjectID
    var chunk: Int
    /// Where the run begins within the chunk, and the chunk's size.
    var start: Int
    var chunkSize: Int
    var tensor: String?

    /// Its chunk, to be decoded to `bytes`.
    func wanted(_ bytes: UnsafeMutableRawBufferPointer) -> ArchiveReader.WantedChunk {
        ArchiveReader.WantedChunk(object: object, index: chunk, bytes: bytes)
    }
}

extension ArchiveReader {
    /// All runs of a file, in order.
    func segments(of file: StoredFile) throws -> [FileSegment] {
        var runs: [FileSegment] = []
        var at: UInt64 = 0
        while let run = try segment(of: file, at: at) {
            guard run.count > 0 else {
                throw CheckpointError.malformed("a file's piece lies beyond its object", file: path, place: run.tensor)
            }
            runs.append(run)
            at += UInt64(run.count)
        }
        return runs
    }

    /// The longest run from an offset on that lies within one chunk; nil at the end of the file.
    func segment(of file: StoredFile, at offset: UInt64) throws -> FileSegment? {
        guard offset < file.size else { return nil }
        // The last piece that begins at or before the offset.
        var low = 0, high = file.pieces.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if file.pieces[middle].offset <= offset { low = middle } else { high = middle }
        }
        guard low < file.pieces.count else { return nil }
        let piece = file.pieces[low]
        let object = try object(of: piece)
        let within = offset - piece.offset
        let place = piece.objectOffset + within
        let chunk = Int(place / UInt64(ChunkCodec.maxChunk)), start = Int(place % UInt64(ChunkCodec.maxChunk))
        let size = Self.chunkSize(object, chunk)
        let count = min(UInt64(size - start), piece.count - within)
        return FileSegment(
            offset: offset, count: Int(count), object: piece.object, chunk: chunk, start: start, chunkSize: size,
            tensor: piece.tensor)
    }
}
