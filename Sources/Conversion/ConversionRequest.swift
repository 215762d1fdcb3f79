// What is asked of a conversion, and what follows from it: container, layout, names of the files.

public import Bytes
internal import Containers
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

    /// Endings that files have and folders hardly: another container, a text, a file that is being written.
    private static let otherEndings = [
        ".txt", ".tmp", ".json", ".md", ".zip", ".tar", ".gz", ".zst", ".part", ".partial", ".onnx", ".h5", ".npz", ".npy",
        ".pkl", ".msgpack", ".pannier",
    ]

    /// - Throws: `usage` for a folder that would be made under the name of a file.
    func checkDestination() throws {
        let name = Paths.name(destination).lowercased()
        guard makesFolder, Self.otherEndings.contains(where: { name.hasSuffix($0) }), Paths.kind(destination) != .folder
        else { return }
        throw CheckpointError(
            .usage, "the destination's ending is none of a checkpoint's, and a folder of that name is hardly meant",
            expected: Containers.endings.map(\.key).joined(separator: ", ") + ", or a folder's name", found: destination,
            remedy: "name a file by its container's ending; a folder of that name has to be there already")
    }

    /// Whether the output is a folder with everything that its ecosystem's programs look for.
    public var makesFolder: Bool { container != .gguf && Self.container(forDestination: destination) == nil }

    /// The container that a destination's name asks for; nil for a folder.
    /// Endings mean the same in any spelling of case.
    public static func container(forDestination path: String) -> ContainerKind? {
        Containers.kind(named: path.lowercased())
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
