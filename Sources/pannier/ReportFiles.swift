// The page and the drawing that a command writes beside its result.

internal import Bytes
internal import Conversion
internal import Inspection
internal import Tensors

/// The files that a report goes to: refused at the beginning, written at the end.
struct ReportFiles {
    private let html: StagedOutput?
    private let svg: StagedOutput?

    /// - Parameter inputs: the checkpoints that are read, none of whose files a report may replace.
    init(html: String?, svg: String?, force: Bool, inputs: [ComparedCheckpoint]) throws {
        let files = inputs.flatMap { $0.source?.inputs ?? $0.reader.files.map(\.identity) }
        try self.init(html: html, svg: svg, force: force, inputs: files)
    }

    /// - Parameter inputs: the files that are read, none of which a report may replace.
    /// - Throws: `usage` when both name the same file, and what staging them throws.
    init(html: String?, svg: String?, force: Bool, inputs: [FileIdentity]) throws {
        if let html, let svg, Paths.name(html) == Paths.name(svg),
            Paths.identity(Paths.parent(html)) == Paths.identity(Paths.parent(svg))
        {
            throw CheckpointError(.usage, "--html and --svg name the same file", file: html, remedy: "name two files")
        }
        let options = OutputOptions(force: force, sync: false, inputs: inputs)
        self.html = try html.map { try StagedOutput(file: $0, options: options) }
        self.svg = try svg.map { try StagedOutput(file: $0, options: options) }
    }

    /// Writes those that were asked for; only they are made.
    func write(html makeHTML: () -> String, svg makeSVG: () -> String) throws {
        try Self.write(html, makeHTML)
        try Self.write(svg, makeSVG)
    }

    private static func write(_ staged: StagedOutput?, _ make: () -> String) throws {
        guard let staged else { return }
        let file = try OutputFile(creating: staged.path)
        try file.write(Array(make().utf8), at: 0)
        try staged.publish()
    }
}
