// pannier hash: digests by which checkpoints can be told apart, whatever their container.

internal import ArgumentParser
internal import Bytes
internal import Containers
internal import Inspection
internal import JSONText
internal import Tensors

struct Hash: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the SHA-256 of each tensor's data and of the whole.",
        discussion: """
            A tensor's digest is that of its data in its stored dtype, row-major, so it is the same in every \
            container. The whole is all files' bytes one after the other: for a single file what sha256sum says.

            EXAMPLE
              pannier hash model.safetensors
            """)

    @Argument(help: "A file, a Hugging Face or Lit-GPT folder, or an index.json.", completion: .file())
    var path: String

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let reader = try Containers.open(path)
        let bar = ProgressBar("Hashing", total: TensorHashes.work(reader))
        let hashes = try TensorHashes(reader, threads: common.threadCount) { bar.advance(by: $0) }
        bar.finish()
        if json.json {
            Console.print([
                "schema": "pannier.hash/1", "path": .string(path), "sha256": .string(hashes.whole.description),
                "tensors": .array(
                    zip(reader.tensors, hashes.tensors).map { tensor, digest in
                        var entry = Reports.tensor(tensor)
                        entry["sha256"] = .string(digest.description)
                        return .object(entry)
                    }),
            ])
            return
        }
        for (tensor, digest) in zip(reader.tensors, hashes.tensors) {
            Console.print("\(digest)  \(tensor.name.escapingControlCharacters)")
        }
        Console.print("\(hashes.whole)  \(path.escapingControlCharacters)")
    }
}
