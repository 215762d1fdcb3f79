// --dry-run writes nothing and says to the byte what would be written.

import Foundation
import Testing

@Suite struct DryRunTests {
    static let cases: [[String]] = [
        ["convert", "x.gguf"], ["convert", "x.gguf", "--dtype", "q8_0"], ["convert", "x.gguf", "--shard-size", "2MB"],
        ["convert", "x.gguf", "--vocab-only"], ["convert", "x.safetensors"], ["convert", "folder"],
        ["convert", "folder", "--shard-size", "2MB"], ["convert", "x.bin"], ["convert", "x.pth", "--dtype", "f32"],
        ["convert", "folder", "--to", "pytorch", "--shard-size", "2MB"],
        ["convert", "folder", "--to", "pytorch", "--layout", "litgpt"],
        ["convert", "folder", "--to", "pytorch", "--layout", "meta"], ["quantize", "x.gguf", "--type", "Q4_K_M"],
        ["quantize", "x.gguf", "--target-size", "2MB"],
    ]

    @Test(arguments: cases)
    func sizesAreExact(_ arguments: [String]) throws {
        let scratch = try Scratch()
        let command = [arguments[0], sample, "-o", scratch.path(arguments[1]), "--json"] + arguments.dropFirst(2)
        let planned = try run(command + ["--dry-run"])
        #expect(planned.status == 0, "\(planned.errors)")
        #expect(scratch.names.isEmpty)
        let made = try run(command + ["--no-sync"])
        #expect(made.status == 0, "\(made.errors)")
        let report = try made.json()
        #expect(try planned.json()["bytes"] as? Int == report["bytes"] as? Int)
        // The files of the report are those with tensors and their index; configs and tokenizers lie beside them.
        let files = try #require(report["files"] as? [String])
        let folder = arguments[1] == "folder" ? scratch.path("folder") : scratch.url.path
        let sizes = try files.map {
            try FileManager.default.attributesOfItem(atPath: "\(folder)/\($0)")[.size] as? Int ?? 0
        }
        #expect(sizes.reduce(0, +) == report["bytes"] as? Int, "\(files)")
        #expect((files.count > 1) == arguments.contains("--shard-size"))
    }
}
