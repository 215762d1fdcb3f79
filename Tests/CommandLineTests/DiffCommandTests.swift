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

    @Test func badArgumentsHaveTheirStatus() throws {
        let scratch = try Scratch()
        #expect(try pannier("diff", sample, scratch.path("nothing")).status == 3)
        #expect(try pannier("diff", scratch.url.path).status == 64)
        #expect(try pannier("diff").status == 64)
        try Data("nothing of the kind".utf8).write(to: scratch.url.appending(path: "x.gguf"))
        #expect(try pannier("diff", sample, scratch.path("x.gguf")).status == 2)
    }
}
