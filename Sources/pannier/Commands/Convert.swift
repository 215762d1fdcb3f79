// pannier convert: any container, layout and precision to any other.

internal import ArgumentParser
internal import Bytes
internal import Containers
internal import Conversion
internal import JSONText
internal import Layouts
internal import OrderedCollections
internal import Tensors

/// The containers of `--to`.
enum ContainerArgument: String, ExpressibleByArgument, CaseIterable {
    case gguf, safetensors, pytorch

    var kind: ContainerKind {
        switch self {
        case .gguf: .gguf
        case .safetensors: .safetensors
        case .pytorch: .pytorch
        }
    }
}

/// The precisions of `--dtype`.
enum PrecisionArgument: String, ExpressibleByArgument, CaseIterable {
    case auto, f32, f16, bf16, q8_0

    var precision: Precision {
        switch self {
        case .auto: .source
        case .f32: .fixed(.f32)
        case .f16: .fixed(.f16)
        case .bf16: .fixed(.bf16)
        case .q8_0: .fixed(.q8_0)
        }
    }
}

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Carry a checkpoint to another container, layout or precision.",
        discussion: """
            The container follows from --to or from the destination's ending (.gguf, .safetensors, .bin, .pth); a \
            destination without one becomes a folder that the ecosystem's programs load as it stands. Without \
            --dtype the source's own precision is kept, so that nothing is lost unasked. --layout keep changes the \
            container alone and leaves names and shapes as they are, whatever model it is.

            EXAMPLE
              pannier convert iter-1430512-ckpt.pth -o TinyLlama-hf
              pannier convert TinyLlama-hf -o tinyllama.gguf
              pannier convert tinyllama.gguf -o lit --to pytorch --layout litgpt
            """)

    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var source: String

    @OptionGroup var output: OutputArguments

    @Option(help: ArgumentHelp("The container: gguf, safetensors or pytorch.", valueName: "container"))
    var to: ContainerArgument?

    @Option(help: ArgumentHelp("The layout of the result, by name or as a table of your own.", valueName: "name|file"))
    var layout: String?

    @Option(help: ArgumentHelp("The precision: auto, f32, f16, bf16 or q8_0.", valueName: "dtype"))
    var dtype: PrecisionArgument = .auto

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Bytes of tensors in one file, at most: 4GB.", valueName: "size"))
    var shardSize: ByteSize?

    @Option(parsing: .unconditional, help: ArgumentHelp("The model's name in a GGUF.", valueName: "name"))
    var modelName: String?

    @Option(
        help: ArgumentHelp(
            "Set a metadata key of a GGUF: KEY=TYPE:VALUE, as in general.license=str:mit or general.tags=arr[str]:a,b.",
            valueName: "k=type:v"))
    var metadata: [String] = []

    @Flag(help: "Write a GGUF with the tokenizer and without tensors.")
    var vocabOnly = false

    @Option(
        help: ArgumentHelp(
            "Take this layout of the source, or a table of your own, instead of recognising it.", valueName: "name|file"))
    var sourceLayout: String?

    @OptionGroup var dimensions: SourceArguments
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if shardSize?.bytes == 0 { throw ValidationError("--shard-size takes at least one byte") }
        if layout == Self.keep, sourceLayout != nil {
            throw ValidationError("--layout keep looks at no names: --source-layout has no meaning with it")
        }
    }

    func run() throws {
        common.apply()
        let keepsNames = layout == Self.keep
        let asked = try keepsNames ? nil : layout.map { try Layouts.named(orFile: $0) }
        let container = try resolveContainer(for: asked)
        let target =
            try asked ?? Layouts.named(ConversionRequest.layout(for: container, destination: output.output))
        var request = ConversionRequest(
            destination: output.output, container: container, layout: target,
            precision: dtype.precision, output: output.options, threads: common.threadCount)
        request.shardSize = shardSize?.bytes
        request.modelName = modelName
        request.vocabularyOnly = vocabOnly
        request.overrides = try MetadataArgument.entries(metadata)
        let converter = try keepsNames ? keeping(request) : recognised(request)
        for warning in converter.plan.warnings { Console.warning(warning) }
        if output.dryRun {
            PlanReport.print(converter.plan, schema: "pannier.convert/1", bytes: try converter.outputBytes(), json: json.json)
            return
        }
        let bar = ProgressBar("Converting", total: converter.plan.tensorBytes)
        let outcome = try converter.run { bar.advance(by: $0) }
        bar.finish()
        if json.json {
            Console.print([
                "schema": "pannier.convert/1", "destination": .string(outcome.destination),
                "files": .array(outcome.files.map(JSONValue.string)), "bytes": JSONValue(outcome.bytes),
                "tensors": .array(converter.plan.steps.map(PlanReport.json)),
            ])
        } else if !common.quiet {
            let size = "\(converter.plan.steps.count) tensors, \(Human.bytes(outcome.bytes))"
            let names = keepsNames ? "names as they were" : request.layout.title
            Console.print(
                "\(outcome.destination.escapingControlCharacters): \(size), \(names), in \(Human.duration(bar.elapsed))")
        }
    }

    /// What `--layout` takes beside layouts: names and shapes as they are.
    private static let keep = "keep"

    private func recognised(_ request: ConversionRequest) throws -> Converter {
        let opened = try ModelSource(source, options: dimensions.options(layout: sourceLayout))
        Console.detail(opened.match.explanation)
        return try Converter(opened, request)
    }

    private func keeping(_ request: ConversionRequest) throws -> Converter {
        try Converter(keeping: try Containers.open(source), request)
    }

    private func resolveContainer(for layout: Layout?) throws -> ContainerKind {
        let named = ConversionRequest.container(forDestination: output.output)
        if let to, let named, to.kind != named {
            throw CheckpointError(
                .usage, "--to \(to.rawValue) and the destination's ending contradict each other",
                found: output.output, remedy: "leave one of them out")
        }
        return to?.kind ?? named ?? (vocabOnly ? .gguf : layout?.containers.first ?? .safetensors)
    }
}
