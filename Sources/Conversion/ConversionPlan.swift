// What a conversion will do, as a value: every tensor that is written and where its rows come from.

public import OrderedCollections
public import Tensors

/// Rows of a target tensor and the rows of a source tensor they are made of.
///
/// Target rows `targetRow, targetRow + targetStep, ...` are source rows `sourceRow, sourceRow + sourceStep, ...`,
/// `count` of each. Every change between the layouts of the Llama family is such a permutation of rows; a tensor of
/// one dimension counts as rows of one element.
public struct RowSegment: Sendable, Hashable {
    /// Index of the source tensor.
    public var tensor: Int
    public var sourceRow: Int
    public var sourceStep: Int
    public var targetRow: Int
    public var targetStep: Int
    public var count: Int

    public init(tensor: Int, sourceRow: Int, sourceStep: Int, targetRow: Int, targetStep: Int, count: Int) {
        self.tensor = tensor
        self.sourceRow = sourceRow
        self.sourceStep = sourceStep
        self.targetRow = targetRow
        self.targetStep = targetStep
        self.count = count
    }
}

/// Where the bytes of a target tensor come from.
public enum TensorOrigin: Sendable {
    /// Rows of source tensors.
    case rows([RowSegment])
    /// Values that no source tensor holds, in the target's dtype (llama 3's RoPE factors).
    case bytes([UInt8])
}

/// One tensor of the output.
public struct ConversionStep: Sendable {
    public var target: TensorPlan
    public var origin: TensorOrigin
    /// The dtype it has in the source; the widest one where it is made of several tensors.
    public var from: DType
    /// One weight a column, from an importance matrix, for block formats that use it.
    public var importance: [Float]?
    /// Why it gets its dtype, for `--explain`.
    public var reason: String?

    public init(
        target: TensorPlan, origin: TensorOrigin, from: DType, importance: [Float]? = nil, reason: String? = nil
    ) {
        self.target = target
        self.origin = origin
        self.from = from
        self.importance = importance
        self.reason = reason
    }
}

/// Every tensor and every metadata entry of the output, in its order.
public struct ConversionPlan: Sendable {
    public var steps: [ConversionStep]
    public var metadata: Metadata
    /// What the person should know before the work begins.
    public var warnings: [String]
    /// Whether NaN and infinities are refused, as llama-quantize refuses them, instead of carried where the dtype can.
    public var refusesNotFinite = false

    public init(steps: [ConversionStep], metadata: Metadata = [:], warnings: [String] = []) {
        self.steps = steps
        self.metadata = metadata
        self.warnings = warnings
    }

    /// Bytes of all tensors, without headers and padding.
    public var tensorBytes: UInt64 { steps.reduce(0) { $0 &+ UInt64($1.target.byteCount) } }
}

extension Shape {
    /// Elements of a row where rows are the unit that is moved: one for a tensor of one dimension.
    package var rowElements: Int { rank <= 1 ? 1 : columns }
    /// Rows of `rowElements`.
    package var rowCount: Int { rowElements == 0 ? 0 : count / rowElements }
}
