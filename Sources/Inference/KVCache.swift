// What a sequence's earlier tokens leave behind for attention.

internal import Bytes
internal import Platform
public import Tensors

/// Keys (after RoPE) and values of every layer, f32, `[layer][head][position][headDim]`. It grows as it is used.
public final class KVCache {
    /// Tokens stored.
    public internal(set) var count = 0
    private let layers: Int
    private let heads: Int
    private let headDim: Int
    private var capacity = 0
    private var keys: [FloatBuffer] = []
    private var values: [FloatBuffer] = []

    public init(_ config: ModelConfig) {
        layers = config.layers
        heads = config.kvHeads
        headDim = config.headDim
    }

    /// Refuses a sequence whose keys and values this machine has no memory for, before the system ends the program.
    /// - Throws: `usage`.
    public static func check(_ config: ModelConfig, tokens: Int) throws {
        let perToken = Double(config.layers) * Double(config.kvHeads) * Double(config.headDim) * 8
        let needed = perToken * Double(tokens)
        guard let memory = memoryLimit().map({ Double($0) }), needed > memory else { return }
        throw CheckpointError(
            .usage, "the keys and values of a sequence of \(tokens) tokens do not fit into the memory",
            expected: "at most \(Int(memory / perToken)) tokens", found: "\(tokens)",
            remedy: "choose a smaller --context, or a shorter prompt")
    }

    /// Forgets everything from a position on.
    public func truncate(to position: Int) { count = max(0, min(count, position)) }

    /// Makes room for `total` tokens.
    func reserve(_ total: Int) {
        guard total > capacity else { return }
        // By halves, in whole pages of positions: what is there is copied seldom. Positions that are not used yet take
        // no memory, so the first reservation is generous.
        let grown = max(1024, (max(total, capacity + capacity / 2) + 63) / 64 * 64)
        func regrow(_ old: [FloatBuffer]) -> [FloatBuffer] {
            (0..<layers).map { layer in
                let buffer = FloatBuffer(heads * grown * headDim)
                if capacity > 0 {
                    for head in 0..<heads {
                        (buffer.pointer + head * grown * headDim).update(
                            from: old[layer].pointer + head * capacity * headDim, count: count * headDim)
                    }
                }
                return buffer
            }
        }
        keys = regrow(keys)
        values = regrow(values)
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
