// What run, eval, parity and imatrix have in common.

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inference
internal import Tensors

struct ComputeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Arithmetic of the matrix products: f32 is exact in the weights and activations, bf16 rounds both and is "
                + "about twice as fast on machines that have it.", valueName: "f32|bf16"),
        transform: { text in
            guard let compute = Compute(rawValue: text) else { throw ValidationError("--compute takes f32 or bf16") }
            return compute
        })
    var compute = Compute.f32
}

struct TextOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Tokens in a chunk (default: 512, or the model's context if that is shorter).", valueName: "N"))
    var context: Int?

    @Option(help: ArgumentHelp("Use the first N chunks of the text.", valueName: "N"))
    var chunks: Int?

    func validate() throws {
        if let context, context < 4 { throw ValidationError("--context takes a number of at least 4") }
        if let chunks, chunks < 1 { throw ValidationError("--chunks takes a number of at least 1") }
    }

    /// Tokens in a chunk for a model.
    func context(for config: ModelConfig) -> Int {
        context ?? (config.context > 0 ? min(512, config.context) : 512)
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

extension LanguageModel {
    /// Opens a model with the dimensions that the person gave.
    init(_ path: String, _ arguments: SourceArguments) throws {
        try self.init(path, options: SourceOptions(preset: arguments.preset, config: arguments.config))
    }
}
