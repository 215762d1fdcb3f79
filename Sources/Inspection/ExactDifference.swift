// Comparing what single-precision floats cannot say: doubles, integers, and floats of eight bits.

internal import Bytes
internal import Tensors

/// Sums over the differences of stored tensors in double precision.
///
/// Integers and 8-bit floats are compared with their own kind only. Integers of 64 bits become doubles, which are exact
/// up to 2^53; the differences of larger ones are exact too before they are rounded. Other types without arithmetic
/// (complex numbers, floats of 4 and 6 bits) are compared by their bytes: what changed is counted, and no figure claimed.
enum ExactDifference {
    /// - Parameters:
    ///   - range: elements, beginning and ending on whole blocks of both sides.
    ///   - counts: gets 64 counts of |b - a| by powers of two, as `pannier_difference_histogram` has them; nil when none
    ///     are wanted. Stays empty where nothing is measured.
    static func sums(
        _ a: CanonicalRows, _ b: CanonicalRows, _ range: Range<Int>, histogram: Bool,
        _ buffers: inout CanonicalRows.Buffers, counts: inout [Int64]
    ) throws -> DifferenceSums {
        var tally = Tally(count: range.count, histogram: histogram)
        guard let one = a.whole, let other = b.whole else { return tally.sums }
        guard a.isNumeric, b.isNumeric else {
            guard one.dtype == other.dtype, let size = one.dtype.byteCount(elements: range.count) else { return tally.sums }
            let left = buffers.raw.reserve(size)
            let right = buffers.gathered.reserve(size)
            try a.reader.read(one, elements: range, into: left)
            try b.reader.read(other, elements: range, into: right)
            tally.add(UnsafeRawBufferPointer(left), UnsafeRawBufferPointer(right), of: one.dtype)
            counts = tally.bins
            return tally.sums
        }
        let left = try doubles(a, one, range, &buffers)
        let right = try doubles(b, other, range, &buffers)
        for (x, y) in zip(left, right) { tally.add(x, y, differ: x.bitPattern != y.bitPattern) }
        counts = tally.bins
        return tally.sums
    }

    private static func doubles(
        _ rows: CanonicalRows, _ tensor: TensorInfo, _ range: Range<Int>, _ buffers: inout CanonicalRows.Buffers
    ) throws -> [Double] {
        if tensor.dtype == .f64 {
            return try [Double](unsafeUninitializedCapacity: range.count) { buffer, initialized in
                let target = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
                try rows.reader.read(tensor, elements: range, into: target)
                initialized = range.count
            }
        }
        let floats = try [Float](unsafeUninitializedCapacity: range.count) { buffer, initialized in
            try rows.read(range, into: UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]), buffers: &buffers)
            initialized = range.count
        }
        return floats.map(Double.init)
    }

    /// Sums that pairs of values are added to.
    private struct Tally {
        var sums = DifferenceSums()
        /// Empty where none are wanted or nothing was measured.
        var bins: [Int64]

        init(count: Int, histogram: Bool) {
            sums.count = count
            bins = histogram ? Array(repeating: 0, count: 64) : []
        }

        /// Adds a pair.
        /// - Parameter distance: |y - x| where it is known better than by subtracting.
        mutating func add(_ x: Double, _ y: Double, differ: Bool, distance: Double? = nil) {
            if differ { sums.changed += 1 }
            guard x.isFinite, y.isFinite else {
                sums.addUnordered(x, y, differ: differ)
                count(differ ? .infinity : 0)
                return
            }
            if (x < 0 && y > 0) || (x > 0 && y < 0) { sums.signFlips += 1 }
            let delta = distance ?? abs(y - x)
            sums.squaredDifference += delta * delta
            sums.squaredA += x * x
            sums.squaredB += y * y
            sums.product += x * y
            sums.largest = max(sums.largest, delta)
            count(delta)
        }

        /// Counts a difference by its power of two.
        private mutating func count(_ delta: Double) {
            guard !bins.isEmpty else { return }
            let bin = delta == 0 ? 0 : delta.isFinite ? max(1, min(63, Int(delta.exponent) + 48)) : 63
            bins[bin] += 1
        }

        /// Adds the stored bytes of two tensors of one dtype.
        mutating func add(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, of dtype: DType) {
            switch dtype {
            case .bool, .u8: add(a, b, UInt8.self)
            case .i8: add(a, b, Int8.self)
            case .u16: add(a, b, UInt16.self)
            case .i16: add(a, b, Int16.self)
            case .u32: add(a, b, UInt32.self)
            case .i32: add(a, b, Int32.self)
            case .u64: add(a, b, UInt64.self)
            case .i64: add(a, b, Int64.self)
            default:
                if let float = EightBitFloat(dtype) {
                    let values = float.values
                    for (x, y) in zip(a, b) { add(values[Int(x)], values[Int(y)], differ: x != y) }
                } else {
                    addBytes(a, b, of: dtype)
                }
            }
        }

        private mutating func add<Value: FixedWidthInteger & BitwiseCopyable>(
            _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ type: Value.Type
        ) {
            let size = MemoryLayout<Value>.size
            let whole = min(a.count, b.count) / size * size
            for at in stride(from: 0, to: whole, by: size) {
                let x = Value(littleEndian: a.loadUnaligned(fromByteOffset: at, as: Value.self))
                let y = Value(littleEndian: b.loadUnaligned(fromByteOffset: at, as: Value.self))
                // In the unsigned type of the same width: the difference of two signed ones may need its range.
                let distance = Value.Magnitude(truncatingIfNeeded: max(x, y))
                    &- Value.Magnitude(truncatingIfNeeded: min(x, y))
                add(Double(x), Double(y), differ: x != y, distance: Double(distance))
            }
        }

        private mutating func addBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, of dtype: DType) {
            let unit = max(1, dtype.blockBytes)
            var at = 0
            while at + unit <= min(a.count, b.count) {
                if !a[at..<at + unit].elementsEqual(b[at..<at + unit]) { sums.changed += dtype.blockElements }
                at += unit
            }
            sums.unordered = sums.count
            sums.unorderedChanged = sums.changed
            sums.coded = sums.count
            bins = []
        }
    }
}

extension DifferenceSums {
    /// Counts a pair that has no difference, and keeps a finite side in its own norm.
    /// - Parameter differ: whether their bits differ; they are not counted in `changed` here.
    mutating func addUnordered(_ x: Double, _ y: Double, differ: Bool) {
        unordered += 1
        if differ { unorderedChanged += 1 }
        if x.isFinite { aloneA += x * x } else { notFiniteA += 1 }
        if y.isFinite { aloneB += y * y } else { notFiniteB += 1 }
    }
}

/// A float of eight bits, decoded by its fields.
///
/// Sources: Micikevicius et al., "FP8 Formats for Deep Learning" (E4M3, E5M2); ONNX's "Float stored in 8 bits" (the FNUZ
/// variants: one zero, one NaN at 0x80, a bias higher by one); OCP's microscaling formats (E8M0).
private struct EightBitFloat {
    /// By code.
    let values: [Double]

    /// Nil for another dtype.
    init?(_ dtype: DType) {
        guard let values = Self.tables[dtype] else { return nil }
        self.values = values
    }

    private static let tables: [DType: [Double]] = [
        .f8e5m2: table(mantissaBits: 2, bias: 15) { magnitude in
            magnitude < 0x7C ? nil : magnitude == 0x7C ? Double.infinity : Double.nan
        },
        .f8e4m3: table(mantissaBits: 3, bias: 7) { $0 == 0x7F ? Double.nan : nil },
        .f8e5m2fnuz: fnuz(table(mantissaBits: 2, bias: 16) { _ in nil }),
        .f8e4m3fnuz: fnuz(table(mantissaBits: 3, bias: 8) { _ in nil }),
        .f8e8m0: (0..<256).map { $0 == 255 ? Double.nan : power($0 - 127) },
    ]

    /// The value of every code: a sign, an exponent and a mantissa.
    /// - Parameter special: what the lower seven bits mean where they mean no number.
    private static func table(mantissaBits: Int, bias: Int, special: (Int) -> Double?) -> [Double] {
        (0..<256).map { code in
            let magnitude = code & 0x7F
            let exponent = magnitude >> mantissaBits
            let mantissa = magnitude & ((1 << mantissaBits) - 1)
            // Without an exponent there is no leading one.
            let significand = Double(exponent == 0 ? mantissa : mantissa + (1 << mantissaBits))
            let value = special(magnitude) ?? significand * power(max(1, exponent) - bias - mantissaBits)
            return code & 0x80 == 0 ? value : -value
        }
    }

    /// The code of the negative zero is the only NaN.
    private static func fnuz(_ values: [Double]) -> [Double] {
        var values = values
        values[0x80] = .nan
        return values
    }

    private static func power(_ exponent: Int) -> Double { Double(sign: .plus, exponent: exponent, significand: 1) }
}
