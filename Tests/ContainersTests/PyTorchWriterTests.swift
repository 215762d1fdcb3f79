// What the writer writes is read back by the reader, whatever the order in which its bytes came.

import Bytes
import Containers
import Foundation
import HostileFiles
import Tensors
import Testing

/// A folder that goes away.
private func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "pannier-folder-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31 &+ seed &* 17) >> 1) }
}

private func plans() throws -> [TensorPlan] {
    let shapes: [[Int]] = [[7, 5], [3], [], [0], [2, 0], [2, 3, 4], [1, 2, 3, 4], [40000]]
    let dtypes: [DType] = [
        .f32, .bf16, .f16, .f64, .i64, .i32, .i16, .i8, .u8, .bool, .u16, .u32, .u64, .c64, .c128, .f8e4m3, .f8e5m2,
        .f8e4m3fnuz, .f8e5m2fnuz, .f8e8m0,
    ]
    return try dtypes.enumerated().map { index, dtype in
        try TensorPlan(
            name: "layer.\(index).ü", dtype: dtype, shape: #require(Shape(shapes[index % shapes.count])))
    }
}

@Suite struct PyTorchWriting {
    @Test(arguments: [nil, 100_000, 1] as [UInt64?])
    func writtenIsReadBack(_ shardSize: UInt64?) throws {
        try withFolder { folder in
            let plans = try plans()
            let writer = try PyTorchWriter(
                in: folder, name: "pytorch_model.bin", tensors: plans, shardSize: shardSize)
            // Pieces from the last to the first, so that the checksums have to be joined.
            for (index, plan) in plans.enumerated().reversed() {
                let bytes = pattern(plan.byteCount, index)
                for start in stride(from: 0, to: bytes.count, by: 4000).reversed() {
                    try bytes[start..<min(start + 4000, bytes.count)].withUnsafeBytes {
                        try writer.write(tensor: index, at: start, $0)
                    }
                }
            }
            try writer.finish()
            let sizes = try writer.fileNames.map { name -> UInt64 in
                try File(Paths.join(folder, name)).size
            }
            #expect(sizes.reduce(0, +) == writer.totalBytes)
            let reader = try Containers.open(folder)
            #expect(reader.tensors.map(\.name) == plans.map(\.name))
            for (index, tensor) in reader.tensors.enumerated() {
                #expect(tensor.dtype == plans[index].dtype)
                #expect(tensor.shape == plans[index].shape)
                #expect(tensor.isDenseNative)
                #expect(tensor.byteCount == 0 || tensor.extent.offset % 64 == 0)
                let bytes = try reader.readAll(tensor)
                #expect(bytes == pattern(plans[index].byteCount, index))
            }
            let damaged = try #require(reader as? PyTorchReader).verifyChecksums(threads: 2)
            #expect(damaged.isEmpty)
            if shardSize == 1 { #expect(writer.fileNames.contains("pytorch_model-00001-of-00017.bin")) }
        }
    }

    @Test func theSameTensorsGiveTheSameBytes() throws {
        func file() throws -> Data {
            try withFolder { folder in
                let plan = try TensorPlan(name: "w", dtype: .f32, shape: #require(Shape([3])))
                let writer = try PyTorchWriter(in: folder, name: "x.pth", tensors: [plan])
                try pattern(12, 1).withUnsafeBytes { try writer.write(tensor: 0, at: 0, $0) }
                try writer.finish()
                return try Data(contentsOf: URL(fileURLWithPath: Paths.join(folder, "x.pth")))
            }
        }
        #expect(try file() == file())
    }

    @Test func missingBytesAreAnError() throws {
        try withFolder { folder in
            let plan = try TensorPlan(name: "w", dtype: .f32, shape: #require(Shape([3])))
            let writer = try PyTorchWriter(in: folder, name: "x.pth", tensors: [plan])
            try pattern(8, 1).withUnsafeBytes { try writer.write(tensor: 0, at: 4, $0) }
            #expect(throws: CheckpointError.self) { try writer.finish() }
        }
    }

    @Test func blockFormatsAreRefused() throws {
        try withFolder { folder in
            let plan = try TensorPlan(name: "w", dtype: .q8_0, shape: #require(Shape([32])))
            let error = #expect(throws: CheckpointError.self) {
                try PyTorchWriter(in: folder, name: "x.pth", tensors: [plan])
            }
            #expect(error?.kind == .usage)
        }
    }
}

@Suite struct StridedReading {
    /// A matrix of 1000 × 700 behind every sort of view, against a plain loop over its elements.
    @Test func largeViewsAreGathered() throws {
        let (rows, columns) = (1000, 700)
        let data = (0..<rows * columns).flatMap { Op.le(UInt32($0)) }
        let storage = Op.persistentInStream(type: "IntStorage", count: rows * columns)
        let views: [(shape: [Int], strides: [Int], offset: Int)] = [
            ([columns, rows], [1, columns], 0),
            ([rows, 3], [columns, 1], 5),
            ([rows, 300], [columns, 2], 1),
            ([10, 100, 700], [700, 7000, 1], 0),
            ([700, 10, 100], [1, 70000, 700], 0),
            ([70000], [10], 3),
            ([4, 500], [0, 1], 7),
            ([3, 5, 7, 11], [7000, 70, 700, 1], 2),
        ]
        for view in views {
            let pickle = Op.dict(
                Op.tensor(storage: storage, offset: view.offset, shape: view.shape, strides: view.strides))
            let stream = testStream(pickle: pickle, storages: [(UInt64(rows * columns), data)])
            try withFile(stream) { path in
                let reader = try PyTorchReader(path)
                let tensor = try #require(reader.tensors.first)
                let count = tensor.shape.count
                let expected = (0..<count).map { linear -> UInt32 in
                    var (rest, at) = (linear, view.offset)
                    for dimension in view.shape.indices.reversed() {
                        at += rest % view.shape[dimension] * view.strides[dimension]
                        rest /= view.shape[dimension]
                    }
                    return UInt32(at)
                }
                for range in [0..<count, 0..<1, 1..<min(count, 5000), count / 3..<count / 3 * 2, count - 1..<count] {
                    var part = [UInt32](repeating: 0, count: range.count)
                    try part.withUnsafeMutableBytes { try reader.read(tensor, elements: range, into: $0) }
                    #expect(part == Array(expected[range]), "\(view) \(range)")
                }
            }
        }
    }
}
