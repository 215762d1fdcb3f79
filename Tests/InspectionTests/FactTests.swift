// What differs beside the values: config, tokenizer, metadata, shapes and dtypes.

import Foundation
import Inspection
import Tensors
import Testing

@Suite struct FactTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    /// The facts on which a copy of the sample with changed files differs.
    private func facts(_ change: (URL) throws -> Void) throws -> [String] {
        let other = folder.file("other-\(UUID().uuidString)")
        try FileManager.default.copyItem(atPath: Sample.folder, toPath: other)
        try change(URL(filePath: other))
        let found = try difference(Sample.folder, other)
        #expect(found.changed().isEmpty)
        return found.facts.map { "\($0.subject.rawValue) \($0.key): \($0.a ?? "-") / \($0.b ?? "-")" }
    }

    @Test func configValuesAreCompared() throws {
        let found = try facts { folder in
            let file = folder.appending(path: "config.json")
            var config = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
            config["rope_theta"] = 500_000
            config["rms_norm_eps"] = 0.001
            config["max_position_embeddings"] = 4096
            try JSONSerialization.data(withJSONObject: config).write(to: file)
        }
        #expect(found.count == 3)
        for key in ["config rope_theta: 10000.0 / 500000.0", "config norm_eps", "config context: 512 / 4096"] {
            #expect(found.contains { $0.hasPrefix(key) }, "\(found)")
        }
    }

    @Test func tokensAreCompared() throws {
        let found = try facts { folder in
            let file = folder.appending(path: "tokenizer.model")
            var bytes = try Data(contentsOf: file)
            // A piece of the vocabulary with another letter.
            let place = try #require(bytes.range(of: Data("LORD".utf8)))
            bytes[place.lowerBound] = UInt8(ascii: "W")
            try bytes.write(to: file)
        }
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("tokenizer token ") == true, "\(found)")
        #expect(found.first?.contains("LORD") == true && found.first?.contains("WORD") == true, "\(found)")
    }

    /// Changes members of a JSON file; nil removes one.
    private func change(_ name: String, in folder: URL, _ members: [String: Any?]) throws {
        let file = folder.appending(path: name)
        var json = [String: Any]()
        if let data = try? Data(contentsOf: file) {
            json = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        }
        for (key, value) in members { json[key] = value }
        try JSONSerialization.data(withJSONObject: json).write(to: file)
    }

    @Test func whatATokenizerAddsIsCompared() throws {
        let found = try facts { folder in
            try change(
                "tokenizer_config.json", in: folder,
                ["add_bos_token": false, "add_eos_token": true, "chat_template": "{{ messages }}"])
            try change("generation_config.json", in: folder, ["eos_token_id": [2, 7]])
            try change("added_tokens.json", in: folder, ["<|im_start|>": 1023])
        }
        for key in [
            "config generation eos_token_id: 2 / 2, 7", "tokenizer token 1023: ", "tokenizer add_bos_token: true / false",
            "tokenizer add_eos_token: false / true", "tokenizer chat_template",
        ] {
            #expect(found.contains { $0.hasPrefix(key) }, "\(key) in \(found)")
        }
        #expect(found.count == 5, "\(found)")
    }

    /// Tokens added in the place of others, a template, two ends: a GGUF and what comes back of it say no other tokenizer.
    @Test func conversionsHaveTheirSourcesTokenizer() throws {
        let changed = folder.file("changed")
        try FileManager.default.copyItem(atPath: Sample.folder, toPath: changed)
        let place = URL(filePath: changed)
        try change(
            "tokenizer_config.json", in: place, ["chat_template": "{{ messages }}", "add_eos_token": true])
        try change("added_tokens.json", in: place, ["<|im_start|>": 1023, "<|outside|>": 1030])
        let (gguf, back) = (folder.file("changed.gguf"), folder.file("back"))
        try Sample.convert(changed, to: gguf, .gguf, layout: "gguf-llama")
        try Sample.convert(gguf, to: back, .safetensors, layout: "hf-llama")
        for (one, other) in [(changed, gguf), (gguf, back), (changed, back)] {
            let facts = try difference(one, other).facts.filter { $0.subject == .tokenizer }
            #expect(facts.isEmpty, "\(facts)")
        }
    }

    @Test func metadataIsCompared() throws {
        let found = try facts { folder in
            let file = folder.appending(path: "model.safetensors")
            var text = try SafetensorsText(Data(contentsOf: file))
            text.setMetadata(["format": "pt", "note": "second try"])
            try text.data.write(to: file)
        }
        #expect(found == [#"metadata note: - / "second try""#])
    }

    @Test func shapesAndDtypesAreReported() throws {
        func write(_ tensors: [(name: String, dtype: String, shape: [Int], bytes: [UInt8])], to name: String) throws -> String {
            var header: [String: Any] = [:]
            var body = Data()
            for tensor in tensors {
                header[tensor.name] = [
                    "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [body.count, body.count + tensor.bytes.count],
                ]
                body += tensor.bytes
            }
            let json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys])
            let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
            let path = folder.file(name)
            try (length + json + body).write(to: URL(filePath: path))
            return path
        }
        func floats(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }
        let one: [UInt8] = [0x80, 0x3F], two: [UInt8] = [0, 0x40]
        let a = try write(
            [
                ("shape", "F32", [2, 3], floats([1, 2, 3, 4, 5, 6])), ("dtype", "F32", [2], floats([1, 2])),
                ("only.a", "F32", [1], floats([7])),
            ], to: "a.safetensors")
        let b = try write(
            [
                ("shape", "F32", [3, 1], floats([1, 2, 3])), ("dtype", "BF16", [2], one + two),
                ("only.b", "F32", [1], floats([7])),
            ], to: "b.safetensors")
        let found = try difference(a, b)
        #expect(found.onlyA == ["only.a"])
        #expect(found.onlyB == ["only.b"])
        let shape = try #require(found.tensors.first { $0.name == "shape" })
        #expect(shape.sums == nil)
        #expect(!shape.isIdentical)
        #expect(shape.shapeA.dimensions == [2, 3])
        #expect(shape.shapeB.dimensions == [3, 1])
        let dtype = try #require(found.tensors.first { $0.name == "dtype" })
        #expect(dtype.isIdentical)
        #expect([dtype.dtypeA, dtype.dtypeB] == ["F32", "BF16"])
        #expect(!found.isIdentical())
    }
}
