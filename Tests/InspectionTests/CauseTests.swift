// Every known cause of a difference, in each of its directions: what it is recognised by, and what is not claimed.

import Conversion
import Foundation
import Inspection
import Layouts
import Tensors
import Testing

@Suite struct CauseTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private static let rowBytes = Sample.columns * 2

    /// Rows of a tensor of the sample.
    private static func rows(_ bytes: [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: bytes.count, by: rowBytes).map { Array(bytes[$0..<$0 + rowBytes]) }
    }

    private static let parts = ["q", "k", "v"].map { "model.layers.1.self_attn.\($0)_proj.weight" }

    /// Every difference has one cause, of the given kind.
    private func expect(
        _ kind: DifferenceCause.Kind, in names: [String], saying words: String = "",
        _ change: (inout SafetensorsText) throws -> Void
    ) throws {
        let other = folder.file("other-\(UUID().uuidString)")
        try Sample.copy(to: other, changing: change)
        let changed = try difference(Sample.folder, other).changed()
        #expect(changed.map(\.name).sorted() == names.sorted())
        for tensor in changed {
            #expect(tensor.causes.map(\.kind) == [kind], "\(tensor.name)")
            #expect(tensor.causes.first?.sentence.contains(words) == true || words.isEmpty, "\(tensor.causes)")
        }
        // Without looking for them there are none.
        #expect(try difference(Sample.folder, other, findCauses: false).changed().allSatisfy(\.causes.isEmpty))
    }

    /// Lit-GPT once stored Q, K and V by groups of heads; today one after another. Whoever confuses them gets rows of
    /// all three in each.
    @Test(arguments: [true, false])
    func fusedRowsOfTheOtherOrderAreExplained(interleaved: Bool) throws {
        try expect(.qkvGrouping, in: Self.parts) { text in
            let whole = Self.parts.map { Self.rows(text[$0]) }
            let groups = 2, shares = whole.map { $0.count / groups }
            var byGroups: [[UInt8]] = []
            for group in 0..<groups {
                for part in 0..<3 { byGroups += whole[part][group * shares[part]..<(group + 1) * shares[part]] }
            }
            var made: [[[UInt8]]] = [[], [], []]
            if interleaved {
                var at = 0
                for part in 0..<3 {
                    made[part] = Array(byGroups[at..<at + whole[part].count])
                    at += whole[part].count
                }
            } else {
                let joined = whole.flatMap { $0 }
                var at = 0
                for _ in 0..<groups {
                    for part in 0..<3 {
                        made[part] += joined[at..<at + shares[part]]
                        at += shares[part]
                    }
                }
            }
            for (part, name) in Self.parts.enumerated() { text[name] = made[part].flatMap { $0 } }
        }
    }

    @Test(arguments: ["self_attn.q_proj", "mlp.down_proj", "post_attention_layernorm"], [1, 3])
    func layersOffByOneAreExplained(part: String, other: Int) throws {
        try expect(.layerShifted, in: ["model.layers.2.\(part).weight"], saying: "A's layer \(other) in") { text in
            text["model.layers.2.\(part).weight"] = text["model.layers.\(other).\(part).weight"]
        }
    }

    /// Rows of each head by RoPE's two orders. K has 2 heads of 32 rows here; with the 8 heads of Q they have 8 rows.
    @Test(arguments: [("q", 32), ("k", 32), ("k", 8)], [true, false])
    func rowsInRoPEsOtherOrderAreExplained(part: (name: String, width: Int), toPairs: Bool) throws {
        let name = "model.layers.3.self_attn.\(part.name)_proj.weight"
        let words = toPairs ? "from halves to adjacent pairs" : "from adjacent pairs to halves"
        try expect(.ropePermutation, in: [name], saying: words + " for RoPE" + (part.width == 8 ? " as if there were 8" : "")) {
            text in
            let rows = Self.rows(text[name]), half = part.width / 2
            text[name] = rows.indices.flatMap { row -> [UInt8] in
                let place = row % part.width, start = row - place
                let inPairs = half * (place % 2) + place / 2
                let inHalves = place < half ? 2 * place : 2 * (place - half) + 1
                return rows[start + (toPairs ? inPairs : inHalves)]
            }
        }
    }

    @Test(arguments: [
        ("layers.1.mlp.gate_proj", "layers.1.mlp.up_proj"), ("layers.0.input_layernorm", "layers.0.post_attention_layernorm"),
        ("layers.2.self_attn.k_proj", "layers.2.self_attn.v_proj"), ("layers.3.self_attn.q_proj", "layers.3.self_attn.o_proj"),
        ("embed_tokens", "lm_head"),
    ])
    func tensorsInEachOthersPlaceAreExplained(one: String, other: String) throws {
        let names = [one, other].map { $0 == "lm_head" ? "lm_head.weight" : "model.\($0).weight" }
        try expect(.swapped, in: names) { text in
            let first = text[names[0]]
            text[names[0]] = text[names[1]]
            text[names[1]] = first
        }
    }

    @Test(arguments: ["down", "up"])
    func rowsOneFurtherAreExplained(way: String) throws {
        let name = "model.layers.0.mlp.up_proj.weight"
        try expect(.rowsShifted, in: [name], saying: "shifted \(way) by one") { text in
            let bytes = text[name]
            text[name] =
                way == "down"
                ? Array(bytes.suffix(Self.rowBytes) + bytes.dropLast(Self.rowBytes))
                : Array(bytes.dropFirst(Self.rowBytes) + bytes.prefix(Self.rowBytes))
        }
    }

    /// A square tensor, and one whose shape tells.
    @Test(arguments: ["self_attn.o_proj", "mlp.gate_proj"])
    func rowsForColumnsAreExplained(part: String) throws {
        let name = "model.layers.3.\(part).weight"
        try expect(.transposed, in: [name]) { text in
            let rows = Self.rows(text[name])
            text[name] = (0..<Sample.columns).flatMap { column in rows.flatMap { $0[2 * column..<2 * column + 2] } }
            text.setShape(name, [Sample.columns, rows.count])
        }
    }

    // MARK: Fewer bits

    /// The sample in f32, with the given tensors a third of what they were: no half float says that.
    private func thirds(of names: [String], as name: String) throws -> String {
        let wide = folder.file(name)
        try Sample.convert(to: wide, .safetensors, layout: "hf-llama", precision: .fixed(.f32))
        try change(wide) { text in
            for name in names { text[name] = Self.floats(text[name]) { $0 / 3 } }
        }
        return wide
    }

    private func change(_ path: String, _ body: (inout SafetensorsText) -> Void) throws {
        var text = try SafetensorsText(Data(contentsOf: URL(filePath: path)))
        body(&text)
        try text.data.write(to: URL(filePath: path))
    }

    private static func floats(_ bytes: [UInt8], _ body: (Float) -> Float) -> [UInt8] {
        bytes.withUnsafeBytes { $0.bindMemory(to: Float.self).map(body) }.withUnsafeBytes { Array($0) }
    }

    /// Half floats that are held in f32 on both sides.
    @Test(arguments: ["BF16", "F16"])
    func roundingThatTheTypeDoesNotShowIsExplained(half: String) throws {
        let name = "model.layers.1.self_attn.o_proj.weight"
        let (wide, narrow) = (try thirds(of: [name], as: "wide.safetensors"), folder.file("narrow.safetensors"))
        try FileManager.default.copyItem(atPath: wide, toPath: narrow)
        try change(narrow) { text in
            text[name] = Self.floats(text[name]) { value in
                if half == "F16" { return Float(Float16(value)) }
                let bits = value.bitPattern
                return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
            }
        }
        for (a, b, sentence) in [(wide, narrow, "B is A rounded to \(half)"), (narrow, wide, "A is B rounded to \(half)")] {
            let changed = try difference(a, b).changed()
            #expect(changed.map(\.name) == [name])
            #expect(changed.first?.causes.map(\.kind) == [.rounding])
            #expect(changed.first?.causes.first?.sentence == sentence)
        }
    }

    /// Rows that moved and were rounded besides.
    @Test func movedRowsMayBeRoundedToo() throws {
        let (one, two) = ("model.layers.1.self_attn.q_proj.weight", "model.layers.2.self_attn.q_proj.weight")
        let (wide, narrow) = (try thirds(of: [one, two], as: "wide.safetensors"), folder.file("narrow.safetensors"))
        try Sample.convert(wide, to: narrow, .safetensors, layout: "hf-llama", precision: .fixed(.bf16))
        try change(narrow) { $0[two] = $0[one] }
        let changed = try difference(wide, narrow).changed()
        let causes = Dictionary(uniqueKeysWithValues: changed.map { ($0.name, $0.causes) })
        #expect(causes.keys.sorted() == [one, two])
        #expect(causes[one]?.map(\.kind) == [.rounding])
        #expect(causes[two]?.map(\.kind) == [.layerShifted])
        #expect(causes[two]?.first?.sentence.hasSuffix(", rounded to BF16") == true)
    }

    @Test func factorsAreExplained() throws {
        let name = "model.layers.0.mlp.gate_proj.weight"
        // Twice: one more in the exponent of a bf16, which is its bits 7 to 14.
        try expect(.scaled, in: [name]) { text in
            var bytes = text[name]
            for at in stride(from: 0, to: bytes.count, by: 2) {
                let word = UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
                let twice = word & 0x7F80 == 0 ? word : word + 0x80
                bytes[at] = UInt8(truncatingIfNeeded: twice)
                bytes[at + 1] = UInt8(truncatingIfNeeded: twice >> 8)
            }
            text[name] = bytes
        }
        // The other sign.
        try expect(.scaled, in: [name]) { text in
            var bytes = text[name]
            for at in stride(from: 1, to: bytes.count, by: 2) { bytes[at] ^= 0x80 }
            text[name] = bytes
        }
    }

    /// A factor that bf16 and f32 round differently, applied as PyTorch does.
    @Test(arguments: [Precision.source, .fixed(.f32)])
    func factorsAreTheSimplestThatPredictEveryValue(precision: Precision) throws {
        let names = ["model.layers.0.mlp.gate_proj.weight", "model.layers.2.self_attn.o_proj.weight"]
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        try Sample.convert(to: one, .safetensors, layout: "hf-llama", precision: precision)
        try FileManager.default.copyItem(atPath: one, toPath: other)
        let wide = precision != .source
        try change(other) { text in
            for (name, third) in zip(names, [false, true]) {
                func changed(_ value: Float) -> Float { third ? value / 3 : value * 0.3 }
                text[name] = wide ? Self.floats(text[name], changed) : Self.halves(text[name], changed)
            }
        }
        let changed = try difference(one, other).changed()
        let causes = Dictionary(uniqueKeysWithValues: changed.map { ($0.name, $0.causes.map(\.sentence)) })
        #expect(causes == [names[0]: ["B is A times 0.3"], names[1]: ["B is A divided by 3"]])
    }

    /// What looks like a factor and is noise, truncation or one number.
    @Test func nearlyAFactorIsNone() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        try Sample.convert(to: one, .safetensors, layout: "hf-llama", precision: .fixed(.f32))
        try change(one) { text in
            text["model.norm.weight"] = Self.floats(text["model.norm.weight"]) { $0 / 3 }
            text.add("single", [3])
            text.add("few", [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
        }
        try FileManager.default.copyItem(atPath: one, toPath: other)
        let noisy = "model.layers.1.input_layernorm.weight"
        try change(other) { text in
            var sign: Float = 1
            text[noisy] = Self.floats(text[noisy]) { value in
                sign = -sign
                return value * (1 + sign * 0x1p-12) * 1.0028
            }
            text["model.norm.weight"] = Self.floats(text["model.norm.weight"]) { value in
                Float(bitPattern: value.bitPattern & 0xFFFF_0000)
            }
            text["single"] = Self.floats(text["single"]) { $0 * 2 }
            text["few"] = Self.floats(text["few"]) { $0 * 2 }
        }
        let changed = try difference(one, other).changed()
        #expect(changed.map(\.name).sorted() == ["few", noisy, "model.norm.weight", "single"])
        for tensor in changed { #expect(tensor.causes.isEmpty, "\(tensor.name): \(tensor.causes)") }
    }

    /// Bits cut off move values of a narrow range as a factor just below 1 would.
    @Test func bitsCutOffAreNoFactor() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        func write(_ dtype: String, _ bytes: [UInt8], to path: String) throws {
            let header = #"{"w":{"dtype":"\#(dtype)","shape":[32],"data_offsets":[0,\#(bytes.count)]}}"#
            let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
            try (length + Data(header.utf8) + Data(bytes)).write(to: URL(filePath: path))
        }
        // Four steps of bf16 above a third, each a little below the next one.
        let bits = (0..<32).map { UInt32(0x3EAA_F000) + UInt32($0 % 4) << 16 }
        try write("F32", bits.withUnsafeBytes { Array($0) }, to: one)
        try write("BF16", bits.map { UInt16($0 >> 16) }.withUnsafeBytes { Array($0) }, to: other)
        let tensor = try #require(try difference(one, other).changed().first)
        #expect(tensor.causes.isEmpty, "\(tensor.causes)")
    }

    /// Bf16 values changed as single floats and rounded.
    private static func halves(_ bytes: [UInt8], _ body: (Float) -> Float) -> [UInt8] {
        bytes.withUnsafeBytes { raw in
            raw.bindMemory(to: UInt16.self).map { word -> UInt16 in
                let bits = body(Float(bitPattern: UInt32(word) << 16)).bitPattern
                return UInt16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
            }
        }.withUnsafeBytes { Array($0) }
    }

    /// Doubles that became floats, either way round.
    @Test(arguments: [DType.f32, .f16, .bf16])
    func roundingOfDoublesIsExplained(dtype: DType) throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        let values = (0..<64).map { 1 / Double($0 + 3) }
        func write(_ dtype: DType, _ bytes: [UInt8], to path: String) throws {
            let header = #"{"w":{"dtype":"\#(dtype.rawValue)","shape":[8,8],"data_offsets":[0,\#(bytes.count)]}}"#
            let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
            try (length + Data(header.utf8) + Data(bytes)).write(to: URL(filePath: path))
        }
        let narrow = values.map { Float($0) }.withUnsafeBytes { Array($0) }
        try write(.f64, values.withUnsafeBytes { Array($0) }, to: one)
        switch dtype {
        case .f16: try write(dtype, values.map { Float16(Float($0)).bitPattern }.withUnsafeBytes { Array($0) }, to: other)
        case .bf16:
            let wide = values.map { Float($0).bitPattern }
            let words = wide.map { UInt16(($0 + 0x7FFF + ($0 >> 16 & 1)) >> 16) }
            try write(dtype, words.withUnsafeBytes { Array($0) }, to: other)
        default: try write(dtype, narrow, to: other)
        }
        #expect(try difference(one, other).changed().first?.causes.map(\.sentence) == ["B is A rounded to \(dtype)"])
        #expect(try difference(other, one).changed().first?.causes.map(\.sentence) == ["A is B rounded to \(dtype)"])
    }

    /// Rows that moved while the other side was rounded.
    @Test func movedRowsAreKnownWhenAIsTheRoundedSide() throws {
        let (key, square) = ("model.layers.1.self_attn.k_proj.weight", "model.layers.3.self_attn.o_proj.weight")
        let (wide, narrow) = (try thirds(of: [key, square], as: "wide.safetensors"), folder.file("narrow.safetensors"))
        try Sample.convert(wide, to: narrow, .safetensors, layout: "hf-llama", precision: .fixed(.bf16))
        try change(narrow) { text in
            let rows = Self.rows(text[key]), half = Sample.headDim / 2
            text[key] = rows.indices.flatMap { row -> [UInt8] in
                let place = row % Sample.headDim
                return rows[row - place + half * (place % 2) + place / 2]
            }
            let old = Self.rows(text[square])
            text[square] = (0..<Sample.columns).flatMap { column in old.flatMap { $0[2 * column..<2 * column + 2] } }
        }
        for (a, b, words) in [(wide, narrow, ", rounded to BF16"), (narrow, wide, ", and A is rounded to BF16 besides")] {
            let changed = try difference(a, b).changed()
            let causes = Dictionary(uniqueKeysWithValues: changed.map { ($0.name, $0.causes) })
            #expect(causes[key]?.map(\.kind) == [.ropePermutation])
            #expect(causes[square]?.map(\.kind) == [.transposed])
            #expect(causes[key]?.first?.sentence.hasSuffix(words) == true, "\(String(describing: causes[key]))")
            #expect(causes[square]?.first?.sentence.hasSuffix(words) == true)
        }
    }

    /// One value that is not as predicted, and nothing is claimed.
    @Test func almostACauseIsNone() throws {
        let name = "model.layers.2.self_attn.q_proj.weight", other = folder.file("other")
        try Sample.copy(to: other) { text in
            var bytes = text["model.layers.1.self_attn.q_proj.weight"]
            bytes[bytes.count / 2] ^= 1
            text[name] = bytes
        }
        let changed = try difference(Sample.folder, other).changed()
        #expect(changed.map(\.name) == [name])
        #expect(changed.first?.causes.isEmpty == true)
    }
}
