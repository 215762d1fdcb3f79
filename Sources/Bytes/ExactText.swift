// Text compared by its bytes.

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
        var (a, b) = (left.text, right.text)
        return a.withUTF8 { a in
            b.withUTF8 { b in a.count == b.count && a.elementsEqual(b) }
        }
    }

    public func hash(into hasher: inout Hasher) {
        var copy = text
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(0xFF as UInt8)
    }
}

extension ExactText: ExpressibleByStringLiteral, CustomStringConvertible {
    public init(stringLiteral text: String) { self.init(text) }
    public var description: String { text }
}
