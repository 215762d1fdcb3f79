// Colours for magnitudes, told apart by people who cannot tell red from green.

internal import Platform

/// Viridis: rises evenly in lightness, so that it also survives grey print and every kind of colour blindness.
///
/// Ten colours of the map that Stéfan van der Walt and Nathaniel Smith made for matplotlib (CC0), as viridisLite's
/// `viridis(10)` lists them; between them it is interpolated.
public enum ColorRamp {
    private static let stops: [(red: Double, green: Double, blue: Double)] = [
        (0x44, 0x01, 0x54), (0x48, 0x28, 0x78), (0x3E, 0x4A, 0x89), (0x31, 0x68, 0x8E), (0x26, 0x82, 0x8E),
        (0x1F, 0x9E, 0x89), (0x35, 0xB7, 0x79), (0x6D, 0xCD, 0x59), (0xB4, 0xDE, 0x2C), (0xFD, 0xE7, 0x25),
    ]

    /// The colour of a place between 0 and 1, as `#rrggbb`.
    public static func color(at place: Double) -> String {
        let at = max(0, min(1, place.isFinite ? place : 1)) * Double(stops.count - 1)
        let low = min(stops.count - 2, Int(at))
        let part = at - Double(low)
        func mix(_ a: Double, _ b: Double) -> String {
            let digits = String(Int((a + (b - a) * part).rounded()), radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }
        let (a, b) = (stops[low], stops[low + 1])
        return "#" + mix(a.red, b.red) + mix(a.green, b.green) + mix(a.blue, b.blue)
    }
}

/// A scale of powers of ten over positive magnitudes.
public struct LogScale: Sendable {
    /// Exponents of ten at both ends.
    public let low: Double
    public let high: Double

    /// Over the positive ones of some values, at least a decade wide and at most `decades`.
    public init(_ values: some Sequence<Double>, decades: Double = 8) {
        let positive = values.filter { $0 > 0 && $0.isFinite }
        let top = log10(positive.max() ?? 1).rounded(.up)
        let bottom = log10(positive.min() ?? 1).rounded(.down)
        high = top
        low = min(top - 1, max(bottom, top - decades))
    }

    /// Just over the positive ones of some values, at least half a decade wide and at most `decades`.
    public init(tightlyOver values: some Sequence<Double>, decades: Double) {
        let positive = values.filter { $0 > 0 && $0.isFinite }
        high = log10(positive.max() ?? 1)
        low = min(high - 0.5, max(log10(positive.min() ?? 1), high - decades))
    }

    /// 0 at the low end, 1 at the high end; nil for zero.
    public func place(of value: Double) -> Double? {
        guard value > 0 else { return nil }
        guard value.isFinite else { return 1 }
        return max(0, min(1, (log10(value) - low) / (high - low)))
    }

    /// The whole powers of ten in it.
    public var decades: [Int] { Array(Int(low)...Int(high)) }
}
