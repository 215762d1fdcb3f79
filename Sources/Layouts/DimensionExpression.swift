// Sums and products of a model's dimensions, as layout tables write shapes: "(heads + 2*kv_heads)*head_dim".
//
// Grammar:  sum = product { "+" product } ;  product = factor { "*" factor } ;
//           factor = number | dimension | "(" sum ")"
// An expression is kept as written for people and as a polynomial for comparing: two expressions are the same exactly
// when their polynomials are, so a table's shapes are checked against what its tensors mean without any example.

internal import Bytes
public import Tensors

/// A dimension of a model that shapes are made of.
public enum Dimension: String, Sendable, CaseIterable, Hashable {
    case hidden
    case heads
    case kvHeads = "kv_heads"
    case headDim = "head_dim"
    case ffn
    case vocab

    func value(in config: ModelConfig) -> Int {
        switch self {
        case .hidden: config.hidden
        case .heads: config.heads
        case .kvHeads: config.kvHeads
        case .headDim: config.headDim
        case .ffn: config.ffn
        case .vocab: config.vocab
        }
    }
}

/// A sum of products of dimensions and whole numbers.
public struct DimensionExpression: Sendable {
    /// As the table writes it.
    public let text: String
    /// A product of dimensions (sorted) and how often it is added; never zero.
    let terms: [[Dimension]: Int]

    private init(text: String, terms: [[Dimension]: Int]) {
        self.text = text
        self.terms = terms
    }

    /// Whether both give the same number in every model.
    public func isSame(as other: DimensionExpression) -> Bool { terms == other.terms }

    /// The number in a model, or nil when it does not fit.
    public func value(in config: ModelConfig) -> Int? {
        var sum = 0
        for (factors, count) in terms {
            guard let product = factors.lazy.map({ $0.value(in: config) }).checkedProduct()?.multiplied(by: count),
                let next = sum.adding(product)
            else { return nil }
            sum = next
        }
        return sum
    }

    static let hidden = DimensionExpression(.hidden)
    static let vocab = DimensionExpression(.vocab)
    static let ffn = DimensionExpression(.ffn)
    static let queryRows = DimensionExpression(text: "heads*head_dim", terms: [[.headDim, .heads]: 1])
    static let kvRows = DimensionExpression(text: "kv_heads*head_dim", terms: [[.headDim, .kvHeads]: 1])

    init(_ dimension: Dimension) {
        self.init(text: dimension.rawValue, terms: [[dimension]: 1])
    }

    static func + (left: DimensionExpression, right: DimensionExpression) -> DimensionExpression {
        DimensionExpression(
            text: "\(left.text) + \(right.text)", terms: left.terms.merging(right.terms, uniquingKeysWith: &+))
    }

    /// Reads an expression of a layout table.
    /// - Throws: `malformed` naming the text and where in it reading stopped.
    public init(_ text: String) throws {
        guard text.utf8.count <= 200 else {
            throw CheckpointError.malformed(
                "a dimension is too long", expected: "at most 200 characters", found: "\(text.utf8.count)")
        }
        var parser = Parser(text: text, rest: text.utf8[...])
        let terms = try parser.sum(depth: 0)
        parser.skipSpace()
        guard parser.rest.isEmpty else { throw parser.fault(expected: "+, * or the end") }
        self.init(text: text, terms: terms)
    }

    private struct Parser {
        let text: String
        var rest: Substring.UTF8View

        mutating func skipSpace() {
            while rest.first == UInt8(ascii: " ") { rest.removeFirst() }
        }

        func fault(expected: String) -> CheckpointError {
            let place = text.utf8.count - rest.count
            return .malformed(
                "the dimension \"\(text)\" is not a sum of products", expected: "\(expected) at character \(place + 1)",
                remedy: "write dimensions with + * ( ) and whole numbers of "
                    + Dimension.allCases.map(\.rawValue).joined(separator: ", "))
        }

        mutating func take(_ byte: UInt8) -> Bool {
            skipSpace()
            guard rest.first == byte else { return false }
            rest.removeFirst()
            return true
        }

        mutating func sum(depth: Int) throws -> [[Dimension]: Int] {
            var total = try product(depth: depth)
            while take(UInt8(ascii: "+")) {
                for (factors, count) in try product(depth: depth) {
                    guard let sum = (total[factors] ?? 0).adding(count) else {
                        throw fault(expected: "smaller numbers")
                    }
                    total[factors] = sum
                }
            }
            return total
        }

        mutating func product(depth: Int) throws -> [[Dimension]: Int] {
            var total = try factor(depth: depth)
            while take(UInt8(ascii: "*")) {
                let other = try factor(depth: depth)
                var next: [[Dimension]: Int] = [:]
                for (left, leftCount) in total {
                    for (right, rightCount) in other {
                        let key = (left + right).sorted { $0.rawValue < $1.rawValue }
                        guard let count = leftCount.multiplied(by: rightCount),
                            let sum = (next[key] ?? 0).adding(count), key.count <= 4
                        else { throw fault(expected: "a smaller product") }
                        next[key] = sum
                    }
                }
                total = next
            }
            return total
        }

        mutating func factor(depth: Int) throws -> [[Dimension]: Int] {
            guard depth < 8 else { throw fault(expected: "fewer parentheses") }
            if take(UInt8(ascii: "(")) {
                let inner = try sum(depth: depth + 1)
                guard take(UInt8(ascii: ")")) else { throw fault(expected: "a closing parenthesis") }
                return inner
            }
            skipSpace()
            let word = String(
                Substring(
                    rest.prefix {
                        $0 == UInt8(ascii: "_") || ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z"))
                            || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9"))
                    }))
            if let dimension = Dimension(rawValue: word) {
                rest.removeFirst(word.utf8.count)
                return [[dimension]: 1]
            }
            if let number = Int(word), number >= 1, number <= ModelConfig.largestDimension {
                rest.removeFirst(word.utf8.count)
                return [[]: number]
            }
            throw fault(expected: "a dimension or a positive number")
        }
    }
}

extension Shape {
    /// The shape that formulas give in a model.
    /// - Throws: `malformed` when it does not fit.
    init(_ formulas: [DimensionExpression], in config: ModelConfig, place: String) throws {
        var dimensions: [Int] = []
        for formula in formulas {
            guard let value = formula.value(in: config) else {
                throw CheckpointError.malformed("the dimension \(formula.text) does not fit", place: place)
            }
            dimensions.append(value)
        }
        guard let shape = Shape(dimensions) else {
            throw CheckpointError.malformed("the number of elements does not fit", place: place)
        }
        self = shape
    }
}
