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

    /// llama-quantize writes version and file type anew for COPY too, so that both stand behind all that the source has.
    @Test func copyOrdersTheKeysAsLlamaQuantizeDoes() throws {
        let scratch = try Scratch()
        #expect(try pannier("convert", sample, "-o", scratch.path("a.gguf"), "--no-sync").status == 0)
        let made = try pannier("quantize", scratch.path("a.gguf"), "-o", scratch.path("b.gguf"), "--type", "COPY", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        let bytes = try Data(contentsOf: scratch.url.appending(path: "b.gguf"))
        func place(_ key: String) throws -> Int { try #require(bytes.range(of: Data(key.utf8))?.lowerBound) }
        let version = try place("general.quantization_version"), type = try place("general.file_type")
        #expect(try place("tokenizer.ggml.add_eos_token") < version)
        #expect(version < type)
        // A key, its type and value, and then the first tensor's length of name.
        #expect(try place("output.weight") - type == "general.file_type".utf8.count + 4 + 4 + 8)
    }

    /// The first pattern that fits counts, whether it is in a file or on the command line.
    @Test func typesCountInTheirOrder() throws {
        let scratch = try Scratch()
        try Data("attn_v=q8_0".utf8).write(to: scratch.url.appending(path: "types"))
        let file = ["--tensor-type-file", scratch.path("types")], option = ["--tensor-type", "attn_v=q5_k"]
        for (options, expected) in [(file + option, "Q8_0"), (option + file, "Q5_K")] {
            let planned = try run(
                ["quantize", sample, "-o", scratch.path("x.gguf"), "--type", "Q4_0", "--dry-run", "--json"] + options)
            let tensors = try #require(try planned.json()["tensors"] as? [[String: Any]])
            let value = try #require(tensors.first { $0["name"] as? String == "blk.0.attn_v.weight" })
            #expect(value["to"] as? String == expected, "\(options)")
        }
    }

    @Test func aMatrixThatNothingIsLeftOfIsNotNamed() throws {
        let scratch = try Scratch()
        let made = try pannier(
            "quantize", sample, "-o", scratch.path("x.gguf"), "--type", "Q4_K_M", "--imatrix",
            golden.appending(path: "imatrix.gguf").path, "--include-weights", "nothing", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.errors.contains("leave nothing of the importance matrix"), "\(made.errors)")
        let bytes = try Data(contentsOf: scratch.url.appending(path: "x.gguf"))
        #expect(bytes.range(of: Data("quantize.imatrix".utf8)) == nil)
    }
}
