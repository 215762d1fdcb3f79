// A comparison of two checkpoints as a page and as a drawing: heat map, distribution of the differences, all figures.

internal import Layouts
internal import Reporting

/// Draws what a comparison found.
public struct DifferencePage: Sendable {
    private let difference: CheckpointDifference
    private let a: ComparedCheckpoint
    private let b: ComparedCheckpoint
    private let tolerance: Double?
    private let verdict: String

    /// - Parameter verdict: the summary's sentence, as the terminal has it.
    public init(
        _ difference: CheckpointDifference, _ a: ComparedCheckpoint, _ b: ComparedCheckpoint, tolerance: Double?,
        verdict: String
    ) {
        self.difference = difference
        self.a = a
        self.b = b
        self.tolerance = tolerance
        self.verdict = verdict
    }

    /// The heat map and the distribution of all differences, as a file of its own.
    public var svg: String {
        var all = distributions.first
        all?.caption = Self.powers
        return Drawing.stack([heatMap.drawing] + (all.map { [$0.drawing] } ?? []), label: "Differences of two checkpoints")
            .standalone
    }

    public var html: String {
        var content: [Markup] = [
            .tag("p", [], verdict),
            .tag("p", [("class", "faint")], "A is \(a.path): \(a.summary)"),
            .tag("p", [("class", "faint")], "B is \(b.path): \(b.summary)"),
            .tag("h2", [], "Where they differ"),
            .tag("figure", [], [heatMap.drawing.inline]),
        ]
        content.append(.tag("h2", [], "How far the values are apart"))
        let distributions = distributions
        content.append(.tag("p", [("class", "faint")], distributions.isEmpty ? "No value differs." : Self.powers))
        content.append(
            .tag("div", [("class", "grid")], distributions.map { .tag("figure", [], [$0.drawing.inline]) }))
        let causes = difference.tensors.filter { !$0.causes.isEmpty }
        if !causes.isEmpty {
            content.append(.tag("h2", [], "Known causes, verified on every value"))
            content.append(
                .table(
                    [("tensor", false), ("cause", false)],
                    causes.map { tensor in [tensor.name, tensor.causes.map(\.sentence).joined(separator: "; ")] }))
        }
        content += missing + notFinite
        if !difference.facts.isEmpty {
            content.append(.tag("h2", [], "Config, tokenizer, metadata"))
            content.append(
                .table(
                    [("of", false), ("key", false), ("A", false), ("B", false)],
                    difference.facts.map { [$0.subject.rawValue, $0.key, $0.a ?? "absent", $0.b ?? "absent"] }))
        }
        content.append(.tag("h2", [], "All tensors"))
        content.append(table)
        return Page(title: "Differences of two checkpoints", content: content).source
    }

    // MARK: Parts

    private static func title(_ tensor: TensorDifference) -> String {
        guard let sums = tensor.sums else {
            return "\(tensor.name): not comparable, \(tensor.dtypeA) \(tensor.shapeA) and \(tensor.dtypeB) \(tensor.shapeB)"
        }
        if sums.changed == 0 { return "\(tensor.name): equal bit for bit" }
        return "\(tensor.name): relative L2 \(FigureText.significant(sums.relativeL2)), max |Δ| "
            + "\(FigureText.significant(sums.maxAbs)), \(FigureText.percent(sums.changed, of: sums.count)) changed"
            + (FigureText.notFinite(sums).map { "; \($0)" } ?? "")
    }

    private static func cell(_ tensor: TensorDifference?) -> HeatCell {
        guard let tensor else { return HeatCell(value: nil, title: "") }
        return HeatCell(value: tensor.sums?.magnitude ?? .infinity, title: title(tensor))
    }

    private var heatMap: HeatMap {
        let grid = DifferenceGrid(difference.tensors)
        var rows: [(label: String, cells: [HeatCell])] = []
        for row in grid.layers { rows.append(("layer \(row.layer ?? 0)", row.cells.map(Self.cell))) }
        for tensor in grid.once { rows.append((tensor.role?.role.rawValue.replacingUnderscores ?? "", [Self.cell(tensor)])) }
        var columns = grid.roles.map(DifferenceGrid.heading)
        if grid.layers.isEmpty, grid.once.isEmpty {
            rows = grid.others.prefix(200).map { (String($0.name.prefix(60)), [Self.cell($0)]) }
            columns = [""]
        }
        return HeatMap(
            title: "Relative L2 of B - A by layer and role", unit: "‖B - A‖ / ‖A‖, logarithmic; 0 is equal bit for bit",
            columns: columns, rows: rows)
    }

    private static let powers = "powers of two: a bar at -12 counts 2^-12 ≤ |Δ| < 2^-11; \"=\" counts equal values"

    /// The distribution of |Δ| over all tensors, then by role, narrow enough for two beside each other.
    private var distributions: [BarChart] {
        var byRole: [(title: String, bins: [Int])] = [("all tensors", Array(repeating: 0, count: 64))]
        for role in Role.allCases {
            var bins = Array(repeating: 0, count: 64)
            for tensor in difference.tensors where tensor.role?.role == role && tensor.histogram.count == 64 {
                for bin in 0..<64 { bins[bin] += tensor.histogram[bin] }
            }
            for bin in 0..<64 { byRole[0].bins[bin] += bins[bin] }
            byRole.append((role.rawValue.replacingUnderscores, bins))
        }
        for tensor in difference.tensors where tensor.role == nil && tensor.histogram.count == 64 {
            for bin in 0..<64 { byRole[0].bins[bin] += tensor.histogram[bin] }
        }
        let used = (1..<64).filter { byRole[0].bins[$0] > 0 }
        guard let low = used.first, let high = used.last else { return [] }
        return byRole.compactMap { title, bins in
            let total = bins.reduce(0, +)
            guard total > 0, bins[1...].contains(where: { $0 > 0 }) else { return nil }
            let shown = [0] + Array(low...high)
            return BarChart(
                title: "|Δ| of \(title): \(NumberText.count(total - bins[0])) of \(NumberText.count(total)) values differ",
                room: 440,
                bars: shown.map { bin in
                    let label = bin == 0 ? "=" : "\(bin - 48)"
                    let range =
                        bin == 0 ? "equal" : bin == 63 ? "|Δ| ≥ 2^15 or not finite" : bin == 1 ? "|Δ| < 2^-46"
                        : "2^\(bin - 48) ≤ |Δ| < 2^\(bin - 47)"
                    return (label, Double(bins[bin]), "\(range): \(NumberText.count(bins[bin])) values")
                })
        }
    }

    private var missing: [Markup] {
        [("Only in A", difference.onlyA), ("Only in B", difference.onlyB)].flatMap { title, names -> [Markup] in
            guard !names.isEmpty else { return [] }
            return [.tag("h2", [], title), .table([("tensor", false)], names.map { [$0] })]
        }
    }

    /// Tensors with values that are not numbers.
    private var notFinite: [Markup] {
        let rows = difference.tensors.compactMap { tensor -> [String]? in
            guard let sums = tensor.sums, let said = FigureText.notFinite(sums) else { return nil }
            return [tensor.name, said]
        }
        guard !rows.isEmpty else { return [] }
        return [.tag("h2", [], "Not finite"), .table([("tensor", false), ("values", false)], rows)]
    }

    private var table: Markup {
        .table(
            [
                ("tensor", false), ("A", false), ("B", false), ("shape", false), ("max |Δ|", true), ("RMSE", true),
                ("relative L2", true), ("cosine", true), ("changed", true), ("sign flips", true),
            ],
            difference.tensors.map { tensor in
                let shape = tensor.shapeA == tensor.shapeB ? "\(tensor.shapeA)" : "\(tensor.shapeA) / \(tensor.shapeB)"
                guard let sums = tensor.sums else {
                    return [tensor.name, tensor.dtypeA, tensor.dtypeB, shape, "-", "-", "-", "-", "-", "-"]
                }
                return [
                    tensor.name, tensor.dtypeA, tensor.dtypeB, shape, FigureText.significant(sums.maxAbs),
                    FigureText.significant(sums.rmse), FigureText.significant(sums.relativeL2),
                    FigureText.fixed(sums.cosine, 6), FigureText.percent(sums.changed, of: sums.count),
                    NumberText.count(sums.signFlips),
                ]
            })
    }
}
