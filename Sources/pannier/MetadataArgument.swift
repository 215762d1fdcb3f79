// KEY=TYPE:VALUE on the command line.

internal import ModelFiles
internal import OrderedCollections
internal import Tensors

/// Metadata entries as they are given on the command line, with GGUF's types: `general.license=str:mit`.
enum MetadataArgument {
    /// - Throws: `usage` with what is wrong and an example. A parser's own error would take more than three lines.
    static func entries(_ arguments: [String]) throws -> Metadata {
        var metadata: Metadata = [:]
        for argument in arguments {
            let entry = try MetadataOverride(argument: argument)
            metadata[entry.key] = entry.value
        }
        return metadata
    }
}
