// Runs the built program as a person would and keeps what it says.

import Foundation
import Testing

/// The project's folder.
let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
/// The trained sample in Hugging Face's form.
let sample = root.appending(path: "Samples/KJV-Llama-2.8M").path
let golden = root.appending(path: "Tests/CommandLineTests/Golden")

struct Outcome {
    let status: Int32
    let output: String
    let errors: String

    /// The JSON object that was printed.
    func json() throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(output.utf8))
        return try #require(object as? [String: Any])
    }
}

/// The program, built beside the tests.
let program: URL = {
    let beside = Bundle.main.bundleURL.deletingLastPathComponent()
    let candidates = [
        root.appending(path: ".build/release/pannier"), beside.appending(path: "pannier"),
        Bundle.main.bundleURL.appending(path: "pannier"),
    ]
    return candidates.first { FileManager.default.isExecutableFile(atPath: $0.path) } ?? candidates[0]
}()

/// Runs `pannier` with arguments in a folder.
@discardableResult
func pannier(_ arguments: String..., in folder: URL? = nil) throws -> Outcome {
    try run(arguments, in: folder)
}

func run(_ arguments: [String], in folder: URL? = nil) throws -> Outcome {
    try launch(program, arguments, in: folder)
}

/// Runs any program and keeps what it says.
func launch(_ executable: URL, _ arguments: [String], in folder: URL? = nil) throws -> Outcome {
    let process = Process()
    process.executableURL = executable
    process.arguments = arguments
    if let folder { process.currentDirectoryURL = folder }
    let scratch = try Scratch()
    let (out, err) = (scratch.url.appending(path: "out"), scratch.url.appending(path: "err"))
    for file in [out, err] { FileManager.default.createFile(atPath: file.path, contents: nil) }
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    // No input whatever ends in a signal.
    #expect(process.terminationReason == .exit, "\(arguments.joined(separator: " ").suffix(400)) was killed by a signal")
    return Outcome(
        status: process.terminationStatus, output: String(decoding: try Data(contentsOf: out), as: UTF8.self),
        errors: String(decoding: try Data(contentsOf: err), as: UTF8.self))
}

/// A temporary folder that goes with this object.
final class Scratch {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "pannier-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: url.path)
        try? FileManager.default.removeItem(at: url)
    }

    func path(_ name: String) -> String { url.appending(path: name).path }

    /// Everything in the folder, hidden files too.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted() }
}

/// The digest of a whole file, as `pannier hash` says it for a checkpoint, computed by another program.
func sha256(_ path: String) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/sha256sum")
    process.arguments = [path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data.prefix(64), as: UTF8.self)
}
