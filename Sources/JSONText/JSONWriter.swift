// JSON text from values: compact, or indented for people and for the files of other programs.

/// How JSON is laid out.
public enum JSONStyle: Sendable {
    /// One line without spaces.
    case compact
    /// Two spaces a level, `"key": value`, as Python's `json.dumps(indent=2)` lays it out.
    case indented
}

extension JSONValue {
    /// The document as text, without a newline at the end.
    public func text(_ style: JSONStyle = .indented) -> String {
        var out = ""
        write(to: &out, style: style, level: 0)
        return out
    }

    private func write(to out: inout String, style: JSONStyle, level: Int) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .integer(let value): out += String(value)
        case .unsigned(let value): out += String(value)
        case .number(let value): out += JSONValue.text(of: value)
        case .string(let value): JSONValue.quote(value, to: &out)
        case .array(let elements):
            list("[", "]", elements, to: &out, style: style, level: level) { element, out in
                element.write(to: &out, style: style, level: level + 1)
            }
        case .object(let members):
            list("{", "}", members, to: &out, style: style, level: level) { member, out in
                JSONValue.quote(member.key, to: &out)
                out += style == .compact ? ":" : ": "
                member.value.write(to: &out, style: style, level: level + 1)
            }
        }
    }

    private func list<Elements: Collection>(
        _ open: String, _ close: String, _ elements: Elements, to out: inout String, style: JSONStyle, level: Int,
        each: (Elements.Element, inout String) -> Void
    ) {
        out += open
        var first = true
        for element in elements {
            if !first { out += "," }
            first = false
            if style == .indented { out += "\n" + String(repeating: "  ", count: level + 1) }
            each(element, &out)
        }
        if style == .indented, !first { out += "\n" + String(repeating: "  ", count: level) }
        out += close
    }

    /// The shortest decimal that reads back as the same number; never NaN or an infinity.
    private static func text(of value: Double) -> String {
        guard value.isFinite else { return "null" }
        return value.description
    }

    private static func quote(_ text: String, to out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{08}": out += "\\b"
            case "\u{0C}": out += "\\f"
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F {
                    let hex = String(scalar.value, radix: 16)
                    out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    out.unicodeScalars.append(scalar)
                }
            }
        }
        out += "\""
    }
}
