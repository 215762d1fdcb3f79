// What several commands say in the same words: configs, tensors and metadata as JSON and as text.

internal import Bytes
internal import JSONText
internal import Tensors

enum Reports {
    /// A model's dimensions as a JSON object.
    static func config(_ config: ModelConfig) -> JSONValue {
        var object: JSONObject = [
            "architecture": .string(config.architecture),
            "layers": JSONValue(config.layers),
            "hidden": JSONValue(config.hidden),
            "heads": JSONValue(config.heads),
            "kv_heads": JSONValue(config.kvHeads),
            "head_dim": JSONValue(config.headDim),
            "ffn": JSONValue(config.ffn),
            "vocab": JSONValue(config.vocab),
            "context": JSONValue(config.context),
            "norm_eps": JSONValue(config.normEps),
            "rope_theta": config.ropeTheta.map { JSONValue.number($0) } ?? .null,
            "rope_scaling": .string(text(of: config.ropeScaling)),
            "tied_output": .bool(config.tiedOutput),
            "qkv_bias": .bool(config.qkvBias),
            "attention_output_bias": .bool(config.attentionOutputBias),
            "mlp_bias": .bool(config.mlpBias),
        ]
        if let window = config.slidingWindow { object["sliding_window"] = JSONValue(window) }
        return .object(object)
    }

    /// "llama: 22 layers, 2048 wide, 32 heads, 4 key/value heads, ..."
    static func headline(_ config: ModelConfig) -> String {
        let width = config.headDim.multiplied(by: config.heads) == config.hidden ? "" : " of \(config.headDim)"
        var text =
            "\(config.architecture): \(config.layers) layers, \(config.hidden) wide, \(config.heads) heads\(width), "
            + "\(config.kvHeads) key/value heads, feed-forward \(config.ffn), vocabulary \(config.vocab), "
            + "context \(config.context)"
        if config.ropeScaling != .none { text += ", RoPE scaling \(Reports.text(of: config.ropeScaling))" }
        if config.tiedOutput { text += ", tied output" }
        let biases = [
            (config.qkvBias, "Q, K and V"), (config.attentionOutputBias, "attention output"), (config.mlpBias, "feed-forward"),
        ].filter(\.0).map(\.1)
        if !biases.isEmpty { text += ", biases of " + biases.joined(separator: " and ") }
        if let window = config.slidingWindow { text += ", sliding window \(window)" }
        return text
    }

    private static func text(of scaling: RoPEScaling) -> String {
        switch scaling {
        case .none: "none"
        case .linear(let factor): "linear \(factor)"
        case .llama3(let factor, _, _, _): "llama3 \(factor)"
        case .dynamic(let factor): "dynamic \(factor)"
        case .yarn(let factor, _): "yarn \(factor)"
        }
    }

    static func shape(_ shape: Shape) -> JSONValue { .array(shape.dimensions.map { JSONValue($0) }) }

    static func tensor(_ tensor: TensorInfo) -> JSONObject {
        [
            "name": .string(tensor.name), "dtype": .string(tensor.dtype.rawValue), "shape": shape(tensor.shape),
            "bytes": JSONValue(tensor.byteCount),
        ]
    }

    /// A metadata value as JSON; bytes that are no text become their hexadecimal digits.
    static func metadata(_ value: MetadataValue) -> JSONValue {
        switch value {
        case .f32(let number): return JSONValue(Double(number.description) ?? Double(number))
        case .f64(let number): return JSONValue(number)
        case .bool(let flag): return .bool(flag)
        case .string(let text): return .string(text)
        case .bytes(let bytes): return .string(Hexadecimal.text(bytes))
        case .u64(let number): return JSONValue(number)
        case .array(let array): return .array((0..<array.count).map { metadata(array[$0]) })
        default: return value.integer.map { JSONValue($0) } ?? .null
        }
    }

    /// A value on one line, long ones cut.
    static func shortText(of value: MetadataValue) -> String {
        switch value {
        case .array(let array):
            let first = (0..<min(array.count, 4)).map { shortText(of: array[$0]) }.joined(separator: ", ")
            return "[\(first)\(array.count > 4 ? ", ... \(array.count) of them" : "")]"
        case .string(let text): return text.count > 160 ? "\"\(text.prefix(160))\"... \(text.count) characters" : "\"\(text)\""
        case .bytes(let bytes): return "bytes \(Hexadecimal.text(bytes))"
        case .f32(let number): return "\(number)"
        case .f64(let number): return "\(number)"
        case .bool(let flag): return "\(flag)"
        case .u64(let number): return "\(number)"
        default: return value.integer.map(String.init) ?? ""
        }
    }
}
