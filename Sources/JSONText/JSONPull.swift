// Reading JSON value by value, without a tree.
//
// A safetensors header may have 100 MB. As a tree that would be gigabytes; pulled, it costs what the caller keeps. The
// scan is the strict one of JSONScanner.

public import Bytes

/// A strict forward reader of one JSON document. The caller says what it expects; anything else is refused.
public struct JSONPull {
    private var scanner: JSONScanner
    private let base: UInt64
    private let file: String?

    private init(_ scanner: JSONScanner, file: String?, base: UInt64) {
        self.scanner = scanner
        self.file = file
        self.base = base
    }

    /// Reads one document with `body`, which takes exactly one value.
    /// - Parameters:
    ///   - file: for messages; `base` is where the bytes begin in it.
    /// - Throws: `malformed` with the offset of the first fault, and what `body` throws.
    public static func read<Result>(
        _ bytes: [UInt8], file: String? = nil, base: UInt64 = 0, _ body: (inout JSONPull) throws -> Result
    ) throws -> Result {
        try bytes.withUnsafeBufferPointer { buffer in
            let scanner = JSONScanner(buffer, file: file, base: base, maxDepth: JSONText.maxDepth)
            try scanner.checkText()
            var pull = JSONPull(scanner, file: file, base: base)
            pull.scanner.skipSpace()
            let result = try body(&pull)
            pull.scanner.skipSpace()
            if pull.scanner.next != nil { throw pull.fault("text follows the JSON document") }
            return result
        }
    }

    /// Where the next value begins in the file.
    public var offset: UInt64 { base + UInt64(scanner.at) }

    /// The first byte of the next value: `{`, `[`, `"`, a digit, ...
    public var next: UInt8? { scanner.next }

    /// An error at the present place.
    public func fault(_ message: String) -> CheckpointError { scanner.fault(message) }

    /// The members of an object, each given to `member`, which takes exactly its value. Keys may repeat: the caller,
    /// who keeps them, refuses that.
    public mutating func object(_ member: (String, inout JSONPull) throws -> Void) throws {
        guard scanner.next == UInt8(ascii: "{") else { throw fault("an object was expected") }
        scanner.at += 1
        scanner.skipSpace()
        if scanner.next == UInt8(ascii: "}") {
            scanner.at += 1
            return
        }
        while true {
            let key = try string()
            scanner.skipSpace()
            guard scanner.next == UInt8(ascii: ":") else { throw fault("a colon was expected") }
            scanner.at += 1
            scanner.skipSpace()
            try member(key, &self)
            guard try more(closing: UInt8(ascii: "}")) else { return }
        }
    }

    /// The elements of an array; `element` takes exactly one value.
    public mutating func array(_ element: (inout JSONPull) throws -> Void) throws {
        guard scanner.next == UInt8(ascii: "[") else { throw fault("an array was expected") }
        scanner.at += 1
        scanner.skipSpace()
        if scanner.next == UInt8(ascii: "]") {
            scanner.at += 1
            return
        }
        while true {
            try element(&self)
            guard try more(closing: UInt8(ascii: "]")) else { return }
        }
    }

    private mutating func more(closing: UInt8) throws -> Bool {
        scanner.skipSpace()
        switch scanner.next {
        case UInt8(ascii: ","):
            scanner.at += 1
            scanner.skipSpace()
            return true
        case closing:
            scanner.at += 1
            return false
        case nil: throw fault("the document ends too early")
        default: throw fault("a comma or a closing bracket was expected")
        }
    }

    public mutating func string() throws -> String {
        guard scanner.next == UInt8(ascii: "\"") else { throw fault("a string was expected") }
        guard let text = JSONScanner.unescape(try scanner.string()) else { throw fault("a lone surrogate") }
        return text
    }

    /// A whole number that is not negative and fits in 64 bits.
    public mutating func unsigned() throws -> UInt64 {
        let start = scanner.at
        guard let first = scanner.next, first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") else {
            throw fault("a whole number of at least 0 was expected")
        }
        try scanner.number()
        var value: UInt64 = 0
        for digit in scanner.bytes[start..<scanner.at] {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else {
                throw scanner.fault("a whole number was expected", at: start)
            }
            guard let next = value.multiplied(by: 10)?.adding(UInt64(digit - UInt8(ascii: "0"))) else {
                throw scanner.fault("an integer does not fit in 64 bits", at: start)
            }
            value = next
        }
        return value
    }

    /// The next value where it is a number; another value is passed over and nil.
    public mutating func numberIfAny() throws -> Double? {
        let start = scanner.at
        try skip()
        return Double(String(decoding: scanner.bytes[start..<scanner.at], as: UTF8.self))
    }

    /// Passes over one value of any kind, checking it.
    public mutating func skip() throws { try scanner.value(depth: 1) }
}
