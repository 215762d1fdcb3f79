// The products at every CPU level against sums in f64 over the decoded weights.

import CKernels
import Foundation
import Testing

/// A small generator of the same numbers everywhere.
private struct Noise {
    var state: UInt64
    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
    }
}

private struct WeightCase: CustomTestStringConvertible, Sendable {
    let testDescription: String
    /// ggml's type, or negative for the plain floats.
    let type: Int32
    let kind: pannier_weight_kind
    let elements: Int
    let bytes: Int

    static let all = [
        WeightCase("f32", -1, PANNIER_WEIGHT_F32, 1, 4), WeightCase("f16", -2, PANNIER_WEIGHT_F16, 1, 2),
        WeightCase("bf16", -3, PANNIER_WEIGHT_BF16, 1, 2), WeightCase("Q8_0", 8, PANNIER_WEIGHT_Q8_0, 32, 34),
        WeightCase("Q4_0", 2, PANNIER_WEIGHT_Q4_0, 32, 18), WeightCase("Q4_K", 12, PANNIER_WEIGHT_Q4_K, 256, 144),
        WeightCase("Q6_K", 14, PANNIER_WEIGHT_Q6_K, 256, 210), WeightCase("Q5_K", 13, PANNIER_WEIGHT_Q5_K, 256, 176),
        WeightCase("Q4_1", 3, PANNIER_WEIGHT_Q4_1, 32, 20), WeightCase("Q5_0", 6, PANNIER_WEIGHT_Q5_0, 32, 22),
        WeightCase("Q5_1", 7, PANNIER_WEIGHT_Q5_1, 32, 24), WeightCase("Q2_K", 10, PANNIER_WEIGHT_Q2_K, 256, 84),
        WeightCase("Q3_K", 11, PANNIER_WEIGHT_Q3_K, 256, 110), WeightCase("IQ3_S", 21, PANNIER_WEIGHT_OTHER, 256, 110),
        WeightCase("Q4_0 by pieces", 2, PANNIER_WEIGHT_OTHER, 32, 18),
        WeightCase("IQ4_NL", 20, PANNIER_WEIGHT_IQ4_NL, 32, 18), WeightCase("IQ4_XS", 23, PANNIER_WEIGHT_IQ4_XS, 256, 136),
    ]

    init(_ name: String, _ type: Int32, _ kind: pannier_weight_kind, _ elements: Int, _ bytes: Int) {
        (testDescription, self.type, self.kind, self.elements, self.bytes) = (name, type, kind, elements, bytes)
    }

    var decode: pannier_decode_fn? {
        switch type {
        case -1: pannier_decode_f32
        case -2: pannier_f16_to_f32
        case -3: pannier_bf16_to_f32
        default: pannier_dequantizer(type)
        }
    }

    /// Rows of random weights in this format.
    func encode(_ values: [Float], rows: Int, columns: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: rows * columns / elements * bytes)
        out.withUnsafeMutableBytes { target in
            switch type {
            case -1: values.withUnsafeBytes { target.copyMemory(from: $0) }
            case -2: pannier_f32_to_f16(values, target.baseAddress, Int64(values.count))
            case -3: pannier_f32_to_bf16(values, target.baseAddress, Int64(values.count))
            default: pannier_quantizer(type)?(values, target.baseAddress, Int64(rows), Int64(columns), nil)
            }
        }
        return out
    }
}

@Suite(.serialized) struct KernelTests {
    /// Products of `rows` x `columns` weights with some tokens: the largest error, and the largest product.
    private func errors(
        _ weight: WeightCase, rows: Int, columns: Int, tokens: Int, bf16: Bool, grouped: Bool = false,
        activation: (_ noise: Float, _ column: Int) -> Float = { noise, _ in noise }
    ) throws -> (error: Double, largest: Double) {
        var noise = Noise(state: UInt64(rows * 31 + columns + tokens))
        let values = (0..<rows * columns).map { _ in noise.next() }
        let x = (0..<tokens * columns).map { activation(noise.next(), $0 % columns) }
        let bytes = weight.encode(values, rows: rows, columns: columns)
        let (decoded, out) = try product(
            weight, bytes, x, rows: rows, columns: columns, tokens: tokens, bf16: bf16, grouped: grouped)
        var error = 0.0, largest = 0.0
        for token in 0..<tokens {
            for row in 0..<rows {
                var sum = 0.0
                for column in 0..<columns {
                    sum += Double(decoded[row * columns + column]) * Double(x[token * columns + column])
                }
                let difference = abs(sum - Double(out[token * rows + row]))
                error = difference <= error ? error : difference
                largest = max(largest, abs(sum))
            }
        }
        return (error, largest)
    }

    /// The weights `[rows, columns]` as floats, and their products `[tokens, rows]` with activations `[tokens, columns]`.
    private func product(
        _ weight: WeightCase, _ bytes: [UInt8], _ x: [Float], rows: Int, columns: Int, tokens: Int, bf16: Bool, grouped: Bool
    ) throws -> (decoded: [Float], out: [Float]) {
        let rowBytes = columns / weight.elements * weight.bytes
        let decode = try #require(weight.decode)
        var out = [Float](repeating: .nan, count: tokens * rows)
        var decoded = [Float](repeating: 0, count: rows * columns)
        try bytes.withUnsafeBytes { bytes in
            let base = try #require(bytes.baseAddress)
            let pointers = (0..<rows).map { Optional(base + $0 * rowBytes) }
            for row in 0..<rows {
                decoded.withUnsafeMutableBufferPointer {
                    decode(pointers[row], $0.baseAddress.map { $0 + row * columns }, Int64(columns))
                }
            }
            pointers.withUnsafeBufferPointer { pointers in
                var matrix = pannier_matrix(
                    row: pointers.baseAddress, rows: Int64(rows), columns: Int64(columns),
                    block_elements: Int32(weight.elements), block_bytes: Int32(weight.bytes), kind: weight.kind,
                    decode: decode, groups: nil)
                let groups = UnsafeMutableBufferPointer<UInt8>.allocate(
                    capacity: grouped ? Int(pannier_groups_bytes(&matrix)) : 0)
                defer { groups.deallocate() }
                // Groups, and their products below, in two parts, as two threads would.
                let group = Int64(PANNIER_ROW_GROUP), half = Int64(rows) / 2 / group
                if !groups.isEmpty {
                    groups.update(repeating: 0xff)
                    pannier_group_rows(&matrix, half, (Int64(rows) + group - 1) / group, groups.baseAddress)
                    pannier_group_rows(&matrix, 0, half, groups.baseAddress)
                    matrix.groups = UnsafePointer(groups.baseAddress)
                }
                if tokens == 1 {
                    var prepared = [Float](repeating: 0, count: Int(pannier_prepared_floats(Int64(columns))))
                    let compute = bf16 ? PANNIER_COMPUTE_BF16 : PANNIER_COMPUTE_F32
                    pannier_prepare(&matrix, compute, x, &prepared)
                    pannier_matvec(&matrix, compute, 0, half * group, prepared, &out)
                    pannier_matvec(&matrix, compute, half * group, Int64(rows), prepared, &out)
                    return
                }
                var packed = [Float](repeating: 0, count: Int(pannier_packed_floats(Int64(tokens), Int64(columns))))
                let scratch = UnsafeMutableRawPointer.allocate(
                    byteCount: Int(pannier_matmul_scratch(Int64(tokens))), alignment: 64)
                defer { scratch.deallocate() }
                let count = Int64(tokens), width = Int64(columns)
                (bf16 ? pannier_pack_bf16 : pannier_pack_f32)(x, width, count, width, 0, pannier_panels(count), &packed)
                // In two parts, as two threads would.
                let middle = Int64(rows / 3)
                for (first, last) in [(0, middle), (middle, Int64(rows))] {
                    (bf16 ? pannier_matmul_bf16 : pannier_matmul_f32)(
                        &matrix, first, last, packed, count, &out, Int64(rows), scratch)
                }
            }
        }
        return (decoded, out)
    }

    @Test(arguments: WeightCase.all) fileprivate func productsMatchAtEveryLevel(_ weight: WeightCase) throws {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        for raw in 0..<PANNIER_CPU_LEVELS.rawValue {
            let level = pannier_cpu_force(pannier_cpu_level(raw))
            for tokens in [1, 2, 37, 130] {
                // Whole blocks; plain floats also with an odd number of columns.
                let byPieces = weight.kind == PANNIER_WEIGHT_OTHER && weight.elements == 32
                for columns in weight.elements == 1 ? [1, 51, 1100] : byPieces ? [32, 160, 1056] : [256, 1280] {
                    for grouped in tokens == 1 ? [false, true] : [false] {
                        let (error, largest) = try errors(
                            weight, rows: 53, columns: columns, tokens: tokens, bf16: false, grouped: grouped)
                        #expect(error <= 3e-6 * max(largest, 1), "\(level) \(tokens) x \(columns) \(grouped)")
                    }
                }
            }
        }
    }

    /// Activations of one token as models have them: a few of them thousands of times the others, groups of nothing, and
    /// values near the ends of the range.
    @Test(arguments: WeightCase.all) fileprivate func oneTokenKeepsUnevenActivations(_ weight: WeightCase) throws {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        func outliers(_ x: Float, _ column: Int) -> Float { column % 97 == 5 ? x * 3000 : column / 128 % 3 == 1 ? 0 : x }
        func tiny(_ x: Float, _ column: Int) -> Float { x * 1e-20 }
        func huge(_ x: Float, _ column: Int) -> Float { x * 1e32 }
        for raw in 0..<PANNIER_CPU_LEVELS.rawValue {
            let level = pannier_cpu_force(pannier_cpu_level(raw))
            for (name, activation) in [("outliers", outliers), ("tiny", tiny), ("huge", huge)] {
                for grouped in [false, true] {
                    let (error, largest) = try errors(
                        weight, rows: 53, columns: 1280, tokens: 1, bf16: false, grouped: grouped, activation: activation)
                    #expect(error <= 2e-6 * largest && largest > 0, "\(level) \(name) \(grouped)")
                }
            }
        }
    }

    @Test(arguments: WeightCase.all) fileprivate func whatIsNotFiniteShowsInTheProduct(_ weight: WeightCase) throws {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        for raw in 0..<PANNIER_CPU_LEVELS.rawValue {
            _ = pannier_cpu_force(pannier_cpu_level(raw))
            for bad in [Float.nan, .infinity, -.infinity] {
                for grouped in [false, true] {
                    let (error, _) = try errors(
                        weight, rows: 3, columns: 512, tokens: 1, bf16: false, grouped: grouped) { $1 == 300 ? bad : $0 }
                    #expect(!error.isFinite)
                }
            }
        }
    }

    /// Where the tests above mean what they say of rows in groups.
    @Test(.enabled(if: pannier_cpu_best().rawValue >= PANNIER_CPU_AVX2.rawValue, "the processor has AVX2"))
    func rowsAreGroupedWithAVX2() {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        #expect(pannier_cpu_force(PANNIER_CPU_AVX2) == PANNIER_CPU_AVX2)
        let grouped = WeightCase.all.filter { weight in
            var matrix = pannier_matrix(
                row: nil, rows: 9, columns: 256, block_elements: Int32(weight.elements), block_bytes: Int32(weight.bytes),
                kind: weight.kind, decode: weight.decode, groups: nil)
            return pannier_groups_bytes(&matrix) > 0
        }
        #expect(grouped.map(\.testDescription) == ["Q8_0", "Q4_0", "Q4_K", "Q6_K", "Q4_1"])
    }

    /// Every level, and at that of AVX-512 each of its ways to multiply pairs of 16 bits that the machine has.
    private func withEveryPairProduct(_ body: (_ name: String) throws -> Void) rethrows {
        defer {
            _ = pannier_cpu_force(pannier_cpu_best())
            pannier_cpu_withhold(0)
        }
        let fast = PANNIER_CPU_FAST_BF16.rawValue, bf16 = PANNIER_CPU_AVX512_BF16.rawValue
        let vnni = PANNIER_CPU_AVX512_VNNI.rawValue
        for raw in 0...pannier_cpu_best().rawValue {
            let level = pannier_cpu_level(raw)
            _ = pannier_cpu_force(level)
            for withheld in level == PANNIER_CPU_AVX512 ? [0, fast, fast | vnni, fast | vnni | bf16] : [0] {
                pannier_cpu_withhold(withheld)
                try body("level \(raw) without \(withheld)")
            }
        }
    }

    @Test(arguments: WeightCase.all) fileprivate func bf16ProductsRoundOnlyTheirInputs(_ weight: WeightCase) throws {
        try withEveryPairProduct { name in
            for tokens in [1, 9, 70] {
                for columns in weight.elements == 1 ? [1, 51, 2100] : [1280] {
                    for grouped in tokens == 1 ? [false, true] : [false] {
                        let (error, largest) = try errors(
                            weight, rows: 53, columns: columns, tokens: tokens, bf16: true, grouped: grouped)
                        #expect(error <= 0.01 * max(largest, 1), "\(name): \(tokens) x \(columns) \(grouped)")
                    }
                }
            }
        }
    }

    @Test(arguments: WeightCase.all) fileprivate func bf16ProductsShowWhatIsNotFinite(_ weight: WeightCase) throws {
        try withEveryPairProduct { name in
            for (bad, tokens) in [(Float.nan, 1), (.infinity, 1), (.nan, 5), (-.infinity, 5)] {
                let (error, _) = try errors(weight, rows: 3, columns: 512, tokens: tokens, bf16: true) { $1 == 300 ? bad : $0 }
                #expect(!error.isFinite, "\(name): \(bad)")
            }
        }
    }

    /// The weights that become pairs of integers without floats between them, and plain floats.
    private static let paired = WeightCase.all.filter {
        ["f32", "bf16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"].contains($0.testDescription)
    }

    /// Runs `body` with each product of pairs of integers that the machine has.
    private func withIntegerPairs(_ body: () throws -> Void) throws {
        var count = 0
        try withEveryPairProduct { name in
            // What is not pairs of integers: the baseline's f32, and bf16.
            guard name == "level 1 without 0" || name == "level 2 without \(PANNIER_CPU_FAST_BF16.rawValue)",
                pannier_cpu_current() == PANNIER_CPU_AVX2 || pannier_cpu_has(PANNIER_CPU_AVX512_VNNI) != 0
            else { return }
            count += 1
            try body()
        }
        #expect(count > 0)
    }

    /// Pairs of integers have 11 and 12 bits: their products are the same at both levels that have them, and closer than
    /// bf16's. The last piece of 1152 columns is half a group.
    @Test(
        .enabled(if: pannier_cpu_best().rawValue >= PANNIER_CPU_AVX2.rawValue, "the processor has AVX2"), arguments: paired)
    fileprivate func pairsOfIntegersLoseLessThanBF16(_ weight: WeightCase) throws {
        for columns in weight.elements == 256 ? [2048, 1280] : [2048, 1152] {
            var lost: [Double] = []
            try withIntegerPairs {
                let (error, largest) = try errors(weight, rows: 53, columns: columns, tokens: 70, bf16: true)
                lost.append(error / largest)
            }
            // Plain floats become the same integers at both levels; a unit from a block's scale is a little larger.
            let (most, apart) = weight.kind == PANNIER_WEIGHT_F32 ? (3e-4, 1e-5) : (4e-4, 1e-4)
            for each in lost { #expect(each < most && abs(each - lost[0]) < apart, "\(columns)") }
        }
    }

    /// Blocks of any bytes: where a weight is not finite its row's products are not, and the other rows' are as close as ever.
    @Test(
        .enabled(if: pannier_cpu_best().rawValue >= PANNIER_CPU_AVX2.rawValue, "the processor has AVX2"), arguments: paired)
    fileprivate func pairsOfIntegersOfAnyBytes(_ weight: WeightCase) throws {
        let rows = 96, columns = 512, tokens = 5
        var noise = Noise(state: 77)
        let bytes = (0..<rows * columns / weight.elements * weight.bytes).map { _ in
            UInt8(truncatingIfNeeded: Int(noise.next() * 32768))
        }
        let x = (0..<tokens * columns).map { _ in noise.next() }
        try withIntegerPairs {
            let (decoded, out) = try product(
                weight, bytes, x, rows: rows, columns: columns, tokens: tokens, bf16: true, grouped: false)
            var finite = 0
            for row in 0..<rows {
                let values = decoded[row * columns..<(row + 1) * columns]
                for token in 0..<tokens {
                    let found = out[token * rows + row]
                    guard values.allSatisfy(\.isFinite) else {
                        #expect(!found.isFinite)
                        continue
                    }
                    finite += 1
                    var sum = 0.0, squares = 0.0
                    for (value, x) in zip(values, x[(token * columns)...]) {
                        sum += Double(value) * Double(x)
                        squares += Double(value) * Double(value)
                    }
                    // Products beyond f32 are no sums of it.
                    guard squares.squareRoot() < 1e36 else { continue }
                    #expect(abs(sum - Double(found)) <= 0.02 * squares.squareRoot(), "row \(row)")
                }
            }
            #expect(finite > 0 && finite < rows * tokens)
        }
    }

    @Test func attentionMatchesAtEveryLevel() throws {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        for (head, tokens, position, window) in [(64, 60, 5, 0), (24, 1, 40, 0), (40, 7, 0, 0), (64, 16, 30, 9), (32, 1, 50, 20)] {
            var noise = Noise(state: 9)
            let total = position + tokens
            let keys = (0..<total * head).map { _ in noise.next() * 3 }
            let values = (0..<total * head).map { _ in noise.next() }
            let query = (0..<tokens * head).map { _ in noise.next() * 3 }
            for raw in 0..<PANNIER_CPU_LEVELS.rawValue {
                _ = pannier_cpu_force(pannier_cpu_level(raw))
                var out = [Float](repeating: .nan, count: tokens * head)
                var scratch = [Float](repeating: 0, count: Int(pannier_attention_scratch(Int64(total), Int64(head))))
                let panel = Int(pannier_attention_tokens())
                query.withUnsafeBufferPointer { query in
                    keys.withUnsafeBufferPointer { keys in
                        values.withUnsafeBufferPointer { values in
                            out.withUnsafeMutableBufferPointer { out in
                                for first in stride(from: 0, to: tokens, by: panel) {
                                    var attention = pannier_attention(
                                        query: query.baseAddress.map { $0 + first * head }, query_stride: Int64(head),
                                        keys: keys.baseAddress, values: values.baseAddress, head: Int64(head),
                                        position: Int64(position + first), tokens: Int64(min(panel, tokens - first)),
                                        window: Int64(window), scale: 0.125,
                                        out: out.baseAddress.map { $0 + first * head }, out_stride: Int64(head))
                                    pannier_attend(&attention, &scratch)
                                }
                            }
                        }
                    }
                }
                for token in 0..<tokens {
                    let last = position + token, first = window > 0 ? max(0, last + 1 - window) : 0
                    let scores = (first...last).map { j in
                        0.125 * (0..<head).reduce(0.0) { $0 + Double(query[token * head + $1]) * Double(keys[j * head + $1]) }
                    }
                    let largest = scores.max() ?? 0
                    let weights = scores.map { exp($0 - largest) }
                    let sum = weights.reduce(0, +)
                    for d in 0..<head {
                        let expected = zip(weights, first...last).reduce(0.0) { $0 + $1.0 / sum * Double(values[$1.1 * head + d]) }
                        #expect(abs(Double(out[token * head + d]) - expected) < 2e-6)
                    }
                }
            }
        }
    }

    @Test func divergenceMatchesItsDefinition() {
        var noise = Noise(state: 3)
        let a = (0..<1001).map { _ in noise.next() * 8 }, b = (0..<1001).map { _ in noise.next() * 8 }
        func logSoftmax(_ x: [Float]) -> [Double] {
            let largest = Double(x.max() ?? 0)
            let sum = log(x.reduce(0.0) { $0 + exp(Double($1) - largest) }) + largest
            return x.map { Double($0) - sum }
        }
        let p = logSoftmax(a), q = logSoftmax(b)
        let expected = zip(p, q).reduce(0.0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        let found = pannier_compare_logits(a, b, 1001)
        #expect(abs(found.divergence - expected) < 1e-6 * expected)
        #expect(pannier_compare_logits(a, a, 1001).divergence == 0)
        #expect(Int(found.top_reference) == a.indices.max { a[$0] < a[$1] })
        #expect(abs(pannier_log_sum_exp(a, 1001) - (Double(a[0]) - p[0])) < 1e-6)
    }
}
