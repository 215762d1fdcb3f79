// --layout keep: another container, the same names, shapes and values, whatever model it is.

import Foundation
import Testing

@Suite struct KeepTests {
    /// Name to digest of every tensor.
    private func digests(_ path: String) throws -> [String: String] {
        let tensors = try #require(try pannier("hash", path, "--json").json()["tensors"] as? [[String: Any]])
        return Dictionary(
            uniqueKeysWithValues: tensors.map { ($0["name"] as? String ?? "", $0["sha256"] as? String ?? "") })
    }

    /// Files that other programs wrote, with tensors that no layout knows: views of storages; every dtype.
    @Test func whatNoLayoutKnowsIsCarried() throws {
        let scratch = try Scratch()
        let written = root.appending(path: "Tests/ContainersTests/Golden")
        let views = written.appending(path: "pytorch/zip-views.pt").path
        #expect(try pannier("convert", views, "-o", scratch.path("v.bin"), "--layout", "keep", "--no-sync").status == 0)
        #expect(try digests(scratch.path("v.bin")) == digests(views))
        let source = written.appending(path: "dtypes.safetensors").path
        let refused = try pannier("convert", source, "-o", scratch.path("x.safetensors"))
        #expect(refused.status == 2)
        #expect(refused.errors.contains("--layout keep"))
        for (from, to) in [(source, "x.bin"), (scratch.path("x.bin"), "y.safetensors"), (scratch.path("y.safetensors"), "folder")] {
            let made = try pannier("convert", from, "-o", scratch.path(to), "--layout", "keep", "--no-sync")
            #expect(made.status == 0, "\(made.errors)")
            #expect(try digests(scratch.path(to)) == digests(source), "\(to)")
        }
    }

    @Test func aModelsOwnFilesGoWithIt() throws {
        let scratch = try Scratch()
        let made = try pannier("convert", sample, "-o", scratch.path("m"), "--to", "pytorch", "--layout", "keep", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        #expect(try digests(scratch.path("m")) == digests(sample))
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path("m"))
        #expect(Set(names).isSuperset(of: ["pytorch_model.bin", "config.json", "tokenizer.model"]), "\(names)")
        #expect(try pannier("verify", scratch.path("m"), "--deep").status == 0)
    }

    /// The one folder that goes along: to a new folder in both ways of converting, and over an old one.
    @Test(arguments: [["--layout", "hf-llama"], ["--layout", "keep", "--to", "pytorch"]])
    func additionalTemplatesGoWithIt(_ arguments: [String]) throws {
        let scratch = try Scratch()
        let files = FileManager.default
        try files.copyItem(atPath: sample, toPath: scratch.path("source"))
        let (from, to) = (scratch.path("source/additional_chat_templates"), scratch.path("m/additional_chat_templates"))
        try files.createDirectory(atPath: from + "/deeper", withIntermediateDirectories: true)
        for name in ["tool.jinja", "rag.jinja", "notes.txt", "deeper/x.jinja"] {
            try Data("{{ one }} \(name)".utf8).write(to: URL(filePath: from + "/" + name))
        }
        let command = ["convert", scratch.path("source"), "-o", scratch.path("m"), "--no-sync"] + arguments
        let made = try run(command)
        #expect(made.status == 0, "\(made.errors)")
        #expect(try files.contentsOfDirectory(atPath: to).sorted() == ["rag.jinja", "tool.jinja"])
        #expect(try String(contentsOfFile: to + "/tool.jinja", encoding: .utf8) == "{{ one }} tool.jinja")

        try Data("{{ two }}".utf8).write(to: URL(filePath: from + "/tool.jinja"))
        try Data("{{ mine }}".utf8).write(to: URL(filePath: to + "/mine.jinja"))
        #expect(try run(command).status == 3)
        #expect(try String(contentsOfFile: to + "/tool.jinja", encoding: .utf8) == "{{ one }} tool.jinja")
        let again = try run(command + ["--force"])
        #expect(again.status == 0, "\(again.errors)")
        #expect(try files.contentsOfDirectory(atPath: to).sorted() == ["mine.jinja", "rag.jinja", "tool.jinja"])
        #expect(try String(contentsOfFile: to + "/tool.jinja", encoding: .utf8) == "{{ two }}")
        // Nothing that was staged is left.
        let left = try files.contentsOfDirectory(atPath: scratch.path("m"))
        #expect(!left.contains { $0.hasPrefix(".") }, "\(left)")
        #expect(scratch.names == ["m", "source"])
    }

    @Test func onlyFloatsChangeTheirPrecision() throws {
        let scratch = try Scratch()
        let source = root.appending(path: "Tests/ContainersTests/Golden/dtypes.safetensors").path
        let made = try pannier(
            "convert", source, "-o", scratch.path("x.safetensors"), "--layout", "keep", "--dtype", "f32", "--json", "--no-sync")
        #expect(made.status == 0, "\(made.errors)")
        let tensors = try #require(try made.json()["tensors"] as? [[String: Any]])
        for tensor in tensors {
            let from = tensor["from"] as? String ?? ""
            let expected = ["F16", "BF16", "F32", "F64"].contains(from) ? "F32" : from
            #expect(tensor["to"] as? String == expected, "\(tensor)")
        }
    }

    @Test(arguments: [
        ["-o", "x.gguf", "--layout", "keep"], ["-o", "x.gguf", "--layout", "litgpt"],
        ["-o", "x.safetensors", "--layout", "gguf-llama"], ["-o", "folder", "--metadata", "general.license=str:mit"],
        ["-o", "x.bin", "--vocab-only"], ["-o", "folder", "--layout", "keep", "--dtype", "q8_0"],
    ]) func whatDoesNotFitIsWrongUsage(_ arguments: [String]) throws {
        let scratch = try Scratch()
        let made = try run(["convert", sample] + arguments, in: scratch.url)
        #expect(made.status == 64, "\(made.errors)")
        #expect(scratch.names.isEmpty)
    }

    @Test func theContainerFollowsFromTheLayout() throws {
        let scratch = try Scratch()
        for (arguments, file) in [
            (["--layout", "litgpt"], "x/lit_model.pth"), (["--layout", "meta"], "x/consolidated.00.pth"),
            (["--layout", "hf-llama"], "x/model.safetensors"), (["--layout", "gguf-llama"], "x"), (["--vocab-only"], "x"),
        ] {
            let made = try run(["convert", sample, "-o", scratch.path("x"), "--no-sync"] + arguments)
            #expect(made.status == 0, "\(made.errors)")
            #expect(FileManager.default.fileExists(atPath: scratch.path(file)), "\(arguments)")
            try FileManager.default.removeItem(atPath: scratch.path("x"))
        }
    }
}
