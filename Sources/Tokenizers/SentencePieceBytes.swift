// Pieces that stand for single bytes, where a vocabulary falls back to them: `<0x00>` to `<0xFF>`.

package enum SentencePieceBytes {
    /// The byte that a piece like `<0x0A>` stands for; nil for other pieces.
    package static func byte(of piece: String) -> UInt8? {
        // A number may have a sign, a byte has not.
        let bytes = Array(piece.utf8)
        guard bytes.count == 6, bytes.starts(with: "<0x".utf8), bytes[5] == UInt8(ascii: ">"),
            bytes[3...4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit })
        else { return nil }
        return UInt8(String(decoding: bytes[3...4], as: UTF8.self), radix: 16)
    }

    /// `<0x0A>` for 10.
    package static func piece(for byte: UInt8) -> String {
        let hex = String(byte, radix: 16, uppercase: true)
        return "<0x" + (hex.count < 2 ? "0" + hex : hex) + ">"
    }
}
