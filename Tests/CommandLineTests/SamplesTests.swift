// The sample in every container and layout: what make.sh gives is what Samples/SHA256SUMS lists and what lies there.

import Foundation
import Testing

@Suite struct SamplesTests {
    private static let samples = root.appending(path: "Samples")

    /// Path to digest.
    private static func sums() throws -> [String: String] {
        let text = try String(contentsOf: samples.appending(path: "SHA256SUMS"), encoding: .utf8)
        return Dictionary(
            uniqueKeysWithValues: text.split(separator: "\n").map { (String($0.dropFirst(66)), String($0.prefix(64))) })
    }

    @Test func everyFormIsMadeBitForBit() throws {
        let scratch = try Scratch()
        let made = try launch(
            URL(filePath: "/usr/bin/env"),
            ["PANNIER=\(program.path)", "bash", Self.samples.appending(path: "make.sh").path, scratch.path("made")])
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.output.contains("each the one that SHA256SUMS lists"))
    }

    @Test func whatLiesThereIsWhatIsListed() throws {
        let sums = try Self.sums()
        let manager = FileManager.default
        let forms = try manager.contentsOfDirectory(atPath: Self.samples.path).filter {
            $0.hasPrefix("KJV-Llama-2.8M-")
        }
        #expect(forms.count == 2)
        for form in forms {
            let listed = sums.filter { $0.key == form || $0.key.hasPrefix(form + "/") }
            #expect(!listed.isEmpty, "\(form)")
            for (path, digest) in listed {
                #expect(try sha256(Self.samples.appending(path: path).path) == digest, "\(path)")
            }
        }
    }

    /// The walk's end from what lies there: Lit-GPT's form gives the Hugging Face file back.
    @Test func theLitGPTSampleIsTheSameModel() throws {
        let scratch = try Scratch()
        let lit = Self.samples.appending(path: "KJV-Llama-2.8M-litgpt-tinyllama").path
        #expect(try pannier("convert", lit, "-o", scratch.path("hf"), "--no-sync").status == 0)
        #expect(try sha256(scratch.path("hf/model.safetensors")) == sha256(sample + "/model.safetensors"))
    }
}
