// The JSON that other programs rely on: one object, its schema first, the promised keys in the promised types.

import Foundation
import Testing

@Suite struct JSONContractTests {
    private static let text = root.appending(path: "Samples/heldout.txt").path

    private enum Kind {
        case integer, number, text, flag, list, object
        /// A list of objects with these keys, or nothing.
        indirect case objects([String: Kind])

        func fits(_ value: Any?) -> Bool {
            switch self {
            // A number with a fraction or an exponent is read as floating point.
            case .integer: (value as? NSNumber).map { Self.type($0) == "q" } ?? false
            case .number: (value as? NSNumber).map { Self.type($0) != "c" } ?? false
            case .text: value is String
            case .flag: (value as? NSNumber).map { Self.type($0) == "c" } ?? false
            case .list: value is [Any]
            case .object: value is [String: Any]
            case .objects(let keys):
                (value as? [[String: Any]])?.allSatisfy { entry in keys.allSatisfy { $1.fits(entry[$0]) } } ?? false
            }
        }

        private static func type(_ number: NSNumber) -> String {
            switch String(cString: number.objCType) {
            case "c", "B": "c"
            case "f", "d": "d"
            default: "q"
            }
        }
    }

    private static let tensor: [String: Kind] = ["name": .text, "dtype": .text, "shape": .list, "bytes": .integer]

    private func hold(_ schema: String, _ keys: [String: Kind], _ arguments: String..., status: Int32 = 0) throws {
        let outcome = try run(arguments)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.isEmpty, "\(outcome.errors)")
        #expect(outcome.output.hasPrefix("{\n  \"schema\": \"pannier.\(schema)/1\""), "\(outcome.output.prefix(60))")
        let report = try outcome.json()
        for (key, kind) in keys { #expect(kind.fits(report[key]), "\(schema): \(key) is \(report[key] ?? "missing")") }
    }

    @Test func inspect() throws {
        let keys: [String: Kind] = [
            "path": .text, "container": .text, "layout": .text, "config": .object, "parameters": .integer,
            "bytes": .integer, "metadata": .object, "tensors": .objects(Self.tensor),
        ]
        try hold("inspect", keys, "inspect", sample, "--json")
        var withValues = Self.tensor
        for key in ["min", "max", "mean", "std"] { withValues[key] = .number }
        for key in ["zeros", "nans", "infs"] { withValues[key] = .integer }
        try hold("inspect", ["tensors": .objects(withValues)], "inspect", sample, "--stats", "--json")
    }

    @Test func shapesAreOutermostFirstInEveryContainer() throws {
        let folder = root.appending(path: "Samples").path
        for (path, name) in [
            (sample, "model.layers.0.mlp.gate_proj.weight"),
            (folder + "/KJV-Llama-2.8M-Q4_K_M.gguf", "blk.0.ffn_gate.weight"),
            (folder + "/KJV-Llama-2.8M-litgpt-tinyllama", "transformer.h.0.mlp.swiglu.w1.weight"),
        ] {
            let tensors = try pannier("inspect", path, "--tensors", name, "--json").json()["tensors"] as? [[String: Any]]
            #expect(tensors?.first?["shape"] as? [Int] == [512, 256], "\(path)")
        }
    }

    @Test func verify() throws {
        let finding: [String: Kind] = ["code": .text, "severity": .text, "message": .text]
        let keys: [String: Kind] = ["ok": .flag, "checked": .integer, "findings": .objects(finding)]
        try hold("verify", keys, "verify", sample, "--deep", "--json")
        try hold("verify", keys, "verify", sample, "--preset", "tinyllama-1.1b", "--json", status: 1)
    }

    @Test func hash() throws {
        let tensor: [String: Kind] = ["name": .text, "dtype": .text, "shape": .list, "sha256": .text]
        try hold("hash", ["sha256": .text, "tensors": .objects(tensor)], "hash", sample, "--json")
    }

    @Test func eval() throws {
        let keys: [String: Kind] = [
            "tokens": .integer, "nll": .number, "perplexity": .number, "tokens_per_second": .number,
        ]
        try hold("eval", keys, "eval", sample, "--text", Self.text, "--chunks", "1", "--json")
        let scratch = try Scratch()
        let lines = [
            #"{"context": "In the", "choices": ["a", "b"], "answer": 0}"#,
            #"{"context": "In the", "choices": ["a", "b"], "answer": "b", "task": "other"}"#,
        ]
        try Data(lines.joined(separator: "\n").utf8).write(to: scratch.url.appending(path: "q.jsonl"))
        let report = try pannier("eval", sample, "--tasks", scratch.path("q.jsonl"), "--json").json()
        let tasks = try #require(report["tasks"] as? [String: [String: Any]])
        #expect(tasks.keys.sorted() == ["other", "q"])
        for task in tasks.values {
            #expect(Kind.number.fits(task["acc"]) && Kind.number.fits(task["acc_norm"]) && Kind.integer.fits(task["n"]))
        }
    }

    @Test func parity() throws {
        let layer: [String: Kind] = ["layer": .integer, "relative_error": .number]
        let keys: [String: Kind] = [
            "tokens": .integer, "mean_kld": .number, "max_kld": .number, "top1_agreement": .number,
            "max_abs_logit": .number, "logit_nmse": .number, "perplexity_reference": .number,
            "perplexity_candidate": .number, "layers": .objects(layer), "hints": .list, "ok": .flag, "tokenizer": .text,
        ]
        let q4 = root.appending(path: "Samples/KJV-Llama-2.8M-Q4_K_M.gguf").path
        try hold("parity", keys, "parity", sample, q4, "--text", Self.text, "--chunks", "1", "--layers", "--json")
        let report = try pannier("parity", sample, q4, "--text", Self.text, "--chunks", "1", "--layers", "--json").json()
        #expect(report["first_divergent_layer"] is NSNull)
        #expect((report["layers"] as? [[String: Any]])?.map { $0["layer"] as? Int } == [-1, 0, 1, 2, 3, 4])
    }

    @Test func tokenize() throws {
        try hold("tokenize", ["ids": .list, "pieces": .list], "tokenize", sample, "In the beginning", "--json")
    }

    @Test(arguments: ["convert", "quantize"]) func dryRun(_ command: String) throws {
        let scratch = try Scratch()
        let tensor: [String: Kind] = ["name": .text, "from": .text, "to": .text, "shape": .list, "bytes": .integer]
        let type = command == "quantize" ? ["--type", "Q4_K_M"] : []
        let outcome = try run([command, sample, "-o", scratch.path("x.gguf"), "--dry-run", "--json"] + type)
        #expect(outcome.output.hasPrefix("{\n  \"schema\": \"pannier.\(command)/1\""))
        let report = try outcome.json()
        #expect(Kind.integer.fits(report["bytes"]) && Kind.objects(tensor).fits(report["tensors"]))
        #expect(scratch.names.isEmpty)
    }

    @Test func formats() throws {
        let keys: [String: Kind] = ["containers": .list, "layouts": .list, "presets": .list, "block_formats": .list]
        try hold("formats", keys, "formats", "--json")
    }
}
