// The older importance matrix files, and what a matrix says about a tensor.

import Bytes
import Foundation
import Quantization
import Testing

@Suite struct ImportanceMatrixTests {
    private func integer(_ value: Int32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    private func entry(_ name: String, calls: Int32, _ values: [Float]) -> [UInt8] {
        integer(Int32(name.utf8.count)) + Array(name.utf8) + integer(calls) + integer(Int32(values.count))
            + values.flatMap { integer(Int32(bitPattern: $0.bitPattern)) }
    }

    private func read(_ bytes: [UInt8]) throws -> ImportanceMatrix {
        let path = NSTemporaryDirectory() + "matrix-\(UInt64.random(in: 0 ... .max)).dat"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try ImportanceMatrix(dat: File(path))
    }

    @Test func readsTheOlderForm() throws {
        let body = integer(2) + entry("blk.0.attn_q.weight", calls: 4, [4, 8]) + entry("b", calls: 0, [5])
        let plain = try read(body)
        #expect(plain.entries == ["blk.0.attn_q.weight": [1, 2], "b": [5]])
        #expect(plain.chunkCount == -1 && plain.datasets.isEmpty)
        let full = try read(body + integer(7) + integer(4) + Array("wiki".utf8))
        #expect(full.chunkCount == 7 && full.datasets == ["wiki"])
    }

    @Test func refusesDamagedFiles() {
        let good = integer(1) + entry("name", calls: 1, [1, 2, 3])
        for length in 0..<good.count {
            #expect(throws: CheckpointError.self) { try read(Array(good.prefix(length))) }
        }
        let damaged: [[UInt8]] = [
            integer(0), integer(-1), integer(1) + integer(-5), integer(1) + integer(.max),
            integer(1) + integer(1) + [65] + integer(1) + integer(0),
            integer(1) + integer(1) + [65] + integer(1) + integer(-3),
            integer(1) + integer(1) + [65] + integer(1) + integer(.max),
            integer(1) + integer(2) + [0xFF, 0xFE] + integer(1) + integer(1) + integer(0),
            integer(1) + entry("nan", calls: 1, [.nan]), integer(1) + entry("inf", calls: 1, [.infinity]),
            good + integer(3) + integer(100),
        ]
        for bytes in damaged { #expect(throws: CheckpointError.self) { try read(bytes) } }
    }

    /// A sparse file claims whatever it likes; what no model has is refused before it is read.
    @Test func refusesMoreThanAModelHas() throws {
        let most = ImportanceMatrix.Allowance.entry
        let path = NSTemporaryDirectory() + "matrix-\(UInt64.random(in: 0 ... .max)).dat"
        defer { try? FileManager.default.removeItem(atPath: path) }
        for length in [most + 1, Int(Int32.max)] {
            let head = integer(1) + integer(1) + [65] + integer(1) + integer(Int32(length))
            try Data(head).write(to: URL(fileURLWithPath: path))
            try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: UInt64(head.count + 4 * length))
            let error = #expect(throws: CheckpointError.self) { try ImportanceMatrix(dat: File(path)) }
            #expect(error?.kind == .malformed && error?.file == path && error?.place == "A" && error?.found == "\(length)")
        }
        var allowance = ImportanceMatrix.Allowance()
        for number in 0..<ImportanceMatrix.Allowance.total / most { try allowance.take(most, for: "\(number)") }
        #expect(throws: CheckpointError.self) { try allowance.take(1, for: "more") }
    }

    @Test func sumsAreDividedByCounts() throws {
        var matrix = ImportanceMatrix()
        try matrix.add(name: "experts", sums: [2, 4, 6, 8], counts: [2, 0])
        #expect(matrix.entries["experts"] == [1, 2, 1, 1])
        #expect(throws: CheckpointError.self) { try matrix.add(name: "x", sums: [1, 2, 3], counts: [1, 1]) }
        #expect(throws: CheckpointError.self) { try matrix.add(name: "x", sums: [1], counts: []) }
        for (sum, count) in [
            (Float.nan, Float(1)), (-1, 1), (3e38, 1), (1, .infinity), (1, .nan), (1, -1), (.infinity, .infinity),
        ] {
            #expect(throws: CheckpointError.self, "\(sum) \(count)") {
                try matrix.add(name: "x", sums: [sum], counts: [count])
            }
        }
    }

    @Test func weightsMustFitTheTensor() throws {
        var matrix = ImportanceMatrix()
        try matrix.set(name: "blk.0.attn_q.weight", weights: [1, 2])
        try matrix.set(name: "token_embd.weight", weights: [1, 2])
        #expect(try matrix.weights(for: "blk.0.attn_q.weight", shape: [5, 2]) == [1, 2])
        #expect(try matrix.weights(for: "blk.1.attn_q.weight", shape: [5, 2]) == nil)
        #expect(throws: CheckpointError.self) { try matrix.weights(for: "blk.0.attn_q.weight", shape: [5, 3]) }
        #expect(try matrix.weights(for: "token_embd.weight", shape: [5, 3]) == nil)
        #expect(throws: CheckpointError.self) { try matrix.weights(for: "blk.0.attn_q.weight", shape: [.max, 1, .max]) }
    }

    @Test func entriesAreChosenByName() throws {
        var matrix = ImportanceMatrix()
        for name in ["blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight"] {
            try matrix.set(name: name, weights: [1])
        }
        var kept = matrix
        kept.keep(["ffn_up", "nothing"])
        #expect(kept.entries.count == 2)
        kept = matrix
        kept.keep(["ffn_up"], excluding: true)
        #expect(Array(kept.entries.keys) == ["blk.0.attn_q.weight"])
        kept = matrix
        kept.keep([])
        #expect(kept == matrix)
    }
}
