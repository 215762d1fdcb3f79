// Texts that `run` makes.

import Foundation
import Testing

@Suite struct RunTests {
    /// From 64 tokens on, weights are laid out anew between the first token and the second where the machine gains by it
    /// (the kernels' tests say where): the text must stay what it is without.
    @Test(arguments: ["Q8_0", "Q4_0", "Q4_1", "Q4_K_M", "Q6_K", "IQ4_XS"]) func aLongTextBeginsAsAShortOne(_ type: String) throws {
        let scratch = try Scratch()
        let model = scratch.path("model.gguf")
        #expect(try pannier("quantize", sample, "-o", model, "--type", type).status == 0)
        for compute in ["f32", "bf16"] {
            func text(_ count: Int) throws -> String {
                let outcome = try pannier(
                    "run", model, "-p", "And it came to pass", "-n", String(count), "--temperature", "0", "--compute", compute)
                #expect(outcome.status == 0, "\(outcome.errors)")
                return outcome.output.trimmingCharacters(in: .newlines)
            }
            let short = try text(63), long = try text(90)
            #expect(short.count > 63 && long.count > short.count && long.hasPrefix(short), "\(short)\n\(long)")
        }
    }
}
