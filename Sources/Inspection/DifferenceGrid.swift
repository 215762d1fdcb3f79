// Differences by layer and role: what the heat maps show.

public import Layouts

/// Values by layer (or for the model as a whole) and role.
public struct DifferenceGrid: Sendable {
    public struct Row: Sendable {
        /// Nil for the tensors that a model has once.
        public let layer: Int?
        /// By column; nil where there is nothing.
        public let cells: [TensorDifference?]
    }

    /// The roles of layers that occur, in natural order.
    public let roles: [Role]
    /// By rising layer.
    public let layers: [Row]
    /// Embedding, final norm, output.
    public let once: [TensorDifference]
    /// What was compared by name and has no place in the grid, the model's first.
    public let others: [TensorDifference]

    public init(_ tensors: [TensorDifference]) {
        var byRole: [TensorRole: TensorDifference] = [:]
        var others: [TensorDifference] = []
        for tensor in tensors {
            if let role = tensor.role { byRole[role] = tensor } else { others.append(tensor) }
        }
        let present = Set(byRole.keys.filter { $0.layer != nil }.map(\.role))
        let columns = Role.allCases.filter(present.contains)
        let numbers = Set(byRole.keys.compactMap(\.layer)).sorted()
        roles = columns
        layers = numbers.map { layer in
            Row(layer: layer, cells: columns.map { byRole[TensorRole($0, layer: layer)] })
        }
        once = [Role.tokenEmbedding, .outputNorm, .output].compactMap { byRole[TensorRole($0)] }
        self.others = others.filter(\.isOfModel) + others.filter { !$0.isOfModel }
    }

    /// A role's name without what all share: "attn_q" as "q", "ffn_gate" as "gate".
    public static func heading(_ role: Role) -> String {
        switch role {
        case .attnNorm: "norm 1"
        case .attnQ: "q"
        case .attnK: "k"
        case .attnV: "v"
        case .attnOutput: "o"
        case .ffnNorm: "norm 2"
        case .ffnGate: "gate"
        case .ffnUp: "up"
        case .ffnDown: "down"
        default: role.rawValue.replacingUnderscores
        }
    }
}

extension String {
    var replacingUnderscores: String { String(map { $0 == "_" ? " " : $0 }) }
}
