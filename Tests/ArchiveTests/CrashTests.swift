// Killed at any moment of `add`, an archive still has all of its earlier steps.

import Archive
import Bytes
import Foundation
import Testing

@Suite struct CrashTests {
    private static let program: URL = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let beside = Bundle.main.bundleURL.deletingLastPathComponent().appending(path: "pannier")
        let built = root.appending(path: ".build/release/pannier")
        return FileManager.default.isExecutableFile(atPath: built.path) ? built : beside
    }()

    private static func adding(_ file: String, to archive: String) throws -> Process {
        let process = Process()
        process.executableURL = program
        process.arguments = ["archive", "add", archive, file, "--quiet"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    @Test func fiftyKillsLoseNoEarlierStep() throws {
        let scratch = try Scratch()
        let base = scratch.path("base.pannier"), archive = scratch.path("run.pannier")
        var run = TrainingRun(seed: 17, elements: [400_000, 100_000])
        try ArchiveWriter.create(base)
        for step in 1...2 {
            try scratch.write(run.safetensors(), "step-\(step).safetensors")
            _ = try ArchiveWriter.add(scratch.path("step-\(step).safetensors"), to: base, options: ArchiveOptions(threads: 2))
            run.advance()
        }
        try scratch.write(run.safetensors(), "step-3.safetensors")

        // How long an undisturbed `add` takes says within which time to kill.
        try FileManager.default.copyItem(atPath: base, toPath: archive)
        let began = Date()
        let whole = try Self.adding(scratch.path("step-3.safetensors"), to: archive)
        whole.waitUntilExit()
        #expect(whole.terminationStatus == 0)
        let usual = Date().timeIntervalSince(began)
        #expect(try ArchiveReader(archive).verify(threads: 2).soundSteps == [1, 2, 3])

        var generator = SeededGenerator(state: 4242)
        var outcomes: [Int: Int] = [:]
        for round in 0..<50 {
            // Some crashes follow on each other in one archive, so that an `add` also meets what a crash left behind.
            if try round % 3 == 0 || ArchiveReader(archive).steps.count > 2 {
                try FileManager.default.removeItem(atPath: archive)
                try FileManager.default.copyItem(atPath: base, toPath: archive)
            }
            let process = try Self.adding(scratch.path("step-3.safetensors"), to: archive)
            usleep(UInt32(Double.random(in: 0...(usual * 1.05), using: &generator) * 1e6))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            let report = try ArchiveReader(archive).verify(threads: 2)
            #expect(report.ok, "after kill \(round): \(report.damage)")
            #expect(report.soundSteps.starts(with: [1, 2]))
            outcomes[report.soundSteps.count, default: 0] += 1
        }
        // Most kills came before the end.
        #expect((outcomes[2] ?? 0) > 10, "\(outcomes)")

        // And after the last crash adding goes on.
        if try ArchiveReader(archive).steps.count == 2 {
            let last = try Self.adding(scratch.path("step-3.safetensors"), to: archive)
            last.waitUntilExit()
            #expect(last.terminationStatus == 0)
        }
        #expect(try ArchiveReader(archive).verify(threads: 2).soundSteps == [1, 2, 3])
    }
}
