// What convert and quantize refuse, as llama-quantize does, instead of writing what nobody can use; and what they say when
// they have to guess.

import Foundation
import Testing

/// A copy of the sample in which one tensor is another.
private struct Altered {
    static let matrix = "model.layers.1.mlp.up_proj.weight"
    static let norm = "model.layers.1.input_layernorm.weight"

    let folder: String

    /// - Parameter change: gets the tensor's BF16 bytes, and gives its dtype and bytes.
    init(in scratch: Scratch, _ tensor: String, _ change: (Data) -> (String, Data)) throws {
        folder = scratch.path("altered")
        try FileManager.default.copyItem(atPath: sample, toPath: folder)
        let file = URL(filePath: folder + "/model.safetensors")
        let bytes = try Data(contentsOf: file)
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        var header = try #require(
            try JSONSerialization.jsonObject(with: bytes[8..<8 + length]) as? [String: [String: Any]])
        func offsets(_ name: String) -> [Int] { header[name]?["data_offsets"] as? [Int] ?? [0, 0] }
        var data = Data()
        for name in header.keys.filter({ $0 != "__metadata__" }).sorted(by: { offsets($0)[0] < offsets($1)[0] }) {
            let place = offsets(name)
            var part = Data(bytes[8 + length + place[0]..<8 + length + place[1]])
            if name == tensor {
                let (dtype, changed) = change(part)
                header[name]?["dtype"] = dtype
                part = changed
            }
            header[name]?["data_offsets"] = [data.count, data.count + part.count]
            data += part
        }
        var json = try JSONSerialization.data(withJSONObject: header)
        while json.count % 8 != 0 { json.append(0x20) }
        try (withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) } + json + data).write(to: file)
    }

    /// One value is another, in BF16.
    init(in scratch: Scratch, _ tensor: String, value: Float) throws {
        try self.init(in: scratch, tensor) { bytes in
            var bytes = bytes
            let half = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
            // Value 600 of the matrix, in its row 2.
            let place = 1200 % bytes.count
            bytes.replaceSubrange(place..<place + 2, with: [UInt8(half & 0xFF), UInt8(half >> 8)])
            return ("BF16", bytes)
        }
    }
}

@Suite struct RefusalTests {
    @Test(arguments: [
        ("Q4_0", Float(1e37)), ("Q4_K_M", 1e37), ("Q8_0", 1e37), ("Q5_1", 1e37), ("F16", 1e5), ("F16", -1e37),
    ])
    func valuesThatOverflowAreRefused(type: String, value: Float) throws {
        let scratch = try Scratch()
        let model = try Altered(in: scratch, Altered.matrix, value: value).folder
        let outcome = try pannier("quantize", model, "-o", scratch.path("x.gguf"), "--type", type, "--no-sync")
        #expect(outcome.status == 2, "\(outcome.errors)")
        #expect(outcome.errors.contains(Altered.matrix) && outcome.errors.contains("too large"), "\(outcome.errors)")
        #expect(outcome.errors.contains("row 2 "), "\(outcome.errors)")
        #expect(scratch.names == ["altered"])
        let wide = try pannier("quantize", model, "-o", scratch.path("x.gguf"), "--type", "BF16", "--no-sync")
        #expect(wide.status == 0, "\(wide.errors)")
    }

    @Test func narrowingRefusesWhatBecomesInfinite() throws {
        let scratch = try Scratch()
        let model = try Altered(in: scratch, Altered.matrix, value: 1e5).folder
        for destination in ["x.gguf", "x.safetensors", "x"] {
            let outcome = try pannier("convert", model, "-o", scratch.path(destination), "--dtype", "f16", "--no-sync")
            #expect(outcome.status == 2, "\(outcome.errors)")
            #expect(outcome.errors.contains(Altered.matrix) && outcome.errors.contains("65504"), "\(outcome.errors)")
        }
        #expect(scratch.names == ["altered"])
        let wide = try pannier("convert", model, "-o", scratch.path("x.gguf"), "--dtype", "f32", "--no-sync")
        #expect(wide.status == 0, "\(wide.errors)")
    }

    @Test(arguments: [Altered.matrix, Altered.norm]) func quantizeRefusesNaNWhereverItIs(tensor: String) throws {
        let scratch = try Scratch()
        let model = try Altered(in: scratch, tensor, value: .nan).folder
        for type in ["F16", "BF16", "F32", "COPY", "Q4_K_M"] {
            let outcome = try pannier("quantize", model, "-o", scratch.path("x.gguf"), "--type", type, "--no-sync")
            #expect(outcome.status == 2, "\(type): \(outcome.errors)")
            #expect(outcome.errors.contains(tensor) && outcome.errors.contains("NaN"), "\(type): \(outcome.errors)")
        }
        #expect(scratch.names == ["altered"])
        // Carrying loses nothing, so that it is allowed.
        for dtype in ["auto", "f16", "f32"] {
            let carried = try pannier(
                "convert", model, "-o", scratch.path("x.gguf"), "--dtype", dtype, "--no-sync", "--force")
            #expect(carried.status == 0, "\(dtype): \(carried.errors)")
        }
    }

    @Test func doublesAreRoundedOnlyWithAWord() throws {
        let scratch = try Scratch()
        func double(_ first: Double) throws -> String {
            try? FileManager.default.removeItem(atPath: scratch.path("altered"))
            return try Altered(in: scratch, Altered.matrix) { bytes in
                var doubles = Data(count: bytes.count / 2 * 8)
                doubles.replaceSubrange(0..<8, with: withUnsafeBytes(of: first.bitPattern.littleEndian) { Data($0) })
                return ("F64", doubles)
            }.folder
        }
        let rounded = try pannier("convert", double(0.1), "-o", scratch.path("x.gguf"), "--no-sync")
        #expect(rounded.status == 0, "\(rounded.errors)")
        #expect(rounded.errors.contains("F64"), "\(rounded.errors)")
        for (destination, status) in [("y.gguf", 2), ("y.safetensors", 0)] as [(String, Int32)] {
            let beyond = try pannier("convert", double(1e300), "-o", scratch.path(destination), "--no-sync")
            #expect(beyond.status == status, "\(beyond.errors)")
            #expect(beyond.errors.contains(Altered.matrix) == (status == 2), "\(beyond.errors)")
        }
    }

    @Test func eightBitFloatsAreCarriedOrRefused() throws {
        let scratch = try Scratch()
        let model = try Altered(in: scratch, Altered.matrix) { ("F8_E4M3", Data(count: $0.count / 2)) }.folder
        for arguments in [["x.gguf"], ["x.gguf", "--dtype", "f32"], ["x", "--dtype", "bf16"]] {
            let outcome = try run(["convert", model, "--no-sync", "-o"] + [scratch.path(arguments[0])] + arguments.dropFirst())
            #expect(outcome.status == 2, "\(arguments): \(outcome.errors)")
            #expect(outcome.errors.contains("F8_E4M3") && !outcome.errors.contains("choose --dtype"), "\(outcome.errors)")
        }
        #expect(scratch.names == ["altered"])
        let carried = try pannier("convert", model, "-o", scratch.path("x"), "--no-sync")
        #expect(carried.status == 0, "\(carried.errors)")
    }

    @Test(arguments: [
        ["Q4_K_M", "--output-tensor-type", "iq2_xs"], ["Q4_K_M", "--token-embedding-type", "iq2_xxs"],
        ["Q4_K_M", "--tensor-type", "token_embd=iq1_s"], ["Q4_K_M", "--tensor-type", "attn_v=iq2_s"],
        ["IQ1_S", "--pure", "--imatrix", golden.appending(path: "imatrix.gguf").path],
    ])
    func typesThatNeedAMatrixAreRefusedWithoutOne(_ arguments: [String]) throws {
        let scratch = try Scratch()
        let outcome = try run(["quantize", sample, "-o", scratch.path("x.gguf"), "--type"] + arguments)
        #expect(outcome.status == 64, "\(outcome.errors)")
        #expect(outcome.errors.contains("needs an importance matrix"), "\(outcome.errors)")
        #expect(scratch.names.isEmpty)
    }

    @Test(arguments: ["", "1,", ",", "1,,2"]) func listsOfLayersHaveNoGaps(_ list: String) throws {
        let scratch = try Scratch()
        let outcome = try pannier(
            "quantize", sample, "-o", scratch.path("x.gguf"), "--type", "Q4_0", "--prune-layers", list)
        #expect(outcome.status == 64, "\(outcome.errors)")
        #expect(outcome.errors.contains("layer to prune"), "\(outcome.errors)")
    }

    @Test func endingsOfFilesMakeNoFolders() throws {
        let scratch = try Scratch()
        for name in ["x.gguf.tmp", "a.txt", "b.JSON"] {
            let outcome = try pannier("convert", sample, "-o", scratch.path(name), "--no-sync")
            #expect(outcome.status == 64, "\(outcome.errors)")
        }
        #expect(scratch.names.isEmpty)
        #expect(try pannier("convert", sample, "-o", scratch.path("x.GGUF"), "--no-sync").status == 0)
        #expect(try Data(contentsOf: URL(filePath: scratch.path("x.GGUF"))).starts(with: Data("GGUF".utf8)))
        // What looks like an ending and is part of a name.
        #expect(try pannier("convert", sample, "-o", scratch.path("Tiny-1.1B"), "--no-sync").status == 0)
        #expect(scratch.names == ["Tiny-1.1B", "x.GGUF"])
    }

    @Test func whatIsGuessedOrLackingIsSaid() throws {
        let scratch = try Scratch()
        let folder = scratch.url.appending(path: "alone")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: sample + "/model.safetensors", toPath: folder.appending(path: "model.safetensors").path)
        for command in [
            ["convert", folder.path, "-o", scratch.path("x")], ["convert", folder.path, "-o", scratch.path("x.gguf")],
            ["quantize", folder.path, "-o", scratch.path("q.gguf"), "--type", "Q8_0"],
        ] {
            let outcome = try run(command + ["--no-sync"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("no config: "), "\(outcome.errors)")
            #expect(outcome.errors.contains("no tokenizer"), "\(outcome.errors)")
        }
        let whole = try pannier("convert", sample, "-o", scratch.path("y"), "--no-sync")
        #expect(whole.errors.isEmpty, "\(whole.errors)")
    }
}
