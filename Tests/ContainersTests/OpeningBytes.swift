// Opening bytes as if they were a file.

import Bytes
import Containers
import Foundation
import Tensors

/// Does something with a file that holds these bytes.
func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "pannier-test-\(UUID().uuidString)"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// What opening these bytes as a checkpoint says: nil when all is well.
func openingFault(_ bytes: [UInt8], strict: Bool = true) throws -> CheckpointError? {
    try withFile(bytes) { path in
        do {
            let reader = try PyTorchReader(path, strict: strict)
            for tensor in reader.tensors where tensor.byteCount < 1 << 20 { _ = try reader.readAll(tensor) }
            return nil
        } catch let error as CheckpointError {
            return error
        }
    }
}
