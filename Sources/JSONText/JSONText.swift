// Reading JSON text into values.

internal import Bytes

public enum JSONText {
    /// Objects and arrays inside each other, at most.
    public static let maxDepth = 64

    /// Reads one strict JSON document (RFC 8259, with unique keys).
    /// - Parameters:
    ///   - file: for messages; `base` is where the bytes begin in it.
    /// - Throws: `malformed` with the offset of the first fault; `unsupported` when its values would take too much memory.
    public static func parse(_ bytes: [UInt8], file: String? = nil, base: UInt64 = 0) throws -> JSONValue {
        var tree = JSONTree()
        return try JSONPull.read(bytes, file: file, base: base) { try tree.value(&$0, depth: 0) }
    }

    /// Reads a JSON file of at most `limit` bytes.
    public static func read(_ path: String, limit: UInt64 = 96 << 20) throws -> JSONValue {
        try parse(try File(path).contents(limit: limit), file: path)
    }
}

/// Builds values out of a document that is pulled, and counts what they take.
private struct JSONTree {
    /// Bytes of memory that the values of a document may take: twice what the tokenizer.json of Llama 3 needs, with its
    /// 128,256 tokens and 280,147 merges. A hostile document of a few bytes a value would take ten times its size.
    private var left = 160 << 20

    /// What a value takes, at most: its place in a growing array; an array's own head; an object's two arrays and hash
    /// table, and a member of it. Texts of up to 15 bytes lie in their places.
    private enum Cost {
        static let value = 40
        static let array = 64
        static let object = 256
        static let member = 96

        static func text(_ text: String) -> Int { text.utf8.count <= 15 ? 0 : 32 + text.utf8.count }
    }

    private mutating func spend(_ bytes: Int, _ pull: JSONPull) throws {
        left -= bytes
        guard left >= 0 else { throw pull.refusal("the JSON takes too much memory") }
    }

    mutating func value(_ pull: inout JSONPull, depth: Int) throws -> JSONValue {
        guard depth < JSONText.maxDepth else { throw pull.fault("nested more than \(JSONText.maxDepth) deep") }
        try spend(Cost.value, pull)
        switch pull.next {
        case UInt8(ascii: "{"): return .object(try object(&pull, depth: depth))
        case UInt8(ascii: "["):
            try spend(Cost.array, pull)
            var elements: [JSONValue] = []
            try pull.array { elements.append(try value(&$0, depth: depth + 1)) }
            return .array(elements)
        case UInt8(ascii: "\""):
            let text = try pull.string()
            try spend(Cost.text(text), pull)
            return .string(text)
        default: return try pull.scalar()
        }
    }

    private mutating func object(_ pull: inout JSONPull, depth: Int) throws -> JSONObject {
        try spend(Cost.object, pull)
        var members = JSONObject()
        try pull.object { key, pull in
            try spend(Cost.member + Cost.text(key), pull)
            guard !key.utf8.contains(0) else { throw pull.fault("a key holds U+0000") }
            guard members.append(key, try value(&pull, depth: depth + 1)) else {
                throw pull.fault("the key \"\(key)\" stands twice in one object")
            }
        }
        return members
    }
}
