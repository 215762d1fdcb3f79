// Writing GGUF version 3, little-endian: one file, or parts as llama-gguf-split makes them.
//
// Source: ggml's docs/gguf.md. Padding between tensors and after the last is zeros, as ggml's writer has it.

internal import Bytes
public import OrderedCollections
public import Tensors

/// Writes a GGUF checkpoint into a folder.
public final class GGUFWriter: CheckpointWriter {
    public var totalBytes: UInt64 { files.totalBytes }
    public let fileNames: [String]
    private let files: PlacedFiles

    /// Creates one file and writes its header.
    /// - Parameters:
    ///   - folder: where the file is created under `name`.
    ///   - tensors: in the order of the file.
    ///   - metadata: in the order of the file; `general.alignment` in it is kept.
    public convenience init(in folder: String, name: String, tensors: [TensorPlan], metadata: Metadata) throws {
        try self.init(
            in: folder, parts: [GGUFPart(name: name, tensors: Array(tensors.indices), metadata: metadata)],
            tensors: tensors)
    }

    /// Creates the parts of a split model and writes their headers.
    public init(in folder: String, parts: [GGUFPart], tensors: [TensorPlan]) throws {
        try Shards.checkNames(tensors)
        guard parts.count < 1 << 16 else {
            throw CheckpointError(
                .usage, "the model would become \(parts.count) files", expected: "fewer than 65536",
                remedy: "choose a larger size or more tensors for one file")
        }
        var files = PlacedFiles(of: tensors)
        for part in parts {
            let (header, offsets, size) = try Self.header(
                part, tensors, alignment: Self.alignment(part.metadata))
            try files.create(
                Paths.join(folder, part.name), size: size, header: header, tensors: zip(part.tensors, offsets))
        }
        self.files = files
        fileNames = parts.map(\.name)
    }

    private static let largestAlignment: UInt32 = 1 << 21

    /// Bytes of which each tensor takes a multiple in a file with this metadata: its `general.alignment`, or 32.
    /// - Throws: `usage` when it is no power of two, or beyond 2 MiB.
    public static func alignment(_ metadata: Metadata) throws -> UInt64 {
        guard let value = metadata[GGUFHeader.alignmentKey] else { return GGUFHeader.defaultAlignment }
        guard case .u32(let alignment) = value, alignment.nonzeroBitCount == 1 else {
            throw CheckpointError(
                .usage, "the alignment is no power of two", place: GGUFHeader.alignmentKey, found: "\(value)")
        }
        // Each tensor takes as much at least: beyond what any system aligns, a small model fills a disk.
        guard alignment <= largestAlignment else {
            throw CheckpointError(
                .usage, "the alignment is too large", place: GGUFHeader.alignmentKey,
                expected: "at most \(largestAlignment)", found: "\(alignment)")
        }
        return UInt64(alignment)
    }

    /// Bytes of the file that would be written.
    public static func size(of tensors: [TensorPlan], metadata: Metadata) throws -> UInt64 {
        try size(of: tensors, parts: [GGUFPart(name: "", tensors: Array(tensors.indices), metadata: metadata)])
    }

    /// Bytes of all parts that would be written.
    public static func size(of tensors: [TensorPlan], parts: [GGUFPart]) throws -> UInt64 {
        try parts.reduce(0) { try $0 + header($1, tensors, alignment: alignment($1.metadata)).size }
    }

    /// The header of a part with its padding, where its tensors lie, and the size of the file.
    static func header(
        _ part: GGUFPart, _ tensors: [TensorPlan], alignment: UInt64
    ) throws -> (bytes: [UInt8], offsets: [UInt64], size: UInt64) {
        var out: [UInt8] = []
        out += "GGUF".utf8
        out.appendInteger(UInt32(3))
        out.appendInteger(UInt64(part.tensors.count))
        out.appendInteger(UInt64(part.metadata.count))
        for (key, value) in part.metadata {
            out.appendText(key)
            out.appendInteger(value.type.rawValue)
            out.append(value)
        }
        var offset: UInt64 = 0
        var relative: [UInt64] = []
        for index in part.tensors {
            let tensor = tensors[index]
            guard let type = tensor.dtype.ggmlType else {
                throw CheckpointError(
                    .usage, "GGUF has no \(tensor.dtype)", place: tensor.name,
                    remedy: "choose --dtype f32, f16, bf16 or a block format")
            }
            guard UInt64(tensor.name.utf8.count) <= GGUFHeader.longestName else {
                throw CheckpointError.unsupported(
                    "the name is too long for GGUF", place: tensor.name,
                    expected: "at most \(GGUFHeader.longestName) bytes", found: "\(tensor.name.utf8.count)")
            }
            guard tensor.shape.rank <= Int(GGUFHeader.largestRank) else {
                throw CheckpointError.unsupported(
                    "too many dimensions for GGUF", place: tensor.name, expected: "at most \(GGUFHeader.largestRank)",
                    found: "\(tensor.shape.rank)")
            }
            out.appendText(tensor.name)
            out.appendInteger(UInt32(tensor.shape.rank))
            for length in tensor.shape.dimensions.reversed() { out.appendInteger(UInt64(length)) }
            out.appendInteger(type)
            out.appendInteger(offset)
            relative.append(offset)
            guard let end = offset.adding(UInt64(tensor.byteCount))?.alignedUp(to: alignment) else {
                throw CheckpointError.unsupported("the file would be too large", place: tensor.name)
            }
            offset = end
        }
        // Without tensors there is nothing to align: llama.cpp's converter leaves a vocabulary's file unpadded.
        if !part.tensors.isEmpty { out.pad(to: alignment) }
        let start = UInt64(out.count)
        return (out, relative.map { start + $0 }, start + offset)
    }

    public func write(tensor index: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws {
        try files.write(tensor: index, at: offset, bytes)
    }

    public func finish() throws {}
}

/// One file of a (split) GGUF.
public struct GGUFPart: Sendable {
    public let name: String
    /// Indexes of its tensors.
    public let tensors: [Int]
    public let metadata: Metadata

    public init(name: String, tensors: [Int], metadata: Metadata) {
        self.name = name
        self.tensors = tensors
        self.metadata = metadata
    }
}

/// GGUF's primitive values as bytes.
extension [UInt8] {
    fileprivate mutating func appendText(_ text: String) {
        appendInteger(UInt64(text.utf8.count))
        append(contentsOf: text.utf8)
    }

    fileprivate mutating func pad(to alignment: UInt64) {
        while UInt64(count) % alignment != 0 { append(0) }
    }

    fileprivate mutating func append(_ value: MetadataValue) {
        switch value {
        case .u8(let number): appendInteger(number)
        case .i8(let number): appendInteger(number)
        case .u16(let number): appendInteger(number)
        case .i16(let number): appendInteger(number)
        case .u32(let number): appendInteger(number)
        case .i32(let number): appendInteger(number)
        case .u64(let number): appendInteger(number)
        case .i64(let number): appendInteger(number)
        case .f32(let number): appendInteger(number.bitPattern)
        case .f64(let number): appendInteger(number.bitPattern)
        case .bool(let flag): append(flag ? 1 : 0)
        case .string(let text): appendText(text)
        case .bytes(let text):
            appendInteger(UInt64(text.count))
            append(contentsOf: text)
        case .array(let array):
            appendInteger(array.elementType.rawValue)
            appendInteger(UInt64(array.count))
            for index in 0..<array.count { append(array[index]) }
        }
    }
}
