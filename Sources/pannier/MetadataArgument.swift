// KEY=TYPE:VALUE on the command line.

internal import ModelFiles
internal import Tensors

/// A metadata entry as it is given on the command line, with GGUF's types: `general.license=str:mit`.
struct MetadataArgument {
    let key: String
    let value: MetadataValue

    /// - Throws: `usage` with what is wrong and an example.
    init(_ argument: String) throws {
        let entry = try MetadataOverride(argument: argument)
        key = entry.key
        value = entry.value
    }
}
