// A run of checkpoints as a page and as a drawing: what moves, when, and all figures.

internal import Layouts
internal import Reporting

/// Draws a timeline.
public struct TimelinePage: Sendable {
    private let timeline: Timeline

    public init(_ timeline: Timeline) { self.timeline = timeline }

    public var svg: String {
        Drawing.stack([pace.drawing] + maps.map(\.drawing), label: "How a run of checkpoints moves").standalone
    }

    public var html: String {
        var content: [Markup] = [
            .tag("p", [], "\(timeline.steps.count) checkpoints, \(timeline.steps.first?.label ?? "") to \(timeline.steps.last?.label ?? "")"),
            .tag("p", [("class", "faint")], timeline.summary),
            .tag("h2", [], "How fast the model moves"),
            .tag("figure", [], [pace.drawing.inline]),
            .tag("h2", [], "What moves"),
        ]
        for map in maps { content.append(.tag("figure", [], [map.drawing.inline])) }
        if !timeline.optimizer.isEmpty {
            content.append(.tag("h2", [], "What the optimizer holds"))
            content.append(
                .table(
                    [("norm", false)] + timeline.steps.map { ($0.label, true) },
                    timeline.optimizer.map { [$0.name] + $0.norms.map { $0.map(NumberText.significant) ?? "-" } }))
        }
        content.append(.tag("h2", [], "Norms"))
        content.append(
            .table(
                [("tensor", false)] + timeline.steps.map { ($0.label, true) },
                timeline.series.map { [$0.name] + $0.norms.map { $0.map(NumberText.significant) ?? "-" } }))
        content.append(.tag("h2", [], "Relative change"))
        content.append(
            .table(
                [("tensor", false)] + intervals.map { ($0, true) },
                timeline.series.map {
                    [$0.name] + $0.changes.map { $0.map { NumberText.significant($0.relativeL2) } ?? "-" }
                }))
        return Page(title: "A run of checkpoints", content: content).source
    }

    /// "600 to 1200", ...
    private var intervals: [String] {
        zip(timeline.steps, timeline.steps.dropFirst()).map { "\($0.label) to \($1.label)" }
    }

    /// The same for drawings, where many have room only for the step they end with.
    private var columns: [String] {
        timeline.steps.count > 8 ? timeline.steps.dropFirst().map(\.label) : intervals
    }

    private var unit: String {
        timeline.spans.allSatisfy { $0 != nil } ? "relative change for 1000 steps" : "relative change from one to the next"
    }

    private var pace: BarChart {
        BarChart(
            title: "Relative change of the whole model",
            caption: unit + ", ‖b - a‖ / ‖a‖, up to the step below; the tallest bar is "
                + NumberText.significant(
                    timeline.total.relative.indices.map { timeline.rate(timeline.total.relative[$0], interval: $0) }.max() ?? 0),
            bars: timeline.total.relative.enumerated().map { index, relative in
                let rate = timeline.rate(relative, interval: index)
                return (
                    timeline.steps[index + 1].label, rate,
                    "\(intervals[index]): \(NumberText.significant(relative)), \(NumberText.significant(rate)) as a rate"
                )
            })
    }

    private var maps: [HeatMap] {
        func row(_ label: String, _ movement: Timeline.Movement) -> (label: String, cells: [HeatCell]) {
            (
                label,
                movement.relative.enumerated().map { index, relative in
                    let rate = timeline.rate(relative, interval: index)
                    return HeatCell(
                        value: rate, title: "\(label), \(intervals[index]): \(NumberText.significant(relative)), "
                            + "\(NumberText.significant(rate)) as a rate")
                }
            )
        }
        var maps: [HeatMap] = []
        if !timeline.layers.isEmpty {
            maps.append(
                HeatMap(
                    title: "By layer", unit: unit + ", logarithmic", columns: columns,
                    rows: timeline.layers.map { row("layer \($0.layer ?? 0)", $0) }))
        }
        if !timeline.roles.isEmpty {
            maps.append(
                HeatMap(
                    title: "By role", unit: unit + ", logarithmic", columns: columns,
                    rows: timeline.roles.map { row($0.role?.rawValue.replacingUnderscores ?? "", $0) }))
        }
        return maps
    }
}
