// The front matter of a model card: the YAML between the two lines of "---" at the top of README.md.
//
// Model cards use a small part of YAML 1.1 (yaml.org/spec/1.1): block mappings and lists, flow lists and mappings,
// plain, quoted and block scalars, comments. That part is read here. Every top-level entry is read on its own, so what
// is not understood (anchors, tags, complex keys) costs that entry and a warning, not the card.

internal import Bytes
public import JSONText

/// The entries of a model card's front matter.
public struct FrontMatter: Sendable, Hashable {
    /// Top-level entries. Texts that look like numbers stay texts; true, false and null become values.
    public private(set) var entries = JSONObject()
    /// Keys of entries that were not understood.
    public private(set) var skipped: [String] = []

    /// Longest front matter that is read; cards are a few kilobytes.
    static let largestSize = 1 << 20

    /// Reads the front matter of a README.md; empty when it has none.
    public init(card: String) {
        var lines: [String] = []
        var inside = false
        var size = 0
        for line in Self.lines(of: card) {
            if !inside {
                guard line.elementsEqual("---".utf8) else { return }
                inside = true
                continue
            }
            if line.elementsEqual("---".utf8) { break }
            size += line.count
            guard size <= Self.largestSize else {
                skipped.append("(all: longer than \(Self.largestSize) bytes)")
                return
            }
            // YAML has no tabs; cards have.
            lines.append(String(decoding: line.flatMap { $0 == 9 ? [32, 32] : [$0] }, as: UTF8.self))
        }
        read(lines)
    }

    private static func lines(of text: String) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        let bytes = Array(text.utf8)
        for line in bytes.split(separator: 10, omittingEmptySubsequences: false) {
            lines.append(line.last == 13 ? line.dropLast() : line)
        }
        return lines
    }

    private mutating func read(_ lines: [String]) {
        var start = 0
        while start < lines.count {
            guard YAMLReader.startsEntry(lines[start]) else {
                start += 1
                continue
            }
            var end = start + 1
            // A list may stand as far left as the key it belongs to.
            while end < lines.count, !YAMLReader.startsEntry(lines[end]) { end += 1 }
            var reader = YAMLReader(lines: Array(lines[start..<end]))
            if let (key, value) = reader.entry() {
                entries[key] = value
            } else {
                skipped.append(String(lines[start].prefix(60)))
            }
            start = end
        }
    }
}

/// Reads the lines of one top-level entry. Anything outside the part of YAML that cards use makes the result nil.
private struct YAMLReader {
    private var lines: [String]
    private var at = 0
    private static let maxDepth = 24

    init(lines: [String]) { self.lines = lines }

    /// Whether a line begins a top-level entry: not indented, no list item, no comment, not empty.
    static func startsEntry(_ line: String) -> Bool {
        guard let first = line.utf8.first else { return false }
        return first != UInt8(ascii: " ") && first != UInt8(ascii: "#") && !isItem(line[...])
    }

    private static func isItem(_ text: Substring) -> Bool {
        text.utf8.elementsEqual("-".utf8) || text.utf8.starts(with: "- ".utf8)
    }

    mutating func entry() -> (String, JSONValue)? {
        guard case .object(let members)? = mapping(indent: 0, depth: 0), members.count == 1, let only = members.first
        else { return nil }
        skipBlank()
        return at == lines.count ? (only.key, only.value) : nil
    }

    // MARK: Lines

    private static func indent(of line: String) -> Int { line.utf8.prefix { $0 == UInt8(ascii: " ") }.count }

    private mutating func skipBlank() {
        while at < lines.count {
            let text = lines[at].utf8.drop { $0 == UInt8(ascii: " ") }
            guard text.isEmpty || text.first == UInt8(ascii: "#") else { return }
            at += 1
        }
    }

    /// What stands on the current line from its indentation on.
    private var text: Substring { lines[at].dropFirst(Self.indent(of: lines[at])) }

    // MARK: Blocks

    private mutating func block(above: Int, depth: Int) -> JSONValue? {
        guard depth < Self.maxDepth else { return nil }
        skipBlank()
        guard at < lines.count else { return .null }
        let indent = Self.indent(of: lines[at])
        guard indent > above else { return .null }
        if Self.isItem(text) { return list(indent: indent, depth: depth) }
        if Self.splitKey(text) != nil { return mapping(indent: indent, depth: depth) }
        let first = text
        at += 1
        return scalar(String(first), indent: indent - 1)
    }

    private mutating func mapping(indent: Int, depth: Int) -> JSONValue? {
        guard depth < Self.maxDepth else { return nil }
        var members = JSONObject()
        while true {
            skipBlank()
            guard at < lines.count, Self.indent(of: lines[at]) == indent, !Self.isItem(text) else { break }
            guard let (key, rest) = Self.splitKey(text), members[key] == nil else { return nil }
            at += 1
            if rest.isEmpty {
                skipBlank()
                // A list belongs to the key above it even when it is not indented further.
                let isList = at < lines.count && Self.indent(of: lines[at]) == indent && Self.isItem(text)
                guard let value = block(above: isList ? indent - 1 : indent, depth: depth + 1) else { return nil }
                members[key] = value
            } else {
                guard let value = scalar(rest, indent: indent) else { return nil }
                members[key] = value
            }
        }
        return .object(members)
    }

    private mutating func list(indent: Int, depth: Int) -> JSONValue? {
        guard depth < Self.maxDepth else { return nil }
        var elements: [JSONValue] = []
        while true {
            skipBlank()
            guard at < lines.count, Self.indent(of: lines[at]) == indent, Self.isItem(text) else { break }
            let rest = text.dropFirst()
            let inner = rest.utf8.prefix { $0 == UInt8(ascii: " ") }.count
            let content = rest.dropFirst(inner)
            if content.isEmpty || content.utf8.first == UInt8(ascii: "#") {
                at += 1
                guard let value = block(above: indent, depth: depth + 1) else { return nil }
                elements.append(value)
            } else if Self.isItem(content) || Self.splitKey(content) != nil {
                // A nested block that begins on the item's own line.
                lines[at] = String(repeating: " ", count: indent + 1 + inner) + content
                guard let value = block(above: indent, depth: depth + 1) else { return nil }
                elements.append(value)
            } else {
                at += 1
                guard let value = scalar(String(content), indent: indent) else { return nil }
                // Norwegian in a list of languages, not a boolean.
                elements.append(content == "no" ? .string("no") : value)
            }
        }
        return .array(elements)
    }

    /// "key: rest" or "key:" apart. Nil when the text is no mapping entry.
    private static func splitKey(_ text: Substring) -> (key: String, rest: String)? {
        if let quote = text.utf8.first, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            guard let (key, rest) = quoted(text) else { return nil }
            let after = trimmed(rest)
            guard after.utf8.first == UInt8(ascii: ":") else { return nil }
            let value = after.dropFirst()
            guard value.isEmpty || value.utf8.first == UInt8(ascii: " ") else { return nil }
            return (key, withoutComment(trimmed(value)))
        }
        guard let first = text.utf8.first, !"[]{}#&*!|>%@`,?".utf8.contains(first) else { return nil }
        var index = text.utf8.startIndex
        while index < text.utf8.endIndex {
            let next = text.utf8.index(after: index)
            if text.utf8[index] == UInt8(ascii: ":"),
                next == text.utf8.endIndex || text.utf8[next] == UInt8(ascii: " ")
            {
                let rest = trimmed(text[next...])
                return (String(trimmed(text[..<index])), withoutComment(rest))
            }
            if text.utf8[index] == UInt8(ascii: " "), next < text.utf8.endIndex, text.utf8[next] == UInt8(ascii: "#") {
                return nil
            }
            index = next
        }
        return nil
    }

    // MARK: Scalars

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.utf8.first == UInt8(ascii: " ") { text = text.dropFirst() }
        while text.utf8.last == UInt8(ascii: " ") { text = text.dropLast() }
        return text
    }

    /// A value's text without a comment behind it. Quoted texts and block headers keep theirs for later.
    private static func withoutComment(_ text: Substring) -> String {
        if text.utf8.first == UInt8(ascii: "#") { return "" }
        guard let first = text.utf8.first, first != UInt8(ascii: "\""), first != UInt8(ascii: "'") else {
            return String(text)
        }
        return String(cutComment(text))
    }

    private static func cutComment(_ text: Substring) -> Substring {
        var index = text.utf8.startIndex
        while index < text.utf8.endIndex {
            if text.utf8[index] == UInt8(ascii: "#"), index > text.utf8.startIndex,
                text.utf8[text.utf8.index(before: index)] == UInt8(ascii: " ")
            {
                return trimmed(text[..<index])
            }
            index = text.utf8.index(after: index)
        }
        return text
    }

    /// A scalar or flow value that begins with `first`; lines indented deeper than `indent` continue it.
    private mutating func scalar(_ first: String, indent: Int) -> JSONValue? {
        switch first.utf8.first {
        case UInt8(ascii: "|"), UInt8(ascii: ">"): return blockScalar(header: first, indent: indent)
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            let text = first + continuation(indent: indent, opening: first)
            var flow = FlowReader(text)
            return flow.whole()
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            let quote: UInt8 = first.utf8.first == UInt8(ascii: "'") ? UInt8(ascii: "'") : UInt8(ascii: "\"")
            var text = first, escaped = false
            var isClosed = Self.closes(first.utf8.dropFirst(), quote, escaped: &escaped)
            while !isClosed, at < lines.count {
                let line = " " + String(Self.trimmed(lines[at][...]))
                isClosed = Self.closes(line.utf8[...], quote, escaped: &escaped)
                text += line
                at += 1
            }
            guard let (value, rest) = Self.quoted(text[...]) else { return nil }
            let after = Self.trimmed(rest)
            return after.isEmpty || after.utf8.first == UInt8(ascii: "#") ? .string(value) : nil
        case UInt8(ascii: "&"), UInt8(ascii: "*"), UInt8(ascii: "!"), UInt8(ascii: "%"), UInt8(ascii: "@"),
            UInt8(ascii: "`"):
            return nil
        default:
            let text = String(Self.cutComment(first[...])) + continuation(indent: indent, opening: "")
            return Self.plain(text)
        }
    }

    /// The lines that go on with a plain or flow value, joined with spaces.
    private mutating func continuation(indent: Int, opening: String) -> String {
        var out = ""
        var open = Self.openBrackets(opening)
        while at < lines.count {
            let line = lines[at]
            let bare = Self.trimmed(line[...])
            if bare.isEmpty || bare.utf8.first == UInt8(ascii: "#") {
                // A comment or an empty line ends a plain value and not a flow value.
                guard open > 0 else { break }
                at += 1
                continue
            }
            guard open > 0 || Self.indent(of: line) > indent else { break }
            let part = Self.cutComment(bare)
            out += " " + part
            open += Self.openBrackets(String(part))
            at += 1
        }
        return out
    }

    private static func openBrackets(_ text: String) -> Int {
        var open = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") { open += 1 }
            if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") { open -= 1 }
        }
        return open
    }

    /// `|` keeps line breaks, `>` joins lines; `-` drops the last break, `+` keeps all.
    private mutating func blockScalar(header: String, indent: Int) -> JSONValue? {
        let marks = Self.cutComment(header[...]).utf8.dropFirst()
        guard marks.allSatisfy({ $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") }), marks.count <= 1 else {
            return nil
        }
        var body: [Substring] = []
        var inner: Int?
        while at < lines.count {
            let line = lines[at]
            let blank = Self.trimmed(line[...]).isEmpty
            if !blank {
                let depth = Self.indent(of: line)
                guard depth > indent, depth >= inner ?? 0 else { break }
                if inner == nil { inner = depth }
            }
            body.append(blank ? "" : line.dropFirst(inner ?? 0))
            at += 1
        }
        var trailing = 0
        while body.last?.isEmpty == true {
            body.removeLast()
            trailing += 1
        }
        var out = ""
        for (index, line) in body.enumerated() {
            if index > 0 {
                let folds = header.utf8.first == UInt8(ascii: ">") && !line.isEmpty && !body[index - 1].isEmpty
                let afterGap = header.utf8.first == UInt8(ascii: ">") && !line.isEmpty && body[index - 1].isEmpty
                if folds { out += " " } else if !afterGap { out += "\n" }
            }
            out += line
        }
        if marks.first == UInt8(ascii: "+") {
            out += String(repeating: "\n", count: trailing + 1)
        } else if marks.isEmpty, !body.isEmpty {
            out += "\n"
        }
        return .string(out)
    }

    /// A plain scalar: YAML 1.1's booleans and nulls are values, everything else is text.
    static func plain(_ text: String) -> JSONValue {
        switch text {
        case "", "~", "null", "Null", "NULL": .null
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": .bool(true)
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": .bool(false)
        default: .string(text)
        }
    }

    /// Whether a line of a quoted text, behind the opening quote, has the closing one: every line is looked at once.
    /// - Parameter escaped: whether the line before ended in a backslash; then whether this one does.
    private static func closes(_ line: Substring.UTF8View, _ quote: UInt8, escaped: inout Bool) -> Bool {
        var index = line.startIndex
        while index < line.endIndex {
            let byte = line[index]
            index = line.index(after: index)
            if escaped {
                escaped = false
            } else if byte == quote {
                // Two single quotes are one that belongs to the text.
                guard quote == UInt8(ascii: "'"), index < line.endIndex, line[index] == quote else { return true }
                index = line.index(after: index)
            } else if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                escaped = true
            }
        }
        return false
    }

    /// The text between the quotes that `text` begins with, and what follows; nil when they are not closed.
    static func quoted(_ text: Substring) -> (String, Substring)? {
        guard let quote = text.unicodeScalars.first else { return nil }
        var out = ""
        var index = text.unicodeScalars.index(after: text.startIndex)
        let scalars = text.unicodeScalars
        while index < scalars.endIndex {
            let scalar = scalars[index]
            index = scalars.index(after: index)
            if scalar == quote {
                guard quote == "'", index < scalars.endIndex, scalars[index] == "'" else { return (out, text[index...]) }
                out.unicodeScalars.append("'")
                index = scalars.index(after: index)
            } else if quote == "\"", scalar == "\\" {
                guard index < scalars.endIndex else { return nil }
                let escaped = scalars[index]
                index = scalars.index(after: index)
                switch escaped {
                case "n": out += "\n"
                case "t": out += "\t"
                case "r": out += "\r"
                case "0": out += "\0"
                case "x", "u", "U":
                    let count = escaped == "x" ? 2 : escaped == "u" ? 4 : 8
                    guard let end = scalars.index(index, offsetBy: count, limitedBy: scalars.endIndex),
                        let value = UInt32(String(text[index..<end]), radix: 16), let made = Unicode.Scalar(value)
                    else { return nil }
                    out.unicodeScalars.append(made)
                    index = end
                default: out.unicodeScalars.append(escaped)
                }
            } else {
                out.unicodeScalars.append(scalar)
            }
        }
        return nil
    }
}

/// Reads flow values: `[a, "b", {c: d}]`.
private struct FlowReader {
    private let text: String
    private var at: String.Index
    private static let maxDepth = 24

    init(_ text: String) {
        self.text = text
        at = text.startIndex
    }

    mutating func whole() -> JSONValue? {
        guard let value = value(depth: 0) else { return nil }
        skipSpace()
        return at == text.endIndex ? value : nil
    }

    private var next: Unicode.Scalar? { at < text.endIndex ? text.unicodeScalars[at] : nil }

    private mutating func advance() { at = text.unicodeScalars.index(after: at) }

    private mutating func skipSpace() {
        while next == " " { advance() }
    }

    private mutating func value(depth: Int) -> JSONValue? {
        guard depth < Self.maxDepth else { return nil }
        skipSpace()
        switch next {
        case "[":
            advance()
            var elements: [JSONValue] = []
            while true {
                skipSpace()
                if next == "]" {
                    advance()
                    return .array(elements)
                }
                guard let element = value(depth: depth + 1) else { return nil }
                elements.append(element)
                skipSpace()
                if next == "," { advance() } else if next != "]" { return nil }
            }
        case "{":
            advance()
            var members = JSONObject()
            while true {
                skipSpace()
                if next == "}" {
                    advance()
                    return .object(members)
                }
                guard let key = word(stop: ",}:")?.string else { return nil }
                skipSpace()
                var member = JSONValue.null
                if next == ":" {
                    advance()
                    skipSpace()
                    if next != ",", next != "}" {
                        guard let found = value(depth: depth + 1) else { return nil }
                        member = found
                    }
                }
                members[key] = member
                skipSpace()
                if next == "," { advance() } else if next != "}" { return nil }
            }
        default: return word(stop: ",]}")
        }
    }

    private mutating func word(stop: String) -> JSONValue? {
        if next == "\"" || next == "'" {
            guard let (value, rest) = YAMLReader.quoted(text[at...]) else { return nil }
            at = rest.startIndex
            return .string(value)
        }
        let start = at
        while let scalar = next, !stop.unicodeScalars.contains(scalar) { advance() }
        let found = text[start..<at]
        guard at > start else { return nil }
        var end = found.endIndex
        while end > found.startIndex, found.unicodeScalars[found.unicodeScalars.index(before: end)] == " " {
            end = found.unicodeScalars.index(before: end)
        }
        return YAMLReader.plain(String(found[..<end]))
    }
}
