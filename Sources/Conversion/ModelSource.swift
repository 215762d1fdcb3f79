// A checkpoint with everything that belongs to it: container, layout, config, and the folder its other files lie in.

internal import Bytes
internal import Containers
public import Layouts
public import Tensors

/// What the person said about a checkpoint beyond its path.
public struct SourceOptions: Sendable {
    /// A preset's name, instead of a config.
    public var preset: String?
    /// A config file, instead of the one beside the checkpoint.
    public var config: String?
    /// A layout's name or a table's path, instead of recognising it.
    public var layout: String?
    /// Whether a pickle that asks for globals outside the list is opened all the same, to look at it.
    public var lenient = false

    public init(preset: String? = nil, config: String? = nil, layout: String? = nil, lenient: Bool = false) {
        self.preset = preset
        self.config = config
        self.layout = layout
        self.lenient = lenient
    }
}

/// An open checkpoint, recognised.
public struct ModelSource: Sendable {
    public let path: String
    public let reader: any CheckpointReader
    public let match: LayoutMatch
    /// The config that was found, with what it cannot say left open; nil when the dimensions come from the shapes.
    public let configFile: ConfigFile?
    /// The folder that the checkpoint lies in, where its tokenizer and config are looked for.
    public let folder: String

    public var config: ModelConfig { match.config }

    /// Opens and recognises a checkpoint.
    /// - Throws: what the container's reader, the config's reader or the recognition throws.
    public init(_ path: String, options: SourceOptions = SourceOptions()) throws {
        let reader = try Containers.open(path, lenient: options.lenient)
        try self.init(reader, at: path, options: options)
    }

    /// Recognises a checkpoint that is open.
    public init(_ reader: any CheckpointReader, at path: String, options: SourceOptions = SourceOptions()) throws {
        self.path = path
        self.reader = reader
        folder = Paths.parent(reader.path)
        configFile = try Self.config(of: reader, folder: folder, options: options)
        let candidates = try options.layout.map { [try Layouts.named(orFile: $0)] }
        do {
            match = try Layouts.recognise(
                reader.tensors.map { NamedShape(name: $0.name, shape: $0.shape) }, config: configFile?.config,
                unsaid: configFile?.unsaid ?? [], among: candidates)
        } catch let error as CheckpointError {
            throw error.at(file: reader.path)
        }
    }

    /// What was said, else what the checkpoint itself says, else what lies beside it.
    private static func config(
        of reader: any CheckpointReader, folder: String, options: SourceOptions
    ) throws -> ConfigFile? {
        if let preset = options.preset {
            return ConfigFile(kind: .preset, path: nil, config: try Preset.named(preset).config)
        }
        if let path = options.config { return try ConfigFile.read(path) }
        if reader.kind == .gguf { return try ConfigFile(gguf: reader.metadata, path: reader.path) }
        let names = reader.tensors.lazy.map(\.name)
        let preferred: [ConfigKind] =
            if names.contains(where: { $0.contains("transformer.h.") }) {
                [.litGPT, .litGPTEarly]
            } else if names.contains(where: { $0.hasPrefix("layers.") }) {
                [.meta]
            } else {
                []
            }
        return try ConfigFile.find(in: folder, preferred: preferred)
    }
}
