// SHA-256 over bytes as they come, and digests as text.

package import CKernels

/// A SHA-256 digest (FIPS 180-4).
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// From 64 lower-case hexadecimal digits.
    public init?(_ text: String) {
        guard let bytes = Hexadecimal.bytes(text), bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    public var description: String { Hexadecimal.text(bytes) }
}

/// A SHA-256 being computed.
public struct SHA256: Sendable {
    private var state = pannier_sha256()

    public init() { pannier_sha256_begin(&state) }

    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        if let base = bytes.baseAddress { pannier_sha256_add(&state, base, bytes.count) }
    }

    /// Adds to two at once, which takes about as long as the longer one alone.
    public static func add(
        _ bytes: UnsafeRawBufferPointer, to a: inout SHA256, _ others: UnsafeRawBufferPointer, to b: inout SHA256
    ) {
        guard let left = bytes.baseAddress, let right = others.baseAddress else {
            a.add(bytes)
            b.add(others)
            return
        }
        pannier_sha256_add_two(&a.state, left, bytes.count, &b.state, right, others.count)
    }

    /// Hands the states of two to a kernel that adds bytes while it makes them.
    package static func withStates<Result>(
        _ a: inout SHA256, _ b: inout SHA256,
        _ body: (UnsafeMutablePointer<pannier_sha256>, UnsafeMutablePointer<pannier_sha256>) -> Result
    ) -> Result {
        withUnsafeMutablePointer(to: &a.state) { a in withUnsafeMutablePointer(to: &b.state) { b in body(a, b) } }
    }

    /// The digest of all that was added.
    public func digest() -> Digest {
        var copy = state
        return Digest(
            [UInt8](unsafeUninitializedCapacity: 32) { buffer, initialized in
                pannier_sha256_end(&copy, buffer.baseAddress)
                initialized = 32
            })
    }
}

/// Bytes as lower-case hexadecimal digits.
public enum Hexadecimal {
    private static let digits = Array("0123456789abcdef".utf8)

    public static func text(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        for byte in bytes {
            out.append(digits[Int(byte >> 4)])
            out.append(digits[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    public static func text(_ value: UInt64) -> String {
        text((0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) })
    }

    public static func bytes(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var high: UInt8?
        for character in text.utf8 {
            guard let digit = digits.firstIndex(of: character) else { return nil }
            if let first = high {
                out.append(first << 4 | UInt8(digit))
                high = nil
            } else {
                high = UInt8(digit)
            }
        }
        return high == nil ? out : nil
    }

    public static func integer(_ text: String) -> UInt64? {
        guard let bytes = bytes(text), bytes.count == 8 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
