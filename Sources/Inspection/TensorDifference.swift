// How far two tensors are apart.

internal import Bytes
internal import CKernels
public import Layouts
public import Tensors

/// Sums over the values of two tensors of the same shape. All sums are in double precision, in a fixed order.
public struct DifferenceSums: Sendable {
    /// Values that were compared.
    public internal(set) var count = 0
    /// Values whose bits differ.
    public internal(set) var changed = 0
    /// Values whose sign differs, neither being zero.
    public internal(set) var signFlips = 0
    /// Values that have no difference: NaN or infinite on either side, or of a type without arithmetic. They count in
    /// `changed` and, where one side is finite, in that side's norm; in nothing else.
    public internal(set) var unordered = 0
    /// Those of them whose bits differ.
    public internal(set) var unorderedChanged = 0
    /// Values of A, and of B, that are NaN or infinite.
    public internal(set) var notFiniteA = 0
    public internal(set) var notFiniteB = 0
    /// Values of a type without arithmetic, compared by their bytes.
    var coded = 0
    /// The largest |b - a| of finite pairs.
    var largest = 0.0
    var squaredDifference = 0.0
    /// Over finite pairs, as the difference and the product.
    var squaredA = 0.0
    var squaredB = 0.0
    var product = 0.0
    /// Over the finite values that stand beside one that is not.
    var aloneA = 0.0
    var aloneB = 0.0

    init() {}

    init(_ sums: pannier_difference) {
        count = Int(sums.count)
        changed = Int(sums.changed)
        signFlips = Int(sums.sign_flips)
        unordered = Int(sums.unordered)
        largest = sums.largest
        squaredDifference = sums.squared_difference
        squaredA = sums.squared_a
        squaredB = sums.squared_b
        product = sums.product
    }

    /// Adds the sums over other values.
    public static func += (left: inout DifferenceSums, right: DifferenceSums) {
        left.count += right.count
        left.changed += right.changed
        left.signFlips += right.signFlips
        left.unordered += right.unordered
        left.unorderedChanged += right.unorderedChanged
        left.notFiniteA += right.notFiniteA
        left.notFiniteB += right.notFiniteB
        left.coded += right.coded
        left.largest = max(left.largest, right.largest)
        left.squaredDifference += right.squaredDifference
        left.squaredA += right.squaredA
        left.squaredB += right.squaredB
        left.product += right.product
        left.aloneA += right.aloneA
        left.aloneB += right.aloneB
    }

    private var finite: Int { max(0, count - unordered) }
    /// Whether there is anything to measure: false when no pair is finite, and then the figures below are NaN.
    public var isMeasured: Bool { count == 0 || finite > 0 }

    /// The largest |b - a|. This and the next three are over the pairs that are finite on both sides.
    public var maxAbs: Double { isMeasured ? largest : .nan }
    /// Root of the mean of (b - a)².
    public var rmse: Double {
        guard isMeasured else { return .nan }
        return finite > 0 ? (squaredDifference / Double(finite)).squareRoot() : 0
    }
    /// ‖b - a‖ / ‖a‖; infinite when only a is all zeros.
    public var relativeL2: Double {
        guard isMeasured else { return .nan }
        if squaredDifference == 0 { return 0 }
        return squaredA > 0 ? (squaredDifference / squaredA).squareRoot() : .infinity
    }
    /// What orders tensors and colours heat maps: `relativeL2`, but infinite where a value changed that has no
    /// difference. Never NaN.
    public var magnitude: Double {
        if unorderedChanged > 0 { return .infinity }
        return isMeasured ? relativeL2 : 0
    }
    /// a·b / (‖a‖ ‖b‖); 1 for two tensors of zeros, 0 when one is.
    public var cosine: Double {
        guard isMeasured else { return .nan }
        if squaredA == 0, squaredB == 0 { return 1 }
        let norms = squaredA.squareRoot() * squaredB.squareRoot()
        return norms > 0 ? max(-1, min(1, product / norms)) : 0
    }
    public var changedFraction: Double { count > 0 ? Double(changed) / Double(count) : 0 }
    /// ‖a‖ and ‖b‖, each over its own finite values; NaN for a type without arithmetic.
    public var normA: Double { hasNorms ? (squaredA + aloneA).squareRoot() : .nan }
    public var normB: Double { hasNorms ? (squaredB + aloneB).squareRoot() : .nan }
    private var hasNorms: Bool { count == 0 || coded < count }
}

/// A tensor of a comparison of two checkpoints.
public struct TensorDifference: Sendable {
    /// Its name in A, or Hugging Face's where A stores it with others.
    public let name: String
    /// The same for B.
    public let nameB: String
    /// Nil for a tensor that was compared by its name.
    public let role: TensorRole?
    public let shapeA: Shape
    public let shapeB: Shape
    /// "BF16"; "F32 and F16" when its rows are stored differently.
    public let dtypeA: String
    public let dtypeB: String
    /// Nil when shapes or dtypes without arithmetic keep the values from being compared.
    public internal(set) var sums: DifferenceSums?
    /// Counts of |b - a|: bin 0 holds equal values, bin e (1 to 63) holds 2^(e-48) up to 2^(e-47); smaller ones are in
    /// bin 1, larger and unordered ones in bin 63. Empty when nothing was counted.
    public internal(set) var histogram: [Int] = []
    /// What explains the difference, each verified on every value.
    public internal(set) var causes: [DifferenceCause] = []
    /// Whether it belongs to what a training checkpoint keeps beside the model.
    public let isBookkeeping: Bool

    /// Whether it is a weight of the model, and not what an optimizer or a trainer keeps beside it.
    public var isOfModel: Bool { role != nil || (!isBookkeeping && !Timeline.isOptimizers(name)) }

    /// Whether every value is the same.
    public var isIdentical: Bool { sums.map { $0.changed == 0 } ?? false }

    /// Whether it counts as equal.
    /// - Parameter tolerance: the largest |b - a| that does; nil when every bit must be the same.
    public func isEqual(within tolerance: Double?) -> Bool {
        sums?.isEqual(within: tolerance) ?? false
    }
}

extension DifferenceSums {
    /// Whether what they were summed over counts as equal; `tolerance` as above.
    public func isEqual(within tolerance: Double?) -> Bool {
        guard let tolerance, changed > 0 else { return changed == 0 }
        return unorderedChanged == 0 && largest <= tolerance
    }
}

/// Why two tensors differ, verified on every value.
public struct DifferenceCause: Sendable, Hashable {
    /// Stable: other programs match them.
    public enum Kind: String, Sendable, CaseIterable {
        case rounding
        case ropePermutation = "rope_permutation"
        case rowsShifted = "rows_shifted"
        case swapped
        case layerShifted = "layer_shifted"
        case qkvGrouping = "qkv_grouping"
        case transposed
        case scaled
    }

    public let kind: Kind
    /// One sentence without a full stop, of which A and B are the subjects.
    public let sentence: String

    init(_ kind: Kind, _ sentence: String) {
        self.kind = kind
        self.sentence = sentence
    }
}
