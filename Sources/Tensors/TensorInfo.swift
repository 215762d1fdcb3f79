// What is known of a tensor without reading its values.

public import Bytes

/// The dimensions of a tensor, outermost first as PyTorch has them, whatever container they come from.
public struct Shape: Hashable, Sendable {
    public let dimensions: [Int]
    /// Number of elements; 1 for a scalar.
    public let count: Int

    /// - Returns: nil when a dimension is negative or the number of elements does not fit.
    public init?(_ dimensions: [Int]) {
        guard dimensions.allSatisfy({ $0 >= 0 }) else { return nil }
        // Zero anywhere makes the product zero, but the others must not overflow either: strides are made of them.
        guard dimensions.filter({ $0 != 0 }).checkedProduct() != nil, let count = dimensions.checkedProduct() else {
            return nil
        }
        self.dimensions = dimensions
        self.count = count
    }

    public var rank: Int { dimensions.count }
    /// Length of the innermost dimension, along which elements lie next to each other; 1 for a scalar.
    public var columns: Int { dimensions.last ?? 1 }
    /// Number of rows of `columns` elements.
    public var rows: Int { columns == 0 ? 0 : count / columns }
}

extension Shape: CustomStringConvertible {
    /// `[32000, 2048]`
    public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}

/// A run of bytes in a file.
public struct FileExtent: Sendable {
    public let file: File
    public let offset: UInt64
    public let count: UInt64

    public init(file: File, offset: UInt64, count: UInt64) {
        self.file = file
        self.offset = offset
        self.count = count
    }
}

/// Name, type, shape and place of a tensor.
public struct TensorInfo: Sendable {
    /// Its name in the container; nested dictionaries' keys are joined with dots.
    public let name: String
    public let dtype: DType
    public let shape: Shape
    /// Bytes of its elements, stored densely row by row in `dtype`.
    public let byteCount: Int
    /// The bytes it is stored in. For a view of a PyTorch storage these are the storage's.
    public let extent: FileExtent
    /// For a view that is not dense: elements from one index to the next in each dimension, and where it begins in
    /// the storage, in elements. Nil when the elements lie dense and in order in `extent`.
    public let view: StridedView?
    /// Byte order of the stored elements.
    public let endianness: Endianness

    /// - Throws: `malformed` when the shape is no whole number of blocks or its size does not fit.
    public init(
        name: String, dtype: DType, shape: Shape, extent: FileExtent, view: StridedView? = nil,
        endianness: Endianness = .little
    ) throws {
        guard shape.columns % dtype.blockElements == 0 || shape.count % dtype.blockElements == 0 && dtype.isQuantized == false,
            let byteCount = dtype.byteCount(elements: shape.count)
        else {
            throw CheckpointError.malformed(
                "the shape \(shape) is no whole number of \(dtype) blocks", file: extent.file.path, place: name,
                expected: "rows of a multiple of \(dtype.blockElements)", found: "\(shape.columns)")
        }
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.byteCount = byteCount
        self.extent = extent
        self.view = view
        self.endianness = endianness
    }

    /// Whether the stored bytes are exactly the row-major bytes that `read` gives: they can then be mapped or copied.
    public var isDenseNative: Bool {
        view == nil && (endianness == .native || (dtype.byteOrderUnit == 1 && !dtype.isQuantized))
    }
}

/// Where the elements of a view lie in its storage.
public struct StridedView: Hashable, Sendable {
    /// Elements from the storage's begin to the first element.
    public let offset: Int
    /// Elements from one index to the next, a number a dimension; never negative in a checkpoint.
    public let strides: [Int]

    public init(offset: Int, strides: [Int]) {
        self.offset = offset
        self.strides = strides
    }
}
