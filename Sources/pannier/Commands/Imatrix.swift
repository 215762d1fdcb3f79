// pannier imatrix: which columns of the weights matter for a text.

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inference
internal import Tensors

struct Imatrix: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure an importance matrix for quantizing, in the GGUF form of llama-imatrix.",
        discussion: """
            EXAMPLE
              pannier imatrix TinyLlama-1.1B-Chat-v1.0 --text calibration.txt -o imatrix.gguf
            """)

    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var model: String

    @Option(help: ArgumentHelp("The text to measure with.", valueName: "file"), completion: .file())
    var text: String

    @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
    var output: String

    @Flag(help: "Replace the output if it is there.")
    var force = false

    @OptionGroup var extent: TextOptions
    @OptionGroup var dimensions: SourceArguments
    @OptionGroup var arithmetic: ComputeOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let model = try LanguageModel(model, dimensions)
        let staged = try StagedOutput(
            file: output, options: OutputOptions(force: force, inputs: model.source.reader.files.map(\.identity)))
        let chunks = try TextChunks(
            TextFile.read(text), tokenizer: model.tokenizer(), context: extent.context(for: model.config),
            limit: extent.chunks)
        let collector = ImatrixCollector(
            try Transformer(model.weights, threads: common.threadCount, compute: arithmetic.compute))
        try collector.collect(chunks) { Console.detail("chunk \($0) of \(chunks.count)") }
        try collector.write(in: staged.folder, name: Paths.name(staged.path), dataset: text, chunks: chunks)
        try staged.publish()
        Console.note("\(output): \(chunks.count) chunks of \(chunks.context) tokens")
    }
}
