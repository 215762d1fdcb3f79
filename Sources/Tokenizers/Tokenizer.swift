// A model's tokenizer, whichever files it came from: text to ids and back.

internal import Bytes

/// Turns text into token ids and back.
public struct Tokenizer: Sendable {
    enum Encoding: Sendable {
        case sentencePiece(SentencePieceEncoding)
        case byteLevel(ByteLevelEncoding)
    }

    /// For people: "SentencePiece BPE", "byte-level BPE (llama3)".
    public let title: String
    public let pieces: [String]
    public let types: [PieceType]
    public let bosID: Int?
    /// Tokens that end a text.
    public let eosIDs: [Int]
    /// Whether bos belongs before a text.
    public let addsBos: Bool
    /// The model's own chat template (Jinja), where it has one.
    public let chatTemplate: String?

    let encoding: Encoding
    let specials: SpecialTokens
    /// Tokens that are found in every text before its words are; SentencePiece's encoding looks for them itself.
    let added: SpecialTokens
    /// A space is put in front of a text, and taken away in front of decoded text.
    let prefixesSpace: Bool
    /// Only at the very beginning, not after each special token too.
    let prefixesOnlyFirst: Bool
    /// Not in front of a text that has one there, as Metaspace does it.
    let prefixesUnlessThere: Bool

    public var count: Int { pieces.count }

    /// Ids of a text, without bos.
    /// - Parameters:
    ///   - special: find control tokens written out in the text, as chat templates do.
    ///   - progress: is told now and then about how many of the text's bytes (UTF-8) were encoded.
    public func encode(_ text: String, special: Bool = false, progress: (_ bytes: Int) -> Void = { _ in }) -> [Int] {
        var ids: [Int] = [], isFirst = true, done = 0, told = 0
        func reached(_ bytes: Int) {
            guard bytes >= told + (1 << 16) else { return }
            told = bytes
            progress(bytes)
        }
        let tokens = special ? specials : added
        if tokens.isEmpty { return encodeFragment(text, prefix: prefixesSpace, progress: reached) }
        for fragment in tokens.split(text) {
            switch fragment {
            case .token(let id):
                ids.append(id)
                done += piece(id)?.utf8.count ?? 0
            case .text(let text):
                let before = done
                ids += encodeFragment(text, prefix: prefixesSpace && (isFirst || !prefixesOnlyFirst)) { reached(before + $0) }
                done += text.utf8.count
            }
            isFirst = false
        }
        return ids
    }

    private func encodeFragment(_ text: String, prefix: Bool, progress: (Int) -> Void) -> [Int] {
        let first = text.unicodeScalars.first
        switch encoding {
        case .sentencePiece(let encoding):
            let isThere = prefixesUnlessThere && (first == " " || first == "\u{2581}")
            return encoding.encode(text, prefix: prefix && !isThere, progress: progress)
        case .byteLevel(let encoding):
            return encoding.encode(prefix && first != " " ? " " + text : text, progress: progress)
        }
    }

    /// The text of ids.
    /// - Parameter special: write control tokens out.
    public func decode(_ ids: [Int], special: Bool = false) -> String {
        var stream = stream(special: special)
        return ids.reduce(into: "") { $0 += stream.append($1) } + stream.finish()
    }

    /// Decodes ids as they come.
    public func stream(special: Bool = false) -> TextStream { TextStream(self, special: special) }

    /// The name of a piece, for people; nil outside the vocabulary.
    public func piece(_ id: Int) -> String? { pieces.indices.contains(id) ? pieces[id] : nil }

    /// The id of a piece or special token, by its name.
    public func id(of piece: String) -> Int? {
        switch encoding {
        case .sentencePiece(let encoding): encoding.table.id(of: piece) ?? pieces.firstIndex(of: piece)
        case .byteLevel(let encoding): encoding.table.id(of: piece) ?? pieces.firstIndex(of: piece)
        }
    }

    /// The bytes that an id adds to the text.
    func bytes(_ id: Int, special: Bool) -> [UInt8] {
        guard pieces.indices.contains(id) else { return [] }
        switch types[id] {
        case .control: return special ? Array(pieces[id].utf8) : []
        // What SentencePiece writes for unknown text: U+2047 between spaces.
        case .unknown: return special ? Array(pieces[id].utf8) : Array(" \u{2047} ".utf8)
        case .byte:
            return SentencePieceBytes.byte(of: pieces[id]).map { [$0] } ?? Array(pieces[id].utf8)
        case .userDefined, .normal, .unused:
            switch encoding {
            case .byteLevel: return types[id] == .userDefined ? Array(pieces[id].utf8) : ByteLevelEncoding.decode(pieces[id])
            case .sentencePiece: return Self.unescaped(pieces[id])
            }
        }
    }

    /// U+2581 becomes a space.
    private static func unescaped(_ piece: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for scalar in piece.unicodeScalars {
            if scalar.value == 0x2581 { bytes.append(0x20) } else { bytes.append(contentsOf: Character(scalar).utf8) }
        }
        return bytes
    }
}

/// Text as its tokens come in: a character whose bytes are spread over tokens appears with its last byte.
public struct TextStream {
    private let tokenizer: Tokenizer
    private let special: Bool
    private var pending: [UInt8] = []
    private var atStart: Bool

    init(_ tokenizer: Tokenizer, special: Bool) {
        self.tokenizer = tokenizer
        self.special = special
        if case .sentencePiece = tokenizer.encoding { atStart = tokenizer.prefixesSpace } else { atStart = false }
    }

    /// Continues a text that has begun: no space is taken away in front.
    public mutating func skipStart() { atStart = false }

    /// What the next id adds to the text.
    public mutating func append(_ id: Int) -> String {
        var bytes = tokenizer.bytes(id, special: special)
        if atStart, !bytes.isEmpty {
            // The space that encoding put in front.
            if bytes.first == 0x20 { bytes.removeFirst() }
            atStart = false
        }
        pending += bytes
        return take(all: false)
    }

    /// What is left when no more ids come: bytes that never became a character.
    public mutating func finish() -> String { take(all: true) }

    /// Valid characters from the front; a byte that can begin or continue none becomes U+FFFD.
    private mutating func take(all: Bool) -> String {
        var text = String.UnicodeScalarView(), at = 0
        while at < pending.count {
            switch Self.scalar(pending[at...]) {
            case .valid(let scalar, let length):
                text.append(scalar)
                at += length
            case .incomplete where !all:
                pending.removeFirst(at)
                return String(text)
            case .incomplete, .invalid:
                text.append("\u{fffd}")
                at += 1
            }
        }
        pending.removeAll()
        return String(text)
    }

    private enum Decoded {
        case valid(Unicode.Scalar, Int)
        case incomplete
        case invalid
    }

    private static func scalar(_ bytes: ArraySlice<UInt8>) -> Decoded {
        guard let first = bytes.first else { return .incomplete }
        let length: Int, lowest: UInt32
        var value: UInt32
        switch first {
        case 0..<0x80: return .valid(Unicode.Scalar(first), 1)
        case 0xc2...0xdf: (length, value, lowest) = (2, UInt32(first & 0x1f), 0x80)
        case 0xe0...0xef: (length, value, lowest) = (3, UInt32(first & 0x0f), 0x800)
        case 0xf0...0xf4: (length, value, lowest) = (4, UInt32(first & 0x07), 0x10000)
        default: return .invalid
        }
        for index in 1..<length {
            guard index < bytes.count else { return .incomplete }
            let byte = bytes[bytes.startIndex + index]
            guard byte & 0xc0 == 0x80 else { return .invalid }
            value = value << 6 | UInt32(byte & 0x3f)
        }
        guard value >= lowest, let scalar = Unicode.Scalar(value) else { return .invalid }
        return .valid(scalar, length)
    }
}
