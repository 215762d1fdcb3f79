// safetensors files made by hand, and those that must be refused.

package enum SmallSafetensors {
    /// A file from its header's text and the number of bytes behind it.
    package static func file(_ header: String, data: Int, length: UInt64? = nil) -> [UInt8] {
        var out = Builder()
        out.integer(length ?? UInt64(header.utf8.count))
        out.raw(header.utf8)
        out.raw((0..<data).map { UInt8(truncatingIfNeeded: $0) })
        return out.bytes
    }

    package static let sound = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}"#

    package static func entry(_ body: String) -> String { #"{"a":{"# + body + "}}" }

    /// Name, header, bytes behind it, what the message says.
    package static let hostile: [(String, String, Int, String)] = [
        ("not a brace first", " " + sound, 11, "brace"),
        ("an array", "[]", 0, "brace"),
        ("text behind the object", sound + "x", 11, "text follows"),
        ("duplicate tensor", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, 2, "twice"),
        ("duplicate tensor, escaped", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, 2, "twice"),
        ("duplicate dtype", entry(#""dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]"#), 1, "twice"),
        ("duplicate metadata", #"{"__metadata__":{"k":"1","k":"2"}}"#, 0, "twice"),
        ("two metadata objects", #"{"__metadata__":{},"__metadata__":{}}"#, 0, "twice"),
        ("metadata that is no text", #"{"__metadata__":{"k":1}}"#, 0, "no string"),
        ("metadata that is no object", #"{"__metadata__":"k"}"#, 0, "object"),
        ("an entry that is no object", #"{"a":1}"#, 0, "no object"),
        ("unknown key", entry(#""dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1"#), 1, "unknown key"),
        ("no dtype", entry(#""shape":[1],"data_offsets":[0,1]"#), 1, "no dtype"),
        ("no shape", entry(#""dtype":"U8","data_offsets":[0,1]"#), 1, "no shape"),
        ("no offsets", entry(#""dtype":"U8","shape":[1]"#), 1, "no data_offsets"),
        ("unknown dtype", entry(#""dtype":"Q4_0","shape":[32],"data_offsets":[0,18]"#), 18, "unknown dtype"),
        ("dtype in lower case", entry(#""dtype":"f32","shape":[1],"data_offsets":[0,4]"#), 4, "unknown dtype"),
        ("three offsets", entry(#""dtype":"U8","shape":[1],"data_offsets":[0,1,2]"#), 1, "more than two"),
        ("one offset", entry(#""dtype":"U8","shape":[1],"data_offsets":[0]"#), 1, "no pair"),
        ("end before begin", entry(#""dtype":"U8","shape":[1],"data_offsets":[0,0]"#), 0, "do not agree"),
        ("begin after end", #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}}"#, 1, "hole"),
        ("negative dimension", entry(#""dtype":"U8","shape":[-1],"data_offsets":[0,1]"#), 1, "at least 0"),
        ("a fraction", entry(#""dtype":"U8","shape":[1.0],"data_offsets":[0,1]"#), 1, "whole number"),
        ("an exponent", entry(#""dtype":"U8","shape":[1e0],"data_offsets":[0,1]"#), 1, "whole number"),
        ("2^64", entry(#""dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]"#), 1, "64 bits"),
        ("2^63", entry(#""dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]"#), 1, "63 bits"),
        ("a product that wraps to 0", entry(#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]"#), 0, "64 bits"),
        ("a product that wraps, with a zero", entry(#""dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]"#), 0, "64 bits"),
        ("bytes that wrap to 0", entry(#""dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]"#), 0, ""),
        ("too many dimensions", entry(#""dtype":"U8","shape":["# + Array(repeating: "1", count: 65).joined(separator: ",") + #"],"data_offsets":[0,1]"#), 1, "dimensions"),
        ("shape larger than data", entry(#""dtype":"U8","shape":[2],"data_offsets":[0,1]"#), 1, "do not agree"),
        ("overlap", #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#, 6, "overlap"),
        ("the same bytes twice", #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4, "overlap"),
        ("gap", #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}"#, 9, "hole"),
        ("gap at the begin", entry(#""dtype":"U8","shape":[4],"data_offsets":[1,5]"#), 5, "hole"),
        ("bytes at the end", entry(#""dtype":"U8","shape":[4],"data_offsets":[0,4]"#), 5, "behind the last"),
        ("offsets of 2^64 - 1", entry(#""dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]"#), 1, "beyond the end"),
        ("half an F4", entry(#""dtype":"F4","shape":[3],"data_offsets":[0,2]"#), 2, "whole number"),
        ("deep nesting", entry(#""dtype":"# + String(repeating: "[", count: 100_000)), 0, ""),
        ("single quotes", "{'a':1}", 0, ""),
        ("NaN", entry(#""dtype":"U8","shape":[NaN],"data_offsets":[0,1]"#), 1, ""),
        ("trailing comma", "{},", 0, ""),
        ("a raw newline in a name", "{\"a\n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, ""),
        ("a lone surrogate", #"{"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, "surrogate"),
    ]
}
