// How much of each of several wholes is left: a drawing of bars within frames, one below the other.

/// Parts of wholes, all to one scale.
public struct ShareBars: Sendable {
    public struct Row: Sendable {
        public var label: String
        public var whole: Double
        public var part: Double
        /// What stands behind the bar, and what is said when the pointer rests on it.
        public var text: String
        public var title: String

        public init(label: String, whole: Double, part: Double, text: String, title: String) {
            self.label = label
            self.whole = whole
            self.part = part
            self.text = text
            self.title = title
        }
    }

    public var title: String
    public var caption: String
    public var rows: [Row]

    public init(title: String, caption: String, rows: [Row]) {
        self.title = title
        self.caption = caption
        self.rows = rows
    }

    public var drawing: Drawing {
        let left = 16.0 + 7 * Double(rows.map(\.label.count).max() ?? 0)
        let top = 32.0, longest = 360.0
        let height = rows.count > 40 ? 15.0 : 24.0
        let most = max(rows.map { max($0.whole, $0.part) }.max() ?? 0, 1e-300)
        var content = [SVG.text(title, x: 8, y: 18, size: 14)]
        for (index, row) in rows.enumerated() {
            let y = top + Double(index) * height
            content.append(SVG.text(row.label, x: left - 8, y: y + height - 8, anchor: "end", style: "faint", size: 11))
            content.append(
                SVG.box(x: left, y: y, width: row.whole / most * longest, height: height - 4, style: "same", title: row.title))
            content.append(
                SVG.box(x: left, y: y, width: row.whole / most * longest, height: height - 4, style: "thread"))
            content.append(
                SVG.box(x: left, y: y, width: row.part / most * longest, height: height - 4, style: "mark", title: row.title))
            content.append(
                SVG.text(row.text, x: left + max(row.whole, row.part) / most * longest + 8, y: y + height - 8, size: 11))
        }
        let bottom = top + Double(rows.count) * height
        content.append(SVG.text(caption, x: left, y: bottom + 16, style: "faint", size: 11))
        let text = 6.2 * Double(rows.map(\.text.count).max() ?? 0)
        return Drawing(
            width: max(left + longest + 16 + text, left + 6.2 * Double(caption.count) + 8, 16 + 8 * Double(title.count)),
            height: bottom + 28, label: title, content: content)
    }
}
