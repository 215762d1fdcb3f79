// Text to pieces as SentencePiece's BPE does it, byte fallback included (google/sentencepiece, bpe_model.cc and
// normalizer.cc describe the steps). The same walk serves a tokenizer.json that was made from such a model: there the
// order of merging comes from a list of pairs in place of scores.

struct SentencePieceEncoding: Sendable {
    /// In what order pairs are merged.
    enum Order: Sendable {
        /// Any two neighbours that are a piece together, the highest score first.
        case scores([Float])
        /// The pairs of a list, the first first.
        case pairs([UInt64: (rank: Int32, id: Int32)])
    }

    let table: PieceTable
    /// Of all pieces.
    let neighbours: CharacterNeighbours
    let order: Order
    let types: [PieceType]
    let userDefined: SpecialTokens
    /// The piece of each byte, where there is byte fallback.
    let byteIDs: [Int?]
    let unknownID: Int?
    let removesExtraSpaces: Bool
    let escapesSpaces: Bool
    let spaceAsSuffix: Bool

    static let space: [UInt8] = [0xe2, 0x96, 0x81]  // U+2581

    /// - Parameters:
    ///   - prefix: put a space in front.
    ///   - progress: is told after every word about how many bytes were encoded.
    func encode(_ text: String, prefix: Bool, progress: (_ bytes: Int) -> Void) -> [Int] {
        let bytes = normalized(text, prefix: prefix)
        // Spaces take more bytes than they did in the text.
        let share = Double(text.utf8.count) / Double(max(1, bytes.count))
        return bytes.withUnsafeBufferPointer { encode($0) { progress(Int(share * Double($0))) } }
    }

    /// White space as SentencePiece's normalizer leaves it.
    private func normalized(_ text: String, prefix: Bool) -> [UInt8] {
        var source = Array(text.utf8)
        if removesExtraSpaces {
            var kept: [UInt8] = []
            for byte in source where !(byte == 0x20 && (kept.last ?? 0x20) == 0x20) { kept.append(byte) }
            if kept.last == 0x20 { kept.removeLast() }
            source = kept
        }
        if source.isEmpty { return [] }
        if prefix {
            if spaceAsSuffix { source.append(0x20) } else { source.insert(0x20, at: 0) }
        }
        guard escapesSpaces else { return source }
        var escaped: [UInt8] = []
        escaped.reserveCapacity(source.count + source.count / 2)
        for byte in source {
            if byte == 0x20 { escaped.append(contentsOf: Self.space) } else { escaped.append(byte) }
        }
        return escaped
    }

    private func encode(_ text: UnsafeBufferPointer<UInt8>, progress: (_ bytes: Int) -> Void) -> [Int] {
        var ids: [Int] = []
        // One symbol a character, as far as a merge may reach.
        var symbols: [MergeSymbol] = []
        var at = 0, before: UInt32 = 0
        func finish() {
            merge(symbols, of: text, into: &ids)
            symbols.removeAll(keepingCapacity: true)
            progress(at)
        }

        while at < text.count {
            // User-defined pieces stay whole and apart.
            if let (length, id) = userDefined.match(in: text, at: at) {
                finish()
                ids.append(id)
                at += length
                continue
            }
            let end = CharacterNeighbours.end(of: at, in: text), character = CharacterNeighbours.key(at..<end, in: text)
            if !symbols.isEmpty, !neighbours.contains(before, character) { finish() }
            symbols.append(MergeSymbol(range: at..<end, id: table.id(of: UnsafeBufferPointer(rebasing: text[at..<end]))))
            (before, at) = (character, end)
        }
        finish()
        return ids
    }

    private func merge(_ symbols: [MergeSymbol], of text: UnsafeBufferPointer<UInt8>, into ids: inout [Int]) {
        func id(_ range: Range<Int>) -> Int? { table.id(of: UnsafeBufferPointer(rebasing: text[range])) }

        // Unused pieces take part and are taken apart again: remember what they were made of.
        var halves: [Range<Int>: (Range<Int>, Range<Int>)] = [:]
        let merged =
            switch order {
            case .scores(let scores):
                mergePairs(symbols) { left, right in
                    let both = left.range.lowerBound..<right.range.upperBound
                    guard let id = id(both) else { return nil }
                    if types[id] == .unused { halves[both] = (left.range, right.range) }
                    return (-Double(scores[id]), id)
                }
            case .pairs(let pairs):
                mergePairs(symbols) { left, right in
                    guard let left = left.id, let right = right.id,
                        let pair = pairs[UInt64(left) << 32 | UInt64(right)]
                    else { return nil }
                    return (Double(pair.rank), Int(pair.id))
                }
            }
        for symbol in merged { append(symbol.range, id: symbol.id, text, halves, id(_:), to: &ids) }
    }

    private func append(
        _ range: Range<Int>, id: Int?, _ text: UnsafeBufferPointer<UInt8>,
        _ halves: [Range<Int>: (Range<Int>, Range<Int>)], _ find: (Range<Int>) -> Int?, to ids: inout [Int]
    ) {
        if let id, types[id] == .unused, let (left, right) = halves[range] {
            append(left, id: find(left), text, halves, find, to: &ids)
            append(right, id: find(right), text, halves, find, to: &ids)
        } else if let id {
            ids.append(id)
        } else if text[range].allSatisfy({ byteIDs[Int($0)] != nil }) {
            for byte in text[range] { ids.append(byteIDs[Int(byte)] ?? 0) }
        } else if let unknownID, ids.last != unknownID {
            // A run of unknown characters is one unknown piece.
            ids.append(unknownID)
        }
    }
}
