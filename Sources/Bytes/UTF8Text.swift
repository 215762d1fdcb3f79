// Checking that bytes are UTF-8 without making a string of them.

/// UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF.
public enum UTF8Text {
    /// The index of the first byte that does not belong to valid UTF-8, or nil when all do.
    public static func firstFault(in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        var at = 0
        while at < bytes.count {
            let lead = bytes[at]
            if lead < 0x80 {
                at += 1
                continue
            }
            // The range of the second byte shuts out long forms, surrogates and what lies above U+10FFFF.
            let (length, second): (Int, ClosedRange<UInt8>)
            switch lead {
            case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
            case 0xE0: (length, second) = (3, 0xA0...0xBF)
            case 0xE1...0xEC, 0xEE...0xEF: (length, second) = (3, 0x80...0xBF)
            case 0xED: (length, second) = (3, 0x80...0x9F)
            case 0xF0: (length, second) = (4, 0x90...0xBF)
            case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
            case 0xF4: (length, second) = (4, 0x80...0x8F)
            default: return at
            }
            guard bytes.count - at >= length, second.contains(bytes[at + 1]),
                (2..<length).allSatisfy({ bytes[at + $0] & 0xC0 == 0x80 })
            else { return at }
            at += length
        }
        return nil
    }
}
