// Opening a checkpoint by its path: files are recognised by their content, folders by what lies in them.

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
        } else if head.starts(with: [0x08]), head.prefix(64).contains(sequence: "pytorch") || head.prefix(64).contains(sequence: "onnx") {
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

    /// The newest snapshot of a model's folder in Hugging Face's cache: the one that refs/main names, or the only one.
    private static func snapshot(of path: String) throws -> String? {
        let snapshots = Paths.join(path, "snapshots")
        guard Paths.kind(snapshots) == .folder else { return nil }
        let names = try Paths.list(snapshots).filter { Paths.kind(Paths.join(snapshots, $0)) == .folder }
        let main = try? File(Paths.join(path, "refs/main")).contents(limit: 256)
        let wanted = main.map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } }
        if let name = names.first(where: { $0 == wanted }) { return Paths.join(snapshots, name) }
        return names.count == 1 ? Paths.join(snapshots, names[0]) : nil
    }

    /// The files that make a folder a checkpoint, the most telling first.
    private static let telling = [
        "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
        "lit_model.pth", "consolidated.safetensors", "consolidated.00.pth",
    ]
    private static let endings = [".safetensors", ".gguf", ".bin", ".pth", ".pt", ".ckpt"]

    private static func openFolder(_ path: String, lenient: Bool) throws -> any CheckpointReader {
        let names = try Paths.list(path)
        if names.contains("snapshots"), let snapshot = try snapshot(of: path) {
            return try openFolder(snapshot, lenient: lenient)
        }
        for name in telling where names.contains(name) {
            return try openFile(Paths.join(path, name), lenient: lenient)
        }
        // Files like training_args.bin and optimizer.pt lie beside models and are none.
        let others: Set = ["training_args.bin", "optimizer.pt", "scheduler.pt", "optimizer.bin", "rng_state.pth"]
        let weights = names.filter { name in
            endings.contains { name.hasSuffix($0) } && !others.contains(name) && !name.hasPrefix(".")
        }
        let indexes = names.filter { $0.hasSuffix(".index.json") }
        if indexes.count == 1 { return try openFile(Paths.join(path, indexes[0]), lenient: lenient) }
        let firstParts = weights.filter { $0.contains("-00001-of-") }
        if firstParts.count == 1, weights.allSatisfy({ $0.contains("-of-") }) {
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
