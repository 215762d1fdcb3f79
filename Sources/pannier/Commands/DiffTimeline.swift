// `pannier diff` of a run: the timeline as text and as JSON.

internal import Bytes
internal import Inspection
internal import JSONText
internal import Layouts
internal import OrderedCollections
internal import Reporting

enum TimelineText {
    static func print(_ timeline: Timeline) {
        let style = Style.standardOutput
        let first = timeline.steps.first?.label ?? ""
        let last = timeline.steps.last?.label ?? ""
        Console.print(
            style.paint("\(timeline.steps.count) checkpoints", .heading)
                + ", \(first) to \(last): \(timeline.summary)".escapingForTerminal)
        let known = timeline.spans.allSatisfy { $0 != nil }
        let rate = known ? "per 1000 steps" : "per interval"
        Console.print()
        var table = Table([.left, .right, .right, .right, .left])
        table.add(["from  to", "rel. change", rate, "norm", "most in"])
        for (index, relative) in timeline.total.relative.enumerated() {
            let fastest = timeline.layers.max { $0.magnitudes[index] < $1.magnitudes[index] }
            table.add([
                "\(timeline.steps[index].label) → \(timeline.steps[index + 1].label)", FigureText.significant(relative),
                FigureText.significant(timeline.rate(relative, interval: index)),
                FigureText.significant(timeline.total.norms[index + 1]),
                fastest.map { "layer \($0.layer ?? 0) (\(FigureText.significant($0.relative[index])))" } ?? "",
            ])
        }
        for line in table.lines(indent: 2) { Console.print(line) }
        printGaps(timeline)
        printNotFinite(timeline)
        printMap(timeline, rate: rate)
        printActivity(timeline)
        for one in timeline.optimizer {
            let norms = one.norms.map { $0.map(Human.significant) ?? "-" }.joined(separator: " → ")
            Console.print("  optimizer \(one.name): norm \(norms)")
        }
    }

    /// Tensors that some step lacks or has otherwise, each once for each kind.
    private static func printGaps(_ timeline: Timeline) {
        let shown = 8
        let groups = OrderedDictionary(grouping: timeline.gaps, by: { [$0.name, $0.kind.rawValue, $0.found ?? ""] })
        for gaps in groups.values.prefix(shown) {
            guard let first = gaps.first else { continue }
            let steps = gaps.prefix(shown).map { timeline.steps[$0.step].label }.joined(separator: ", ")
                + (gaps.count > shown ? ", ... \(gaps.count) steps" : "")
            let text = switch first.kind {
            case .missing: "missing: \(first.name) is not in \(steps)"
            case .otherShape: "shape: \(first.name) is \(first.found ?? "") in \(steps), \(first.expected) before"
            case .otherType: "dtype: \(first.name) is \(first.found ?? "") in \(steps), not comparable with the step before"
            }
            Console.print("  " + text.escapingForTerminal)
        }
        if groups.count > shown { Console.print("  ... and \(groups.count - shown) more (--json lists all)") }
    }

    /// Steps with values that are not numbers, and in which tensors they are.
    private static func printNotFinite(_ timeline: Timeline) {
        for (index, step) in timeline.steps.enumerated() where timeline.total.notFinite[index] > 0 {
            let names = timeline.series.filter { ($0.notFinite[index] ?? 0) > 0 }.map(\.name)
            let shown = names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", ... \(names.count) tensors" : "")
            let said = FigureText.notFinite(timeline.total.notFinite[index])
            Console.print("  not finite: \(said) in \(step.label) (\(shown))".escapingForTerminal)
        }
    }

    private static func printMap(_ timeline: Timeline, rate: String) {
        let rows = timeline.layers + timeline.roles
        guard !rows.isEmpty else { return }
        func rates(_ movement: Timeline.Movement) -> [Double] {
            movement.magnitudes.enumerated().map { timeline.rate($0.element, interval: $0.offset) }
        }
        let heat = HeatText(rows.flatMap(rates))
        Console.print()
        Console.print("  relative change \(rate), by layer and by role, from left to right in the order of the steps")
        // Wide cells where there is room.
        let width = timeline.total.relative.count <= 12 ? 3 : 1
        func cells(_ movement: Timeline.Movement) -> String {
            rates(movement).map { String(repeating: heat.block($0), count: width) }.joined(separator: width > 1 ? " " : "")
        }
        var table = Table([.right, .left, .right, .left])
        for index in 0..<max(timeline.layers.count, timeline.roles.count) {
            let layer = index < timeline.layers.count ? timeline.layers[index] : nil
            let role = index < timeline.roles.count ? timeline.roles[index] : nil
            table.add([
                layer.map { "layer \($0.layer ?? 0)" } ?? "", layer.map(cells) ?? "", role?.role?.rawValue ?? "",
                role.map(cells) ?? "",
            ])
        }
        for line in table.lines(indent: 2) { Console.print(line) }
        let beyond = rows.flatMap(rates).allSatisfy(\.isFinite) ? "" : "  ! from zero, NaN or infinite"
        Console.print(Style.standardOutput.paint("  " + heat.legend + beyond, .faint))
    }

    private static func printActivity(_ timeline: Timeline) {
        guard timeline.total.relative.count > 1, !timeline.layers.isEmpty else { return }
        let order = timeline.layers.map { (layer: $0.layer ?? 0, activity: timeline.activity($0)) }
            .sorted { $0.activity.rate > $1.activity.rate }
        func text(_ entry: (layer: Int, activity: (rate: Double, share: Double))) -> String {
            guard entry.activity.rate.isFinite else { return "layer \(entry.layer) (from zero, NaN or infinite)" }
            return "layer \(entry.layer) at \(Human.significant(entry.activity.rate)) "
                + "(\(Human.fixed(entry.activity.share * 100, 0)) % of its fastest)"
        }
        let moving = order.filter { $0.activity.share >= 0.1 && $0.activity.rate > 0 }
        Console.print()
        Console.print(
            moving.isEmpty
                ? "  every layer has come to rest: below 10 % of its fastest"
                : "  still moving: " + moving.prefix(8).map(text).joined(separator: ", ")
                    + (moving.count > 8 ? ", ... \(moving.count) of \(order.count) layers" : ""))
        let resting = order.filter { $0.activity.share < 0.1 }
        if !moving.isEmpty, !resting.isEmpty {
            Console.print("  at rest: " + resting.map { "layer \($0.layer)" }.joined(separator: ", "))
        }
    }
}

enum TimelineJSON {
    static func report(_ timeline: Timeline, tolerance: Double?) -> JSONValue {
        let changed = timeline.changed(within: tolerance).count
        func numbers(_ values: [Double?]) -> JSONValue { .array(values.map { $0.map { JSONValue($0) } ?? .null }) }
        func movement(_ one: Timeline.Movement) -> JSONValue {
            let activity = timeline.activity(one)
            var object: JSONObject = [:]
            if let layer = one.layer { object["layer"] = JSONValue(layer) }
            if let role = one.role { object["role"] = .string(role.rawValue) }
            object["relative_l2"] = numbers(one.relative)
            object["norms"] = numbers(one.norms)
            object["last_rate"] = JSONValue(activity.rate)
            object["share_of_fastest"] = JSONValue(activity.share)
            return .object(object)
        }
        func tensor(_ series: Timeline.Series) -> JSONValue {
            var object: JSONObject = [
                "name": .string(series.name), "role": JSONValue(series.role?.role.rawValue),
                "layer": series.role?.layer.map { JSONValue($0) } ?? .null,
            ]
            object["norms"] = numbers(series.norms)
            object["not_finite"] = .array(series.notFinite.map { $0.map { JSONValue($0) } ?? .null })
            object["relative_l2"] = numbers(series.changes.map { $0?.relativeL2 })
            object["max_abs"] = numbers(series.changes.map { $0?.maxAbs })
            object["rmse"] = numbers(series.changes.map { $0?.rmse })
            object["changed_fraction"] = numbers(series.changes.map { $0?.changedFraction })
            object["cosine"] = numbers(series.changes.map { $0?.cosine })
            return .object(object)
        }
        let missing = timeline.gaps.map { gap -> JSONValue in
            [
                "name": .string(gap.name), "step": .string(timeline.steps[gap.step].label), "index": JSONValue(gap.step),
                "kind": .string(gap.kind.rawValue), "found": JSONValue(gap.found), "expected": .string(gap.expected),
            ]
        }
        return [
            "schema": "pannier.diff/1",
            "identical": .bool(changed == 0),
            "tolerance": tolerance.map { JSONValue($0) } ?? .null,
            "changed": JSONValue(changed),
            "compared_by": .string(timeline.byRole ? "role" : "name"),
            "steps": .array(
                timeline.steps.enumerated().map { index, step in
                    [
                        "path": .string(step.path), "step": step.number.map { JSONValue($0) } ?? .null,
                        "norm": JSONValue(timeline.total.norms[index]),
                        "not_finite": JSONValue(timeline.total.notFinite[index]),
                        "relative_l2": index == 0 ? .null : JSONValue(timeline.total.relative[index - 1]),
                    ]
                }),
            "layers": .array(timeline.layers.map(movement)),
            "roles": .array(timeline.roles.map(movement)),
            "tensors": .array(timeline.series.map(tensor)),
            "missing": .array(missing),
            "optimizer": .array(
                timeline.optimizer.map {
                    ["name": .string($0.name), "norms": numbers($0.norms), "relative_l2": numbers($0.relative)]
                }),
        ]
    }
}
