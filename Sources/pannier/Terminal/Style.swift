// Colour and numbers as people read them.

internal import Bytes
internal import Platform
internal import Reporting

/// What a piece of text means; the terminal's palette decides how it looks.
enum Emphasis {
    case heading, good, warning, failure, faint
}

/// Paints text for one of the output streams, or leaves it as it is.
struct Style {
    let enabled: Bool

    static var standardOutput: Style { Style(descriptor: STDOUT_FILENO) }
    static var standardError: Style { Style(descriptor: STDERR_FILENO) }

    private init(descriptor: Int32) {
        switch Console.color {
        case .always: enabled = true
        case .never: enabled = false
        case .auto:
            let dumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false
            let refused = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
            enabled = isatty(descriptor) == 1 && !refused && !dumb
        }
    }

    func paint(_ text: String, _ emphasis: Emphasis) -> String {
        guard enabled else { return text }
        let code =
            switch emphasis {
            case .heading: "1"
            case .good: "32"
            case .warning: "33"
            case .failure: "1;31"
            case .faint: "2"
            }
        return "\u{1B}[\(code)m\(text)\u{1B}[0m"
    }
}

/// Numbers as people read them.
enum Human {
    /// `4.40 GB`, in powers of 1000 as disks and downloads are counted.
    static func bytes(_ count: UInt64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        guard count >= 1000 else { return "\(count) B" }
        var value = Double(count)
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + " " + units[unit]
    }

    /// `1,100,048,384`
    static func count(_ number: Int) -> String { NumberText.count(number) }

    /// A number with so many digits after the point.
    static func fixed(_ value: Double, _ places: Int) -> String { NumberText.fixed(value, places) }

    /// Three or four significant digits, in scientific notation where that is shorter: `0.0123`, `3.1e-07`.
    static func significant(_ value: Double) -> String { NumberText.significant(value) }

    /// `1:05` or `2 s`
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 360_000 else { return "?" }
        if seconds < 10 { return fixed(seconds, 1) + " s" }
        if seconds < 90 { return fixed(seconds, 0) + " s" }
        let whole = Int(seconds)
        let rest = whole % 60
        return "\(whole / 60):\(rest < 10 ? "0" : "")\(rest)"
    }
}

/// Columns of text, each as wide as its widest cell.
struct Table {
    enum Alignment { case left, right }
    private let alignments: [Alignment]
    private var rows: [[String]] = []

    init(_ alignments: [Alignment]) { self.alignments = alignments }

    mutating func add(_ cells: [String]) { rows.append(cells.map(\.escapingForTerminal)) }

    /// The lines, without trailing spaces.
    func lines(indent: Int = 0) -> [String] {
        var widths = Array(repeating: 0, count: alignments.count)
        for row in rows {
            for (column, cell) in row.enumerated() where column < widths.count {
                widths[column] = max(widths[column], cell.count)
            }
        }
        return rows.map { row in
            var line = String(repeating: " ", count: indent)
            for (column, cell) in row.enumerated() where column < widths.count {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += alignments[column] == .left ? cell + padding : padding + cell
                line += "  "
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}

extension String {
    /// Control characters made visible: names come from files that nobody vouches for.
    var escapingForTerminal: String { escapingControlCharacters }
}
