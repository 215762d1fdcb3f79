// pannier split and pannier merge: a GGUF in several files, and in one again.

internal import ArgumentParser
internal import Bytes
internal import Containers
internal import Conversion
internal import Tensors

enum SplitArguments {
    /// The GGUF at a path, a folder with nothing else counts.
    static func open(_ path: String) throws -> GGUFReader {
        let reader = try Containers.open(path)
        guard let gguf = reader as? GGUFReader else {
            throw CheckpointError.unsupported(
                "only a GGUF is split and merged", file: path, expected: "GGUF", found: reader.details,
                remedy: "`pannier convert --shard-size` spreads other containers over several files")
        }
        return gguf
    }
}

struct Split: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Spread a GGUF over several files.",
        discussion: """
            The files are named PREFIX-00001-of-0000N.gguf, as llama.cpp's programs look for them.

            EXAMPLE
              pannier split tinyllama-f32.gguf -o parts/tinyllama --max-size 1GB
            """)

    @Argument(help: "The GGUF to split.", completion: .file(extensions: ["gguf"]))
    var path: String

    @Option(name: .shortAndLong, help: ArgumentHelp("Folder and beginning of the names.", valueName: "prefix"))
    var output: String

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Bytes of tensors in one file, at most: 2GB.", valueName: "size"))
    var maxSize: ByteSize?

    @Option(parsing: .unconditional, help: ArgumentHelp("Tensors in one file, at most.", valueName: "n"))
    var maxTensors: Int?

    @Flag(help: "Replace files that are there already.")
    var force = false

    @Flag(help: "Leave it to the system when the bytes reach the disk.")
    var noSync = false

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if (maxSize == nil) == (maxTensors == nil) {
            throw ValidationError("give one of --max-size and --max-tensors")
        }
        if let maxTensors, maxTensors < 1 { throw ValidationError("--max-tensors takes a number from 1") }
        if maxSize?.bytes == 0 { throw ValidationError("--max-size takes at least one byte") }
    }

    func run() throws {
        common.apply()
        let carrier = GGUFCarrier(try SplitArguments.open(path), threads: common.threadCount)
        let limit: GGUFSplit.Limit = maxTensors.map { .tensors($0) } ?? .bytes(maxSize?.bytes ?? 0)
        let bar = ProgressBar("Splitting", total: carrier.tensorBytes)
        let names = try carrier.split(
            to: output, limit: limit, options: OutputOptions(force: force, sync: !noSync)
        ) { bar.advance(by: $0) }
        bar.finish()
        let folder = output.contains("/") ? Paths.parent(output) : ""
        for name in names { Console.print((folder.isEmpty ? name : Paths.join(folder, name)).escapingControlCharacters) }
    }
}

struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put the parts of a split GGUF together again.",
        discussion: """
            EXAMPLE
              pannier merge parts/tinyllama-00001-of-00003.gguf -o tinyllama.gguf
            """)

    @Argument(help: "One of the parts.", completion: .file(extensions: ["gguf"]))
    var path: String

    @Option(name: .shortAndLong, help: ArgumentHelp("Where the result goes.", valueName: "dst"), completion: .file())
    var output: String

    @Flag(help: "Replace an output that is there already.")
    var force = false

    @Flag(help: "Leave it to the system when the bytes reach the disk.")
    var noSync = false

    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let carrier = GGUFCarrier(try SplitArguments.open(path), threads: common.threadCount)
        let bar = ProgressBar("Merging", total: carrier.tensorBytes)
        try carrier.merge(to: output, options: OutputOptions(force: force, sync: !noSync)) { bar.advance(by: $0) }
        bar.finish()
        if common.quiet { return }
        Console.print("\(output.escapingControlCharacters): \(Human.bytes(carrier.tensorBytes)) of tensors")
    }
}
