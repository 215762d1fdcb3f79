// pannier diff as other programs see it: exit status, JSON keys, files that are not overwritten.

import Foundation
import Testing

@Suite struct DiffCommandTests {
    @Test func equalCheckpointsEndInZero() throws {
        let scratch = try Scratch()
        try pannier("convert", sample, "-o", scratch.path("k.gguf"), "--no-sync")
        let told = try pannier("diff", sample, scratch.path("k.gguf"), "--json")
        #expect(told.status == 0)
        let report = try told.json()
        #expect(report.keys.contains("schema"))
        #expect(told.output.hasPrefix("{\n  \"schema\": \"pannier.diff/1\""))
        #expect(report["identical"] as? Bool == true)
        #expect(report["changed"] as? Int == 0)
        #expect(report["only_a"] as? [String] == [])
        #expect(report["only_b"] as? [String] == [])
        #expect((report["tensors"] as? [Any])?.count == 39)
        #expect(try pannier("diff", sample, scratch.path("k.gguf"), "-q").output.hasPrefix("identical: 39 tensors"))
    }

    @Test func differencesEndInOneWithTheirFigures() throws {
        let scratch = try Scratch()
        try pannier("quantize", sample, "-o", scratch.path("q.gguf"), "--type", "Q4_0", "--no-sync")
        let told = try pannier("diff", sample, scratch.path("q.gguf"), "--json")
        #expect(told.status == 1)
        let tensors = try #require(try told.json()["tensors"] as? [[String: Any]])
        let keys = try #require(tensors.first { $0["name"] as? String == "model.layers.0.self_attn.k_proj.weight" })
        for figure in ["max_abs", "rmse", "relative_l2", "cosine", "changed_fraction"] {
            #expect(try #require(keys[figure] as? Double) > 0)
        }
        #expect((keys["causes"] as? [[String: String]])?.first?["kind"] == "rounding")
        #expect(try pannier("diff", sample, scratch.path("q.gguf"), "--tolerance", "1").status == 0)
        #expect(try pannier("diff", sample, scratch.path("q.gguf"), "--tolerance", "-1").status == 64)
    }

    @Test func picturesAreNotOverwritten() throws {
        let scratch = try Scratch()
        let files = ["--html", scratch.path("d.html"), "--svg", scratch.path("d.svg")]
        #expect(try run(["diff", sample, sample] + files).status == 0)
        #expect(try run(["diff", sample, sample] + files).status == 3)
        #expect(try run(["diff", sample, sample, "--force"] + files).status == 0)
        #expect(scratch.names == ["d.html", "d.svg"])
        let page = try String(contentsOfFile: scratch.path("d.html"), encoding: .utf8)
        #expect(page.hasPrefix("<!DOCTYPE html>"))
        // One name for both would leave only one of them.
        let both = scratch.path("e")
        #expect(try pannier("diff", sample, sample, "--html", both, "--svg", scratch.path("./e")).status == 64)
        #expect(scratch.names == ["d.html", "d.svg"])
    }

    @Test func aRunIsATimeline() throws {
        let told = try pannier("diff", sample, sample, sample, "--json")
        #expect(told.status == 0)
        let report = try told.json()
        #expect((report["steps"] as? [[String: Any]])?.count == 3)
        #expect((report["layers"] as? [[String: Any]])?.count == 4)
        #expect(report["identical"] as? Bool == true)
        #expect(report["changed"] as? Int == 0)
    }

    /// As of two, the status tells of more checkpoints whether something differs, and a tolerance counts.
    @Test func aRunThatMovesIsADifference() throws {
        let run = root.appending(path: "Samples/Steps/run.pannier").path
        let told = try pannier("diff", run, "--json")
        #expect(told.status == 1)
        let report = try told.json()
        #expect(report["identical"] as? Bool == false)
        #expect(report["changed"] as? Int == (report["tensors"] as? [[String: Any]])?.count)
        #expect(try pannier("diff", run, "--tolerance", "100").status == 0)
    }

    /// A safetensors file of tensors of one dimension, of four bytes a value.
    private func write(_ tensors: [(name: String, dtype: String, words: [UInt32])], to path: String) throws {
        var header: [String] = []
        var bytes = Data()
        for tensor in tensors {
            let size = tensor.words.count * 4
            header.append(
                "\"\(tensor.name)\":{\"dtype\":\"\(tensor.dtype)\",\"shape\":[\(tensor.words.count)],"
                    + "\"data_offsets\":[\(bytes.count),\(bytes.count + size)]}")
            tensor.words.withUnsafeBytes { bytes += Data($0) }
        }
        let json = Data("{\(header.joined(separator: ","))}".utf8)
        let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
        try (length + json + bytes).write(to: URL(filePath: path))
    }

    private func floats(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

    /// Figures that cannot be said are null, and what is no number is called so and comes first.
    @Test func valuesThatAreNoNumbersAreNamed() throws {
        let scratch = try Scratch()
        let (a, b) = (scratch.path("a.safetensors"), scratch.path("b.safetensors"))
        try write([("bad", "F32", floats([3, 4, 0, 0])), ("far", "F32", floats([1, 1, 1, 1]))], to: a)
        try write(
            [("bad", "F32", floats([.nan, .nan, .nan, .infinity])), ("far", "F32", floats([9, 9, 9, 9]))], to: b)
        let told = try pannier("diff", a, b, "--json")
        #expect(told.status == 1)
        let tensors = try #require(try told.json()["tensors"] as? [[String: Any]])
        let bad = try #require(tensors.first { $0["name"] as? String == "bad" })
        for figure in ["max_abs", "rmse", "relative_l2", "cosine"] { #expect(bad[figure] is NSNull, "\(figure)") }
        #expect(bad["norm_a"] as? Double == 5)
        #expect(bad["not_finite_b"] as? Int == 4)
        #expect(bad["changed_fraction"] as? Double == 1)
        let text = try pannier("diff", a, b).output
        #expect(text.contains("4 values are NaN or infinite in B; relative L2"))
        #expect(text.contains("  not finite: bad: 4 values are NaN or infinite in B"))
        let lines = text.split(separator: "\n").map(String.init)
        let first = try #require(lines.firstIndex { $0.hasPrefix("  bad ") })
        #expect(first < lines.firstIndex { $0.hasPrefix("  far ") } ?? 0)
        #expect(try pannier("diff", a, b, "--tolerance", "100").status == 1)
        // And as the second of three steps.
        let run = try pannier("diff", a, b, a, "--json")
        let steps = try #require(try run.json()["steps"] as? [[String: Any]])
        #expect(steps.map { $0["not_finite"] as? Int } == [0, 4, 0])
        let series = try #require(try run.json()["tensors"] as? [[String: Any]])
        #expect(series.first { $0["name"] as? String == "bad" }?["norms"] as? [Double] == [5, 0, 5])
        #expect(try pannier("diff", a, b, a).output.contains("not finite: 4 values are NaN or infinite in b.safetensors (bad)"))
    }

    @Test func integersAreNotEqualWithinJustAnyTolerance() throws {
        let scratch = try Scratch()
        let (a, b) = (scratch.path("a.safetensors"), scratch.path("b.safetensors"))
        try write([("n", "I32", [1, 2, 3, 4])], to: a)
        try write([("n", "I32", [1, 2, 3, 14])], to: b)
        #expect(try pannier("diff", a, b, "--tolerance", "9").status == 1)
        #expect(try pannier("diff", a, b, "--tolerance", "10").status == 0)
        let tensors = try #require(try pannier("diff", a, b, "--json").json()["tensors"] as? [[String: Any]])
        #expect(tensors.first?["max_abs"] as? Double == 10)
    }

    @Test func anOptimizersStateIsToldApart() throws {
        let scratch = try Scratch()
        let (a, b) = (scratch.path("a.safetensors"), scratch.path("b.safetensors"))
        try write([("w", "F32", floats([1, 1, 1, 1])), ("optimizer.state.0.exp_avg", "F32", floats([1, 1, 1, 1]))], to: a)
        try write([("w", "F32", floats([1, 1, 1, 2])), ("optimizer.state.0.exp_avg", "F32", floats([9, 9, 9, 9]))], to: b)
        let text = try pannier("diff", a, b, "-q").output
        #expect(text.hasPrefix("different: 1 of 1 tensors differ"))
        #expect(text.contains("the largest |Δ| 1.000 in w; beside the model 1 of 1 tensors differ"))
        #expect(try pannier("diff", a, b, "--json").json()["changed"] as? Int == 2)
        let lines = try pannier("diff", a, b).output.split(separator: "\n").map(String.init)
        let model = try #require(lines.firstIndex { $0.hasPrefix("  w ") })
        #expect(model < lines.firstIndex { $0.hasPrefix("  optimizer.state.0.exp_avg ") } ?? 0)
    }

    @Test func whatAStepLacksIsNamed() throws {
        let scratch = try Scratch()
        let (a, b) = (scratch.path("a.safetensors"), scratch.path("b.safetensors"))
        try write([("w", "F32", floats([1, 1, 1, 1])), ("x", "F32", floats([1, 1]))], to: a)
        try write([("x", "F32", floats([1, 1, 1]))], to: b)
        let told = try pannier("diff", a, a, b, "--json")
        #expect(told.status == 1)
        let missing = try #require(try told.json()["missing"] as? [[String: Any]])
        #expect(missing.map { $0["name"] as? String } == ["w", "x"])
        #expect(missing.map { $0["kind"] as? String } == ["missing", "other_shape"])
        #expect(missing.map { $0["step"] as? String } == ["b.safetensors", "b.safetensors"])
        let text = try pannier("diff", a, a, b).output
        #expect(text.contains("  missing: w is not in b.safetensors\n"))
        #expect(text.contains("  shape: x is [3] in b.safetensors, [2] before\n"))
    }

    @Test func helpSaysWhatTheStatusOfATimelineIs() throws {
        let help = try pannier("diff", "--help").output
        #expect(!help.contains("a timeline ends with 0"))
    }

    @Test func badArgumentsHaveTheirStatus() throws {
        let scratch = try Scratch()
        #expect(try pannier("diff", sample, scratch.path("nothing")).status == 3)
        #expect(try pannier("diff", scratch.url.path).status == 64)
        #expect(try pannier("diff").status == 64)
        try Data("nothing of the kind".utf8).write(to: scratch.url.appending(path: "x.gguf"))
        #expect(try pannier("diff", sample, scratch.path("x.gguf")).status == 2)
    }
}
