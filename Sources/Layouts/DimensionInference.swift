// A model's dimensions from the shapes of its tensors, for a checkpoint without a config.
//
// Every canonical tensor is made of five lengths (vocabulary, width, feed-forward width, rows of Q, rows of K and V),
// so each stored shape is an equation between them, fused tensors included. What shapes cannot say is how many heads
// the rows of Q are: that comes from rotary_emb.inv_freq where it was kept, from a preset of the same lengths, or is
// assumed and said so.

internal import Bytes
internal import Tensors

struct DimensionInference {
    private let layout: Layout
    private let tensors: [NamedShape]
    /// For each entry of the layout, the first layer's tensor and how many layers there are.
    private var first: [(layer: Int, shape: Shape)?]
    private var layers = 0
    /// Length of a rotary_emb.inv_freq, which is half a head.
    private var rotaryLength: Int?

    init(layout: Layout, prefix: String, tensors: [NamedShape]) {
        self.layout = layout
        self.tensors = tensors
        first = Array(repeating: nil, count: layout.entries.count)
        let places = Dictionary(
            layout.entries.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        let dropped = Set(layout.dropped)
        for tensor in tensors where tensor.name.hasPrefix(prefix) {
            let name = NamePattern(tensor.name.dropFirst(prefix.count))
            if let place = places[name.pattern] {
                let layer = name.layer ?? 0
                if name.layer != nil { layers = max(layers, layer + 1) }
                if layer < first[place]?.layer ?? Int.max { first[place] = (layer, tensor.shape) }
            } else if dropped.contains(name.pattern), tensor.shape.rank == 1,
                name.pattern.hasSuffix("inv_freq") || name.pattern.hasSuffix("freqs.weight")
            {
                rotaryLength = tensor.shape.count
            }
        }
    }

    /// Whether some layer has the tensor of this role.
    func holds(_ role: Role) -> Bool {
        zip(layout.entries, first).contains { $0.roles.contains(role) && $1 != nil }
    }

    /// Rows of the embedding.
    var vocab: Int? { solve()[.vocab] }

    /// The dimensions, and what had to be assumed.
    /// - Throws: `unsupported` when the shapes leave them open.
    func config(modelName: String?) throws -> (ModelConfig, assumptions: [String]) {
        let lengths = solve()
        func length(_ axis: Axis, _ what: String) throws -> Int {
            guard let value = lengths[axis], value > 0 else {
                throw CheckpointError.unsupported(
                    "the \(what) cannot be told from the tensors that are there",
                    remedy: "give the model's dimensions with --config FILE or --preset NAME")
            }
            return value
        }
        let hidden = try length(.hidden, "model's width")
        let query = try length(.query, "number of query rows")
        let keyValue = try length(.keyValue, "number of key rows")
        let ffn = try length(.ffn, "feed-forward width")
        let vocab = try length(.vocab, "vocabulary")
        func fits(_ headDim: Int) -> Bool {
            headDim > 0 && query % headDim == 0 && keyValue % headDim == 0
                && (query / headDim) % (keyValue / headDim) == 0
        }

        let presets = try Preset.all().filter {
            let known = $0.config
            return known.hidden == hidden && known.queryRows == query && known.kvRows == keyValue && known.ffn == ffn
        }
        let named = presets.first { $0.name == modelName || $0.aliases.contains(modelName ?? "") }
        if let preset = named ?? presets.first(where: { $0.config.layers == layers }) ?? presets.first {
            var config = preset.config
            config.layers = layers
            config.vocab = vocab
            config.name = nil
            config.dtype = nil
            let reason = named == nil ? "" : ", which the checkpoint names"
            return (config, ["no config: everything the shapes leave open as in the preset \(preset.name)\(reason)"])
        }
        var assumptions: [String] = []
        let headDim: Int
        if let half = rotaryLength, let width = half.multiplied(by: 2), fits(width) {
            headDim = width
        } else {
            let usual = hidden >= 4096 ? [128, 64, 96, 80, 256, 32] : [64, 128, 96, 80, 256, 32]
            guard let width = usual.first(where: fits) else {
                throw CheckpointError.unsupported(
                    "the number of heads cannot be told from the shapes",
                    found: "\(query) query rows and \(keyValue) key rows",
                    remedy: "give the model's dimensions with --config FILE or --preset NAME")
            }
            headDim = width
            assumptions.append("no config: heads of \(headDim) assumed, as the shapes do not say")
        }
        assumptions.append("no config: context 2048, norm epsilon 1e-5 and RoPE base 10000 assumed")
        return (
            ModelConfig(
                layers: layers, hidden: hidden, heads: query / headDim, kvHeads: keyValue / headDim, headDim: headDim,
                ffn: ffn, vocab: vocab), assumptions
        )
    }

    /// The five lengths, as far as the shapes say them.
    private func solve() -> [Axis: Int] {
        var known: [Axis: Int] = [:]
        var equations: [(axes: [Axis], sum: Int)] = []
        for (entry, stored) in zip(layout.entries, first) {
            guard let shape = stored?.shape, shape.rank == entry.shape.count, let rows = shape.dimensions.first else {
                continue
            }
            equations.append((entry.roles.map { $0.axes[0] }, rows))
            if shape.rank > 1, let column = entry.roles[0].axes.dropFirst().first {
                equations.append(([column], shape.dimensions[1]))
            }
        }
        // Each round settles at least one of the five or ends.
        for _ in Axis.allCases {
            for (axes, sum) in equations {
                let open = axes.filter { known[$0] == nil }
                guard let axis = open.first, open.allSatisfy({ $0 == axis }) else { continue }
                let settled = axes.reduce(0) { $0 &+ (known[$1] ?? 0) }
                let rest = sum &- settled
                if rest > 0, rest % open.count == 0 { known[axis] = rest / open.count }
            }
        }
        return known
    }
}
