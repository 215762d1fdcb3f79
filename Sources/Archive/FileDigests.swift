// The digests that are stored with a file, and the proof that bytes are those they were computed of.

internal import Bytes

/// The SHA-256 of a file and those of its blocks, computed as its bytes come, in order.
struct FileDigests: Sendable {
    private var whole = SHA256()
    private var part = SHA256()
    /// Bytes that each digest of a block is of; nil where none are wanted.
    private let parts: [Int]?
    private var digests: [Digest] = []
    /// How many bytes the one at hand lacks.
    private var left: Int

    /// - Parameter pieces: of the file; nil for the digest of the whole file only.
    init(_ pieces: [FilePiece]?) {
        parts = pieces.map { FileBlocks($0).flatMap { $0.parts.map(\.count) } }
        left = parts?.first ?? 0
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let parts else { return whole.add(bytes) }
        var rest = bytes[...]
        while !rest.isEmpty, digests.count < parts.count {
            let next = UnsafeRawBufferPointer(rebasing: rest.prefix(left))
            // Both at once: the whole file's digest alone leaves the processor half idle.
            SHA256.add(next, to: &whole, next, to: &part)
            rest = rest.dropFirst(next.count)
            left -= next.count
            if left == 0 {
                digests.append(part.digest())
                part = SHA256()
                left = digests.count < parts.count ? parts[digests.count] : 0
            }
        }
    }

    /// The whole file's digest, and those of its blocks where they are wanted, when all bytes were added.
    func result() -> (file: Digest, blocks: [Digest]?) { (whole.digest(), parts == nil ? nil : digests) }
}

extension FileBlock {
    /// The digests of its bytes.
    func digests(of bytes: UnsafeRawBufferPointer) -> [Digest] {
        var first = SHA256(), second = SHA256()
        let parts = parts.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        guard parts.count == 2 else {
            first.add(bytes)
            return [first.digest()]
        }
        SHA256.add(parts[0], to: &first, parts[1], to: &second)
        return [first.digest(), second.digest()]
    }
}
