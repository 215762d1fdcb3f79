// What a tensor is for, whatever it is called: the vocabulary that all layouts are translated through.

public import Tensors

/// The part a tensor plays in a transformer of the Llama family.
///
/// Raw values are the words of the layout tables; they follow GGUF's names of the same tensors.
public enum Role: String, Sendable, CaseIterable, Hashable {
    case tokenEmbedding = "token_embedding"
    case attnNorm = "attn_norm"
    case attnQ = "attn_q"
    case attnK = "attn_k"
    case attnV = "attn_v"
    case attnOutput = "attn_output"
    case ffnNorm = "ffn_norm"
    case ffnGate = "ffn_gate"
    case ffnUp = "ffn_up"
    case ffnDown = "ffn_down"
    case outputNorm = "output_norm"
    case output = "output"
    case attnQBias = "attn_q_bias"
    case attnKBias = "attn_k_bias"
    case attnVBias = "attn_v_bias"
    case attnOutputBias = "attn_output_bias"
    case ffnGateBias = "ffn_gate_bias"
    case ffnUpBias = "ffn_up_bias"
    case ffnDownBias = "ffn_down_bias"

    /// Whether every layer has one.
    public var isPerLayer: Bool {
        switch self {
        case .tokenEmbedding, .outputNorm, .output: false
        default: true
        }
    }

    public var isBias: Bool {
        switch self {
        case .attnQBias, .attnKBias, .attnVBias, .attnOutputBias, .ffnGateBias, .ffnUpBias, .ffnDownBias: true
        default: false
        }
    }

    public var isNorm: Bool { self == .attnNorm || self == .ffnNorm || self == .outputNorm }

    /// Whether RoPE turns its rows, so that their order within a head differs between conventions.
    public var isRotated: Bool {
        switch self {
        case .attnQ, .attnK, .attnQBias, .attnKBias: true
        default: false
        }
    }

    /// The part of the config that decides whether a model has it; nil for what every model has.
    public var condition: RoleCondition? {
        switch self {
        case .attnQBias, .attnKBias, .attnVBias: .qkvBias
        case .attnOutputBias: .attentionOutputBias
        case .ffnGateBias, .ffnUpBias, .ffnDownBias: .mlpBias
        default: nil
        }
    }

    /// What the canonical shape is made of: `[out, in]` for a projection and `[n]` for a norm or a bias.
    var axes: [Axis] {
        switch self {
        case .tokenEmbedding, .output: [.vocab, .hidden]
        case .attnNorm, .ffnNorm, .outputNorm: [.hidden]
        case .attnQ: [.query, .hidden]
        case .attnK, .attnV: [.keyValue, .hidden]
        case .attnOutput: [.hidden, .query]
        case .ffnGate, .ffnUp: [.ffn, .hidden]
        case .ffnDown: [.hidden, .ffn]
        case .attnQBias: [.query]
        case .attnKBias, .attnVBias: [.keyValue]
        case .attnOutputBias, .ffnDownBias: [.hidden]
        case .ffnGateBias, .ffnUpBias: [.ffn]
        }
    }

    /// `axes` as formulas of the config.
    var canonicalShape: [DimensionExpression] { axes.map(\.expression) }

    /// The canonical shape in a model: Hugging Face's, `[out, in]`, with Q and K rows in rotate-half order.
    public func shape(in config: ModelConfig) throws -> Shape {
        try Shape(canonicalShape, in: config, place: rawValue)
    }
}

/// The five lengths that canonical tensors have.
enum Axis: Hashable, CaseIterable {
    case vocab, hidden, ffn
    /// Rows of Q: heads × head width.
    case query
    /// Rows of K and of V: key/value heads × head width.
    case keyValue

    var expression: DimensionExpression {
        switch self {
        case .vocab: .vocab
        case .hidden: .hidden
        case .ffn: .ffn
        case .query: .queryRows
        case .keyValue: .kvRows
        }
    }
}

/// What a model may have or not have.
public enum RoleCondition: String, Sendable, CaseIterable {
    case qkvBias = "qkv_bias"
    case attentionOutputBias = "attention_output_bias"
    case mlpBias = "mlp_bias"

    public func holds(in config: ModelConfig) -> Bool {
        switch self {
        case .qkvBias: config.qkvBias
        case .attentionOutputBias: config.attentionOutputBias
        case .mlpBias: config.mlpBias
        }
    }
}

/// A role in its layer: one tensor of the canonical model.
public struct TensorRole: Sendable, Hashable {
    public let role: Role
    /// Counted from 0; nil for what the model has once.
    public let layer: Int?

    public init(_ role: Role, layer: Int? = nil) {
        self.role = role
        self.layer = layer
    }

    /// All that a model has, in natural order: embedding, layers, final norm, output. A tied output is left out.
    public static func all(in config: ModelConfig) -> [TensorRole] {
        func present(_ role: Role) -> Bool { role.condition?.holds(in: config) ?? true }
        var roles = [TensorRole(.tokenEmbedding)]
        let perLayer = Role.allCases.filter { $0.isPerLayer && present($0) }
        for layer in 0..<max(0, min(config.layers, Layout.largestLayerCount)) {
            roles += perLayer.map { TensorRole($0, layer: layer) }
        }
        roles.append(TensorRole(.outputNorm))
        if !config.tiedOutput { roles.append(TensorRole(.output)) }
        return roles
    }
}

extension TensorRole: CustomStringConvertible {
    /// "attn_q of layer 3"
    public var description: String {
        layer.map { "\(role.rawValue) of layer \($0)" } ?? role.rawValue
    }
}
