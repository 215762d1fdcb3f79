// A naming scheme as a value: what tensors are called, their shapes as formulas, and how their rows lie.

internal import Bytes
public import Tensors

/// One tensor of a layout, for all layers.
public struct LayoutEntry: Sendable {
    /// Its name; `{i}`, a whole component between dots, stands for the layer.
    public let name: String
    public let shape: [DimensionExpression]
    /// What its rows are; more than one where the layout fuses.
    public let roles: [Role]
    public let grouping: Grouping
    /// Rows of Q and K heads are stored in adjacent-pair order.
    public let permutesRoPE: Bool
    /// It may be left out when the output is this other role's tensor.
    public let tie: Role?
    /// Stored only where the config has it.
    public let condition: RoleCondition?

    /// "(heads + 2*kv_heads)*head_dim × hidden"
    public var formula: String { shape.map(\.text).joined(separator: " × ") }
}

/// A naming scheme. The tables in `Formats/` are read into it; so is what `--layout FILE` names.
public struct Layout: Sendable {
    /// The word on the command line: "hf-llama".
    public let name: String
    /// For people: "Lit-GPT, TinyLlama's fork".
    public let title: String
    /// The containers it is found in; the first is the one it is usually written to.
    public let containers: [ContainerKind]
    /// The config files that its programs look for beside the weights; the first is also read first.
    public let configs: [ConfigKind]
    /// The name that tells it from its relatives.
    public let tell: String
    public let entries: [LayoutEntry]
    /// Names, or `{i}` patterns, of tensors that carry nothing a conversion needs.
    public let dropped: [String]
    /// What training programs wrap names in; any chain of them may precede every name.
    public let prefixes: [String]
    /// Top-level subtrees of a training checkpoint that are not the model.
    public let bookkeeping: [String]
    /// Architectures whose Q and K this layout does not permute although its rule says so for others.
    public let unpermutedArchitectures: [String]

    /// Layers that a config is expanded to, at most. Far above any model; a table times this stays small.
    public static let largestLayerCount = 10_000
    /// Heads that row runs are made for, at most.
    public static let largestHeadCount = 1 << 14

    /// Whether the rows of Q and K are in adjacent-pair order for a model of this architecture.
    public func permutesRoPE(architecture: String) -> Bool {
        !unpermutedArchitectures.contains(architecture) && entries.contains { $0.permutesRoPE }
    }

    /// Whether the layout has a place for a role.
    public func holds(_ role: Role) -> Bool { entries.contains { $0.roles.contains(role) } }

    /// Every tensor that a model has in this layout, in natural order: embedding, layers, final norm, output.
    ///
    /// With a tied output its tensor is still listed, as optional: a source may hold it, a target leaves it out.
    /// - Throws: `unsupported` when the dimensions are impossible or the layout has no place for something the model
    ///   has.
    public func specs(for config: ModelConfig) throws -> [StoredSpec] {
        try check(config)
        var specs: [StoredSpec] = []
        let repeated = entries.filter { $0.roles.contains(where: \.isPerLayer) }
        guard let first = entries.firstIndex(where: { $0.roles.contains(where: \.isPerLayer) }) else { return [] }
        for (index, entry) in entries.enumerated() where !entry.roles.contains(where: \.isPerLayer) {
            if index < first { try specs += spec(entry, layer: nil, config) }
        }
        for layer in 0..<config.layers {
            for entry in repeated { try specs += spec(entry, layer: layer, config) }
        }
        for (index, entry) in entries.enumerated() where !entry.roles.contains(where: \.isPerLayer) {
            if index > first { try specs += spec(entry, layer: nil, config) }
        }
        return specs
    }

    /// Refuses what cannot be laid out.
    func check(_ config: ModelConfig) throws {
        func refuse(_ what: String, _ expected: String, _ found: String) -> CheckpointError {
            .unsupported(
                "the model's \(what) cannot be laid out as \(name)", expected: expected, found: found,
                remedy: "check the config beside the checkpoint, or name another with --config")
        }
        if let fault = config.fault { throw refuse(fault.field, fault.expected, fault.found) }
        if config.layers > Self.largestLayerCount {
            throw refuse("layers", "at most \(Self.largestLayerCount)", "\(config.layers)")
        }
        if config.heads > Self.largestHeadCount {
            throw refuse("heads", "at most \(Self.largestHeadCount)", "\(config.heads)")
        }
        if config.headDim % 2 != 0, permutesRoPE(architecture: config.architecture) {
            throw refuse("head width", "an even number, which RoPE turns in pairs", "\(config.headDim)")
        }
        for role in Role.allCases where role.condition?.holds(in: config) == true && !holds(role) {
            throw CheckpointError.unsupported(
                "the layout \(name) has no place for \(role.rawValue), which this model has",
                remedy: "choose another layout")
        }
    }

    private func spec(_ entry: LayoutEntry, layer: Int?, _ config: ModelConfig) throws -> [StoredSpec] {
        if let condition = entry.condition, !condition.holds(in: config) { return [] }
        return [
            StoredSpec(
                name: layer.map { entry.name.replacingLayer(with: $0) } ?? entry.name,
                shape: try Shape(entry.shape, in: config, place: entry.name), formula: entry.formula,
                optional: entry.tie != nil && config.tiedOutput,
                arrangement: try arrangement(of: entry, layer: layer, config))
        ]
    }

    private func arrangement(of entry: LayoutEntry, layer: Int?, _ config: ModelConfig) throws -> RowArrangement {
        RowArrangement(
            parts: try entry.roles.map { role in
                guard let rows = role.canonicalShape[0].value(in: config) else {
                    throw CheckpointError.malformed("the number of rows does not fit", place: entry.name)
                }
                return RowArrangement.Part(role: TensorRole(role, layer: role.isPerLayer ? layer : nil), rows: rows)
            },
            grouping: entry.grouping,
            adjacentPairs: entry.permutesRoPE && !unpermutedArchitectures.contains(config.architecture),
            geometry: HeadGeometry(heads: config.heads, kvHeads: config.kvHeads, headDim: config.headDim))
    }
}

/// One tensor that a layout expects for a config.
public struct StoredSpec: Sendable {
    /// Without a training checkpoint's prefix.
    public let name: String
    public let shape: Shape
    /// The shape's formula: "(heads + 2*kv_heads)*head_dim × hidden".
    public let formula: String
    /// Nothing is missing without it.
    public let optional: Bool
    let arrangement: RowArrangement

    /// The roles its rows belong to, in stored order.
    public var roles: [TensorRole] { arrangement.parts.map(\.role) }
    /// Which rows are which, in stored order; every stored row once.
    public var runs: [RowRun] { arrangement.runs }
    /// The stored tensor is the canonical one as it stands.
    public var isCanonical: Bool {
        arrangement.parts.count == 1
            && !(arrangement.adjacentPairs && arrangement.parts[0].role.role.isRotated
                && arrangement.geometry.headDim > 2)
    }
}

extension String {
    /// `{i}` replaced by a layer's number.
    package func replacingLayer(with layer: Int) -> String {
        split(separator: ".", omittingEmptySubsequences: false)
            .map { $0 == "{i}" ? Substring(String(layer)) : $0 }.joined(separator: ".")
    }
}
