// How a stored file is cut for reading: into runs that lie within one chunk, and these into blocks that one thread
// decodes and proves. Docs/ArchiveFormat.md, "Digests".

internal import Bytes

/// A run of a file's bytes that lies within one piece and one chunk.
struct FileSegment: Sendable {
    var offset: UInt64
    var count: Int
    var object: ObjectID
    var chunk: Int
    /// Where the run begins within the chunk.
    var start: Int
    var tensor: String?

    /// Its chunk, to be decoded to `bytes`.
    func wanted(_ bytes: UnsafeMutableRawBufferPointer) -> ArchiveReader.WantedChunk {
        ArchiveReader.WantedChunk(object: object, index: chunk, bytes: bytes)
    }
}

extension FilePiece {
    /// The longest run from a place in the piece on that lies within one chunk.
    func segment(at within: UInt64) -> FileSegment {
        let place = objectOffset + within, size = UInt64(ChunkCodec.maxChunk)
        return FileSegment(
            offset: offset + within, count: Int(min(size - place % size, count - within)), object: object,
            chunk: Int(clamping: place / size), start: Int(place % size), tensor: tensor)
    }
}

/// Runs of a file that follow each other and are proven together, as many as fit into the size of a chunk.
struct FileBlock: Sendable {
    /// Blocks of this many bytes have two digests, one a half: two are computed in little more time than one.
    static let halved = 1 << 20

    var segments: [FileSegment]
    var count: Int
    /// Which of the file's digests are its own.
    var digests: Range<Int>

    var offset: UInt64 { segments.first?.offset ?? 0 }
    /// The bytes that each of its digests is of, counted from the block's begin.
    var parts: [Range<Int>] { digests.count == 2 ? [0..<count / 2, count / 2..<count] : [0..<count] }
}

/// The blocks of a file, in order.
struct FileBlocks: Sequence, IteratorProtocol {
    private let pieces: [FilePiece]
    /// Where the next run begins, and how many digests come before it.
    private var piece = 0
    private var within: UInt64 = 0
    private var digests = 0

    /// - Parameter pieces: of a file, in order, none empty.
    init(_ pieces: [FilePiece]) { self.pieces = pieces }

    mutating func next() -> FileBlock? {
        var block = FileBlock(segments: [], count: 0, digests: 0..<0)
        while piece < pieces.count {
            let segment = pieces[piece].segment(at: within)
            guard block.count + segment.count <= ChunkCodec.maxChunk else { break }
            block.segments.append(segment)
            block.count += segment.count
            within += UInt64(segment.count)
            if within == pieces[piece].count { (piece, within) = (piece + 1, 0) }
        }
        guard block.count > 0 else { return nil }
        block.digests = digests..<digests + (block.count < FileBlock.halved ? 1 : 2)
        digests = block.digests.upperBound
        return block
    }
}

extension ArchiveReader {
    /// Compares what a file's pieces claim with their objects, whose chunks have been counted: before anybody believes the
    /// file's size.
    /// - Throws: `malformed` when its pieces are not in their objects.
    func checkPieces(of file: StoredFile) throws {
        for piece in file.pieces { _ = try object(of: piece) }
    }

    /// All blocks of a file, in order.
    /// - Throws: `malformed` when its pieces are not in their objects.
    func blocks(of file: StoredFile) throws -> [FileBlock] {
        try checkPieces(of: file)
        return Array(FileBlocks(file.pieces))
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
        _ = try object(of: piece)
        return piece.segment(at: offset - piece.offset)
    }

    /// Bytes of the chunk that a run lies in.
    func chunkSize(of segment: FileSegment) throws -> Int { Self.chunkSize(try object(segment.object), segment.chunk) }
}
