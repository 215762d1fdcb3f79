// The parity report as one HTML page: self-contained, plots as SVG, for light and dark.

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

extension ParityReport {
    /// The page.
    /// - Parameters:
    ///   - reference: what the two are called in it.
    public func html(reference: String, candidate: String) -> String {
        let verdict =
            ok ? "<p class=\"ok\">Parity: the candidate computes what the reference computes, within the limit.</p>"
            : "<p class=\"bad\">No parity.</p>"
        let problems = faults.map { "<li>\(Self.escaped($0))</li>" } + hints.map { "<li>\(Self.escaped($0.message))</li>" }
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>Parity of \(Self.escaped(candidate))</title>
            <style>
            :root { color-scheme: light dark; --fg: #1b1b1b; --bg: #fff; --soft: #d8d8d8; --a: #2563eb; --b: #dc2626; --g: #15803d }
            @media (prefers-color-scheme: dark) { :root { --fg: #e6e6e6; --bg: #161616; --soft: #444; --a: #7aa2ff; --b: #ff7b72; --g: #56d364 } }
            body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); max-width: 860px; margin: 2em auto; padding: 0 1em }
            table { border-collapse: collapse } td, th { padding: .2em .9em .2em 0; text-align: left; border-bottom: 1px solid var(--soft) }
            td.n { text-align: right; font-variant-numeric: tabular-nums } svg { width: 100%; height: auto }
            svg text { fill: var(--fg); font: 11px system-ui, sans-serif } .axis { stroke: var(--soft) }
            .line { stroke: var(--a); fill: none; stroke-width: 2 } .dot { fill: var(--a) } .wrong { fill: var(--b) }
            .limit { stroke: var(--b); stroke-dasharray: 4 3; fill: none } .ok { color: var(--g) } .bad { color: var(--b) }
            </style></head><body>
            <h1>Parity</h1>
            <p>Reference <b>\(Self.escaped(reference))</b><br>Candidate <b>\(Self.escaped(candidate))</b></p>
            \(verdict)
            \(problems.isEmpty ? "" : "<ul>\(problems.joined())</ul>")
            <table>
            \(rows.map { "<tr><th>\($0.0)</th><td class=\"n\">\($0.1)</td></tr>" }.joined(separator: "\n"))
            </table>
            \(layers.isEmpty ? "" : "<h2>Error of each layer</h2><p>Own error: both models are given the reference's hidden state. The dashed line is what the storage explains.</p>\(layerPlot)")
            \(divergences.isEmpty ? "" : "<h2>Divergence of the predictions</h2>\(divergencePlot)")
            </body></html>

            """
    }

    private var rows: [(String, String)] {
        [
            ("Predictions compared", "\(tokens)"), ("Mean KL divergence", Self.number(meanKLD)),
            ("its limit", Self.number(limit)), ("Median", Self.number(medianKLD)), ("99 %", Self.number(kld99)),
            ("Largest", Self.number(maxKLD)), ("Same likeliest token", Self.number(100 * top1Agreement) + " %"),
            ("Largest difference of a logit", Self.number(maxAbsLogit)), ("Logits' NMSE", Self.number(logitNMSE)),
            ("Perplexity of the reference", Self.number(perplexityReference)),
            ("Perplexity of the candidate", Self.number(perplexityCandidate)),
        ]
    }

    // MARK: Plots

    private static let width = 820.0, height = 260.0, left = 60.0, bottom = 30.0

    /// Own errors by layer, logarithmic.
    private var layerPlot: String {
        let values = layers.flatMap { [$0.ownError, $0.expectedError] }.filter { $0 > 0 && $0.isFinite }
        let low = floor(log10(max(1e-9, values.min() ?? 1e-6))), high = ceil(log10(max(values.max() ?? 1, 1e-8)))
        func x(_ index: Int) -> Double {
            Self.left + (Self.width - Self.left - 20) * (Double(index) + 0.5) / Double(max(1, layers.count))
        }
        func y(_ value: Double) -> Double {
            let at = min(max(log10(max(value.isFinite ? value : 1e9, 1e-12)), low), high)
            return 10 + (Self.height - Self.bottom - 10) * (high - at) / max(1, high - low)
        }
        var body = Self.grid(low: low, high: high, y: y)
        body += "<polyline class=\"limit\" points=\"\(layers.enumerated().map { "\(Self.fixed(x($0))),\(Self.fixed(y($1.expectedError)))" }.joined(separator: " "))\"/>"
        for (index, layer) in layers.enumerated() {
            let name = layer.layer < 0 ? "embedding" : index == layers.count - 1 ? "output" : "layer \(layer.layer)"
            body += "<circle class=\"\(layer.isDivergent ? "wrong" : "dot")\" cx=\"\(Self.fixed(x(index)))\" cy=\"\(Self.fixed(y(layer.ownError)))\" r=\"4\"><title>\(name): own error \(Self.number(layer.ownError)), of the hidden state \(Self.number(layer.relativeError))</title></circle>"
            if layers.count <= 40 || index % 4 == 0 {
                let label = layer.layer < 0 ? "emb" : index == layers.count - 1 ? "out" : "\(layer.layer)"
                body += "<text x=\"\(Self.fixed(x(index)))\" y=\"\(Self.fixed(Self.height - 10))\" text-anchor=\"middle\">\(label)</text>"
            }
        }
        return "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" aria-label=\"Own error of each layer\">\(body)</svg>"
    }

    /// How many predictions have which divergence: four bars a decade.
    private var divergencePlot: String {
        let low = -9.0, high = 2.0, bars = 44
        var counts = [Int](repeating: 0, count: bars)
        for value in divergences {
            let at = (log10(max(Double(value.isFinite ? value : 100), 1e-9)) - low) / (high - low)
            counts[min(bars - 1, max(0, Int(at * Double(bars))))] += 1
        }
        let most = Double(max(1, counts.max() ?? 1)), span = Self.width - Self.left - 20
        var body = ""
        for (index, count) in counts.enumerated() where count > 0 {
            let tall = (Self.height - Self.bottom - 10) * Double(count) / most
            body += "<rect class=\"dot\" x=\"\(Self.fixed(Self.left + span * Double(index) / Double(bars)))\" y=\"\(Self.fixed(Self.height - Self.bottom - tall))\" width=\"\(Self.fixed(span / Double(bars) - 1))\" height=\"\(Self.fixed(tall))\"><title>\(count) predictions</title></rect>"
        }
        for exponent in stride(from: Int(low), through: Int(high), by: 1) {
            let x = Self.left + span * (Double(exponent) - low) / (high - low)
            body += "<text x=\"\(Self.fixed(x))\" y=\"\(Self.fixed(Self.height - 10))\" text-anchor=\"middle\">1e\(exponent)</text>"
        }
        body += "<line class=\"axis\" x1=\"\(Self.left)\" x2=\"\(Self.width - 20)\" y1=\"\(Self.height - Self.bottom)\" y2=\"\(Self.height - Self.bottom)\"/>"
        return "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" aria-label=\"Histogram of KL divergences\">\(body)</svg>"
    }

    private static func grid(low: Double, high: Double, y: (Double) -> Double) -> String {
        var body = ""
        for exponent in stride(from: Int(low), through: Int(high), by: 1) {
            let at = y(pow(10, Double(exponent)))
            body += "<line class=\"axis\" x1=\"\(left)\" x2=\"\(width - 20)\" y1=\"\(fixed(at))\" y2=\"\(fixed(at))\"/>"
            body += "<text x=\"\(left - 8)\" y=\"\(fixed(at + 4))\" text-anchor=\"end\">1e\(exponent)</text>"
        }
        return body
    }

    private static func fixed(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    /// Four significant digits.
    private static func number(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return "\(value)" }
        let digits = 3 - Int(floor(log10(abs(value))))
        guard digits <= 6 else { return ParityProbe.text(value) }
        let scale = pow(10, Double(max(0, digits)))
        return "\((value * scale).rounded() / scale)"
    }

    private static func escaped(_ text: String) -> String {
        var out = ""
        for character in text {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            default: out.append(character)
            }
        }
        return out
    }
}
