// Small pictures in text.

enum Bars {
    private static let blocks = Array(" ▁▂▃▄▅▆▇█")

    /// A histogram in one line, a character a bin.
    static func line(_ bins: [Int]) -> String {
        guard let tallest = bins.max(), tallest > 0 else { return "" }
        return String(
            bins.map { bin in
                bin == 0 ? blocks[0] : blocks[1 + Int((Double(bin) / Double(tallest) * 7).rounded())]
            })
    }
}
