// The two drawings of the reports: a heat map of rows and columns, and bars.

/// A cell of a heat map.
public struct HeatCell: Sendable {
    /// Its magnitude; 0 is drawn as "the same", infinity as the most, nil as nothing there.
    public var value: Double?
    /// What is said when the pointer rests on it.
    public var title: String

    public init(value: Double?, title: String) {
        self.value = value
        self.title = title
    }
}

/// Magnitudes by row and column on a logarithmic scale of colours, with a legend.
public struct HeatMap: Sendable {
    public var title: String
    public var columns: [String]
    public var rows: [(label: String, cells: [HeatCell])]
    /// What the magnitudes are, for the legend.
    public var unit: String

    public init(title: String, unit: String, columns: [String], rows: [(label: String, cells: [HeatCell])]) {
        self.title = title
        self.unit = unit
        self.columns = columns
        self.rows = rows
    }

    /// The scale of its colours.
    public var scale: LogScale { LogScale(rows.flatMap(\.cells).compactMap(\.value)) }

    public var drawing: Drawing {
        let scale = scale
        let left = 16.0 + 6.5 * Double(rows.map(\.label.count).max() ?? 0)
        let top = 54.0
        let longest = Double(columns.map(\.count).max() ?? 0)
        // Many columns are narrow, and have a label only as often as there is room for one.
        let cellWidth = max(12.0, min(max(26, longest * 6.8 + 10), 900 / Double(max(1, columns.count))))
        let every = max(1, Int(((longest * 6.8 + 4) / cellWidth).rounded(.up)))
        let cellHeight = rows.count > 40 ? 14.0 : 20.0
        var content = [SVG.text(title, x: 8, y: 18, size: 14)]
        for (index, column) in columns.enumerated() where index % every == 0 {
            content.append(
                SVG.text(
                    column, x: left + (Double(index) + 0.5) * cellWidth, y: top - 8, anchor: "middle", style: "faint",
                    size: 11))
        }
        for (index, row) in rows.enumerated() {
            let y = top + Double(index) * cellHeight
            content.append(SVG.text(row.label, x: left - 6, y: y + cellHeight - 5, anchor: "end", style: "faint", size: 11))
            for (column, cell) in row.cells.enumerated() {
                guard let value = cell.value else { continue }
                let place = scale.place(of: value)
                content.append(
                    SVG.box(
                        x: left + Double(column) * cellWidth, y: y, width: cellWidth - 1, height: cellHeight - 1,
                        fill: place.map(ColorRamp.color), style: place == nil ? "same" : nil, title: cell.title))
            }
        }
        let bottom = top + Double(rows.count) * cellHeight + 12
        content += legend(scale, x: left, y: bottom)
        let legendWidth = left + 60 + Double(scale.decades.count) * 46 + 20
        return Drawing(
            width: max(left + Double(columns.count) * cellWidth + 12, legendWidth, 16 + Double(title.count) * 8),
            height: bottom + 52, label: title, content: content)
    }

    private func legend(_ scale: LogScale, x: Double, y: Double) -> [Markup] {
        var content = [
            SVG.box(x: x, y: y, width: 40, height: 12, style: "same"),
            SVG.text("0", x: x + 20, y: y + 26, anchor: "middle", style: "faint", size: 11),
        ]
        let start = x + 60
        let width = Double(scale.decades.count - 1) * 46
        let steps = max(1, (scale.decades.count - 1) * 8)
        for step in 0..<steps {
            content.append(
                SVG.box(
                    x: start + width * Double(step) / Double(steps), y: y, width: width / Double(steps) + 0.5, height: 12,
                    fill: ColorRamp.color(at: (Double(step) + 0.5) / Double(steps))))
        }
        for (index, decade) in scale.decades.enumerated() {
            content.append(
                SVG.text(
                    "1e\(decade)", x: start + Double(index) * 46, y: y + 26, anchor: "middle", style: "faint", size: 11))
        }
        content.append(SVG.text(unit, x: x, y: y + 42, style: "faint", size: 11))
        return content
    }
}

/// Counts or shares as bars beside each other.
public struct BarChart: Sendable {
    public var title: String
    /// What stands under the bars, and what is said when the pointer rests on one. An infinite value is as tall as the
    /// tallest.
    public var bars: [(label: String, value: Double, title: String)]
    /// Empty where the page says it, once for several.
    public var caption: String
    /// What all bars take together where they are many, in points.
    public var room: Double

    public init(
        title: String, caption: String = "", room: Double = 640, bars: [(label: String, value: Double, title: String)]
    ) {
        self.title = title
        self.caption = caption
        self.room = room
        self.bars = bars
    }

    public var drawing: Drawing {
        let barWidth = max(7.0, min(34, room / Double(max(1, bars.count))))
        let height = 120.0
        let top = 32.0
        let left = 16.0
        let tallest = max(bars.map(\.value).filter(\.isFinite).max() ?? 0, 1e-300)
        var content = [SVG.text(title, x: 8, y: 18, size: 14)]
        // Every label where there is room, otherwise every second, third, ...
        let longest = Double(bars.map(\.label.count).max() ?? 0)
        let every = max(1, Int(((longest * 6.2 + 4) / barWidth).rounded(.up)))
        for (index, bar) in bars.enumerated() {
            let x = left + Double(index) * barWidth
            let tall = bar.value > 0 ? max(1, min(1, bar.value / tallest) * height) : 0
            // The whole column answers to the pointer, however low its bar is.
            content.append(
                .tag(
                    "g", [],
                    [
                        .tag("title", [], bar.title),
                        .tag(
                            "rect",
                            [
                                ("x", SVG.number(x)), ("y", SVG.number(top)), ("width", SVG.number(barWidth)),
                                ("height", SVG.number(height)), ("fill", "transparent"),
                            ]),
                        SVG.box(x: x, y: top + height - tall, width: barWidth - 1, height: tall, style: "mark"),
                    ]))
            if index % every == 0 {
                content.append(
                    SVG.text(
                        bar.label, x: x + barWidth / 2, y: top + height + 14, anchor: "middle", style: "faint", size: 10))
            }
        }
        let width = left + Double(bars.count) * barWidth + 12
        content.append(
            .tag(
                "line",
                [
                    ("x1", SVG.number(left)), ("x2", SVG.number(width - 12)), ("y1", SVG.number(top + height + 0.5)),
                    ("y2", SVG.number(top + height + 0.5)), ("class", "axis"),
                ]))
        if !caption.isEmpty { content.append(SVG.text(caption, x: left, y: top + height + 32, style: "faint", size: 11)) }
        return Drawing(
            width: max(width, 16 + Double(title.count) * 7.6, left + Double(caption.count) * 6.2 + 8),
            height: top + height + (caption.isEmpty ? 22 : 42), label: title, content: content)
    }
}
