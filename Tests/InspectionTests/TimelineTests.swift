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

    @Test func anEmptyFolderIsNoRun() {
        #expect(throws: (any Error).self) { try TimelineStep.find(in: folder.path) }
    }
}
