// The layouts and presets that are built in, and finding out which one a checkpoint has.

internal import Bytes
internal import Formats
public import Tensors

/// A tensor's name and shape: all that recognising looks at.
public struct NamedShape: Sendable, Hashable {
    public let name: String
    public let shape: Shape

    public init(name: String, shape: Shape) {
        self.name = name
        self.shape = shape
    }
}

/// The built-in layouts and presets.
public enum Layouts {
    private static let builtIn = Result { try embedded("layout").map { try Layout(text: $0.text, file: $0.path) } }

    /// All built-in layouts, in the order of the table in Formats/formats.c.
    public static func all() throws -> [Layout] { try builtIn.get() }

    /// - Throws: `usage` listing the known names.
    public static func named(_ name: String) throws -> Layout {
        let all = try all()
        guard let layout = all.first(where: { $0.name == name }) else {
            throw CheckpointError(
                .usage, "no layout is called \"\(name)\"", expected: all.map(\.name).joined(separator: ", "),
                remedy: "name one of these, or a file with a table of your own")
        }
        return layout
    }

    /// A built-in layout by its name, or a table by its path (anything with a slash or ending in .json).
    public static func named(orFile argument: String) throws -> Layout {
        argument.contains("/") || argument.hasSuffix(".json") ? try Layout(file: argument) : try named(argument)
    }

    /// The embedded files of one sort, with their paths in the source tree.
    static func embedded(_ sort: String) -> [(path: String, text: [UInt8])] {
        UnsafeBufferPointer(start: pannier_formats, count: Int(pannier_formats_count)).compactMap { file in
            guard let path = file.path, let sortOf = file.sort, let start = file.bytes, String(cString: sortOf) == sort
            else { return nil }
            return (String(cString: path), Array(UnsafeBufferPointer(start: start, count: file.count)))
        }
    }

    /// Which layout a checkpoint has, and which tensor is what.
    /// - Parameters:
    ///   - config: what a file beside the checkpoint said of the model; nil to infer the dimensions from the shapes.
    ///   - unsaid: what that file could not say; it is then read off the tensors.
    ///   - modelName: what the checkpoint calls its model (`hparams.model_name`), to choose between presets of the
    ///     same lengths.
    ///   - candidates: the layouts to choose from; the built-in ones when nil.
    /// - Throws: `unsupported` when the names fit no layout, or when there is no config and the shapes leave the
    ///   dimensions open.
    public static func recognise(
        _ tensors: [NamedShape], config: ModelConfig? = nil, unsaid: Set<UnsaidFact> = [],
        modelName: String? = nil, among candidates: [Layout]? = nil
    ) throws -> LayoutMatch {
        var best: (layout: Layout, prefix: String, hits: Int)?
        for layout in try candidates ?? all() {
            let known = Set(layout.entries.map(\.name))
            var hits: [String: Int] = [:]
            for tensor in tensors {
                for chain in layout.prefixChains(of: tensor.name)
                where known.contains(NamePattern(tensor.name[chain.endIndex...]).pattern) {
                    hits[String(chain), default: 0] += 1
                }
            }
            for (prefix, count) in hits.sorted(by: { $0.key.utf8.count < $1.key.utf8.count })
            where count > best?.hits ?? 0 {
                best = (layout, prefix, count)
            }
        }
        guard let best else { throw unrecognised(tensors, nearest: nil) }
        // A file that merely shares a name or two with a layout is not in it.
        let relevant = tensors.count { !best.layout.isBookkeeping($0.name) }
        guard best.hits * 2 >= relevant else { throw unrecognised(tensors, nearest: best.layout) }
        return try LayoutMatch(
            layout: best.layout, prefix: best.prefix, tensors: tensors, config: config, unsaid: unsaid,
            modelName: modelName)
    }

    private static func unrecognised(_ tensors: [NamedShape], nearest: Layout?) -> CheckpointError {
        let shown = tensors.prefix(3).map(\.name).joined(separator: ", ")
        return .unsupported(
            "the tensors' names fit no known layout of a Llama",
            expected: nearest.map { "names like \($0.readableTell)" } ?? "a layout that \"pannier formats\" lists",
            found: tensors.isEmpty ? "no tensors" : shown + (tensors.count > 3 ? ", ..." : ""),
            remedy: "`verify --layout FILE` takes a table of your own; `convert --layout keep` changes the container alone")
    }
}

/// What some config files leave open and the tensors show.
public enum UnsaidFact: String, Sendable, CaseIterable {
    case tiedOutput
    case biases
    case vocabulary
}
