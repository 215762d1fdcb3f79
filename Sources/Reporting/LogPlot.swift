// Magnitudes of a row of things beside each other (layers, steps) on a logarithmic axis: dots, lines and limits.

/// Several magnitudes of each of some columns.
public struct LogPlot: Sendable {
    /// How a series is drawn.
    public enum Form: Sendable {
        /// A dot a column; a diamond in another colour where the column is marked.
        case dots
        /// A thin line from column to column.
        case line
        /// A short dash over each column, for limits.
        case dashes
    }

    public struct Series: Sendable {
        /// What the legend calls it.
        public var name: String
        public var form: Form
        /// One a column; nil draws nothing, 0 stands in a lane of its own under the axis.
        public var values: [Double?]

        public init(_ name: String, _ form: Form, _ values: [Double?]) {
            self.name = name
            self.form = form
            self.values = values
        }
    }

    /// A column: what stands under it, and what is said when the pointer rests on it.
    public struct Column: Sendable {
        public var label: String
        public var title: String
        /// Its dots are shown as wrong.
        public var isMarked: Bool

        public init(label: String, title: String, isMarked: Bool) {
            self.label = label
            self.title = title
            self.isMarked = isMarked
        }
    }

    public var title: String
    public var caption: String
    public var columns: [Column]
    public var series: [Series]
    /// What the legend calls marked dots.
    public var mark: String

    public init(title: String, caption: String, columns: [Column], series: [Series], mark: String) {
        self.title = title
        self.caption = caption
        self.columns = columns
        self.series = series
        self.mark = mark
    }

    private static let left = 56.0, top = 58.0, plotHeight = 180.0, lane = 22.0

    private var hasZero: Bool { series.contains { $0.values.contains { $0 == 0 } } }
    private var columnWidth: Double { max(14, min(64, 760 / Double(max(1, columns.count)))) }
    private var right: Double { Self.left + columnWidth * Double(columns.count) }

    public var drawing: Drawing {
        let scale = LogScale(series.flatMap { $0.values.compactMap { $0 } }, decades: 12)
        let steps = Double(scale.decades.count - 1)
        let tall = steps * max(20, min(60, Self.plotHeight / steps))
        let floor = Self.top + tall + (hasZero ? Self.lane : 0)
        func x(_ column: Int) -> Double { Self.left + columnWidth * (Double(column) + 0.5) }
        func y(_ value: Double) -> Double {
            guard !value.isNaN else { return Self.top }
            guard let place = scale.place(of: value) else { return floor }
            return Self.top + tall * (1 - place)
        }
        var content = [SVG.text(title, x: 8, y: 18, size: 14)]
        content += legend
        for decade in scale.decades {
            let at = Self.top + tall * (1 - (Double(decade) - scale.low) / (scale.high - scale.low))
            content.append(SVG.rule(x1: Self.left, y1: at, x2: right, y2: at))
            content.append(SVG.text("1e\(decade)", x: Self.left - 8, y: at + 4, anchor: "end", style: "faint", size: 11))
        }
        if hasZero {
            content.append(SVG.rule(x1: Self.left, y1: floor, x2: right, y2: floor))
            content.append(SVG.text("0", x: Self.left - 8, y: floor + 4, anchor: "end", style: "faint", size: 11))
        }
        for form in [Form.dashes, .line] {
            for one in series where one.form == form { content += draw(one, x, y) }
        }
        let longest = Double(columns.map(\.label.count).max() ?? 0)
        let every = max(1, Int(((longest * 6.2 + 6) / columnWidth).rounded(.up)))
        for (index, column) in columns.enumerated() {
            if index % every == 0 || index == columns.count - 1 && (index % every) * 2 > every {
                content.append(
                    SVG.text(column.label, x: x(index), y: floor + 20, anchor: "middle", style: "faint", size: 11))
            }
            // The whole column answers to the pointer.
            let target = Markup.tag(
                "rect",
                [
                    ("x", SVG.number(x(index) - columnWidth / 2)), ("y", SVG.number(Self.top)),
                    ("width", SVG.number(columnWidth)), ("height", SVG.number(floor - Self.top)), ("fill", "transparent"),
                ])
            let dots = series.filter { $0.form == .dots }.compactMap { one -> Markup? in
                guard index < one.values.count, let value = one.values[index] else { return nil }
                return SVG.dot(x: x(index), y: y(value), marked: column.isMarked)
            }
            content.append(.tag("g", [], [.tag("title", [], column.title), target] + dots))
        }
        content.append(SVG.text(caption, x: 8, y: floor + 42, style: "faint", size: 11))
        return Drawing(
            width: max(right + 12, legendWidth, 16 + Double(max(title.count, caption.count)) * 6.2), height: floor + 52,
            label: title, content: content)
    }

    private func draw(_ one: Series, _ x: (Int) -> Double, _ y: (Double) -> Double) -> [Markup] {
        let points = one.values.enumerated().compactMap { index, value in value.map { (x: x(index), y: y($0)) } }
        switch one.form {
        case .dots: return []
        case .line:
            return [
                .tag(
                    "polyline",
                    [
                        ("points", points.map { "\(SVG.number($0.x)),\(SVG.number($0.y))" }.joined(separator: " ")),
                        ("class", "thread"),
                    ])
            ]
        case .dashes:
            let half = columnWidth * 0.36
            return points.map { SVG.rule(x1: $0.x - half, y1: $0.y, x2: $0.x + half, y2: $0.y, style: "limit") }
        }
    }

    // MARK: Legend

    private struct Entry {
        let name: String
        let width: Double
        let sign: (_ x: Double, _ y: Double) -> Markup

        init(_ name: String, _ sign: @escaping (_ x: Double, _ y: Double) -> Markup) {
            self.name = name
            self.sign = sign
            width = 34 + Double(name.count) * 6.2
        }
    }

    private var entries: [Entry] {
        var entries = series.map { one in
            Entry(one.name) { x, y in
                switch one.form {
                case .dots: SVG.dot(x: x + 8, y: y, marked: false)
                case .line: SVG.rule(x1: x, y1: y, x2: x + 16, y2: y, style: "thread")
                case .dashes: SVG.rule(x1: x, y1: y, x2: x + 16, y2: y, style: "limit")
                }
            }
        }
        if columns.contains(where: \.isMarked) {
            entries.append(Entry(mark) { SVG.dot(x: $0 + 8, y: $1, marked: true) })
        }
        return entries
    }

    private var legend: [Markup] {
        var x = Self.left, content: [Markup] = []
        for entry in entries {
            content += [entry.sign(x, 36), SVG.text(entry.name, x: x + 21, y: 40, style: "faint", size: 11)]
            x += entry.width
        }
        return content
    }

    private var legendWidth: Double { Self.left + entries.reduce(0) { $0 + $1.width } }
}

extension SVG {
    /// A line between two points.
    static func rule(x1: Double, y1: Double, x2: Double, y2: Double, style: String = "axis") -> Markup {
        .tag(
            "line",
            [
                ("x1", number(x1)), ("y1", number(y1)), ("x2", number(x2)), ("y2", number(y2)), ("class", style),
            ])
    }

    /// A dot, or where it is marked a diamond: the shape tells them apart where colour does not.
    static func dot(x: Double, y: Double, marked: Bool) -> Markup {
        guard marked else {
            return .tag("circle", [("cx", number(x)), ("cy", number(y)), ("r", "4"), ("class", "mark")])
        }
        return .tag(
            "path",
            [("d", "M\(number(x)) \(number(y - 6.5))l6.5 6.5l-6.5 6.5l-6.5 -6.5z"), ("class", "wrong")])
    }
}
