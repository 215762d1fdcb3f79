// How a chunk of words was coded: the header of an entropy-coded chunk, read from hostile bytes and written.
// Docs/ArchiveFormat.md, "Coded words".

internal import CKernels

/// The header of a chunk of coded words: everything the coder needs besides the stream.
struct WordModel {
    enum Transform: UInt8 {
        case plain, value, delta
    }

    /// How chunks are laid out, by the format's version.
    enum Layout {
        /// Extra bits go through the coder's states; frequencies are multiples of 1.
        case two
        /// Extra bits of linear buckets lie apart; frequencies are multiples of a power of two.
        case three
    }

    var layout: Layout
    /// Bytes of a word: 1, 2, 4.
    var width: Int
    /// Low bits left out because they are zero in all words.
    var shift: Int
    var transform: Transform
    /// Linear: low bits that are coded as they are. Logarithmic: bits of the magnitude kept below the leading one.
    var bucket: Bucket
    /// First key of each context after the first, ascending.
    var bounds: [UInt16]
    /// The bucket code of each symbol, ascending.
    var codes: [UInt16]
    /// Digits that frequencies keep below their leading bit.
    var digits: Int
    /// Frequencies are multiples of 2 to this: larger ones make for a smaller table, which is faster to read in.
    var coarseness = 0
    /// For each context, each symbol's frequency.
    var frequencies: [[UInt16]]

    enum Bucket: Equatable {
        case linear(Int)
        case logarithmic(Int)

        /// As the kernels have it.
        var number: Int32 {
            switch self {
            case .linear(let extra): Int32(extra)
            case .logarithmic(let kept): Int32(-1 - kept)
            }
        }

        /// Top bits, number of bits below them, and sign of the values with this code.
        func parts(_ code: UInt16) -> (top: UInt32, extra: UInt32, sign: UInt32) {
            switch self {
            case .linear(let extra): return (UInt32(code), UInt32(extra), 0)
            case .logarithmic(let kept):
                let magnitude = UInt32(code >> 1), sign = UInt32(code & 1), one: UInt32 = 1 << UInt32(kept)
                if magnitude < 2 * one { return (magnitude, 0, sign) }
                return (magnitude & (one - 1) | one, (magnitude >> UInt32(kept)) - 1, sign)
            }
        }
    }

    static let keys = 1 << PANNIER_WORDS_KEY_BITS
    static let maxContexts = PANNIER_WORDS_CONTEXTS
    static let maxSymbols = PANNIER_WORDS_SYMBOLS
    static let codeCount = PANNIER_WORDS_CODES
    static let maxExtra = PANNIER_WORDS_MAX_EXTRA
    static let maxApart = PANNIER_WORDS_MAX_APART
    static let maxCoarseness = 2

    /// Bits of a word without its zero bits.
    var bits: Int { 8 * width - shift }

    /// Extra bits of every value that are packed one after another in front of the stream.
    var apart: Int {
        if layout == .three, case .linear(let extra) = bucket { return extra }
        return 0
    }

    /// Bytes that these take: those of a last short group are there as of a whole one.
    func apartBytes(words: Int) -> Int {
        let lanes = Int(PANNIER_WORDS_LANES)
        return (words + lanes - 1) / lanes * (lanes * apart / 8)
    }

    /// What the kernels read.
    var kernelModel: pannier_words_model {
        var model = pannier_words_model()
        model.width = Int32(width)
        model.shift = Int32(shift)
        model.transform = pannier_words_transform(UInt32(transform.rawValue))
        model.bucket = bucket.number
        let most = codes.map { bucket.parts($0).extra }.max() ?? 0
        model.apart = Int32(apart)
        model.steps = most == 0 || apart > 0 ? 0 : most <= 15 ? 1 : 2
        withUnsafeMutableBytes(of: &model.context_of_key) { raw in
            let contexts = raw.bindMemory(to: UInt32.self)
            var context: UInt32 = 0
            var next = 0
            for key in 0..<contexts.count {
                while next < bounds.count, Int(bounds[next]) <= key {
                    context += 1
                    next += 1
                }
                contexts[key] = context << UInt32(PANNIER_WORDS_PRECISION)
            }
        }
        return model
    }

    /// Top bits, extra bits << 16, sign << 24 of each symbol; 256 entries.
    var symbolTable: [UInt32] {
        var table = [UInt32](repeating: 0, count: Self.maxSymbols)
        for (symbol, code) in codes.enumerated() {
            let parts = bucket.parts(code)
            table[symbol] = parts.top | parts.extra << 16 | parts.sign << 24
        }
        return table
    }

    /// Symbols and frequencies as the decoder has them.
    func withAlphabet<Result>(_ body: (UnsafePointer<pannier_words_alphabet>) -> Result) -> Result {
        frequencies.flatMap { $0 }.withUnsafeBufferPointer { frequencies in
            symbolTable.withUnsafeBufferPointer { values in
                var alphabet = pannier_words_alphabet()
                alphabet.contexts = Int32(self.frequencies.count)
                alphabet.symbols = Int32(codes.count)
                alphabet.frequencies = frequencies.baseAddress
                alphabet.values = values.baseAddress
                return withUnsafePointer(to: alphabet, body)
            }
        }
    }

    // MARK: Bytes

    func write(to out: inout [UInt8]) {
        out.append(UInt8(width))
        out.append(UInt8(shift))
        out.append(transform.rawValue)
        switch bucket {
        case .linear(let extra): out.append(UInt8(extra))
        case .logarithmic(let kept): out.append(0x80 | UInt8(kept))
        }
        out.append(UInt8(digits | coarseness << 4))
        out.append(UInt8(frequencies.count - 1))
        out.append(UInt8(codes.count - 1))
        var bits = BitWriter()
        for bound in bounds { bits.put(UInt32(bound), Int(PANNIER_WORDS_KEY_BITS)) }
        // Codes mostly follow one another: gaps in unary up to 7, then 12 bits.
        var expected = 0
        for code in codes {
            let gap = Int(code) - expected
            for _ in 0..<min(gap, 7) { bits.put(1, 1) }
            if gap < 7 { bits.put(0, 1) } else { bits.put(UInt32(code), 12) }
            expected = Int(code) + 1
        }
        for row in frequencies { FrequencyTable.write(row.map { $0 >> UInt16(coarseness) }, digits: digits, to: &bits) }
        out += bits.finish()
    }

    /// Reads a header. Nil when it is damaged.
    /// - Returns: the model, and how many bytes it took.
    static func read(_ bytes: UnsafeRawBufferPointer, _ layout: Layout) -> (WordModel, Int)? {
        guard bytes.count >= 7 else { return nil }
        let width = Int(bytes[0]), shift = Int(bytes[1])
        guard width == 1 || width == 2 || width == 4, shift < 8 * width - 1 else { return nil }
        guard let transform = Transform(rawValue: bytes[2]) else { return nil }
        let wordBits = 8 * width - shift
        let bucket: Bucket = bytes[3] & 0x80 != 0 ? .logarithmic(Int(bytes[3] & 0x7F)) : .linear(Int(bytes[3]))
        switch bucket {
        case .linear(let extra):
            guard extra <= (layout == .two ? maxExtra : maxApart), extra < wordBits, wordBits - extra <= 12 else { return nil }
        case .logarithmic(let kept):
            guard kept <= 5, transform == .delta else { return nil }
        }
        let digits = Int(bytes[4] & 15), coarseness = Int(bytes[4] >> 4)
        let contextCount = Int(bytes[5]) + 1, symbolCount = Int(bytes[6]) + 1
        guard digits >= 1, digits <= FrequencyTable.precision, coarseness <= (layout == .two ? 0 : maxCoarseness),
            contextCount <= maxContexts
        else { return nil }
        guard transform != .plain || contextCount == 1 else { return nil }
        var bits = BitReader(UnsafeRawBufferPointer(rebasing: bytes[7...]))
        var bounds: [UInt16] = []
        for _ in 1..<contextCount {
            guard let bound = bits.take(Int(PANNIER_WORDS_KEY_BITS)), bound > bounds.last.map(UInt32.init) ?? 0 else {
                return nil
            }
            bounds.append(UInt16(bound))
        }
        var codes: [UInt16] = []
        var expected = 0
        for _ in 0..<symbolCount {
            var gap = 0
            while gap < 7 {
                guard let bit = bits.take(1) else { return nil }
                if bit == 0 { break }
                gap += 1
            }
            var code = expected + gap
            if gap == 7 {
                guard let whole = bits.take(12), Int(whole) >= expected else { return nil }
                code = Int(whole)
            }
            guard code < codeCount else { return nil }
            let parts = bucket.parts(UInt16(code))
            // The value has to fit the word, in the logarithmic case with room for its sign.
            let room = wordBits - (bucket.number < 0 ? 1 : 0)
            guard Int(parts.extra) <= maxExtra, parts.top.bitLength + Int(parts.extra) <= room else { return nil }
            codes.append(UInt16(code))
            expected = code + 1
        }
        var frequencies: [[UInt16]] = []
        for _ in 0..<contextCount {
            let row = FrequencyTable.read(
                count: symbolCount, digits: digits, total: FrequencyTable.total >> coarseness, from: &bits)
            guard let row else { return nil }
            frequencies.append(row.map { $0 << UInt16(coarseness) })
        }
        let model = WordModel(
            layout: layout, width: width, shift: shift, transform: transform, bucket: bucket, bounds: bounds, codes: codes,
            digits: digits, coarseness: coarseness, frequencies: frequencies)
        return (model, 7 + bits.bytesUsed)
    }
}

extension UInt32 {
    /// Bits up to the leading one; 0 for 0.
    var bitLength: Int { UInt32.bitWidth - leadingZeroBitCount }
}
