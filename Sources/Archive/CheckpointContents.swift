// What is to be stored of a checkpoint: its files, cut into tensors' bytes and what lies around them.

internal import Bytes
internal import Containers
internal import OrderedCollections
internal import Tensors

/// A run of bytes to store: one tensor's data, or everything else of a file in one.
struct SourceObject: Sendable {
    let file: File
    /// Ranges of the file, in order; one for a tensor.
    let ranges: [Range<UInt64>]
    let width: Int
    let tensor: String?

    var size: UInt64 { ranges.reduce(0) { $0 + UInt64($1.count) } }

    /// Reads part of it.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
        var skip = offset, done = 0
        for range in ranges {
            guard done < buffer.count else { return }
            let length = UInt64(range.count)
            if skip >= length {
                skip -= length
                continue
            }
            let count = Int(min(length - skip, UInt64(buffer.count - done)))
            try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]), at: range.lowerBound + skip)
            done += count
            skip = 0
        }
    }
}

/// A file to store, and the objects that its bytes are in.
struct SourceFile: Sendable {
    let name: String
    let file: File
    let objects: [SourceObject]
    /// The training step that the file itself speaks of.
    let step: Int?

    /// Opens a file and finds the tensors in it. One that no reader understands is stored as plain bytes.
    init(name: String, path: String) throws {
        self.name = name
        file = try File(path)
        var step: Int?
        var tensors: [(range: Range<UInt64>, width: Int, name: String)] = []
        if file.size >= 64, !name.hasSuffix(".index.json"), let reader = try? Containers.openAlone(path, lenient: true) {
            step = Self.stepKeys.lazy.compactMap { reader.metadata[$0]?.integer }.first { $0 >= 0 }
            for tensor in reader.tensors where tensor.extent.file.identity == file.identity {
                guard tensor.extent.count > 0, let end = tensor.extent.offset.adding(tensor.extent.count), end <= file.size
                else { continue }
                tensors.append((tensor.extent.offset..<end, Self.width(tensor.dtype, tensor.endianness), tensor.name))
            }
        }
        // Views of one storage share its bytes; what overlaps otherwise is left to the first.
        tensors.sort { ($0.range.lowerBound, $1.range.upperBound) < ($1.range.lowerBound, $0.range.upperBound) }
        var objects: [SourceObject] = []
        var rest: [Range<UInt64>] = []
        var at: UInt64 = 0
        for tensor in tensors where tensor.range.lowerBound >= at {
            if tensor.range.lowerBound > at { rest.append(at..<tensor.range.lowerBound) }
            objects.append(SourceObject(file: file, ranges: [tensor.range], width: tensor.width, tensor: tensor.name))
            at = tensor.range.upperBound
        }
        if at < file.size { rest.append(at..<file.size) }
        if !rest.isEmpty { objects.append(SourceObject(file: file, ranges: rest, width: 0, tensor: nil)) }
        self.objects = objects
        self.step = step
    }

    /// What trainers call the number of optimizer steps: Lit-GPT's and TinyLlama's, Lightning's, others'.
    private static let stepKeys = ["step_count", "global_step", "step"]

    /// Bytes of the words that the entropy coder sees in a type; 0 where it should not look.
    private static func width(_ dtype: DType, _ endianness: Endianness) -> Int {
        switch dtype {
        case .f32, .f16, .bf16: return endianness == .little ? dtype.blockBytes : 0
        case .i32, .u32, .i16, .u16, .i64, .u64, .bool, .f64, .c64, .c128: return 0
        default: return 1
        }
    }

    /// The pieces of the file, given where each object is stored.
    func pieces(_ ids: [ObjectID]) -> [FilePiece] {
        var pieces: [FilePiece] = []
        for (object, id) in zip(objects, ids) {
            var within: UInt64 = 0
            for range in object.ranges {
                pieces.append(
                    FilePiece(
                        offset: range.lowerBound, count: UInt64(range.count), object: id, objectOffset: within,
                        tensor: object.tensor))
                within += UInt64(range.count)
            }
        }
        return pieces.sorted { $0.offset < $1.offset }
    }
}

/// Everything that belongs to one step.
struct CheckpointContents: Sendable {
    let name: String
    let isFolder: Bool
    let files: [SourceFile]

    /// Bytes of all files.
    var size: UInt64 { files.reduce(0) { $0.adding($1.file.size) ?? .max } }

    /// The training step that its files speak of, or else its name.
    var step: Int? { files.lazy.compactMap(\.step).first ?? StepName.step(of: name) }

    /// - Parameter path: a file, or a folder of which every file is taken.
    init(_ path: String) throws {
        name = Paths.name(path)
        // The root of all folders: a step without a name could not be read again.
        guard RecordReader.isName(name) else {
            throw CheckpointError(.usage, "a step cannot be named after this path", file: path, remedy: "name a folder in it")
        }
        switch Paths.kind(path) {
        case .folder:
            isFolder = true
            var files: [SourceFile] = []
            try Self.collect(path, of: path, prefix: "", depth: 0, into: &files)
            guard !files.isEmpty else {
                throw CheckpointError(.inputOutput, "the folder has no files", file: path)
            }
            self.files = files
        default:
            isFolder = false
            files = [try SourceFile(name: name, path: path)]
        }
    }

    /// - Parameter checkpoint: the folder that is stored. A link that leads back goes on without an end, and may go through
    ///   folders that the person has never heard of.
    private static func collect(
        _ folder: String, of checkpoint: String, prefix: String, depth: Int, into files: inout [SourceFile]
    ) throws {
        guard depth < 16 else {
            throw CheckpointError(
                .inputOutput, "folders lie too deep inside each other", file: checkpoint, expected: "16 levels at most",
                remedy: "a link in it may lead back to a folder that it lies in; store a folder without")
        }
        for name in try Paths.list(folder) {
            let path = Paths.join(folder, name)
            switch Paths.kind(path) {
            case .file: files.append(try SourceFile(name: prefix + name, path: path))
            case .folder:
                try collect(path, of: checkpoint, prefix: prefix + name + "/", depth: depth + 1, into: &files)
            case .missing, .other:
                throw CheckpointError(
                    .inputOutput, "is neither a file nor a folder, and cannot be stored", file: path)
            }
        }
    }
}
