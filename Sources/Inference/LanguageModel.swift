// A checkpoint opened for inference: its weights, and its tokenizer wherever that lies.

internal import Bytes
public import Conversion
internal import Containers
internal import Layouts
internal import OrderedCollections
public import Tensors
public import Tokenizers

/// A model and what is needed to feed it.
public struct LanguageModel: Sendable {
    public let path: String
    public let source: ModelSource
    public var weights: ModelWeights
    private var tokenizerResult: Result<Tokenizer, CheckpointError>

    public var config: ModelConfig { weights.config }

    /// - Throws: what opening and recognising throws, and what is wrong with the weights. A missing tokenizer is not an
    ///   error yet.
    public init(_ path: String, options: SourceOptions = SourceOptions()) throws {
        self.path = path
        source = try ModelSource(path, options: options)
        weights = try ModelWeights(source.reader, source.match)
        tokenizerResult = Self.findTokenizer(source)
    }

    /// The model's tokenizer.
    /// - Throws: what is wrong with it, or that there is none.
    public func tokenizer() throws -> Tokenizer { try tokenizerResult.get() }

    /// Takes another tokenizer than the model's own.
    public mutating func use(_ tokenizer: Tokenizer) { tokenizerResult = .success(tokenizer) }

    private static func findTokenizer(_ source: ModelSource) -> Result<Tokenizer, CheckpointError> {
        do {
            return .success(try tokenizer(of: source.reader))
        } catch let error as CheckpointError {
            return .failure(error)
        } catch {
            return .failure(CheckpointError(.inputOutput, "\(error)", file: source.path))
        }
    }

    /// The ids of a text as the model is to see them: bos in front where it belongs there.
    public func prompt(_ text: String) throws -> [Int] { try tokenizer().prompt(text) }

    /// The ids of a conversation up to where the assistant is to speak, in the model's chat form.
    public func prompt(_ turns: [ChatMessage]) throws -> [Int] {
        do {
            return try tokenizer().prompt(turns)
        } catch let error as CheckpointError {
            throw error.at(file: path)
        }
    }

    /// Tokens that end a text: the tokenizer's and the config's.
    public var endTokens: Set<Int> {
        let named = (try? tokenizerResult.get())?.eosIDs ?? []
        return Set(named + config.eosTokens)
    }

    /// The tokenizer inside or beside a path: a model, a folder, a bare tokenizer.model or tokenizer.json.
    /// - Throws: what is wrong with it, or that there is none.
    public static func tokenizer(at path: String) throws -> Tokenizer {
        let bare = ["tokenizer.model", "tokenizer.json"]
        let isFolder = Paths.kind(path) == .folder
        let place = isFolder ? try Containers.folder(at: path) : path
        // Files of a tokenizer need no weights.
        let isBare = bare.contains { isFolder ? Paths.kind(Paths.join(place, $0)) == .file : Paths.name(place) == $0 }
        if !isBare, let reader = try? Containers.open(place) { return try tokenizer(of: reader) }
        return try Tokenizer(path: place)
    }

    /// A GGUF's own tokenizer, else the one beside the weights.
    private static func tokenizer(of reader: any CheckpointReader) throws -> Tokenizer {
        if reader.kind == .gguf, reader.metadata["tokenizer.ggml.model"] != nil {
            return try Tokenizer(metadata: reader.metadata, file: reader.path)
        }
        return try Tokenizer(path: reader.folder)
    }
}
