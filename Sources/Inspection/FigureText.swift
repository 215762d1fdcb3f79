// The figures of comparisons as people read them, the same in the terminal and on pages.

internal import Reporting

public enum FigureText {
    /// Three or four significant digits; "-" for NaN, which is what a figure is that cannot be said.
    public static func significant(_ value: Double) -> String { value.isNaN ? "-" : NumberText.significant(value) }

    /// So many digits after the point; "-" for NaN.
    public static func fixed(_ value: Double, _ places: Int) -> String {
        value.isNaN ? "-" : NumberText.fixed(value, places)
    }

    /// A share in percent with two digits: "99.78 %". Some are never shown as none, and nearly all never as all.
    public static func percent(_ part: Int, of whole: Int) -> String {
        guard whole > 0 else { return "0.00 %" }
        let share = Double(part) / Double(whole) * 100
        if part > 0, share < 0.01 { return "< 0.01 %" }
        if part < whole, share > 99.99 { return "> 99.99 %" }
        return NumberText.fixed(share, 2) + " %"
    }

    /// "1,024 values are NaN or infinite in A, 12 in B"; nil where none is.
    public static func notFinite(_ sums: DifferenceSums) -> String? {
        let sides = [("A", sums.notFiniteA), ("B", sums.notFiniteB)].filter { $0.1 > 0 }
        guard let first = sides.first else { return nil }
        return "\(notFinite(first.1)) in \(first.0)"
            + sides.dropFirst().map { ", \(NumberText.count($0.1)) in \($0.0)" }.joined()
    }

    /// "1,024 values are NaN or infinite"
    public static func notFinite(_ count: Int) -> String {
        "\(NumberText.count(count)) value\(count == 1 ? " is" : "s are") NaN or infinite"
    }

    /// The lower edge of a bin of differences and the upper edge of another. The first bin and the last are open.
    public static func lowerEdge(ofBin bin: Int) -> String { bin <= 1 ? "< 2^-46" : "2^\(bin - 48)" }
    public static func upperEdge(ofBin bin: Int) -> String { bin >= 63 ? "≥ 2^15" : "2^\(bin - 47)" }
}
