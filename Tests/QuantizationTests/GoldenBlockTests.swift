// Every block format against ggml's bytes, at every CPU level of the machine. The digests are golden data: see
// Tests/Golden/make_quantize.py; Tests/Interop/quantize_peer.py compares millions of values where ggml is at hand.

import CKernels
import Foundation
import Testing

import Quantization
import Tensors

struct GoldenFile: Decodable {
    struct Case: Decodable {
        var input: String
        var matrix: Bool
        var bytes: String
        var decoded: String
    }
    struct Format: Decodable {
        var ggml_type: Int32
        var cases: [Case]
    }
    var types: [String: Format]

    static let shared: GoldenFile? = try? JSONDecoder().decode(GoldenFile.self, from: TestRows.golden("quantize.json"))
}

@Suite struct GoldenBlockTests {
    static let formats: [BlockFormat] = BlockFormat.all.filter { $0.dtype.isQuantized }
    static let levels: [pannier_cpu_level] = [PANNIER_CPU_BASELINE, PANNIER_CPU_AVX2, PANNIER_CPU_AVX512].filter {
        $0.rawValue <= pannier_cpu_best().rawValue
    }

    @Test(arguments: formats) func quantizesAndDecodesAsGGMLDoes(_ format: BlockFormat) throws {
        let golden = try #require(GoldenFile.shared?.types[format.name])
        #expect(golden.ggml_type == Int32(format.ggmlType))
        for expected in golden.cases {
            let source = TestRows.make(expected.input)
            let importance = expected.matrix ? TestRows.importance : nil
            for level in Self.levels {
                let encode = try #require(pannier_quantizer_at(golden.ggml_type, level))
                let decode = try #require(pannier_dequantizer_at(golden.ggml_type, level))
                var blocks = [UInt8](repeating: 0xA5, count: source.count / format.blockElements * format.blockBytes)
                blocks.withUnsafeMutableBytes { target in
                    if let importance {
                        encode(source, target.baseAddress, Int64(TestRows.rows), Int64(TestRows.columns), importance)
                    } else {
                        encode(source, target.baseAddress, Int64(TestRows.rows), Int64(TestRows.columns), nil)
                    }
                }
                let name = "\(expected.input), matrix \(expected.matrix), level \(level.rawValue)"
                #expect(blocks.withUnsafeBytes { TestRows.digest($0) } == expected.bytes, "\(name)")
                var values = [Float](repeating: .nan, count: source.count)
                values.withUnsafeMutableBufferPointer { target in
                    decode(blocks, target.baseAddress, Int64(target.count))
                }
                #expect(TestRows.digest(values) == expected.decoded, "decoded: \(name)")
            }
        }
    }

    /// Rows cut into any pieces give the same bytes: workers take ranges of rows.
    @Test(arguments: formats) func rowsAreIndependent(_ format: BlockFormat) throws {
        let source = TestRows.make("bell")
        let rowBytes = TestRows.columns / format.blockElements * format.blockBytes
        var whole = [UInt8](repeating: 0, count: rowBytes * TestRows.rows)
        var pieces = whole
        TestRows.importance.withUnsafeBufferPointer { importance in
            source.withUnsafeBufferPointer { source in
                whole.withUnsafeMutableBytes {
                    format.quantize(
                        source, rows: TestRows.rows, columns: TestRows.columns, importance: importance, into: $0)
                }
                pieces.withUnsafeMutableBytes { target in
                    var row = 0
                    for count in [1, 2, 5, 11] {
                        format.quantize(
                            UnsafeBufferPointer(rebasing: source[(row * TestRows.columns)...]), rows: count,
                            columns: TestRows.columns, importance: importance,
                            into: UnsafeMutableRawBufferPointer(rebasing: target[(row * rowBytes)...]))
                        row += count
                    }
                    #expect(row == TestRows.rows)
                }
            }
        }
        #expect(whole == pieces)
    }

    @Test func formatsAreDistinct() {
        #expect(Set(BlockFormat.all.map(\.ggmlType)).count == BlockFormat.all.count)
        #expect(Set(BlockFormat.all.map(\.dtype)).count == BlockFormat.all.count)
    }
}

@Suite struct PlainFloatTests {
    static let specials: [Float] = [
        0, -0.0, 1, -1, 65504, 65519.996, 65520, -1e9, 5.9604645e-8, 2.9802322e-8, 2.980233e-8, 6.1035156e-5,
        6.097555e-5, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .infinity, -.infinity, 1.0009765625, 1.00048828125,
        1.00146484375, 1.00390625, 1.001953125, 1.005859375,
    ]

    @Test func halvesRoundToNearestEven() throws {
        let values = Self.specials + TestRows.make("bits") + TestRows.make("bell")
        try check(.f16, values) { UInt32(Float16($0).bitPattern) }
        try check(.bf16, values) { x in
            let bits = x.bitPattern
            return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        }
    }

    private func check(_ dtype: DType, _ values: [Float], _ rounded: (Float) -> UInt32) throws {
        let expected = values.map(rounded)
        let format = try #require(BlockFormat.of(dtype))
        var halves = [UInt16](repeating: 0, count: values.count)
        halves.withUnsafeMutableBytes { target in
            values.withUnsafeBufferPointer { format.quantize($0, rows: 1, columns: values.count, into: target) }
        }
        var back = [Float](repeating: 0, count: values.count)
        halves.withUnsafeBytes { source in back.withUnsafeMutableBufferPointer { format.decode(source, into: $0) } }
        for (i, x) in values.enumerated() {
            #expect(UInt32(halves[i]) == expected[i], "\(x)")
            let wide = dtype == .f16 ? Float(Float16(bitPattern: halves[i])) : Float(bitPattern: UInt32(halves[i]) << 16)
            #expect(back[i].bitPattern == wide.bitPattern)
        }
    }

    @Test func everyHalfDecodesExactly() throws {
        let halves = (0...UInt16.max).map { $0 }
        var values = [Float](repeating: 0, count: halves.count)
        halves.withUnsafeBytes { source in
            values.withUnsafeMutableBufferPointer { BlockFormat.of(.f16)?.decode(source, into: $0) }
        }
        for (half, value) in zip(halves, values) {
            let expected = Float(Float16(bitPattern: half))
            #expect(expected.isNaN ? value.isNaN : expected.bitPattern == value.bitPattern)
        }
    }

    @Test func nanStaysNaN() throws {
        for dtype in [DType.f16, .bf16] {
            let format = try #require(BlockFormat.of(dtype))
            let values: [Float] = [.nan, -.nan, .signalingNaN, Float(bitPattern: 0x7F80_0001)]
            var bytes = [UInt8](repeating: 0, count: 8)
            bytes.withUnsafeMutableBytes { target in
                values.withUnsafeBufferPointer { format.quantize($0, rows: 1, columns: 4, into: target) }
            }
            var back = [Float](repeating: 0, count: 4)
            bytes.withUnsafeBytes { source in back.withUnsafeMutableBufferPointer { format.decode(source, into: $0) } }
            #expect(back.allSatisfy { $0.isNaN })
        }
    }

    @Test func finitenessAndErrors() {
        var x = TestRows.make("bell")
        #expect(x.withUnsafeBufferPointer { FloatKernels.allFinite($0) })
        for (at, value) in [(0, Float.nan), (17, .infinity), (x.count - 1, -.infinity)] {
            let old = x[at]
            x[at] = value
            #expect(!x.withUnsafeBufferPointer { FloatKernels.allFinite($0) })
            x[at] = old
        }
        var error = QuantizationError()
        let shifted = x.map { $0 + 0.5 }
        x.withUnsafeBufferPointer { a in
            shifted.withUnsafeBufferPointer { b in error.add(reference: a, approximation: b) }
        }
        #expect(error.count == x.count && abs(error.rmse - 0.5) < 1e-6 && abs(error.largest - 0.5) < 1e-6)
    }
}

@Suite struct BlockValidationTests {
    /// A scale of infinity or NaN is found in its block, wherever the format keeps it.
    @Test(arguments: BlockFormat.all) func findsScalesThatAreNoNumbers(_ format: BlockFormat) {
        let blocks = 5
        var bytes = [UInt8](repeating: 0, count: blocks * format.blockBytes)
        #expect(bytes.withUnsafeBytes { format.firstInvalidBlock(in: $0) } == nil)
        let at = 3 * format.blockBytes
        switch format.scales {
        case .halves(let offsets):
            for offset in offsets {
                bytes[at + offset + 1] = 0xFC
                #expect(bytes.withUnsafeBytes { format.firstInvalidBlock(in: $0) } == 3)
                bytes[at + offset + 1] = 0x7B
                #expect(bytes.withUnsafeBytes { format.firstInvalidBlock(in: $0) } == nil)
            }
        case .exponent(let offset):
            bytes[at + offset] = 0xFF
            #expect(bytes.withUnsafeBytes { format.firstInvalidBlock(in: $0) } == 3)
        case .spreadHalf(let offset):
            bytes[at + offset + 5] = 0xC0
            bytes[at + offset + 7] = 0x70
            #expect(bytes.withUnsafeBytes { format.firstInvalidBlock(in: $0) } == 3)
            // Each of the exponent's bits counts, whichever word it is in.
            for (place, bit) in [(5, 0x80), (5, 0x40), (7, 0x10), (7, 0x20), (7, 0x40)] as [(Int, UInt8)] {
                bytes[at + offset + place] ^= bit
                #expect(bytes.withUnsafeBytes { format.firstInvalidBlock(in: $0) } == nil)
                bytes[at + offset + place] ^= bit
            }
        case .none:
            break
        }
    }
}
