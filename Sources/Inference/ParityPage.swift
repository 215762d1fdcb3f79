// What parity found as a page and as a drawing: the verdict, what was tried, the errors of the layers, the divergences.

internal import Platform
internal import Reporting

/// Draws what a comparison of two models found.
public struct ParityPage: Sendable {
    private let report: ParityReport
    private let reference: String
    private let candidate: String

    /// - Parameters:
    ///   - reference: what the two are called in it.
    public init(_ report: ParityReport, reference: String, candidate: String) {
        self.report = report
        self.reference = reference
        self.candidate = candidate
    }

    /// The plots as a file of its own.
    public var svg: String {
        Drawing.stack(
            (report.layers.isEmpty ? [] : [layerPlot.drawing]) + [divergences.drawing], label: "Parity of two models"
        ).standalone
    }

    public var html: String {
        var content: [Markup] = [
            .tag("p", [("class", report.ok ? "verdict" : "verdict wrong")], verdict),
            .tag("p", [("class", "faint")], "The reference is \(reference)"),
            .tag("p", [("class", "faint")], "The candidate is \(candidate)"),
        ]
        if !report.faults.isEmpty {
            content.append(.tag("ul", [], report.faults.map { .tag("li", [("class", "wrong")], $0) }))
        }
        if !report.hints.isEmpty {
            content.append(.tag("h2", [], "What was undone, and helped"))
            content.append(
                .table(
                    [("layer", false), ("finding", false), ("error before", true), ("and after", true)],
                    report.hints.map { hint in
                        [
                            hint.layer.map(name) ?? "all", hint.message, NumberText.significant(hint.before),
                            NumberText.significant(hint.after),
                        ]
                    }))
        }
        content.append(.tag("h2", [], "Predictions"))
        content.append(.table([("over the whole text", false), ("", true)], figures))
        content.append(.tag("figure", [], [divergences.drawing.inline]))
        if !report.layers.isEmpty {
            content.append(.tag("h2", [], "Layers"))
            content.append(.tag("figure", [], [layerPlot.drawing.inline]))
            content.append(
                .table(
                    [
                        ("after", false), ("own error", true), ("what the storage explains", true),
                        ("error of the hidden state", true), ("", false),
                    ],
                    report.layers.map { layer in
                        [
                            name(layer.layer), NumberText.significant(layer.ownError),
                            NumberText.significant(layer.expectedError), NumberText.significant(layer.relativeError),
                            layer.isDivergent ? "wrong" : "",
                        ]
                    }))
        }
        return Page(title: "Parity of two models", content: content).source
    }

    // MARK: Parts

    private var verdict: String {
        if report.ok { return "✓ The candidate computes what the reference computes, within the limit." }
        guard let first = report.firstDivergentLayer else {
            return report.meanKLD <= report.limit
                ? "✗ No parity." : "✗ No parity: the mean KL divergence is above its limit."
        }
        return "✗ No parity: the first fault is in \(name(first, withArticle: true))."
    }

    private var last: Int { report.layers.last?.layer ?? Int.max }

    private func name(_ layer: Int) -> String { name(layer, withArticle: false) }

    private func name(_ layer: Int, withArticle: Bool) -> String {
        let article = withArticle ? "the " : ""
        return layer < 0 ? article + "embedding" : layer == last ? article + "output" : "layer \(layer)"
    }

    private var figures: [[String]] {
        [
            ["predictions compared", NumberText.count(report.tokens)],
            ["mean KL divergence", NumberText.significant(report.meanKLD)],
            ["its limit", NumberText.significant(report.limit)],
            ["median", NumberText.significant(report.medianKLD)],
            ["99 %", NumberText.significant(report.kld99)],
            ["largest", NumberText.significant(report.maxKLD)],
            ["same likeliest token", NumberText.fixed(100 * report.top1Agreement, 2) + " %"],
            ["largest difference of a logit", NumberText.significant(report.maxAbsLogit)],
            ["logits' mean squared error, relative", NumberText.significant(report.logitNMSE)],
            ["perplexity of the reference", NumberText.significant(report.perplexityReference)],
            ["perplexity of the candidate", NumberText.significant(report.perplexityCandidate)],
        ]
    }

    private var layerPlot: LogPlot {
        LogPlot(
            title: "Relative error of each layer",
            caption: "Own error: both models are given the reference's hidden state, and what the layer adds to it is "
                + "compared.",
            columns: report.layers.map { layer in
                LogPlot.Column(
                    label: layer.layer < 0 ? "emb" : layer.layer == last ? "out" : "\(layer.layer)",
                    title: "\(name(layer.layer)): own error \(NumberText.significant(layer.ownError)), explained "
                        + "\(NumberText.significant(layer.expectedError)), of the hidden state "
                        + NumberText.significant(layer.relativeError),
                    isMarked: layer.isDivergent)
            },
            series: [
                LogPlot.Series("own error", .dots, report.layers.map(\.ownError)),
                LogPlot.Series("what the storage explains", .dashes, report.layers.map(\.expectedError)),
                LogPlot.Series("of the hidden state after it", .line, report.layers.map(\.relativeError)),
            ], mark: "wrong")
    }

    /// How many predictions have which divergence: four bars a decade.
    private var divergences: BarChart {
        let least = -9, most = 2
        func bar(_ value: Float) -> Int {
            guard value.isFinite else { return 4 * (most - least) - 1 }
            let at = 4 * (log10(max(Double(value), 1e-9)) - Double(least))
            return max(0, min(4 * (most - least) - 1, Int(at)))
        }
        var counts = [Int](repeating: 0, count: 4 * (most - least))
        for value in report.divergences { counts[bar(value)] += 1 }
        // Whole decades, only those that are used.
        let first = (counts.firstIndex { $0 > 0 } ?? 0) / 4 * 4
        let end = ((counts.lastIndex { $0 > 0 } ?? 3) / 4 + 1) * 4
        return BarChart(
            title: "KL divergence of the predictions",
            caption: "\(NumberText.count(report.tokens)) predictions, four bars a power of ten"
                + (first == 0 ? "; the first counts what is below it, too" : ""),
            bars: (first..<end).map { index in
                let exponent = Double(index) / 4 + Double(least)
                let range = "\(NumberText.power(exponent)) to \(NumberText.power(exponent + 0.25))"
                return (
                    index % 4 == 0 ? "1e\(index / 4 + least)" : "", Double(counts[index]),
                    "\(range): \(NumberText.count(counts[index])) predictions"
                )
            })
    }
}
