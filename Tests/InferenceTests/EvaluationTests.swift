// Scoring texts and questions, choosing tokens, and the files that come of it.

import Foundation
import OrderedCollections
import Testing

import Bytes
import Containers
import Inference
import JSONText
import Tensors
import Tokenizers

@Suite struct EvaluationTests {
    private func temporary(_ name: String) -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString + "-" + name).path
    }

    // MARK: Perplexity

    @Test func chunksAreLlamaPerplexitys() throws {
        let chunks = try TextChunks(tokens: Array(100..<122), bos: 1, context: 10)
        #expect(chunks.count == 2)
        #expect(chunks[0] == [1] + Array(101..<110))
        #expect(chunks[1] == [1] + Array(111..<120))
        #expect(chunks.scored == 5..<9)
        #expect(chunks.predictions == 8)
        #expect(try TextChunks(tokens: Array(0..<22), bos: nil, context: 10, limit: 1).count == 1)
        #expect(try TextChunks(tokens: Array(0..<7), bos: nil, context: 10).context == 7)
        #expect(throws: CheckpointError.self) { try TextChunks(tokens: [1, 2], bos: nil, context: 10) }
    }

    @Test func nothingIsSaidOfPerplexityBeforeSomethingIsScored() throws {
        let model = try LanguageModel(sample)
        let chunks = try TextChunks(tokens: (0..<512).map { 3 + $0 % 1000 }, bos: 1, context: 512)
        var told: [(tokens: Int, perplexity: Double?)] = []
        let result = try Evaluator(Transformer(model.weights, threads: 2, batch: 128)).perplexity(chunks) {
            told.append(($0, $1))
        }
        #expect(told.map(\.tokens) == [128, 256, 384, 512])
        #expect(told.map { $0.perplexity == nil } == [true, true, false, false])
        #expect(told.last?.perplexity == result.perplexity)
    }

    @Test func negativeLogLikelihoodMatchesTransformers() throws {
        let reference = try Reference()
        let model = try LanguageModel(sample)
        let transformer = try Transformer(model.weights, threads: 2)
        var sum = 0.0
        try transformer.forward(reference.ids, cache: KVCache(model.config), wanted: 0..<127) { block in
            for token in 0..<block.tokens {
                sum += Evaluator.nll(of: reference.ids[block.first + token + 1], in: block[token])
            }
        }
        let expected = try #require(try JSONText.read(golden + "/hf_reference.json")["nll_first_128"]?.number)
        #expect(abs(sum / 127 - expected) < 1e-6)
    }

    @Test func logitsAreWrittenForNumPy() throws {
        let path = temporary("logits.npy")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let model = try LanguageModel(sample)
        let chunks = try TextChunks(tokens: Array(5..<25), bos: 1, context: 10)
        let writer = try NPYWriter(creating: path, rows: 20, columns: 1024)
        let transformer = try Transformer(model.weights, threads: 2)
        let result = try Evaluator(transformer).perplexity(chunks, logits: writer)
        try writer.finish()
        #expect(result.tokens == 8)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(bytes.prefix(6) == Data([0x93]) + Data("NUMPY".utf8))
        let length = Int(bytes[8]) + Int(bytes[9]) << 8
        #expect((10 + length) % 64 == 0)
        #expect(String(decoding: bytes[10..<10 + length], as: UTF8.self).contains("'shape': (20, 1024)"))
        try #require(bytes.count == 10 + length + 20 * 1024 * 4)
        var expected: [Float] = []
        for chunk in 0..<chunks.count {
            try transformer.forward(chunks[chunk], cache: KVCache(model.config), wanted: 0..<10) { block in
                for token in 0..<block.tokens { expected += block[token] }
            }
        }
        let written = Array(bytes[(10 + length)...]).withUnsafeBytes { raw in
            (0..<20 * 1024).map {
                Float(bitPattern: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
        #expect(expected.count == written.count)
        for row in 0..<20 {
            let values = row * 1024..<(row + 1) * 1024
            let isSame = written[values].elementsEqual(expected[values])
            #expect(isSame, "row \(row)")
        }
    }

    @Test func anArrayHasTheRowsThatItsHeaderSays() throws {
        let path = temporary("array.npy")
        defer { try? FileManager.default.removeItem(atPath: path) }
        func append(_ values: [Float], to writer: NPYWriter) throws {
            try values.withUnsafeBufferPointer { try writer.append($0) }
        }
        let writer = try NPYWriter(creating: path, rows: 2, columns: 3)
        try append([1, 2, 3], to: writer)
        #expect(throws: CheckpointError.self) { try writer.finish() }
        #expect(throws: CheckpointError.self) { try append([4, 5, 6, 7], to: writer) }
        try append([4, 5, 6], to: writer)
        try writer.finish()
        #expect(throws: CheckpointError.self) { try append([7], to: writer) }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(bytes.count % 64 == 24)
        for (rows, columns) in [(-1, 3), (3, -1), (Int.max, 2), (1 << 31, 1 << 31)] {
            #expect(throws: CheckpointError.self) {
                try NPYWriter(creating: temporary("none.npy"), rows: rows, columns: columns)
            }
        }
    }

    @Test func refusesTokensOutsideTheVocabulary() throws {
        let model = try LanguageModel(sample)
        let transformer = try Transformer(model.weights, threads: 1)
        for token in [-1, 1024, Int.max] {
            #expect(throws: CheckpointError.self) {
                try transformer.lastLogits([1, token], cache: KVCache(model.config))
            }
        }
    }

    // MARK: Questions

    @Test func answersQuestionsByLikelihood() throws {
        let path = temporary("animals.jsonl")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let lines = [
            #"{"context": "And God said unto", "choices": ["Moses", "qzx"], "answer": 0}"#, "",
            #"{"context": "And it came to", "choices": ["xylophone", "pass"], "answer": "pass"}"#,
            #"{"task": "other", "context": "the children of", "choices": ["Israel", "kqj"], "answer": 1}"#,
        ]
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        let questions = try ChoiceQuestion.read(path)
        #expect(questions.count == 3)
        #expect(questions[1].answer == 1)
        let model = try LanguageModel(sample)
        let results = try Evaluator(Transformer(model.weights, threads: 2)).answer(questions, tokenizer: model.tokenizer())
        #expect(results.map(\.task).last == "other")
        #expect(results[0].score == TaskScore(accuracy: 1, normalizedAccuracy: 1, count: 2))
        #expect(results[1].score == TaskScore(accuracy: 0, normalizedAccuracy: 0, count: 1))
    }

    @Test(arguments: [
        "", "[]", #"{"context": "a"}"#, #"{"context": "a", "choices": ["b"], "answer": 0}"#,
        #"{"context": "a", "choices": ["b", "c"], "answer": 2}"#, #"{"context": "a", "choices": ["b", 3], "answer": 0}"#,
        #"{"context": "a", "choices": ["b", "c"], "answer": "d"}"#, #"{"context": "", "choices": ["b", ""], "answer": 0}"#,
    ])
    func refusesMalformedQuestions(_ text: String) throws {
        let path = temporary("bad.jsonl")
        defer { try? FileManager.default.removeItem(atPath: path) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: CheckpointError.self) { try ChoiceQuestion.read(path) }
    }

    @Test func aQuestionWithoutAChoiceSaysWhatIsWanted() throws {
        let path = temporary("one.jsonl")
        defer { try? FileManager.default.removeItem(atPath: path) }
        try #"{"context": "a", "choices": ["b"], "answer": 0}"#.write(toFile: path, atomically: true, encoding: .utf8)
        let error = #expect(throws: CheckpointError.self) { _ = try ChoiceQuestion.read(path) }
        #expect(error?.expected == "at least 2 choices" && error?.found == "1" && error?.place == "line 1")
    }

    private func question(_ context: String, _ choices: [String]) throws -> [ChoiceQuestion] {
        let path = temporary("question.jsonl")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let question: [String: Any] = ["context": context, "choices": choices, "answer": 0]
        try JSONSerialization.data(withJSONObject: question).write(to: URL(fileURLWithPath: path))
        return try ChoiceQuestion.read(path)
    }

    /// Blanks at a context's end count to the choice, however many they are.
    @Test func scoresAContextThatEndsInBlanks() throws {
        let questions = try question("And God said" + String(repeating: " ", count: 1_500_000), ["Moses", "unto"])
        let model = try LanguageModel(sample)
        let results = try Evaluator(Transformer(model.weights, threads: 2)).answer(questions, tokenizer: model.tokenizer())
        for likelihood in results[0].likelihoods[0] { #expect(likelihood.isFinite) }
    }

    /// A choice without a token that is predicted, and one whose last token is only the tokenizer's.
    @Test func refusesChoicesThatCannotBeScored() throws {
        let folder = temporary("tokenizer")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let json = """
            {"model": {"type": "BPE", "vocab": {"a": 0, "Ġ": 1, "c": 2000}, "merges": []},
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}
            """
        try json.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
        let tokenizer = try Tokenizer(path: folder)
        #expect(!tokenizer.addsBos)
        let evaluator = Evaluator(try Transformer(LanguageModel(sample).weights, threads: 1))
        func kind(_ context: String, _ choices: [String]) throws -> CheckpointError.Kind? {
            let questions = try question(context, choices)
            do {
                _ = try evaluator.answer(questions, tokenizer: tokenizer)
                return nil
            } catch let error as CheckpointError {
                return error.kind
            }
        }
        #expect(try kind("a", ["a", "aa"]) == nil)
        #expect(try kind("", ["a", "aa"]) == .malformed)
        #expect(try kind("a", ["a", "c"]) == .unsupported)
    }

    // MARK: Choosing

    @Test func theSameSeedChoosesTheSameTokens() {
        let logits: [Float] = [1, 3, 2, .nan, 3, -1]
        func draw(_ sampler: Sampler, _ count: Int = 40) -> [Int] {
            var sampler = sampler
            return (0..<count).map { _ in logits.withUnsafeBufferPointer { sampler.choose($0) } }
        }
        #expect(draw(Sampler(), 3) == [1, 1, 1])
        let warm = Sampler(temperature: 1, seed: 5)
        #expect(draw(warm) == draw(warm))
        #expect(Set(draw(warm)).count > 2)
        #expect(!draw(warm, 200).contains(3))
        #expect(Set(draw(Sampler(temperature: 1, topK: 2, seed: 1))) == [1, 4])
        #expect(Set(draw(Sampler(temperature: 1, topP: 0.3, seed: 1))) == [1])
        #expect(Set(draw(Sampler(temperature: 1, minP: 0.9, seed: 1))) == [1, 4])
    }

    @Test func generationEndsAtItsEnds() throws {
        let model = try LanguageModel(sample)
        let transformer = try Transformer(model.weights, threads: 2)
        let prompt = try model.prompt("And it came to pass")
        #expect(prompt.first == 1)
        var tokens: [Int] = []
        let report = try transformer.generate(
            prompt, cache: KVCache(model.config), most: 12, ends: [], sampler: Sampler()
        ) { tokens.append($0); return true }
        #expect(report.generatedTokens == 12 && tokens.count == 12)
        let third = tokens[2]
        let again = try transformer.generate(
            prompt, cache: KVCache(model.config), most: 12, ends: [third], sampler: Sampler()) { _ in true }
        #expect(again.ended)
        #expect(again.generatedTokens == tokens.firstIndex(of: third))
    }

    // MARK: Importance matrices

    @Test func importanceMatricesHaveLlamaImatrixsForm() throws {
        let model = try LanguageModel(sample)
        let collector = ImatrixCollector(try Transformer(model.weights, threads: 2))
        let chunks = try TextChunks(tokens: Array(5..<45), bos: 1, context: 20)
        try collector.collect(chunks)
        let folder = FileManager.default.temporaryDirectory.path
        let name = UUID().uuidString + ".gguf"
        defer { try? FileManager.default.removeItem(atPath: folder + "/" + name) }
        try collector.write(in: folder, name: name, dataset: "text", chunks: chunks)
        let reader = try Containers.open(folder + "/" + name)
        #expect(reader.metadata["general.type"]?.string == "imatrix")
        #expect(reader.metadata["imatrix.chunk_count"]?.integer == 2)
        #expect(reader.metadata["imatrix.chunk_size"]?.integer == 20)
        #expect(reader.tensors.count == 4 * 7 * 2)
        #expect(reader.tensors.prefix(2).map(\.name) == ["blk.0.attn_k.weight.in_sum2", "blk.0.attn_k.weight.counts"])
        let counts = try #require(reader.tensors.first { $0.name == "blk.2.ffn_down.weight.counts" })
        #expect(try reader.readAll(counts) == withUnsafeBytes(of: Float(40)) { Array($0) })
        let sums = try #require(reader.tensors.first { $0.name == "blk.2.ffn_down.weight.in_sum2" })
        #expect(sums.shape.count == 512)
    }
}
