// pannier convert: any container, layout and precision to any other.

internal import ArgumentParser
internal import Bytes
internal import Containers
internal import Conversion
internal import JSONText
internal import Layouts
internal import OrderedCollections
internal import Tensors

/// What every command that writes a checkpoint asks.
struct OutputArguments: ParsableArguments {
    @Option(
        name: .shortAndLong, help: ArgumentHelp("Where the result goes.", valueName: "dst"), completion: .file())
    var output: String

    @Flag(help: "Print what would be written, with exact sizes, and write nothing.")
    var dryRun = false

    @Flag(help: "Replace an output that is there already.")
    var force = false

    @Flag(help: "Leave it to the system when the bytes reach the disk.")
    var noSync = false

    var options: OutputOptions { OutputOptions(force: force, sync: !noSync) }
}

/// A size as people write it: "4GB", "550MB", "500MiB", "1000".
struct ByteSize: ExpressibleByArgument {
    let bytes: UInt64

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let value = Double(digits), value.isFinite, value >= 0 else { return nil }
        let unit: Double
        switch argument.dropFirst(digits.count).lowercased() {
        case "", "b": unit = 1
        case "k", "kb": unit = 1e3
        case "m", "mb": unit = 1e6
        case "g", "gb": unit = 1e9
        case "t", "tb": unit = 1e12
        case "kib": unit = 1024
        case "mib": unit = 1_048_576
        case "gib": unit = 1_073_741_824
        case "tib": unit = 1_099_511_627_776
        default: return nil
        }
        guard value * unit < 9e18 else { return nil }
        bytes = UInt64(value * unit)
    }
}

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

    @OptionGroup var dimensions: SourceArguments
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if shardSize?.bytes == 0 { throw ValidationError("--shard-size takes at least one byte") }
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
            Console.print(
                "\(outcome.destination.escapingControlCharacters): \(converter.plan.steps.count) tensors, \(Human.bytes(outcome.bytes)), "
                    + "\(keepsNames ? "names as they were" : request.layout.title), in \(Human.duration(bar.elapsed))")
        }
    }

    /// What `--layout` takes beside layouts: names and shapes as they are.
    private static let keep = "keep"

    private func recognised(_ request: ConversionRequest) throws -> Converter {
        let opened = try ModelSource(
            source, options: SourceOptions(preset: dimensions.preset, config: dimensions.config))
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

/// What a plan says, for --dry-run.
enum PlanReport {
    static func json(_ step: ConversionStep) -> JSONValue {
        var object: JSONObject = [
            "name": .string(step.target.name), "from": .string(step.from.rawValue),
            "to": .string(step.target.dtype.rawValue), "shape": Reports.shape(step.target.shape),
            "bytes": JSONValue(step.target.byteCount),
        ]
        if let reason = step.reason { object["reason"] = .string(reason) }
        return .object(object)
    }

    static func print(_ plan: ConversionPlan, schema: String, bytes: UInt64, json: Bool, explain: Bool = false) {
        if json {
            Console.print([
                "schema": .string(schema), "bytes": JSONValue(bytes),
                "tensors": .array(plan.steps.map(Self.json)),
            ])
            return
        }
        var table = Table([.left, .left, .left, .left, .right] + (explain ? [.left] : []))
        for step in plan.steps {
            var row = [
                step.target.name, "\(step.target.shape)", "\(step.from)", "\(step.target.dtype)",
                Human.bytes(UInt64(step.target.byteCount)),
            ]
            if explain { row.append(step.reason ?? "") }
            table.add(row)
        }
        for line in table.lines() { Console.print(line) }
        Console.print("\(plan.steps.count) tensors, \(Human.count(Int(clamping: bytes))) bytes in all; nothing was written")
    }
}
