// The part of YAML that model_config.yaml is written in: mappings, lists and scalars, in block or flow form.
//
// Source: YAML 1.1 as PyYAML dumps and loads plain data. Anchors, tags, block scalars, several documents and complex
// keys, which no config needs and which make YAML hard to read safely, are refused by name. The result is the same
// value that JSON would give.

internal import Bytes
package import JSONText

/// Reads and writes that part of YAML.
package enum FlatYAML {
    /// Mappings and lists inside each other, at most.
    static let maxDepth = 16

    /// - Throws: `malformed` or `unsupported` with the line.
    package static func parse(_ bytes: [UInt8], file: String? = nil) throws -> JSONValue {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError.malformed("the YAML is not valid UTF-8", file: file)
        }
        guard !text.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\n" && $0 != "\r" && $0 != "\t" }) else {
            throw CheckpointError.malformed("a control character stands in the YAML", file: file)
        }
        var parser = try YAMLBlockParser(text, file: file)
        return try parser.document()
    }

    /// The text of an object, keys in their order, as PyYAML's block style.
    package static func text(_ object: JSONObject) -> String {
        var out = ""
        write(object, indent: 0, to: &out)
        return out
    }

    private static func write(_ object: JSONObject, indent: Int, to out: inout String) {
        for (key, value) in object {
            out += String(repeating: " ", count: indent) + scalar(key) + ":"
            if let members = value.object, !members.isEmpty {
                out += "\n"
                write(members, indent: indent + 2, to: &out)
            } else if let elements = value.array, !elements.isEmpty {
                out += "\n"
                for element in elements {
                    out += String(repeating: " ", count: indent) + "- " + flow(element) + "\n"
                }
            } else {
                out += " " + flow(value) + "\n"
            }
        }
    }

    private static func flow(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): scalar(text)
        case .number(let number): float(number)
        default: value.text(.compact)
        }
    }

    /// YAML 1.1 takes a number for a float only when it has a point, "1e-05" for text.
    private static func float(_ value: Double) -> String {
        let text = value.description
        guard let exponent = text.firstIndex(of: "e"), !text.contains(".") else { return text }
        return text[..<exponent] + ".0" + text[exponent...]
    }

    /// Text without quotes where it cannot be taken for anything else, in JSON's quotes otherwise.
    private static func scalar(_ text: String) -> String {
        let plain = text.utf8.allSatisfy {
            ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x30 && $0 <= 0x39)
                || $0 == UInt8(ascii: "_")
                || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/")
        }
        if plain, let first = text.utf8.first, (first >= 0x41 && first <= 0x7A) || first == UInt8(ascii: "_"),
            case .string = YAMLScalar.resolve(text[...])
        {
            return text
        }
        return JSONValue.string(text).text(.compact)
    }
}

/// What a plain scalar means.
enum YAMLScalar {
    static func resolve(_ text: Substring) -> JSONValue {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .bool(true)
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .bool(false)
        default: break
        }
        guard let first = text.utf8.first(where: { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }),
            first == UInt8(ascii: ".") || (first >= 0x30 && first <= 0x39),
            text.utf8.allSatisfy({
                ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
                    || $0 == UInt8(ascii: "+")
                    || $0 == UInt8(ascii: "e") || $0 == UInt8(ascii: "E")
            })
        else { return .string(String(text)) }
        // A leading zero means octal in YAML 1.1; nothing here is octal, so it stays text and is refused by its reader.
        let digits = text.drop { $0 == "-" || $0 == "+" }
        if digits.count > 1, digits.first == "0", digits.dropFirst().first != ".", digits.dropFirst().first != "e" {
            return .string(String(text))
        }
        if let integer = Int64(text) { return .integer(integer) }
        if let number = Double(text), number.isFinite { return .number(number) }
        return .string(String(text))
    }
}

/// Block mappings and lists, by their indentation.
private struct YAMLBlockParser {
    private struct Line {
        let number: Int
        let indent: Int
        let text: Substring
    }

    private var lines: [Line] = []
    private var next = 0
    private let file: String?

    init(_ text: String, file: String?) throws {
        self.file = file
        var number = 0
        for raw in text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" || $0 == "\r\n" }) {
            number += 1
            if raw.utf8.contains(UInt8(ascii: "\r")) { throw fault("a carriage return stands alone", line: number) }
            let content = raw.drop { $0 == " " }
            if content.isEmpty || content.first == "#" { continue }
            if content.first == "\t" { throw fault("a tab stands in the indentation", line: number) }
            if content == "---" || content == "..." {
                if lines.isEmpty, content == "---" { continue }
                throw fault("a second document begins", line: number)
            }
            if content.first == "%" { throw fault("directives are not read", line: number) }
            lines.append(Line(number: number, indent: raw.count - content.count, text: content))
        }
    }

    private func fault(_ message: String, line: Int) -> CheckpointError {
        .malformed("malformed YAML in line \(line): \(message)", file: file)
    }

    mutating func document() throws -> JSONValue {
        guard let first = lines.first else { throw fault("the file is empty", line: 1) }
        let value: JSONValue
        if lines.count == 1, first.text.first == "{" {
            var flow = YAMLFlowParser(first.text, line: first.number, file: file)
            value = try flow.whole()
            next = 1
        } else {
            value = try block(indent: first.indent, depth: 0)
        }
        if next < lines.count { throw fault("the indentation fits nothing above", line: lines[next].number) }
        return value
    }

    private mutating func block(indent: Int, depth: Int) throws -> JSONValue {
        guard depth < FlatYAML.maxDepth else { throw fault("nested too deep", line: lines[next].number) }
        return Self.isItem(lines[next].text)
            ? try list(indent: indent, depth: depth) : try mapping(indent: indent, depth: depth)
    }

    private static func isItem(_ text: Substring) -> Bool { text == "-" || text.hasPrefix("- ") }

    private mutating func mapping(indent: Int, depth: Int) throws -> JSONValue {
        var members: JSONObject = [:]
        while next < lines.count, lines[next].indent == indent, !Self.isItem(lines[next].text) {
            let line = lines[next]
            var flow = YAMLFlowParser(line.text, line: line.number, file: file)
            let key = try flow.key()
            guard members[key] == nil else { throw fault("the key \"\(key)\" stands twice", line: line.number) }
            next += 1
            if flow.isAtEnd {
                // The value stands on the lines below, deeper; a list may stand at the key's own indentation.
                if next < lines.count,
                    lines[next].indent > indent || (lines[next].indent == indent && Self.isItem(lines[next].text))
                {
                    members[key] = try block(indent: lines[next].indent, depth: depth + 1)
                } else {
                    members[key] = .null
                }
            } else {
                members[key] = try flow.whole()
            }
        }
        if next < lines.count, lines[next].indent > indent {
            throw fault("a value goes on over several lines, or the indentation is wrong", line: lines[next].number)
        }
        return .object(members)
    }

    private mutating func list(indent: Int, depth: Int) throws -> JSONValue {
        var elements: [JSONValue] = []
        while next < lines.count, lines[next].indent == indent, Self.isItem(lines[next].text) {
            let line = lines[next]
            next += 1
            var flow = YAMLFlowParser(line.text.dropFirst(1), line: line.number, file: file)
            elements.append(try flow.whole())
        }
        if next < lines.count, lines[next].indent > indent {
            throw fault("lists of mappings are not read", line: lines[next].number)
        }
        return .array(elements)
    }
}

/// What stands on one line: a key, a scalar, `[...]` or `{...}`.
private struct YAMLFlowParser {
    private var rest: Substring
    private let line: Int
    private let file: String?

    init(_ text: Substring, line: Int, file: String?) {
        rest = text
        self.line = line
        self.file = file
    }

    private func fault(_ message: String) -> CheckpointError {
        .malformed("malformed YAML in line \(line): \(message)", file: file)
    }

    private mutating func skipSpace() {
        rest = rest.drop { $0 == " " || $0 == "\t" }
    }

    /// Whether nothing but a comment follows.
    var isAtEnd: Bool {
        let content = rest.drop { $0 == " " || $0 == "\t" }
        return content.isEmpty || (content.first == "#" && content.startIndex != rest.startIndex)
    }

    /// A key and its colon.
    mutating func key() throws -> String {
        let key: String
        if rest.first == "\"" || rest.first == "'" {
            key = try quoted()
            skipSpace()
        } else {
            let plain = rest.prefix { $0 != ":" }
            try refuseIndicator(plain)
            key = String(plain)
            rest = rest[plain.endIndex...]
        }
        guard rest.first == ":", !key.isEmpty, key == key.trimmingSpaces else {
            throw fault("\"key: value\" was expected")
        }
        rest.removeFirst()
        guard rest.isEmpty || rest.first == " " || rest.first == "\t" else {
            throw fault("a space is missing after the colon")
        }
        return key
    }

    /// The rest of the line as one value.
    mutating func whole() throws -> JSONValue {
        let value = try value(inside: false, depth: 0)
        guard isAtEnd else { throw fault("text follows the value") }
        return value
    }

    private mutating func value(inside: Bool, depth: Int) throws -> JSONValue {
        guard depth < FlatYAML.maxDepth else { throw fault("nested too deep") }
        skipSpace()
        switch rest.first {
        case "\"", "'": return .string(try quoted())
        case "[": return try sequence(depth: depth)
        case "{": return try mapping(depth: depth)
        default: break
        }
        let plain: Substring
        if inside {
            plain = rest.prefix { $0 != "," && $0 != "]" && $0 != "}" && $0 != ":" }
        } else {
            // A comment begins with a # after a space.
            var end = rest.startIndex
            var previous: Character = " "
            while end < rest.endIndex, !(rest[end] == "#" && (previous == " " || previous == "\t")) {
                previous = rest[end]
                end = rest.index(after: end)
            }
            while end > rest.startIndex, rest[rest.index(before: end)] == " " || rest[rest.index(before: end)] == "\t" {
                end = rest.index(before: end)
            }
            plain = rest[..<end]
            if plain.contains(": ") { throw fault("a mapping begins inside a line") }
        }
        rest = rest[plain.endIndex...]
        let text = plain.trimmingSpaces
        try refuseIndicator(text[...])
        return YAMLScalar.resolve(text[...])
    }

    private mutating func sequence(depth: Int) throws -> JSONValue {
        rest.removeFirst()
        var elements: [JSONValue] = []
        skipSpace()
        while rest.first != "]" {
            elements.append(try value(inside: true, depth: depth + 1))
            skipSpace()
            if rest.first == "," {
                rest.removeFirst()
                skipSpace()
            } else if rest.first != "]" {
                throw fault("a comma or ] was expected")
            }
        }
        rest.removeFirst()
        return .array(elements)
    }

    private mutating func mapping(depth: Int) throws -> JSONValue {
        rest.removeFirst()
        var members: JSONObject = [:]
        skipSpace()
        while rest.first != "}" {
            let key = try key()
            guard members[key] == nil else { throw fault("the key \"\(key)\" stands twice") }
            members[key] = try value(inside: true, depth: depth + 1)
            skipSpace()
            if rest.first == "," {
                rest.removeFirst()
                skipSpace()
            } else if rest.first != "}" {
                throw fault("a comma or } was expected")
            }
        }
        rest.removeFirst()
        return .object(members)
    }

    /// What begins like this is a part of YAML that is not read.
    private func refuseIndicator(_ text: Substring) throws {
        guard let first = text.first, "&*!|>?@`%,[]{}".contains(first) || text.hasPrefix("- ") else { return }
        throw CheckpointError.unsupported(
            "YAML's anchors, tags, block texts and complex keys are not read (line \(line))", file: file,
            expected: "plain keys and values", found: String(text.prefix(40)))
    }

    private mutating func quoted() throws -> String {
        let quote = rest.removeFirst()
        var out = ""
        while let character = rest.popFirst() {
            if character == quote {
                if quote == "'", rest.first == "'" {
                    rest.removeFirst()
                    out.append("'")
                    continue
                }
                return out
            }
            guard character == "\\", quote == "\"" else {
                out.append(character)
                continue
            }
            switch rest.popFirst() {
            case "n": out.append("\n")
            case "t": out.append("\t")
            case "r": out.append("\r")
            case "0": out.append("\0")
            case "\\": out.append("\\")
            case "\"": out.append("\"")
            case "/": out.append("/")
            case "x": out.unicodeScalars.append(try scalar(digits: 2))
            case "u": out.unicodeScalars.append(try scalar(digits: 4))
            case "U": out.unicodeScalars.append(try scalar(digits: 8))
            default: throw fault("an unknown escape")
            }
        }
        throw fault("a quoted text is not closed on its line")
    }

    private mutating func scalar(digits: Int) throws -> Unicode.Scalar {
        let text = rest.prefix(digits)
        guard text.count == digits, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let code = UInt32(text, radix: 16), let scalar = Unicode.Scalar(code)
        else { throw fault("an escape is no character") }
        rest = rest[text.endIndex...]
        return scalar
    }
}

extension Substring {
    /// Without spaces and tabs at its ends.
    fileprivate var trimmingSpaces: String { String(self).trimmingSpaces }
}

extension String {
    fileprivate var trimmingSpaces: String {
        var part = self[...]
        while part.first == " " || part.first == "\t" { part.removeFirst() }
        while part.last == " " || part.last == "\t" { part.removeLast() }
        return String(part)
    }
}
