// Factors that make one tensor of another: which can be, after all values were seen, and the simplest of them.

internal import Tensors

/// The factors f with which b is a * f, rounded to a dtype, for all pairs seen so far.
struct FactorInterval {
    /// Bits of the dtype's significand, the leading one counted, and its smallest exponent.
    private let precision: Int
    private let smallestExponent: Int
    private var low = 0.0
    private var high = Double.infinity
    private var isNegative: Bool?
    private var seen = 0
    private var magnitudes: Set<UInt32> = []

    /// Values of which several magnitudes must agree before a factor is more than a coincidence.
    private static let enough = (values: 16, magnitudes: 4)

    init(_ dtype: DType) {
        switch dtype {
        case .bf16: (precision, smallestExponent) = (8, -126)
        case .f16: (precision, smallestExponent) = (11, -14)
        default: (precision, smallestExponent) = (24, -126)
        }
    }

    /// Takes in one more pair.
    /// - Returns: false when no factor is left.
    mutating func narrow(_ a: Float, _ b: Float) -> Bool {
        guard a.isFinite, b.isFinite else { return false }
        guard a != 0 else { return b == 0 }
        // A product may vanish; the value-by-value test decides.
        guard b != 0 else { return true }
        let negative = (a < 0) != (b < 0)
        guard isNegative ?? negative == negative else { return false }
        isNegative = negative
        let size = Double(abs(b))
        let step = Double(
            sign: .plus, exponent: max(Int(b.exponent), smallestExponent) + 1 - precision, significand: 1)
        // Half a step for the rounding, and what a product of single floats and a single factor may be off.
        let reach = step / 2 + size * 0x1p-22
        low = max(low, (size - reach) / Double(abs(a)))
        high = min(high, (size + reach) / Double(abs(a)))
        if magnitudes.count < Self.enough.magnitudes { magnitudes.insert(abs(a).bitPattern) }
        seen += 1
        return low <= high
    }

    /// Whether enough was seen.
    var isTelling: Bool { seen >= Self.enough.values && magnitudes.count >= Self.enough.magnitudes }

    /// Factors to be tested, the simplest first: powers of two, two digits, a whole divisor, more digits, the middle.
    var candidates: [ScaleFactor] {
        guard low > 0, high.isFinite else { return [] }
        let middle = (low + high) / 2
        let sign = isNegative == true ? -1.0 : 1.0
        var all: [ScaleFactor] = []
        func add(_ number: Double, _ forms: [ScaleFactor.Form]) {
            guard number >= low, number <= high, number == 1 ? sign < 0 : !isRounding(number) else { return }
            all += forms.map { ScaleFactor(value: sign * number, form: $0) }
        }
        for exponent in [middle.exponent, middle.exponent + 1] {
            add(Double(sign: .plus, exponent: Int(exponent), significand: 1), [.single])
        }
        let tens = Self.decimalExponent(of: middle)
        for digits in 1...7 {
            if let tens {
                // Of exact integers and an exact power of ten, so that three tenths are the double that is written 0.3.
                let places = digits - 1 - tens
                let power = Self.powersOfTen[min(22, abs(places))]
                add(places >= 0 ? (middle * power).rounded() / power : (middle / power).rounded() * power, [.single, .double])
            }
            let divisor = (1 / middle).rounded()
            if digits == 2, divisor > 1, divisor < 1e6, 1 / divisor >= low, 1 / divisor <= high {
                all.append(ScaleFactor(value: sign * divisor, form: .divisor))
            }
        }
        let single = Float(middle)
        for near in [single, single.nextDown, single.nextUp] { add(Double(near), [.single]) }
        return all
    }

    /// Whether a factor moves values by less than a step of the dtype, as any way of rounding does: over a narrow range,
    /// cutting bits off is no different from such a factor.
    private func isRounding(_ number: Double) -> Bool {
        abs(number - 1) < Double(sign: .plus, exponent: 1 - precision, significand: 1)
    }

    /// As far as doubles have them exactly.
    private static let powersOfTen: [Double] = (0..<22).reduce(into: [1]) { powers, _ in
        powers.append((powers.last ?? 1) * 10)
    }

    /// The place of a number's first digit: 2 for 300, -1 for 0.3; nil outside of 1e-15 to 1e15.
    private static func decimalExponent(of number: Double) -> Int? {
        guard number >= 1e-15, number <= 1e15 else { return nil }
        if number >= 1 { return powersOfTen.lastIndex { $0 <= number } }
        return powersOfTen.firstIndex { number * $0 >= 1 }.map { -$0 }
    }
}

/// A factor, and how a program would have applied it.
struct ScaleFactor {
    enum Form {
        /// A product of single floats, as PyTorch multiplies single and half floats.
        case single
        /// A product of doubles, rounded.
        case double
        /// A division of single floats by `value`.
        case divisor
    }

    let value: Double
    let form: Form

    func apply(to a: Float) -> Float {
        switch form {
        case .single: a * Float(value)
        case .double: Float(Double(a) * value)
        case .divisor: a / Float(value)
        }
    }

    /// Of which A and B are the subjects.
    var sentence: String {
        if form == .divisor { return "B is A divided by \(Int(value))" }
        if value == -1 { return "B is A with its sign turned" }
        let shown = Double(Float(value)) == value ? "\(Float(value))" : "\(value)"
        return "B is A times " + (shown.hasSuffix(".0") ? String(shown.dropLast(2)) : shown)
    }
}
