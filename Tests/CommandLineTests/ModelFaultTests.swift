// Models and texts that run into trouble only when they are run: NaN, too little text, more context than there is.

import Foundation
import Testing

@Suite struct ModelFaultTests {
    private static let text = root.appending(path: "Samples/heldout.txt").path

    /// The sample with a NaN in the middle of its weights.
    private func broken(in scratch: Scratch) throws -> String {
        try FileManager.default.copyItem(atPath: sample, toPath: scratch.path("broken"))
        let file = URL(filePath: scratch.path("broken/model.safetensors"))
        var bytes = try Data(contentsOf: file)
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try #require(
            try JSONSerialization.jsonObject(with: bytes[8..<8 + length]) as? [String: [String: Any]])
        let offsets = try #require(header["model.layers.1.mlp.up_proj.weight"]?["data_offsets"] as? [Int])
        bytes.replaceSubrange(8 + length + offsets[0]..<8 + length + offsets[0] + 2, with: [0xc0, 0x7f])
        try bytes.write(to: file)
        return scratch.path("broken")
    }

    @Test(arguments: ["run", "eval", "tasks", "imatrix"]) func aModelThatGivesNaNIsNamed(_ command: String) throws {
        let scratch = try Scratch()
        let model = try broken(in: scratch)
        try Data(#"{"context": "In the", "choices": ["a", "b"], "answer": 0}"#.utf8)
            .write(to: scratch.url.appending(path: "q.jsonl"))
        let arguments =
            switch command {
            case "run": ["run", model, "-p", "In the beginning"]
            case "eval": ["eval", model, "--text", Self.text, "--logits", scratch.path("l.npy"), "--json"]
            case "tasks": ["eval", model, "--tasks", scratch.path("q.jsonl"), "--json"]
            default: ["imatrix", model, "--text", Self.text, "-o", scratch.path("m.gguf")]
            }
        let outcome = try run(arguments)
        #expect(outcome.status == 2, "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains(model) && outcome.errors.contains("NaN"), "\(outcome.errors)")
        #expect(scratch.names == ["broken", "q.jsonl"])
    }

    @Test func parityNamesTheModelThatGivesNaN() throws {
        let scratch = try Scratch()
        let model = try broken(in: scratch)
        for (reference, candidate, name) in [(model, sample, "reference"), (sample, model, "candidate")] {
            let outcome = try pannier("parity", reference, candidate, "--text", Self.text, "--chunks", "1", "--json")
            #expect(outcome.status == 1, "\(outcome.errors)")
            let report = try outcome.json()
            #expect(report["ok"] as? Bool == false)
            let faults = try #require(report["faults"] as? [String])
            #expect(faults.contains { $0.contains(name) && $0.contains("NaN") }, "\(faults)")
        }
    }

    @Test func theOutputIsCalledThatWhereItsErrorIsNoNumber() throws {
        let scratch = try Scratch()
        let outcome = try pannier("parity", sample, broken(in: scratch), "--text", Self.text, "--chunks", "1", "--layers")
        #expect(outcome.status == 1, "\(outcome.errors)")
        #expect(outcome.output.contains("  output: ") && !outcome.output.contains("layer 4:"), "\(outcome.output)")
    }

    @Test func aTextWithoutTokensIsNamed() throws {
        let scratch = try Scratch()
        try Data().write(to: scratch.url.appending(path: "empty.txt"))
        try Data([0xff, 0xfe]).write(to: scratch.url.appending(path: "bytes.txt"))
        for name in ["empty.txt", "bytes.txt"] {
            for command in [["eval", sample], ["parity", sample, sample], ["imatrix", sample, "-o", scratch.path("m")]] {
                let outcome = try run(command + ["--text", scratch.path(name)])
                #expect(outcome.status == 2, "\(outcome.errors)")
                #expect(outcome.errors.contains(name), "\(outcome.errors)")
            }
        }
        #expect(scratch.names == ["bytes.txt", "empty.txt"])
    }

    @Test func moreContextThanTheModelHasIsSaid() throws {
        let scratch = try Scratch()
        try Data(try Data(contentsOf: URL(filePath: Self.text)).prefix(3000)).write(to: scratch.url.appending(path: "t"))
        // Also a number that nothing could be allocated for: a text is never longer than it is.
        for context in ["600", "9223372036854775807"] {
            let outcome = try pannier("eval", sample, "--text", scratch.path("t"), "--context", context, "--json")
            #expect(outcome.status == 0)
            #expect(outcome.errors.contains("the model's context of 512"), "\(outcome.errors)")
        }
        let within = try pannier("eval", sample, "--text", scratch.path("t"), "--context", "512", "--json")
        #expect(within.errors.isEmpty)
    }

    @Test func aContinuationPastTheContextIsSaidOnce() throws {
        let ids = ([1] + (0..<504).map { 3 + $0 * 37 % 1000 }).map(String.init)
        func warnings(_ count: Int, _ most: String) throws -> Int {
            let outcome = try pannier("run", sample, "--ids", ids.suffix(count).joined(separator: ","), "-n", most)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.errors.components(separatedBy: "the model's context of 512").count - 1
        }
        #expect(try warnings(505, "20") == 1)
        #expect(try warnings(505, "4") == 0)
    }

    @Test func aLongQuestionKeepsItsEnd() throws {
        // lm-evaluation-harness cuts from the left what the model's 512 positions do not hold.
        let scratch = try Scratch()
        let words = try String(contentsOfFile: Self.text, encoding: .utf8).split(separator: " ").prefix(1200)
        func likelihoods(_ context: Substring, _ name: String) throws -> [Double] {
            let question: [String: Any] = ["context": String(context), "choices": ["and the sea", "Amen"], "answer": 0]
            try JSONSerialization.data(withJSONObject: question).write(to: scratch.url.appending(path: name))
            let tasks = try pannier("eval", sample, "--tasks", scratch.path(name), "--json").json()["tasks"]
            let task = try #require((tasks as? [String: [String: Any]])?.values.first)
            return try #require((task["log_likelihoods"] as? [[Double]])?.first)
        }
        let whole = words.joined(separator: " ")[...]
        let long = try likelihoods(whole, "long.jsonl")
        #expect(try long == likelihoods("Selah " + whole, "longer.jsonl"))
    }
}
