// The floors of the house: which module may import which. Read from the sources, so that it cannot go stale.

import Foundation
import Testing

/// From the ground up. A module imports only modules that stand in an earlier floor.
private let floors: [[String]] = [
    ["Platform", "CKernels", "CZstd", "CJSONC", "Formats"],
    ["Bytes"],
    ["JSONText", "Reporting"],
    ["Tensors"],
    ["Quantization", "Containers", "Layouts", "Tokenizers"],
    ["ModelFiles"],
    ["Conversion"],
    ["Inspection", "Inference", "Archive"],
    ["pannier", "pannier_synthesize"],
]

private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// Module → the project's own modules that its sources import.
private func importsByModule() throws -> [String: Set<String>] {
    let own = Set(floors.joined())
    let sources = root.appending(path: "Sources")
    var found: [String: Set<String>] = [:]
    for module in try FileManager.default.contentsOfDirectory(atPath: sources.path) {
        guard let files = FileManager.default.enumerator(atPath: sources.appending(path: module).path) else { continue }
        found[module, default: []] = []
        for case let file as String in files where file.hasSuffix(".swift") {
            let text = try String(contentsOf: sources.appending(path: module).appending(path: file), encoding: .utf8)
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard let at = words.firstIndex(of: "import"), at <= 2, at + 1 < words.count else { continue }
                let name = String(words[at + 1])
                if own.contains(name) { found[module, default: []].insert(name) }
                if name == "Foundation" { found[module, default: []].insert(name) }
            }
        }
    }
    return found
}

@Suite struct FloorsTests {
    @Test func everyModuleImportsOnlyWhatLiesBelow() throws {
        let imports = try importsByModule()
        #expect(imports.count >= 8)
        for (module, imported) in imports {
            let name = module.replacingOccurrences(of: "-", with: "_")
            let floor = try #require(floors.firstIndex { $0.contains(name) }, "\(module) stands on no floor")
            for other in imported where other != "Foundation" {
                let below = try #require(floors.firstIndex { $0.contains(other) })
                #expect(below < floor, "\(module) imports \(other), which does not lie below it")
            }
        }
    }

    @Test func noModuleImportsFoundation() throws {
        for (module, imported) in try importsByModule() {
            #expect(!imported.contains("Foundation"), "\(module) imports Foundation, which makes the binary 40 MB larger")
        }
    }
}
