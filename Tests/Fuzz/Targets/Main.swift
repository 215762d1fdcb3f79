// The fuzzer: `pannier_fuzz TARGET [libFuzzer's options and corpus folders]`.
//
// An input must end in a checkpoint that can be read or in a `CheckpointError`. A trap, an address that is not the
// reader's, more memory than the limits or seconds of work stop libFuzzer, which keeps the input as a file.

import Bytes
import Containers
import JSONText
import Layouts
import ModelFiles
import OrderedCollections
import Platform
import Tensors
import Tokenizers

typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ callback: Callback
) -> CInt

/// What each target does with an input. A new reader gets its line here and its seeds in run.sh.
let targets: [String: Callback] = [
    "safetensors": { fuzz($0, $1) { try open(SafetensorsReader(InputFile.shared.path)) } },
    "index": { fuzz($0, $1) { _ = try ShardIndex(InputFile.shared.path) } },
    "gguf": { fuzz($0, $1) { try rewrite(GGUFReader(InputFile.shared.path)) } },
    "pytorch": { fuzz($0, $1) { try open(PyTorchReader(InputFile.shared.path, strict: false)) } },
    "any": { fuzz($0, $1) { try open(Containers.open(InputFile.shared.path)) } },
    "json": { bytes, count in fuzz(bytes, count) { _ = try JSONText.parse(array(bytes, count)) } },
    "config": { fuzz($0, $1) { try plan(ConfigFile.read(InputFile.shared.path)) } },
    "yaml": { fuzz($0, $1) { try plan(ConfigFile.read(InputFile.shared.yamlPath)) } },
    "layout": { bytes, count in fuzz(bytes, count) { _ = try Layout(text: array(bytes, count)) } },
    "sentencepiece": { bytes, count in fuzz(bytes, count) { _ = try SentencePieceModel(array(bytes, count)) } },
    "tokenizer": { bytes, count in
        fuzz(bytes, count) { _ = try TokenizerJSON(JSONText.parse(array(bytes, count))) }
    },
    "archive": { bytes, count in fuzz(bytes, count) { try archive(array(bytes, count)) } },
    "chunk": { bytes, count in fuzz(bytes, count) { try chunk(array(bytes, count)) } },
    "card": { bytes, count in
        fuzz(bytes, count) { _ = FrontMatter(card: String(decoding: array(bytes, count), as: UTF8.self)) }
    },
]

func array(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
    Array(UnsafeBufferPointer(start: bytes, count: count))
}

/// What a config leads to: the tensors of every layout, and the config in every form.
func plan(_ file: ConfigFile) throws {
    for layout in try Layouts.all() {
        do {
            if file.config.layers < 64 { _ = try layout.specs(for: file.config) }
            _ = try ConfigFile.files(for: layout, config: file.config, name: "fuzz", dtype: .f32, source: file)
        } catch is CheckpointError {
            continue
        }
    }
}

/// The one file that every input is written to: readers take files.
struct InputFile {
    static let shared = InputFile()
    let path: String
    /// The same file under a name that says it is YAML.
    let yamlPath: String
    private let descriptor: CInt

    private init() {
        // In memory where there is such a folder: a disk's file system writes out what was cut short and closed.
        let folder = Paths.kind("/dev/shm") == .folder ? "/dev/shm" : "/tmp"
        var template = Array("\(folder)/pannier-fuzz-XXXXXX".utf8CString)
        descriptor = template.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkstemp($0) } ?? -1 }
        path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        yamlPath = path + ".yaml"
        symlink(path, yamlPath)
    }

    func fill(_ bytes: UnsafePointer<UInt8>?, _ count: Int) {
        guard count == 0 || pwrite(descriptor, bytes, count, 0) == count, ftruncate(descriptor, off_t(count)) == 0 else {
            fatalError("the input cannot be written to \(path)")
        }
    }

    func remove() {
        unlink(path)
        unlink(yamlPath)
    }
}

func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int, _ body: () throws -> Void) -> CInt {
    InputFile.shared.fill(bytes, count)
    do {
        try body()
    } catch let error as CheckpointError {
        // The message is part of the answer: it must be made without a trap, for people, in at most three lines.
        let lines = error.description.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count <= 3 else { fatalError("the message has \(lines.count) lines") }
    } catch {
        fatalError("an error of another kind: \(error)")
    }
    return 0
}

/// Reads the beginning and the end of every tensor.
func open(_ reader: any CheckpointReader) throws {
    for tensor in reader.tensors.prefix(64) {
        let block = tensor.dtype.blockElements
        let piece = min(tensor.shape.count, 64 * block)
        for start in [0, tensor.shape.count - piece] where piece > 0 && start % block == 0 {
            guard let size = tensor.dtype.byteCount(elements: piece) else { continue }
            var buffer = [UInt8](repeating: 0, count: size)
            try buffer.withUnsafeMutableBytes { try reader.read(tensor, elements: start..<start + piece, into: $0) }
        }
    }
    _ = (reader.details, reader.remarks, reader.metadata.count)
}

/// What was read and can be written again must read as the same.
func rewrite(_ reader: GGUFReader) throws {
    try open(reader)
    let plans = try reader.tensors.map { try TensorPlan(name: $0.name, dtype: $0.dtype, shape: $0.shape) }
    let size = try GGUFWriter.size(of: plans, metadata: reader.metadata)
    guard size < 1 << 20, reader.files.count == 1 else { return }
    let copy = InputFile.shared.path + ".copy"
    unlink(copy)
    defer { unlink(copy) }
    let writer = try GGUFWriter(
        in: Paths.parent(copy), name: Paths.name(copy), tensors: plans, metadata: reader.metadata)
    try writer.finish()
    let back = try GGUFReader(copy)
    guard back.tensors.map(\.name) == reader.tensors.map(\.name), back.tensors.map(\.shape) == reader.tensors.map(\.shape),
        Array(back.metadata.keys) == Array(reader.metadata.keys)
    else { fatalError("the copy differs") }
}

@_cdecl("pannier_fuzz_main")
func main(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    let words = (0..<Int(count)).compactMap { arguments[$0].map { String(cString: $0) } }
    if words.count == 4, words[1] == "seeds", let seeds = seeds[words[2]] {
        return writeSeeds(seeds, to: words[3])
    }
    guard words.count > 1, let callback = targets[words[1]] else {
        print("usage: pannier_fuzz seeds \(seeds.keys.sorted().joined(separator: "|")) FOLDER")
        print("usage: pannier_fuzz \(targets.keys.sorted().joined(separator: "|")) [options of libFuzzer] [corpus]")
        return 64
    }
    // libFuzzer shall not see the target's name.
    arguments[1] = arguments[0]
    var rest = count - 1
    var shifted: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = arguments + 1
    atexit { InputFile.shared.remove() }
    return withUnsafeMutablePointer(to: &shifted) { runDriver(&rest, $0, callback) }
}
