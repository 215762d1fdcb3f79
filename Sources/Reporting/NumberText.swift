// Numbers as people read them.

internal import Platform

public enum NumberText {
    /// A number with so many digits after the point.
    public static func fixed(_ value: Double, _ places: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = Int64((abs(value) * scale).rounded())
        let whole = scaled / Int64(scale)
        var text = (value < 0 && scaled != 0 ? "-" : "") + String(whole)
        if places > 0 {
            let fraction = String(scaled % Int64(scale))
            text += "." + String(repeating: "0", count: places - fraction.count) + fraction
        }
        return text
    }

    /// Three or four significant digits, in scientific notation where that is shorter: `0.0123`, `3.1e-07`.
    public static func significant(_ value: Double) -> String { significant(value, plain: 4, scientific: 3) }

    /// So many significant digits, from 1 to 8: `0.81` and `3.1e-07` are two.
    public static func significant(_ value: Double, digits: Int) -> String {
        significant(value, plain: digits, scientific: digits)
    }

    private static func significant(_ value: Double, plain: Int, scientific: Int) -> String {
        guard value.isFinite else { return "\(value)" }
        if value == 0 { return "0" }
        let magnitude = abs(value)
        if magnitude >= 1e-4, magnitude < 1e6 {
            let places = max(0, plain - 1 - Int(log10(magnitude).rounded(.down)))
            return fixed(value, min(places, 8))
        }
        var exponent = Int(log10(magnitude).rounded(.down))
        var mantissa = value / pow(10, Double(exponent))
        let places = scientific - 1
        if abs(mantissa) >= 10 - 0.5 * pow(10, Double(-places)) {
            mantissa /= 10
            exponent += 1
        }
        let sign = exponent < 0 ? "-" : "+"
        let digits = String(exponent.magnitude)
        return fixed(mantissa, places) + "e" + sign + (digits.count < 2 ? "0" + digits : digits)
    }

    /// `1,100,048,384`
    public static func count(_ number: Int) -> String {
        let digits = Array(String(number.magnitude))
        var out = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { out += "," }
            out.append(digit)
        }
        return out
    }

    /// Ten to a power, with two digits: `3.2e-05`.
    public static func power(_ exponent: Double) -> String {
        guard exponent.isFinite, abs(exponent) < 300 else { return "?" }
        let whole = exponent.rounded(.down)
        let mantissa = pow(10, exponent - whole)
        let digits = String(Int(whole).magnitude)
        return fixed(mantissa, 1) + "e" + (whole < 0 ? "-" : "+") + (digits.count < 2 ? "0" : "") + digits
    }
}
