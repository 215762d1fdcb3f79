// What run, eval, parity and imatrix have in common.

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inference
internal import Tensors

/// A model that runs: where it is, its dimensions, its arithmetic.
struct ModelOptions: ParsableArguments {
    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var model: String

    @OptionGroup var reading: ReadingArguments

    @Option(
        help: ArgumentHelp(
            "Arithmetic of the matrix products: f32 is exact in the weights and activations, bf16 rounds both to 8 bits or "
                + "more and is faster.", valueName: "f32|bf16"),
        transform: { text in
            guard let compute = Compute(rawValue: text) else { throw ValidationError("--compute takes f32 or bf16") }
            return compute
        })
    var compute = Compute.f32

    /// Opens the model with the dimensions that the person gave.
    func open() throws -> LanguageModel {
        try LanguageModel(model, options: reading.options)
    }

    /// The forward pass of the opened model.
    /// - Parameter batch: tokens that are computed at once at most.
    func transformer(_ model: LanguageModel, _ common: CommonOptions, batch: Int = 256) throws -> Transformer {
        try Transformer(model.weights, threads: common.threadCount, compute: compute, batch: batch)
    }
}

/// How much of a text is used, and how it is cut.
struct ExtentOptions: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Tokens in a chunk (default: 512, or the model's context if that is shorter).", valueName: "N"))
    var context: Int?

    @Option(parsing: .unconditional, help: ArgumentHelp("Use the first N chunks of the text.", valueName: "N"))
    var chunks: Int?

    func validate() throws {
        if let context, context < 4 { throw ValidationError("--context takes a number of at least 4") }
        if let chunks, chunks < 1 { throw ValidationError("--chunks takes a number of at least 1") }
    }

    /// Tokens in a chunk for a model.
    func context(for config: ModelConfig) -> Int {
        context ?? (config.context > 0 ? min(512, config.context) : 512)
    }

    /// A text file cut for a model.
    func cut(_ path: String, for model: LanguageModel) throws -> TextChunks {
        let text = try TextFile.read(path), tokenizer = try model.tokenizer()
        do {
            let cut = try ProgressBar.tokenizing(text) {
                try TextChunks(text, tokenizer: tokenizer, context: context(for: model.config), limit: chunks, progress: $0)
            }
            ContextWarning.give(tokens: cut.context, for: model)
            return cut
        } catch let error as CheckpointError {
            throw error.at(file: path)
        }
    }
}

/// The text that a command cannot do without.
struct TextOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The text to run over.", valueName: "file"), completion: .file())
    var text: String

    @OptionGroup var extent: ExtentOptions
}

/// Files that a command writes beside its results.
struct WriteOptions: ParsableArguments {
    @Flag(help: "Replace a file that is there already.")
    var force = false

    /// A file that appears when it is whole, and never in the place of one of the models' own.
    /// - Parameter files: what else is read, such as the text.
    func staged(_ path: String, reading models: [LanguageModel], _ files: [String]) throws -> StagedOutput {
        let inputs = models.flatMap { $0.source.inputs } + files.compactMap(Paths.identity)
        return try StagedOutput(file: path, options: OutputOptions(force: force, inputs: inputs))
    }
}

enum ContextWarning {
    /// Says that a sequence is longer than any that the model was trained for.
    static func give(tokens: Int, for model: LanguageModel) {
        guard model.config.context > 0, tokens > model.config.context else { return }
        Console.warning(
            "\(tokens) tokens are more than the model's context of \(model.config.context): what it says of the rest "
                + "means little")
    }
}

enum TextFile {
    /// Reads a text file.
    /// - Throws: `malformed` where it is not UTF-8.
    static func read(_ path: String) throws -> String {
        let bytes = try File(path).contents(limit: 4 << 30)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError.malformed(
                "the text is not valid UTF-8", file: path, remedy: "convert it, for instance with iconv")
        }
        return text
    }
}
