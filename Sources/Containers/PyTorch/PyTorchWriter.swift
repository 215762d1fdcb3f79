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
    private let places: TensorPlaces<Place>

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
        try Shards.checkNames(tensors)
        let shards = Shards.fill(tensors, limit: shardSize)
        let names = Shards.names(name, count: shards.count)
        var archives: [ZipWriter] = []
        var places = TensorPlaces<Place>(of: tensors)
        for (number, shard) in shards.enumerated() {
            let contents = try Contents(shard.map { tensors[$0] })
            for (at, index) in shard.enumerated() {
                places.put(index, at: Place(archive: number, entry: Contents.firstTensor + at))
            }
            let archive = try ZipWriter(creating: Paths.join(folder, names[number]), entries: contents.entries)
            for (entry, bytes) in contents.small { try archive.write(entry: entry, bytes) }
            archives.append(archive)
        }
        let index = try Shards.writeIndex(tensors, shards: shards, names: names, name: name, in: folder)
        self.archives = archives
        self.places = places
        fileNames = names + (index.map { [$0.name] } ?? [])
        totalBytes = archives.reduce(index?.size ?? 0) { $0 + $1.totalBytes }
    }

    /// Bytes of the files that would be written, the index among them.
    public static func size(
        of tensors: [TensorPlan], name: String = "pytorch_model.bin", shardSize: UInt64? = nil
    ) throws -> UInt64 {
        let shards = Shards.fill(tensors, limit: shardSize)
        return try shards.reduce(Shards.indexSize(tensors, shards: shards, name: name)) { total, shard in
            try total + ZipWriter.size(of: Contents(shard.map { tensors[$0] }).entries)
        }
    }

    /// The records of one archive: those that are written at once, and one a tensor.
    private struct Contents {
        let entries: [ZipWriter.Entry]
        /// Entries whose bytes are known already.
        let small: [(entry: Int, bytes: [UInt8])]
        /// The entry of the first tensor; the others follow.
        static let firstTensor = 2

        init(_ tensors: [TensorPlan]) throws {
            let head = [
                ("data.pkl", try PickleWriter.stateDict(tensors)),
                ("byteorder", Array(Endianness.native.rawValue.utf8)),
            ]
            let version = Array(PyTorchWriter.version.utf8)
            entries =
                head.map { Self.entry($0.0, $0.1.count) }
                + tensors.enumerated().map { Self.entry("data/\($0.offset)", $0.element.byteCount) }
                + [Self.entry("version", version.count)]
            small = [(0, head[0].1), (1, head[1].1), (entries.count - 1, version)]
        }

        private static func entry(_ name: String, _ size: Int) -> ZipWriter.Entry {
            ZipWriter.Entry(name: PyTorchWriter.root + "/" + name, size: UInt64(size))
        }
    }

    public func write(tensor index: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws {
        let place = try places.place(of: index, at: offset, storing: bytes.count)
        try archives[place.archive].write(entry: place.entry, at: UInt64(offset), bytes)
    }

    public func finish() throws {
        for archive in archives { try archive.finish() }
    }
}
