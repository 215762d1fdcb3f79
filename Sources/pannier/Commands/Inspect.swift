// pannier inspect: what a checkpoint is, from its headers; with --stats, what its values are like.

internal import ArgumentParser
internal import Bytes
internal import Containers
internal import Conversion
internal import Inspection
internal import JSONText
internal import Layouts
internal import OrderedCollections
internal import Tensors

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a checkpoint is: container, layout, dimensions, tensors, metadata.",
        discussion: """
            Only headers are read, unless --stats asks for the values. Nothing a pickle asks for is ever executed: \
            the globals it names are listed, and those outside the list of harmless ones are flagged.

            EXAMPLE
              pannier inspect pytorch_model.bin --tensors '*.layers.0.*'
            """)

    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var path: String

    @Option(
        defaultAsFlag: "*",
        help: ArgumentHelp("List the tensors, or those whose names match a pattern with * and ?.", valueName: "glob"))
    var tensors: String?

    @Flag(help: "List the metadata.")
    var metadata = false

    @Flag(help: "Read all values and show each tensor's range, moments and distribution.")
    var stats = false

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let reader = try Containers.open(path, lenient: true)
        let recognised = Result { () throws(CheckpointError) in
            do {
                return try ModelSource(reader, at: path, options: SourceOptions(lenient: true))
            } catch let error as CheckpointError {
                throw error
            } catch {
                throw CheckpointError(.inputOutput, "\(error)", file: path)
            }
        }
        let wanted = Glob(tensors ?? "*")
        let shown = reader.tensors.filter { wanted.matches($0.name) }
        var statistics: [TensorStatistics?] = []
        if stats {
            let bar = ProgressBar("Reading", total: shown.totalBytes)
            statistics = try DeepScan(reader, threads: common.threadCount).statistics(of: shown, histograms: true) {
                bar.advance(by: $0)
            }
            bar.finish()
        }
        if json.json {
            Console.print(report(reader, recognised, shown, statistics))
        } else {
            printSummary(reader, recognised)
            if tensors != nil || stats { printTensors(shown, statistics) }
            if metadata { printMetadata(reader.metadata) }
        }
    }

    // MARK: JSON

    private func report(
        _ reader: any CheckpointReader, _ recognised: Result<ModelSource, CheckpointError>, _ shown: [TensorInfo],
        _ statistics: [TensorStatistics?]
    ) -> JSONValue {
        var object: JSONObject = [
            "schema": "pannier.inspect/1",
            "path": .string(path),
            "container": .string(reader.kind.rawValue),
            "container_details": .string(reader.details),
        ]
        switch recognised {
        case .success(let source):
            object["layout"] = .string(source.match.layout.name)
            object["layout_explanation"] = .string(source.match.explanation)
            object["config"] = Reports.config(source.config)
        case .failure(let error):
            object["layout"] = .null
            object["layout_explanation"] = .string(Self.reason(error, reader))
            object["config"] = .object([:])
        }
        object["parameters"] = JSONValue(Self.parameters(reader, recognised))
        object["bytes"] = JSONValue(reader.files.reduce(0) { $0 + $1.size })
        object["metadata"] = .object(
            JSONObject(reader.metadata.map { (key: $0.key, value: Reports.metadata($0.value)) }))
        object["tensors"] = .array(
            shown.enumerated().map { index, tensor in
                var entry = Reports.tensor(tensor)
                if stats {
                    let one = statistics[index]
                    entry["min"] = number(one?.min)
                    entry["max"] = number(one?.max)
                    entry["mean"] = number(one?.mean)
                    entry["std"] = number(one?.std)
                    entry["zeros"] = count(one?.zeros)
                    entry["nans"] = count(one?.nans)
                    entry["infs"] = count(one?.infs)
                }
                return .object(entry)
            })
        object["globals"] = .array(
            reader.globals.map { ["name": .string($0.name), "allowed": .bool($0.isAllowed)] })
        object["remarks"] = .array(reader.remarks.map(JSONValue.string))
        return .object(object)
    }

    private func number(_ value: Double?) -> JSONValue { value.map { JSONValue($0) } ?? JSONValue.null }
    private func count(_ value: Int?) -> JSONValue { value.map { JSONValue($0) } ?? JSONValue.null }

    /// Why a checkpoint was not recognised, with the file that it lies in where that is another one.
    private static func reason(_ error: CheckpointError, _ reader: any CheckpointReader) -> String {
        guard let file = error.file, file != reader.path else { return error.message }
        return "\(file): \(error.message)"
    }

    /// The model's parameters where the layout is known (a training checkpoint holds more), else all elements.
    private static func parameters(
        _ reader: any CheckpointReader, _ recognised: Result<ModelSource, CheckpointError>
    ) -> Int {
        if case .success(let source) = recognised {
            return source.match.matched.reduce(0) { $0 + reader.tensors[$1.tensor].shape.count }
        }
        return reader.tensors.reduce(0) { $0 &+ $1.shape.count }
    }

    // MARK: Text

    private func printSummary(_ reader: any CheckpointReader, _ recognised: Result<ModelSource, CheckpointError>) {
        let style = Style.standardOutput
        Console.print(style.paint(path.escapingControlCharacters, .heading))
        var table = Table([.left, .left])
        let size = reader.files.reduce(0) { $0 + $1.size }
        table.add(["container", reader.details])
        switch recognised {
        case .success(let source):
            table.add(["layout", source.match.explanation])
            let config = source.config
            table.add(["model", Reports.headline(config)])
            if let file = source.configFile {
                table.add(["config", file.path ?? file.kind.rawValue])
            } else {
                table.add(["config", "none found: dimensions from the shapes"])
            }
            for assumption in source.match.assumptions { table.add(["assumed", assumption]) }
        case .failure(let error): table.add(["layout", "not recognised: \(Self.reason(error, reader))"])
        }
        table.add(["parameters", Human.count(Self.parameters(reader, recognised))])
        let dtypes = OrderedDictionary(grouping: reader.tensors, by: \.dtype)
        let list = dtypes.map { "\($0.value.count) \($0.key)" }.joined(separator: ", ")
        table.add(["tensors", reader.tensors.isEmpty ? "none" : "\(reader.tensors.count) (\(list))"])
        table.add([
            "size", Human.bytes(size) + (reader.files.count > 1 ? " in \(reader.files.count) files" : ""),
        ])
        for remark in reader.remarks { table.add(["remark", remark]) }
        for line in table.lines(indent: 2) { Console.print(line) }
        if !reader.globals.isEmpty {
            let bad = reader.globals.filter { !$0.isAllowed }
            let names = reader.globals.filter(\.isAllowed).map(\.name).joined(separator: ", ")
            if !names.isEmpty { Console.print("  globals     \(names.escapingControlCharacters)") }
            for global in bad {
                Console.print(
                    style.paint("  DANGER      ", .failure)
                        + "the pickle asks for \(global.name.escapingControlCharacters), which is not on the list; "
                        + "nothing was executed")
            }
        }
        if tensors == nil, !stats, !metadata {
            Console.print(style.paint("  --tensors lists them, --metadata the metadata, --stats their values", .faint))
        }
    }

    private func printTensors(_ shown: [TensorInfo], _ statistics: [TensorStatistics?]) {
        var table = Table(
            stats
                ? [.left, .left, .left, .right, .right, .right, .right, .right, .right, .left]
                : [.left, .left, .left, .right])
        table.add(
            stats
                ? ["tensor", "dtype", "shape", "min", "max", "mean", "std", "zeros", "nan/inf", "distribution"]
                : ["tensor", "dtype", "shape", "bytes"])
        for (index, tensor) in shown.enumerated() {
            guard stats else {
                table.add([
                    tensor.name, "\(tensor.dtype)", "\(tensor.shape)", Human.bytes(UInt64(tensor.byteCount)),
                ])
                continue
            }
            guard let one = statistics[index] else {
                table.add([tensor.name, "\(tensor.dtype)", "\(tensor.shape)", "", "", "", "", "", "", ""])
                continue
            }
            table.add([
                tensor.name, "\(tensor.dtype)", "\(tensor.shape)", one.min.map(Human.significant) ?? "-",
                one.max.map(Human.significant) ?? "-", Human.significant(one.mean), Human.significant(one.std),
                "\(one.zeros)", "\(one.nans + one.infs)", Bars.line(one.histogram),
            ])
        }
        for line in table.lines() { Console.print(line) }
    }

    private func printMetadata(_ metadata: Metadata) {
        for (key, value) in metadata {
            let text = Reports.shortText(of: value)
            Console.print("\(key) = \(value.type.name) \(text)".escapingControlCharacters)
        }
    }
}
