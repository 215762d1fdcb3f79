// Byte-level BPE: GPT-2's way of naming bytes by printable characters (openai/gpt-2, encoder.py), Llama 3's tokenizer.

package struct ByteLevelEncoding: Sendable {
    let table: PieceTable
    let pairs: [UInt64: (rank: Int32, id: Int32)]
    let pattern: WordPattern
    /// A word that is a piece is taken whole.
    let ignoresMerges: Bool
    let unknownID: Int?
    private let byteIDs: [Int?]

    init(
        table: PieceTable, pairs: [UInt64: (rank: Int32, id: Int32)], pattern: WordPattern, ignoresMerges: Bool,
        unknownID: Int?
    ) {
        self.table = table
        self.pairs = pairs
        self.pattern = pattern
        self.ignoresMerges = ignoresMerges
        self.unknownID = unknownID
        byteIDs = Self.names.map { table.id(of: String(Character($0))) }
    }

    /// The character that stands for each byte: printable Latin-1 for itself, the others from U+0100 on in order.
    package static let names: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0..<256).map { (byte: UInt32) in
            switch byte {
            case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return Unicode.Scalar(byte) ?? "?"
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? "?"
            }
        }
    }()

    static let bytes: [Unicode.Scalar: UInt8] = {
        var bytes: [Unicode.Scalar: UInt8] = [:]
        for (byte, name) in names.enumerated() { bytes[name] = UInt8(truncatingIfNeeded: byte) }
        return bytes
    }()

    /// - Parameter progress: is told after every word how many bytes were encoded.
    func encode(_ text: String, progress: (_ bytes: Int) -> Void) -> [Int] {
        var ids: [Int] = [], done = 0
        for word in WordSplitter(text, pattern) {
            done += word.utf8.count
            defer { progress(done) }
            if ignoresMerges {
                var name = String.UnicodeScalarView()
                for byte in word.utf8 { name.append(Self.names[Int(byte)]) }
                if let id = table.id(of: String(name)) {
                    ids.append(id)
                    continue
                }
            }
            let symbols = word.utf8.enumerated().map {
                MergeSymbol(range: $0.offset..<$0.offset + 1, id: byteIDs[Int($0.element)])
            }
            let merged = mergePairs(symbols) { left, right in
                guard let left = left.id, let right = right.id,
                    let pair = pairs[UInt64(left) << 32 | UInt64(right)]
                else { return nil }
                return (Double(pair.rank), Int(pair.id))
            }
            ids.append(contentsOf: merged.compactMap { $0.id ?? unknownID })
        }
        return ids
    }

    /// The bytes that a piece names; a piece with other characters is its own text (an added token).
    static func decode(_ piece: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for scalar in piece.unicodeScalars {
            guard let byte = Self.bytes[scalar] else { return Array(piece.utf8) }
            bytes.append(byte)
        }
        return bytes
    }
}
