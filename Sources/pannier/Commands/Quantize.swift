// pannier quantize: from any checkpoint to a quantized GGUF, in one pass.

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import JSONText
internal import Layouts
internal import OrderedCollections
internal import Quantization
internal import Tensors

struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Quantize a checkpoint to GGUF: llama.cpp's bytes, from any source, in one pass.",
        discussion: """
            The types are those of llama-quantize: Q4_K_M, Q5_K_M, Q6_K, Q8_0, IQ4_XS, ... (`pannier formats` lists \
            them). Some need an importance matrix, which `pannier imatrix` makes.

            EXAMPLE
              pannier quantize iter-1430512-ckpt.pth -o tiny-Q4_K_M.gguf --type Q4_K_M
              pannier quantize TinyLlama-hf -o tiny.gguf --target-size 550MB --explain
            """)

    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var source: String

    @OptionGroup var output: OutputArguments

    @Option(name: .shortAndLong, help: ArgumentHelp("The type of the file: Q4_K_M, Q8_0, ...", valueName: "type"))
    var type: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Choose the best mix that fits into so many bytes.", valueName: "size"))
    var targetSize: ByteSize?

    @Option(help: ArgumentHelp("An importance matrix (GGUF, or the older .dat).", valueName: "file"), completion: .file())
    var imatrix: String?

    @Option(help: ArgumentHelp("Give tensors whose names fit a pattern a type: attn_v=q6_k.", valueName: "pattern=t"))
    var tensorType: [String] = []

    @Option(help: ArgumentHelp("A file with one PATTERN=TYPE a line.", valueName: "file"), completion: .file())
    var tensorTypeFile: String?

    @Option(help: ArgumentHelp("The type of output.weight.", valueName: "type"))
    var outputTensorType: String?

    @Option(help: ArgumentHelp("The type of token_embd.weight.", valueName: "type"))
    var tokenEmbeddingType: String?

    @Flag(help: "Leave output.weight as it is.")
    var leaveOutputTensor = false

    @Flag(help: "Give every matrix the same type.")
    var pure = false

    @Flag(help: "Quantize again what is quantized already.")
    var allowRequantize = false

    @Option(help: ArgumentHelp("Use the importance matrix for these tensors only.", valueName: "pattern"))
    var includeWeights: [String] = []

    @Option(help: ArgumentHelp("Do not use the importance matrix for these tensors.", valueName: "pattern"))
    var excludeWeights: [String] = []

    @Option(parsing: .unconditional, help: ArgumentHelp("Leave out layers: 3,5,7.", valueName: "list"))
    var pruneLayers: String?

    @Option(help: ArgumentHelp("Set a metadata key: KEY=TYPE:VALUE.", valueName: "k=type:v"))
    var overrideKv: [String] = []

    @Flag(help: "Write as many files as the source has.")
    var keepSplit = false

    @Flag(help: "Say for each tensor which rule gave it its type.")
    var explain = false

    @OptionGroup var reading: ReadingArguments
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if (type == nil) == (targetSize == nil) { throw ValidationError("give one of --type and --target-size") }
        if !includeWeights.isEmpty, !excludeWeights.isEmpty {
            throw ValidationError("--include-weights and --exclude-weights exclude each other")
        }
        // Only by an ending that is another container's: the file's name is free.
        if let named = ConversionRequest.container(forDestination: output.output), named != .gguf {
            throw ValidationError("a quantized model is a GGUF file, and the output's ending is not: \(output.output)")
        }
    }

    func run() throws {
        common.apply()
        let request = try request()
        let opened = try ModelSource(source, options: reading.options)
        var writing = output.options
        writing.inputs = [imatrix, tensorTypeFile].compactMap { $0.flatMap { Paths.identity($0) } }
        let conversion = ConversionRequest(
            destination: output.output, container: .gguf, layout: try Layouts.named("gguf-llama"),
            output: writing, threads: common.threadCount)
        let quantizer = try Quantizer(opened, conversion, request)
        for warning in quantizer.plan.warnings + unused(quantizer.plan, request) { Console.warning(warning) }
        if let choice = quantizer.choice { Console.note(choice) }
        if output.dryRun {
            PlanReport.print(
                quantizer.plan, schema: "pannier.quantize/1", bytes: try quantizer.outputBytes(), json: json.json,
                explain: explain, fileType: quantizer.fileType.name)
            return
        }
        if explain, !json.json { printReasons(quantizer.plan) }
        let bar = ProgressBar("Quantizing", total: quantizer.plan.tensorBytes)
        let outcome = try quantizer.run(compareEvery: common.verbose ? 1 : 16) { bar.advance(by: $0) }
        bar.finish()
        if json.json {
            printJSON(quantizer, outcome)
        } else if !common.quiet {
            printSummary(quantizer, outcome, seconds: bar.elapsed)
        }
    }

    private func request() throws -> QuantizationRequest {
        var request = QuantizationRequest()
        if let type {
            guard let fileType = FileType(name: type) else {
                throw CheckpointError(
                    .usage, "no file type is called \"\(type)\"",
                    expected: FileType.all.map(\.name).joined(separator: ", "), found: type)
            }
            request.fileType = fileType
        }
        request.targetSize = targetSize?.bytes
        if let imatrix {
            var matrix = try ImportanceMatrix(file: imatrix)
            matrix.keep(includeWeights)
            matrix.keep(excludeWeights, excluding: true)
            // Of a matrix that nothing is left of, the file says nothing.
            request.importance = matrix.entries.isEmpty ? nil : matrix
            request.importanceName = imatrix
        }
        let before = Self.typesBeforeFile(CommandLine.arguments)
        let types = try Array(tensorType.prefix(before)) + typesFromFile() + Array(tensorType.dropFirst(before))
        request.overrides = try types.map(TypeOverride.init(parsing:))
        request.outputType = try outputTensorType.map(tensorType(named:))
        request.embeddingType = try tokenEmbeddingType.map(tensorType(named:))
        request.leaveOutput = leaveOutputTensor
        request.pure = pure
        request.allowRequantize = allowRequantize
        request.keepSplit = keepSplit
        if let pruneLayers {
            request.prunedLayers = Set(
                try pruneLayers.split(separator: ",", omittingEmptySubsequences: false).map { part in
                    guard let layer = Int(part), layer >= 0 else {
                        throw CheckpointError(
                            .usage, "a layer to prune is no number", expected: "numbers such as 3,5,7",
                            found: String(part))
                    }
                    return layer
                })
        }
        request.metadata = try MetadataArgument.entries(overrideKv)
        return request
    }

    /// What was asked for and changes nothing, which is likelier a mistake in writing than meant.
    private func unused(_ plan: ConversionPlan, _ request: QuantizationRequest) -> [String] {
        var warnings: [String] = []
        if imatrix == nil, !(includeWeights + excludeWeights).isEmpty {
            warnings.append("--include-weights and --exclude-weights mean nothing without --imatrix")
        }
        if imatrix != nil, request.importance == nil {
            warnings.append("--include-weights and --exclude-weights leave nothing of the importance matrix")
        }
        let reasons = Set(plan.steps.compactMap(\.reason).map { $0.prefix { $0 != ";" } })
        for override in request.overrides where !reasons.contains("--tensor-type \(override.pattern)"[...]) {
            warnings.append("--tensor-type \(override.pattern) gives no tensor its type")
        }
        return warnings
    }

    private func tensorType(named name: String) throws -> DType {
        guard let format = BlockFormat.named(name) else {
            throw CheckpointError(
                .usage, "\(name) is no type of tensors",
                expected: BlockFormat.all.map(\.name).joined(separator: ", "))
        }
        return format.dtype
    }

    /// How many times --tensor-type stands before --tensor-type-file: the first pattern that fits counts, from wherever it is.
    private static func typesBeforeFile(_ arguments: [String]) -> Int {
        let names = ["--tensor-type", "--tensor-type-file"]
        let given = arguments.compactMap { argument in
            names.first { argument == $0 || argument.hasPrefix($0 + "=") }
        }
        return given.firstIndex(of: names[1]) ?? given.count
    }

    private func typesFromFile() throws -> [String] {
        guard let tensorTypeFile else { return [] }
        let bytes = try File(tensorTypeFile).contents(limit: 16 << 20)
        return String(decoding: bytes, as: UTF8.self).split { $0.isWhitespace }.map(String.init)
    }

    private func printReasons(_ plan: ConversionPlan) {
        var table = Table([.left, .left, .left, .left])
        for step in plan.steps {
            table.add([step.target.name, "\(step.from)", "\(step.target.dtype)", step.reason ?? ""])
        }
        for line in table.lines() { Console.print(line) }
    }

    private func printJSON(_ quantizer: Quantizer, _ outcome: Converter.Outcome) {
        Console.print([
            "schema": "pannier.quantize/1", "destination": .string(outcome.destination),
            "files": .array(outcome.files.map(JSONValue.string)), "bytes": JSONValue(outcome.bytes),
            "file_type": .string(quantizer.fileType.name),
            "tensors": .array(quantizer.plan.steps.map(PlanReport.json)),
            "errors": .array(
                outcome.errors.map { error in
                    [
                        "name": .string(error.name), "rmse": JSONValue(error.error.rmse),
                        "relative": JSONValue(error.error.relative), "max_abs": JSONValue(error.error.largest),
                    ]
                }),
        ])
    }

    private func printSummary(_ quantizer: Quantizer, _ outcome: Converter.Outcome, seconds: Double) {
        let elements = quantizer.plan.steps.reduce(0) { $0 + $1.target.shape.count }
        let bits = elements > 0 ? Double(quantizer.plan.tensorBytes) * 8 / Double(elements) : 0
        if common.verbose {
            var table = Table([.left, .left, .right, .right])
            for error in outcome.errors {
                table.add([
                    error.name, "\(error.dtype)", Human.significant(error.error.rmse),
                    Human.fixed(error.error.relative * 100, 2) + " %",
                ])
            }
            for line in table.lines() { Console.print(line) }
        }
        Console.print(
            "\(outcome.destination.escapingControlCharacters): \(quantizer.plan.steps.count) tensors, "
                + "\(Human.bytes(outcome.bytes)), \(Human.fixed(bits, 2)) bits a weight, in \(Human.duration(seconds))")
        let worst = outcome.errors.sorted { $0.error.relative > $1.error.relative }.prefix(3)
        if !worst.isEmpty {
            let list = worst.map { "\($0.name) \(Human.fixed($0.error.relative * 100, 2)) % (\($0.dtype))" }
            Console.print(
                "largest errors\(common.verbose ? "" : ", of one piece in 16"): " + list.joined(separator: ", "))
        }
    }
}
