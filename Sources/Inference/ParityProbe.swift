// Looking for the layer at fault: each of the candidate's layers is given the reference's hidden state, so that a layer
// answers for itself alone; and at the layers that are wrong, known mistakes of conversions are undone, one after the
// other, to see which it was.

internal import CKernels
internal import Layouts
internal import Reporting
internal import Tensors

struct ParityProbe {
    let comparison: ParityComparison
    let tokens: [Int]
    /// The reference's residual stream before layer l at l, behind the last layer at n.
    let states: [[Float]]
    private let referenceLogits: [Float]

    var left: Transformer { comparison.left }
    var right: Transformer { comparison.right }
    var layerCount: Int { left.config.layers }

    init(_ comparison: ParityComparison, tokens: [Int]) throws {
        self.comparison = comparison
        self.tokens = tokens
        let left = comparison.left
        var kept = HiddenStates()
        var observer = ForwardObserver()
        observer.hidden = { kept.keep($0, $2, left.config.hidden, $3) }
        try left.forward(tokens, cache: KVCache(left.config), wanted: 0..<0, observer: observer) { _ in }
        states = (0...left.config.layers).map { kept.layers[$0 - 1] ?? [] }
        referenceLogits = left.logits(ofHidden: states[left.config.layers], tokens: tokens.count)
    }

    // MARK: Errors

    /// The error of what a layer of the candidate adds to the reference's hidden state.
    /// - Parameters:
    ///   - weights: taken in place of the layer's own. The error is infinite where they do not fit the candidate.
    ///   - other: the reference's layer that it is measured as; nil for the one in its place.
    func ownError(_ layer: Int, with weights: Transformer.Layer? = nil, as other: Int? = nil) throws -> Double {
        let weights = weights ?? right.layers[layer], place = other ?? layer
        guard right.fits(weights) else { return .infinity }
        let ours = try right.output(of: weights, hidden: states[place], tokens: tokens.count)
        let before = states[place], after = states[place + 1]
        var error = 0.0, size = 0.0
        for index in after.indices {
            let difference = Double(ours[index]) - Double(after[index])
            let added = Double(after[index]) - Double(before[index])
            error += difference * difference
            size += added * added
        }
        return Self.ratio(error, size)
    }

    /// The error of the candidate's embedding of the tokens, taken from rows further on by `shift`; of those that it has
    /// rows for. A shift that leaves few of them says nothing: its error is infinite.
    /// - Parameter step: 1 compares all tokens, n every n-th.
    func embeddingError(shift: Int = 0, step: Int = 1) -> Double {
        let width = left.config.hidden
        let row = FloatBuffer(width)
        var error = 0.0, size = 0.0, compared = 0, asked = 0
        for index in stride(from: 0, to: tokens.count, by: step) {
            let place = tokens[index] + shift
            asked += 1
            guard place >= 0, place < right.config.vocab else { continue }
            compared += 1
            right.embedding.decode(row: place, into: row.pointer)
            for column in 0..<width {
                let reference = Double(states[0][index * width + column])
                let difference = Double(row.pointer[column]) - reference
                error += difference * difference
                size += reference * reference
            }
        }
        guard shift == 0 || 2 * compared > asked else { return .infinity }
        return Self.ratio(error, size)
    }

    /// The error of the logits that the candidate's final norm and output make of the reference's last hidden state, over
    /// the smaller vocabulary. It is infinite where a norm or an output that was put in does not fit the candidate.
    func outputError() -> Double {
        guard right.outputFits else { return .infinity }
        let ours = right.logits(ofHidden: states[layerCount], tokens: tokens.count)
        var error = 0.0, size = 0.0
        for token in tokens.indices {
            for id in 0..<comparison.vocab {
                let reference = Double(referenceLogits[token * left.config.vocab + id])
                let difference = Double(ours[token * right.config.vocab + id]) - reference
                error += difference * difference
                size += reference * reference
            }
        }
        return Self.ratio(error, size)
    }

    private static func ratio(_ error: Double, _ size: Double) -> Double {
        if size > 0 { return (error / size).squareRoot() }
        return error > 0 ? .infinity : 0
    }

    // MARK: Layers

    func layers(_ hidden: HiddenError, progress: (_ done: Int, _ of: Int) -> Void) throws -> [LayerParity] {
        var own: [Double] = []
        progress(0, layerCount + 2)
        for layer in -1...layerCount {
            own.append(try layer < 0 ? embeddingError() : layer < layerCount ? ownError(layer) : outputError())
            progress(own.count, layerCount + 2)
        }
        let inner = own[1...layerCount].sorted()
        let median = inner.isEmpty ? 0 : inner[(inner.count - 1) / 2]
        return own.enumerated().map { index, error in
            let layer = index - 1
            var expected = 1e-5 + 2 * storageError(layer)
            // Layers of one model are alike: one that is much worse than most is wrong.
            if (0..<layerCount).contains(layer) { expected = min(expected, max(5 * median, 1e-4)) }
            return LayerParity(
                layer: layer, relativeError: hidden.relative(layer), ownError: error, expectedError: expected)
        }
    }

    /// What the worst stored tensor of a layer explains.
    private func storageError(_ layer: Int) -> Double {
        func error(_ ours: WeightMatrix, _ theirs: WeightMatrix) -> Double {
            ExpectedError.of(ours.dtype, from: theirs.dtype)
        }
        if layer < 0 { return error(right.embedding, left.embedding) }
        if layer >= layerCount { return error(right.output, left.output) }
        return LayerPart.matrices.map { error(right.layers[layer][keyPath: $0.path], left.layers[layer][keyPath: $0.path]) }
            .max() ?? 0
    }

    // MARK: Hints

    func hints(_ report: ParityReport, progress: (_ done: Int, _ of: Int) -> Void) throws -> [ParityHint] {
        let divergent = report.layers.filter(\.isDivergent)
        // Where no layer stands out, the worst one is looked at.
        let worst = report.layers.max { $0.ownError < $1.ownError }.map { [$0] } ?? []
        let suspects = divergent.isEmpty ? worst.filter { $0.ownError > 1e-5 } : divergent
        var hints = report.hints
        var inner: [ParityHint] = []
        for (index, suspect) in suspects.enumerated() {
            progress(index, suspects.count)
            switch suspect.layer {
            case -1: hints += embeddingHints(suspect)
            case layerCount: hints += outputHints(suspect)
            default:
                // The first layers in full; later ones usually have the same fault.
                guard inner.count < 8 else { continue }
                inner += try LayerTrials(self, layer: suspect.layer).hints(
                    before: suspect.ownError, preferred: inner.first?.code)
            }
        }
        return hints + Self.merged(inner)
    }

    /// The same fault in many layers is said once.
    private static func merged(_ hints: [ParityHint]) -> [ParityHint] {
        var merged: [ParityHint] = []
        var more: [Int: Int] = [:]
        for hint in hints {
            if let place = merged.firstIndex(where: { $0.code == hint.code }), merged[place].layer != hint.layer,
                merged.count(where: { $0.code == hint.code }) >= 3 || hint.code.hasPrefix("rope_") || hint.code == "norm_eps"
            {
                more[place, default: 0] += 1
            } else {
                merged.append(hint)
            }
        }
        for (place, count) in more {
            merged[place].message += "; the same in \(count) more layer\(count == 1 ? "" : "s")"
        }
        return merged
    }

    /// Rows that an embedding is shifted by at most.
    private static let farthestShift = 64

    private func embeddingHints(_ suspect: LayerParity) -> [ParityHint] {
        // A few tokens tell which shifts are worth the others.
        let shifts = (1...Self.farthestShift).flatMap { [-$0, $0] }
        let few = shifts.map { (shift: $0, error: embeddingError(shift: $0, step: 8)) }
        let tried = few.sorted { $0.error < $1.error }.prefix(4).map {
            (shift: $0.shift, error: embeddingError(shift: $0.shift))
        }
        if let best = tried.min(by: { $0.error < $1.error }), best.error < 0.2 * suspect.ownError {
            let direction = best.shift > 0 ? "down" : "up"
            return [
                ParityHint(
                    code: "embedding_shift", layer: -1,
                    message: "the embedding's rows are shifted \(direction) by \(abs(best.shift)): taking row t "
                        + "\(best.shift > 0 ? "+" : "-") \(abs(best.shift)) for token t brings its relative error from "
                        + "\(Self.text(suspect.ownError)) to \(Self.text(best.error))",
                    before: suspect.ownError, after: best.error)
            ]
        }
        guard let rows = try? RowFaults(reference: left.embedding, candidate: right.embedding, rows: tokens) else { return [] }
        return [
            ParityHint(
                code: "embedding_rows", layer: -1, message: "the embedding differs: \(rows.description)",
                before: suspect.ownError, after: suspect.ownError)
        ]
    }

    private func outputHints(_ suspect: LayerParity) -> [ParityHint] {
        let saved = (right.output, right.outputNorm, right.normEps)
        var best: (code: String, title: String, error: Double)?
        func attempt(_ code: String, _ title: String, _ change: () throws -> Void) {
            defer { (right.output, right.outputNorm, right.normEps) = saved }
            guard (try? change()) != nil else { return }
            let error = outputError()
            if error < 0.2 * suspect.ownError, error < 0.5 * (best?.error ?? .infinity) { best = (code, title, error) }
        }
        if right.normEps != left.normEps {
            attempt("norm_eps", "using the reference's norm epsilon, \(left.normEps) in place of \(right.normEps),") {
                right.normEps = left.normEps
            }
        }
        attempt("output_tied", "taking the embedding for the output") { right.output = right.embedding }
        for shift in [-1, 1, -2, 2] {
            attempt("output_shift", "taking the output's row t \(shift > 0 ? "+" : "-") \(abs(shift)) for token t") {
                let last = right.output.rows - 1
                right.output = try right.output.selecting(rows: (0...last).map { min(last, max(0, $0 + shift)) })
            }
        }
        attempt("output_norm", "taking the reference's final norm") { right.outputNorm = left.outputNorm }
        attempt("output_transposed", "transposing the output") { right.output = try right.output.transposed() }
        // Where the rest stays large, the two are different tensors, and a small factor only makes less of one.
        if let scale = try? TensorComparison(left.output, right.output).scale, abs(scale.factor - 1) > 0.01,
            scale.error < 0.5
        {
            attempt("scaled", "multiplying the output by \(Self.text(scale.factor))") {
                right.output = try right.output.scaled(by: Float(scale.factor))
            }
        }
        if best == nil, left.output.hasShape(of: right.output) {
            attempt("tensor", "taking the reference's output") { right.output = left.output }
        }
        guard let best else { return [] }
        return [
            ParityHint(
                code: best.code, layer: layerCount,
                message: "\(best.title) brings the relative error of the logits from \(Self.text(suspect.ownError)) to "
                    + Self.text(best.error), before: suspect.ownError, after: best.error)
        ]
    }

    /// Two significant digits: 0.81, 3.1e-07.
    static func text(_ value: Double) -> String { NumberText.significant(value, digits: 2) }
}
