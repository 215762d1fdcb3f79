// Damaged texts end in an error or in something sound, never in a trap: seeded mutations of every file that is read.

import Bytes
import Foundation
import JSONText
import Layouts
import Tensors
import Testing

/// Xorshift: the same mutations every time.
struct Mutator {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return bound > 0 ? Int(state % UInt64(bound)) : 0
    }

    /// A few bytes changed, removed, repeated or replaced by what parsers stumble over.
    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var out = bytes
        for _ in 0...next(4) {
            guard !out.isEmpty else { break }
            let at = next(out.count)
            switch next(6) {
            case 0: out[at] = UInt8(truncatingIfNeeded: state)
            case 1: out.remove(at: at)
            case 2: out.removeSubrange(at..<min(out.count, at + next(40)))
            case 3: out.insert(contentsOf: out[at..<min(out.count, at + next(40))], at: next(out.count))
            case 4:
                let hostile = [
                    "-", "0", "-1", "9223372036854775807", "99999999999999999999", "1e999", "{i}", "null", "\"", "\\u0000",
                    "*", "+", ": ", "\n", "[", "{", "}",
                ]
                out.insert(contentsOf: Array(hostile[next(hostile.count)].utf8), at: at)
            default: out = Array(out.prefix(at))
            }
        }
        return out
    }
}

@Suite struct Mutations {
    static let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    @Test func layoutTables() throws {
        let tensors = try storedTensors(Layouts.named("litgpt"), Preset.named("kjv-llama-2.8m").config)
        var mutator = Mutator(state: 1)
        var accepted = 0
        for name in ["litgpt", "gguf-llama", "meta"] {
            let text = Array(try LayoutTables.source(name).utf8)
            for _ in 0..<400 {
                guard let layout = try? Layout(text: mutator.mutate(text)) else { continue }
                accepted += 1
                // What is accepted is invertible.
                for preset in try Preset.all() where preset.name.hasPrefix("kjv") {
                    let count = try layout.specs(for: preset.config).reduce(0) { $0 + $1.shape.count }
                    #expect(count == 2_754_816)
                }
                _ = try? Layouts.recognise(tensors, among: [layout])
            }
        }
        #expect(accepted > 0)
    }

    /// Config files: goldens, and two by which dimensions are computed, as Lit-GPT and Meta write them.
    static let names = [
        "kjv.config.json", "tiny-llama-1.1b.model_config.yaml", "llama-3.2-1b.model_config.yaml", "lit_config.json",
        "params.json",
    ]

    static func text(_ name: String) throws -> [UInt8] {
        let texts = [
            "lit_config.json": """
            {"org": "Lightning-AI", "name": "tiny", "block_size": 64, "vocab_size": 1000, "padding_multiple": 64, "n_layer": 2,
             "n_head": 4, "n_embd": 64, "rotary_percentage": 1.0, "parallel_residual": false, "bias": false,
             "n_query_groups": 2, "norm_eps": 1e-05, "intermediate_size": 128}
            """,
            "params.json": """
            {"dim": 64, "multiple_of": 32, "ffn_dim_multiplier": 1.3, "n_heads": 4, "n_kv_heads": 2, "n_layers": 2,
             "norm_eps": 1e-05, "vocab_size": -1}
            """,
        ]
        if let text = texts[name] { return Array(text.utf8) }
        return Array(try Data(contentsOf: golden.appending(path: name)))
    }

    static func document(_ text: [UInt8], _ name: String) throws -> JSONValue {
        try name.hasSuffix("yaml") ? FlatYAML.parse(text) : JSONText.parse(text)
    }

    @Test(arguments: names) func configs(name: String) throws {
        let text = try Self.text(name)
        var mutator = Mutator(state: 7)
        var accepted = 0
        for _ in 0..<500 {
            let mutated = mutator.mutate(text)
            guard let file = try? ConfigFile(document: Self.document(mutated, name), path: name) else { continue }
            accepted += 1
            #expect(file.config.fault == nil)
            for layout in try Layouts.all() {
                _ = try? layout.specs(for: file.config).count
                _ = try? ConfigFile.files(for: layout, config: file.config, name: "m", dtype: .f32, source: file)
            }
        }
        #expect(accepted > 0)
    }

    /// Every two whole numbers of a config at once, as random changes hardly ever meet them.
    @Test(arguments: names) func pairsOfNumbers(name: String) throws {
        let members = try #require(try Self.document(Self.text(name), name).object)
        let keys = members.keys.filter { members[$0]?.integer != nil }
        let layouts = try Layouts.all()
        let hostile: [Int64] = [.min, -1, 0, 1, 1 << 20, .max]
        #expect(keys.count > 4)
        for (index, one) in keys.enumerated() {
            for other in keys[(index + 1)...] {
                for (first, second) in hostile.flatMap({ number in hostile.map { (number, $0) } }) {
                    var changed = members
                    changed[one] = .integer(first)
                    changed[other] = .integer(second)
                    guard let file = try? ConfigFile(document: .object(changed), path: name) else { continue }
                    #expect(file.config.fault == nil)
                    for layout in layouts {
                        _ = try? ConfigFile.files(for: layout, config: file.config, name: "m", dtype: .f32, source: file)
                    }
                }
            }
        }
    }
}
