// What every container's reader and writer promise. Containers implement these two; everything above uses only them.

public import Bytes

/// How bytes lie in a file.
public enum ContainerKind: String, Sendable, CaseIterable, Codable {
    case safetensors
    case pytorch
    case gguf
}

/// An open checkpoint: its tensors and metadata are known, its values are read when asked for.
///
/// Implementations check the whole header while opening; after that only input/output can fail.
public protocol CheckpointReader: Sendable {
    var kind: ContainerKind { get }
    /// The path as the caller gave it.
    var path: String { get }
    /// What exactly it is, for people: "GGUF version 3", "PyTorch zip, pickle protocol 2", "safetensors, 3 shards".
    var details: String { get }
    /// Every file that belongs to it, in order.
    var files: [File] { get }
    /// In the order of the container. Names are unique.
    var tensors: [TensorInfo] { get }
    var metadata: Metadata { get }
    /// What is odd without being wrong: compressed record names, globals outside the list in a part not needed, ...
    var remarks: [String] { get }

    /// Reads elements of a tensor, row-major and dense, in its stored dtype and this machine's byte order.
    /// - Parameters:
    ///   - range: elements in row-major order; bounds are multiples of the dtype's block.
    ///   - buffer: exactly the bytes of that range.
    func read(_ tensor: TensorInfo, elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws
}

extension Sequence<TensorInfo> {
    /// Bytes of all elements together; the largest number where a hostile checkpoint's do not fit.
    public var totalBytes: UInt64 { reduce(0) { $0.adding(UInt64($1.byteCount)) ?? .max } }
}

extension CheckpointReader {
    /// Bytes of all tensors' elements; views of one storage count one by one.
    public var totalBytes: UInt64 { tensors.totalBytes }

    /// Reads a range of a dense tensor: one positional read, and the bytes turned round where the file's order differs.
    package func readDense(
        _ tensor: TensorInfo, elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        guard range.lowerBound >= 0, range.upperBound <= tensor.shape.count,
            let first = tensor.dtype.byteCount(elements: range.lowerBound),
            tensor.dtype.byteCount(elements: range.count) == buffer.count,
            let start = tensor.extent.offset.adding(UInt64(first))
        else {
            throw CheckpointError.malformed(
                "a read of elements \(range) does not fit the tensor", file: tensor.extent.file.path,
                place: tensor.name, expected: "at most \(tensor.shape.count) elements")
        }
        try tensor.extent.file.read(into: buffer, at: start)
        if tensor.endianness != .native { reverseBytes(of: tensor.dtype.byteOrderUnit, in: buffer) }
    }

    /// All bytes of a (small) tensor.
    public func readAll(_ tensor: TensorInfo) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: tensor.byteCount) { buffer, initialized in
            try read(tensor, elements: 0..<tensor.shape.count, into: UnsafeMutableRawBufferPointer(buffer))
            initialized = tensor.byteCount
        }
    }
}

/// Turns round every `unit` bytes of a buffer.
package func reverseBytes(of unit: Int, in buffer: UnsafeMutableRawBufferPointer) {
    func swap<T: FixedWidthInteger>(_: T.Type) {
        var at = 0
        while at + unit <= buffer.count {
            let value = buffer.loadUnaligned(fromByteOffset: at, as: T.self)
            buffer.storeBytes(of: value.byteSwapped, toByteOffset: at, as: T.self)
            at += unit
        }
    }
    switch unit {
    case 2: swap(UInt16.self)
    case 4: swap(UInt32.self)
    case 8: swap(UInt64.self)
    default: break
    }
}

/// A tensor that is to be written.
public struct TensorPlan: Sendable, Equatable {
    public let name: String
    public let dtype: DType
    public let shape: Shape
    /// Bytes of its dense elements.
    public let byteCount: Int

    /// - Throws: `unsupported` when a row is no whole number of blocks.
    public init(name: String, dtype: DType, shape: Shape) throws {
        guard shape.columns % dtype.blockElements == 0, let byteCount = dtype.byteCount(elements: shape.count) else {
            throw CheckpointError.unsupported(
                "rows of \(shape.columns) elements cannot be stored as \(dtype)", place: name,
                expected: "a multiple of \(dtype.blockElements)", found: "\(shape.columns)")
        }
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.byteCount = byteCount
    }
}

/// Writes one checkpoint. It is told every tensor first, so that every offset is known, then takes bytes in any order
/// and from any thread.
public protocol CheckpointWriter: Sendable {
    /// Bytes that the finished checkpoint will have, over all of its files.
    var totalBytes: UInt64 { get }
    /// The files it writes, relative to where the output is published.
    var fileNames: [String] { get }
    /// Stores part of a tensor's dense bytes. Every byte of every tensor is stored exactly once before `finish`.
    /// - Parameters:
    ///   - index: the tensor's place in the list the writer was told.
    ///   - offset: where the bytes begin within the tensor.
    func write(tensor index: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws
    /// Writes what is still missing (headers, directories, checksums). The files are complete afterwards, not published.
    func finish() throws
}
