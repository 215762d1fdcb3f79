// Carrying a GGUF's tensors as they are into other files: splitting and merging.

public import Bytes
public import Containers
internal import OrderedCollections
internal import Tensors

/// Splits a GGUF over several files, or puts the parts of a split one together again. Neither looks at names or values.
public struct GGUFCarrier: Sendable {
    private let reader: GGUFReader
    private let threads: Int

    public init(_ reader: GGUFReader, threads: Int) {
        self.reader = reader
        self.threads = threads
    }

    /// Bytes of all tensors.
    public var tensorBytes: UInt64 { reader.totalBytes }

    private func plan() throws -> ConversionPlan {
        try CarryPlanner(reader: reader, container: .gguf, precision: .source).plan()
    }

    /// Writes PREFIX-00001-of-0000N.gguf and so on.
    /// - Returns: the names of the files.
    public func split(
        to prefix: String, limit: GGUFSplit.Limit, options: OutputOptions,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> [String] {
        let plan = try plan()
        let targets = plan.steps.map(\.target)
        let alignment = try GGUFWriter.alignment(reader.metadata)
        let parts = GGUFSplit.parts(
            GGUFSplit.spread(targets, limit: limit, alignment: alignment), prefix: Paths.name(prefix),
            metadata: reader.metadata, tensorCount: targets.count, countComesLast: true)
        let staged = try StagedOutput(
            files: parts.map(\.name), in: Paths.parent(prefix), options: withInputs(options))
        let writer = try GGUFWriter(in: staged.folder, parts: parts, tensors: targets)
        try PlanExecutor(plan, from: reader, to: writer, threads: threads).run(progress: progress)
        try writer.finish()
        _ = try GGUFReader(staged.path(of: parts[0].name))
        try staged.publish()
        return parts.map(\.name)
    }

    /// Writes one file with all tensors and without the keys of a split.
    public func merge(
        to destination: String, options: OutputOptions, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws {
        let plan = try plan()
        let staged = try StagedOutput(file: destination, options: withInputs(options))
        var metadata = plan.metadata
        for key in ["split.no", "split.count", "split.tensors.count"] { metadata.removeValue(forKey: key) }
        let writer = try GGUFWriter(
            in: staged.folder, name: Paths.name(staged.path), tensors: plan.steps.map(\.target), metadata: metadata)
        try PlanExecutor(plan, from: reader, to: writer, threads: threads).run(progress: progress)
        try writer.finish()
        _ = try GGUFReader(staged.path)
        try staged.publish()
    }

    private func withInputs(_ options: OutputOptions) -> OutputOptions {
        var options = options
        options.inputs += reader.files.map(\.identity)
        return options
    }
}
