// Magnitudes as block characters: a heat map that needs no colour.

internal import Reporting

/// One character a magnitude, on a logarithmic scale over all of them.
struct HeatText {
    private static let blocks = Array("▁▂▃▄▅▆▇█")
    private let scale: LogScale

    /// - Parameter values: all magnitudes that will be shown.
    init(_ values: some Sequence<Double>) { scale = LogScale(tightlyOver: values, decades: 4) }

    /// A block; "·" for zero, "!" for what is not finite.
    func block(_ value: Double) -> Character {
        guard value.isFinite else { return "!" }
        guard let place = scale.place(of: value) else { return "·" }
        return Self.blocks[min(7, Int(place * 8))]
    }

    /// "· equal  ▁ from 1e-05  ▂ from ... "
    var legend: String {
        let width = (scale.high - scale.low) / 8
        let steps = Self.blocks.enumerated().map { index, block in
            "\(block) \(NumberText.power(scale.low + Double(index) * width))"
        }
        return "· equal  " + steps.joined(separator: "  ") + "  to \(NumberText.power(scale.high))"
    }
}
