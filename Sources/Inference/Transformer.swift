// Llama's forward pass, top to bottom: Touvron et al., "LLaMA" (arXiv:2302.13971); grouped-query attention by Ainslie
// et al. (arXiv:2305.13245); sliding windows as in Mistral 7B (arXiv:2310.06825).
//
// It is a reference. Weights are decoded exactly, activations and sums are f32. What it says of a model, it says of the
// model's weights.

internal import Bytes
internal import CKernels
public import Layouts
internal import Platform
public import Tensors

/// A look at the inside of a forward pass. Pointers are valid during the call.
public struct ForwardObserver {
    /// The residual stream `[tokens, hidden]`: layer -1 is the embedding, 0 ..< n follow their layers, n is the result
    /// of the final norm. `first` is the first token's index in the call of `forward`.
    public var hidden: ((_ layer: Int, _ first: Int, _ tokens: Int, _ values: UnsafePointer<Float>) -> Void)?
    /// What projections are multiplied with, `[tokens, columns]`.
    public var input:
        ((_ roles: [TensorRole], _ tokens: Int, _ columns: Int, _ values: UnsafePointer<Float>) -> Void)?
    /// Told of every batch that is done, its logits too: how far a long input is.
    public var batch: ((_ tokens: Int) -> Void)?

    public init() {}
}

/// Logits of consecutive tokens.
public struct LogitsBlock {
    /// Index of the first token in the call of `forward`.
    public let first: Int
    public let tokens: Int
    public let vocab: Int
    /// `[tokens, vocab]`, valid during the call.
    public let values: UnsafePointer<Float>

    public subscript(token: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: values + token * vocab, count: vocab)
    }
}

/// A decoder-only transformer of the Llama family. Not for several threads at a time: it has its own.
public final class Transformer {
    public let config: ModelConfig

    /// One block's weights.
    struct Layer {
        var attnNorm: [Float]
        var q, k, v, o: WeightMatrix
        var qBias, kBias, vBias, oBias: [Float]?
        var ffnNorm: [Float]
        var gate, up, down: WeightMatrix
        var gateBias, upBias, downBias: [Float]?
    }

    // Parity tries other weights and constants in place of these.
    var embedding: WeightMatrix
    var layers: [Layer]
    var outputNorm: [Float]
    var output: WeightMatrix
    var rope: RotaryEmbedding
    var normEps: Float

    let pool: WorkerPool
    private let product: MatrixProduct
    private let batch: Int
    /// Tokens whose logits are computed at a time.
    private let logitsBatch: Int

    // Activations, `[batch, width]` each.
    private let x, h: FloatBuffer  // the residual stream, and its normed or projected companion
    private let q, k, v, attended: FloatBuffer
    private let gate, up: FloatBuffer
    private let cosine, sine: FloatBuffer
    private let logits: FloatBuffer
    private var attentionScratch: [FloatBuffer] = []
    /// Bytes of all of these but the last.
    private let activationBytes: Int

    /// - Parameters:
    ///   - batch: the most tokens computed at once; longer inputs are split.
    /// - Throws: `malformed` when a tensor is missing or does not fit the config, `unsupported` for what the forward
    ///   pass does not compute, `usage` where the machine has no memory for the activations.
    public init(_ weights: ModelWeights, threads: Int, compute: Compute = .f32, batch: Int = 256) throws {
        let config = weights.config
        if let fault = config.fault {
            throw CheckpointError.malformed(
                "the model's \(fault.field) is impossible", expected: fault.expected, found: fault.found)
        }
        self.config = config
        self.batch = max(1, batch)
        logitsBatch = Transformer.logitsTokens(self.batch)
        embedding = try weights.matrix(.tokenEmbedding)
        outputNorm = try weights.vector(.outputNorm)
        // One that is there is used, whatever the config says.
        let isStored = weights.matrices[TensorRole(.output)] != nil
        output = config.tiedOutput && !isStored ? embedding : try weights.matrix(.output)
        rope = try RotaryEmbedding(config, factors: weights.ropeFactors)
        normEps = Float(config.normEps)
        layers = try (0..<config.layers).map { layer in
            Layer(
                attnNorm: try weights.vector(.attnNorm, layer: layer),
                q: try weights.matrix(.attnQ, layer: layer), k: try weights.matrix(.attnK, layer: layer),
                v: try weights.matrix(.attnV, layer: layer), o: try weights.matrix(.attnOutput, layer: layer),
                qBias: try weights.bias(.attnQBias, layer: layer), kBias: try weights.bias(.attnKBias, layer: layer),
                vBias: try weights.bias(.attnVBias, layer: layer),
                oBias: try weights.bias(.attnOutputBias, layer: layer),
                ffnNorm: try weights.vector(.ffnNorm, layer: layer),
                gate: try weights.matrix(.ffnGate, layer: layer), up: try weights.matrix(.ffnUp, layer: layer),
                down: try weights.matrix(.ffnDown, layer: layer),
                gateBias: try weights.bias(.ffnGateBias, layer: layer),
                upBias: try weights.bias(.ffnUpBias, layer: layer),
                downBias: try weights.bias(.ffnDownBias, layer: layer))
        }
        pool = WorkerPool(threads: threads)
        let widest = max(config.hidden, config.ffn, config.queryRows)
        // Before any of it is taken.
        let needed = Transformer.countActivations(config, batch: self.batch, threads: pool.threads, widest: widest)
        let memory = memoryLimit() ?? .max
        guard let bytes = needed, bytes <= memory else {
            throw CheckpointError(
                .usage, "the activations of a batch of \(self.batch) tokens do not fit into the memory",
                expected: "at most \(memory) bytes", found: needed.map { "\($0)" } ?? "more than can be counted",
                remedy: "check the config beside the checkpoint: no model in use is as wide")
        }
        activationBytes = bytes
        product = MatrixProduct(pool: pool, compute: compute, tokens: self.batch, columns: widest)
        x = FloatBuffer(self.batch * config.hidden)
        h = FloatBuffer(self.batch * config.hidden)
        q = FloatBuffer(self.batch * config.queryRows)
        k = FloatBuffer(self.batch * config.kvRows)
        v = FloatBuffer(self.batch * config.kvRows)
        attended = FloatBuffer(self.batch * config.queryRows)
        gate = FloatBuffer(self.batch * config.ffn)
        up = FloatBuffer(self.batch * config.ffn)
        cosine = FloatBuffer(self.batch * rope.half)
        sine = FloatBuffer(self.batch * rope.half)
        logits = FloatBuffer(logitsBatch * config.vocab)
    }

    /// Tokens whose logits are computed at a time, of a batch.
    private static func logitsTokens(_ batch: Int) -> Int { min(batch, 64) }

    /// Bytes that `init` takes for activations; nil where the number does not fit.
    /// - Parameters:
    ///   - config: without a fault: its dimensions are at most 1 << 20.
    ///   - widest: columns of the widest product.
    private static func countActivations(_ config: ModelConfig, batch: Int, threads: Int, widest: Int) -> Int? {
        // So that the kernels' own formulas fit: columns are at most 1 << 40.
        guard batch <= 1 << 20 else { return nil }
        let packed = max(
            Int(pannier_packed_floats(Int64(batch), Int64(widest))), 2 * Int(pannier_prepared_floats(Int64(widest))))
        // Two buffers of each width; the cosines and sines are half a head wide.
        let widths = 2 * (config.hidden + config.queryRows + config.kvRows + config.ffn) + config.headDim
        guard let scratch = Int(pannier_matmul_scratch(Int64(batch))).multiplied(by: threads),
            let floats = widths.multiplied(by: batch)?.adding(packed)?.adding(logitsTokens(batch) * config.vocab)
        else { return nil }
        return floats.multiplied(by: MemoryLayout<Float>.stride)?.adding(scratch)
    }

    /// Floats of a thread's scratch for attention over so many positions; nil where the number does not fit.
    private func attentionFloats(_ positions: Int) -> Int? {
        guard positions >= 0, positions <= 1 << 40 else { return nil }
        return Int(pannier_attention_scratch(Int64(positions), Int64(config.headDim)))
    }

    /// Half as many positions again: room for attention is made for these, so that it seldom has to grow.
    private static func reach(_ positions: Int) -> Int { positions.adding(positions / 2) ?? .max }

    /// Bytes that a sequence takes beside the weights and its keys and values: the activations, and attention's scratch.
    /// Int.max where the number does not fit.
    func bytesBesideCache(positions: Int) -> Int {
        attentionFloats(Self.reach(positions))?.multiplied(by: MemoryLayout<Float>.stride)?.multiplied(by: pool.threads)?
            .adding(activationBytes) ?? .max
    }

    /// Refuses ids that the embedding has no row for.
    /// - Throws: `unsupported`.
    func check(_ tokens: [Int]) throws {
        guard let stray = tokens.first(where: { $0 < 0 || $0 >= config.vocab }) else { return }
        throw CheckpointError.unsupported(
            "token id \(stray) is not in the model's vocabulary", expected: "0 ..< \(config.vocab)",
            found: "\(stray)", remedy: "check that the tokenizer belongs to the model")
    }

    /// Runs tokens that follow those in the cache, and adds them to it.
    /// - Parameters:
    ///   - wanted: indices in `tokens` whose logits are wanted; nil means the last one's.
    ///   - length: tokens of the sequence when these are read, where what follows is read in further calls and belongs to
    ///     the same reading; nil where it ends with these. RoPE's dynamic scaling depends on it: as in transformers, keys
    ///     that are in the cache keep the base that they were read with.
    ///   - body: is given the wanted logits, some tokens at a time, in order.
    /// - Throws: `unsupported` for ids outside the vocabulary, `usage` for a sequence that does not fit into the memory, and
    ///   what `body` throws.
    public func forward(
        _ tokens: [Int], cache: KVCache, wanted: Range<Int>? = nil, length: Int? = nil, observer: ForwardObserver? = nil,
        _ body: (LogitsBlock) throws -> Void
    ) throws {
        try check(tokens)
        // For all of them at once: a sequence that does not fit is refused before it is begun.
        if !tokens.isEmpty { try reserve(cache.count + tokens.count, cache) }
        let wanted = wanted ?? max(0, tokens.count - 1)..<tokens.count
        let length = max(cache.count + tokens.count, length ?? 0)
        for start in stride(from: 0, to: tokens.count, by: batch) {
            let part = Array(tokens[start..<min(tokens.count, start + batch)])
            let shown = wanted.clamped(to: start..<start + part.count)
            forwardBatch(
                part, first: start, length: length, from: shown.isEmpty ? part.count : shown.lowerBound - start,
                cache: cache, observer: observer)
            if part.count > 1, start + part.count == tokens.count { releaseBatch() }
            try project(shown, first: start, observer: observer, body)
            observer?.batch?(part.count)
        }
    }

    /// The logits of the last token.
    public func lastLogits(_ tokens: [Int], cache: KVCache, observer: ForwardObserver? = nil) throws -> [Float] {
        var last: [Float] = []
        try forward(tokens, cache: cache, observer: observer) { last = Array($0[$0.tokens - 1]) }
        return last
    }

    // MARK: The pass

    /// - Parameter needed: the first of the tokens whose logits are wanted: of those before it, the last layer only makes keys
    ///   and values.
    private func forwardBatch(
        _ tokens: [Int], first: Int, length: Int, from needed: Int, cache: KVCache, observer: ForwardObserver?
    ) {
        let n = tokens.count, position = cache.count
        let x = x.pointer
        rope.fill(cosine.pointer, sine.pointer, first: position, count: n, length: length)
        for (index, token) in tokens.enumerated() { embedding.decode(row: token, into: x + index * config.hidden) }
        if n > 1, !config.tiedOutput { embedding.releasePages() }
        observer?.hidden?(-1, first, n, x)
        for (index, layer) in layers.enumerated() {
            let seen = observer?.hidden != nil || observer?.input != nil
            let start = index == config.layers - 1 && !seen ? needed : 0
            run(layer, index, position: position, n, from: start, cache, observer)
            observer?.hidden?(index, first, n, x)
        }
        cache.count = position + n
        if let hidden = observer?.hidden {
            rmsNorm(x, outputNorm, n, into: h.pointer)
            hidden(config.layers, first, n, h.pointer)
        }
    }

    /// Gives back what a batch needed, before the output's weights come in: what follows is mostly one token at a time.
    private func releaseBatch() {
        for buffer in [q, k, v, attended, gate, up] { buffer.releasePages() }
        product.releasePages()
    }

    /// One block: the residual stream x of n tokens goes through attention and the feed-forward layer. All of them leave keys
    /// and values behind, and those from `start` on go through the rest.
    private func run(
        _ layer: Layer, _ index: Int, position: Int, _ n: Int, from start: Int = 0, _ cache: KVCache,
        _ observer: ForwardObserver?
    ) {
        let all = h.pointer, k = k.pointer, v = v.pointer
        let x = x.pointer + start * config.hidden, h = h.pointer + start * config.hidden, rest = n - start
        let q = q.pointer, attended = attended.pointer, gate = gate.pointer, up = up.pointer

        // Attention: x += Wo · attend(Wq · norm(x), Wk · norm(x), Wv · norm(x))
        rmsNorm(self.x.pointer, layer.attnNorm, n, into: all)
        observer?.input?(roles([.attnQ, .attnK, .attnV], index), n, config.hidden, all)
        let query = Projection(matrix: layer.q, bias: layer.qBias, out: q)
        let keysAndValues = [
            Projection(matrix: layer.k, bias: layer.kBias, out: k), Projection(matrix: layer.v, bias: layer.vBias, out: v),
        ]
        product.multiply(all, tokens: n, columns: config.hidden, (start == 0 ? [query] : []) + keysAndValues)
        rotate(k, heads: config.kvHeads, n)
        store(k, v, layer: index, position: position, n, cache)
        guard rest > 0 else { return }
        if start > 0 { product.multiply(h, tokens: rest, columns: config.hidden, [query]) }
        rotate(q, heads: config.heads, rest, from: start)
        attend(q, layer: index, position: position + start, rest, cache, into: attended)
        observer?.input?(roles([.attnOutput], index), rest, config.queryRows, attended)
        product.multiply(
            attended, tokens: rest, columns: config.queryRows,
            [Projection(matrix: layer.o, bias: layer.oBias, out: h)])
        add(h, rest, to: x)

        // Feed-forward: x += Wdown · (silu(Wgate · norm(x)) ⊙ (Wup · norm(x)))
        rmsNorm(x, layer.ffnNorm, rest, into: h)
        observer?.input?(roles([.ffnGate, .ffnUp], index), rest, config.hidden, h)
        product.multiply(
            h, tokens: rest, columns: config.hidden,
            [
                Projection(matrix: layer.gate, bias: layer.gateBias, out: gate),
                Projection(matrix: layer.up, bias: layer.upBias, out: up),
            ])
        gateUp(gate, up, rest)
        observer?.input?(roles([.ffnDown], index), rest, config.ffn, gate)
        product.multiply(
            gate, tokens: rest, columns: config.ffn,
            [Projection(matrix: layer.down, bias: layer.downBias, out: h)])
        add(h, rest, to: x)
    }

    /// What one block makes of a residual stream `[tokens, hidden]` at positions 0, 1, ...
    /// - Parameters:
    ///   - layer: one that `fits`.
    ///   - tokens: at most `batch`.
    /// - Throws: `usage` where there is no memory for it.
    func output(of layer: Layer, hidden: [Float], tokens: Int) throws -> [Float] {
        var one = config
        one.layers = 1
        let cache = KVCache(one)
        try reserve(tokens, cache)
        rope.fill(cosine.pointer, sine.pointer, first: 0, count: tokens, length: tokens)
        for index in hidden.indices { x.pointer[index] = hidden[index] }
        run(layer, 0, position: 0, tokens, cache, nil)
        return Array(UnsafeBufferPointer(start: x.pointer, count: tokens * config.hidden))
    }

    /// Whether a block's weights have the shapes that the activations are cut for. Another model's may not.
    func fits(_ layer: Layer) -> Bool {
        let hidden = config.hidden, query = config.queryRows, keyValue = config.kvRows, ffn = config.ffn
        let matrices: [(WeightMatrix, Int, Int)] = [
            (layer.q, query, hidden), (layer.k, keyValue, hidden), (layer.v, keyValue, hidden), (layer.o, hidden, query),
            (layer.gate, ffn, hidden), (layer.up, ffn, hidden), (layer.down, hidden, ffn),
        ]
        let vectors: [([Float]?, Int)] = [
            (layer.attnNorm, hidden), (layer.qBias, query), (layer.kBias, keyValue), (layer.vBias, keyValue),
            (layer.oBias, hidden), (layer.ffnNorm, hidden), (layer.gateBias, ffn), (layer.upBias, ffn),
            (layer.downBias, hidden),
        ]
        for (matrix, rows, columns) in matrices where matrix.rows != rows || matrix.columns != columns { return false }
        for (vector, count) in vectors {
            if let vector, vector.count != count { return false }
        }
        return true
    }

    /// Whether the final norm and the output, which parity replaces, have the shapes that the logits are cut for.
    var outputFits: Bool {
        output.rows == config.vocab && output.columns == config.hidden && outputNorm.count == config.hidden
    }

    /// The logits `[tokens, vocab]` that follow from a residual stream. Only where `outputFits`.
    func logits(ofHidden hidden: [Float], tokens: Int) -> [Float] {
        var all: [Float] = []
        for start in stride(from: 0, to: tokens, by: logitsBatch) {
            let n = min(logitsBatch, tokens - start)
            for index in 0..<n * config.hidden { x.pointer[index] = hidden[start * config.hidden + index] }
            rmsNorm(x.pointer, outputNorm, n, into: h.pointer)
            product.multiply(
                h.pointer, tokens: n, columns: config.hidden,
                [Projection(matrix: output, bias: nil, out: logits.pointer)])
            all += UnsafeBufferPointer(start: logits.pointer, count: n * config.vocab)
        }
        return all
    }

    /// logits = Woutput · norm(x), for some tokens of the batch that begins at `first`.
    private func project(
        _ wanted: Range<Int>, first: Int, observer: ForwardObserver?, _ body: (LogitsBlock) throws -> Void
    ) throws {
        for start in stride(from: wanted.lowerBound, to: wanted.upperBound, by: logitsBatch) {
            let n = min(logitsBatch, wanted.upperBound - start)
            rmsNorm(x.pointer + (start - first) * config.hidden, outputNorm, n, into: h.pointer)
            observer?.input?([TensorRole(.output)], n, config.hidden, h.pointer)
            product.multiply(
                h.pointer, tokens: n, columns: config.hidden,
                [Projection(matrix: output, bias: nil, out: logits.pointer)])
            try body(LogitsBlock(first: start, tokens: n, vocab: config.vocab, values: logits.pointer))
        }
    }

    // MARK: Its parts

    private func roles(_ roles: [Role], _ layer: Int) -> [TensorRole] { roles.map { TensorRole($0, layer: layer) } }

    /// y = x / sqrt(mean(x²) + eps) · weight, a token at a time.
    private func rmsNorm(
        _ x: UnsafePointer<Float>, _ weight: [Float], _ tokens: Int, into y: UnsafeMutablePointer<Float>
    ) {
        let width = config.hidden, eps = normEps
        weight.withUnsafeBufferPointer { weight in
            pool.run(over: tokens, by: 16) { range, _ in
                for token in range {
                    pannier_rms_norm(x + token * width, weight.baseAddress, eps, Int64(width), y + token * width)
                }
            }
        }
    }

    /// Turns every head by its token's angles; the pairs are (i, i + half), Hugging Face's order.
    /// - Parameter start: which of the batch's tokens the first row belongs to.
    private func rotate(_ rows: UnsafeMutablePointer<Float>, heads: Int, _ tokens: Int, from start: Int = 0) {
        let half = rope.half, headDim = config.headDim
        let cosine = cosine.pointer + start * half, sine = sine.pointer + start * half
        pool.run(over: tokens, by: 16) { range, _ in
            for token in range {
                for head in 0..<heads {
                    pannier_rope(
                        rows + (token * heads + head) * headDim, cosine + token * half, sine + token * half,
                        Int64(half), 0)
                }
            }
        }
    }

    private func store(
        _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>, layer: Int, position: Int, _ tokens: Int, _ cache: KVCache
    ) {
        let heads = config.kvHeads, width = config.headDim
        let keys = cache.keys(layer: layer, head: 0), values = cache.values(layer: layer, head: 0)
        let headStride = cache.headStride
        pool.run(over: tokens, by: 16) { range, _ in
            for token in range {
                for head in 0..<heads {
                    let from = (token * heads + head) * width, to = head * headStride + (position + token) * width
                    (keys + to).update(from: k + from, count: width)
                    (values + to).update(from: v + from, count: width)
                }
            }
        }
    }

    /// softmax(q · kᵀ / sqrt(headDim), causal) · v; each group of query heads shares a key/value head.
    private func attend(
        _ q: UnsafePointer<Float>, layer: Int, position: Int, _ tokens: Int, _ cache: KVCache,
        into out: UnsafeMutablePointer<Float>
    ) {
        let width = config.headDim, stride = config.queryRows, group = config.queriesPerGroup, heads = config.heads
        let panel = Int(pannier_attention_tokens()), panels = (tokens + panel - 1) / panel
        let scale = Float(1 / Double(width).squareRoot()), window = Int64(config.slidingWindow ?? 0)
        // Plain pointers: counting references between threads would cost more than a short head.
        let keys = cache.keys(layer: layer, head: 0), values = cache.values(layer: layer, head: 0)
        let headStride = cache.headStride, scratch = attentionScratch.map(\.pointer)
        // The last panels see the most keys: begin with them, so that the threads end together.
        pool.run(heads * panels) { chunk, thread in
            let head = chunk % heads
            let first = (panels - 1 - chunk / heads) * panel
            var attention = pannier_attention(
                query: q + first * stride + head * width, query_stride: Int64(stride),
                keys: keys + head / group * headStride, values: values + head / group * headStride,
                head: Int64(width), position: Int64(position + first), tokens: Int64(min(panel, tokens - first)),
                window: window, scale: scale,
                out: out + first * stride + head * width, out_stride: Int64(stride))
            pannier_attend(&attention, scratch[thread])
        }
    }

    /// Makes room for the keys and values of so many positions, and for attention over them.
    /// - Throws: `usage` where the machine has no memory for that beside the activations.
    private func reserve(_ positions: Int, _ cache: KVCache) throws {
        let held = attentionScratch.first?.count ?? 0
        let grows = (attentionFloats(positions) ?? .max) > held
        guard grows || positions > cache.capacity else { return }
        let beside = bytesBesideCache(positions: positions)
        try cache.check(positions, beside: beside)
        if grows, let floats = attentionFloats(Self.reach(positions)) {
            attentionScratch = []
            attentionScratch = (0..<pool.threads).map { _ in FloatBuffer(floats) }
        }
        try cache.reserve(positions, beside: beside)
    }

    /// gate = silu(gate) ⊙ up
    private func gateUp(_ gate: UnsafeMutablePointer<Float>, _ up: UnsafePointer<Float>, _ tokens: Int) {
        let width = config.ffn
        pool.run(over: tokens, by: 8) { range, _ in
            pannier_silu_multiply(
                gate + range.lowerBound * width, up + range.lowerBound * width, Int64(range.count * width))
        }
    }

    private func add(_ y: UnsafePointer<Float>, _ tokens: Int, to x: UnsafeMutablePointer<Float>) {
        let width = config.hidden
        pool.run(over: tokens, by: 32) { range, _ in
            pannier_add(x + range.lowerBound * width, y + range.lowerBound * width, Int64(range.count * width))
        }
    }
}
