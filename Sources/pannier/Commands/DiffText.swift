// What `pannier diff` prints: one sentence, the causes, the tensors that differ most, a heat map, other differences.

internal import Bytes
internal import Inspection
internal import Layouts
internal import OrderedCollections
internal import Reporting
internal import Tensors

struct DiffText {
    private let difference: CheckpointDifference
    private let a: ComparedCheckpoint
    private let b: ComparedCheckpoint
    private let tolerance: Double?
    private let top: Int

    init(
        _ difference: CheckpointDifference, _ a: ComparedCheckpoint, _ b: ComparedCheckpoint, tolerance: Double?, top: Int
    ) {
        self.difference = difference
        self.a = a
        self.b = b
        self.tolerance = tolerance
        self.top = top
    }

    /// "identical: 39 tensors, 2,754,816 values are equal bit for bit"
    var verdict: String {
        let total = difference.total
        let count = difference.tensors.count
        let values = "\(Human.count(count)) tensor\(count == 1 ? "" : "s"), \(Human.count(total.count)) values"
        if difference.isIdentical(within: tolerance) {
            guard let tolerance else { return "identical: \(values) are equal bit for bit" }
            return total.changed == 0
                ? "identical: \(values) are equal bit for bit"
                : "equal within \(Human.significant(tolerance)): \(values), the largest |Δ| is \(Human.significant(total.maxAbs))"
        }
        let changed = difference.changed(within: tolerance)
        var parts: [String] = []
        if !changed.isEmpty {
            var part = "\(Human.count(changed.count)) of \(Human.count(count)) tensors differ"
            let measured = changed.filter { $0.sums != nil }
            if let worst = measured.max(by: { ($0.sums?.maxAbs ?? 0) < ($1.sums?.maxAbs ?? 0) }), let sums = worst.sums {
                part += ", \(Human.fixed(total.changedFraction * 100, 2)) % of the values; relative L2 "
                    + "\(Human.significant(total.relativeL2)), the largest |Δ| \(Human.significant(sums.maxAbs)) in \(worst.name)"
            }
            if measured.count < changed.count {
                part += "; \(changed.count - measured.count) cannot be compared: other shapes or types"
            }
            parts.append(part)
        }
        if !difference.onlyA.isEmpty { parts.append("\(Human.count(difference.onlyA.count)) only in A") }
        if !difference.onlyB.isEmpty { parts.append("\(Human.count(difference.onlyB.count)) only in B") }
        if difference.tensors.isEmpty, difference.onlyA.isEmpty, difference.onlyB.isEmpty { parts.append("no tensors") }
        return "different: " + parts.joined(separator: "; ")
    }

    func print(quiet: Bool) {
        let style = Style.standardOutput
        if !quiet {
            Console.print("A  \(a.path.escapingForTerminal): \(a.summary.escapingForTerminal)")
            Console.print("B  \(b.path.escapingForTerminal): \(b.summary.escapingForTerminal)")
        }
        let identical = difference.isIdentical(within: tolerance)
        let words = verdict.split(separator: ":", maxSplits: 1)
        Console.print(
            style.paint(String(words[0]), identical ? .good : .failure) + ":"
                + String(words.count > 1 ? words[1] : "").escapingForTerminal)
        guard !quiet else { return }
        printDtypes()
        printCauses()
        printMissing()
        let changed = difference.changed(within: tolerance)
        if !changed.isEmpty, top > 0 { printTop(changed) }
        if difference.tensors.contains(where: { !$0.isIdentical }) { printHeatMap() }
        printFacts()
        if !difference.asideA.isEmpty || !difference.asideB.isEmpty {
            Console.print(
                style.paint(
                    "beside the model: \(difference.asideA.count) tensors only in A, \(difference.asideB.count) only in B",
                    .faint))
        }
    }

    private func printDtypes() {
        let pairs = OrderedDictionary(
            grouping: difference.tensors.filter { $0.dtypeA != $0.dtypeB }, by: { "\($0.dtypeA) in A, \($0.dtypeB) in B" })
        for (pair, tensors) in pairs {
            Console.print("  dtype: \(tensors.count) tensor\(tensors.count == 1 ? " is" : "s are") \(pair)")
        }
    }

    private func printCauses() {
        let causes = OrderedDictionary(
            grouping: difference.tensors.flatMap { tensor in tensor.causes.map { (tensor.name, $0) } }, by: \.1)
        for (cause, tensors) in causes {
            let names = tensors.prefix(3).map(\.0).joined(separator: ", ") + (tensors.count > 3 ? ", ..." : "")
            Console.print(
                "  cause: \(cause.sentence), in every value of \(tensors.count) tensor\(tensors.count == 1 ? "" : "s") (\(names.escapingForTerminal))")
        }
        let open = difference.changed(within: tolerance).count { $0.causes.isEmpty }
        if !causes.isEmpty, open > 0 { Console.print("  cause of the other \(open): none of the known ones") }
    }

    private func printMissing() {
        for (side, names) in [("A", difference.onlyA), ("B", difference.onlyB)] where !names.isEmpty {
            let shown = names.prefix(8).joined(separator: ", ") + (names.count > 8 ? ", ... \(names.count) in all" : "")
            Console.print("  only in \(side): \(shown.escapingForTerminal)")
        }
        for tensor in difference.tensors where tensor.shapeA != tensor.shapeB {
            Console.print("  shape: \(tensor.name.escapingForTerminal) is \(tensor.shapeA) in A, \(tensor.shapeB) in B")
        }
    }

    private func printTop(_ changed: [TensorDifference]) {
        let order = changed.filter { $0.sums != nil }.sorted {
            ($0.sums?.relativeL2 ?? 0, $1.name) > ($1.sums?.relativeL2 ?? 0, $0.name)
        }
        guard !order.isEmpty else { return }
        Console.print()
        var table = Table([.left, .right, .right, .right, .right, .right, .right, .left])
        table.add(["tensor", "max |Δ|", "RMSE", "rel. L2", "cosine", "changed", "sign flips", "|Δ| by powers of two"])
        for tensor in order.prefix(top) {
            guard let sums = tensor.sums else { continue }
            table.add([
                tensor.name, Human.significant(sums.maxAbs), Human.significant(sums.rmse),
                Human.significant(sums.relativeL2), Human.fixed(sums.cosine, 6),
                Human.fixed(sums.changedFraction * 100, 2) + " %", Human.count(sums.signFlips),
                Self.distribution(tensor.histogram),
            ])
        }
        for line in table.lines(indent: 2) { Console.print(line) }
        if order.count > top { Console.print("  ... and \(order.count - top) more (--top N)") }
    }

    /// "2^-20 ▁▂▅█▂ 2^-15"
    private static func distribution(_ bins: [Int]) -> String {
        let used = bins.indices.dropFirst().filter { bins[$0] > 0 }
        guard let low = used.first, let high = used.last else { return "" }
        // The lower tail thins out for long; it says little.
        let start = max(low, high - 15)
        return "2^\(start - 48) \(Bars.line(Array(bins[start...high]))) 2^\(high - 47)"
    }

    private func printHeatMap() {
        let grid = DifferenceGrid(difference.tensors)
        guard !grid.layers.isEmpty else { return }
        func magnitude(_ tensor: TensorDifference) -> Double { tensor.sums?.relativeL2 ?? .infinity }
        let all = (grid.layers.flatMap(\.cells).compactMap { $0 } + grid.once).map(magnitude)
        let heat = HeatText(all)
        Console.print()
        Console.print("  relative L2 by layer and role")
        var table = Table([.right] + grid.roles.map { _ in .left })
        table.add([""] + grid.roles.map(DifferenceGrid.heading))
        for row in grid.layers {
            table.add(
                ["layer \(row.layer ?? 0)"]
                    + row.cells.map { $0.map { String(repeating: heat.block(magnitude($0)), count: 3) } ?? "" })
        }
        for line in table.lines(indent: 2) { Console.print(line) }
        let once = grid.once.map { "\($0.role?.role.rawValue ?? "") \(String(repeating: heat.block(magnitude($0)), count: 3))" }
        Console.print("  " + once.joined(separator: "   "))
        Console.print(Style.standardOutput.paint("  " + heat.legend, .faint))
    }

    private func printFacts() {
        guard !difference.facts.isEmpty else { return }
        Console.print()
        let shown = 24
        var table = Table([.left, .left, .left])
        table.add(["differs", "A", "B"])
        for fact in difference.facts.prefix(shown) {
            table.add(["\(fact.subject.rawValue) \(fact.key)", fact.a ?? "-", fact.b ?? "-"])
        }
        for line in table.lines(indent: 2) { Console.print(line) }
        if difference.facts.count > shown { Console.print("  ... and \(difference.facts.count - shown) more (--json lists all)") }
    }
}
