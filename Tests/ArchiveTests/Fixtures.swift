// Small checkpoints made on the spot, and places to put them.

import Archive
import Bytes
import Foundation
import Testing

/// A temporary folder that goes with this object.
final class Scratch {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "pannier-archive-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    func data(_ name: String) throws -> Data { try Data(contentsOf: url.appending(path: name)) }

    func write(_ data: Data, _ name: String) throws { try data.write(to: url.appending(path: name)) }
}

/// The same numbers on every run (SplitMix64, S. Vigna).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    /// About normally distributed, as weights are.
    mutating func weight(_ scale: Float) -> Float {
        var sum: Float = 0
        for _ in 0..<6 { sum += Float.random(in: -1...1, using: &self) }
        return sum / 1.414 * scale
    }
}

/// A training run of a few tensors: each step moves the weights of the one before a little.
struct TrainingRun {
    private var generator: SeededGenerator
    private var tensors: [(name: String, values: [Float])]
    /// A tensor that never changes.
    private let frozen: [Float]

    init(seed: UInt64, elements: [Int] = [70_000, 33_333, 256]) {
        var generator = SeededGenerator(state: seed)
        tensors = elements.enumerated().map { index, count in
            ("layer.\(index).weight", (0..<count).map { _ in generator.weight(0.02) })
        }
        frozen = (0..<5000).map { _ in generator.weight(1) }
        self.generator = generator
    }

    /// - Parameter distance: how far a step moves each weight, about; they spread by 0.02.
    mutating func advance(by distance: Float = 0.0005) {
        for index in tensors.indices {
            for place in tensors[index].values.indices { tensors[index].values[place] += generator.weight(distance) }
        }
    }

    /// The run's state as a safetensors file, in f32 or bf16.
    func safetensors(bf16: Bool = false) -> Data {
        var header = "{\"__metadata__\":{\"format\":\"pt\"}"
        var body = Data()
        for (name, values) in tensors + [("frozen", frozen)] {
            let start = body.count
            for value in values {
                if bf16 {
                    withUnsafeBytes(of: UInt16(value.bitPattern >> 16).littleEndian) { body.append(contentsOf: $0) }
                } else {
                    withUnsafeBytes(of: value.bitPattern.littleEndian) { body.append(contentsOf: $0) }
                }
            }
            header +=
                ",\"\(name)\":{\"dtype\":\"\(bf16 ? "BF16" : "F32")\",\"shape\":[\(values.count)],"
                + "\"data_offsets\":[\(start),\(body.count)]}"
        }
        header += "}"
        while header.utf8.count % 8 != 0 { header += " " }
        var out = Data()
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { out.append(contentsOf: $0) }
        return out + Data(header.utf8) + body
    }
}

/// An archive of a few steps, and the files that went into it.
struct Series {
    let scratch: Scratch
    let archive: String
    let files: [Data]

    init(
        steps: Int, seed: UInt64 = 3, bf16: Bool = false, elements: [Int] = [70_000, 33_333, 256], version: UInt32 = 3,
        digests: Bool = true, distance: Float = 0.0005
    ) throws {
        scratch = try Scratch()
        archive = scratch.path("run.pannier")
        try ArchiveWriter.create(archive, version: version)
        var options = ArchiveOptions(threads: 2, chain: 3)
        options.digests = digests
        var run = TrainingRun(seed: seed, elements: elements)
        var files: [Data] = []
        for step in 0..<steps {
            files.append(run.safetensors(bf16: bf16))
            try scratch.write(files[step], "step-\(step * 100).safetensors")
            _ = try ArchiveWriter.add(scratch.path("step-\(step * 100).safetensors"), to: archive, options: options)
            run.advance(by: distance)
        }
        self.files = files
    }

    func extracted(_ reader: ArchiveReader, _ step: ArchivedStep, keepDamaged: Bool = false) throws -> (Data, ArchiveReport) {
        let to = scratch.path("out-\(UUID().uuidString)")
        let report = try reader.extract(
            step, to: to, options: OutputOptions(sync: false), keepDamaged: keepDamaged, threads: 2)
        return (try Data(contentsOf: URL(filePath: to)), report)
    }
}
