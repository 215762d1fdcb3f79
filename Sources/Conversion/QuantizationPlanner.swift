// The plan of a quantized GGUF: the plan of a conversion to the source's own precision, in llama-quantize's order,
// with the types that its mixing rules give.

internal import Bytes
internal import Containers
internal import OrderedCollections
internal import Quantization
internal import Tensors

/// Turns the plan of a plain GGUF into that of a quantized one.
struct QuantizationPlanner {
    private let source: ModelSource
    private let request: QuantizationRequest

    init(_ source: ModelSource, _ request: QuantizationRequest) {
        self.source = source
        self.request = request
    }

    /// - Parameter plain: tensors and metadata in the source's own precision.
    /// - Throws: `usage` when a type needs an importance matrix that is not there, or when blocks would be quantized
    ///   again unasked.
    func plan(_ plain: ConversionPlan) throws -> (plan: ConversionPlan, fileType: FileType, summary: String?) {
        var (steps, layers) = try pruned(plain.steps)
        if !request.keepSplit {
            steps = MixPolicy.writingOrder(steps.map(\.originalName)).map { steps[$0] }
        }
        let tensors = steps.map {
            MixTensor(name: $0.step.target.name, shape: $0.step.target.shape.dimensions, type: $0.step.target.dtype)
        }
        // As in llama-quantize, rules about positions mean the source's layers, also where some are pruned.
        let model = ModelSummary(
            layers: source.config.layers, heads: source.config.heads, kvHeads: source.config.kvHeads)
        var metadata = plain.metadata
        var summary: String?
        let fileType: FileType
        let decisions: [MixDecision]
        if let size = request.targetSize {
            let (header, alignment) = try headerBytes(steps, metadata)
            let chosen = try TargetSize.choose(
                bytes: Int(clamping: size), header: header, tensors: tensors, model: model, options: options(.q8_0),
                matrixNames: request.importance.map { Set($0.entries.keys) }, alignment: alignment)
            (fileType, decisions, summary) = (chosen.fileType, chosen.decisions, chosen.summary)
        } else if let asked = request.fileType {
            fileType = asked
            decisions = try MixPolicy(options(asked), model: model).decide(tensors)
        } else {
            throw CheckpointError(
                .usage, "neither a type nor a size is given", remedy: "choose --type Q4_K_M or --target-size 550MB")
        }
        try requireMatrix(decisions, steps)
        for index in steps.indices { try decide(decisions[index], &steps[index]) }
        rewrite(&metadata, fileType: fileType, layers: layers)
        var plan = ConversionPlan(steps: steps.map(\.step), metadata: metadata, warnings: plain.warnings)
        plan.warnings += plan.roundedDoubles
        plan.refusesNotFinite = true
        return (plan, fileType, summary)
    }

    /// A step, and the name that its tensor has in the source's numbering of layers.
    private struct Candidate {
        var step: ConversionStep
        let originalName: String
    }

    private func options(_ fileType: FileType) -> MixOptions {
        var options = MixOptions(fileType: fileType)
        options.overrides = request.overrides
        options.outputType = request.outputType
        options.embeddingType = request.embeddingType
        options.leaveOutput = request.leaveOutput
        options.pure = request.pure
        options.hasMatrix = request.importance != nil
        return options
    }

    // MARK: Pruning

    /// Leaves layers out and closes the numbering.
    private func pruned(_ steps: [ConversionStep]) throws -> ([Candidate], layers: Int) {
        let layers = source.config.layers
        guard !request.prunedLayers.isEmpty else {
            return (steps.map { Candidate(step: $0, originalName: $0.target.name) }, layers)
        }
        if let beyond = request.prunedLayers.first(where: { $0 < 0 || $0 >= layers }) {
            throw CheckpointError(
                .usage, "there is no layer \(beyond) to prune", expected: "0 to \(layers - 1)", found: "\(beyond)")
        }
        guard request.prunedLayers.count < layers else {
            throw CheckpointError(.usage, "every layer would be pruned", remedy: "leave some")
        }
        var numbers: [Int: Int] = [:]
        for layer in 0..<layers where !request.prunedLayers.contains(layer) { numbers[layer] = numbers.count }
        let kept = try steps.compactMap { step -> Candidate? in
            let name = step.target.name
            guard let (layer, rest) = Self.layer(of: name) else { return Candidate(step: step, originalName: name) }
            guard let number = numbers[layer] else { return nil }
            var renamed = step
            renamed.target = try TensorPlan(
                name: "blk.\(number)\(rest)", dtype: step.target.dtype, shape: step.target.shape)
            return Candidate(step: renamed, originalName: name)
        }
        return (kept, numbers.count)
    }

    private static func layer(of name: String) -> (Int, Substring)? {
        guard name.hasPrefix("blk.") else { return nil }
        let rest = name.dropFirst(4)
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard let layer = Int(digits) else { return nil }
        return (layer, rest.dropFirst(digits.count))
    }

    // MARK: Types

    private func requireMatrix(_ decisions: [MixDecision], _ steps: [Candidate]) throws {
        for (decision, step) in zip(decisions, steps) where decision.needsMatrix && decision.changes {
            let weights = try weights(of: step)
            guard weights == nil else { continue }
            throw CheckpointError(
                .usage, "\(decision.type) needs an importance matrix", file: source.path, place: decision.name,
                expected: request.importance == nil ? "--imatrix FILE" : "an entry for this tensor in the matrix",
                found: "none",
                remedy: "make one with `pannier imatrix MODEL --text FILE -o imatrix.gguf`, or choose a larger type")
        }
    }

    private func decide(_ decision: MixDecision, _ candidate: inout Candidate) throws {
        candidate.step.reason = decision.reason
        guard decision.changes else { return }
        if decision.from.isQuantized, !request.allowRequantize {
            throw CheckpointError(
                .usage, "the tensor is \(decision.from) already", file: source.path, place: decision.name,
                expected: "a float source", found: "\(decision.from)",
                remedy: "quantize the original; --allow-requantize does it all the same, and loses quality twice")
        }
        let target = candidate.step.target
        candidate.step.target = try TensorPlan(name: target.name, dtype: decision.type, shape: target.shape)
        if decision.type.isQuantized {
            candidate.step.importance = try weights(of: candidate)
        }
    }

    /// What the importance matrix says of a tensor.
    private func weights(of candidate: Candidate) throws -> [Float]? {
        do {
            return try request.importance?.weights(
                for: candidate.originalName, shape: candidate.step.target.shape.dimensions)
        } catch let error as CheckpointError {
            throw error.at(file: request.importanceName)
        }
    }

    /// Bytes of the files before their tensors' data, and the multiple of bytes that each tensor takes.
    private func headerBytes(
        _ steps: [Candidate], _ metadata: Metadata
    ) throws -> (header: Int, alignment: Int) {
        var metadata = metadata
        rewrite(&metadata, fileType: .q8_0, layers: source.config.layers)
        let empty = try steps.map {
            try TensorPlan(name: $0.step.target.name, dtype: .f32, shape: $0.step.target.shape)
        }
        var alignment = try GGUFWriter.alignment(metadata)
        var parts = [GGUFPart(name: "", tensors: Array(empty.indices), metadata: metadata)]
        if request.keepSplit, source.reader.files.count > 1 {
            parts = GGUFSplit.parts(
                source.parts(of: steps.map(\.step)), prefix: "", metadata: metadata, tensorCount: steps.count,
                countComesLast: false)
        }
        // The size adds the same numbers up, and was found to fit.
        let size = try GGUFWriter.size(of: empty, parts: parts)
        var data: UInt64 = 0
        for part in parts {
            let own = try GGUFWriter.alignment(part.metadata)
            for index in part.tensors { data &+= UInt64(empty[index].byteCount).alignedUp(to: own) ?? 0 }
            // Where parts differ, the larger multiple does for all.
            alignment = max(alignment, own)
        }
        return (Int(clamping: size &- data), Int(clamping: alignment))
    }

    // MARK: Metadata

    /// Sets a key as ggml does: an existing one moves to the end.
    private func set(_ key: String, _ value: MetadataValue, in metadata: inout Metadata) {
        metadata.removeValue(forKey: key)
        metadata[key] = value
    }

    /// What llama-quantize changes (llama-quant.cpp, quantize.cpp): version and file type, what was asked for, and where
    /// the importance matrix came from.
    private func rewrite(_ metadata: inout Metadata, fileType: FileType, layers: Int) {
        set("general.quantization_version", .u32(2), in: &metadata)
        // COPY keeps the value; the key is written anew all the same, and so comes after the version.
        let type = fileType.defaultType == nil ? metadata["general.file_type"] : MetadataValue.u32(fileType.id)
        if let type { set("general.file_type", type, in: &metadata) }
        for key in ["split.no", "split.count", "split.tensors.count"] { metadata.removeValue(forKey: key) }
        for (key, value) in request.metadata { set(key, value, in: &metadata) }
        if let matrix = request.importance {
            set("quantize.imatrix.file", .string(Self.short(request.importanceName ?? "")), in: &metadata)
            if let dataset = matrix.datasets.first {
                set("quantize.imatrix.dataset", .string(Self.short(dataset)), in: &metadata)
            }
            set("quantize.imatrix.entries_count", .u32(UInt32(clamping: matrix.entries.count)), in: &metadata)
            if matrix.chunkCount > 0 {
                set("quantize.imatrix.chunks_count", .u32(UInt32(clamping: matrix.chunkCount)), in: &metadata)
            }
        }
        if !request.prunedLayers.isEmpty {
            let architecture = metadata["general.architecture"]?.string ?? "llama"
            set("\(architecture).block_count", .u32(UInt32(clamping: layers)), in: &metadata)
        }
    }

    /// The first 127 bytes, which is what llama-quantize keeps of a text.
    private static func short(_ text: String) -> String {
        String(decoding: text.utf8.prefix(127), as: UTF8.self)
    }
}
