// Elements and text of HTML and SVG, written so that both an HTML parser and an XML parser read the same tree.

/// A piece of a document. Text and attribute values may be anything; they are escaped when they are written.
public indirect enum Markup: Sendable {
    case text(String)
    case element(String, [(String, String)], [Markup])
    /// The inside of a style element: this program's own rules, never anything out of a file.
    case rules(String)

    /// An element with attributes and children.
    public static func tag(_ name: String, _ attributes: [(String, String)] = [], _ children: [Markup] = []) -> Markup {
        .element(name, attributes, children)
    }

    /// An element with attributes and text.
    public static func tag(_ name: String, _ attributes: [(String, String)] = [], _ text: String) -> Markup {
        .element(name, attributes, [.text(text)])
    }

    /// A table whose columns of numbers are set to the right.
    public static func table(_ columns: [(title: String, number: Bool)], _ rows: [[String]]) -> Markup {
        func attributes(_ column: Int) -> [(String, String)] {
            column < columns.count && columns[column].number ? [("class", "n")] : []
        }
        return .tag(
            "div", [("class", "scroll")],
            [
                .tag(
                    "table", [],
                    [
                        .tag(
                            "thead", [],
                            [.tag("tr", [], columns.enumerated().map { .tag("th", attributes($0.offset), $0.element.title) })]),
                        .tag(
                            "tbody", [],
                            rows.map { row in
                                .tag("tr", [], row.enumerated().map { .tag("td", attributes($0.offset), $0.element) })
                            }),
                    ])
            ])
    }

    /// The document as text.
    public var source: String {
        var out = ""
        write(to: &out)
        return out
    }

    /// Elements of HTML that have no end tag; those of SVG may be closed at once in HTML too.
    private static let empty: Set<String> = ["meta", "br", "hr", "col", "rect", "line", "path", "polyline", "circle", "stop"]
    /// Elements after which a line break makes the source easier to read and changes nothing.
    private static let blocks: Set<String> = [
        "html", "head", "body", "title", "style", "main", "section", "h1", "h2", "p", "table", "thead", "tbody", "tr",
        "svg", "g", "rect", "text", "details", "figure", "figcaption", "meta", "polyline", "line",
        "circle", "path", "ul", "li",
    ]

    private func write(to out: inout String) {
        switch self {
        case .text(let text): Markup.escape(text, to: &out)
        case .rules(let rules): out += rules
        case .element(let name, let attributes, let children):
            out += "<" + name
            for (key, value) in attributes {
                out += " " + key + "=\""
                Markup.escape(value, to: &out)
                out += "\""
            }
            if children.isEmpty, Markup.empty.contains(name) {
                out += "/>"
            } else {
                out += ">"
                for child in children { child.write(to: &out) }
                out += "</" + name + ">"
            }
            if Markup.blocks.contains(name) { out += "\n" }
        }
    }

    /// Writes text so that it can be nothing but text: names come from files that nobody vouches for. Control
    /// characters, which XML forbids, and characters that turn the direction of writing round become visible.
    private static func escape(_ text: String, to out: inout String) {
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x26: out += "&amp;"
            case 0x3C: out += "&lt;"
            case 0x3E: out += "&gt;"
            case 0x22: out += "&quot;"
            case 0x27: out += "&#39;"
            case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069, 0xFFFE, 0xFFFF:
                out += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: out.unicodeScalars.append(scalar)
            }
        }
    }
}

/// A whole HTML page that needs nothing else: no script, no font, no picture from elsewhere.
public struct Page: Sendable {
    private let title: String
    private let content: [Markup]

    public init(title: String, content: [Markup]) {
        self.title = title
        self.content = content
    }

    public var source: String {
        "<!DOCTYPE html>\n"
            + Markup.tag(
                "html", [("lang", "en"), ("xmlns", "http://www.w3.org/1999/xhtml")],
                [
                    .tag(
                        "head", [],
                        [
                            .tag("meta", [("charset", "utf-8")]),
                            .tag("meta", [("name", "viewport"), ("content", "width=device-width, initial-scale=1")]),
                            .tag("title", [], title),
                            .tag("style", [], [.rules(Theme.rules + Theme.pageRules)]),
                        ]),
                    .tag("body", [], [.tag("main", [], [.tag("h1", [], title)] + content)]),
                ]
            ).source
    }
}

/// A drawing: placed in a page, or a file of its own.
public struct Drawing: Sendable {
    public let width: Double
    public let height: Double
    /// What it shows, for those who cannot see it.
    public let label: String
    public let content: [Markup]

    public init(width: Double, height: Double, label: String, content: [Markup]) {
        self.width = width
        self.height = height
        self.label = label
        self.content = content
    }

    /// An svg element, for a figure that can be scrolled where the page is narrower.
    public var inline: Markup { element(content) }

    /// A file of its own, with its colours in it.
    public var standalone: String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            + element([
                .tag("style", [], [.rules(Theme.rules)]),
                .tag("rect", [("width", "100%"), ("height", "100%"), ("class", "paper")]),
            ] + content).source
    }

    private func element(_ children: [Markup]) -> Markup {
        .tag(
            "svg",
            [
                ("xmlns", "http://www.w3.org/2000/svg"), ("viewBox", "0 0 \(SVG.number(width)) \(SVG.number(height))"),
                ("width", SVG.number(width)), ("height", SVG.number(height)), ("role", "img"), ("aria-label", label),
            ], children)
    }

    /// Several drawings, one above the other, as one.
    public static func stack(_ drawings: [Drawing], label: String, gap: Double = 16) -> Drawing {
        var y = 0.0
        var content: [Markup] = []
        for drawing in drawings {
            content.append(.tag("g", [("transform", "translate(0 \(SVG.number(y)))")], drawing.content))
            y += drawing.height + gap
        }
        return Drawing(
            width: drawings.map(\.width).max() ?? 0, height: max(0, y - gap), label: label, content: content)
    }
}

/// Parts of drawings.
public enum SVG {
    /// A coordinate with at most two digits after the point.
    public static func number(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e9 else { return "0" }
        let hundredths = Int((value * 100).rounded())
        if hundredths % 100 == 0 { return "\(hundredths / 100)" }
        return "\(Double(hundredths) / 100)"
    }

    public static func text(
        _ text: String, x: Double, y: Double, anchor: String = "start", style: String = "ink", size: Double = 12
    ) -> Markup {
        .tag(
            "text",
            [
                ("x", number(x)), ("y", number(y)), ("text-anchor", anchor), ("class", style),
                ("font-size", number(size)),
            ], text)
    }

    /// A rectangle that says `title` when the pointer rests on it.
    public static func box(
        x: Double, y: Double, width: Double, height: Double, fill: String? = nil, style: String? = nil,
        title: String? = nil
    ) -> Markup {
        var attributes = [
            ("x", number(x)), ("y", number(y)), ("width", number(width)), ("height", number(height)),
        ]
        if let fill { attributes.append(("fill", fill)) }
        if let style { attributes.append(("class", style)) }
        return .tag("rect", attributes, title.map { [.tag("title", [], $0)] } ?? [])
    }
}

/// The colours of pages and drawings, by day and by night.
enum Theme {
    static let rules = """
        :root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --faint: #5a636e; --rule: #d4d9df; \
        --mark: #31688e; --same: #eceff2; --wrong: #c04a00; }
        @media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e4e8ec; --faint: #9aa4ae; \
        --rule: #353b42; --mark: #6fa8d6; --same: #23282d; --wrong: #ff9d5c; } }
        .paper { fill: var(--paper); }
        svg text { font-family: ui-sans-serif, system-ui, sans-serif; }
        .ink { fill: var(--ink); }
        .faint { fill: var(--faint); }
        .mark { fill: var(--mark); }
        .stroke { stroke: var(--mark); fill: none; stroke-width: 1.5; }
        .axis { stroke: var(--rule); stroke-width: 1; }
        .same { fill: var(--same); }
        .wrong { fill: var(--wrong); }
        .thread { stroke: var(--faint); fill: none; stroke-width: 1; }
        .limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3; }

        """

    static let pageRules = """
        body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 ui-sans-serif, system-ui, sans-serif; }
        main { max-width: 70rem; margin: 0 auto; padding: 1.5rem; }
        h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
        p.faint, figcaption { color: var(--faint); }
        p.verdict { font-size: 1.1rem; font-weight: 600; }
        p.verdict.wrong, li.wrong { color: var(--wrong); }
        figure { margin: 1rem 0; overflow-x: auto; }
        .grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 0 1.5rem; }
        .grid figure { margin: 0.4rem 0; }
        p { overflow-wrap: anywhere; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem; }
        th, td { padding: 0.15rem 0.6rem; border-bottom: 1px solid var(--rule); text-align: left; white-space: nowrap; }
        th.n, td.n { text-align: right; }
        code { overflow-wrap: anywhere; }

        """
}
