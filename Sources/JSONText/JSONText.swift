// Reading and writing JSON text.

internal import Bytes
internal import CJSONC

public enum JSONText {
    /// Objects and arrays inside each other, at most.
    public static let maxDepth = 64

    /// Bytes that a document's values may take in memory, json-c's nodes and ours together: half as much again as the
    /// tokenizer.json of Llama 3 needs, with its 128,256 tokens and 280,147 merges. Hostile documents of two or three
    /// bytes a value would take a hundred times their size.
    private static let memory = 200 << 20

    /// Reads one strict JSON document (RFC 8259, with unique keys).
    /// - Parameters:
    ///   - file: for messages; `base` is where the bytes begin in it.
    /// - Throws: `malformed` with the offset of the first fault; `unsupported` when its values would take too much memory.
    public static func parse(_ bytes: [UInt8], file: String? = nil, base: UInt64 = 0) throws -> JSONValue {
        let wide = try bytes.withUnsafeBufferPointer {
            try JSONScanner.check($0, file: file, base: base, maxDepth: maxDepth, memory: memory)
        }
        // json-c would cut these to the largest that 64 bits hold; with a fraction they are numbers like any other.
        let text = wide.isEmpty ? bytes : Self.inserting(".0", at: wide, in: bytes)
        return try text.withUnsafeBufferPointer { buffer in
            guard let tokener = json_tokener_new_ex(Int32(maxDepth + 1)) else {
                throw CheckpointError(.inputOutput, "not enough memory to read JSON", file: file)
            }
            defer { json_tokener_free(tokener) }
            guard let length = Int32(exactly: buffer.count) else {
                throw CheckpointError.malformed("the JSON is larger than 2 GiB", file: file, offset: base)
            }
            let root = buffer.withMemoryRebound(to: CChar.self) {
                json_tokener_parse_ex(tokener, $0.baseAddress, length)
            }
            defer { json_object_put(root) }
            var state = json_tokener_get_error(tokener)
            var number: OpaquePointer?
            defer { json_object_put(number) }
            if state == json_tokener_continue {
                // A bare number ends only where the text does.
                number = json_tokener_parse_ex(tokener, "\0", 1)
                state = json_tokener_get_error(tokener)
            }
            guard state == json_tokener_success else {
                throw CheckpointError.malformed(
                    "malformed JSON: \(String(cString: json_tokener_error_desc(state)))", file: file, offset: base)
            }
            return value(of: root ?? number)
        }
    }

    /// Reads a JSON file of at most `limit` bytes.
    public static func read(_ path: String, limit: UInt64 = 96 << 20) throws -> JSONValue {
        try parse(try File(path).contents(limit: limit), file: path)
    }

    /// - Parameter places: ascending.
    private static func inserting(_ text: String, at places: [Int], in bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [], from = 0
        out.reserveCapacity(bytes.count + places.count * text.utf8.count)
        for place in places {
            out += bytes[from..<place]
            out += text.utf8
            from = place
        }
        return out + bytes[from...]
    }

    private static func value(of node: OpaquePointer?) -> JSONValue {
        guard let node else { return .null }
        switch json_object_get_type(node) {
        case json_type_null: return .null
        case json_type_boolean: return .bool(json_object_get_boolean(node) != 0)
        case json_type_int:
            let signed = json_object_get_int64(node)
            if signed == Int64.max {
                let unsigned = json_object_get_uint64(node)
                if unsigned > UInt64(Int64.max) { return .unsigned(unsigned) }
            }
            return .integer(signed)
        case json_type_double: return .number(json_object_get_double(node))
        case json_type_string: return .string(string(of: node))
        case json_type_array:
            let count = json_object_array_length(node)
            return .array((0..<count).map { value(of: json_object_array_get_idx(node, $0)) })
        case json_type_object:
            var members = JSONObject()
            var iterator = json_object_iter_begin(node)
            var end = json_object_iter_end(node)
            while json_object_iter_equal(&iterator, &end) == 0 {
                members[String(cString: json_object_iter_peek_name(&iterator))] = value(
                    of: json_object_iter_peek_value(&iterator))
                json_object_iter_next(&iterator)
            }
            return .object(members)
        default: return .null
        }
    }

    private static func string(of node: OpaquePointer) -> String {
        let length = Int(json_object_get_string_len(node))
        guard let start = json_object_get_string(node) else { return "" }
        return start.withMemoryRebound(to: UInt8.self, capacity: length) {
            String(decoding: UnsafeBufferPointer(start: $0, count: length), as: UTF8.self)
        }
    }
}
