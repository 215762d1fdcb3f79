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
              pannier imatrix TinyLlama-hf --text calibration.txt -o imatrix.gguf
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var source: TextOptions

    @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
    var output: String

    @OptionGroup var writing: WriteOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let opened = try model.open()
        let staged = try writing.staged(output, reading: [opened], [source.text])
        let chunks = try source.extent.cut(source.text, for: opened)
        let collector = ImatrixCollector(try model.transformer(opened, common))
        let bar = ProgressBar("Measuring", total: UInt64(chunks.count * chunks.context), unit: .things("tokens"))
        do {
            try collector.collect(chunks) { bar.advance(to: $0) }
        } catch let error as CheckpointError {
            throw error.at(file: opened.path)
        }
        bar.finish()
        try collector.write(in: staged.folder, name: Paths.name(staged.path), dataset: source.text, chunks: chunks)
        try staged.publish()
        if common.quiet { return }
        let cut = "\(chunks.count) chunk\(chunks.count == 1 ? "" : "s") of \(chunks.context) tokens"
        Console.print("\(output.escapingControlCharacters): \(cut)")
    }
}
