// Reading safetensors: one file, or shards with an index.

public import Bytes
public import OrderedCollections
public import Tensors

/// A checkpoint in safetensors form. Its headers are checked whole when it is opened.
public struct SafetensorsReader: CheckpointReader {
    public let path: String
    public let files: [File]
    public let tensors: [TensorInfo]
    /// `__metadata__`, strings; of shards, those of the first shard and then what the others add.
    public let metadata: Metadata
    public let remarks: [String]

    public var kind: ContainerKind { .safetensors }
    public var details: String { files.count == 1 ? "safetensors" : "safetensors, \(files.count) shards" }

    /// Opens one file.
    /// - Throws: `malformed`, `unsupported` or `inputOutput`.
    public init(_ path: String) throws {
        self.path = path
        let file = try File(path)
        (tensors, metadata) = try SafetensorsHeader.read(file)
        files = [file]
        remarks = []
    }

    /// Opens shards by their index, and checks the one against the others.
    public init(index path: String) throws {
        let index = try ShardIndex(path)
        try index.checkPresence()
        try self.init(shards: index.shards.map(index.location), index: index, path: path)
    }

    /// Opens the shards of a family that has no index.
    init(_ family: ShardFamily) throws {
        try self.init(shards: family.paths, index: nil, path: family.paths.first ?? "")
    }

    private init(shards: [String], index: ShardIndex?, path: String) throws {
        self.path = path
        var files: [File] = []
        var tensors: [TensorInfo] = []
        var metadata: Metadata = [:]
        var remarks: [String] = []
        var held: [[String]] = []
        for place in shards {
            let file = try File(place)
            let (own, strings) = try SafetensorsHeader.read(file)
            guard tensors.count + own.count <= Limits.tensors else {
                throw CheckpointError.unsupported("more than \(Limits.tensors) tensors", file: path)
            }
            for (key, value) in strings {
                if let known = metadata[key], known != value {
                    remarks.append("\(Paths.name(place)): the metadata value \(key) differs from another shard's")
                } else {
                    metadata[key] = value
                }
            }
            files.append(file)
            tensors += own
            held.append(own.map(\.name))
        }
        if let index {
            try index.check(held: held)
        } else {
            remarks.append(try ShardFamily.check(held: held, in: shards))
        }
        let total = tensors.totalBytes
        if let claimed = index?.totalSize, claimed != total {
            remarks.append("the index says total_size \(claimed), the tensors have \(total) bytes")
        }
        self.files = files
        self.tensors = tensors
        self.metadata = metadata
        self.remarks = remarks
    }

    public func read(
        _ tensor: TensorInfo, elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try readDense(tensor, elements: range, into: buffer)
    }
}
