// Text compared by its bytes.

internal import Platform

/// A text that equals another only when every byte does.
///
/// Swift's own equality of strings is canonical: "ά" in its two code points U+03AC and U+1F71 is one string to it, but
/// Llama's vocabulary has both as different pieces, and a JSON object both as different keys. Names out of a file are
/// looked up by this.
public struct ExactText: Sendable, Hashable {
    public let text: String

    @inlinable
    public init(_ text: String) { self.text = text }

    public static func == (left: ExactText, right: ExactText) -> Bool {
        let same = left.text.utf8.withContiguousStorageIfAvailable { a in
            right.text.utf8.withContiguousStorageIfAvailable { b in
                guard a.count == b.count else { return false }
                guard let first = a.baseAddress, let second = b.baseAddress else { return true }
                return memcmp(first, second, a.count) == 0
            }
        }
        // Storage that is not contiguous belongs to bridged strings, of which there are none on Linux.
        return (same ?? nil) ?? left.text.utf8.elementsEqual(right.text.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if done == nil { for byte in text.utf8 { hasher.combine(byte) } }
        hasher.combine(0xFF as UInt8)
    }
}

extension ExactText: ExpressibleByStringLiteral, CustomStringConvertible {
    public init(stringLiteral text: String) { self.init(text) }
    public var description: String { text }
}
