// The header of one GGUF file: version, key/value pairs, tensor descriptions.
//
// Source: ggml's docs/gguf.md; the limits are those of ggml's own reader (gguf.cpp), so that what is accepted here is
// accepted there.

internal import Bytes
internal import OrderedCollections
internal import Tensors

struct GGUFHeader {
    let version: UInt32
    let endianness: Endianness
    let metadata: Metadata
    let tensors: [TensorInfo]
    let alignment: UInt64
    /// What is odd without being wrong.
    let remarks: [String]

    /// Strings and arrays have at most this many bytes and elements.
    static let largestCount: UInt64 = 1 << 30
    /// A tensor name has at most this many bytes (ggml's GGML_MAX_NAME, which counts a closing NUL).
    static let longestName: UInt64 = 63
    static let largestRank: UInt32 = 4
    static let defaultAlignment: UInt64 = 32
    static let alignmentKey = "general.alignment"
    /// The specification's limit.
    static let longestKey: UInt64 = 65535
    static let mostKeys: UInt64 = 1 << 16

    /// Reads and checks a whole header.
    /// - Throws: `malformed` or `unsupported` with the byte offset.
    static func read(_ file: File) throws -> GGUFHeader {
        var cursor = FileCursor(file)
        let magic = try cursor.bytes(4, for: "the magic number")
        guard magic == Array("GGUF".utf8) else {
            throw CheckpointError.malformed("not a GGUF file", file: file.path, offset: 0, expected: "the bytes GGUF")
        }
        var version = try cursor.integer(UInt32.self, for: "the version")
        // Big-endian files begin with the same four bytes; their version gives them away.
        if version & 0xFFFF == 0, version != 0 {
            cursor.endianness = .big
            version = version.byteSwapped
        }
        guard version == 2 || version == 3 else {
            let known = version == 1
            throw CheckpointError(
                known ? .unsupported : .malformed, "GGUF version \(version)", file: file.path, offset: 4,
                expected: "version 2 or 3",
                remedy: known ? "convert the original checkpoint again; version 1 was in use for a few days of 2023" : nil)
        }
        let tensorCount = try cursor.integer(UInt64.self, for: "the number of tensors")
        let pairCount = try cursor.integer(UInt64.self, for: "the number of keys")
        // The shortest description of a tensor has 24 bytes, of a key 13.
        guard tensorCount <= UInt64(Limits.tensors), tensorCount <= cursor.remaining / 24 else {
            throw CheckpointError.malformed(
                "the file cannot hold so many tensors", file: file.path, offset: 8,
                expected: "at most \(min(UInt64(Limits.tensors), cursor.remaining / 24))", found: "\(tensorCount)")
        }
        guard pairCount <= min(mostKeys, cursor.remaining / 13) else {
            throw CheckpointError.malformed(
                "the file cannot hold so many keys", file: file.path, offset: 16,
                expected: "at most \(min(mostKeys, cursor.remaining / 13))", found: "\(pairCount)")
        }
        var metadata: Metadata = [:]
        var budget = MemoryBudget(file)
        for _ in 0..<pairCount {
            let start = cursor.offset
            let key = try name(&cursor, "a key", limit: longestKey)
            try budget.spend(128 + key.utf8.count, on: key)
            try metadata.check(isNew: key, file: file.path, offset: start)
            metadata[key] = try value(&cursor, key: key, &budget)
        }
        let alignment = try alignment(metadata, file)
        let tensors = try tensors(&cursor, count: tensorCount, alignment: alignment)
        // The bytes behind the last tensor are its padding, which some writers leave out.
        var remarks: [String] = []
        if let last = tensors.last?.extent, case let rest = file.size - last.offset - last.count, rest >= alignment {
            remarks.append("\(rest) bytes lie behind the last tensor")
        }
        return GGUFHeader(
            version: version, endianness: cursor.endianness, metadata: metadata, tensors: tensors,
            alignment: alignment, remarks: remarks)
    }

    private static func alignment(_ metadata: Metadata, _ file: File) throws -> UInt64 {
        guard let value = metadata[alignmentKey] else { return defaultAlignment }
        guard case .u32(let alignment) = value, alignment.nonzeroBitCount == 1 else {
            throw CheckpointError.malformed(
                "the alignment is no power of two", file: file.path, place: alignmentKey, expected: "a u32 power of two",
                found: "\(value)")
        }
        return UInt64(alignment)
    }

    // MARK: Key/value pairs

    /// A key or a tensor's name. A zero byte in it would end it for readers in C, who would see another name.
    private static func name(_ cursor: inout FileCursor, _ what: String, limit: UInt64) throws -> String {
        let start = cursor.offset
        let length = try cursor.integer(UInt64.self, for: "the length of \(what)")
        guard length <= limit else {
            throw CheckpointError.malformed(
                "\(what) is too long", file: cursor.file.path, offset: cursor.offset - 8,
                expected: "at most \(limit) bytes", found: "\(length)")
        }
        let text = try cursor.string(length, for: what)
        guard !text.isEmpty, !text.utf8.contains(0) else {
            throw CheckpointError.malformed(
                text.isEmpty ? "\(what) is empty" : "\(what) holds a zero byte", file: cursor.file.path, offset: start)
        }
        return text
    }

    /// Text, or its bytes where they are no UTF-8.
    private static func text(
        _ cursor: inout FileCursor, key: String, _ budget: inout MemoryBudget
    ) throws -> MetadataValue {
        let length = try cursor.integer(UInt64.self, for: "the length of \(key)")
        guard length <= largestCount else {
            throw CheckpointError.malformed(
                "the text is too long", file: cursor.file.path, place: key, offset: cursor.offset - 8,
                expected: "at most \(largestCount) bytes", found: "\(length)")
        }
        // Up to 15 bytes lie in the string itself, longer ones in an allocation.
        try budget.spend(length < 16 ? 16 : 48 + Int(length), on: key)
        let bytes = try cursor.bytes(length, for: "the text of \(key)")
        return String(validating: bytes, as: UTF8.self).map(MetadataValue.string) ?? .bytes(bytes)
    }

    private static func type(_ cursor: inout FileCursor, key: String) throws -> MetadataType {
        let start = cursor.offset
        let number = try cursor.integer(UInt32.self, for: "the type of \(key)")
        guard let type = MetadataType(rawValue: number) else {
            throw CheckpointError.malformed(
                "the value's type is unknown", file: cursor.file.path, place: key, offset: start, expected: "0 to 12",
                found: "\(number)")
        }
        return type
    }

    private static func value(
        _ cursor: inout FileCursor, key: String, _ budget: inout MemoryBudget
    ) throws -> MetadataValue {
        let type = try type(&cursor, key: key)
        return type == .array
            ? .array(try array(&cursor, key: key, &budget)) : try scalar(&cursor, type, key: key, &budget)
    }

    private static func scalar(
        _ cursor: inout FileCursor, _ type: MetadataType, key: String, _ budget: inout MemoryBudget
    ) throws -> MetadataValue {
        switch type {
        case .u8: return .u8(try cursor.integer(for: key))
        case .i8: return .i8(try cursor.integer(for: key))
        case .u16: return .u16(try cursor.integer(for: key))
        case .i16: return .i16(try cursor.integer(for: key))
        case .u32: return .u32(try cursor.integer(for: key))
        case .i32: return .i32(try cursor.integer(for: key))
        case .u64: return .u64(try cursor.integer(for: key))
        case .i64: return .i64(try cursor.integer(for: key))
        case .f32: return .f32(try cursor.float32(for: key))
        case .f64: return .f64(try cursor.float64(for: key))
        case .bool:
            let byte = try cursor.integer(UInt8.self, for: key)
            guard byte <= 1 else {
                throw CheckpointError.malformed(
                    "a truth value is neither 0 nor 1", file: cursor.file.path, place: key, offset: cursor.offset - 1,
                    found: "\(byte)")
            }
            return .bool(byte == 1)
        case .string: return try text(&cursor, key: key, &budget)
        case .array:
            throw CheckpointError.unsupported(
                "arrays within arrays", file: cursor.file.path, place: key, offset: cursor.offset)
        }
    }

    /// The fewest bytes an element takes in a file.
    private static func smallest(_ type: MetadataType) -> UInt64 {
        switch type {
        case .u8, .i8, .bool: 1
        case .u16, .i16: 2
        case .u32, .i32, .f32: 4
        case .u64, .i64, .f64, .string, .array: 8
        }
    }

    private static func array(
        _ cursor: inout FileCursor, key: String, _ budget: inout MemoryBudget
    ) throws -> MetadataArray {
        let type = try type(&cursor, key: key)
        let start = cursor.offset
        let count = try cursor.integer(UInt64.self, for: "the length of \(key)")
        guard count <= largestCount, count <= cursor.remaining / smallest(type), let length = Int(exactly: count)
        else {
            throw CheckpointError.malformed(
                "the file cannot hold so long an array", file: cursor.file.path, place: key, offset: start,
                expected: "at most \(cursor.remaining / smallest(type)) elements", found: "\(count)")
        }
        // What an element takes in memory, a string's bytes apart; numbers of four bytes pass through two arrays.
        let each =
            switch type {
            case .f32, .u32, .i32: 8
            case .string: 16
            default: MemoryLayout<MetadataValue>.stride
            }
        try budget.spend(length.multiplied(by: each) ?? Int.max, on: key)
        switch type {
        case .f32: return .f32(try words(&cursor, length, key).map(Float.init(bitPattern:)))
        case .u32: return .u32(try words(&cursor, length, key))
        case .i32: return .i32(try words(&cursor, length, key).map(Int32.init(bitPattern:)))
        case .string:
            var strings: [String] = []
            strings.reserveCapacity(length)
            var mixed: [MetadataValue]?
            for _ in 0..<length {
                let value = try text(&cursor, key: key, &budget)
                if mixed == nil, case .string(let text) = value {
                    strings.append(text)
                } else {
                    if mixed == nil { mixed = strings.map(MetadataValue.string) }
                    mixed?.append(value)
                }
            }
            return mixed.map { .other(type: .string, values: $0) } ?? .strings(strings)
        case .array:
            throw CheckpointError.unsupported(
                "arrays within arrays", file: cursor.file.path, place: key, offset: start)
        default:
            var values: [MetadataValue] = []
            values.reserveCapacity(length)
            for _ in 0..<length { values.append(try scalar(&cursor, type, key: key, &budget)) }
            return .other(type: type, values: values)
        }
    }

    private static func words(_ cursor: inout FileCursor, _ count: Int, _ key: String) throws -> [UInt32] {
        let bytes = try cursor.bytes(UInt64(count) * 4, for: key)
        let big = cursor.endianness == .big
        return bytes.withUnsafeBytes { raw in
            (0..<count).map { index in
                let word = raw.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
                return big ? UInt32(bigEndian: word) : UInt32(littleEndian: word)
            }
        }
    }

    // MARK: Tensors

    private static func tensors(_ cursor: inout FileCursor, count: UInt64, alignment: UInt64) throws -> [TensorInfo] {
        struct Description {
            let name: String
            let dtype: DType
            let shape: Shape
            let offset: UInt64
            let place: UInt64
        }
        let file = cursor.file
        var descriptions: [Description] = []
        var names: Set<ExactText> = []
        for _ in 0..<count {
            let start = cursor.offset
            let name = try name(&cursor, "a tensor's name", limit: longestName)
            guard names.insert(ExactText(name)).inserted else {
                throw CheckpointError.malformed("the tensor stands twice", file: file.path, place: name, offset: start)
            }
            let rank = try cursor.integer(UInt32.self, for: "the rank of \(name)")
            guard rank <= largestRank else {
                throw CheckpointError.malformed(
                    "too many dimensions", file: file.path, place: name, offset: cursor.offset - 4,
                    expected: "at most \(largestRank)", found: "\(rank)")
            }
            var dimensions: [Int] = []
            for _ in 0..<rank {
                let length = try cursor.integer(UInt64.self, for: "a dimension of \(name)")
                guard let length = Int(exactly: length) else {
                    throw CheckpointError.malformed(
                        "a dimension does not fit", file: file.path, place: name, offset: cursor.offset - 8,
                        found: "\(length)")
                }
                dimensions.append(length)
            }
            // GGUF names the innermost dimension first.
            guard let shape = Shape(dimensions.reversed()) else {
                throw CheckpointError.malformed(
                    "the number of elements does not fit", file: file.path, place: name, offset: start,
                    found: "\(dimensions)")
            }
            let number = try cursor.integer(UInt32.self, for: "the type of \(name)")
            guard let dtype = DType(ggmlType: number) else {
                let removed = DType.removedGGMLTypes[number]
                throw CheckpointError.unsupported(
                    removed.map { "\($0) was removed from ggml" } ?? "the tensor type \(number) is unknown",
                    file: file.path, place: name, offset: cursor.offset - 4,
                    remedy: removed == nil ? "a newer Pannier may know it" : "quantize the original again")
            }
            let offset = try cursor.integer(UInt64.self, for: "the offset of \(name)")
            descriptions.append(Description(name: name, dtype: dtype, shape: shape, offset: offset, place: start))
        }
        guard let data = cursor.offset.alignedUp(to: alignment) else {
            throw CheckpointError.malformed("the alignment does not fit", file: file.path, place: alignmentKey)
        }
        var expected: UInt64 = 0
        return try descriptions.map { one in
            let start = data.adding(one.offset)
            guard one.shape.columns % one.dtype.blockElements == 0,
                let bytes = one.dtype.byteCount(elements: one.shape.count)
            else {
                throw CheckpointError.malformed(
                    "a row is no whole number of \(one.dtype) blocks", file: file.path, place: one.name,
                    offset: one.place, expected: "a multiple of \(one.dtype.blockElements) columns",
                    found: "\(one.shape.columns)")
            }
            guard one.offset == expected else {
                throw CheckpointError.malformed(
                    "the tensor does not follow the one before it", file: file.path, place: one.name,
                    offset: one.place, expected: "offset \(expected)", found: "\(one.offset)")
            }
            guard let start, let end = start.adding(UInt64(bytes)), end <= file.size,
                let next = expected.adding(UInt64(bytes))?.alignedUp(to: alignment)
            else {
                throw CheckpointError.malformed(
                    "the tensor reaches beyond the end of the file", file: file.path, place: one.name,
                    offset: one.place, expected: "\(file.size) bytes in all", found: "\(bytes) bytes at \(data &+ one.offset)",
                    remedy: "the download or copy is incomplete")
            }
            expected = next
            if cursor.endianness != .native, one.dtype.isQuantized, BlockByteOrder.fields(of: one.dtype) == nil {
                throw CheckpointError.unsupported(
                    "\(one.dtype) blocks in the other byte order are not defined", file: file.path, place: one.name,
                    remedy: "use a little-endian file of this model")
            }
            return try TensorInfo(
                name: one.name, dtype: one.dtype, shape: one.shape,
                extent: FileExtent(file: file, offset: start, count: UInt64(bytes)), endianness: cursor.endianness)
        }
    }
}
