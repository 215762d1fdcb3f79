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
    /// Where a tensor goes.
    private struct Place: Sendable {
        let file: Int
        let offset: UInt64
        let byteCount: Int
    }

    public let totalBytes: UInt64
    public let fileNames: [String]
    private let files: [OutputFile]
    private let places: [Place]

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
        var files: [OutputFile] = []
        var places = [Place?](repeating: nil, count: tensors.count)
        var total: UInt64 = 0
        let names = Shards.names(name, count: shards.count)
        for (number, shard) in shards.enumerated() {
            let ordered = Self.order(shard, tensors)
            let (header, size) = try Self.header(ordered.map { tensors[$0] }, metadata: metadata)
            let start = UInt64(8 + header.count)
            let file = try OutputFile(creating: Paths.join(folder, names[number]), size: start + size)
            try file.write(withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init), at: 0)
            try file.write(header, at: 8)
            var offset = start
            for index in ordered {
                places[index] = Place(file: number, offset: offset, byteCount: tensors[index].byteCount)
                offset += UInt64(tensors[index].byteCount)
            }
            total += start + size
            files.append(file)
        }
        var fileNames = names
        if shards.count > 1 {
            let index = Shards.index(tensors, shards: shards, names: names)
            let indexName = name + ".index.json"
            try OutputFile(creating: Paths.join(folder, indexName)).write(Array(index.utf8), at: 0)
            fileNames.append(indexName)
            total += UInt64(index.utf8.count)
        }
        self.files = files
        self.places = places.compactMap { $0 }
        self.fileNames = fileNames
        totalBytes = total
    }

    /// Bytes of the files that would be written, the index left out.
    public static func size(
        of tensors: [TensorPlan], metadata: OrderedDictionary<String, String> = ["format": "pt"],
        shardSize: UInt64? = nil
    ) throws -> UInt64 {
        try Shards.fill(tensors, limit: shardSize).reduce(0) { total, shard in
            let (header, data) = try header(order(shard, tensors).map { tensors[$0] }, metadata: metadata)
            return total + 8 + UInt64(header.count) + data
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

    /// The header of one file and the bytes of its tensors.
    private static func header(
        _ tensors: [TensorPlan], metadata: OrderedDictionary<String, String>
    ) throws -> (bytes: [UInt8], data: UInt64) {
        var object = JSONObject()
        if !metadata.isEmpty {
            var entries = JSONObject()
            for (key, value) in metadata { entries[key] = .string(value) }
            object["__metadata__"] = .object(entries)
        }
        var offset: UInt64 = 0
        for tensor in tensors {
            let end = offset + UInt64(tensor.byteCount)
            object[tensor.name] = [
                "dtype": .string(tensor.dtype.rawValue),
                "shape": .array(tensor.shape.dimensions.map { JSONValue($0) }),
                "data_offsets": [JSONValue(offset), JSONValue(end)],
            ]
            offset = end
        }
        var bytes = Array(JSONValue.object(object).text(.compact).utf8)
        while bytes.count % 8 != 0 { bytes.append(UInt8(ascii: " ")) }
        return (bytes, offset)
    }

    public func write(tensor index: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws {
        let place = places[index]
        precondition(offset >= 0 && offset + bytes.count <= place.byteCount, "the bytes lie within the tensor")
        try files[place.file].write(bytes, at: place.offset + UInt64(offset))
    }

    public func finish() throws {}
}
