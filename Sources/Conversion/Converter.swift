// The whole road of a conversion: plan, execute, verify, publish.

internal import Bytes
internal import Containers
internal import Layouts
internal import ModelFiles
internal import OrderedCollections
internal import Quantization
public import Tensors

/// Converts an open, recognised checkpoint.
public struct Converter: Sendable {
    private let reader: any CheckpointReader
    /// Files that are read, none of which the output may replace.
    private let inputs: [FileIdentity]
    private let request: ConversionRequest
    /// Writes what lies beside the weights in a folder; nil where the output is no folder.
    private let companions: CompanionFiles?
    public let plan: ConversionPlan
    /// The steps of each part of a GGUF that is written in parts.
    private let split: [[Int]]?

    /// Plans the conversion; nothing is written.
    /// - Throws: what keeps it from being done: missing tensors, dtypes that cannot be had, damaged tokenizer files.
    public init(_ source: ModelSource, _ request: ConversionRequest) throws {
        try request.checkLayout()
        try request.checkDestination()
        if request.container == .gguf {
            var plan = try GGUFPlanner(source, request).plan()
            if request.precision == .source { plan.warnings += plan.roundedDoubles }
            self.plan = plan
            let tensors = plan.steps.map(\.target)
            let alignment = try GGUFWriter.alignment(plan.metadata)
            companions = nil
            let spread = request.shardSize.map {
                GGUFSplit.spread(tensors, limit: .bytes($0), alignment: alignment)
            } ?? []
            split = spread.count > 1 ? spread : nil
        } else {
            split = nil
            let planner = TensorPlanner(
                source: source, layout: request.layout, container: request.container, precision: request.precision)
            if source.hasUnexplainedRoPEFactors {
                throw CheckpointError.unsupported(
                    "RoPE factors that no config can say", file: source.path, place: RoPEFactors.tensorName,
                    expected: "those of Llama 3's scaling", remedy: "they can be carried to another GGUF only")
            }
            if request.makesFolder {
                // What the config cannot say is found before anything is written.
                _ = try ConfigFile.files(for: request.layout, config: source.config, name: "", dtype: nil)
            }
            var plan = ConversionPlan(steps: try planner.steps(), warnings: source.warnings)
            companions = request.makesFolder ? try CompanionFiles(source, request, plan) : nil
            plan.warnings += companions?.warnings ?? []
            self.plan = plan
        }
        reader = source.reader
        inputs = source.inputs
        self.request = request
    }

    /// Plans a change of container alone: every tensor under its own name and in its own shape, whatever model it is of.
    /// - Throws: `usage` for GGUF, which holds models of known layouts; what keeps a dtype from being had.
    public init(keeping reader: any CheckpointReader, _ request: ConversionRequest) throws {
        guard request.container != .gguf else {
            throw CheckpointError(
                .usage, "names are kept in safetensors and PyTorch files; a GGUF needs a layout that its readers know",
                remedy: "leave --layout out, or choose --to safetensors or --to pytorch")
        }
        try request.checkDestination()
        if case .fixed(let dtype) = request.precision { try TensorPlanner.check(dtype, in: request.container) }
        plan = try CarryPlanner(reader: reader, container: request.container, precision: request.precision).plan()
        self.reader = reader
        inputs = reader.files.map(\.identity) + CompanionFiles.inputs(beside: reader)
        self.request = request
        split = nil
        companions = request.makesFolder ? CompanionFiles(keeping: reader) : nil
    }

    /// A conversion whose plan was made elsewhere (quantizing).
    init(_ source: ModelSource, _ request: ConversionRequest, plan: ConversionPlan, split: [[Int]]? = nil) {
        reader = source.reader
        inputs = source.inputs
        self.request = request
        self.plan = plan
        self.split = split
        companions = nil
    }

    /// Bytes of the files with tensors that `run` would write, an index among them: `Outcome.bytes`.
    public func outputBytes() throws -> UInt64 {
        let tensors = plan.steps.map(\.target)
        return switch request.container {
        case .safetensors:
            try SafetensorsWriter.size(of: tensors, name: request.weightsName, shardSize: request.shardSize)
        case .pytorch: try PyTorchWriter.size(of: tensors, name: request.weightsName, shardSize: request.shardSize)
        case .gguf:
            if let parts = try parts() {
                try GGUFWriter.size(of: tensors, parts: parts)
            } else {
                try GGUFWriter.size(of: tensors, metadata: plan.metadata)
            }
        }
    }

    /// What was written.
    public struct Outcome: Sendable {
        /// Where the output is.
        public let destination: String
        public let files: [String]
        /// Bytes of all files with tensors.
        public let bytes: UInt64
        /// Errors of quantized tensors, as far as they were compared.
        public let errors: [TensorError]
    }

    /// Carries out the plan.
    /// - Parameters:
    ///   - compareEvery: one piece in so many of a quantized tensor is decoded and compared; 0 for none.
    ///   - progress: told the bytes that were written since it was last told, from any thread.
    /// - Throws: the first failure; then nothing at the destination has changed.
    @discardableResult
    public func run(
        compareEvery: Int = 0, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> Outcome {
        var options = request.output
        options.inputs += inputs
        let staged =
            companions != nil
            ? try StagedOutput(folder: request.destination, options: options)
            : try stagedFiles(options)
        let writer = try makeWriter(in: staged.folder)
        let errors = try PlanExecutor(
            plan, from: reader, to: writer, threads: request.threads, compareEvery: compareEvery
        ).run(progress: progress)
        try writer.finish()
        try companions?.write(into: staged)
        try check(staged, writer)
        if let companions { try publish(staged, companions, options) } else { try staged.publish() }
        return Outcome(
            destination: request.destination, files: writer.fileNames, bytes: writer.totalBytes, errors: errors)
    }

    /// Gives a folder's files their places, and its templates, whose folder is published by itself. They are read before
    /// anything is published, and in a folder that is there already they are written before, too.
    private func publish(_ staged: StagedOutput, _ companions: CompanionFiles, _ options: OutputOptions) throws {
        let templates = try companions.templates()
        func stage() throws -> StagedOutput? {
            try CompanionFiles.stage(templates, in: request.destination, options: options)
        }
        let isThere = Paths.kind(request.destination) == .folder
        let early = isThere ? try stage() : nil
        try staged.publish(replacing: CompanionFiles.isWeightFile)
        let late = isThere ? nil : try stage()
        try (early ?? late)?.publish()
    }

    /// One file under its own name, or with a shard size a folder's worth of files beside each other.
    private func stagedFiles(_ options: OutputOptions) throws -> StagedOutput {
        guard request.shardSize == nil || request.container == .gguf else {
            throw CheckpointError(
                .usage, "--shard-size makes several files, and the destination names one", found: request.destination,
                remedy: "name a folder")
        }
        if let parts = try parts() {
            return try StagedOutput(
                files: parts.map(\.name), in: Paths.parent(request.destination), options: options)
        }
        return try StagedOutput(file: request.destination, options: options)
    }

    /// The parts of a GGUF that is written in parts, named after the destination.
    private func parts() throws -> [GGUFPart]? {
        guard let split else { return nil }
        let name = Paths.name(request.destination)
        let prefix = name.lowercased().hasSuffix(".gguf") ? String(name.dropLast(5)) : name
        return GGUFSplit.parts(
            split, prefix: prefix, metadata: plan.metadata, tensorCount: plan.steps.count, countComesLast: false)
    }

    private func makeWriter(in folder: String) throws -> any CheckpointWriter {
        let tensors = plan.steps.map(\.target)
        switch request.container {
        case .safetensors:
            return try SafetensorsWriter(
                in: folder, name: request.weightsName, tensors: tensors, shardSize: request.shardSize)
        case .pytorch:
            return try PyTorchWriter(
                in: folder, name: request.weightsName, tensors: tensors, shardSize: request.shardSize)
        case .gguf:
            guard let parts = try parts() else {
                return try GGUFWriter(in: folder, name: request.weightsName, tensors: tensors, metadata: plan.metadata)
            }
            return try GGUFWriter(in: folder, parts: parts, tensors: tensors)
        }
    }

    /// Reads the headers back with the container's own reader and compares them with the plan.
    private func check(_ staged: StagedOutput, _ writer: any CheckpointWriter) throws {
        let entry = writer.fileNames.first { $0.hasSuffix(".index.json") } ?? writer.fileNames.first ?? ""
        let back = try Containers.open(staged.path(of: entry))
        let found = Dictionary(back.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for step in plan.steps {
            guard let tensor = found[step.target.name], tensor.dtype == step.target.dtype,
                tensor.shape == step.target.shape
            else {
                throw CheckpointError(
                    .inputOutput, "the output does not read back as it was written", file: request.destination,
                    place: step.target.name, expected: "\(step.target.dtype) \(step.target.shape)",
                    found: found[step.target.name].map { "\($0.dtype) \($0.shape)" } ?? "no such tensor",
                    remedy: "this is a defect of Pannier or of the disk; the output was not kept")
            }
        }
    }
}

extension ConversionPlan {
    /// That doubles lose digits, in words: nobody computes with a GGUF's F64 weights.
    var roundedDoubles: [String] {
        let count = steps.count { $0.from == .f64 && $0.target.dtype == .f32 }
        guard count > 0 else { return [] }
        return ["F64 values are rounded to F32 in \(count) tensors, since llama.cpp takes no F64 weights"]
    }
}

extension ModelSource {
    /// What was taken for granted, which decides the order of rows, and what is left behind, a sentence each.
    var warnings: [String] {
        match.assumptions.map { "\($0); --config FILE or --preset NAME would settle it" } + leftBehind
    }

    /// What conversion leaves behind, in words.
    var leftBehind: [String] {
        guard !match.unexpected.isEmpty else { return [] }
        let names = match.unexpected.prefix(3).map { reader.tensors[$0].name }.joined(separator: ", ")
        let more = match.unexpected.count > 3 ? " and \(match.unexpected.count - 3) more" : ""
        return ["left behind, since the layout \(match.layout.name) does not know them: \(names)\(more)"]
    }
}
