// Key/value metadata with GGUF's types, which are the richest of the containers'.

public import OrderedCollections

/// Metadata in the order of the file.
public typealias Metadata = OrderedDictionary<String, MetadataValue>

/// The type of a metadata value. Raw values are GGUF's type numbers (ggml's docs/gguf.md).
public enum MetadataType: UInt32, Sendable, CaseIterable {
    case u8 = 0, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

    /// The spelling on the command line and in reports: "u32", "str", "arr".
    public var name: String {
        switch self {
        case .u8: "u8"
        case .i8: "i8"
        case .u16: "u16"
        case .i16: "i16"
        case .u32: "u32"
        case .i32: "i32"
        case .f32: "f32"
        case .bool: "bool"
        case .string: "str"
        case .array: "arr"
        case .u64: "u64"
        case .i64: "i64"
        case .f64: "f64"
        }
    }
}

/// A typed metadata value. Arrays hold one scalar type, as GGUF's do.
public enum MetadataValue: Sendable, Hashable {
    case u8(UInt8), i8(Int8), u16(UInt16), i16(Int16), u32(UInt32), i32(Int32), u64(UInt64), i64(Int64)
    case f32(Float), f64(Double)
    case bool(Bool)
    case string(String)
    /// Bytes that should be text but are not valid UTF-8: vocabularies of old files have them.
    case bytes([UInt8])
    case array(MetadataArray)

    public var type: MetadataType {
        switch self {
        case .u8: .u8
        case .i8: .i8
        case .u16: .u16
        case .i16: .i16
        case .u32: .u32
        case .i32: .i32
        case .u64: .u64
        case .i64: .i64
        case .f32: .f32
        case .f64: .f64
        case .bool: .bool
        case .string, .bytes: .string
        case .array: .array
        }
    }

    /// The value as an integer, where it is one.
    public var integer: Int? {
        switch self {
        case .u8(let value): Int(value)
        case .i8(let value): Int(value)
        case .u16(let value): Int(value)
        case .i16(let value): Int(value)
        case .u32(let value): Int(value)
        case .i32(let value): Int(value)
        case .u64(let value): Int(exactly: value)
        case .i64(let value): Int(value)
        default: nil
        }
    }

    /// The value as a number, where it is one.
    public var number: Double? {
        switch self {
        case .f32(let value): Double(value)
        case .f64(let value): value
        default: integer.map(Double.init)
        }
    }

    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    public var boolean: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    public var array: MetadataArray? {
        if case .array(let value) = self { value } else { nil }
    }
}

/// An array of one scalar type. The large ones (tokens, scores, types) are stored without a case a value.
public enum MetadataArray: Sendable, Hashable {
    case strings([String])
    case f32([Float])
    case i32([Int32])
    case u32([UInt32])
    /// Any other element type. Elements are all of `type`, which is not `array`.
    case other(type: MetadataType, values: [MetadataValue])

    public var elementType: MetadataType {
        switch self {
        case .strings: .string
        case .f32: .f32
        case .i32: .i32
        case .u32: .u32
        case .other(let type, _): type
        }
    }

    public var count: Int {
        switch self {
        case .strings(let values): values.count
        case .f32(let values): values.count
        case .i32(let values): values.count
        case .u32(let values): values.count
        case .other(_, let values): values.count
        }
    }

    /// One element as a scalar value.
    public subscript(index: Int) -> MetadataValue {
        switch self {
        case .strings(let values): .string(values[index])
        case .f32(let values): .f32(values[index])
        case .i32(let values): .i32(values[index])
        case .u32(let values): .u32(values[index])
        case .other(_, let values): values[index]
        }
    }
}
