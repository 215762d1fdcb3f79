// pannier parity: do two checkpoints compute the same?

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inference
internal import JSONText
internal import OrderedCollections
internal import Tensors

struct Parity: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prove that a conversion kept the model: run both checkpoints and compare.",
        discussion: """
            Both models run over the same text, in f32. With --layers every layer is compared as well, each given the \
            reference's hidden state; where one is wrong, known mistakes of conversions are undone in turn, and what \
            helped is said. Ends with status 1 when the mean KL divergence is above --max-kld or something is wrong.

            EXAMPLE
              pannier parity TinyLlama-hf tiny-Q4_K_M.gguf --text heldout.txt --layers
            """)

    @Argument(help: "The checkpoint that is right.", completion: .file())
    var reference: String

    @Argument(help: "The checkpoint that is asked about.", completion: .file())
    var candidate: String

    @OptionGroup var source: TextOptions

    @Flag(help: "Compare every layer, and look for the fault where there is one.")
    var layers = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The largest mean KL divergence that passes (default: by the candidate's formats, 0.01 for 16 bits, 0.1 "
                + "for 4, 0.7 for Q2_K).", valueName: "X"))
    var maxKld: Double?

    @Option(help: ArgumentHelp("Write a page with plots.", valueName: "file"), completion: .file())
    var html: String?

    @Option(help: ArgumentHelp("Write the plots as a drawing.", valueName: "file"), completion: .file())
    var svg: String?

    @OptionGroup var writing: WriteOptions
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if let maxKld, !(maxKld >= 0) { throw ValidationError("--max-kld takes a number of at least 0") }
    }

    func run() throws {
        common.apply()
        let left = try LanguageModel(reference), right = try LanguageModel(candidate)
        let pictures = try ReportFiles(
            html: html, svg: svg, force: writing.force,
            inputs: left.source.inputs + right.source.inputs + [source.text].compactMap(Paths.identity))
        let comparison = try ParityComparison(reference: left, candidate: right, threads: common.threadCount)
        let report = try compare(comparison, left)
        if report.tokenizer != left.path {
            Console.note("the reference has no tokenizer that can be used: \(report.tokenizer)'s reads the text")
        }
        let page = ParityPage(report, reference: reference, candidate: candidate)
        try pictures.write(html: { page.html }, svg: { page.svg })
        if json.json { Console.print(Self.json(report)) } else { Self.print(report) }
        if !report.ok { throw ExitCode(1) }
    }

    private func compare(_ comparison: ParityComparison, _ reference: LanguageModel) throws -> ParityReport {
        var shown: (stage: ParityStage, bar: ProgressBar)?
        defer { shown?.bar.finish() }
        do {
            return try comparison.run(
                text: TextFile.read(source.text), context: source.extent.context(for: reference.config),
                chunks: source.extent.chunks, limit: maxKld, layers: layers
            ) { stage, done, total in
                if shown?.stage != stage {
                    shown?.bar.finish()
                    shown = (stage, Self.bar(stage, total))
                }
                shown?.bar.advance(to: done)
            }
        } catch let error as CheckpointError {
            throw error.at(file: source.text)
        }
    }

    private static func bar(_ stage: ParityStage, _ total: Int) -> ProgressBar {
        switch stage {
        case .predictions: ProgressBar("Running both models", total: UInt64(total), unit: .things("tokens"))
        case .layers: ProgressBar("Comparing layers", total: UInt64(total), unit: .things("layers"))
        case .faults: ProgressBar("Looking for the fault", total: UInt64(total), unit: .things("layers"))
        }
    }

    private static func json(_ report: ParityReport) -> JSONValue {
        [
            "schema": "pannier.parity/1",
            "tokens": JSONValue(report.tokens),
            "tokenizer": .string(report.tokenizer),
            "mean_kld": JSONValue(report.meanKLD),
            "median_kld": JSONValue(report.medianKLD),
            "kld_99": JSONValue(report.kld99),
            "max_kld": JSONValue(report.maxKLD),
            "kld_limit": JSONValue(report.limit),
            "top1_agreement": JSONValue(report.top1Agreement),
            "max_abs_logit": JSONValue(report.maxAbsLogit),
            "logit_nmse": JSONValue(report.logitNMSE),
            "perplexity_reference": JSONValue(report.perplexityReference),
            "perplexity_candidate": JSONValue(report.perplexityCandidate),
            "first_divergent_layer": report.firstDivergentLayer.map { JSONValue($0) } ?? .null,
            "layers": .array(
                report.layers.map {
                    [
                        "layer": JSONValue($0.layer), "relative_error": JSONValue($0.relativeError),
                        "own_error": JSONValue($0.ownError), "expected_error": JSONValue($0.expectedError),
                        "divergent": .bool($0.isDivergent),
                    ]
                }),
            "hints": .array(
                report.hints.map {
                    [
                        "code": .string($0.code), "layer": $0.layer.map { JSONValue($0) } ?? .null,
                        "message": .string($0.message), "error_before": JSONValue($0.before),
                        "error_after": JSONValue($0.after),
                    ]
                }),
            "faults": .array(report.faults.map(JSONValue.string)),
            "ok": .bool(report.ok),
        ]
    }

    private static func print(_ report: ParityReport) {
        Console.print("mean KL divergence   \(Human.significant(report.meanKLD)) (limit \(Human.significant(report.limit)))")
        Console.print(
            "median, 99 %, max    \(Human.significant(report.medianKLD)), \(Human.significant(report.kld99)), "
                + Human.significant(report.maxKLD))
        Console.print("same likeliest token \(Human.fixed(100 * report.top1Agreement, 2)) %")
        Console.print(
            "largest logit error  \(Human.significant(report.maxAbsLogit)), NMSE "
                + Human.significant(report.logitNMSE))
        Console.print(
            "perplexity           \(Human.fixed(report.perplexityReference, 4)) and "
                + Human.fixed(report.perplexityCandidate, 4))
        Console.print("predictions          \(report.tokens)")
        for layer in report.layers {
            // By its number: an error of NaN is equal to nothing.
            let isLast = layer.layer == report.layers.last?.layer
            let name = layer.layer < 0 ? "embedding" : isLast ? "output" : "layer \(layer.layer)"
            Console.print(
                "  \(name): hidden state \(Human.significant(layer.relativeError)), own "
                    + Human.significant(layer.ownError) + (layer.isDivergent ? "  DIVERGENT" : ""))
        }
        for fault in report.faults { Console.print("fault: \(fault)") }
        for hint in report.hints { Console.print("hint: \(hint.message)") }
        Console.print(report.ok ? "parity" : "no parity")
    }
}
