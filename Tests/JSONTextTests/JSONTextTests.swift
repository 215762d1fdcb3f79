// JSON: what is read, what is refused, and that memory is bounded.

import Bytes
import JSONText
import Testing

private func parse(_ text: String) throws -> JSONValue { try JSONText.parse(Array(text.utf8)) }

@Suite struct JSONTextTests {
    @Test func valuesAreKeptAsTheyAre() throws {
        #expect(try parse(" {\"b\": [1, -2, 2.5e3, true, false, null, \"x\"], \"a\": {}} ") == [
            "b": [1, -2, 2500.0, true, false, nil, "x"], "a": [:],
        ])
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("-9223372036854775808") == .integer(.min))
        #expect(try parse("18446744073709551615") == .unsigned(.max))
        #expect(try parse("2.0") == .number(2))
        // What transformers writes for "no limit", int(1e30).
        #expect(try parse("{\"a\":[1000000000000000019884624838656 ,-18446744073709551616],\"b\":3}") == [
            "a": [1e30, -18446744073709551616.0], "b": 3,
        ])
        #expect(try parse("18446744073709551616") == .number(18446744073709551616))
        #expect(try parse("0.1").number == 0.1)
        #expect(try parse("\"\\u00e9\\n\\ud83e\\udd99\\/\"") == "\u{e9}\n\u{1F999}/")
        #expect(try parse("\"\\u0000\"") == "\0")
    }

    @Test func orderOfKeysIsKept() throws {
        #expect(try parse("{\"z\":1,\"a\":2,\"m\":3}").object?.keys == ["z", "a", "m"])
        // Two names to RFC 8259, though one text to Unicode.
        #expect(try parse("{\"\u{3AC}\":1,\"\u{1F71}\":2}").object?.count == 2)
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1,}", "{a:1}", "{'a':1}", "1 2", "[] x", "01", "-",
        "1.", ".5", "1e", "+1", "0x1", "NaN", "Infinity", "tru", "nulls", "\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"a\nb\"", "1e999", "1\(String(repeating: "0", count: 400))", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
        "{\"\\u0000\":1}", "{\"\\ud800\":1}", "\u{FEFF}{}",
    ]) func wrongDocumentsAreRefused(_ text: String) {
        let error = #expect(throws: CheckpointError.self, "\(text)") { try parse(text) }
        #expect(error?.exitStatus == 2)
    }

    @Test func nestingIsBounded() throws {
        let deep = JSONText.maxDepth
        _ = try parse(String(repeating: "[", count: deep) + String(repeating: "]", count: deep))
        #expect(throws: CheckpointError.self) {
            try parse(String(repeating: "[", count: deep + 1) + String(repeating: "]", count: deep + 1))
        }
    }

    /// The values of a document of a few megabytes could take hundreds.
    @Test(arguments: ["{}", "[[]]", "1", "\"\"", "{\"a\":1}"]) func memoryIsBounded(unit: String) {
        let text = "[" + String(repeating: unit + ",", count: 5_000_000) + "1]"
        let error = #expect(throws: CheckpointError.self) { try parse(text) }
        #expect(error?.kind == .unsupported)
    }
}
