// Long work shows how far it is on a terminal and is quiet about it elsewhere; an interruption leaves nothing.

import Foundation
import Testing

@Suite struct ProgressTests {
    private static let text = root.appending(path: "Samples/heldout.txt").path
    private static let script = URL(filePath: "/usr/bin/script")

    /// What a person sees who runs the program in a terminal of 80 columns: all that was ever on the screen.
    private func onTerminal(_ arguments: [String]) throws -> String {
        let command = ([program.path] + arguments).map { "'\($0)'" }.joined(separator: " ")
        return try launch(Self.script, ["-qec", "stty cols 80; \(command)", "/dev/null"]).output
    }

    @Test(
        .enabled(if: FileManager.default.isExecutableFile(atPath: script.path)),
        arguments: ["eval", "tasks", "imatrix", "parity"])
    func isABarOnATerminal(_ command: String) throws {
        let scratch = try Scratch()
        try Data(#"{"context": "In the", "choices": ["a", "b"], "answer": 0}"#.utf8)
            .write(to: scratch.url.appending(path: "q.jsonl"))
        let text = ["--text", Self.text, "--context", "256", "--chunks", "4"]
        let (arguments, counts) =
            switch command {
            case "eval": (["eval", sample] + text, ["of 1,024 tokens"])
            case "tasks": (["eval", sample, "--tasks", scratch.path("q.jsonl")], ["of 1 questions"])
            case "imatrix": (["imatrix", sample, "-o", scratch.path("m.gguf")] + text, ["of 1,024 tokens"])
            default: (["parity", sample, sample, "--layers"] + text, ["of 2,048 tokens", "of 6 layers"])
            }
        let screen = try onTerminal(arguments)
        for count in counts { #expect(screen.contains(count) && screen.contains("█"), "\(screen)") }
        // The bar is taken back, and never wraps.
        let lines = screen.split(whereSeparator: \.isNewline)
        let bars = lines.filter { $0.contains("█") || $0.contains("░") }
        let clearing = 3
        #expect(bars.allSatisfy { $0.count < 80 + clearing }, "\(bars)")
        #expect(lines.last.map { !$0.contains("█") } ?? false)
        #expect(!(try onTerminal(arguments + ["--quiet", "--force"])).contains("█"))
    }

    @Test func isNothingElsewhereWhenTheWorkIsShort() throws {
        let outcome = try pannier("parity", sample, sample, "--text", Self.text, "--chunks", "2", "--json")
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    }

    @Test(arguments: ["eval", "imatrix", "parity"]) func anInterruptionLeavesNothing(_ command: String) throws {
        let scratch = try Scratch()
        let arguments =
            switch command {
            case "eval": ["eval", sample, "--logits", scratch.path("l.npy")]
            case "imatrix": ["imatrix", sample, "-o", scratch.path("m.gguf")]
            default: ["parity", sample, sample, "--html", scratch.path("p.html")]
            }
        // A text for minutes; its whole is never reached.
        let text = try Data(contentsOf: URL(filePath: Self.text))
        var long = Data()
        for _ in 0..<20 { long += text }
        let words = try Scratch()
        try long.write(to: words.url.appending(path: "long.txt"))
        let line = arguments + ["--text", words.path("long.txt"), "--threads", "1"]
        let outcome = try launch(
            URL(filePath: "/usr/bin/timeout"), ["--preserve-status", "-s", "INT", "2", program.path] + line)
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
        #expect(scratch.names.isEmpty)
    }
}
