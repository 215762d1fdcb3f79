// What is asked of a quantization: a file type or a size, and everything llama-quantize can be told.

public import OrderedCollections
public import Quantization
public import Tensors

/// How a checkpoint should be quantized.
public struct QuantizationRequest: Sendable {
    /// What the file as a whole should be; nil with a target size.
    public var fileType: FileType?
    /// The size the file may have at most, instead of a file type.
    public var targetSize: UInt64?
    public var importance: ImportanceMatrix?
    /// The matrix's name, as it is written into the file's metadata.
    public var importanceName: String?
    public var overrides: [TypeOverride] = []
    public var outputType: DType?
    public var embeddingType: DType?
    public var leaveOutput = false
    public var pure = false
    /// Quantize again what is quantized already: from poor to poorer.
    public var allowRequantize = false
    /// Layers to leave out, counted from 0.
    public var prunedLayers: Set<Int> = []
    /// Metadata to set.
    public var metadata: Metadata = [:]
    /// Write as many parts as the source has.
    public var keepSplit = false

    public init() {}
}
