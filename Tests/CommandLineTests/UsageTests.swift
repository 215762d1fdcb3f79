// What the command line itself refuses, and how: status 64, nothing on standard output, one to three lines that say what is
// wrong and what to do.

import Foundation
import Testing

@Suite struct UsageTests {
    private static let model = root.appending(path: "Samples/KJV-Llama-2.8M-Q4_K_M.gguf").path
    private static let text = root.appending(path: "Samples/heldout.txt").path

    struct Mistake: CustomTestStringConvertible {
        let arguments: [String]
        let says: String
        var testDescription: String { arguments.map { $0.suffix(40) }.joined(separator: " ") }

        init(_ arguments: String..., says: String) {
            self.arguments = arguments
            self.says = says
        }
    }

    static let mistakes: [Mistake] = [
        Mistake("frobnicate", says: "frobnicate"),
        Mistake("inspect", says: "<path>"),
        Mistake("inspect", sample, "--color", "purple", says: "purple"),
        Mistake("inspect", sample, "--threads", "0", says: "--threads"),
        Mistake("inspect", sample, "--threads", "-1", says: "--threads"),
        Mistake("--generate-completion-script", "tcsh", says: "tcsh"),
        Mistake("verify", sample, "--preset", "a", "--config", "b", says: "--preset"),
        Mistake("convert", sample, "-o", "x", "--dtype", "q4_0", says: "q4_0"),
        Mistake("convert", sample, "-o", "x", "--shard-size", "0", says: "--shard-size"),
        Mistake("convert", sample, "-o", "x.gguf", "--to", "pytorch", says: "x.gguf"),
        Mistake("convert", sample, "-o", "x.gguf", "--metadata", "a=str", says: "KEY=TYPE:VALUE"),
        Mistake("quantize", sample, "-o", "x.gguf", says: "--type"),
        Mistake("quantize", sample, "-o", "x.gguf", "--type", "Q9_Z", says: "Q9_Z"),
        Mistake("quantize", sample, "-o", "x.gguf", "--target-size", "-1", says: "--target-size"),
        Mistake("quantize", sample, "-o", "x.gguf", "--target-size", "1", says: "at least"),
        Mistake("quantize", sample, "-o", "x.gguf", "--type", "Q4_K", "--override-kv", "a=int:b", says: "no integer"),
        Mistake("quantize", sample, "-o", "x.gguf", "--type", "Q4_K", "--prune-layers", "0,1,2,3", says: "every layer"),
        Mistake("quantize", sample, "-o", "x.gguf", "--type", "Q4_K", "--prune-layers", "-1", says: "-1"),
        Mistake("quantize", sample, "-o", "x.gguf", "--type", "Q4_K", "--tensor-type", "(=q8_0", says: "("),
        Mistake(
            "quantize", sample, "-o", "x.gguf", "--type", "Q4_K", "--tensor-type",
            String(repeating: "(a*)*", count: 40) + "b=q8_0", says: "too long to match"),
        Mistake("split", model, "-o", "x", "--max-size", "0", says: "--max-size"),
        Mistake("split", model, "-o", "x", "--max-tensors", "-3", says: "--max-tensors"),
        Mistake("parity", sample, model, "--text", text, "--max-kld", "-1", says: "--max-kld"),
        Mistake("parity", sample, model, "--text", text, "--html", "x", "--svg", "x", says: "--svg"),
        Mistake("parity", sample, model, "--text", text, "--html", "x", "--svg", "./x", says: "--svg"),
        Mistake("eval", model, says: "--text"),
        Mistake("eval", model, "--text", text, "--context", "-5", says: "--context"),
        Mistake("eval", model, "--text", text, "--chunks", "99999999999999999999", says: "--chunks"),
        Mistake("run", model, "-p", "a", "-n", "-1", says: "-n"),
        Mistake("run", model, "-p", "a", "--temperature", "-1", says: "--temperature"),
        Mistake("run", model, "-p", "a", "--temperature", "nan", says: "--temperature"),
        Mistake("run", model, "-p", "a", "--top-k", "-1", says: "--top-k"),
        Mistake("run", model, "-p", "a", "--seed", "-1", says: "--seed"),
        Mistake("run", model, "--ids", "", says: "no tokens"),
        Mistake("run", model, "--ids", "-1", says: "-1"),
        Mistake("run", model, "--ids", "1,1024", says: "1024"),
        Mistake("run", model, "--ids", "1,x", says: "x"),
    ]

    @Test(arguments: mistakes) func isSaidInThreeLinesAtMost(_ mistake: Mistake) throws {
        let scratch = try Scratch()
        let outcome = try run(mistake.arguments, in: scratch.url)
        #expect(outcome.status == 64, "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("pannier: "), "\(outcome.errors)")
        #expect(outcome.errors.contains(mistake.says), "\(outcome.errors)")
        #expect((1...3).contains(outcome.errors.split(separator: "\n").count), "\(outcome.errors)")
        #expect(scratch.names.isEmpty)
    }

    @Test func aTextMayBeginWithADash() throws {
        let outcome = try pannier("run", Self.model, "-p", "- and", "-n", "2", "--threads", "1", in: root)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(!outcome.output.isEmpty && !outcome.errors.contains("--help"))
    }

    @Test func whatChangesNothingIsSaid() throws {
        let scratch = try Scratch()
        let outcome = try pannier(
            "quantize", sample, "-o", scratch.path("x.gguf"), "--type", "Q4_K_M", "--tensor-type", "attn_w=q8_0",
            "--tensor-type", "attn_v=q8_0", "--include-weights", "attn", "--no-sync")
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("--tensor-type attn_w"))
        #expect(!outcome.errors.contains("--tensor-type attn_v"))
        #expect(outcome.errors.contains("without --imatrix"))
    }

    @Test func everyCommandHasAnExampleThatFitsItsLine() throws {
        let commands = ["inspect", "verify", "convert", "quantize", "diff", "parity", "run", "eval", "imatrix"]
        for command in commands + ["tokenize", "split", "merge", "hash", "formats", "archive"] {
            let help = try pannier(command, "--help").output.split(separator: "\n", omittingEmptySubsequences: false)
            let start = try #require(help.firstIndex(of: "EXAMPLE"), "\(command)")
            let lines = help[(start + 1)...].prefix { !$0.isEmpty }
            #expect(!lines.isEmpty && lines.allSatisfy { $0.hasPrefix("  pannier ") }, "\(command): \(lines)")
            #expect(try pannier(command, "--version").output == pannier("--version").output)
        }
    }
}
