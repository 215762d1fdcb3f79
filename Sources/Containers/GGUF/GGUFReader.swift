// Reading GGUF: one file, or a model split over several.

public import Bytes
public import OrderedCollections
public import Tensors

/// A checkpoint in GGUF form.
public struct GGUFReader: CheckpointReader {
    public let path: String
    public let files: [File]
    public let tensors: [TensorInfo]
    /// Of a split model the first file's.
    public let metadata: Metadata
    /// GGUF's version: 2 or 3.
    public let version: UInt32
    public let endianness: Endianness
    /// Bytes that offsets of tensors are multiples of.
    public let alignment: UInt64

    public var kind: ContainerKind { .gguf }
    public let remarks: [String]
    public var details: String {
        var text = "GGUF version \(version)"
        if endianness == .big { text += ", big-endian" }
        if files.count > 1 { text += ", split into \(files.count) files" }
        return text
    }

    /// Opens one file by itself, also where it is a part of a split model.
    /// - Throws: `malformed`, `unsupported` or `inputOutput`.
    init(alone path: String) throws {
        let file = try File(path)
        self.init(path, file, try GGUFHeader.read(file))
    }

    private init(_ path: String, _ file: File, _ header: GGUFHeader) {
        self.path = path
        version = header.version
        endianness = header.endianness
        files = [file]
        tensors = header.tensors
        metadata = header.metadata
        alignment = header.alignment
        remarks = header.remarks
    }

    /// Opens a file, or all files of the split model that it belongs to.
    /// - Throws: `malformed`, `unsupported` or `inputOutput`.
    public init(_ path: String) throws {
        let file = try File(path)
        let header = try GGUFHeader.read(file)
        guard let count = header.metadata["split.count"]?.integer, count > 1 else {
            self.init(path, file, header)
            return
        }
        try self.init(path, header, parts: count)
    }

    /// Opens all files of a split model.
    /// - Parameter header: of the file at `path`, which is one of them.
    private init(_ path: String, _ header: GGUFHeader, parts count: Int) throws {
        self.path = path
        version = header.version
        endianness = header.endianness
        guard count <= Limits.shards, let names = SplitName(Paths.name(path)), names.count == count else {
            throw CheckpointError.malformed(
                "the file is one of \(count) and is not named like one", file: path, place: "split.count",
                expected: "a name that ends in -00001-of-\(SplitName.padded(count)).gguf", found: Paths.name(path))
        }
        var files: [File] = []
        var tensors: [TensorInfo] = []
        var first: GGUFHeader?
        var remarks: [String] = []
        var seen: Set<ExactText> = []
        for number in 1...count {
            let part = Paths.join(Paths.parent(path), names.name(of: number))
            let file = try File(part)
            let header = try GGUFHeader.read(file)
            guard header.metadata["split.no"]?.integer == number - 1, header.metadata["split.count"]?.integer == count
            else {
                throw CheckpointError.malformed(
                    "the file is not the part its name says", file: part, place: "split.no",
                    expected: "part \(number - 1) of \(count)",
                    found: "\(header.metadata["split.no"]?.integer ?? -1) of \(header.metadata["split.count"]?.integer ?? -1)")
            }
            for tensor in header.tensors where !seen.insert(ExactText(tensor.name)).inserted {
                throw CheckpointError.malformed("the tensor stands in two parts", file: part, place: tensor.name)
            }
            if first == nil { first = header }
            files.append(file)
            tensors += header.tensors
            remarks += header.remarks.map { "\(names.name(of: number)): \($0)" }
        }
        if let total = first?.metadata["split.tensors.count"]?.integer, total != tensors.count {
            throw CheckpointError.malformed(
                "the parts do not hold all tensors", file: path, place: "split.tensors.count", expected: "\(total)",
                found: "\(tensors.count)")
        }
        self.files = files
        self.tensors = tensors
        self.remarks = remarks
        metadata = first?.metadata ?? header.metadata
        alignment = first?.alignment ?? header.alignment
    }

    public func read(
        _ tensor: TensorInfo, elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try readDense(tensor, elements: range, into: buffer)
        if tensor.endianness != .native, tensor.dtype.isQuantized {
            BlockByteOrder.reverse(tensor.dtype, in: buffer)
        }
    }
}

/// The name of one part of a split model: PREFIX-00001-of-00003.gguf.
struct SplitName {
    let prefix: String
    let number: Int
    let count: Int

    init?(_ name: String) {
        let ending = ".gguf"
        guard name.hasSuffix(ending) else { return nil }
        let parts = name.dropLast(ending.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[parts.count - 2] == "of", let count = Self.number(parts[parts.count - 1]),
            let number = Self.number(parts[parts.count - 3])
        else { return nil }
        prefix = parts[..<(parts.count - 3)].joined(separator: "-")
        self.number = number
        self.count = count
    }

    private static func number(_ digits: Substring) -> Int? {
        digits.utf8.count == 5 && digits.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? Int(digits) : nil
    }

    static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    func name(of number: Int) -> String { Self.name(prefix: prefix, number: number, count: count) }

    static func name(prefix: String, number: Int, count: Int) -> String {
        "\(prefix)-\(padded(number))-of-\(padded(count)).gguf"
    }
}
