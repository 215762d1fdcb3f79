// Chooses how a chunk of words is coded: its transform, buckets, contexts and frequencies, by what each would cost.

internal import CKernels
internal import Platform

/// Counts what occurs in a chunk and finds the cheapest model. One a worker; its tables are reused.
final class WordPlanner {
    private var histogram = [UInt32](repeating: 0, count: PANNIER_WORDS_CONTEXTS * PANNIER_WORDS_CODES)
    private static let codes = PANNIER_WORDS_CODES
    private let layout: WordModel.Layout

    init(layout: WordModel.Layout) { self.layout = layout }

    /// A chunk and what stood in its place before.
    struct Chunk {
        let words: UnsafeRawPointer
        let earlier: UnsafeRawPointer?
        let count: Int
        let width: Int
        let shift: Int

        var bits: Int { 8 * width - shift }

        /// A part for estimates.
        func part(from: Int, count: Int) -> Chunk {
            Chunk(
                words: words + from * width, earlier: earlier.map { $0 + from * width }, count: count, width: width,
                shift: shift)
        }
    }

    /// What a model codes a chunk with, in bits: symbols and extra bits, and the header.
    private struct Candidate {
        var model: WordModel
        var cost: Double
    }

    /// The cheapest model found; nil when the words do not fit any (too many different ones).
    func plan(_ chunk: Chunk) -> WordModel? {
        var transforms: [WordModel.Transform] = [.plain]
        bounds = chunk.earlier == nil ? [] : contextBounds(chunk)
        if chunk.earlier != nil { transforms += [.value, .delta] }
        // Which transform, an eighth of a large chunk tells: runs of 2048 words spread over it.
        var best = WordModel.Transform.plain
        if transforms.count > 1 {
            var least = Double.infinity
            for transform in transforms {
                if let candidate = candidate(chunk, transform, sampled: chunk.count > 1 << 18), candidate.cost < least {
                    least = candidate.cost
                    best = transform
                    if chunk.count <= 1 << 18 { bestWhole = candidate }
                }
            }
            if chunk.count <= 1 << 18 {
                defer { bestWhole = nil }
                return bestWhole?.model
            }
        }
        return candidate(chunk, best, sampled: false)?.model
    }

    private var bestWhole: Candidate?
    /// Where contexts begin in the chunk at hand.
    private var bounds: [UInt16] = []

    private func candidate(_ chunk: Chunk, _ transform: WordModel.Transform, sampled: Bool) -> Candidate? {
        let parts: [Chunk] =
            sampled
            ? stride(from: 0, to: chunk.count - 2047, by: 16384).map { chunk.part(from: $0, count: 2048) } : [chunk]
        // The finest buckets that the table of codes can tell apart.
        let finest: WordModel.Bucket = transform == .delta ? .logarithmic(3) : .linear(max(0, chunk.bits - 12))
        var model = WordModel(
            layout: layout, width: chunk.width, shift: chunk.shift, transform: transform, bucket: finest, bounds: [], codes: [],
            digits: 4, frequencies: [])
        if transform != .plain { model.bounds = bounds }
        var kernel = model.kernelModel
        let contexts = model.bounds.count + 1
        return histogram.withUnsafeMutableBufferPointer { histogram in
            histogram[0..<contexts * Self.codes].update(repeating: 0)
            for part in parts {
                pannier_words_count(&kernel, part.words, part.earlier, part.count, histogram.baseAddress)
            }
            // Few of the codes occur; each coarser bucket looks at these alone.
            var occurs = [Bool](repeating: false, count: Self.codes)
            for context in 0..<contexts {
                for code in 0..<Self.codes where histogram[context * Self.codes + code] > 0 { occurs[code] = true }
            }
            let occurring = occurs.indices.filter { occurs[$0] }
            var best: Candidate?
            var coarser = finest
            for _ in 0..<6 {
                let found = reduce(
                    UnsafeBufferPointer(histogram), occurring, contexts: contexts, from: finest, to: coarser, model)
                if let found {
                    if let best, found.cost >= best.cost { break }
                    best = found
                }
                switch coarser {
                case .linear(let extra):
                    guard extra > 0 || chunk.bits > 12, extra + 1 < chunk.bits, extra < WordModel.maxApart else {
                        return best
                    }
                    coarser = .linear(extra + 1)
                case .logarithmic(let kept):
                    guard kept > 0 else { return best }
                    coarser = .logarithmic(kept - 1)
                }
            }
            return best
        }
    }

    /// Cuts the keys of the earlier words into intervals of about equal weight, 24 at most.
    private func contextBounds(_ chunk: Chunk) -> [UInt16] {
        guard let earlier = chunk.earlier else { return [] }
        var kernel = WordModel(
            layout: layout, width: chunk.width, shift: chunk.shift, transform: .value, bucket: .linear(0), bounds: [],
            codes: [], digits: 4, frequencies: []
        ).kernelModel
        var keys = [UInt32](repeating: 0, count: WordModel.keys)
        var sum = 0
        // Some 65536 words, in runs spread evenly, are enough to see where the weight lies.
        let run = min(chunk.count, 1024)
        for from in stride(from: 0, to: chunk.count - run + 1, by: max(1, chunk.count >> 16) * run) {
            pannier_words_count_keys(&kernel, earlier + from * chunk.width, run, &keys)
            sum += run
        }
        var bounds: [UInt16] = []
        var weight = 0
        for (key, count) in keys.enumerated() {
            if weight > 0, (weight + Int(count) / 2) * 24 > sum {
                bounds.append(UInt16(key))
                weight = 0
                if bounds.count == PANNIER_WORDS_CONTEXTS - 1 { break }
            }
            weight += Int(count)
        }
        return bounds
    }

    /// The model with buckets `to`, contexts merged as long as that saves.
    private func reduce(
        _ histogram: UnsafeBufferPointer<UInt32>, _ occurring: [Int], contexts: Int, from: WordModel.Bucket,
        to: WordModel.Bucket, _ template: WordModel
    ) -> Candidate? {
        // Which codes occur, and what they become.
        var coarse = [UInt16](repeating: 0, count: Self.codes)
        var used = [Bool](repeating: false, count: Self.codes)
        for code in occurring {
            let target = Self.coarsen(UInt16(code), from: from, to: to)
            coarse[code] = target
            used[Int(target)] = true
        }
        let codes = used.indices.filter { used[$0] }.map { UInt16($0) }
        guard !codes.isEmpty, codes.count <= WordModel.maxSymbols else { return nil }
        var symbolOf = [Int](repeating: 0, count: Self.codes)
        for (symbol, code) in codes.enumerated() { symbolOf[Int(code)] = symbol }
        var rows: [[UInt32]] = []
        for context in 0..<contexts {
            var row = [UInt32](repeating: 0, count: codes.count)
            for code in occurring {
                let count = histogram[context * Self.codes + code]
                if count > 0 { row[symbolOf[Int(coarse[code])]] += count }
            }
            rows.append(row)
        }
        var bounds = template.bounds
        var costs = rows.map(Self.cost)
        var gains = (1..<max(rows.count, 1)).map { costs[$0 - 1] + costs[$0] - Self.cost(Self.sum(rows[$0 - 1], rows[$0])) }
        while let best = gains.indices.max(by: { gains[$0] < gains[$1] }), gains[best] > 0 {
            rows[best] = Self.sum(rows[best], rows[best + 1])
            rows.remove(at: best + 1)
            costs[best] = Self.cost(rows[best])
            costs.remove(at: best + 1)
            bounds.remove(at: best)
            gains.remove(at: best)
            for at in [best - 1, best] where gains.indices.contains(at) {
                gains[at] = costs[at] + costs[at + 1] - Self.cost(Self.sum(rows[at], rows[at + 1]))
            }
        }
        var model = template
        model.bucket = to
        model.bounds = bounds
        model.codes = codes
        var extraBits = 0.0, total = 0.0
        for (symbol, code) in codes.enumerated() {
            var count = 0.0
            for row in rows { count += Double(row[symbol]) }
            extraBits += count * Double(to.parts(code).extra)
            total += count
        }
        // Precise frequencies pay for themselves only where there is much to code.
        model.digits = total > 400_000 ? 6 : total > 60_000 ? 4 : 3
        guard let finest = frequencies(of: rows, digits: model.digits, coarseness: 0) else { return nil }
        model.frequencies = finest.rows
        let header = rows.reduce(0) { $0 + Self.header($1) }
        // A table of several contexts is read in faster where it is smaller.
        if layout == .three, rows.count > 1 {
            for coarseness in 1...WordModel.maxCoarseness {
                guard let found = frequencies(of: rows, digits: model.digits, coarseness: coarseness),
                    found.cost - finest.cost < (finest.cost + extraBits) / 1000
                else { break }
                model.coarseness = coarseness
                model.frequencies = found.rows
            }
        }
        return Candidate(model: model, cost: finest.cost + extraBits + header)
    }

    /// Frequencies of each context's symbols, and the bits that these take with them.
    private func frequencies(
        of rows: [[UInt32]], digits: Int, coarseness: Int
    ) -> (rows: [[UInt16]], cost: Double)? {
        var out: [[UInt16]] = [], cost = 0.0
        for row in rows {
            let total = FrequencyTable.total >> coarseness
            guard let scaled = row.withUnsafeBufferPointer({ FrequencyTable.normalize($0, digits: digits, total: total) })
            else { return nil }
            for (count, frequency) in zip(row, scaled) where count > 0 {
                cost += Double(count) * log2(Double(total) / Double(frequency))
            }
            out.append(scaled.map { $0 << UInt16(coarseness) })
        }
        return (out, cost)
    }

    /// What a code is with coarser buckets.
    private static func coarsen(_ code: UInt16, from: WordModel.Bucket, to: WordModel.Bucket) -> UInt16 {
        switch (from, to) {
        case (.linear(let fine), .linear(let coarse)):
            return code >> UInt16(coarse - fine)
        case (.logarithmic(let fine), .logarithmic(let coarse)):
            if fine == coarse { return code }
            let parts = from.parts(code)
            let length = max(0, parts.top.bitLength - 1)
            let drop = max(0, length - coarse)
            // Extra bits below the kept ones, and the magnitude cut to them.
            let extra = length + Int(parts.extra) - coarse > 0 ? length + Int(parts.extra) - coarse : 0
            let top = extra == 0 ? Int(parts.top) << Int(parts.extra) : Int(parts.top) >> drop
            return UInt16(truncatingIfNeeded: (extra << coarse + top) << 1 | Int(parts.sign))
        default:
            return code
        }
    }

    private static func sum(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
        var out = a
        for index in out.indices { out[index] &+= b[index] }
        return out
    }

    /// Bits for the symbols of a context: entropy, and about what its frequencies take in the header.
    private static func cost(_ row: [UInt32]) -> Double {
        var bits = 0.0, total: UInt64 = 0
        for count in row where count > 0 {
            total += UInt64(count)
            bits -= xlog2(count)
        }
        return bits + Double(total) * log2(Double(max(total, 1))) + header(row)
    }

    /// About what the frequencies of a context take in the header.
    private static func header(_ row: [UInt32]) -> Double { row.reduce(8) { $0 + ($1 > 0 ? 5 : 1) } }

    /// n log2 n.
    private static func xlog2(_ count: UInt32) -> Double {
        count < 4096 ? table[Int(count)] : Double(count) * log2(Double(count))
    }

    private static let table: [Double] = (0..<4096).map { $0 == 0 ? 0 : Double($0) * log2(Double($0)) }
}
