// SHA-256 of every tensor's bytes and of the whole checkpoint, in one pass, all cores, bounded memory.

public import Bytes
internal import Conversion
public import Tensors

/// Digests of a checkpoint.
public struct TensorHashes: Sendable {
    /// Of all files' bytes, one file after the other: for a single file what `sha256sum` says.
    public let whole: Digest
    /// Of each tensor's data in its stored dtype, row-major, little-endian, in the order of the checkpoint.
    public let tensors: [Digest]

    /// Bytes that are hashed: every tensor, and every file once more.
    public static func work(_ reader: any CheckpointReader) -> UInt64 {
        reader.files.reduce(reader.totalBytes) { $0.adding($1.size) ?? .max }
    }

    /// Reads everything and computes the digests.
    /// - Parameter progress: told the bytes that were hashed since it was last told, from any thread.
    public init(
        _ reader: any CheckpointReader, threads: Int, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws {
        let digests = Locked<[Digest?]>(Array(repeating: nil, count: reader.tensors.count + 1))
        // The whole first: it is the longest piece of work and keeps one thread busy while the others hash tensors.
        let order = [reader.tensors.count] + reader.tensors.indices.sorted {
            reader.tensors[$0].byteCount > reader.tensors[$1].byteCount
        }
        try Parallel.perform(order.count, threads: threads, worker: ScratchBuffer.init) { place, buffer in
            let index = order[place]
            var sha = SHA256()
            if index == reader.tensors.count {
                for file in reader.files { try Self.add(file, to: &sha, &buffer, progress) }
            } else {
                try Self.add(reader.tensors[index], of: reader, to: &sha, &buffer, progress)
            }
            let digest = sha.digest()
            digests.withValue { $0[index] = digest }
        }
        var all = digests.withValue { $0.compactMap { $0 } }
        whole = all.removeLast()
        tensors = all
    }

    /// Bytes read at a time: a piece stays in the second cache while it is hashed.
    private static let piece = 1 << 18

    private static func add(
        _ file: File, to sha: inout SHA256, _ buffer: inout ScratchBuffer, _ progress: (UInt64) -> Void
    ) throws {
        var offset: UInt64 = 0
        while offset < file.size {
            let count = Int(min(UInt64(piece), file.size - offset))
            let bytes = buffer.reserve(count)
            try file.read(into: bytes, at: offset)
            sha.add(UnsafeRawBufferPointer(bytes))
            offset += UInt64(count)
            progress(UInt64(count))
        }
    }

    /// Adds a tensor's bytes to a digest.
    static func add(
        _ tensor: TensorInfo, of reader: any CheckpointReader, to sha: inout SHA256, _ buffer: inout ScratchBuffer,
        _ progress: (UInt64) -> Void
    ) throws {
        let block = tensor.dtype.blockElements
        let length = piece / tensor.dtype.blockBytes * block
        for elements in ElementPieces(of: 0..<tensor.shape.count, length: length, unit: block) {
            let bytes = buffer.reserve(tensor.dtype.byteCount(elements: elements.count) ?? 0)
            try reader.read(tensor, elements: elements, into: bytes)
            // A digest must not depend on the machine: the bytes are those of a little-endian one.
            if Endianness.native == .big { reverseBytes(of: tensor.dtype.byteOrderUnit, in: bytes) }
            sha.add(UnsafeRawBufferPointer(bytes))
            progress(UInt64(bytes.count))
        }
    }
}
