// What is asked of a conversion, and what follows from it: container, layout, names of the files.

public import Bytes
public import Layouts
public import OrderedCollections
public import Tensors

/// What a conversion should produce.
public struct ConversionRequest: Sendable {
    public var destination: String
    public var container: ContainerKind
    public var layout: Layout
    public var precision: Precision
    /// Bytes of tensors a file, at most; nil for one file.
    public var shardSize: UInt64?
    /// `general.name` of a GGUF instead of the one that folder, config and card give.
    public var modelName: String?
    /// Metadata to set or replace in a GGUF.
    public var overrides: Metadata
    /// A GGUF with the tokenizer and without tensors.
    public var vocabularyOnly: Bool
    public var output: OutputOptions
    public var threads: Int

    public init(
        destination: String, container: ContainerKind, layout: Layout, precision: Precision = .source,
        output: OutputOptions = OutputOptions(), threads: Int = 1
    ) {
        self.destination = destination
        self.container = container
        self.layout = layout
        self.precision = precision
        shardSize = nil
        modelName = nil
        overrides = [:]
        vocabularyOnly = false
        self.output = output
        self.threads = threads
    }

    /// - Throws: `usage` for a layout in a container in which nobody looks for it, and for what only a GGUF takes.
    func checkLayout() throws {
        guard layout.containers.contains(container) else {
            throw CheckpointError(
                .usage, "the layout \(layout.name) is not one of \(container.rawValue) files",
                expected: "--to \(layout.containers.map(\.rawValue).joined(separator: " or --to "))",
                remedy: "`pannier formats` lists which layout suits which container")
        }
        guard container == .gguf || (overrides.isEmpty && modelName == nil && !vocabularyOnly) else {
            throw CheckpointError(
                .usage, "--metadata, --model-name and --vocab-only say what stands in a GGUF", found: destination,
                remedy: "leave them out, or name a destination that ends in .gguf")
        }
    }

    /// Whether the output is a folder with everything that its ecosystem's programs look for.
    public var makesFolder: Bool { container != .gguf && Self.fileEnding(destination) == nil }

    private static func fileEnding(_ path: String) -> String? {
        [".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".gguf"].first { path.hasSuffix($0) }
    }

    /// The container that a destination's name asks for; nil for a folder.
    public static func container(forDestination path: String) -> ContainerKind? {
        switch fileEnding(path) {
        case ".safetensors": .safetensors
        case ".gguf": .gguf
        case nil: nil
        default: .pytorch
        }
    }

    /// The layout that suits a container and a destination when none is asked for: GGUF's own; Lit-GPT for
    /// `lit_model.pth`; Meta's for `consolidated.00.pth`; Hugging Face's for everything else.
    public static func layout(for container: ContainerKind, destination: String) -> String {
        let name = Paths.name(destination)
        if container == .gguf { return "gguf-llama" }
        if name == "lit_model.pth" { return "litgpt" }
        if name.hasPrefix("consolidated.") { return "meta" }
        return "hf-llama"
    }

    /// The name of the file with the tensors, in a folder or by itself.
    var weightsName: String {
        guard makesFolder else { return Paths.name(destination) }
        if layout.configs.contains(.meta) {
            return container == .safetensors ? "consolidated.safetensors" : "consolidated.00.pth"
        }
        if container == .safetensors { return "model.safetensors" }
        return layout.configs.contains(.huggingFace) ? "pytorch_model.bin" : "lit_model.pth"
    }
}
