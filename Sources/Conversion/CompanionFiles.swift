// The files that make a folder of weights a model: config in its ecosystem's form, tokenizer, generation config.

internal import Bytes
internal import Layouts
internal import ModelFiles
internal import Tensors

/// Writes what lies beside the weights in a folder of Hugging Face's, Lit-GPT's or Meta's form.
struct CompanionFiles: Sendable {
    private let source: ModelSource
    private let request: ConversionRequest
    private let plan: ConversionPlan

    init(_ source: ModelSource, _ request: ConversionRequest, _ plan: ConversionPlan) {
        self.source = source
        self.request = request
        self.plan = plan
    }

    /// Companions beyond this size are no tokenizers.
    private static let largestFile: UInt64 = 96 << 20

    /// Writes all files; those of the source's folder are carried along as they are.
    func write(into staged: StagedOutput) throws {
        var written: Set<String> = []
        func put(_ name: String, _ bytes: [UInt8]) throws {
            guard !name.contains("/"), written.insert(name).inserted else { return }
            try OutputFile(creating: staged.path(of: name)).write(bytes, at: 0)
        }
        for file in try configs() { try put(file.name, file.bytes) }
        if source.reader.kind == .gguf {
            for file in try HuggingFaceFiles.files(from: source.reader.metadata).files {
                try put(file.name, file.bytes)
            }
        } else {
            for name in Companions.present(in: source.folder) { try put(name, Self.contents(name, in: source.folder)) }
            let folder = try ModelFolder(beside: source.path)
            for file in HuggingFaceFiles.missing(from: folder, config: source.config) { try put(file.name, file.bytes) }
        }
    }

    /// The files beside a checkpoint that are read with it; a GGUF has everything within.
    static func inputs(beside reader: any CheckpointReader) -> [FileIdentity] {
        guard reader.kind != .gguf else { return [] }
        let folder = Paths.parent(reader.path)
        return Companions.present(in: folder).compactMap { Paths.identity(Paths.join(folder, $0)) }
    }

    /// Carries all files beside a checkpoint whose tensors keep their names: its config is still theirs.
    static func carryAll(besides path: String, into staged: StagedOutput) throws {
        let folder = Paths.kind(path) == .folder ? path : Paths.parent(path)
        let configs = ["config.json", "lit_config.json", "model_config.yaml", "params.json"]
        let there = configs.filter { Paths.kind(Paths.join(folder, $0)) == .file }
        for name in there + Companions.present(in: folder) where !name.contains("/") {
            try OutputFile(creating: staged.path(of: name)).write(contents(name, in: folder), at: 0)
        }
    }

    private static func contents(_ name: String, in folder: String) throws -> [UInt8] {
        try File(Paths.join(folder, name)).contents(limit: largestFile)
    }

    private func configs() throws -> [ModelFile] {
        let config = source.reader.kind == .gguf ? source.config : try ModelFolder(beside: source.path).completing(source.config)
        return try ConfigFile.files(
            for: request.layout, config: config, name: ModelFolder.displayName(of: source.path),
            dtype: plan.steps.first { $0.target.shape.rank > 1 }?.target.dtype, source: source.configFile
        ).map { ModelFile(name: $0.name, bytes: Array($0.text.utf8)) }
    }

    /// Whether a name is one that weights have: left in a folder from before, it would be taken for part of the model.
    static func isWeightFile(_ name: String) -> Bool {
        let families = ["model", "pytorch_model", "lit_model", "consolidated"]
        let endings = [".safetensors", ".bin", ".pth", ".index.json"]
        return families.contains { name.hasPrefix($0) } && endings.contains { name.hasSuffix($0) }
    }
}
