// Small files made by hand, written into a folder of their own.

import Bytes
import Containers
import Foundation
import HostileFiles
import Tensors
import Testing

/// A folder that is gone when the test is.
final class Scratch {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("pannier-test-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func path(_ name: String) -> String { path + "/" + name }

    /// Writes a file, replacing one of the same name, and returns its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }

    func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path(name)))) }

    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}

/// Files that the formats' own programs wrote; Tests/Golden/make_containers.py made them.
enum Golden {
    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden/\(name)").path
    }

    static func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path(name)))) }
}

/// Opens bytes as a file with `open` and expects a `CheckpointError` of bad input: malformed or unsupported.
func expectRefused(
    _ name: String, _ bytes: [UInt8], in scratch: Scratch, file: String = "hostile",
    saying fragment: String? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    open: (String) throws -> any CheckpointReader
) throws {
    let path = try scratch.write(file, bytes)
    do {
        let reader = try open(path)
        Issue.record("\(name): opened, \(reader.details)", sourceLocation: sourceLocation)
    } catch let error as CheckpointError {
        #expect(
            error.kind == .malformed || error.kind == .unsupported, "\(name): \(error)", sourceLocation: sourceLocation)
        #expect(error.exitStatus == 2, "\(name)", sourceLocation: sourceLocation)
        #expect(error.file != nil, "\(name): no file in: \(error)", sourceLocation: sourceLocation)
        if let fragment {
            #expect(error.description.contains(fragment), "\(name): \(error)", sourceLocation: sourceLocation)
        }
    }
}

/// Every byte of a tensor as the reader gives it.
func contents(_ reader: any CheckpointReader) throws -> [String: [UInt8]] {
    var out: [String: [UInt8]] = [:]
    for tensor in reader.tensors { out[tensor.name] = try reader.readAll(tensor) }
    return out
}

func plans(_ reader: any CheckpointReader) throws -> [TensorPlan] {
    try reader.tensors.map { try TensorPlan(name: $0.name, dtype: $0.dtype, shape: $0.shape) }
}

/// Copies every tensor in two pieces, the last tensor first: order does not matter to a writer.
func copy(_ reader: any CheckpointReader, to writer: any CheckpointWriter) throws {
    for (index, tensor) in reader.tensors.enumerated().reversed() {
        let bytes = try reader.readAll(tensor)
        let half = bytes.count / 2
        try bytes.withUnsafeBytes { raw in
            try writer.write(tensor: index, at: half, UnsafeRawBufferPointer(rebasing: raw[half...]))
            try writer.write(tensor: index, at: 0, UnsafeRawBufferPointer(rebasing: raw[..<half]))
        }
    }
    try writer.finish()
}
