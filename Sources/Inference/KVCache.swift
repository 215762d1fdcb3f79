// What a sequence's earlier tokens leave behind for attention.

internal import Bytes
internal import Platform
public import Tensors

/// Keys (after RoPE) and values of every layer, f32, `[layer][head][position][headDim]`. It grows as it is used.
public final class KVCache {
    /// Tokens stored.
    public internal(set) var count = 0
    /// Positions there is room for.
    private(set) var capacity = 0
    private let layers: Int
    private let heads: Int
    private let headDim: Int
    /// Bytes of a position's keys and values; nil where the number does not fit.
    private let bytesPerPosition: Int?
    private var keys: [FloatBuffer] = []
    private var values: [FloatBuffer] = []

    public init(_ config: ModelConfig) {
        layers = config.layers
        heads = config.kvHeads
        headDim = config.headDim
        bytesPerPosition = Self.positionBytes(config)
    }

    /// Bytes of the keys and values of one position; nil where the number does not fit.
    static func positionBytes(_ config: ModelConfig) -> Int? {
        let pair = 2 * MemoryLayout<Float>.stride
        return pair.multiplied(by: config.headDim)?.multiplied(by: config.kvHeads)?.multiplied(by: config.layers)
    }

    /// Refuses a sequence whose keys and values this machine has no memory for, before the system ends the program.
    /// - Throws: `usage`.
    public static func check(_ config: ModelConfig, tokens: Int) throws {
        try check(bytesPerPosition: positionBytes(config), tokens: tokens, beside: 0)
    }

    /// - Parameters:
    ///   - bytesPerPosition: of all sequences that are in memory together.
    ///   - beside: bytes of all that is in memory with them.
    /// - Throws: `usage`.
    static func check(bytesPerPosition: Int?, tokens: Int, beside: Int) throws {
        let memory = memoryLimit() ?? .max
        if let needed = bytesPerPosition?.multiplied(by: tokens)?.adding(beside), needed <= memory { return }
        let most = bytesPerPosition.map { max(0, memory - beside) / max(1, $0) } ?? 0
        throw CheckpointError(
            .usage,
            "the keys and values of a sequence of \(tokens) tokens do not fit into the memory"
                + (beside > 0 ? " beside the activations" : ""),
            expected: "at most \(most) tokens", found: "\(tokens)",
            remedy: "choose a smaller --context, or a shorter prompt")
    }

    /// Refuses a length of this sequence that there is no memory for.
    /// - Parameter beside: bytes of all that is in memory with the cache.
    /// - Throws: `usage`.
    func check(_ tokens: Int, beside: Int) throws {
        try Self.check(bytesPerPosition: bytesPerPosition, tokens: tokens, beside: beside)
    }

    /// Forgets everything from a position on.
    public func truncate(to position: Int) { count = max(0, min(count, position)) }

    /// Makes room for `total` tokens.
    /// - Parameter beside: bytes of all that is in memory with the cache.
    /// - Throws: `usage` where the machine has no memory for it.
    func reserve(_ total: Int, beside: Int) throws {
        guard total > capacity else { return }
        // While a layer's keys are copied, the old ones are there as well.
        let copied = heads * capacity * headDim * MemoryLayout<Float>.stride
        let beside = beside.adding(copied) ?? .max
        try Self.check(bytesPerPosition: bytesPerPosition, tokens: total, beside: beside)
        // By halves, in whole pages of positions: what is there is copied seldom. Positions that are not used yet take
        // no memory, so the first reservation is generous; but no more than there is memory for.
        let fitting = max(0, (memoryLimit() ?? .max) - beside) / max(1, bytesPerPosition ?? .max)
        let generous = max(1024, (max(total, capacity + capacity / 2) + 63) / 64 * 64)
        let grown = min(generous, max(total, fitting))
        // A layer at a time, so that each one's old memory is free before the next one's new is taken.
        func regrow(_ buffers: inout [FloatBuffer]) {
            for layer in 0..<layers {
                let buffer = FloatBuffer(heads * grown * headDim)
                guard layer < buffers.count else {
                    buffers.append(buffer)
                    continue
                }
                for head in 0..<heads {
                    (buffer.pointer + head * grown * headDim).update(
                        from: buffers[layer].pointer + head * capacity * headDim, count: count * headDim)
                }
                buffers[layer] = buffer
            }
        }
        regrow(&keys)
        regrow(&values)
        capacity = grown
    }

    /// Floats from one head's keys to the next one's; of values likewise.
    var headStride: Int { capacity * headDim }

    /// Keys of a head from position 0 on.
    func keys(layer: Int, head: Int) -> UnsafeMutablePointer<Float> {
        keys[layer].pointer + head * headStride
    }

    func values(layer: Int, head: Int) -> UnsafeMutablePointer<Float> {
        values[layer].pointer + head * headStride
    }
}
