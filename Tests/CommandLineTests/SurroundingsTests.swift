// What the system around the program may do to it: readers that go away, limits of files, arguments that are no text. No case
// ends in a signal, and the exit status still says what was found.

import Foundation
import Testing

@Suite struct SurroundingsTests {
    private static let quantized = root.appending(path: "Samples/KJV-Llama-2.8M-Q4_K_M.gguf").path

    /// The status of `pannier` in a shell's script, where `$0` is the program.
    private func shell(_ script: String, _ arguments: String...) throws -> Outcome {
        try launch(URL(filePath: "/bin/bash"), ["-c", script, program.path] + arguments)
    }

    @Test(arguments: ["head -c 1", "true"]) func differencesAreToldWithoutAReader(_ reader: String) throws {
        let outcome = try shell("\"$0\" diff \"$1\" \"$2\" --json | \(reader) > /dev/null; exit ${PIPESTATUS[0]}", sample, Self.quantized)
        #expect(outcome.status == 1 && outcome.errors.isEmpty)
    }

    @Test func aTextWithoutAReaderEnds() throws {
        let outcome = try shell("\"$0\" run \"$1\" -p In -n 1000000 -q | head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", sample)
        #expect(outcome.status == 0)
    }

    @Test(arguments: 3...12) func fewDescriptorsAreAnError(_ limit: Int) throws {
        let scratch = try Scratch()
        let outcome = try shell("ulimit -n \(limit); exec \"$0\" convert \"$1\" -o \"$2\" -q", sample, scratch.path("x.gguf"))
        // The shell itself may need more than the smallest limits.
        #expect([0, 3, 126, 127].contains(outcome.status), "\(outcome.status) \(outcome.errors)")
        #expect(outcome.status == 0 || outcome.status > 3 || !outcome.errors.isEmpty)
    }

    @Test func aLimitOfSizesIsAnError() throws {
        let scratch = try Scratch()
        let outcome = try shell("ulimit -f 100; exec \"$0\" convert \"$1\" -o \"$2\" -q", sample, scratch.path("x.gguf"))
        #expect(outcome.status == 3 && !outcome.errors.isEmpty)
        #expect(scratch.names.isEmpty)
    }

    #if os(Linux)
        @Test(arguments: ["--version", "--help", "help quantize", "--generate-completion-script bash", "formats"])
        func aFullOutputIsAnError(_ question: String) throws {
            let outcome = try shell("exec \"$0\" \(question) > /dev/full")
            #expect(outcome.status == 3 && outcome.errors.contains("standard output"))
        }
    #endif

    /// Two names of bytes that are no text would be one name.
    @Test func argumentsAreText() throws {
        let scratch = try Scratch()
        let outcome = try shell("exec \"$0\" convert \"$1\" -o \"$2\"/$'a\\xff.gguf' -q", sample, scratch.url.path)
        #expect(outcome.status == 64 && outcome.errors.contains("UTF-8"))
        #expect(scratch.names.isEmpty)
    }
}
