// Comparing checkpoints: what is equal, what differs, and why.

import Conversion
import Foundation
import Inspection
import Layouts
import Tensors
import Testing

private let keyName = "model.layers.2.self_attn.k_proj.weight"

@Suite struct DifferTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    @Test(arguments: [("gguf-llama", "k.gguf"), ("litgpt", "lit.pth"), ("litgpt-tinyllama", "tiny.pth"), ("meta", "meta.pth")])
    func everyLayoutHoldsTheSameValues(layout: String, name: String) throws {
        let path = folder.file(name)
        try Sample.convert(to: path, name.hasSuffix("gguf") ? .gguf : .pytorch, layout: layout)
        let found = try difference(Sample.folder, path)
        #expect(found.byRole)
        #expect(found.isIdentical())
        #expect(found.tensors.count == 39)
        #expect(found.total.count == 2_754_816)
        #expect(found.total.changed == 0)
    }

    @Test func aTokenizerInsideAGGUFIsTheOneBesideTheModel() throws {
        let path = folder.file("k.gguf")
        try Sample.convert(to: path, .gguf, layout: "gguf-llama")
        let facts = try difference(Sample.folder, path).facts
        #expect(facts.isEmpty, "\(facts)")
    }

    @Test func oneChangedValueIsFound() throws {
        let other = folder.file("other")
        try Sample.copy(to: other) { text in
            var bytes = text[keyName]
            // The sign of the value at row 3, column 5.
            bytes[(3 * Sample.columns + 5) * 2 + 1] ^= 0x80
            text[keyName] = bytes
        }
        let found = try difference(Sample.folder, other)
        #expect(!found.isIdentical())
        #expect(found.changed().map(\.name) == [keyName])
        let tensor = try #require(found.changed().first)
        #expect(tensor.role == TensorRole(.attnK, layer: 2))
        #expect(tensor.sums?.changed == 1)
        #expect(tensor.sums?.signFlips == 1)
        #expect(tensor.causes.isEmpty)
        #expect(tensor.histogram.dropFirst().reduce(0, +) == 1)
        let sums = try #require(tensor.sums)
        #expect(abs(sums.rmse - sums.maxAbs / Double(sums.count).squareRoot()) < 1e-9 * sums.maxAbs)
        #expect(found.isIdentical(within: sums.maxAbs))
        #expect(!found.isIdentical(within: sums.maxAbs * 0.99))
    }

    @Test func permutedKeysAreExplained() throws {
        let other = folder.file("other")
        try Sample.copy(to: other) { text in
            let rowBytes = Sample.columns * 2
            let bytes = text[keyName]
            let half = Sample.headDim / 2
            text[keyName] = (0..<bytes.count / rowBytes).flatMap { row -> ArraySlice<UInt8> in
                let place = row % Sample.headDim
                let source = row - place + half * (place % 2) + place / 2
                return bytes[source * rowBytes..<(source + 1) * rowBytes]
            }
        }
        let found = try difference(Sample.folder, other)
        #expect(found.changed().map(\.name) == [keyName])
        #expect(found.changed().first?.causes.map(\.kind) == [.ropePermutation])
        // And from the other side, in a file of another layout.
        let gguf = folder.file("k.gguf")
        try Sample.convert(other, to: gguf, .gguf, layout: "gguf-llama")
        #expect(try difference(gguf, Sample.folder).changed().first?.causes.map(\.kind) == [.ropePermutation])
    }

    @Test func swappedGateAndUpAreExplained() throws {
        let other = folder.file("other")
        try Sample.copy(to: other) { text in
            let gate = text["model.layers.1.mlp.gate_proj.weight"]
            text["model.layers.1.mlp.gate_proj.weight"] = text["model.layers.1.mlp.up_proj.weight"]
            text["model.layers.1.mlp.up_proj.weight"] = gate
        }
        let changed = try difference(Sample.folder, other).changed()
        #expect(changed.count == 2)
        #expect(changed.allSatisfy { $0.causes.map(\.kind) == [.swapped] })
    }

    @Test func shiftedRowsAndTranspositionAreExplained() throws {
        let other = folder.file("other")
        let (shifted, turned) = ("model.layers.0.mlp.up_proj.weight", "model.layers.3.self_attn.o_proj.weight")
        try Sample.copy(to: other) { text in
            let rowBytes = Sample.columns * 2
            let up = text[shifted]
            text[shifted] = Array(up.suffix(rowBytes) + up.dropLast(rowBytes))
            let square = text[turned]
            var transposed = square
            for row in 0..<Sample.columns {
                for column in 0..<Sample.columns {
                    for byte in 0..<2 {
                        transposed[(column * Sample.columns + row) * 2 + byte] =
                            square[(row * Sample.columns + column) * 2 + byte]
                    }
                }
            }
            text[turned] = transposed
        }
        let causes = Dictionary(
            uniqueKeysWithValues: try difference(Sample.folder, other).changed().map { ($0.name, $0.causes.map(\.kind)) })
        #expect(causes == [shifted: [.rowsShifted], turned: [.transposed]])
    }

    @Test(arguments: [
        ("f16.safetensors", Precision16.f16, DifferenceCause.Kind.rounding), ("bf16.safetensors", .bf16, .rounding),
    ])
    func roundingOfAWiderSourceIsExplained(name: String, half: Precision16, kind: DifferenceCause.Kind) throws {
        // Values that no half float says: the sample times 1/3, in f32.
        let wide = folder.file("wide.safetensors")
        try Sample.convert(to: wide, .safetensors, layout: "hf-llama", precision: .fixed(.f32))
        let url = URL(filePath: wide)
        var text = try SafetensorsText(Data(contentsOf: url))
        let thirds = text["model.norm.weight"].withUnsafeBytes { raw in
            raw.bindMemory(to: Float.self).map { $0 / 3 }
        }
        text["model.norm.weight"] = thirds.withUnsafeBytes { Array($0) }
        try text.data.write(to: url)
        let narrow = folder.file(name)
        try Sample.convert(
            wide, to: narrow, .safetensors, layout: "hf-llama", precision: .fixed(half == .f16 ? .f16 : .bf16))
        let tensor = try #require(try difference(wide, narrow).changed().first { $0.name == "model.norm.weight" })
        #expect(tensor.causes.map(\.kind) == [kind])
        #expect(tensor.causes.first?.sentence.hasPrefix("B is A rounded to") == true)
        let back = try #require(try difference(narrow, wide).changed().first { $0.name == "model.norm.weight" })
        #expect(back.causes.first?.sentence.hasPrefix("A is B rounded to") == true)
    }

    enum Precision16 { case f16, bf16 }

    @Test func blocksAreExplainedByQuantizing() throws {
        let blocks = folder.file("k-q8.gguf")
        try Sample.convert(to: blocks, .gguf, layout: "gguf-llama", precision: .fixed(.q8_0))
        let found = try difference(Sample.folder, blocks)
        let changed = found.changed()
        #expect(changed.count == 30)
        #expect(changed.allSatisfy { $0.causes.map(\.sentence) == ["B is A quantized to Q8_0"] })
        #expect(found.total.relativeL2 < 0.01)
    }

    @Test func missingTensorsAreNamed() throws {
        let other = folder.file("other")
        try Sample.copy(to: other) { $0.rename("model.layers.0.mlp.up_proj.weight", to: "model.layers.0.mlp.extra.weight") }
        let found = try difference(Sample.folder, other)
        #expect(found.onlyA == ["model.layers.0.mlp.up_proj.weight"])
        #expect(found.onlyB == ["model.layers.0.mlp.extra.weight"])
        #expect(found.changed().isEmpty)
        #expect(!found.isIdentical())
    }

    @Test func unknownLayoutsAreComparedByName() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        func write(_ values: [Float], to path: String) throws {
            let header = #"{"a.<b>":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"n":{"dtype":"I64","shape":[1],"data_offsets":[24,32]}}"#
            let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
            let bytes = values.withUnsafeBytes { Data($0) } + Data([7, 0, 0, 0, 0, 0, 0, 0])
            try (length + Data(header.utf8) + bytes).write(to: URL(filePath: path))
        }
        try write([1, 2, 3, 4, 5, .nan], to: one)
        try write([1, 2, 3, 4, 5.5, .nan], to: other)
        let found = try difference(one, other)
        #expect(!found.byRole)
        #expect(found.changed().map(\.name) == ["a.<b>"])
        let sums = try #require(found.changed().first?.sums)
        #expect(sums.changed == 1)
        #expect(sums.unordered == 1)
        #expect(sums.maxAbs == 0.5)
        #expect(found.isIdentical(within: 0.5))
        #expect(try difference(one, one).isIdentical())
    }
}
