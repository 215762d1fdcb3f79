// pannier tokenize: the ids and pieces of a text.

internal import ArgumentParser
internal import Bytes
internal import Inference
internal import JSONText
internal import Platform
internal import Tokenizers

struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the token ids and pieces of a text.",
        discussion: """
            The model may be a checkpoint, a folder, a GGUF file, or a bare tokenizer.model or tokenizer.json. No bos \
            is put in front of a text; a conversation has it where the model wants it.

            EXAMPLE
              pannier tokenize TinyLlama-1.1B-Chat-v1.0 "Hello world"
            """)

    @Argument(help: "A model or its tokenizer.", completion: .file())
    var model: String

    @Argument(help: "The text; absent, standard input is read.")
    var text: String?

    @Flag(help: "Find control tokens that are written out in the text.")
    var special = false

    @Option(
        help: ArgumentHelp(
            "A conversation in place of a text, [{\"role\", \"content\"}, ...]: the ids that a model of this chat form reads.",
            valueName: "file.json"), completion: .file())
    var chat: String?

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if chat != nil, text != nil || special { throw ValidationError("--chat takes the place of a text") }
    }

    func run() throws {
        common.apply()
        let tokenizer = try LanguageModel.tokenizer(at: model)
        let ids =
            if let chat { try tokenizer.prompt(ChatMessage.read(chat)) }
            else { try encode(text ?? Self.standardInput(), tokenizer) }
        let pieces = ids.map { tokenizer.piece($0) ?? "" }
        if json.json {
            Console.print([
                "schema": "pannier.tokenize/1",
                "ids": .array(ids.map { JSONValue($0) }),
                "pieces": .array(pieces.map(JSONValue.string)),
            ])
        } else {
            for (id, piece) in zip(ids, pieces) { Console.print("\(id)\t\(piece.escapingControlCharacters)") }
        }
    }

    private func encode(_ text: String, _ tokenizer: Tokenizer) -> [Int] {
        ProgressBar.tokenizing(text) { tokenizer.encode(text, special: special, progress: $0) }
    }

    private static func standardInput() throws -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count > 0 {
                bytes += buffer[..<count]
            } else if count == 0 {
                break
            } else if errno != EINTR {
                throw CheckpointError(.inputOutput, "cannot read: \(String(cString: strerror(errno)))", file: "standard input")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError.malformed("the text is not valid UTF-8", file: "standard input")
        }
        return text
    }
}
