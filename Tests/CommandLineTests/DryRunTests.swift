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

    /// The headers of all parts count, and those of one type stay of one type.
    @Test(arguments: [[], ["--pure"]]) func aTargetSizeHoldsForAllParts(_ options: [String]) throws {
        let scratch = try Scratch()
        #expect(try pannier("convert", sample, "-o", scratch.path("a.gguf"), "--no-sync").status == 0)
        #expect(try pannier("split", scratch.path("a.gguf"), "-o", scratch.path("part"), "--max-tensors", "5").status == 0)
        let first = try #require(scratch.names.first { $0.hasPrefix("part-00001") })
        for target in stride(from: 1_600_000, through: 2_400_000, by: 200_000) {
            let made = try run(
                ["quantize", scratch.path(first), "-o", scratch.path("out"), "--keep-split", "--target-size", "\(target)"]
                    + options + ["--json", "--force", "--no-sync"])
            #expect(made.status == 0, "\(made.errors)")
            let report = try made.json()
            #expect(try #require(report["bytes"] as? Int) <= target)
            #expect(report["file_type"] is String)
            let tensors = try #require(report["tensors"] as? [[String: Any]])
            let types = tensors.filter { ($0["shape"] as? [Int])?.count == 2 }.compactMap { $0["to"] as? String }
            if !options.isEmpty { #expect(Set(types).count == 1, "\(types)") }
        }
    }
}
