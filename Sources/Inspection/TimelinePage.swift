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
        let ends = "\(timeline.steps.first?.label ?? "") to \(timeline.steps.last?.label ?? "")"
        var content: [Markup] = [
            .tag("p", [], "\(timeline.steps.count) checkpoints, \(ends)"),
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
                    [$0.name] + $0.changes.map { $0.map { FigureText.significant($0.relativeL2) } ?? "-" }
                }))
        content += gaps + notFinite
        return Page(title: "A run of checkpoints", content: content).source
    }

    /// Tensors that some step does not have as the first.
    private var gaps: [Markup] {
        guard !timeline.gaps.isEmpty else { return [] }
        return [
            .tag("h2", [], "Missing tensors, other shapes"),
            .table(
                [("tensor", false), ("step", false), ("there", false), ("in the first", false)],
                timeline.gaps.map { [$0.name, timeline.steps[$0.step].label, $0.found ?? "missing", $0.expected] }),
        ]
    }

    /// Tensors with values that are not numbers, and how many in each step.
    private var notFinite: [Markup] {
        let bad = timeline.series.filter { $0.notFinite.contains { ($0 ?? 0) > 0 } }
        guard !bad.isEmpty else { return [] }
        return [
            .tag("h2", [], "Values that are NaN or infinite"),
            .table(
                [("tensor", false)] + timeline.steps.map { ($0.label, true) },
                bad.map { [$0.name] + $0.notFinite.map { $0.map(NumberText.count) ?? "-" } }),
        ]
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

    /// "0.1159, 0.3863 as a rate"
    private static func rateText(_ relative: Double, _ rate: Double) -> String {
        "\(FigureText.significant(relative)), "
            + (rate.isFinite ? "\(NumberText.significant(rate)) as a rate" : "no rate: from zero, or not finite")
    }

    private var pace: BarChart {
        let rates = timeline.total.magnitudes.enumerated().map { timeline.rate($1, interval: $0) }
        return BarChart(
            title: "Relative change of the whole model",
            caption: unit + ", ‖b - a‖ / ‖a‖, up to the step below; the tallest bar is "
                + NumberText.significant(rates.filter(\.isFinite).max() ?? 0),
            bars: rates.enumerated().map { index, rate in
                let said = Self.rateText(timeline.total.relative[index], rate)
                return (timeline.steps[index + 1].label, rate, "\(intervals[index]): \(said)")
            })
    }

    private var maps: [HeatMap] {
        func row(_ label: String, _ movement: Timeline.Movement) -> (label: String, cells: [HeatCell]) {
            (
                label,
                movement.magnitudes.enumerated().map { index, magnitude in
                    let rate = timeline.rate(magnitude, interval: index)
                    let said = Self.rateText(movement.relative[index], rate)
                    return HeatCell(value: rate, title: "\(label), \(intervals[index]): \(said)")
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
