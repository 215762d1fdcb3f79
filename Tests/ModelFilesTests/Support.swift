// What the tests of this module share: the golden files, and folders made from them.

import Bytes
import Foundation
import JSONText
import OrderedCollections
import Tensors

let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

func goldenJSON(_ name: String) throws -> JSONValue {
    try JSONText.read(golden.appending(path: name).path)
}

/// A folder that is removed when the value goes.
final class TemporaryFolder {
    let url: URL

    init(named name: String = "model") throws {
        url = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).appending(path: name)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url.deletingLastPathComponent()) }

    /// Writes a file: "@name" is a copy of a golden file, other texts are the content, other values are JSON.
    func write(_ name: String, _ content: JSONValue) throws {
        let target = url.appending(path: name)
        if let text = content.string, text.hasPrefix("@") {
            try FileManager.default.copyItem(at: golden.appending(path: String(text.dropFirst())), to: target)
        } else {
            try Data((content.string ?? content.text()).utf8).write(to: target)
        }
    }
}

/// FNV-1a, 64 bits, as sixteen hexadecimal digits.
func fnv(_ bytes: some Sequence<UInt8>) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let hex = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - hex.count) + hex
}

extension MetadataArray {
    /// Strings are ended with 0xFF, numbers are little endian.
    var digest: String {
        var bytes: [UInt8] = []
        for index in 0..<count {
            switch self[index] {
            case .string(let text): bytes += Array(text.utf8) + [0xFF]
            case .f32(let value): withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
            case .i32(let value): withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
            default: break
            }
        }
        return fnv(bytes)
    }
}

/// The dimensions that transformers' LlamaConfig and Qwen2Config take from a config.json.
func modelConfig(_ json: JSONValue) -> ModelConfig {
    let scaling = json["rope_scaling"] ?? json["rope_parameters"]
    let factor = scaling?["factor"]?.number ?? 1
    let original = scaling?["original_max_position_embeddings"]?.integer ?? 0
    let rope: RoPEScaling =
        switch (scaling?["rope_type"] ?? scaling?["type"])?.string {
        case "linear": .linear(factor: factor)
        case "dynamic": .dynamic(factor: factor)
        case "yarn": .yarn(factor: factor, originalContext: original)
        case "llama3":
            .llama3(
                factor: factor, lowFrequencyFactor: scaling?["low_freq_factor"]?.number ?? 1,
                highFrequencyFactor: scaling?["high_freq_factor"]?.number ?? 4, originalContext: original)
        default: .none
        }
    return ModelConfig(
        architecture: json["model_type"]?.string ?? "llama", layers: json["num_hidden_layers"]?.integer ?? 0,
        hidden: json["hidden_size"]?.integer ?? 0, heads: json["num_attention_heads"]?.integer ?? 0,
        kvHeads: json["num_key_value_heads"]?.integer, headDim: json["head_dim"]?.integer,
        ffn: json["intermediate_size"]?.integer ?? 0, vocab: json["vocab_size"]?.integer ?? 0,
        context: json["max_position_embeddings"]?.integer ?? 2048, normEps: json["rms_norm_eps"]?.number ?? 1e-6,
        ropeTheta: (json["rope_theta"] ?? json["rope_parameters"]?["rope_theta"])?.number, ropeScaling: rope,
        tiedOutput: json["tie_word_embeddings"]?.bool ?? false, slidingWindow: json["sliding_window"]?.integer)
}
