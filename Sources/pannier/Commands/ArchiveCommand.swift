// pannier archive: a series of checkpoints in one file, without loss and small.

internal import Archive
internal import ArgumentParser
internal import Bytes
internal import JSONText

struct ArchiveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "archive",
        abstract: "Keep a series of checkpoints in one file, without loss.",
        discussion: """
            Every file comes back bit for bit. A later step is coded against the one before it. Every command reads a \
            step in place: ARCHIVE:STEP is a path.

            EXAMPLE
              pannier archive create run.pannier out/iter-*-ckpt.pth
              pannier diff run.pannier:150 run.pannier:900
              pannier archive extract run.pannier 900 -o iter-003600-ckpt.pth
            """,
        subcommands: [ArchiveCreate.self, ArchiveAdd.self, ArchiveList.self, ArchiveExtract.self, ArchiveVerify.self])
}

/// How checkpoints are stored.
struct StoringOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Number of the step (default: what the checkpoint or its name says).", valueName: "n"))
    var step: Int?

    @Option(
        help: ArgumentHelp(
            "Let a step stand alone after N steps that lean on each other: fewer read faster, more are smaller.",
            valueName: "n"))
    var chain = 4

    @Flag(help: "Leave it to the system when the bytes reach the disk.")
    var noSync = false

    func validate() throws {
        if chain < 1 || chain > 16 { throw ValidationError("--chain takes a number from 1 to 16") }
        if let step, step < 0 { throw ValidationError("--step takes a number from 0") }
    }

    /// Adds checkpoints one after another, each as a step of its own, and says what became of them.
    /// - Parameter creating: makes the archive with the first of them.
    func add(
        _ checkpoints: [String], to archive: String, creating: Bool = false, command: String, json: Bool,
        common: CommonOptions
    ) throws {
        if step != nil, checkpoints.count > 1 {
            throw CheckpointError(.usage, "--step numbers one checkpoint", remedy: "add them one by one")
        }
        var options = ArchiveOptions(threads: common.threadCount, chain: chain)
        options.sync = !noSync
        let storing = options
        var added: [JSONValue] = []
        if creating, checkpoints.isEmpty { try ArchiveWriter.create(archive) }
        for (index, path) in try ArchiveWriter.ordered(checkpoints).enumerated() {
            let bar = ProgressBar("Storing \(Paths.name(path).escapingControlCharacters)", total: 0)
            let store = { (archive: String) throws -> AddedStep in
                try ArchiveWriter.add(
                    path, to: archive, step: step, options: storing, progress: { bar.advance(by: $0) },
                    total: { bar.expect($0) })
            }
            let done: AddedStep
            if creating, index == 0 {
                done = try ArchiveWriter.create(archive, sync: !noSync, storing: store)
            } else {
                done = try store(archive)
            }
            bar.finish()
            added.append([
                "step": JSONValue(done.step), "name": .string(done.name), "bytes": JSONValue(done.bytes),
                "stored": JSONValue(done.stored), "shared": JSONValue(done.shared),
            ])
            if !json {
                let percent = done.bytes > 0 ? 100 * Double(done.stored) / Double(done.bytes) : 100
                Console.print(
                    "step \(done.step)  \(done.name.escapingControlCharacters)  \(Human.bytes(done.bytes)) -> "
                        + "\(Human.bytes(done.stored))  \(Human.fixed(percent, 1)) %")
            }
        }
        if json {
            Console.print(
                ["schema": .string("pannier.archive.\(command)/1"), "archive": .string(archive), "added": .array(added)])
        }
    }
}

struct ArchiveCreate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make an archive, and store checkpoints in it.",
        discussion: """
            EXAMPLE
              pannier archive create run.pannier out/iter-*-ckpt.pth
            """)

    @Argument(help: "The archive to make.", completion: .file(extensions: ["pannier"]))
    var archive: String

    @Argument(help: "Checkpoints, files or folders; each becomes a step.", completion: .file())
    var checkpoints: [String] = []

    @OptionGroup var storing: StoringOptions
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        for path in checkpoints where Paths.kind(path) == .missing {
            throw CheckpointError(.inputOutput, "there is no such file or folder", file: path, remedy: "check its name")
        }
        try storing.add(checkpoints, to: archive, creating: true, command: "create", json: json.json, common: common)
    }
}

struct ArchiveAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Store more checkpoints in an archive.",
        discussion: """
            The archive is what it was until a step is stored whole; a crash loses no earlier one.

            EXAMPLE
              pannier archive add run.pannier out/iter-004800-ckpt.pth
            """)

    @Argument(help: "The archive.", completion: .file(extensions: ["pannier"]))
    var archive: String

    @Argument(help: "Checkpoints, files or folders; each becomes a step.", completion: .file())
    var checkpoints: [String]

    @OptionGroup var storing: StoringOptions
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        try storing.add(checkpoints, to: archive, command: "add", json: json.json, common: common)
    }
}

struct ArchiveList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the steps of an archive and what they take.",
        discussion: """
            EXAMPLE
              pannier archive list run.pannier --svg sizes.svg
            """)

    @Argument(help: "The archive.", completion: .file(extensions: ["pannier"]))
    var archive: String

    @Option(help: ArgumentHelp("Write a page with a picture and all figures.", valueName: "file"), completion: .file())
    var html: String?

    @Option(help: ArgumentHelp("Write the picture.", valueName: "file"), completion: .file())
    var svg: String?

    @Flag(help: "Replace files that are there already.")
    var force = false

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let reader = try ArchiveReader(archive)
        let file = try File(archive)
        let pictures = try ReportFiles(html: html, svg: svg, force: force, inputs: [file.identity])
        var listed: [(step: ArchivedStep, contents: StepContents)] = []
        for remark in reader.remarks { Console.warning("\(archive): \(remark)") }
        var total: UInt64 = 0
        var table = Table([.right, .left, .right, .right, .right, .right, .left])
        table.add(["step", "name", "files", "tensors", "bytes", "stored", ""])
        var steps: [JSONValue] = []
        for step in reader.steps {
            let contents = try reader.contents(of: step)
            // Each step has a sum; the picture's title has that of all.
            guard let sum = total.adding(contents.bytes) else {
                throw CheckpointError.malformed(
                    "the sizes of the steps are beyond what a disk can hold", file: archive, place: "step \(step.step)")
            }
            total = sum
            listed.append((step, contents))
            let percent = contents.bytes > 0 ? 100 * Double(contents.stored) / Double(contents.bytes) : 100
            table.add([
                "\(step.step)", step.name, "\(contents.files.count)", "\(contents.tensors)", Human.bytes(contents.bytes),
                Human.bytes(contents.stored),
                Human.fixed(percent, 1) + " %" + (contents.relative > 0 ? ", against an earlier step" : ""),
            ])
            steps.append([
                "step": JSONValue(step.step), "name": .string(step.name), "folder": .bool(contents.isFolder),
                "bytes": JSONValue(contents.bytes), "stored": JSONValue(contents.stored),
                "tensors": JSONValue(contents.tensors), "relative": JSONValue(contents.relative),
                "files": .array(
                    contents.files.map {
                        [
                            "name": .string($0.name), "bytes": JSONValue($0.size),
                            "sha256": .string($0.sha256.description),
                        ]
                    }),
            ])
        }
        let picture = ArchivePicture(archive: archive, bytes: file.size, steps: listed)
        try pictures.write(html: { picture.html }, svg: { picture.svg })
        if json.json {
            Console.print(
                [
                    "schema": "pannier.archive.list/1", "archive": .string(archive),
                    "damaged": .bool(!reader.remarks.isEmpty), "remarks": .array(reader.remarks.map { .string($0) }),
                    "steps": .array(steps),
                ])
        } else {
            for line in table.lines() { Console.print(line) }
        }
    }
}

struct ArchiveExtract: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extract", abstract: "Write a step's files as they were.",
        discussion: """
            Ends with status 1 when --keep-damaged wrote a file that is not whole.

            EXAMPLE
              pannier archive extract run.pannier 900 -o iter-003600-ckpt.pth
            """)

    @Argument(help: "The archive.", completion: .file(extensions: ["pannier"]))
    var archive: String

    @Argument(help: "The step's number, or the name it was stored under.")
    var step: String

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Where it goes (default: its own name).", valueName: "dst"),
        completion: .file())
    var output: String?

    @Flag(help: "Write what is left of a damaged step, with zeros in the gaps.")
    var keepDamaged = false

    @Flag(help: "Replace an output that is there already.")
    var force = false

    @Flag(help: "Leave it to the system when the bytes reach the disk.")
    var noSync = false

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        if output == "-" {
            throw CheckpointError(
                .usage, "a step is not written to standard output", found: "-o -",
                remedy: "name a file or folder; ./- is one that is called so")
        }
        let reader = try ArchiveReader(archive)
        let found = try ArchiveReports.step(named: step, in: reader)
        let destination = output ?? Paths.name(found.name)
        let bar = ProgressBar("Extracting", total: try reader.contents(of: found).bytes)
        var options = OutputOptions(force: force, sync: !noSync)
        if let identity = Paths.identity(archive) { options.inputs = [identity] }
        let report = try reader.extract(
            found, to: destination, options: options, keepDamaged: keepDamaged, threads: common.threadCount
        ) { bar.advance(by: $0) }
        bar.finish()
        if json.json {
            Console.print(
                ArchiveReports.json(report, schema: "pannier.archive.extract/1", archive: archive, output: destination))
        } else {
            ArchiveReports.print(report)
            Console.print(destination.escapingControlCharacters)
        }
        if !report.ok { throw ExitCode(1) }
    }
}

struct ArchiveVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Decode everything and compare it with the digests of the originals.",
        discussion: """
            Ends with status 0 when all is well and 1 when something is damaged.

            EXAMPLE
              pannier archive verify run.pannier
            """)

    @Argument(help: "The archive.", completion: .file(extensions: ["pannier"]))
    var archive: String

    @Argument(help: "Steps, by number or name (default: all).")
    var steps: [String] = []

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let reader = try ArchiveReader(archive)
        for remark in reader.remarks { Console.warning("\(archive): \(remark)") }
        let wanted = steps.isEmpty ? reader.steps : try steps.map { try ArchiveReports.step(named: $0, in: reader) }
        // A step may be named more than once.
        let total = wanted.reduce(UInt64(0)) { $0.adding((try? reader.contents(of: $1).bytes) ?? 0) ?? .max }
        let bar = ProgressBar("Verifying", total: total)
        let report = reader.verify(steps: wanted, threads: common.threadCount) { bar.advance(by: $0) }
        bar.finish()
        if json.json {
            Console.print(ArchiveReports.json(report, schema: "pannier.archive.verify/1", archive: archive))
        } else {
            ArchiveReports.print(report)
            Console.print(
                "\(report.soundSteps.count) of \(wanted.count) steps sound, \(report.files) files, "
                    + Human.bytes(report.bytes))
        }
        if !report.ok { throw ExitCode(1) }
    }
}

/// Which steps verify and extract are about, and what they found, in both forms.
private enum ArchiveReports {
    /// The step that is meant, said where another has the number in its name.
    static func step(named text: String, in reader: ArchiveReader) throws -> ArchivedStep {
        let found = try reader.existingStep(named: text)
        if let choice = found.choice(named: text) { Console.note("\(reader.path): \(choice)".escapingControlCharacters) }
        return found
    }

    static func print(_ report: ArchiveReport) {
        for damage in report.damage {
            let step = damage.step.map { "step \($0), " } ?? ""
            let place = (damage.tensor.map { "tensor \($0)" } ?? "bytes") + " at \(damage.offset), \(damage.count) bytes"
            Console.print("\(step)\(damage.file): \(place): \(damage.message)".escapingControlCharacters)
        }
    }

    static func json(_ report: ArchiveReport, schema: String, archive: String, output: String? = nil) -> JSONValue {
        var object: JSONObject = [
            "schema": .string(schema), "archive": .string(archive), "ok": .bool(report.ok),
            "sound_steps": .array(report.soundSteps.map { JSONValue($0) }), "files": JSONValue(report.files),
            "bytes": JSONValue(report.bytes),
            "damage": .array(
                report.damage.map {
                    [
                        "step": $0.step.map { JSONValue($0) } ?? .null, "file": .string($0.file),
                        "tensor": JSONValue($0.tensor), "offset": JSONValue($0.offset), "bytes": JSONValue($0.count),
                        "lost": .bool($0.isLost), "message": .string($0.message),
                    ]
                }),
        ]
        if let output { object["output"] = .string(output) }
        return .object(object)
    }
}
