// `--target-size`: the best mix that fits into so many bytes.
//
// The ladder of file types is climbed as far as the size allows. What room is left then raises single tensors to what
// they would have on the next rung, those first that gain most by it.

internal import Bytes
internal import Tensors

/// The mix that was chosen, and how.
public struct SizedMix: Sendable {
    public let fileType: FileType
    public let decisions: [MixDecision]
    /// Bytes of all tensors, padded, and of the header.
    public let bytes: Int
    /// The choice in words, for the person.
    public let summary: String
}

/// Chooses a mix by size.
public enum TargetSize {
    /// From the least to the most faithful. Types for models trained to be ternary are none of its rungs, nor those
    /// that are beaten by a smaller one.
    private static let ladder: [FileType] = [
        .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq2_m, .q2_K, .iq3_xxs, .iq3_xs, .q3_K_S, .iq3_m, .q3_K_M, .q3_K_L,
        .iq4_xs, .q4_K_S, .q4_K_M, .q5_K_S, .q5_K_M, .q6_K, .q8_0,
    ]

    /// The rungs above: what loses least of the source's own floats, and then nothing.
    private static func floats(_ tensors: [MixTensor]) -> [FileType] {
        let matrices = tensors.lazy.filter { $0.rank > 1 }.map(\.type)
        if matrices.contains(.f32) || matrices.contains(.f64) { return [.f16, .f32] }
        return matrices.contains(.bf16) ? [.bf16] : [.f16]
    }

    /// - Parameters:
    ///   - bytes: the size that the file may have at most.
    ///   - header: bytes of the file before its tensors' data.
    ///   - tensors: in the order in which they are written.
    ///   - options: overrides and the like; the file type in it is not used.
    ///   - matrixNames: names that the importance matrix knows, or nil where there is none.
    ///   - alignment: bytes of which each tensor takes a multiple, as the file's `general.alignment` says.
    /// - Throws: a usage error, with the smallest possible size, when nothing fits.
    public static func choose(
        bytes limit: Int, header: Int, tensors: [MixTensor], model: ModelSummary, options: MixOptions,
        matrixNames: Set<String>?, alignment: Int
    ) throws -> SizedMix {
        var rungs: [(fileType: FileType, decisions: [MixDecision], bytes: Int)] = []
        for fileType in ladder + floats(tensors) {
            var options = options
            options.fileType = fileType
            options.hasMatrix = matrixNames != nil
            let decisions = try MixPolicy(options, model: model).decide(tensors)
            // A rung on which a tensor would need weights that are not there is left out.
            if decisions.contains(where: { $0.needsMatrix && $0.changes && matrixNames?.contains($0.name) != true }) {
                continue
            }
            guard let size = total(decisions, tensors, header, alignment) else { continue }
            // A rung no smaller than the one above it would be a poor choice.
            while let last = rungs.last, last.bytes >= size { rungs.removeLast() }
            rungs.append((fileType, decisions, size))
        }
        guard let index = rungs.lastIndex(where: { $0.bytes <= limit }) else {
            let least = rungs.first.map { "\($0.bytes) bytes (\($0.fileType))" } ?? "nothing"
            throw CheckpointError(
                .usage, "no mix fits into the target size", expected: "at least \(least)", found: "\(limit) bytes",
                remedy: matrixNames == nil
                    ? "smaller types need an importance matrix (--imatrix)" : "the model is too large for this size")
        }
        let base = rungs[index]
        var decisions = base.decisions
        var size = base.bytes
        var raised = 0
        // With --pure every matrix has the same type, whatever room is left.
        if !options.pure, index + 1 < rungs.count {
            let next = rungs[index + 1]
            for i in gainOrder(tensors, layers: model.layers) {
                let better = next.decisions[i]
                guard better.type.bitsPerElement > decisions[i].type.bitsPerElement,
                    let now = padded(tensors[i], decisions[i].type, alignment),
                    let then = padded(tensors[i], better.type, alignment),
                    let grown = (size - now).adding(then), grown <= limit
                else { continue }
                size = grown
                decisions[i] = better
                decisions[i].reason = "raised from \(base.decisions[i].type), as \(next.fileType) has it: it fits"
                raised += 1
            }
        }
        let lift = raised == 0 ? "" : ", \(raised) tensors raised to the choice of \(rungs[index + 1].fileType)"
        return SizedMix(
            fileType: base.fileType, decisions: decisions, bytes: size,
            summary: "\(base.fileType)\(lift): \(size) of \(limit) bytes")
    }

    /// Bytes of a tensor in a type, padded.
    private static func padded(_ tensor: MixTensor, _ type: DType, _ alignment: Int) -> Int? {
        tensor.shape.checkedProduct().flatMap { type.byteCount(elements: $0) }?.alignedUp(to: alignment)
    }

    private static func total(
        _ decisions: [MixDecision], _ tensors: [MixTensor], _ header: Int, _ alignment: Int
    ) -> Int? {
        zip(decisions, tensors).reduce(header) { sum, pair in
            guard let sum, let size = padded(pair.1, pair.0.type, alignment) else { return nil }
            return sum.adding(size)
        }
    }

    /// Indices of the tensors, those first that lose most when quantized: the roles that llama-quantize's mixes favour,
    /// in each the layers at both ends before those between.
    private static func gainOrder(_ tensors: [MixTensor], layers: Int) -> [Int] {
        let rank: [TensorCategory: Int] = [
            .attentionV: 0, .output: 1, .ffnDown: 2, .attentionOutput: 3, .attentionK: 4, .attentionQ: 5,
            .tokenEmbedding: 6, .ffnUp: 7, .ffnGate: 8, .other: 9,
        ]
        let keys = tensors.map { tensor -> (Int, Int) in
            let layer = layerNumber(ofTensor: tensor.name) ?? 0
            return (rank[TensorCategory(tensorName: tensor.name)] ?? 9, min(layer, abs(layers - 1 - layer)))
        }
        return tensors.indices.sorted { a, b in
            keys[a] != keys[b] ? keys[a] < keys[b] : a < b
        }
    }
}
