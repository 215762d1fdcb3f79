// Bounds that keep a hostile header from taking memory and time; all far above real checkpoints.

internal import Bytes

enum Limits {
    /// Bytes of memory that the metadata of one file may take. Vocabularies of 256,000 tokens take some 20 MB.
    static let metadataMemory = 160 << 20
    /// Tensors of one checkpoint. The largest published mixtures of experts have about 100,000.
    static let tensors = 1 << 18
    /// Dimensions of a tensor, as in NumPy 1 and half of PyTorch's limit.
    static let rank = 32
    /// Bytes of a safetensors header (the reference implementation's limit) and of a shard index.
    static let headerBytes: UInt64 = 100_000_000
    /// Files of one checkpoint.
    static let shards = 4096
}

/// What reading a header may still allocate. A file can claim much with few bytes (a sparse file has none), so what is
/// kept is counted and not what was read.
struct MemoryBudget {
    private var left = Limits.metadataMemory
    private let file: File

    init(_ file: File) { self.file = file }

    mutating func spend(_ bytes: Int, on place: String) throws {
        guard bytes <= left else {
            throw CheckpointError.unsupported(
                "the metadata takes too much memory", file: file.path, place: place,
                expected: "at most \(Limits.metadataMemory >> 20) MiB", remedy: "the file is damaged, or made to do harm")
        }
        left -= bytes
    }
}
