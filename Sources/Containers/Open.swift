// Opening a checkpoint by its path: files are recognised by their content, folders by what lies in them. And what such
// files and folders are called.

internal import Bytes
public import Tensors

/// What the first bytes of a file say it is.
public enum Magic: Sendable, Hashable {
    case safetensors
    case gguf
    case zip
    case pickle
    /// Something else that has a name, and what to do with it.
    case foreign(name: String, remedy: String)
    case unknown

    /// Looks at the first bytes of a file.
    init(_ file: File) throws {
        let head = try file.bytes(at: 0, count: Int(min(file.size, 512)))
        func begins(_ text: String) -> Bool { head.starts(with: text.utf8) }
        let length = head.count >= 8 ? (0..<8).reduce(UInt64(0)) { $0 | UInt64(head[$1]) << (8 * UInt64($1)) } : 0
        if head.isEmpty {
            self = .foreign(name: "an empty file", remedy: "the download or copy did not happen; get it again")
        } else if begins("GGUF") {
            self = .gguf
        } else if begins("PK\u{3}\u{4}") || begins("PK\u{5}\u{6}") {
            self = .zip
        } else if head.count >= 9, head[8] == UInt8(ascii: "{"), length <= 100_000_000 {
            self = .safetensors
        } else if head.count >= 2, head[0] == 0x80, (1...5).contains(head[1]) {
            self = .pickle
        } else if begins("PANNARCH") {
            self = .foreign(
                name: "an archive of checkpoints, not one of them",
                remedy: "name a step, ARCHIVE:STEP; `pannier archive list` shows them")
        } else if begins("version https://git-lfs") {
            self = .foreign(
                name: "a git-lfs pointer, not the file itself", remedy: "run `git lfs pull`, or download the file")
        } else if begins("<!DOCTYPE") || begins("<!doctype") || begins("<html") || begins("<HTML") || begins("<?xml") {
            self = .foreign(name: "a web page", remedy: "the download link led to a page; get the file itself")
        } else if head.starts(with: [0x89, 0x48, 0x44, 0x46]) {
            self = .foreign(name: "an HDF5 file (Keras, TensorFlow)", remedy: "load it there and save safetensors")
        } else if head.count > 262, head[257..<262].elementsEqual("ustar".utf8) {
            self = .foreign(
                name: "a tar archive; PyTorch before 0.1.10 wrote such", remedy: "load and save it with today's PyTorch")
        } else if head.starts(with: [0x93] + Array("NUMPY".utf8)) {
            self = .foreign(name: "a NumPy array", remedy: "save the model's tensors together as safetensors")
        } else if head.starts(with: [0x08]),
            head.prefix(64).contains(sequence: "pytorch") || head.prefix(64).contains(sequence: "onnx")
        {
            self = .foreign(
                name: "an ONNX graph", remedy: "get the checkpoint that it was exported from; a graph is no checkpoint")
        } else if begins("TFL3") || head.dropFirst(4).starts(with: "TFL3".utf8) {
            self = .foreign(name: "a TensorFlow Lite graph", remedy: "get the checkpoint that it was exported from")
        } else if head.starts(with: [0x1F, 0x8B]) {
            self = .foreign(name: "a gzip archive", remedy: "unpack it first")
        } else if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
            self = .foreign(name: "a zstd archive", remedy: "unpack it first")
        } else if begins("ggml") || begins("lmgg") || begins("ggjt") || begins("tjgg") || begins("fmgg") {
            self = .foreign(
                name: "a GGML file from before GGUF", remedy: "llama.cpp dropped the format in 2023; convert the original")
        } else if head.first(where: { !Self.blanks.contains($0) }) == UInt8(ascii: "{") {
            self = .foreign(
                name: "a JSON text, not weights", remedy: "name the checkpoint, its folder, or its .index.json")
        } else {
            self = .unknown
        }
    }

    private static let blanks: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
}

extension Sequence<UInt8> {
    /// Whether the bytes of a text stand in it somewhere.
    fileprivate func contains(sequence text: String) -> Bool {
        let (bytes, wanted) = (Array(self), Array(text.utf8))
        return bytes.indices.contains { bytes[$0...].starts(with: wanted) }
    }
}

/// A reader of a container that holds pickles.
public protocol PickleCarrying {
    /// Every global that its pickles ask for, in order, each once. None was ever called.
    var globals: [PickleGlobal] { get }
}

extension CheckpointReader {
    /// The globals that a PyTorch file asks for; none for other containers.
    public var globals: [PickleGlobal] { (self as? any PickleCarrying)?.globals ?? [] }

    /// The folder that the checkpoint lies in, where its tokenizer and config are looked for. Where a folder was opened
    /// that leads to another one, as Hugging Face's cache does, it is the other one.
    public var folder: String { Paths.parent(path) }
}

/// Opens checkpoints.
public enum Containers {
    /// Opens a file, a folder or an index.json.
    /// - Parameter lenient: look at a pickle even when it asks for globals outside the list; they stay inert.
    /// - Throws: `inputOutput` when it is missing; `malformed` or `unsupported` when it is no checkpoint.
    public static func open(_ path: String, lenient: Bool = false) throws -> any CheckpointReader {
        switch Paths.kind(path) {
        case .folder: return try openFolder(path, lenient: lenient)
        default: return try openFile(path, lenient: lenient)
        }
    }

    private static func openFile(_ path: String, lenient: Bool) throws -> any CheckpointReader {
        if path.hasSuffix(".index.json") {
            let index = try ShardIndex(path)
            try index.checkPresence()
            guard let first = index.shards.first else {
                throw CheckpointError.malformed("the index lists no tensors", file: path)
            }
            switch try Magic(File(index.location(of: first))) {
            case .zip, .pickle: return try PyTorchReader(index: path, strict: !lenient)
            default: return try SafetensorsReader(index: path)
            }
        }
        switch try Magic(File(path)) {
        case .safetensors: return try SafetensorsReader(path)
        case .gguf: return try GGUFReader(path)
        case .zip, .pickle:
            if let parts = try ModelParallel.parts(besides: path) { return try PyTorchReader(parts: parts, strict: !lenient) }
            return try PyTorchReader(path, strict: !lenient)
        case .foreign(let name, let remedy):
            throw CheckpointError.unsupported("this is \(name)", file: path, remedy: remedy)
        // A damaged file is still one of its kind to the person who named it so: its own reader says what is wrong.
        case .unknown where path.hasSuffix(".safetensors"): return try SafetensorsReader(path)
        case .unknown where path.hasSuffix(".gguf"): return try GGUFReader(path)
        case .unknown:
            throw CheckpointError.unsupported(
                "the file is none of the containers Pannier reads", file: path,
                expected: "safetensors, PyTorch (.bin, .pt, .pth) or GGUF", found: "other first bytes")
        }
    }

    /// The folder that a checkpoint's files lie in, for a folder that was named: itself, or for a model's folder in Hugging
    /// Face's cache (models--ORGANIZATION--NAME) the newest snapshot, which refs/main names, or the only one.
    /// - Throws: `inputOutput` where the snapshots cannot be listed.
    public static func folder(at path: String) throws -> String {
        let snapshots = Paths.join(path, "snapshots")
        guard Paths.kind(snapshots) == .folder else { return path }
        let names = try Paths.list(snapshots).filter { Paths.kind(Paths.join(snapshots, $0)) == .folder }
        let main = try? File(Paths.join(path, "refs/main")).contents(limit: 256)
        let wanted = main.map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } }
        if let name = names.first(where: { $0 == wanted }) { return Paths.join(snapshots, name) }
        return names.count == 1 ? Paths.join(snapshots, names[0]) : path
    }

    /// The files that make a folder a checkpoint, the most telling first.
    private static let telling = [
        "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
        "lit_model.pth", "consolidated.safetensors", "consolidated.00.pth",
    ]

    private static func openFolder(_ named: String, lenient: Bool) throws -> any CheckpointReader {
        let path = try folder(at: named)
        let names = try Paths.list(path)
        for name in telling where names.contains(name) {
            return try openFile(Paths.join(path, name), lenient: lenient)
        }
        let weights = names.filter(isWeights)
        let indexes = names.filter { $0.hasSuffix(".index.json") }
        if indexes.count == 1 { return try openFile(Paths.join(path, indexes[0]), lenient: lenient) }
        // A GGUF's parts know each other, and need no index.
        if !weights.contains(where: { kind(named: $0) == .gguf }), let family = try ShardFamily(weights, in: path) {
            switch try Magic(File(family.paths[0])) {
            case .zip, .pickle: return try PyTorchReader(family, strict: !lenient)
            default: return try SafetensorsReader(family)
            }
        }
        let firstParts = weights.filter { $0.contains("-00001-of-") }
        if firstParts.count == 1, weights.allSatisfy({ kind(named: $0) == .gguf && $0.contains("-of-") }) {
            return try openFile(Paths.join(path, firstParts[0]), lenient: lenient)
        }
        switch weights.count {
        case 0:
            throw CheckpointError.unsupported(
                "the folder holds no checkpoint", file: path,
                expected: "model.safetensors, pytorch_model.bin, lit_model.pth or one file of such a kind",
                found: names.isEmpty ? "an empty folder" : names.prefix(4).joined(separator: ", "))
        case 1: return try openFile(Paths.join(path, weights[0]), lenient: lenient)
        default:
            throw CheckpointError(
                .usage, "the folder holds several checkpoints", file: path,
                found: weights.prefix(4).joined(separator: ", ") + (weights.count > 4 ? ", ..." : ""),
                remedy: "name one of them")
        }
    }
}

// MARK: Names

extension Containers {
    /// The endings of files with weights, and the container that each stands for.
    public static let endings: KeyValuePairs<String, ContainerKind> = [
        ".safetensors": .safetensors, ".gguf": .gguf, ".bin": .pytorch, ".pth": .pytorch, ".pt": .pytorch, ".ckpt": .pytorch,
    ]

    /// What files with weights are called in a folder that is one model, up to the first "." or "-".
    public static let folderStems: Set = ["model", "pytorch_model", "lit_model", "consolidated"]

    /// Trainers leave them beside models, and they are none.
    private static let others: Set = [
        "training_args.bin", "optimizer.pt", "scheduler.pt", "optimizer.bin", "rng_state.pth",
    ]

    /// The container that a file's name stands for; nil for a name without one of the endings.
    public static func kind(named name: String) -> ContainerKind? {
        endings.first { name.hasSuffix($0.key) }?.value
    }

    /// Whether a file in a folder holds weights, by its name.
    public static func isWeights(_ name: String) -> Bool {
        kind(named: name) != nil && !others.contains(name) && !name.hasPrefix(".")
    }

    /// The name that a model at `path` goes by: its folder's, or for a file with a name of its own that name without
    /// its extension. In Hugging Face's cache (models--ORGANIZATION--NAME/snapshots/COMMIT) it is the repository's.
    public static func displayName(of path: String) -> String {
        let name = VirtualFiles.originalName(of: path) ?? Paths.name(path)
        if Paths.kind(path) == .folder {
            let parent = Paths.parent(path)
            let cached = Paths.name(parent) == "snapshots" ? Paths.name(Paths.parent(parent)) : name
            return repositoryName(cached) ?? name
        }
        if folderStems.contains(String(name.prefix { $0 != "." && $0 != "-" })) {
            return displayName(of: Paths.parent(path))
        }
        let indexes = [".safetensors.index.json", ".bin.index.json"]
        for ending in indexes + endings.map(\.key) where name.hasSuffix(ending) && name.count > ending.count {
            return String(name.dropLast(ending.count))
        }
        return name
    }

    /// NAME of the cache folder models--ORGANIZATION--NAME.
    private static func repositoryName(_ folder: String) -> String? {
        let parts = folder.split(separator: "-", omittingEmptySubsequences: false)
        guard folder.hasPrefix("models--"), let gap = parts.lastIndex(of: ""), gap + 1 < parts.count else { return nil }
        return parts[(gap + 1)...].joined(separator: "-")
    }
}
