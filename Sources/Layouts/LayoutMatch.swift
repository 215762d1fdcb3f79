// A checkpoint seen through its layout: which stored tensor holds which rows of which role, and what does not fit.

internal import Bytes
public import Tensors

/// A stored tensor and what the layout says of it.
public struct MatchedTensor: Sendable {
    /// Its place in the list that was recognised.
    public let tensor: Int
    public let spec: StoredSpec
}

/// Rows of a stored tensor that are rows of a canonical one: `storedRow`, `storedRow + storedStep`, ... are
/// `canonicalRow`, `canonicalRow + 1`, ...
public struct SourceRun: Sendable, Hashable {
    /// The stored tensor's place in the list that was recognised.
    public let tensor: Int
    public let storedRow: Int
    public let storedStep: Int
    public let canonicalRow: Int
    public let count: Int
}

/// One tensor of the canonical model, found in stored ones.
public struct CanonicalTensor: Sendable {
    public let role: TensorRole
    /// Hugging Face's: `[out, in]`.
    public let shape: Shape
    /// Every canonical row once, in ascending order.
    public let runs: [SourceRun]

    /// The stored tensor, when it is the canonical one as it stands.
    public var whole: Int? {
        guard runs.count == 1, let run = runs.first, run.storedRow == 0, run.storedStep == 1,
            run.count == shape.dimensions.first
        else { return nil }
        return run.tensor
    }
}

/// What recognising found.
public struct LayoutMatch: Sendable {
    public let layout: Layout
    /// What precedes every name: "model." in a training checkpoint, usually empty.
    public let prefix: String
    /// "Lit-GPT, TinyLlama's fork: transformer.h.N.mlp.swiglu.w1 found; QKV interleaved in 4 groups"
    public let explanation: String
    /// The dimensions: the config's, or inferred from the shapes. An output that is stored in its right shape is the
    /// model's, and not tied, whatever the config says; see `withTiedOutput`.
    public private(set) var config: ModelConfig
    /// What was taken for granted because nothing said it, a sentence each. Empty when a config was given.
    public let assumptions: [String]
    /// In the order of the stored tensors.
    public let matched: [MatchedTensor]
    /// Names that belong here with shapes that do not.
    public let misshapen: [MatchedTensor]
    /// Expected by the config and not there.
    public let missing: [StoredSpec]
    /// Places of tensors that no name of the layout fits.
    public let unexpected: [Int]
    /// Places of tensors that carry nothing (rotary_emb.inv_freq).
    public let dropped: [Int]
    /// Places of what a training checkpoint holds beside the model.
    public let bookkeeping: [Int]

    private let names: [NamedShape]
    private let places: [TensorRole: Int]

    init(
        layout: Layout, prefix: String, tensors: [NamedShape], config given: ModelConfig?, unsaid: Set<UnsaidFact>,
        modelName: String?
    ) throws {
        let inference = DimensionInference(layout: layout, prefix: prefix, tensors: tensors)
        var config: ModelConfig
        if let given {
            config = given
            assumptions = []
        } else {
            (config, assumptions) = try inference.config(modelName: modelName)
        }
        if given == nil || unsaid.contains(.tiedOutput) { config.tiedOutput = !inference.holds(.output) }
        if unsaid.contains(.vocabulary), let vocab = inference.vocab { config.vocab = vocab }
        if given == nil || unsaid.contains(.biases) {
            config.qkvBias = inference.holds(.attnQBias)
            config.attentionOutputBias = inference.holds(.attnOutputBias)
            config.mlpBias = inference.holds(.ffnGateBias)
        }

        let specs = try layout.specs(for: config)
        let byName = Dictionary(specs.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        let droppedNames = Set(layout.dropped)
        var found = Set<Int>()
        var matched: [MatchedTensor] = []
        var misshapen: [MatchedTensor] = []
        var unexpected: [Int] = []
        var dropped: [Int] = []
        var bookkeeping: [Int] = []
        var places: [TensorRole: Int] = [:]
        for (index, tensor) in tensors.enumerated() {
            let name = tensor.name.hasPrefix(prefix) ? String(tensor.name.dropFirst(prefix.count)) : nil
            if let name, let place = byName[name], found.insert(place).inserted {
                let spec = specs[place]
                if spec.shape == tensor.shape {
                    for role in spec.roles { places[role] = matched.count }
                    matched.append(MatchedTensor(tensor: index, spec: spec))
                } else {
                    misshapen.append(MatchedTensor(tensor: index, spec: spec))
                }
            } else if let name, droppedNames.contains(NamePattern(name).pattern) {
                dropped.append(index)
            } else if layout.isBookkeeping(tensor.name) {
                bookkeeping.append(index)
            } else {
                unexpected.append(index)
            }
        }
        // A config that calls a stored output tied would hide a tensor that transformers and GGUF's readers use.
        if places[TensorRole(.output)] != nil { config.tiedOutput = false }
        self.layout = layout
        self.prefix = prefix
        self.config = config
        self.matched = matched
        self.misshapen = misshapen
        self.missing = specs.enumerated().filter { !found.contains($0.offset) && !$0.element.optional }.map(\.element)
        self.unexpected = unexpected
        self.dropped = dropped
        self.bookkeeping = bookkeeping
        self.names = tensors
        self.places = places
        explanation = Self.explain(layout, prefix: prefix, config: config)
    }

    private static func explain(_ layout: Layout, prefix: String, config: ModelConfig) -> String {
        var parts = ["\(layout.title): \(layout.readableTell) found"]
        if !prefix.isEmpty { parts.append("under \(prefix.dropLast())") }
        if let fused = layout.entries.first(where: { $0.roles.count > 1 && $0.roles.contains(.attnQ) }) {
            switch fused.grouping {
            case .interleaved:
                parts.append("QKV interleaved in \(config.kvHeads) group\(config.kvHeads == 1 ? "" : "s")")
            case .concatenated: parts.append("QKV fused, all Q, then all K, then all V")
            }
        }
        parts.append(
            layout.permutesRoPE(architecture: config.architecture)
                ? "Q and K rows in adjacent pairs" : "Q and K rows in halves")
        return parts.joined(separator: "; ")
    }

    /// Whether everything the model has is there in the right shape.
    public var isComplete: Bool { missing.isEmpty && misshapen.isEmpty }

    /// Refuses a checkpoint in which something is missing or misshapen, naming the first.
    public func requireComplete(file: String? = nil) throws {
        if let wrong = misshapen.first {
            throw CheckpointError.malformed(
                misshapen.count == 1
                    ? "the shape does not fit the model"
                    : "the shape does not fit the model, nor do those of \(misshapen.count - 1) more tensors",
                file: file, place: names[wrong.tensor].name,
                expected: "\(wrong.spec.formula) = \(wrong.spec.shape)", found: "\(names[wrong.tensor].shape)",
                remedy: "\"pannier verify\" lists all; is the config the right one?")
        }
        if let absent = missing.first {
            throw CheckpointError.malformed(
                missing.count == 1 ? "the tensor is missing" : "the tensor and \(missing.count - 1) more are missing",
                file: file, place: prefix + absent.name, remedy: "is the download complete, with all shards?")
        }
    }

    /// Whether the checkpoint stores this role; a tied output is not stored.
    public func stores(_ role: TensorRole) -> Bool { places[role] != nil }

    /// The same where the output that is stored has turned out to be the embedding once more.
    public func withTiedOutput() -> LayoutMatch {
        var match = self
        match.config.tiedOutput = true
        return match
    }

    /// Where the rows of a role lie. With a tied output that is not stored, the output is the embedding.
    /// - Returns: nil when the checkpoint does not have it in its right shape.
    public func rows(of role: TensorRole) -> CanonicalTensor? {
        var stored = role
        if places[role] == nil, role.role == .output, config.tiedOutput { stored = TensorRole(.tokenEmbedding) }
        guard let place = places[stored], let shape = try? role.role.shape(in: config) else { return nil }
        let match = matched[place]
        let runs = match.spec.runs.filter { $0.role == stored }.map {
            SourceRun(
                tensor: match.tensor, storedRow: $0.storedRow, storedStep: $0.storedStep,
                canonicalRow: $0.canonicalRow, count: $0.count)
        }
        return CanonicalTensor(
            role: role, shape: shape, runs: runs.sorted { $0.canonicalRow < $1.canonicalRow })
    }
}
