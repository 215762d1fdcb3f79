// The digests that are stored with a file, and the proof that bytes are those they were computed of.

package import Bytes
internal import CKernels

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

/// The digests of a block: computed while its bytes are decoded where that is possible, else when they are.
package final class BlockDigests {
    private let parts: [Range<Int>]
    private var first = SHA256()
    private var second = SHA256()
    private var complete = false

    /// - Parameter parts: the bytes that each is of: of one digest all, of two those before a place and those from there on.
    package init(parts: [Range<Int>]) { self.parts = parts }

    /// Lets the decoder of a whole block add all of its bytes to both digests.
    /// - Parameter body: is given the states and where the second part begins, and says whether the bytes were decoded. It is
    ///   not called when there is one digest only.
    /// - Returns: nil when it was not called.
    func whileDecoding(
        _ body: (UnsafeMutablePointer<pannier_sha256>, UnsafeMutablePointer<pannier_sha256>, Int) -> Bool
    ) -> Bool? {
        guard parts.count == 2, !complete else { return nil }
        complete = SHA256.withStates(&first, &second) { body($0, $1, parts[1].lowerBound) }
        return complete
    }

    /// The digests, given the block's bytes.
    package func result(of bytes: UnsafeRawBufferPointer) -> [Digest] {
        if !complete {
            let parts = parts.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
            (first, second) = (SHA256(), SHA256())
            if parts.count == 2 {
                SHA256.add(parts[0], to: &first, parts[1], to: &second)
            } else {
                first.add(bytes)
            }
            complete = true
        }
        return parts.count == 2 ? [first.digest(), second.digest()] : [first.digest()]
    }
}
