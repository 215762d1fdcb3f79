// pannier diff: how two checkpoints differ, and how a run of them moves.

internal import Archive
internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inspection
internal import JSONText
internal import Layouts
internal import Reporting
internal import Tensors

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare checkpoints tensor by tensor, whatever containers and layouts they have.",
        discussion: """
            Two checkpoints are brought to one form and compared value by value. Three or more, a folder of steps, or an \
            archive make a timeline, in the order of their step numbers. Ends with status 0 when all is equal within the \
            tolerance and 1 when something differs; in a timeline, from any step to the next.

            EXAMPLE
              pannier diff TinyLlama-hf tinyllama-bf16.gguf
              pannier diff out/ --html run.html
            """)

    @Argument(help: "Two checkpoints; or three and more, a folder of steps, or an archive.", completion: .file())
    var paths: [String]

    @Option(help: ArgumentHelp("Show the N tensors that differ most.", valueName: "n"))
    var top: Int = 10

    @Option(help: ArgumentHelp("Take differences up to X for equal (default: every bit counts).", valueName: "x"))
    var tolerance: Double?

    @Option(help: ArgumentHelp("Write a page with pictures and all figures.", valueName: "file"), completion: .file())
    var html: String?

    @Option(help: ArgumentHelp("Write the pictures.", valueName: "file"), completion: .file())
    var svg: String?

    @Flag(help: "Replace files that are there already.")
    var force = false

    @OptionGroup var reading: ReadingArguments
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if top < 0 || top > 1_000_000 { throw ValidationError("--top takes a number of tensors") }
        if let tolerance, !(tolerance >= 0) { throw ValidationError("--tolerance takes a number from 0 on") }
        if paths.count == 1, Paths.kind(paths[0]) == .file, try ArchiveMounts.steps(of: paths[0]) == nil {
            throw ValidationError("give two checkpoints, or a folder or an archive of steps")
        }
    }

    func run() throws {
        common.apply()
        if paths.count != 2 { return try runTimeline() }
        let a = try ComparedCheckpoint(paths[0], options: reading.options)
        let b = try ComparedCheckpoint(paths[1], options: reading.options)
        let pictures = try ReportFiles(html: html, svg: svg, force: force, inputs: [a, b])
        let differ = Differ(a, b, threads: common.threadCount)
        let bar = ProgressBar("Comparing", total: differ.totalBytes)
        let difference = try differ.run { bar.advance(by: $0) }
        bar.finish()
        let text = DiffText(difference, a, b, tolerance: tolerance, top: top)
        let page = DifferencePage(difference, a, b, tolerance: tolerance, verdict: text.verdict)
        try pictures.write(html: { page.html }, svg: { page.svg })
        if json.json {
            Console.print(DiffJSON.report(difference, a, b, tolerance: tolerance))
        } else {
            text.print(quiet: common.quiet)
        }
        if !difference.isIdentical(within: tolerance) { throw ExitCode(1) }
    }

    private func runTimeline() throws {
        let steps: [TimelineStep]
        if paths.count > 1 {
            steps = TimelineStep.inOrder(paths.map { TimelineStep($0) })
        } else if let archived = try ArchiveMounts.steps(of: paths[0]) {
            guard archived.count > 1 else {
                throw CheckpointError(
                    .usage, "the archive holds no series of checkpoints", file: paths[0], found: "\(archived.count) steps",
                    remedy: "`pannier archive add` stores more")
            }
            steps = archived.map { TimelineStep($0) }
        } else {
            steps = try TimelineStep.find(in: paths[0])
        }
        let checkpoints = try steps.map { try ComparedCheckpoint($0.path, options: reading.options) }
        let pictures = try ReportFiles(html: html, svg: svg, force: force, inputs: checkpoints)
        let total = checkpoints.reduce(UInt64(0)) { $0.adding($1.reader.totalBytes) ?? .max }
        let bar = ProgressBar("Comparing", total: total)
        let timeline = try Timeline(steps, checkpoints: checkpoints, threads: common.threadCount) { bar.advance(by: $0) }
        bar.finish()
        let page = TimelinePage(timeline)
        try pictures.write(html: { page.html }, svg: { page.svg })
        if json.json {
            Console.print(TimelineJSON.report(timeline, tolerance: tolerance))
        } else {
            TimelineText.print(timeline)
        }
        if !timeline.changed(within: tolerance).isEmpty { throw ExitCode(1) }
    }
}

/// A comparison as JSON.
enum DiffJSON {
    static func report(
        _ difference: CheckpointDifference, _ a: ComparedCheckpoint, _ b: ComparedCheckpoint, tolerance: Double?
    ) -> JSONValue {
        let total = difference.total
        var report: JSONObject = [
            "schema": "pannier.diff/1",
            "a": side(a), "b": side(b),
            "identical": .bool(difference.isIdentical(within: tolerance)),
            "tolerance": tolerance.map { JSONValue($0) } ?? .null,
            "compared_by": .string(difference.byRole ? "role" : "name"),
            "changed": JSONValue(difference.changed(within: tolerance).count),
            "only_a": .array(difference.onlyA.map(JSONValue.string)),
            "only_b": .array(difference.onlyB.map(JSONValue.string)),
            "aside_a": .array(difference.asideA.map(JSONValue.string)),
            "aside_b": .array(difference.asideB.map(JSONValue.string)),
        ]
        report["total"] = .object(sums(total))
        for subject in FactDifference.Subject.allCases {
            report[subject.rawValue] = .array(
                difference.facts.filter { $0.subject == subject }.map {
                    ["key": .string($0.key), "a": JSONValue($0.a), "b": JSONValue($0.b)]
                })
        }
        report["tensors"] = .array(difference.tensors.map(tensor))
        return .object(report)
    }

    private static func side(_ checkpoint: ComparedCheckpoint) -> JSONValue {
        [
            "path": .string(checkpoint.path), "container": .string(checkpoint.reader.kind.rawValue),
            "layout": JSONValue(checkpoint.source?.match.layout.name),
        ]
    }

    /// The figures of a tensor, or of all; null where no pair of values is finite.
    static func sums(_ sums: DifferenceSums) -> JSONObject {
        var object: JSONObject = [
            "max_abs": JSONValue(sums.maxAbs), "rmse": JSONValue(sums.rmse),
            "relative_l2": JSONValue(sums.relativeL2), "cosine": JSONValue(sums.cosine),
            "changed_fraction": JSONValue(sums.changedFraction), "count": JSONValue(sums.count),
            "changed_values": JSONValue(sums.changed), "sign_flips": JSONValue(sums.signFlips),
            "unordered": JSONValue(sums.unordered), "norm_a": JSONValue(sums.normA), "norm_b": JSONValue(sums.normB),
        ]
        object["unordered_changed"] = JSONValue(sums.unorderedChanged)
        object["not_finite_a"] = JSONValue(sums.notFiniteA)
        object["not_finite_b"] = JSONValue(sums.notFiniteB)
        return object
    }

    private static func tensor(_ tensor: TensorDifference) -> JSONValue {
        var object: JSONObject = ["name": .string(tensor.name)]
        if let sums = tensor.sums {
            for (key, value) in Self.sums(sums) { object[key] = value }
        } else {
            for key in ["max_abs", "rmse", "relative_l2", "cosine", "changed_fraction"] { object[key] = .null }
        }
        object["identical"] = .bool(tensor.isIdentical)
        object["name_b"] = .string(tensor.nameB)
        object["role"] = JSONValue(tensor.role?.role.rawValue)
        object["layer"] = tensor.role?.layer.map { JSONValue($0) } ?? .null
        object["shape_a"] = Reports.shape(tensor.shapeA)
        object["shape_b"] = Reports.shape(tensor.shapeB)
        object["dtype_a"] = .string(tensor.dtypeA)
        object["dtype_b"] = .string(tensor.dtypeB)
        object["causes"] = .array(
            tensor.causes.map { ["kind": .string($0.kind.rawValue), "sentence": .string($0.sentence)] })
        // Exponent of two of the lower bound of |Δ|, and how many values; equal values are left out.
        object["histogram"] = .array(
            tensor.histogram.enumerated().dropFirst().filter { $0.element > 0 }.map {
                ["exponent": JSONValue($0.offset - 48), "count": JSONValue($0.element)]
            })
        return .object(object)
    }
}
