// pannier verify: is the checkpoint what its config says?

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inspection
internal import JSONText
internal import Layouts
internal import Tensors

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check names, shapes, dtypes and completeness against the model's config.",
        discussion: """
            Ends with status 0 when all is well and 1 when something was found. --deep reads every value.

            EXAMPLE
              pannier verify pytorch_model.bin --preset tinyllama-1.1b --deep
            """)

    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var path: String

    @OptionGroup var reading: ReadingArguments

    @Flag(help: "Read all values: NaN, infinities, rows of zeros, copied matrices, the order of Q and K rows.")
    var deep = false

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let source = try ModelSource(path, options: reading.options)
        let verifier = Verifier(source)
        var findings = verifier.verify()
        if deep {
            let bar = ProgressBar("Reading", total: source.reader.totalBytes)
            findings += try verifier.verifyValues(threads: common.threadCount) { bar.advance(by: $0) }
            bar.finish()
        }
        let report = VerificationReport(checked: source.reader.tensors.count, findings: findings)
        if json.json {
            Console.print(Self.json(report, source))
        } else {
            print(report, source)
        }
        if !report.ok { throw ExitCode(1) }
    }

    private static func json(_ report: VerificationReport, _ source: ModelSource) -> JSONValue {
        [
            "schema": "pannier.verify/1",
            "path": .string(source.path),
            "ok": .bool(report.ok),
            "checked": JSONValue(report.checked),
            "layout": .string(source.match.layout.name),
            "config": Reports.config(source.config),
            "findings": .array(
                report.findings.map { finding in
                    [
                        "code": .string(finding.code.rawValue),
                        "severity": .string(finding.severity.rawValue),
                        "tensor": JSONValue(finding.tensor),
                        "message": .string(finding.message),
                        "expected": JSONValue(finding.expected),
                        "found": JSONValue(finding.found),
                        "hint": JSONValue(finding.hint),
                    ]
                }),
        ]
    }

    private func print(_ report: VerificationReport, _ source: ModelSource) {
        let style = Style.standardOutput
        for finding in report.findings.sorted(by: { $0.severity > $1.severity }) {
            if finding.severity == .note, !common.verbose, report.findings.count > 12 { continue }
            let emphasis: Emphasis =
                switch finding.severity {
                case .error: .failure
                case .warning: .warning
                case .note: .faint
                }
            let place = finding.tensor.map { "\($0): " } ?? ""
            Console.print(
                style.paint(finding.severity.rawValue, emphasis) + " "
                    + (place + finding.message).escapingControlCharacters
                    + style.paint(" [\(finding.code.rawValue)]", .faint))
            // They quote what stands in the files.
            switch (finding.expected?.escapingControlCharacters, finding.found?.escapingControlCharacters) {
            case (let expected?, let found?): Console.print("  expected \(expected), found \(found)")
            case (nil, let found?): Console.print("  found \(found)")
            case (let expected?, nil): Console.print("  expected \(expected)")
            case (nil, nil): break
            }
            if let hint = finding.hint { Console.print("  \(hint.escapingControlCharacters)") }
        }
        if !common.quiet {
            Console.print(source.match.explanation.escapingControlCharacters)
            Console.print(Reports.headline(source.config).escapingControlCharacters)
        }
        let errors = report.findings.count { $0.severity == .error }
        let warnings = report.findings.count { $0.severity == .warning }
        let what = deep ? "names, shapes, dtypes and all values" : "names, shapes and dtypes"
        if report.ok {
            Console.print(
                style.paint("sound", .good) + ": \(report.checked) tensors, \(what) are as they should be")
        } else {
            Console.print(
                style.paint("not sound", .failure) + ": \(errors) error\(errors == 1 ? "" : "s"), "
                    + "\(warnings) warning\(warnings == 1 ? "" : "s") in \(report.checked) tensors")
        }
    }
}
