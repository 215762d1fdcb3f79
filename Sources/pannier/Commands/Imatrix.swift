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

    @OptionGroup var model: ModelOptions
    @OptionGroup var source: TextOptions

    @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
    var output: String

    @OptionGroup var writing: WriteOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let opened = try model.open()
        let staged = try writing.staged(output, reading: opened)
        let chunks = try source.extent.cut(source.text, for: opened)
        let collector = ImatrixCollector(try model.transformer(opened, common))
        try collector.collect(chunks) { Console.detail("chunk \($0) of \(chunks.count)") }
        try collector.write(in: staged.folder, name: Paths.name(staged.path), dataset: source.text, chunks: chunks)
        try staged.publish()
        Console.note("\(output): \(chunks.count) chunks of \(chunks.context) tokens")
    }
}
