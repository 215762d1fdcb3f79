// What a tensor of a GGUF model is, as far as mixing types goes; and which tensors are left alone.
//
// Source: tensor_get_category and tensor_allows_quantization in src/llama-quant.cpp.

/// A broad role, read from a GGUF tensor name.
public enum TensorCategory: String, Sendable {
    case tokenEmbedding = "token embedding"
    case output = "output"
    case attentionQ = "attention query"
    case attentionK = "attention key"
    /// attn_v, and the fused tensors that hold it (attn_qkv, attn_kv_b).
    case attentionV = "attention value"
    case attentionOutput = "attention output"
    case ffnGate = "feed-forward gate"
    case ffnUp = "feed-forward up"
    case ffnDown = "feed-forward down"
    case other = "other"

    /// The first part that a name contains decides.
    private static let parts: [(String, TensorCategory)] = [
        ("attn_qkv.weight", .attentionV),
        ("attn_kv_b.weight", .attentionV),
        ("attn_v.weight", .attentionV),
        ("attn_k.weight", .attentionK),
        ("attn_q.weight", .attentionQ),
        ("attn_output.weight", .attentionOutput),
        ("ffn_up", .ffnUp),
        ("ffn_gate", .ffnGate),
        ("ffn_down", .ffnDown),
    ]

    public init(tensorName name: String) {
        switch name {
        case "output.weight": self = .output
        case "token_embd.weight", "per_layer_token_embd.weight": self = .tokenEmbedding
        default: self = Self.parts.first { name.contains(bytes: $0.0) }?.1 ?? .other
        }
    }

    /// Why a tensor keeps its type whatever the file type, or nil when it may be quantized.
    static func reasonToKeep(name: String, rank: Int) -> String? {
        if rank < 2 { return "one dimension: kept" }
        if !name.hasSuffix("weight") { return "no weight: kept" }
        if let part = unquantized.first(where: { name.contains(bytes: $0) }) { return "\(part) is small: kept" }
        if name == "position_embd.weight" || name == "token_types.weight" { return "positions and types: kept" }
        return nil
    }

    /// Names that contain one of these are norms, routers, small convolutions and the like of many architectures.
    private static let unquantized: [String] = [
        "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
        "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight",
        "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
        "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight",
        "time_mix_a2.weight", "time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight",
        "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight", ".position_embd",
        "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook",
        "mm.a.code_embd",
    ]
}

/// The number N of a name that begins with `blk.N.`, or nil.
func layerNumber(ofTensor name: String) -> Int? {
    guard name.hasPrefix("blk.") else { return nil }
    let digits = name.utf8.dropFirst(4).prefix { $0 >= 0x30 && $0 <= 0x39 }
    guard !digits.isEmpty, name.utf8.dropFirst(4 + digits.count).first == 0x2E else { return nil }
    return Int(String(decoding: digits, as: UTF8.self)).flatMap { $0 <= 1 << 30 ? $0 : nil }
}

extension String {
    /// Whether the bytes of `part` occur in those of the string.
    func contains(bytes part: String) -> Bool {
        let needle = Array(part.utf8)
        guard let first = needle.first else { return true }
        let hay = Array(utf8)
        guard hay.count >= needle.count else { return false }
        return (0...(hay.count - needle.count)).contains { start in
            hay[start] == first && hay[start..<start + needle.count].elementsEqual(needle)
        }
    }
}
