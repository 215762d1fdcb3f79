// Converted and quantized files of the sample equal, byte for byte, what llama.cpp's programs write.

import Foundation
import Testing

private struct Golden: Decodable {
    let convert: [String: String]
    let quantize: [String: String?]

    static func load() throws -> Golden {
        try JSONDecoder().decode(Golden.self, from: Data(contentsOf: golden.appending(path: "kjv.json")))
    }
}

@Suite struct GoldenBytesTests {
    @Test(arguments: ["f32", "f16", "bf16", "q8_0"])
    func conversionGivesTheConvertersBytes(dtype: String) throws {
        let scratch = try Scratch()
        let made = try pannier("convert", sample, "-o", scratch.path("x.gguf"), "--dtype", dtype, "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        #expect(try sha256(scratch.path("x.gguf")) == Golden.load().convert[dtype])
    }

    @Test func everyFileTypeGivesLlamaQuantizesBytes() throws {
        let scratch = try Scratch()
        #expect(try pannier("convert", sample, "-o", scratch.path("f32.gguf"), "--dtype", "f32", "--no-sync").status == 0)
        // The matrix's name is stored in the file, so it must be the name it was given to llama-quantize.
        try FileManager.default.copyItem(
            at: golden.appending(path: "imatrix.gguf"), to: scratch.url.appending(path: "imatrix.gguf"))
        let expected = try Golden.load().quantize
        #expect(expected.count == 68)
        for (name, digest) in expected.sorted(by: { $0.key < $1.key }) {
            let parts = name.split(separator: "+").map(String.init)
            var arguments = ["quantize", "f32.gguf", "-o", "out.gguf", "--type", parts[0], "--force", "--no-sync"]
            if parts.count > 1 { arguments += ["--imatrix", "imatrix.gguf"] }
            let made = try run(arguments, in: scratch.url)
            guard let digest else {
                #expect(made.status == 64, "\(name) needs a matrix")
                #expect(made.errors.contains("importance matrix"), "\(made.errors)")
                continue
            }
            #expect(made.status == 0, "\(name): \(made.errors)")
            #expect(try sha256(scratch.path("out.gguf")) == digest, "\(name)")
        }
    }

    /// One pass from a Lit-GPT checkpoint gives the tensors that the way over a GGUF gives.
    @Test func quantizingFromPyTorchEqualsQuantizingFromGGUF() throws {
        let scratch = try Scratch()
        #expect(
            try pannier(
                "convert", sample, "-o", scratch.path("KJV-Llama-2.8M"), "--to", "pytorch", "--layout", "litgpt-tinyllama",
                "--no-sync"
            ).status == 0)
        #expect(
            try pannier(
                "quantize", scratch.path("KJV-Llama-2.8M"), "-o", scratch.path("a.gguf"), "--type", "Q4_K_M", "--no-sync"
            ).status == 0)
        #expect(
            try pannier("quantize", sample, "-o", scratch.path("b.gguf"), "--type", "Q4_K_M", "--no-sync").status == 0)
        let hashes = try ["a.gguf", "b.gguf"].map { name in
            let tensors = try #require(
                try pannier("hash", scratch.path(name), "--json").json()["tensors"] as? [[String: Any]])
            return Dictionary(uniqueKeysWithValues: tensors.map { ($0["name"] as? String ?? "", $0["sha256"] as? String ?? "") })
        }
        #expect(hashes[0].count == 39)
        #expect(hashes[0] == hashes[1])
    }
}
