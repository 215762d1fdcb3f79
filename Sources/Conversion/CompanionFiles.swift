// The files that make a folder of weights a model: config in its ecosystem's form, tokenizer, generation config.

internal import Bytes
internal import Containers
internal import Layouts
internal import ModelFiles
internal import Tensors

/// Writes what lies beside the weights in a folder of Hugging Face's, Lit-GPT's or Meta's form.
struct CompanionFiles: Sendable {
    private let reader: any CheckpointReader
    /// What the weights become; nil where tensors keep their names, since the source's config is still theirs.
    private let model: Model?
    /// What a GGUF's own metadata say of the model, as files; nil where that stands in the source's folder.
    private let within: (files: [ModelFile], warnings: [String])?

    private struct Model: Sendable {
        let source: ModelSource
        let request: ConversionRequest
        let plan: ConversionPlan

        func configs(_ config: ModelConfig) throws -> [ModelFile] {
            try ConfigFile.files(
                for: request.layout, config: config, name: source.name,
                dtype: plan.steps.first { $0.target.shape.rank > 1 }?.target.dtype, source: source.configFile
            ).map { ModelFile(name: $0.name, bytes: Array($0.text.utf8)) }
        }
    }

    /// - Throws: `malformed` when a GGUF's metadata contradict themselves.
    init(_ source: ModelSource, _ request: ConversionRequest, _ plan: ConversionPlan) throws {
        reader = source.reader
        within = reader.kind == .gguf ? try HuggingFaceFiles.files(from: reader.metadata) : nil
        model = Model(source: source, request: request, plan: plan)
    }

    /// All files beside a checkpoint, as they are.
    init(keeping reader: any CheckpointReader) {
        self.reader = reader
        model = nil
        within = nil
    }

    /// Companions beyond this size are no tokenizers.
    private static let largestFile: UInt64 = 96 << 20

    /// What the folder will lack, a sentence each.
    var warnings: [String] {
        guard let model else { return [] }
        if let within { return within.warnings }
        let present = Set(Companions.present(in: model.source.folder))
        guard present.isDisjoint(with: ["tokenizer.model", "tokenizer.json", "vocab.json"]) else { return [] }
        return [
            "there is no tokenizer beside the weights: the folder will have none; put tokenizer.model or tokenizer.json there"
        ]
    }

    /// Writes all files that lie beside the weights themselves; those of the source's folder are carried along as they are.
    func write(into staged: StagedOutput) throws {
        var written: Set<String> = []
        func put(_ name: String, _ bytes: [UInt8]) throws {
            guard written.insert(name).inserted else { return }
            try OutputFile(creating: staged.path(of: name)).write(bytes, at: 0)
        }
        func carry(_ names: [String]) throws {
            for name in names { try put(name, Self.contents(Paths.join(reader.folder, name))) }
        }
        guard let model else {
            try carry(ConfigFile.fileNames.filter { Paths.kind(Paths.join(reader.folder, $0)) == .file })
            return try carry(Companions.present(in: reader.folder))
        }
        let source = model.source
        if let within {
            for file in try model.configs(source.config) { try put(file.name, file.bytes) }
            for file in within.files { try put(file.name, file.bytes) }
        } else {
            let folder = try ModelFolder(reading: source.folder, name: source.name)
            // Completed once, so that no file names other special tokens than the next.
            let config = folder.completing(source.config)
            for file in try model.configs(config) { try put(file.name, file.bytes) }
            try carry(Companions.present(in: source.folder))
            for file in HuggingFaceFiles.missing(from: folder, config: config) { try put(file.name, file.bytes) }
        }
    }

    /// The additional chat templates, which have a folder of their own in the output too.
    func templates() throws -> [ModelFile] { within != nil ? [] : try Companions.templates(in: reader.folder) }

    /// Stages templates for their folder in an output's folder, which is there.
    /// - Returns: nil where there are none.
    static func stage(
        _ templates: [ModelFile], in destination: String, options: OutputOptions
    ) throws -> StagedOutput? {
        guard !templates.isEmpty else { return nil }
        let staged = try StagedOutput(
            folder: Paths.join(destination, Companions.templateFolder), options: options)
        for file in templates { try OutputFile(creating: staged.path(of: file.name)).write(file.bytes, at: 0) }
        return staged
    }

    /// The files beside a checkpoint that are read with it; a GGUF has everything within.
    static func inputs(beside reader: any CheckpointReader) -> [FileIdentity] {
        guard reader.kind != .gguf else { return [] }
        return Companions.paths(in: reader.folder).compactMap { Paths.identity($0) }
    }

    private static func contents(_ path: String) throws -> [UInt8] { try File(path).contents(limit: largestFile) }

    /// Whether a name is one that weights have: left in a folder from before, it would be taken for part of the model. Not
    /// every ending of weights is one of these: a GGUF or a trainer's .ckpt beside them is a model of its own.
    static func isWeightFile(_ name: String) -> Bool {
        let endings = [".safetensors", ".bin", ".pth", ".index.json"]
        return Containers.folderStems.contains { name.hasPrefix($0) } && endings.contains { name.hasSuffix($0) }
    }
}
