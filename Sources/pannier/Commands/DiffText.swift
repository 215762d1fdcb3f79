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
        let model = difference.modelTensors
        let count = model.count
        let beside = difference.tensors.count - count
        let values = "\(Human.count(count)) tensor\(count == 1 ? "" : "s"), \(Human.count(total.count)) values"
        if difference.isIdentical(within: tolerance) {
            let also = beside == 0 ? "" : "; \(tensors(beside)) beside the model as well"
            guard let tolerance else { return "identical: \(values) are equal bit for bit\(also)" }
            let largest = "the largest |Δ| is \(FigureText.significant(total.maxAbs))"
            return total.changed == 0
                ? "identical: \(values) are equal bit for bit\(also)"
                : "equal within \(Human.significant(tolerance)): \(values), \(largest)\(also)"
        }
        let changed = model.filter { !$0.isEqual(within: tolerance) }
        var parts: [String] = []
        if !changed.isEmpty {
            var part = "\(Human.count(changed.count)) of \(Human.count(count)) tensors differ"
            let measured = changed.filter { $0.sums != nil }
            if !measured.isEmpty {
                part += ", \(FigureText.percent(total.changed, of: total.count)) of the values"
                if total.unorderedChanged > 0, let said = FigureText.notFinite(total) { part += "; \(said)" }
            }
            if let worst = Self.worst(measured) {
                part += "; relative L2 \(FigureText.significant(total.relativeL2)), \(worst)"
            }
            if measured.count < changed.count {
                part += "; \(changed.count - measured.count) cannot be compared: other shapes or types"
            }
            parts.append(part)
        }
        let changedBeside = difference.changed(within: tolerance).filter { tensor in beside > 0 && !tensor.isOfModel }
        if !changedBeside.isEmpty {
            let part = "beside the model \(Human.count(changedBeside.count)) of \(Human.count(beside)) tensors differ"
            parts.append(part + (Self.worst(changedBeside).map { ", \($0)" } ?? ""))
        }
        if !difference.onlyA.isEmpty { parts.append("\(Human.count(difference.onlyA.count)) only in A") }
        if !difference.onlyB.isEmpty { parts.append("\(Human.count(difference.onlyB.count)) only in B") }
        if difference.tensors.isEmpty, difference.onlyA.isEmpty, difference.onlyB.isEmpty { parts.append("no tensors") }
        return "different: " + parts.joined(separator: "; ")
    }

    /// "the largest |Δ| 0.2812 in model.lm_head.weight"; nil where no difference is known.
    private static func worst(_ tensors: [TensorDifference]) -> String? {
        let known = tensors.compactMap { tensor -> (name: String, maxAbs: Double)? in
            guard let sums = tensor.sums, sums.isMeasured else { return nil }
            return (tensor.name, sums.maxAbs)
        }
        guard let worst = known.max(by: { $0.maxAbs < $1.maxAbs }) else { return nil }
        return "the largest |Δ| \(FigureText.significant(worst.maxAbs)) in \(worst.name)"
    }

    /// "39 tensors"
    private func tensors(_ count: Int) -> String { "\(Human.count(count)) tensor\(count == 1 ? "" : "s")" }

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
        printNotFinite()
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
            let count = "\(tensors.count) tensor\(tensors.count == 1 ? "" : "s")"
            Console.print("  cause: \(cause.sentence), in every value of \(count) (\(names.escapingForTerminal))")
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

    /// Tensors with values that are not numbers, those first where they changed.
    private func printNotFinite() {
        let shown = 8
        let bad = difference.tensors.compactMap { tensor -> (tensor: TensorDifference, said: String)? in
            guard let sums = tensor.sums, let said = FigureText.notFinite(sums) else { return nil }
            return (tensor, said)
        }
        let changed = bad.filter { ($0.tensor.sums?.unorderedChanged ?? 0) > 0 }
        let same = bad.filter { ($0.tensor.sums?.unorderedChanged ?? 0) == 0 }
        for entry in (changed + same).prefix(shown) {
            Console.print("  not finite: \(entry.tensor.name.escapingForTerminal): \(entry.said)")
        }
        if bad.count > shown { Console.print("  ... and in \(bad.count - shown) more (--json lists all)") }
    }

    private func printTop(_ changed: [TensorDifference]) {
        // The model's first: an optimizer's moments always move further than its weights.
        func rank(_ tensor: TensorDifference) -> (Int, Int, Double) {
            (tensor.isOfModel ? 1 : 0, (tensor.sums?.unorderedChanged ?? 0) > 0 ? 1 : 0, tensor.sums?.magnitude ?? 0)
        }
        let order = changed.filter { $0.sums != nil }.sorted {
            let (one, other) = (rank($0), rank($1))
            return one == other ? $0.name < $1.name : one > other
        }
        guard !order.isEmpty else { return }
        Console.print()
        var table = Table([.left, .right, .right, .right, .right, .right, .right, .left])
        table.add(["tensor", "max |Δ|", "RMSE", "rel. L2", "cosine", "changed", "sign flips", "|Δ| by powers of two"])
        for tensor in order.prefix(top) {
            guard let sums = tensor.sums else { continue }
            table.add([
                tensor.name, FigureText.significant(sums.maxAbs), FigureText.significant(sums.rmse),
                FigureText.significant(sums.relativeL2), FigureText.fixed(sums.cosine, 6),
                FigureText.percent(sums.changed, of: sums.count), Human.count(sums.signFlips),
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
        let bars = Bars.line(Array(bins[start...high]))
        return "\(FigureText.lowerEdge(ofBin: start)) \(bars) \(FigureText.upperEdge(ofBin: high))"
    }

    private func printHeatMap() {
        let grid = DifferenceGrid(difference.tensors)
        guard !grid.layers.isEmpty else { return }
        func magnitude(_ tensor: TensorDifference) -> Double { tensor.sums?.magnitude ?? .infinity }
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
        let beyond = all.allSatisfy(\.isFinite) ? "" : "  ! from zero, NaN, infinite or not comparable"
        Console.print(Style.standardOutput.paint("  " + heat.legend + beyond, .faint))
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
        if difference.facts.count > shown {
            Console.print("  ... and \(difference.facts.count - shown) more (--json lists all)")
        }
    }
}
