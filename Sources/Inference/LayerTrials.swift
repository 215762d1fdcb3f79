// Known mistakes of conversions, and how to undo each in one layer of the candidate.

internal import Tensors

/// The matrices of a layer, by name.
struct LayerPart {
    let name: String
    let path: WritableKeyPath<Transformer.Layer, WeightMatrix>

    static var matrices: [LayerPart] {
        [
            LayerPart(name: "attn_q", path: \.q), LayerPart(name: "attn_k", path: \.k),
            LayerPart(name: "attn_v", path: \.v), LayerPart(name: "attn_output", path: \.o),
            LayerPart(name: "ffn_gate", path: \.gate), LayerPart(name: "ffn_up", path: \.up),
            LayerPart(name: "ffn_down", path: \.down),
        ]
    }
}

/// Tries what may be wrong with one layer.
struct LayerTrials {
    private struct Trial {
        let code: String
        /// "undoing the RoPE permutation on attn_k"
        let title: String
        let change: (inout Transformer.Layer) throws -> Void
    }

    private let probe: ParityProbe
    private let layer: Int
    private var config: ModelConfig { probe.right.config }

    init(_ probe: ParityProbe, layer: Int) {
        self.probe = probe
        self.layer = layer
    }

    /// What brings the layer's own error down, the strongest first; a second fault is looked for behind the first.
    /// - Parameter preferred: a fault that another layer had: tried before all others.
    func hints(before: Double, preferred: String?) throws -> [ParityHint] {
        if let constant = try constants(before: before) { return [constant] }
        if let moved = try moved(before: before) { return [moved] }
        var weights = probe.right.layers[layer]
        var error = before
        var hints: [ParityHint] = []
        while hints.count < 3, error > 1e-5 {
            guard let (trial, after) = try best(weights, error: error, preferred: preferred) else { break }
            try trial.change(&weights)
            hints.append(
                ParityHint(
                    code: trial.code, layer: layer,
                    message: "\(trial.title) of layer \(layer) brings its relative error from "
                        + "\(ParityProbe.text(error)) to \(ParityProbe.text(after))", before: error, after: after))
            error = after
            if after < 0.02 * before { break }
        }
        return hints
    }

    private func best(
        _ weights: Transformer.Layer, error: Double, preferred: String?
    ) throws -> (Trial, Double)? {
        var best: (trial: Trial, error: Double)?
        for group in [structural(), shifts(), scales(weights), rows(weights), replacements()] {
            for trial in group.filter({ $0.code == preferred }) + group.filter({ $0.code != preferred }) {
                var changed = weights
                guard (try? trial.change(&changed)) != nil else { continue }
                let after = try probe.ownError(layer, with: changed)
                if after < best?.error ?? (0.5 * error) { best = (trial, after) }
                if after < 1e-3 * error { return (trial, after) }
            }
            // A group names the fault more plainly than those behind it.
            if let best, best.error < 0.3 * error { return best }
        }
        return best
    }

    // MARK: Constants of the whole model

    private func constants(before: Double) throws -> ParityHint? {
        let right = probe.right, left = probe.left
        let saved = (right.rope, right.normEps)
        defer { (right.rope, right.normEps) = saved }
        func hint(_ code: String, _ title: String) throws -> ParityHint? {
            let after = try probe.ownError(layer)
            guard after < 0.2 * before else { return nil }
            return ParityHint(
                code: code, layer: layer,
                message: "\(title) brings the relative error of layer \(layer) from \(ParityProbe.text(before)) to "
                    + ParityProbe.text(after), before: before, after: after)
        }
        if right.normEps != left.normEps {
            right.normEps = left.normEps
            if let hint = try hint("norm_eps", "using the reference's norm epsilon, \(left.normEps) in place of \(saved.1),") {
                return hint
            }
            right.normEps = saved.1
        }
        guard left.config.headDim == right.config.headDim else { return nil }
        right.rope = left.rope
        return try hint("rope_base", "using " + ConfigTrials.rope(left.config, right.config))
    }

    // MARK: Trials

    private func structural() -> [Trial] {
        let half = config.headDim / 2
        /// Canonical row of a head for its place in adjacent pairs, and the other way round.
        let toHalves = { (row: Int) in row < half ? 2 * row : 2 * (row - half) + 1 }
        let toPairs = { (row: Int) in row % 2 == 0 ? row / 2 : half + row / 2 }
        func order(_ rows: Int, _ map: (Int) -> Int) -> [Int] {
            (0..<rows).map { $0 / config.headDim * config.headDim + map($0 % config.headDim) }
        }
        func permute(_ layer: inout Transformer.Layer, q: Bool, k: Bool, _ map: (Int) -> Int) throws {
            if q {
                layer.q = try layer.q.selecting(rows: order(layer.q.rows, map))
                layer.qBias = layer.qBias.map { bias in order(bias.count, map).map { bias[$0] } }
            }
            if k {
                layer.k = try layer.k.selecting(rows: order(layer.k.rows, map))
                layer.kBias = layer.kBias.map { bias in order(bias.count, map).map { bias[$0] } }
            }
        }
        var trials: [Trial] = []
        for (name, q, k) in [("attn_q", true, false), ("attn_k", false, true), ("attn_q and attn_k", true, true)] {
            trials.append(
                Trial(code: "rope_permutation", title: "undoing the RoPE permutation on \(name)") {
                    try permute(&$0, q: q, k: k, toHalves)
                })
            trials.append(
                Trial(code: "rope_permutation_missing", title: "applying the missing RoPE permutation to \(name)") {
                    try permute(&$0, q: q, k: k, toPairs)
                })
        }
        trials.append(
            Trial(code: "qkv_interleaving", title: "reading the fused QKV as interleaved by query groups") {
                try reread(&$0, interleaved: true)
            })
        trials.append(
            Trial(code: "qkv_interleaving", title: "reading the fused QKV as all Q, then all K, then all V") {
                try reread(&$0, interleaved: false)
            })
        trials.append(
            Trial(code: "gate_up_swap", title: "swapping ffn_gate and ffn_up") { layer in
                (layer.gate, layer.up) = (layer.up, layer.gate)
            })
        trials.append(
            Trial(code: "key_value_swap", title: "swapping attn_k and attn_v") { layer in
                (layer.k, layer.v) = (layer.v, layer.k)
            })
        trials.append(
            Trial(code: "norm_swap", title: "swapping attn_norm and ffn_norm") { layer in
                (layer.attnNorm, layer.ffnNorm) = (layer.ffnNorm, layer.attnNorm)
            })
        for part in LayerPart.matrices {
            trials.append(
                Trial(code: "transposed", title: "transposing \(part.name)") {
                    $0[keyPath: part.path] = try $0[keyPath: part.path].transposed()
                })
        }
        return trials
    }

    /// Takes Q, K and V as the parts of one fused tensor that was read in the other order.
    private func reread(_ layer: inout Transformer.Layer, interleaved: Bool) throws {
        let head = config.headDim, groups = config.kvHeads, perGroup = config.queriesPerGroup
        let q = layer.q.rows, k = layer.k.rows
        // Row of [q; k; v] for each row of the fused tensor in group order.
        var grouped: [Int] = []
        for group in 0..<groups {
            grouped += (0..<perGroup * head).map { group * perGroup * head + $0 }
            grouped += (0..<head).map { q + group * head + $0 }
            grouped += (0..<head).map { q + k + group * head + $0 }
        }
        var order = grouped
        if interleaved {
            // What was read as [q; k; v] is in group order: look each row up.
            for (place, row) in grouped.enumerated() { order[row] = place }
        }
        let parts = [layer.q, layer.k, layer.v]
        layer.q = try WeightMatrix.gather(parts, rows: Array(order[..<q]))
        layer.k = try WeightMatrix.gather(parts, rows: Array(order[q..<q + k]))
        layer.v = try WeightMatrix.gather(parts, rows: Array(order[(q + k)...]))
    }

    /// Whether the layer is another one of the reference's. The rows of one matrix tell which it may be, so that only that
    /// one is measured.
    private func moved(before: Double) throws -> ParityHint? {
        let candidate = probe.right.layers[layer].q
        let few = Array(stride(from: 0, to: candidate.rows, by: max(1, candidate.rows / 8)))
        func distance(to other: Int) throws -> Double {
            let reference = probe.left.layers[other].q
            guard reference.hasShape(of: candidate) else { return .infinity }
            let sums = try TensorComparison(reference, candidate, rows: few).sums
            return sums.reference > 0 ? (sums.error / sums.reference).squareRoot() : .infinity
        }
        let here = try distance(to: layer)
        var nearest: (layer: Int, error: Double)?
        for other in probe.left.layers.indices where other != layer {
            let error = try distance(to: other)
            if error < nearest?.error ?? (0.5 * here) { nearest = (other, error) }
        }
        guard let nearest else { return nil }
        let after = try probe.ownError(layer, as: nearest.layer)
        guard after < 0.2 * before else { return nil }
        return ParityHint(
            code: "layer_shift", layer: layer,
            message: "layer \(layer) holds the weights of the reference's layer \(nearest.layer): measured as that one, its "
                + "relative error is \(ParityProbe.text(after)) and not \(ParityProbe.text(before))",
            before: before, after: after)
    }

    private func shifts() -> [Trial] {
        [-1, 1].compactMap { step in
            let other = layer + step
            guard probe.right.layers.indices.contains(other) else { return nil }
            return Trial(code: "layer_shift", title: "taking the weights of layer \(other) in place of those") {
                $0 = probe.right.layers[other]
            }
        }
    }

    /// The matrices that have the same shape in both models. The reference's others say nothing of the candidate's, and
    /// cannot be put in their place.
    private var comparable: [LayerPart] {
        let reference = probe.left.layers[layer], candidate = probe.right.layers[layer]
        return LayerPart.matrices.filter { reference[keyPath: $0.path].hasShape(of: candidate[keyPath: $0.path]) }
    }

    private func scales(_ weights: Transformer.Layer) -> [Trial] {
        let reference = probe.left.layers[layer]
        var trials = comparable.compactMap { part -> Trial? in
            guard let scale = try? TensorComparison(reference[keyPath: part.path], weights[keyPath: part.path]).scale,
                abs(scale.factor - 1) > 0.01, scale.error < 0.5
            else { return nil }
            return Trial(code: "scaled", title: "multiplying \(part.name) by \(ParityProbe.text(scale.factor))") {
                $0[keyPath: part.path] = try $0[keyPath: part.path].scaled(by: Float(scale.factor))
            }
        }
        for (name, path) in [("attn_norm", \Transformer.Layer.attnNorm), ("ffn_norm", \Transformer.Layer.ffnNorm)] {
            trials.append(
                Trial(code: "norm", title: "taking the reference's \(name)") {
                    $0[keyPath: path] = reference[keyPath: path]
                })
        }
        return trials
    }

    private func rows(_ weights: Transformer.Layer) -> [Trial] {
        let reference = probe.left.layers[layer]
        return comparable.compactMap { part in
            guard let faults = try? RowFaults(
                reference: reference[keyPath: part.path], candidate: weights[keyPath: part.path])
            else { return nil }
            return Trial(code: "rows", title: "\(faults.description); putting the reference's there in \(part.name)") {
                let old = $0[keyPath: part.path], right = reference[keyPath: part.path]
                var order = Array(0..<old.rows)
                for row in faults.rows { order[row] = old.rows + row }
                $0[keyPath: part.path] = try WeightMatrix.gather([old, right], rows: order)
            }
        }
    }

    private func replacements() -> [Trial] {
        let reference = probe.left.layers[layer]
        return comparable.map { part in
            Trial(code: "tensor", title: "taking the reference's \(part.name)") {
                $0[keyPath: part.path] = reference[keyPath: part.path]
            }
        }
    }
}
