// Model cards' front matter against PyYAML's reading of it (Golden/cards.json; null where PyYAML refuses).

import JSONText
import ModelFiles
import Testing

@Suite struct FrontMatterTests {
    @Test func cardsAreReadAsYAML() throws {
        for entry in try goldenJSON("cards.json").array ?? [] {
            let card = try #require(entry["card"]?.string)
            let matter = FrontMatter(card: card)
            guard let expected = entry["entries"]?.object else { continue }
            for (key, value) in expected where !matter.skipped.contains(where: { $0.hasPrefix(key) }) {
                #expect(same(matter.entries[key], value), "\(key) of\n\(card)\nfound \(String(describing: matter.entries[key]))")
            }
            if matter.skipped.isEmpty { #expect(matter.entries.keys == expected.keys, "\(card)") }
        }
    }

    /// Numbers and dates stay text.
    private func same(_ found: JSONValue?, _ expected: JSONValue) -> Bool {
        if expected["__raw"] != nil { return found?.string != nil }
        if let members = expected.object {
            return found?.object.map { found in
                found.keys == members.keys && members.allSatisfy { same(found[$0.key], $0.value) }
            } ?? false
        }
        if let elements = expected.array {
            guard let found = found?.array, found.count == elements.count else { return false }
            return zip(found, elements).allSatisfy { same($0, $1) }
        }
        return found == expected
    }

    @Test func whatIsNotUnderstoodCostsOnlyItself() {
        let matter = FrontMatter(card: "---\na: &x b\nc: *x\nlicense: mit\nd: {e: \nf: !!str 1\n---\n")
        #expect(matter.entries["license"] == "mit")
        #expect(!matter.skipped.isEmpty)
    }

    /// However many lines a quoted text has, each is read once.
    @Test func quotedTextsGoOnOverLines() {
        let lines = String(repeating: " y\n", count: 250_000), words = String(repeating: " y", count: 250_000)
        for quote in ["\"", "'"] {
            let open = FrontMatter(card: "---\nname: \(quote)x\n\(lines)---\n")
            #expect(open.entries.isEmpty && !open.skipped.isEmpty)
            let closed = FrontMatter(card: "---\nname: \(quote)x\n\(lines) z\(quote) # end\n---\n")
            let isWhole = closed.entries["name"]?.string == "x\(words) z"
            #expect(isWhole, "what stands between \(quote)")
        }
        // What looks like the end of a text at the end of a line.
        let marks = FrontMatter(card: "---\na: 'b''\n c''d'\nb: \"c\\\n \\\"d\\\\\"\n---\n")
        #expect(marks.entries["a"] == "b' c'd")
        #expect(marks.entries["b"] == "c \"d\\")
    }

    /// Damaged and hostile cards neither trap nor take long.
    @Test func anythingIsReadWithoutHarm() {
        let card = "---\nlicense: [a, {b: \"c\\u00e9\"}, 'd''e']\ntags:\n- - - x\n  y: |\n    z\n  - >-\n w\n---\n"
        let bytes = Array(card.utf8)
        for end in 0...bytes.count { _ = FrontMatter(card: String(decoding: bytes[..<end], as: UTF8.self)) }
        for index in bytes.indices {
            for byte in [0, 9, 10, 32, 34, 39, 45, 58, 91, 93, 123, 125, 0xCC, 0xFF] as [UInt8] {
                var damaged = bytes
                damaged[index] = byte
                _ = FrontMatter(card: String(decoding: damaged, as: UTF8.self))
            }
        }
        let deep = "---\na: " + String(repeating: "[", count: 100_000) + "\n---\n"
        #expect(FrontMatter(card: deep).entries.isEmpty)
        let items = "---\na:\n" + String(repeating: "- ", count: 50_000) + "x\n---\n"
        #expect(FrontMatter(card: items).entries.isEmpty)
        let wide = "---\na: [" + String(repeating: "b,", count: 100_000) + "]\n---\n"
        #expect(FrontMatter(card: wide).entries["a"]?.array?.count == 100_000)
        let open = "---\na: \"" + String(repeating: "x\n", count: 50_000) + "---\n"
        _ = FrontMatter(card: open)
    }
}
