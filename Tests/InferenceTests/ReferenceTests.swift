// The forward pass against transformers in float64.

import Foundation
import Testing

import Containers
import Conversion
import Inference
import JSONText
import Tensors
import Tokenizers

let project = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
let sample = project.appendingPathComponent("Samples/KJV-Llama-2.8M").path
let golden = project.appendingPathComponent("Tests/InferenceTests/Golden").path

/// transformers' numbers for the sample model.
struct Reference {
    let ids: [Int]
    /// [128, 1024]
    let logits: [Float]
    /// [5, 256]: embedding, after layers 0, 1, 2, and after the final norm.
    let hidden: [Float]

    init() throws {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: golden + "/hf_reference.bin"))
        func floats(_ from: Int, _ count: Int) -> [Float] {
            bytes.withUnsafeBytes { buffer in
                (0..<count).map { buffer.loadUnaligned(fromByteOffset: from + $0 * 4, as: Float.self) }
            }
        }
        ids = bytes.withUnsafeBytes { buffer in
            (0..<128).map { Int(buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)) }
        }
        logits = floats(512, 128 * 1024)
        hidden = floats(512 + 128 * 1024 * 4, 5 * 256)
    }
}

@Suite struct ReferenceTests {
    /// The largest difference of any logit and hidden state from transformers', fed `step` tokens at a time.
    static func errors(_ transformer: Transformer, step: Int) throws -> (logits: Float, hidden: Float) {
        let reference = try Reference()
        let cache = KVCache(transformer.config)
        var logits: Float = 0, hidden: Float = 0
        for start in stride(from: 0, to: 128, by: step) {
            let part = Array(reference.ids[start..<min(128, start + step)])
            var observer = ForwardObserver()
            observer.hidden = { layer, first, tokens, values in
                // transformers does not show layer 3 before the final norm.
                guard start + first + tokens == 128, layer != 3 else { return }
                let row = layer == 4 ? 4 : layer + 1
                for i in 0..<256 {
                    hidden = max(hidden, abs(values[(tokens - 1) * 256 + i] - reference.hidden[row * 256 + i]))
                }
            }
            try transformer.forward(part, cache: cache, wanted: 0..<part.count, observer: observer) { block in
                for token in 0..<block.tokens {
                    for (id, value) in block[token].enumerated() {
                        let expected = reference.logits[(start + block.first + token) * 1024 + id]
                        logits = max(logits, abs(value - expected))
                    }
                }
            }
        }
        return (logits, hidden)
    }

    @Test(arguments: [128, 37, 1]) func matchesTransformersInEveryLogitAndLayer(step: Int) throws {
        let source = try ModelSource(sample)
        let transformer = try Transformer(ModelWeights(source.reader, source.match), threads: 2)
        let errors = try Self.errors(transformer, step: step)
        #expect(errors.logits < 3e-5)
        #expect(errors.hidden < 3e-5)
    }

    /// Of tokens whose logits nobody wants, the last layer makes keys and values only, unless it is observed.
    @Test(arguments: [128, 50, 7], [0..<1, 40..<60, 99..<100]) func logitsAreTheSameWhicheverAreWanted(
        batch: Int, wanted: Range<Int>
    ) throws {
        let reference = try Reference()
        let source = try ModelSource(sample)
        let transformer = try Transformer(ModelWeights(source.reader, source.match), threads: 2, batch: batch)
        let cache = KVCache(transformer.config)
        var seen: [Int] = []
        func compare(_ block: LogitsBlock, after: Int) {
            for token in 0..<block.tokens {
                seen.append(after + block.first + token)
                let expected = reference.logits[seen[seen.count - 1] * 1024..<(seen[seen.count - 1] + 1) * 1024]
                #expect(zip(block[token], expected).allSatisfy { abs($0 - $1) < 3e-5 }, "token \(seen[seen.count - 1])")
            }
        }
        try transformer.forward(Array(reference.ids[..<100]), cache: cache, wanted: wanted) { compare($0, after: 0) }
        // What follows sees the keys and values of all of them.
        try transformer.forward(Array(reference.ids[100...]), cache: cache) { compare($0, after: 100) }
        #expect(seen == Array(wanted) + [127])
    }

    /// transformers runs what is stored, and so does what is made of it.
    @Test func aStoredOutputIsUsedWhateverTheConfigSays() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.copyItem(atPath: sample, toPath: folder)
        let config = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
        let tied = config.replacingOccurrences(
            of: "\"tie_word_embeddings\": false", with: "\"tie_word_embeddings\": true")
        #expect(tied != config)
        try tied.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        let source = try ModelSource(folder)
        #expect(!source.config.tiedOutput)
        let errors = try Self.errors(Transformer(ModelWeights(source.reader, source.match), threads: 2), step: 128)
        #expect(errors.logits < 3e-5)
    }

    @Test func bf16ArithmeticStaysClose() throws {
        let source = try ModelSource(sample)
        let transformer = try Transformer(ModelWeights(source.reader, source.match), threads: 2, compute: .bf16)
        let errors = try Self.errors(transformer, step: 128)
        #expect(errors.logits < 0.1)
    }

    @Test func continuesAPromptAsTransformersDoes() throws {
        let json = try JSONText.read(golden + "/hf_reference.json")
        let expected = try #require(json["ids"]?.array).compactMap(\.integer)
        let prompt = try #require(json["prompt"]?.string)
        let source = try ModelSource(sample)
        let tokenizer = try Tokenizer(path: sample)
        let transformer = try Transformer(ModelWeights(source.reader, source.match), threads: 2)
        let cache = KVCache(transformer.config)
        var ids = [1] + tokenizer.encode(prompt)
        var next = ids
        while ids.count < expected.count {
            let logits = try transformer.lastLogits(next, cache: cache)
            let best = try #require(logits.indices.max { logits[$0] < logits[$1] })
            ids.append(best)
            next = [best]
        }
        #expect(ids == expected)
        #expect(tokenizer.decode(Array(ids.dropFirst())) == json["text"]?.string)
    }
}
