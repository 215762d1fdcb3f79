// What reading every value finds: rows that are longer than a piece, and blocks whose scales are no numbers.

import Conversion
import Foundation
import Inspection
import Tensors
import Testing

@Suite struct DeepScanTests {
    /// Rows of more values than a piece has are read in parts, and are rows all the same.
    @Test(arguments: [1, 2, 3]) func rowsOfSeveralPieces(threads: Int) throws {
        let folder = try TemporaryFolder()
        let columns = 300_000
        var values = [Float](repeating: 0, count: 4 * columns)
        // The first row stays zeros, and so does the last; the second is zeros up to its last value.
        values[2 * columns - 1] = 3
        for column in 2 * columns..<3 * columns { values[column] = 1 }
        values[3 * columns - 2] = .nan
        values[2 * columns] = -.infinity
        var text = try SafetensorsText(Data([2, 0, 0, 0, 0, 0, 0, 0] + "{}".utf8))
        text.add("w", values)
        text.setShape("w", [4, columns])
        text.add("v", Array(values[..<(2 * columns)]))
        try text.data.write(to: URL(filePath: folder.file("x.safetensors")))
        let reader = try ComparedCheckpoint(folder.file("x.safetensors")).reader
        let found = try DeepScan(reader, threads: threads).statistics(of: reader.tensors)
        for (tensor, one) in zip(reader.tensors, found) {
            let one = try #require(one)
            if tensor.name == "v" {
                #expect(one.count == 2 * columns && one.zeros == 2 * columns - 1 && one.zeroRows == 0 && one.max == 3)
                continue
            }
            #expect(one.count == 4 * columns && one.zeros == 3 * columns - 1 && one.nans == 1 && one.infs == 1)
            #expect(one.zeroRows == 2 && one.firstZeroRow == 0 && one.firstBadRow == 2)
            #expect(one.min == 0 && one.max == 3 && one.firstBadBlock == nil)
            let mean = Double(columns - 2 + 3) / Double(4 * columns - 2)
            #expect(abs(one.mean - mean) < 1e-12)
        }
    }

    /// Makes the first bytes of a block of a sound model other ones.
    /// - Returns: what verification finds of the tensor then; it finds no error elsewhere.
    private func findings(_ dtype: DType, block: Int, _ bytes: [UInt8]) throws -> [Finding] {
        let folder = try TemporaryFolder()
        let path = folder.file("x.gguf")
        try Sample.convert(to: path, .gguf, layout: "gguf-llama", precision: .fixed(dtype))
        let name = "blk.1.ffn_up.weight"
        let sound = try ModelSource(path)
        #expect(try Verifier(sound).verifyValues(threads: 2).allSatisfy { $0.severity != .error })
        let tensor = try #require(sound.reader.tensors.first { $0.name == name })
        #expect(tensor.dtype == dtype)
        let handle = try FileHandle(forUpdating: URL(filePath: path))
        try handle.seek(toOffset: tensor.extent.offset + UInt64(block * dtype.blockBytes))
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
        let all = try Verifier(ModelSource(path)).verifyValues(threads: 2)
        #expect(all.filter { $0.severity == .error }.allSatisfy { $0.tensor == name })
        return all.filter { $0.tensor == name }
    }

    /// A scale of NaN, and one of infinity, in the block whose number is said; 256 columns are eight blocks of 32.
    @Test(arguments: [[0x00, 0x7E], [0x00, 0xFC]] as [[UInt8]])
    func aScaleThatIsNoNumberIsNamed(_ half: [UInt8]) throws {
        let found = try findings(.q8_0, block: 19, half)
        let scale = try #require(found.first { $0.message.contains("scale") })
        #expect(scale.severity == .error && scale.message.contains("block 19, in row 2,") && scale.hint != nil)
    }

    /// The exponent 255 of MXFP4 means NaN and decodes to numbers and infinities: only the scale itself shows it.
    @Test func anExponentThatIsNoNumberIsNamed() throws {
        let found = try findings(.mxfp4, block: 8 * 512 - 1, [0xFF])
        let scale = try #require(found.first { $0.message.contains("scale") })
        #expect(scale.severity == .error && scale.message.contains("block 4095, in row 511,"))
    }

    /// Layer 1 with the bytes of layer 0, and an output with those of the embedding: matrices are named with what they copy.
    @Test func copiesAreNamed() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("copies")
        try Sample.copy(to: path) { text in
            for name in text.header.keys where name.contains(".layers.1.") {
                text[name] = text[name.replacing(".layers.1.", with: ".layers.0.")]
            }
            text["lm_head.weight"] = text["model.embed_tokens.weight"]
        }
        func copies(_ path: String) throws -> [Finding] {
            try Verifier(ModelSource(path)).verifyValues(threads: 2).filter { $0.code == .duplicateTensors }
        }
        let found = try copies(path)
        #expect(found.count == 8)
        for finding in found {
            let isOutput = ["lm_head.weight", "model.embed_tokens.weight"].contains(finding.tensor)
            #expect(finding.severity == (isOutput ? .note : .warning))
            let names = [finding.tensor ?? "", finding.message].joined(separator: " ")
            let parts = isOutput ? ["lm_head", "embed_tokens"] : [".layers.0.", ".layers.1."]
            #expect(parts.allSatisfy { names.contains($0) }, "\(names)")
        }
        #expect(try copies(Sample.folder).isEmpty)
    }
}
