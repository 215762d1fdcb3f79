// Writing PyTorch checkpoints: torch.save's zip form, one file, or shards with an index as transformers has them.
//
// Source: torch/serialization.py and caffe2/serialize/inline_container.cc: records data.pkl, byteorder, data/0, data/1,
// ..., version. torch.load reads them with weights_only=True and mmap=True.

internal import Bytes
public import Tensors

/// Writes a PyTorch checkpoint into a folder. Names are written as they are, in one flat dictionary.
public final class PyTorchWriter: CheckpointWriter {
    /// Which entry of which archive a tensor is.
    private struct Place: Sendable {
        let archive: Int
        let entry: Int
    }

    public let totalBytes: UInt64
    public let fileNames: [String]
    private let archives: [ZipWriter]
    private let places: [Place]
    private let byteCounts: [Int]

    /// The one folder that the records of an archive lie in.
    private static let root = "archive"
    /// Version 3 of the archive format: any writer since PyTorch 1.6.
    private static let version = "3\n"

    /// Creates the files.
    /// - Parameters:
    ///   - folder: where the files are created.
    ///   - name: of the single file, "pytorch_model.bin"; shards insert "-00001-of-00003" before the extension.
    ///   - tensors: every tensor, in the order in which they are to lie.
    ///   - shardSize: bytes of tensors in one file, at most, where a single tensor does not need more.
    /// - Throws: `usage` for a dtype that PyTorch has not; `inputOutput`.
    public init(in folder: String, name: String, tensors: [TensorPlan], shardSize: UInt64? = nil) throws {
        let shards = Shards.fill(tensors, limit: shardSize)
        var names = Shards.names(name, count: shards.count)
        var archives: [ZipWriter] = []
        var places = [Place?](repeating: nil, count: tensors.count)
        var total: UInt64 = 0
        let order = Endianness.native.rawValue
        for (number, shard) in shards.enumerated() {
            let own = shard.map { tensors[$0] }
            let pickle = try PickleWriter.stateDict(own)
            var entries = [
                ZipWriter.Entry(name: Self.root + "/data.pkl", size: UInt64(pickle.count)),
                ZipWriter.Entry(name: Self.root + "/byteorder", size: UInt64(order.utf8.count)),
            ]
            for (key, index) in shard.enumerated() {
                places[index] = Place(archive: number, entry: entries.count)
                entries.append(
                    ZipWriter.Entry(name: "\(Self.root)/data/\(key)", size: UInt64(tensors[index].byteCount)))
            }
            entries.append(ZipWriter.Entry(name: Self.root + "/version", size: UInt64(Self.version.utf8.count)))
            let archive = try ZipWriter(creating: Paths.join(folder, names[number]), entries: entries)
            try archive.write(entry: 0, pickle)
            try archive.write(entry: 1, Array(order.utf8))
            try archive.write(entry: entries.count - 1, Array(Self.version.utf8))
            total += archive.totalBytes
            archives.append(archive)
        }
        if shards.count > 1 {
            let index = Shards.index(tensors, shards: shards, names: names)
            let indexName = name + ".index.json"
            try OutputFile(creating: Paths.join(folder, indexName)).write(Array(index.utf8), at: 0)
            names.append(indexName)
            total += UInt64(index.utf8.count)
        }
        self.archives = archives
        self.places = places.compactMap { $0 }
        byteCounts = tensors.map(\.byteCount)
        fileNames = names
        totalBytes = total
    }

    public func write(tensor index: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws {
        let place = places[index]
        precondition(offset >= 0 && offset + bytes.count <= byteCounts[index], "the bytes lie within the tensor")
        try archives[place.archive].write(entry: place.entry, at: UInt64(offset), bytes)
    }

    public func finish() throws {
        for archive in archives { try archive.finish() }
    }
}
