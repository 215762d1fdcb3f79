// A checkpoint with everything that belongs to it: container, layout, config, and the folder its other files lie in.

public import Bytes
internal import Containers
public import Layouts
internal import ModelFiles
internal import OrderedCollections
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
    /// The folder that the checkpoint lies in, where its tokenizer and config are looked for; see `CheckpointReader.folder`.
    public var folder: String { reader.folder }
    /// The name that the model goes by; see `Containers.displayName(of:)`.
    var name: String { Containers.displayName(of: path) }

    /// A GGUF's `rope_freqs.weight` that is not Llama 3's scaling: no config can say it.
    public let hasUnexplainedRoPEFactors: Bool

    public var config: ModelConfig { match.config }

    /// All files that are read for this checkpoint, none of which an output may replace: weights, config, tokenizer.
    public var inputs: [FileIdentity] {
        let config = configFile?.path.flatMap { Paths.identity($0) }
        return reader.files.map(\.identity) + [config].compactMap { $0 } + CompanionFiles.inputs(beside: reader)
    }

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
        let found = try Self.config(of: reader, folder: reader.folder, options: options)
        let scaling = try Self.scaling(of: reader, config: found?.config)
        configFile = found.map { scaling.map($0.scaled(by:)) ?? $0 }
        hasUnexplainedRoPEFactors = scaling == nil && reader.tensors.contains { $0.name == RoPEFactors.tensorName }
        let candidates = try options.layout.map { [try Layouts.named(orFile: $0)] }
        do {
            let match = try Layouts.recognise(
                reader.tensors.map { NamedShape(name: $0.name, shape: $0.shape) }, config: configFile?.config,
                unsaid: configFile?.unsaid ?? [], modelName: reader.metadata["hparams.model_name"]?.string, among: candidates)
            self.match = try Self.repeatsEmbedding(reader, match, configFile) ? match.withTiedOutput() : match
        } catch let error as CheckpointError {
            throw error.at(file: reader.path)
        }
    }

    /// Whether a config says that the output is the embedding, and the output that is stored beside it has the same bytes.
    private static func repeatsEmbedding(
        _ reader: any CheckpointReader, _ match: LayoutMatch, _ file: ConfigFile?
    ) throws -> Bool {
        guard let file, file.config.tiedOutput, !file.unsaid.contains(.tiedOutput), match.stores(TensorRole(.output)),
            let output = match.rows(of: TensorRole(.output))?.whole,
            let embedding = match.rows(of: TensorRole(.tokenEmbedding))?.whole
        else { return false }
        let one = reader.tensors[output], other = reader.tensors[embedding]
        guard one.dtype == other.dtype, one.shape == other.shape else { return false }
        if one.extent.file.identity == other.extent.file.identity, one.extent.offset == other.extent.offset,
            one.view == other.view
        {
            return true
        }
        let piece = max(1, (1 << 18) / one.dtype.blockElements) * one.dtype.blockElements
        for first in stride(from: 0, to: one.shape.count, by: piece) {
            let range = first..<min(one.shape.count, first + piece)
            func bytes(_ tensor: TensorInfo) throws -> [UInt8] {
                let count = tensor.dtype.byteCount(elements: range.count) ?? 0
                return try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
                    try reader.read(tensor, elements: range, into: UnsafeMutableRawBufferPointer(buffer))
                    initialized = count
                }
            }
            guard try bytes(one) == bytes(other) else { return false }
        }
        return true
    }

    /// The RoPE scaling that a GGUF keeps as a tensor instead of a key.
    private static func scaling(of reader: any CheckpointReader, config: ModelConfig?) throws -> RoPEScaling? {
        guard reader.kind == .gguf, let config, config.ropeScaling == .none,
            let tensor = reader.tensors.first(where: { $0.name == RoPEFactors.tensorName }), tensor.dtype == .f32,
            tensor.shape.count == config.headDim / 2
        else { return nil }
        let factors = try reader.readAll(tensor).withUnsafeBytes { bytes in
            (0..<tensor.shape.count).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
        return RoPEFactors.scaling(of: factors, in: config)
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
