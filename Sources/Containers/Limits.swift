// Bounds that keep a hostile header from taking memory and time; all far above real checkpoints.

enum Limits {
    /// Tensors of one checkpoint. The largest published mixtures of experts have about 100,000.
    static let tensors = 1 << 18
    /// Dimensions of a tensor, as in NumPy 1 and half of PyTorch's limit.
    static let rank = 32
    /// Bytes of a safetensors header (the reference implementation's limit) and of a shard index.
    static let headerBytes: UInt64 = 100_000_000
    /// Files of one checkpoint.
    static let shards = 4096
}
