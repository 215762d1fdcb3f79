// Runs of checkpoints: their order, and what moves.

import Foundation
import Inspection
import Layouts
import Testing

@Suite struct TimelineTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    @Test func stepsAreOrderedByNumberAndNotByLetters() {
        let names = ["iter-1000000-ckpt.pth", "iter-999999-ckpt.pth", "iter-000600-ckpt.pth"]
        let steps = TimelineStep.inOrder(names.map { TimelineStep("/runs/" + $0) })
        #expect(steps.map(\.number) == [600, 999_999, 1_000_000])
    }

    @Test func namesWithoutNumbersKeepTheirOrder() {
        let steps = TimelineStep.inOrder(["/b/base", "/a/tuned", "/c/step-3"].map { TimelineStep($0) })
        #expect(steps.map(\.path) == ["/b/base", "/a/tuned", "/c/step-3"])
    }

    /// A model's file is called what all of them are: its folder says which step it is.
    @Test func filesAreCalledWhatTheirFoldersAre() {
        let paths = ["tf/step-1000/model.safetensors", "tf/step-50/model.safetensors"]
        let steps = TimelineStep.inOrder(paths.map { TimelineStep($0) })
        #expect(steps.map(\.label) == ["50", "1000"])
        #expect(steps.map(\.path) == [paths[1], paths[0]])
        let labels = [
            "run/base/model.safetensors": "base", "a/step-7/model-00001-of-00002.safetensors": "7",
            "meta-3/consolidated.00.pth": "3", "step-2/model-900.safetensors": "900",
            "step-3/tuned.gguf": "tuned.gguf", "step-4/pytorch_model.bin.index.json": "4",
        ]
        for (path, label) in labels { #expect(TimelineStep(path).label == label) }
    }

    @Test func theFinalStepIsTheLast() throws {
        let given = TimelineStep.inOrder(["out/final", "out/step-20", "out/step-9"].map { TimelineStep($0) })
        #expect(given.map(\.label) == ["9", "20", "final"])
        for name in ["final/lit_model.pth", "step-00000010/lit_model.pth", "step-00000005/lit_model.pth"] {
            let url = URL(filePath: folder.file(name))
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("x".utf8).write(to: url)
        }
        #expect(try TimelineStep.find(in: folder.path).map(\.label) == ["5", "10", "final"])
    }

    @Test func aFolderOfStepsIsARun() throws {
        // Only the last norm moves, and only from the second step to the third.
        for (index, number) in [999_999, 1_000_000, 1_000_001].enumerated() {
            try Sample.copy(to: folder.file("step-\(number)")) { text in
                guard index == 2 else { return }
                var bytes = text["model.layers.3.input_layernorm.weight"]
                bytes[0] ^= 0x40
                text["model.layers.3.input_layernorm.weight"] = bytes
            }
        }
        let steps = try TimelineStep.find(in: folder.path)
        #expect(steps.map(\.number) == [999_999, 1_000_000, 1_000_001])
        let timeline = try Timeline(steps, checkpoints: steps.map { try ComparedCheckpoint($0.path) }, threads: 2)
        #expect(timeline.layers.map(\.layer) == [0, 1, 2, 3])
        #expect(timeline.total.relative[0] == 0)
        #expect(timeline.total.relative[1] > 0)
        #expect(timeline.layers[3].relative[1] > 0)
        #expect(timeline.layers[0].relative == [0, 0])
        #expect(timeline.activity(timeline.layers[3]).share == 1)
        #expect(timeline.series.allSatisfy { $0.norms.count == 3 && $0.changes.count == 2 })
        let page = TimelinePage(timeline)
        try expectWellFormed(page.html)
        try expectWellFormed(page.svg)
    }

    /// What trainers leave in a folder: only checkpoints count, and each folder that holds one is one.
    @Test func stepsAreFoundAmongOtherFiles() throws {
        func touch(_ name: String) throws {
            let url = URL(filePath: folder.file(name))
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("x".utf8).write(to: url)
        }
        let checkpoints = [
            "iter-000600-ckpt.pth", "iter-1000000-ckpt.pth", "step-1200/model.safetensors",
            "checkpoint-90000/pytorch_model-00001-of-00002.bin",
        ]
        let others = [
            "checkpoint-90000/pytorch_model-00002-of-00002.bin", "checkpoint-90000/optimizer.pt", "optimizer.pt",
            "events-12.json", ".iter-000001-ckpt.pth", "step-77/optimizer.pt", "step-78/notes.txt", "training_args.bin",
        ]
        for name in checkpoints + others { try touch(name) }
        let steps = try TimelineStep.find(in: folder.path)
        #expect(steps.map(\.number) == [600, 1200, 90_000, 1_000_000])
        #expect(
            steps.map { URL(filePath: $0.path).lastPathComponent }
                == ["iter-000600-ckpt.pth", "step-1200", "checkpoint-90000", "iter-1000000-ckpt.pth"])
    }

    @Test func whatTheOptimizerHoldsIsFollowed() throws {
        for (index, number) in [100, 200, 300].enumerated() {
            try Sample.copy(to: folder.file("step-\(number)")) { text in
                let size = Float(index + 1)
                text.add("optimizer.state.0.exp_avg", [3 * size, 0, 0])
                text.add("optimizer.state.1.exp_avg", [0, 4 * size])
                // The second moment is there from the second step on.
                if index > 0 { text.add("optimizer.state.0.exp_avg_sq", [size, size, size, size]) }
            }
        }
        let steps = try TimelineStep.find(in: folder.path)
        let timeline = try Timeline(steps, checkpoints: steps.map { try ComparedCheckpoint($0.path) }, threads: 2)
        #expect(timeline.total.relative == [0, 0])
        #expect(timeline.optimizer.map(\.name) == ["exp_avg", "exp_avg_sq"])
        let first = try #require(timeline.optimizer.first), second = try #require(timeline.optimizer.last)
        #expect(first.norms == [5, 10, 15])
        #expect(first.relative == [1, 0.5])
        #expect(second.norms == [nil, 4, 6])
        #expect(second.relative == [nil, 0.5])
        #expect(timeline.series.allSatisfy { !$0.name.hasPrefix("optimizer") })
    }

    /// A step whose values are no numbers is the hottest, and its neighbours keep their norms.
    @Test func aStepOfNaNsIsNamedAndItsNeighboursKeepTheirNorms() throws {
        let name = "model.layers.1.mlp.up_proj.weight"
        for (index, number) in [100, 200, 300].enumerated() {
            try Sample.copy(to: folder.file("step-\(number)")) { text in
                if index == 1 { text[name] = Array(repeating: UInt8(0xFF), count: text[name].count) }
            }
        }
        let steps = try TimelineStep.find(in: folder.path)
        let timeline = try Timeline(steps, checkpoints: steps.map { try ComparedCheckpoint($0.path) }, threads: 2)
        let series = try #require(timeline.series.first { $0.name == name })
        let (first, last) = (try #require(series.norms[0]), try #require(series.norms[2]))
        #expect(first > 0)
        #expect(series.norms[1] == 0)
        #expect(abs(last - first) < 1e-9)
        #expect(series.notFinite == [0, 512 * 256, 0])
        #expect(series.changes[0]?.relativeL2.isNaN == true)
        #expect(timeline.total.notFinite == [0, 512 * 256, 0])
        #expect(timeline.layers[1].magnitudes == [.infinity, .infinity])
        #expect(timeline.layers[0].magnitudes == [0, 0])
        #expect(timeline.activity(timeline.layers[1]).rate == .infinity)
        #expect(timeline.gaps.isEmpty)
        let page = TimelinePage(timeline)
        try expectWellFormed(page.html)
        try expectWellFormed(page.svg)
        #expect(page.html.contains("Values that are NaN or infinite"))
    }

    @Test func missingTensorsAndOtherShapesAreNamed() throws {
        let (gone, turned) = ("model.layers.0.mlp.up_proj.weight", "model.layers.3.mlp.gate_proj.weight")
        for (index, number) in [100, 200, 300].enumerated() {
            try Sample.copy(to: folder.file("step-\(number)")) { text in
                if index == 1 { text.rename(gone, to: "model.layers.0.mlp.extra.weight") }
                if index == 2 { text.setShape(turned, [256, 512]) }
            }
        }
        let steps = try TimelineStep.find(in: folder.path)
        let timeline = try Timeline(steps, checkpoints: steps.map { try ComparedCheckpoint($0.path) }, threads: 2)
        let missing = try #require(timeline.gaps.first { $0.name == gone })
        #expect(missing.step == 1)
        #expect(missing.kind == .missing)
        #expect(missing.found == nil)
        #expect(
            timeline.gaps.filter { $0.name == "model.layers.0.mlp.extra.weight" }.map(\.step) == [0, 2])
        let other = try #require(timeline.gaps.first { $0.name == turned })
        #expect(other.step == 2)
        #expect(other.kind == .otherShape)
        #expect(other.found != other.expected)
        #expect(timeline.gaps.count == 4)
        let html = TimelinePage(timeline).html
        try expectWellFormed(html)
        #expect(html.contains("Missing tensors, other shapes"))
    }

    @Test func anEmptyFolderIsNoRun() {
        #expect(throws: (any Error).self) { try TimelineStep.find(in: folder.path) }
    }
}
