// The command line: one file a subcommand beside this one.

internal import Archive
internal import ArgumentParser
internal import Bytes
internal import Platform

/// What `pannier --version` prints.
let version = "0.1.0"

struct Pannier: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pannier",
        abstract: "Carries language-model checkpoints from one format to another and proves that nothing was lost.",
        discussion: """
            Reads PyTorch, safetensors, Lit-GPT and GGUF checkpoints of the Llama family; a PATH is a file, a Hugging \
            Face or Lit-GPT folder, or an index.json. No pickle is ever executed.

            EXAMPLE
              pannier inspect TinyLlama-1.1B-Chat-v1.0
              pannier verify pytorch_model.bin --preset tinyllama-1.1b
              pannier convert iter-1430512-ckpt.pth -o tiny.gguf
            """,
        version: "pannier \(version)",
        subcommands: subcommands)

    /// Every subcommand, in the order of the help.
    static let subcommands: [any ParsableCommand.Type] = [
        Inspect.self, Verify.self, Convert.self, Quantize.self, Diff.self, Parity.self, Run.self, Eval.self,
        Imatrix.self, Tokenize.self, ArchiveCommand.self, Split.self, Merge.self, Hash.self, FormatsCommand.self,
    ]
}

@main
enum Program {
    static func main() {
        Interruption.handle()
        ArchiveMounts.install { Console.note($0.escapingControlCharacters) }
        do {
            try Surroundings.prepare()
            var command = try Pannier.parseAsRoot()
            try command.run()
            Console.flush()
        } catch let error as CheckpointError {
            Console.flush()
            Console.error(error)
            exit(error.exitStatus)
        } catch {
            Console.flush()
            switch Pannier.exitCode(for: error) {
            case .validationFailure: refuse(error)
            case .success: answer(Pannier.fullMessage(for: error))
            default: Pannier.exit(withError: error)
            }
        }
    }

    /// Prints what was asked for, help or a version, as results are printed: a full disk is an error here too.
    private static func answer(_ text: String) -> Never {
        if !text.isEmpty { Console.print(text) }
        Console.flush()
        exit(0)
    }

    /// Says what is wrong with the command line in the form of all errors, and where its help is.
    private static func refuse(_ error: any Error) -> Never {
        let message = Pannier.message(for: error).split(whereSeparator: \.isWhitespace)
        let help = Pannier.fullMessage(for: error).split(separator: "\n").last { $0.contains("--help'") }
        Console.error(
            CheckpointError(
                .usage, message.joined(separator: " "), remedy: help.map { String($0.drop { $0 == " " }) }))
        exit(CheckpointError(.usage, "").exitStatus)
    }
}
