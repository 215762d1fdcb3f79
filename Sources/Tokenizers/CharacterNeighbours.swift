// Which characters stand side by side in a piece. Between two that never do, no merge reaches over: the text to the left and
// the text to the right are merged by themselves, with the same result and without a queue as long as the text.

struct CharacterNeighbours: Sendable {
    private var pairs: Set<UInt64> = []

    init(_ pieces: [String]) {
        for piece in pieces {
            let bytes = Array(piece.utf8)
            bytes.withUnsafeBufferPointer { bytes in
                var at = 0, before: UInt32?
                while at < bytes.count {
                    let end = Self.end(of: at, in: bytes), character = Self.key(at..<end, in: bytes)
                    if let before { pairs.insert(UInt64(before) << 32 | UInt64(character)) }
                    (before, at) = (character, end)
                }
            }
        }
    }

    /// Whether a piece has the second character right after the first.
    func contains(_ first: UInt32, _ second: UInt32) -> Bool { pairs.contains(UInt64(first) << 32 | UInt64(second)) }

    /// Where the character that begins at `at` ends.
    static func end(of at: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
        var end = at + 1
        while end < text.count, text[end] & 0xc0 == 0x80 { end += 1 }
        return end
    }

    /// A character's bytes, of which UTF-8 has four at most.
    static func key(_ character: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> UInt32 {
        character.reduce(0) { $0 << 8 | UInt32(text[$1]) }
    }
}
