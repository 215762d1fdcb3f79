// The figures of a comparison where numbers are special: NaN, integers, doubles, 8-bit floats, an optimizer's state.

import Foundation
import Inspection
import Reporting
import Testing

@Suite struct DifferenceFigureTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    // MARK: Not finite

    @Test func aTensorOfNaNsIsTheHottestAndHasNoFigures() throws {
        let other = folder.file("other"), name = "model.layers.1.self_attn.q_proj.weight"
        try Sample.copy(to: other) { text in
            // The largest bf16 NaN in every value, and a difference elsewhere that has a size.
            text[name] = Array(repeating: UInt8(0xFF), count: text[name].count)
            var bytes = text["model.norm.weight"]
            bytes[0] ^= 1
            text["model.norm.weight"] = bytes
        }
        let (a, b) = (try ComparedCheckpoint(Sample.folder), try ComparedCheckpoint(other))
        let found = try Differ(a, b, threads: 2).run()
        let sums = try #require(found.tensors.first { $0.name == name }?.sums)
        #expect(!sums.isMeasured)
        #expect(sums.maxAbs.isNaN && sums.rmse.isNaN && sums.relativeL2.isNaN && sums.cosine.isNaN)
        #expect(sums.magnitude == .infinity)
        #expect(sums.notFiniteA == 0 && sums.notFiniteB == sums.count)
        // A is finite: its norm is what it is against itself.
        let itself = try difference(Sample.folder, Sample.folder, findCauses: false)
        #expect(sums.normA > 0)
        let norm = try #require(itself.tensors.first { $0.name == name }?.sums?.normA)
        #expect(abs(sums.normA - norm) <= 1e-12 * norm)
        #expect(sums.normB == 0)
        #expect(!found.isIdentical(within: .infinity))
        #expect(found.total.relativeL2 > 0)
        let page = DifferencePage(found, a, b, tolerance: nil, verdict: "different")
        try expectWellFormed(page.html)
        #expect(page.html.contains("\(NumberText.count(sums.count)) values are NaN or infinite in B"))
        #expect(page.svg.contains("values are NaN or infinite in B"))
    }

    /// The figures are those of the finite pairs, the norms those of the finite values of each side.
    @Test func oneNaNLeavesTheOtherValuesTheirFigures() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        try write([("x", "F32", [3], data([3, 4, 12] as [Float]))], to: one)
        try write([("x", "F32", [3], data([3, 5, .infinity] as [Float]))], to: other)
        let tensor = try #require(try difference(one, other).tensors.first)
        let sums = try #require(tensor.sums)
        #expect(sums.maxAbs == 1)
        #expect(sums.relativeL2 == 0.2)
        #expect(sums.magnitude == .infinity)
        #expect(sums.normA == 13)
        #expect(sums.normB == Double(34).squareRoot())
        #expect(sums.unordered == 1 && sums.unorderedChanged == 1 && sums.notFiniteB == 1)
        // A value that is the same NaN on both sides is no difference.
        try write([("x", "F32", [3], data([3, 4, .nan] as [Float]))], to: one)
        try write([("x", "F32", [3], data([3, 5, .nan] as [Float]))], to: other)
        let same = try #require(try difference(one, other).tensors.first)
        #expect(same.sums?.magnitude == 0.2)
        #expect(same.isEqual(within: 1))
        #expect(same.histogram[63] == 0)
        #expect(same.histogram[0] == 2)
    }

    // MARK: Types that single floats do not hold

    @Test func integersHaveFigures() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        let large = Int64(1) << 60
        func tensors(_ add: Int64) -> [Stored] {
            [
                ("i64", "I64", [3], data([3 + add, -4, large + add])),
                ("i64s", "I64", [2], data([add == 0 ? Int64.min : .max, 1])),
                ("i16", "I16", [2], data([Int16(1), Int16(-3 + 6 * add)])),
                ("u8", "U8", [4], data([1, 2, 3, UInt8(4 + 10 * add)] as [UInt8])),
                ("bool", "BOOL", [2], data([1, UInt8(add)] as [UInt8])),
            ]
        }
        try write(tensors(0), to: one)
        try write(tensors(1), to: other)
        let found = try difference(one, other)
        func sums(_ name: String) throws -> DifferenceSums { try #require(found.tensors.first { $0.name == name }?.sums) }
        // A difference of 1 beside 2^60 is one, although doubles do not tell the two apart.
        #expect(try sums("i64").maxAbs == 1)
        #expect(try sums("i64").changed == 2)
        #expect(try sums("u8").maxAbs == 10)
        #expect(try sums("u8").normA == Double(30).squareRoot())
        #expect(try sums("bool").maxAbs == 1)
        #expect(try sums("i16").signFlips == 1)
        #expect(try sums("i16").maxAbs == 6)
        #expect(try sums("i64s").maxAbs == 0x1p64)
        #expect(found.changed(within: 5).map(\.name).sorted() == ["i16", "i64s", "u8"])
        #expect(found.tensors.first { $0.name == "u8" }?.histogram[3 + 48] == 1)
    }

    @Test func floatsOfEightBitsAreDecoded() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        // 1, the smallest subnormal, the largest value; then 1.5, zero, NaN or the nearest to it.
        try write(
            [
                ("e4m3", "F8_E4M3", [3], data([0x38, 0x01, 0x7E] as [UInt8])),
                ("e5m2", "F8_E5M2", [3], data([0x3C, 0x01, 0x7B] as [UInt8])),
            ], to: one)
        try write(
            [
                ("e4m3", "F8_E4M3", [3], data([0x3C, 0x00, 0x7F] as [UInt8])),
                ("e5m2", "F8_E5M2", [3], data([0x3E, 0x00, 0x7C] as [UInt8])),
            ], to: other)
        let found = try difference(one, other)
        let e4m3 = try #require(found.tensors.first { $0.name == "e4m3" }?.sums)
        #expect(e4m3.maxAbs == 0.5)
        #expect(e4m3.normA == (1 + 0x1p-18 + 448 * 448).squareRoot())
        #expect(e4m3.unordered == 1 && e4m3.notFiniteB == 1)
        let e5m2 = try #require(found.tensors.first { $0.name == "e5m2" }?.sums)
        #expect(e5m2.maxAbs == 0.5)
        #expect(e5m2.normA == (1 + 0x1p-32 + 57344 * 57344).squareRoot())
        #expect(e5m2.unordered == 1 && e5m2.notFiniteB == 1)
    }

    /// What has no arithmetic is compared by its bytes, has no figures and is equal within no tolerance.
    @Test func complexNumbersAreComparedByTheirBytes() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        try write([("c", "C64", [2], data([1, 2, 3, 4] as [Float]))], to: one)
        try write([("c", "C64", [2], data([1, 2, 3, 5] as [Float]))], to: other)
        let tensor = try #require(try difference(one, other).tensors.first)
        #expect(tensor.sums?.changed == 1)
        #expect(tensor.sums?.cosine.isNaN == true)
        #expect(tensor.sums?.normA.isNaN == true)
        #expect(tensor.sums?.notFiniteA == 0)
        #expect(!tensor.isEqual(within: 1e9))
        #expect(try difference(one, one).isIdentical(within: 0))
    }

    @Test func doublesHaveADistribution() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        try write([("d", "F64", [4], data([1, 2, 3, 1] as [Double]))], to: one)
        try write([("d", "F64", [4], data([1, 2.5, 3 + 0x1p-40, 1 + 0x1p-50] as [Double]))], to: other)
        let tensor = try #require(try difference(one, other).tensors.first)
        #expect(tensor.histogram[0] == 1)
        #expect(tensor.histogram[47] == 1)
        #expect(tensor.histogram[8] == 1)
        // Smaller than the bins tell.
        #expect(tensor.histogram[1] == 1)
    }

    // MARK: An optimizer beside the model

    @Test func theModelIsNotHiddenByItsOptimizer() throws {
        let (one, other) = (folder.file("one.safetensors"), folder.file("other.safetensors"))
        func tensors(_ weight: Float, _ moment: Float) -> [Stored] {
            [
                ("optimizer.state.0.exp_avg", "F32", [2], data([moment, 1])), ("w", "F32", [2], data([weight, 1])),
                ("optimizer.state.0.step", "F32", [1], data([moment])),
            ]
        }
        try write(tensors(1, 1), to: one)
        try write(tensors(2, 1000), to: other)
        let found = try difference(one, other)
        #expect(found.modelTensors.map(\.name) == ["w"])
        #expect(found.total.maxAbs == 1)
        #expect(found.changed().count == 3)
        #expect(DifferenceGrid(found.tensors).others.first?.name == "w")
    }

    // MARK: Text

    @Test func sharesNeverLookLikeNoneOrAll() {
        #expect(FigureText.percent(0, of: 2_754_816) == "0.00 %")
        #expect(FigureText.percent(1, of: 2_754_816) == "< 0.01 %")
        #expect(FigureText.percent(2_754_815, of: 2_754_816) == "> 99.99 %")
        #expect(FigureText.percent(2_754_816, of: 2_754_816) == "100.00 %")
        #expect(FigureText.percent(1, of: 4) == "25.00 %")
        #expect(FigureText.percent(0, of: 0) == "0.00 %")
    }

    @Test func figuresThatCannotBeSaidAreNotInvented() {
        #expect(FigureText.significant(.nan) == "-")
        #expect(FigureText.fixed(.nan, 6) == "-")
        #expect(FigureText.lowerEdge(ofBin: 1) == "< 2^-46")
        #expect(FigureText.upperEdge(ofBin: 63) == "≥ 2^15")
        #expect(FigureText.lowerEdge(ofBin: 28) == "2^-20")
        #expect(FigureText.upperEdge(ofBin: 32) == "2^-15")
    }

    /// A value without measure is drawn as the tallest, and the others keep their heights.
    @Test func barsOfInfiniteHeightAreDrawn() throws {
        let svg = BarChart(title: "t", bars: [("a", 1, "a"), ("b", .infinity, "b"), ("c", 2, "c")]).drawing.standalone
        try expectWellFormed(svg)
        #expect(!svg.contains("\"nan") && !svg.contains("\"inf"))
        #expect(svg.contains("height=\"60\"") && svg.contains("height=\"120\""))
    }

    // MARK: Files

    private typealias Stored = (name: String, dtype: String, shape: [Int], bytes: Data)

    private func data<Value>(_ values: [Value]) -> Data { values.withUnsafeBytes { Data($0) } }

    private func write(_ tensors: [Stored], to path: String) throws {
        var header: [String: Any] = [:]
        var bytes = Data()
        for tensor in tensors {
            header[tensor.name] = [
                "dtype": tensor.dtype, "shape": tensor.shape,
                "data_offsets": [bytes.count, bytes.count + tensor.bytes.count],
            ]
            bytes += tensor.bytes
        }
        let json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys])
        let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
        try (length + json + bytes).write(to: URL(filePath: path))
    }
}
