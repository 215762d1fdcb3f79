// How often each symbol of a context occurs, as the entropy coder wants it: out of 4096, and packed in few bits.
// Docs/ArchiveFormat.md, "Frequencies".

/// Bits written one after another, the first in the lowest bit of a byte.
struct BitWriter {
    private(set) var bytes: [UInt8] = []
    private var pending: UInt64 = 0
    private var count: UInt64 = 0

    /// Appends the low `width` bits, at most 32.
    mutating func put(_ value: UInt32, _ width: Int) {
        pending |= (UInt64(value) & ((1 << UInt64(width)) - 1)) << count
        count += UInt64(width)
        while count >= 8 {
            bytes.append(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            count -= 8
        }
    }

    /// Fills up the last byte with zeros.
    mutating func finish() -> [UInt8] {
        if count > 0 { put(0, Int(8 - count)) }
        return bytes
    }
}

/// Bits of a buffer; nil beyond its end.
struct BitReader {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func take(_ width: Int) -> UInt32? {
        guard width <= 32, at + width <= bytes.count * 8 else { return nil }
        var value: UInt32 = 0
        for place in 0..<width {
            let bit = bytes[(at + place) >> 3] >> UInt8((at + place) & 7) & 1
            value |= UInt32(bit) << UInt32(place)
        }
        at += width
        return value
    }

    /// Ones before the next zero, at most `limit`.
    mutating func ones(limit: Int) -> Int? {
        var count = 0
        while let bit = take(1) {
            if bit == 0 { return count }
            count += 1
            if count > limit { return nil }
        }
        return nil
    }

    /// Bytes begun so far.
    var bytesUsed: Int { (at + 7) >> 3 }
}

enum FrequencyTable {
    static let precision = 12
    static let total = 1 << precision

    /// Scales counts to a sum of `total`, at most 4096, in which every symbol that occurs has at least 1, keeping
    /// `digits` bits below the leading one of each frequency but that of the most frequent symbol, which takes what is
    /// left.
    /// - Returns: nil when more symbols occur than frequencies can tell apart.
    static func normalize(_ counts: UnsafeBufferPointer<UInt32>, digits: Int, total: Int) -> [UInt16]? {
        var sum: UInt64 = 0
        var largest = 0
        for (index, count) in counts.enumerated() {
            sum += UInt64(count)
            if count > counts[largest] { largest = index }
        }
        var out = [UInt16](repeating: 0, count: counts.count)
        guard sum > 0 else { return nil }
        var left = total
        let scale = Double(total) / Double(sum)
        for (index, count) in counts.enumerated() where count > 0 && index != largest {
            let frequency = round(max(1, Int(Double(count) * scale + 0.5)), digits: digits)
            out[index] = UInt16(frequency)
            left -= frequency
        }
        // Many rare symbols may have taken more than there is: give back, from the frequent ones first.
        while left < 1 {
            guard let victim = out.indices.filter({ out[$0] > 1 }).max(by: { out[$0] < out[$1] }) else { return nil }
            let before = Int(out[victim])
            let after = round(before - max(1, before >> digits), digits: digits, down: true)
            out[victim] = UInt16(max(1, after))
            left += before - max(1, after)
        }
        out[largest] = UInt16(left)
        return out
    }

    private static func round(_ value: Int, digits: Int, down: Bool = false) -> Int {
        let extra = max(0, Int.bitWidth - 1 - value.leadingZeroBitCount - digits)
        let half = down || extra == 0 ? 0 : 1 << (extra - 1)
        return ((value + half) >> extra) << extra
    }

    /// Appends frequencies that `normalize` made with the same number of digits.
    ///
    /// The index of the symbol that takes what is left in 8 bits; then for every other symbol the change of its bit
    /// length from the one before (zigzag, in unary), and the digits below the leading bit.
    static func write(_ frequencies: [UInt16], digits: Int, to out: inout BitWriter) {
        let implied = frequencies.indices.max { frequencies[$0] < frequencies[$1] } ?? 0
        // `normalize` may have left the most frequent one smaller than a rounded one: any symbol without rounding
        // error to keep can be the implied one, and only one that is not representable has to be.
        let odd = frequencies.indices.first { round(Int(frequencies[$0]), digits: digits, down: true) != Int(frequencies[$0]) }
        let skipped = odd ?? implied
        out.put(UInt32(skipped), 8)
        var before = 0
        for (index, frequency) in frequencies.enumerated() where index != skipped {
            let length = UInt16.bitWidth - frequency.leadingZeroBitCount
            let change = length - before
            let steps = change > 0 ? 2 * change - 1 : -2 * change
            for _ in 0..<steps { out.put(1, 1) }
            out.put(0, 1)
            before = length
            let kept = min(max(length - 1, 0), digits)
            if kept > 0 { out.put(UInt32(frequency) >> UInt32(length - 1 - kept), kept) }
        }
    }

    /// Reads `count` frequencies. Nil when they do not sum to `total` or the bits end.
    static func read(count: Int, digits: Int, total: Int, from bits: inout BitReader) -> [UInt16]? {
        guard let skipped = bits.take(8), Int(skipped) < count else { return nil }
        var out = [UInt16](repeating: 0, count: count)
        var length = 0
        var left = total
        for index in 0..<count where index != Int(skipped) {
            guard let steps = bits.ones(limit: 2 * (precision + 1)) else { return nil }
            length += steps & 1 == 1 ? (steps + 1) / 2 : -(steps / 2)
            guard length >= 0, length <= precision + 1 else { return nil }
            guard length > 0 else { continue }
            let kept = min(length - 1, digits)
            guard let digit = bits.take(kept) else { return nil }
            let frequency = (1 << kept | Int(digit)) << (length - 1 - kept)
            left -= frequency
            guard left >= 0 else { return nil }
            out[index] = UInt16(frequency)
        }
        guard left >= 1 else { return nil }
        out[Int(skipped)] = UInt16(left)
        return out
    }
}
