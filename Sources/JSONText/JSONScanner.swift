// The strict scan of RFC 8259 that comes before any JSON is read.
//
// json-c in its strict mode lets pass what must not: duplicate keys, keys cut at U+0000, NaN, lone surrogates, and
// cuts numbers that do not fit. So every byte is checked here first, on the raw bytes, and json-c only sees documents that
// are sound. Nesting is bounded, and nothing is allocated but the keys of the objects that are open and the places of integers
// too wide for 64 bits.

internal import Bytes

/// Checks that bytes are one strict JSON document. `JSONPull` drives the same scan value by value.
struct JSONScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var at = 0
    private let file: String?
    private let base: UInt64
    private let maxDepth: Int
    /// Bytes of memory that the values may still take where a tree is made of them.
    private var memory: Int
    /// Where integers end that 64 bits do not hold: Python writes `int(1e30)` for "no limit".
    private var endsOfWideIntegers: [Int] = []
    /// Keys of one object, at most: far above any vocabulary, and what bounds the memory of a hostile document.
    private static let maxKeys = 1 << 20

    init(_ bytes: UnsafeBufferPointer<UInt8>, file: String?, base: UInt64, maxDepth: Int, memory: Int = .max) {
        self.bytes = bytes
        self.file = file
        self.base = base
        self.maxDepth = maxDepth
        self.memory = memory
    }

    /// - Parameter memory: what a tree of the document may take, in bytes: json-c's nodes and then `JSONValue`.
    /// - Returns: where the integers end that 64 bits do not hold.
    /// - Throws: `malformed` with the byte offset of the first fault; `unsupported` where the tree would take more.
    static func check(
        _ bytes: UnsafeBufferPointer<UInt8>, file: String?, base: UInt64, maxDepth: Int, memory: Int
    ) throws -> [Int] {
        var scanner = JSONScanner(bytes, file: file, base: base, maxDepth: maxDepth, memory: memory)
        try scanner.checkText()
        scanner.skipSpace()
        try scanner.value(depth: 0)
        scanner.skipSpace()
        if scanner.at < bytes.count { throw scanner.fault("text follows the JSON document") }
        return scanner.endsOfWideIntegers
    }

    /// Refuses bytes that are not UTF-8.
    func checkText() throws {
        if let place = UTF8Text.firstFault(in: bytes) {
            throw CheckpointError.malformed("the JSON is not valid UTF-8", file: file, offset: base + UInt64(place))
        }
    }

    func fault(_ message: String, at place: Int? = nil) -> CheckpointError {
        .malformed("malformed JSON: \(message)", file: file, offset: base + UInt64(place ?? at))
    }

    var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): at += 1
            default: return
            }
        }
    }

    mutating func value(depth: Int) throws {
        guard depth < maxDepth else { throw fault("nested more than \(maxDepth) deep") }
        guard let next else { throw fault("the document ends too early") }
        try spend(Cost.value)
        switch next {
        case UInt8(ascii: "{"):
            try spend(Cost.object)
            try object(depth: depth)
        case UInt8(ascii: "["):
            try spend(Cost.array)
            try array(depth: depth)
        case UInt8(ascii: "\""): try spend(Cost.text(try string().count))
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
        default: throw fault("a value was expected")
        }
    }

    /// What parts of a tree take: json-c's node and the value made of it, with what the allocator adds (measured with
    /// json-c 0.16: an empty array 128 bytes once it is shrunk, an empty object 800).
    private enum Cost {
        static let value = 40 + 48
        static let array = 64 + 96
        static let object = 256 + 800
        static let member = 96 + 128

        static func text(_ bytes: Int) -> Int { 32 + bytes + (bytes <= 15 ? 0 : 32 + bytes) }
    }

    private mutating func spend(_ bytes: Int) throws {
        memory -= bytes
        if memory < 0 {
            throw CheckpointError.unsupported(
                "the JSON takes too much memory", file: file, offset: base + UInt64(at),
                remedy: "the file is damaged, or made to do harm")
        }
    }

    private mutating func object(depth: Int) throws {
        at += 1
        var keys: Set<ExactText> = []
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            return
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw fault("a key in quotes was expected") }
            let start = at
            let raw = try string()
            try spend(Cost.member + Cost.text(raw.count))
            guard let key = JSONScanner.unescape(raw) else { throw fault("a key holds a lone surrogate", at: start) }
            guard !key.utf8.contains(0) else { throw fault("a key holds U+0000", at: start) }
            guard keys.insert(ExactText(key)).inserted else {
                throw fault("the key \"\(key)\" stands twice in one object", at: start)
            }
            guard keys.count <= JSONScanner.maxKeys else { throw fault("an object has too many keys", at: start) }
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw fault("a colon was expected") }
            at += 1
            skipSpace()
            try value(depth: depth + 1)
            skipSpace()
            switch next {
            case UInt8(ascii: ","): at += 1
            case UInt8(ascii: "}"):
                at += 1
                return
            case nil: throw fault("the document ends too early")
            default: throw fault("a comma or a closing brace was expected")
            }
        }
    }

    private mutating func array(depth: Int) throws {
        at += 1
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            return
        }
        while true {
            skipSpace()
            try value(depth: depth + 1)
            skipSpace()
            switch next {
            case UInt8(ascii: ","): at += 1
            case UInt8(ascii: "]"):
                at += 1
                return
            case nil: throw fault("the document ends too early")
            default: throw fault("a comma or a closing bracket was expected")
            }
        }
    }

    private mutating func word(_ word: StaticString) throws {
        let length = word.utf8CodeUnitCount
        guard at + length <= bytes.count, (0..<length).allSatisfy({ bytes[at + $0] == word.utf8Start[$0] }) else {
            throw fault("a value was expected")
        }
        at += length
    }

    private mutating func digits() throws {
        guard let first = next, first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") else {
            throw fault("a digit was expected")
        }
        while let digit = next, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") { at += 1 }
    }

    mutating func number() throws {
        let start = at
        if next == UInt8(ascii: "-") { at += 1 }
        if next == UInt8(ascii: "0") {
            at += 1
            if let digit = next, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") {
                throw fault("a number begins with a superfluous 0", at: start)
            }
        } else {
            try digits()
        }
        var isInteger = true
        if next == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            try digits()
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger, Int64(text) != nil || UInt64(text) != nil { return }
        guard let value = Double(text), value.isFinite else { throw fault("a number is too large", at: start) }
        if isInteger { endsOfWideIntegers.append(at) }
    }

    /// Scans a string and returns the bytes between its quotes, escapes included.
    mutating func string() throws -> UnsafeBufferPointer<UInt8> {
        let opening = at
        at += 1
        let start = at
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "\""):
                let raw = UnsafeBufferPointer(rebasing: bytes[start..<at])
                at += 1
                return raw
            case 0..<0x20:
                throw fault("a control character stands in a string")
            case UInt8(ascii: "\\"):
                try escape()
            default:
                at += 1
            }
        }
        throw fault("a string is not closed", at: opening)
    }

    private mutating func escape() throws {
        let start = at
        guard at + 1 < bytes.count else { throw fault("a string is not closed") }
        switch bytes[at + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            at += 2
        case UInt8(ascii: "u"):
            let unit = try hexadecimal(at: at + 2)
            at += 6
            if unit & 0xFC00 == 0xDC00 { throw fault("a lone surrogate", at: start) }
            if unit & 0xFC00 == 0xD800 {
                guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u"),
                    try hexadecimal(at: at + 2) & 0xFC00 == 0xDC00
                else { throw fault("a lone surrogate", at: start) }
                at += 6
            }
        default:
            throw fault("an unknown escape")
        }
    }

    private func hexadecimal(at place: Int) throws -> UInt32 {
        guard place + 4 <= bytes.count else { throw fault("a string is not closed") }
        var unit: UInt32 = 0
        for index in place..<place + 4 {
            guard let digit = JSONScanner.hexDigit(bytes[index]) else { throw fault("four hexadecimal digits expected") }
            unit = unit << 4 | digit
        }
        return unit
    }

    private static func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    /// The text of a scanned string; nil for what `escape` would have refused.
    static func unescape(_ raw: UnsafeBufferPointer<UInt8>) -> String? {
        guard raw.contains(UInt8(ascii: "\\")) else { return String(decoding: raw, as: UTF8.self) }
        var units: [UInt16] = []
        var out = ""
        func flush() -> Bool {
            guard !units.isEmpty else { return true }
            guard let text = String(validating: units, as: UTF16.self) else { return false }
            out += text
            units.removeAll()
            return true
        }
        var index = 0
        while index < raw.count {
            guard raw[index] == UInt8(ascii: "\\"), index + 1 < raw.count else {
                guard flush() else { return nil }
                let start = index
                while index < raw.count, raw[index] != UInt8(ascii: "\\") { index += 1 }
                out += String(decoding: raw[start..<index], as: UTF8.self)
                continue
            }
            switch raw[index + 1] {
            case UInt8(ascii: "u"):
                guard index + 6 <= raw.count else { return nil }
                var unit: UInt32 = 0
                for place in index + 2..<index + 6 { unit = unit << 4 | (hexDigit(raw[place]) ?? 0) }
                units.append(UInt16(truncatingIfNeeded: unit))
                index += 6
                continue
            case UInt8(ascii: "b"): units.append(8)
            case UInt8(ascii: "f"): units.append(12)
            case UInt8(ascii: "n"): units.append(10)
            case UInt8(ascii: "r"): units.append(13)
            case UInt8(ascii: "t"): units.append(9)
            default: units.append(UInt16(raw[index + 1]))
            }
            index += 2
        }
        return flush() ? out : nil
    }
}
