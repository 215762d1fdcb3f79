// The header of one safetensors file: eight bytes of length, JSON, and nothing else between the tensors' bytes.
//
// Specification: the "Format" section of the safetensors README (names, dtypes, offsets from the end of the header, no
// holes, no duplicate keys, the first byte is `{`, padding with spaces). The reference implementation's checks (header
// at most 100,000,000 bytes, checked products, last end exactly at the end of the file) hold here too.

import Bytes
import JSONText
import OrderedCollections
import Tensors

enum SafetensorsHeader {
    /// Dtypes that the specification names.
    static let dtypes: Set<DType> = [
        .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .f16, .bf16, .f32, .f64, .c64, .f8e5m2, .f8e4m3,
        .f8e5m2fnuz, .f8e4m3fnuz, .f8e8m0, .f4, .f6e2m3, .f6e3m2,
    ]

    /// One entry as the header has it; offsets count from the end of the header.
    private struct Entry {
        let name: String
        let dtype: DType
        let shape: Shape
        let begin: UInt64
        let end: UInt64
    }

    /// Reads and checks a whole header.
    /// - Returns: the tensors in the order of their bytes, and `__metadata__`.
    static func read(_ file: File) throws -> (tensors: [TensorInfo], metadata: Metadata) {
        var cursor = FileCursor(file)
        let length = try cursor.integer(UInt64.self, for: "the header's length")
        guard length <= Limits.headerBytes else {
            throw CheckpointError.malformed(
                "the header is too long", file: file.path, offset: 0, expected: "at most \(Limits.headerBytes) bytes",
                found: "\(length)", remedy: "this is no safetensors file, or it is damaged")
        }
        let json = try cursor.bytes(length, for: "the header")
        guard json.first == UInt8(ascii: "{") else {
            throw CheckpointError.malformed(
                "the header does not begin with a brace", file: file.path, offset: 8, expected: "{",
                found: json.first.map { "byte \($0)" } ?? "nothing",
                remedy: "this is no safetensors file, or it is damaged")
        }
        let (entries, metadata) = try parse(json, file: file)
        return (try place(entries, file: file, dataStart: 8 + length), metadata)
    }

    private static func parse(_ json: [UInt8], file: File) throws -> ([Entry], Metadata) {
        var entries: [Entry] = []
        var names: Set<ExactText> = []
        var metadata: Metadata = [:]
        try JSONPull.read(json, file: file.path, base: 8) { pull in
            try pull.object { name, pull in
                guard names.insert(ExactText(name)).inserted else {
                    throw CheckpointError.malformed(
                        "the name stands twice in the header", file: file.path, place: name, offset: pull.offset)
                }
                guard names.count <= Limits.tensors else {
                    throw CheckpointError.unsupported(
                        "more than \(Limits.tensors) tensors", file: file.path, offset: pull.offset)
                }
                if name == "__metadata__" {
                    metadata = try self.metadata(&pull, file: file)
                } else {
                    entries.append(try entry(name, &pull, file: file))
                }
            }
        }
        return (entries, metadata)
    }

    /// `__metadata__`: a map from strings to strings.
    private static func metadata(_ pull: inout JSONPull, file: File) throws -> Metadata {
        var metadata: Metadata = [:]
        try pull.object { key, pull in
            try metadata.check(isNew: key, file: file.path, offset: pull.offset)
            guard metadata.count < Limits.tensors else {
                throw CheckpointError.unsupported("too much metadata", file: file.path, offset: pull.offset)
            }
            guard pull.next == UInt8(ascii: "\"") else {
                throw CheckpointError.malformed(
                    "a value in __metadata__ is no string", file: file.path, place: key, offset: pull.offset)
            }
            metadata[key] = .string(try pull.string())
        }
        return metadata
    }

    private static func entry(_ name: String, _ pull: inout JSONPull, file: File) throws -> Entry {
        let start = pull.offset
        var dtype: DType?
        var dimensions: [Int]?
        var offsets: [UInt64]?
        guard pull.next == UInt8(ascii: "{") else {
            throw CheckpointError.malformed(
                "the entry is no object", file: file.path, place: name, offset: start,
                expected: "dtype, shape and data_offsets")
        }
        try pull.object { key, pull in
            let offset = pull.offset
            func once(_ known: Bool) throws {
                if known {
                    throw CheckpointError.malformed(
                        "\(key) stands twice in the entry", file: file.path, place: name, offset: offset)
                }
            }
            switch key {
            case "dtype":
                try once(dtype != nil)
                let text = try pull.string()
                guard let known = DType(rawValue: text), dtypes.contains(known) else {
                    throw CheckpointError.unsupported(
                        "unknown dtype", file: file.path, place: name, offset: offset,
                        expected: "one of the specification's dtypes", found: String(text.prefix(40)))
                }
                dtype = known
            case "shape":
                try once(dimensions != nil)
                dimensions = try self.dimensions(&pull, name: name, file: file)
            case "data_offsets":
                try once(offsets != nil)
                var pair: [UInt64] = []
                try pull.array { pull in
                    guard pair.count < 2 else { throw pull.fault("data_offsets has more than two numbers") }
                    pair.append(try pull.unsigned())
                }
                guard pair.count == 2 else {
                    throw CheckpointError.malformed(
                        "data_offsets is no pair", file: file.path, place: name, offset: offset, expected: "2 numbers",
                        found: "\(pair.count)")
                }
                offsets = pair
            default:
                throw CheckpointError.unsupported(
                    "unknown key in a tensor's entry", file: file.path, place: name, offset: offset,
                    expected: "dtype, shape and data_offsets", found: String(key.prefix(40)))
            }
        }
        guard let dtype, let dimensions, let offsets else {
            let missing = dtype == nil ? "dtype" : dimensions == nil ? "shape" : "data_offsets"
            throw CheckpointError.malformed(
                "the entry has no \(missing)", file: file.path, place: name, offset: start)
        }
        guard let shape = Shape(dimensions) else {
            throw CheckpointError.malformed(
                "the number of elements does not fit in 64 bits", file: file.path, place: name, offset: start,
                found: "\(dimensions)")
        }
        return Entry(name: name, dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1])
    }

    private static func dimensions(_ pull: inout JSONPull, name: String, file: File) throws -> [Int] {
        var dimensions: [Int] = []
        try pull.array { pull in
            let offset = pull.offset
            guard dimensions.count < Limits.rank else {
                throw CheckpointError.unsupported(
                    "more than \(Limits.rank) dimensions", file: file.path, place: name, offset: offset)
            }
            let value = try pull.unsigned()
            guard let dimension = Int(exactly: value) else {
                throw CheckpointError.malformed(
                    "a dimension does not fit in 63 bits", file: file.path, place: name, offset: offset,
                    found: "\(value)")
            }
            dimensions.append(dimension)
        }
        return dimensions
    }

    /// Puts the entries in the order of their bytes and checks that these cover the rest of the file exactly once.
    private static func place(_ entries: [Entry], file: File, dataStart: UInt64) throws -> [TensorInfo] {
        let available = file.size - dataStart
        var covered: UInt64 = 0
        var tensors: [TensorInfo] = []
        tensors.reserveCapacity(entries.count)
        for entry in entries.sorted(by: { ($0.begin, $0.end, $0.name) < ($1.begin, $1.end, $1.name) }) {
            guard entry.begin == covered else {
                throw CheckpointError.malformed(
                    entry.begin < covered
                        ? "its bytes overlap those of another tensor" : "a hole lies before its bytes",
                    file: file.path, place: entry.name, expected: "data_offsets that begin at \(covered)",
                    found: "\(entry.begin)", remedy: "the file was written wrongly; get it again from its source")
            }
            guard entry.end >= entry.begin, entry.end <= available else {
                throw CheckpointError.malformed(
                    "its bytes reach beyond the end of the file", file: file.path, place: entry.name,
                    expected: "data_offsets that end between \(entry.begin) and \(available)", found: "\(entry.end)",
                    remedy: "the file is truncated: download or copy it again")
            }
            let info = try TensorInfo(
                name: entry.name, dtype: entry.dtype, shape: entry.shape,
                extent: FileExtent(file: file, offset: dataStart + entry.begin, count: entry.end - entry.begin))
            guard UInt64(info.byteCount) == entry.end - entry.begin else {
                throw CheckpointError.malformed(
                    "shape and dtype do not agree with data_offsets", file: file.path, place: entry.name,
                    expected: "\(info.byteCount) bytes for \(entry.shape) of \(entry.dtype)",
                    found: "\(entry.end - entry.begin)")
            }
            covered = entry.end
            tensors.append(info)
        }
        guard covered == available else {
            throw CheckpointError.malformed(
                "bytes lie behind the last tensor", file: file.path, offset: dataStart + covered,
                expected: "the end of the file", found: "\(available - covered) more bytes")
        }
        return tensors
    }
}
