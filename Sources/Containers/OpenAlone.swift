// Opening one file by itself, whatever other files its checkpoint has.

internal import Bytes
public import Tensors

extension Containers {
    /// Opens one file. Of a model-parallel or split checkpoint it is one part, and the tensors are what that part holds of
    /// them.
    /// - Parameter lenient: look at a pickle even when it asks for globals outside the list; they stay inert.
    /// - Throws: `inputOutput` when it is missing; `malformed` or `unsupported` when it is no checkpoint.
    public static func openAlone(_ path: String, lenient: Bool = false) throws -> any CheckpointReader {
        switch try Magic(File(path)) {
        case .zip, .pickle: return try PyTorchReader(path, strict: !lenient)
        case .gguf: return try GGUFReader(alone: path)
        default: return try open(path, lenient: lenient)
        }
    }
}
