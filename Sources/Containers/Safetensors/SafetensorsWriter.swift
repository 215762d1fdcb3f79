// Writing safetensors: one file, or shards with an index as transformers has them.
//
// Source: the format description of the safetensors project (header length, JSON header padded with spaces to 8 bytes,
// data); its reference writer orders tensors by dtype, the widest first, and then by name, which keeps every tensor
// aligned to its elements. The index's form is that of transformers' `save_pretrained`.

internal import Bytes
internal import JSONText
public import OrderedCollections
public import Tensors

/// Writes a safetensors checkpoint into a folder.
public final class SafetensorsWriter: CheckpointWriter {
    public let totalBytes: UInt64
    public let fileNames: [String]
    private let files: PlacedFiles

    /// Creates the files and writes their headers.
    /// - Parameters:
    ///   - folder: where the files are created.
    ///   - name: of the single file, "model.safetensors"; shards insert "-00001-of-00003" before the extension.
    ///   - tensors: every tensor, in the order in which shards are to be filled.
    ///   - metadata: text entries for `__metadata__`; transformers wants `format: pt`.
    ///   - shardSize: bytes of tensors in one file, at most, where a single tensor does not need more.
    public init(
        in folder: String, name: String, tensors: [TensorPlan], metadata: OrderedDictionary<String, String> = ["format": "pt"],
        shardSize: UInt64? = nil
    ) throws {
        try Shards.checkNames(tensors)
        for tensor in tensors where Self.rank(tensor.dtype) < 0 {
            throw CheckpointError(
                .usage, "safetensors has no \(tensor.dtype)", place: tensor.name,
                remedy: "choose --dtype f32, f16 or bf16")
        }
        let shards = Shards.fill(tensors, limit: shardSize)
        let names = Shards.names(name, count: shards.count)
        var files = PlacedFiles(of: tensors)
        for (shard, name) in zip(shards, names) {
            let ordered = Self.order(shard, tensors)
            let (header, offsets, size) = try Self.header(ordered.map { tensors[$0] }, metadata: metadata)
            try files.create(Paths.join(folder, name), size: size, header: header, tensors: zip(ordered, offsets))
        }
        let index = try Shards.writeIndex(tensors, shards: shards, names: names, name: name, in: folder)
        self.files = files
        fileNames = names + (index.map { [$0.name] } ?? [])
        totalBytes = files.totalBytes + (index?.size ?? 0)
    }

    /// Bytes of the files that would be written, the index among them.
    public static func size(
        of tensors: [TensorPlan], name: String = "model.safetensors",
        metadata: OrderedDictionary<String, String> = ["format": "pt"], shardSize: UInt64? = nil
    ) throws -> UInt64 {
        let shards = Shards.fill(tensors, limit: shardSize)
        return try shards.reduce(Shards.indexSize(tensors, shards: shards, name: name)) { total, shard in
            try total + header(order(shard, tensors).map { tensors[$0] }, metadata: metadata).size
        }
    }

    /// The dtypes in the order of the reference implementation's enumeration.
    private static let ranked: [DType] = [
        .bool, .f4, .f6e2m3, .f6e3m2, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz, .i16, .u16, .f16,
        .bf16, .i32, .u32, .f32, .c64, .f64, .i64, .u64,
    ]

    private static func rank(_ dtype: DType) -> Int { ranked.firstIndex(of: dtype) ?? -1 }

    /// By falling dtype, then by name.
    private static func order(_ shard: [Int], _ tensors: [TensorPlan]) -> [Int] {
        shard.sorted {
            let (a, b) = (tensors[$0], tensors[$1])
            if a.dtype != b.dtype { return rank(a.dtype) > rank(b.dtype) }
            return Array(a.name.utf8).lexicographicallyPrecedes(Array(b.name.utf8))
        }
    }

    /// The header of one file with its length before it, where its tensors lie, and the size of the file.
    private static func header(
        _ tensors: [TensorPlan], metadata: OrderedDictionary<String, String>
    ) throws -> (bytes: [UInt8], offsets: [UInt64], size: UInt64) {
        var object = JSONObject()
        if !metadata.isEmpty {
            var entries = JSONObject()
            for (key, value) in metadata { entries[key] = .string(value) }
            object["__metadata__"] = .object(entries)
        }
        var offset: UInt64 = 0
        var relative: [UInt64] = []
        for tensor in tensors {
            guard let end = offset.adding(UInt64(tensor.byteCount)) else {
                throw CheckpointError.unsupported("the file would be too large", place: tensor.name)
            }
            object[tensor.name] = [
                "dtype": .string(tensor.dtype.rawValue),
                "shape": .array(tensor.shape.dimensions.map { JSONValue($0) }),
                "data_offsets": [JSONValue(offset), JSONValue(end)],
            ]
            relative.append(offset)
            offset = end
        }
        var json = Array(JSONValue.object(object).text(.compact).utf8)
        while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
        let start = UInt64(8 + json.count)
        guard let size = start.adding(offset) else { throw CheckpointError.unsupported("the file would be too large") }
        let length = withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init)
        return (length + json, relative.map { start + $0 }, size)
    }

    public func write(tensor index: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws {
        try files.write(tensor: index, at: offset, bytes)
    }

    public func finish() throws {}
}
