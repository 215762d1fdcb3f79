// Reading PyTorch checkpoints: torch.save's zip form, the stream from before 1.6, and shards with an index.

public import Bytes
public import OrderedCollections
public import Tensors

/// A checkpoint that torch.save wrote. Its pickle is interpreted symbolically when it is opened; nothing is ever called.
public struct PyTorchReader: CheckpointReader, PickleCarrying {
    public let path: String
    public let files: [File]
    public let tensors: [TensorInfo]
    /// Scalars of the pickle, named like tensors by the path to them: `hparams.learning_rate`, `iter_num`.
    public let metadata: Metadata
    public let remarks: [String]
    public let details: String
    /// Every global that the pickles ask for, in the order of the files.
    public let globals: [PickleGlobal]
    /// The archives behind zip files, for `verifyChecksums`.
    private let archives: [ZipArchive]
    /// Tensors that are cut over several files.
    private let joined: [ExactText: JoinedTensor]

    public var kind: ContainerKind { .pytorch }

    /// Opens one file.
    /// - Parameter strict: whether a global outside the list of what checkpoints need is an error, as it has to be for
    ///   whoever uses the tensors. Otherwise it is listed in `globals`, and what it would make is passed over.
    /// - Throws: `malformed`, `unsupported` or `inputOutput`.
    public init(_ path: String, strict: Bool = true) throws {
        let part = try PyTorchPart(path, strict: strict)
        self.path = path
        files = [part.file]
        tensors = part.tensors
        metadata = part.metadata
        remarks = part.remarks
        details = part.details
        globals = part.globals
        archives = part.archive.map { [$0] } ?? []
        joined = [:]
    }

    /// Opens the model-parallel parts of one of Meta's checkpoints; each tensor is read as if it were whole.
    init(parts paths: [String], strict: Bool) throws {
        path = paths.first ?? ""
        let parts = try paths.map { try PyTorchPart($0, strict: strict) }
        let joins = try ModelParallel.join(parts)
        tensors = try joins.map { try $0.whole() }
        joined = Dictionary(zip(tensors.map { ExactText($0.name) }, joins), uniquingKeysWith: { first, _ in first })
        files = parts.map(\.file)
        metadata = parts.first?.metadata ?? [:]
        remarks = parts.flatMap { part in part.remarks.map { "\(Paths.name(part.file.path)): \($0)" } }
        globals = Self.once(parts.flatMap(\.globals))
        archives = parts.compactMap(\.archive)
        details = (parts.first?.details ?? "") + ", \(parts.count) model-parallel parts"
    }

    /// Each global once, in the order of its first mention.
    private static func once(_ globals: [PickleGlobal]) -> [PickleGlobal] {
        var seen: Set<ExactText> = []
        return globals.filter { seen.insert(ExactText($0.name)).inserted }
    }

    /// Opens shards by their `pytorch_model.bin.index.json`, and checks the one against the others.
    public init(index path: String, strict: Bool = true) throws {
        let index = try ShardIndex(path)
        try index.checkPresence()
        try self.init(shards: index.shards.map(index.location), index: index, path: path, strict: strict)
    }

    /// Opens the shards of a family that has no index.
    init(_ family: ShardFamily, strict: Bool) throws {
        try self.init(shards: family.paths, index: nil, path: family.paths.first ?? "", strict: strict)
    }

    private init(shards: [String], index: ShardIndex?, path: String, strict: Bool) throws {
        self.path = path
        var files: [File] = []
        var tensors: [TensorInfo] = []
        var metadata: Metadata = [:]
        var remarks: [String] = []
        var globals: [PickleGlobal] = []
        var archives: [ZipArchive] = []
        var held: [[String]] = []
        var details: OrderedSet<String> = []
        for place in shards {
            let part = try PyTorchPart(place, strict: strict)
            guard tensors.count + part.tensors.count <= Limits.tensors else {
                throw CheckpointError.unsupported("more than \(Limits.tensors) tensors", file: path)
            }
            files.append(part.file)
            tensors += part.tensors
            held.append(part.tensors.map(\.name))
            metadata.merge(part.metadata) { first, _ in first }
            remarks += part.remarks.map { "\(Paths.name(place)): \($0)" }
            globals += part.globals
            if let archive = part.archive { archives.append(archive) }
            details.append(part.details)
        }
        if let index {
            try index.check(held: held)
        } else {
            remarks.append(try ShardFamily.check(held: held, in: shards))
        }
        self.files = files
        self.tensors = tensors
        self.metadata = metadata
        self.remarks = remarks
        self.globals = Self.once(globals)
        self.archives = archives
        joined = [:]
        self.details = details.joined(separator: " and ") + ", \(files.count) shards"
    }

    public func read(
        _ tensor: TensorInfo, elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        guard !joined.isEmpty, let joined = joined[ExactText(tensor.name)] else {
            try readOne(tensor, elements: range, into: buffer)
            return
        }
        try joined.read(elements: range, into: buffer, read: readOne)
    }

    /// Reads from a tensor that lies in one file.
    private func readOne(
        _ tensor: TensorInfo, elements range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        guard let view = tensor.view else {
            try readDense(tensor, elements: range, into: buffer)
            return
        }
        try StridedGather(tensor, view).read(elements: range, into: buffer)
        if tensor.endianness != .native { reverseBytes(of: tensor.dtype.byteOrderUnit, in: buffer) }
    }

    /// Reads every record of the zip archives and compares it with its CRC-32. The older stream has none.
    /// - Returns: a fault for each record that is damaged, none when all is well.
    /// - Throws: `inputOutput` when the system refuses.
    public func verifyChecksums(threads: Int) throws -> [CheckpointError] {
        let work = archives.flatMap { archive in archive.entries.map { (archive, $0) } }
        let faults = Locked<[(Int, CheckpointError)]>([])
        try Parallel.perform(work.count, threads: threads, worker: { 0 }) { index, _ in
            do {
                try work[index].0.verify(work[index].1)
            } catch let error as CheckpointError where error.kind == .malformed {
                faults.withValue { $0.append((index, error)) }
            }
        }
        return faults.withValue { $0.sorted { $0.0 < $1.0 }.map(\.1) }
    }
}

/// One file of a PyTorch checkpoint.
struct PyTorchPart {
    let file: File
    var tensors: [TensorInfo] = []
    var metadata: Metadata = [:]
    var remarks: [String] = []
    var details: String
    var globals: [PickleGlobal] = []
    var archive: ZipArchive?

    init(_ path: String, strict: Bool) throws {
        file = try File(path)
        let head = try file.bytes(at: 0, count: Int(min(file.size, 512)))
        if ZipArchive.begins(with: head) {
            details = "PyTorch zip"
            try openZip(strict: strict)
        } else if TorchStream.begins(with: head) {
            details = "PyTorch stream (before 1.6)"
            try openStream(strict: strict)
        } else if head.first == PickleOpcode.proto.rawValue {
            throw CheckpointError.unsupported(
                "a plain Python pickle, or no PyTorch checkpoint", file: path, offset: 0,
                expected: "what torch.save writes: a zip archive, or before 1.6 a stream with its magic number",
                remedy: "if you trust it, load it in Python and save its tensors with torch.save"
            ).naming(PickleMachine.globals(of: PickleInput(file, at: 0, end: file.size)))
        } else {
            throw CheckpointError.malformed(
                "this is no PyTorch checkpoint", file: path, offset: 0, expected: "a zip archive or a pickle stream")
        }
    }

    /// Source: torch/serialization.py, _save, and caffe2/serialize/inline_container.cc.
    private mutating func openZip(strict: Bool) throws {
        let archive = try ZipArchive(file)
        self.archive = archive
        let records = try TorchRecords(archive)
        let pickle = records.pickle
        let input = PickleInput(
            file, at: pickle.dataOffset, end: pickle.dataOffset + pickle.size, place: pickle.name)
        guard pickle.size <= PickleLimits.bytes else {
            throw CheckpointError.unsupported(
                "the pickle is too large", file: file.path, place: pickle.name,
                expected: "at most \(PickleLimits.bytes) bytes", found: "\(pickle.size)")
        }
        let (graph, end) = try PickleMachine.run(input, strict: strict)
        do {
            try open(graph, endingAt: end, of: records)
        } catch let error as CheckpointError {
            throw error.naming(graph.globals)
        }
    }

    /// Finds the storages that a pickle names among the archive's records.
    private mutating func open(_ graph: PickleGraph, endingAt end: UInt64, of records: TorchRecords) throws {
        let pickle = records.pickle
        guard end == pickle.dataOffset + pickle.size else {
            throw CheckpointError.malformed(
                "bytes follow the pickle", file: file.path, place: pickle.name, offset: end,
                remedy: "do not trust this file")
        }
        let storages = try TorchStorages(graph, legacy: false, file: file, place: pickle.name)
        var used: Set<ExactText> = []
        let extents = try storages.all.map { storage in
            used.insert(ExactText(storage.key))
            guard let entry = records.storage(storage.key) else {
                throw CheckpointError.malformed(
                    "the archive has no storage \(storage.key)", file: file.path, place: pickle.name,
                    expected: "a record \(records.root)/data/\(storage.key)", remedy: "the file is damaged")
            }
            guard entry.size == UInt64(storage.byteCount) else {
                throw CheckpointError.malformed(
                    "a storage has another size than the pickle says", file: file.path, place: entry.name,
                    offset: entry.dataOffset, expected: "\(storage.byteCount) bytes", found: "\(entry.size)",
                    remedy: "do not trust this file")
            }
            return FileExtent(file: file, offset: entry.dataOffset, count: entry.size)
        }
        details += ", pickle protocol \(graph.version)"
        try take(graph, storages, extents, endianness: records.endianness)
        let unused = records.storageCount - used.count
        if archive?.hasChecksums == false {
            remarks.append("the archive was written without checksums: damage cannot be found")
        }
        if unused > 0 { remarks.append("\(unused) storages of the archive belong to no tensor") }
    }

    private mutating func openStream(strict: Bool) throws {
        let stream = try TorchStream(file, strict: strict)
        details += ", pickle protocol \(stream.graph.version)"
        do {
            try take(stream.graph, stream.storages, stream.extents, endianness: .little)
        } catch let error as CheckpointError {
            throw error.naming(stream.graph.globals)
        }
    }

    private mutating func take(
        _ graph: PickleGraph, _ storages: TorchStorages, _ extents: [FileExtent], endianness: Endianness
    ) throws {
        globals = graph.globals
        let rebuilder = TorchRebuilder(graph: graph, storages: storages, file: file)
        let contents = try TorchWalker.walk(rebuilder)
        metadata = contents.metadata
        remarks += contents.remarks
        tensors = try contents.tensors.map { name, tensor in
            let storage = extents[tensor.storage]
            let size = tensor.dtype.blockBytes
            if tensor.isDense || tensor.shape.count == 0 {
                return try TensorInfo(
                    name: name, dtype: tensor.dtype, shape: tensor.shape,
                    extent: FileExtent(
                        file: file, offset: storage.offset + UInt64(tensor.offset * size),
                        count: UInt64(tensor.shape.count * size)),
                    endianness: endianness)
            }
            return try TensorInfo(
                name: name, dtype: tensor.dtype, shape: tensor.shape, extent: storage,
                view: StridedView(offset: tensor.offset, strides: tensor.strides), endianness: endianness)
        }
    }
}
