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
                    "-", "0", "99999999999999999999", "1e999", "{i}", "null", "\"", "\\u0000", "*", "+", ": ", "\n",
                    "[", "{", "}",
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

    @Test(arguments: ["kjv.config.json", "tiny-llama-1.1b.model_config.yaml", "llama-3.2-1b.model_config.yaml"])
    func configs(name: String) throws {
        let text = Array(try Data(contentsOf: Self.golden.appending(path: name)))
        var mutator = Mutator(state: 7)
        for _ in 0..<500 {
            let mutated = mutator.mutate(text)
            guard let document = try? name.hasSuffix("yaml") ? FlatYAML.parse(mutated) : JSONText.parse(mutated),
                let file = try? ConfigFile(document: document, path: name)
            else { continue }
            #expect(file.config.fault == nil)
            for layout in try Layouts.all() {
                _ = try? layout.specs(for: file.config).count
                _ = try? ConfigFile.files(for: layout, config: file.config, name: "m", dtype: .f32, source: file)
            }
        }
    }
}
