// Tensors that are one row, however long, and side tensors that claim to be: memory does not grow with either. The files are
// sparse, and the system enforces 300 MB.

import Foundation
import HostileFiles
import Testing

@Suite struct WideTensorTests {
    /// Values of the wide tensors: 320 MB in f32.
    static let count = 80_000_000

    /// Runs the program with 300 MB of memory at most.
    private func limited(_ arguments: [String]) throws -> Outcome {
        let limits = "ulimit -c 0; ulimit -d 300000; exec \"$0\" \"$@\" --threads 2"
        return try launch(URL(filePath: "/bin/bash"), ["-c", limits, program.path] + arguments)
    }

    /// Adds a tensor of zeros to the end of a safetensors file, sparse on the disk; the file may be missing.
    private func add(_ name: String, _ shape: [Int], to url: URL) throws {
        var header: [String: Any] = [:]
        var bytes = Data()
        if let data = try? Data(contentsOf: url) {
            let length = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
            header = try JSONSerialization.jsonObject(with: data.dropFirst(8).prefix(length)) as? [String: Any] ?? [:]
            bytes = Data(data.dropFirst(8 + length))
        }
        let end = bytes.count + 4 * shape.reduce(1, *)
        header[name] = ["dtype": "F32", "shape": shape, "data_offsets": [bytes.count, end]] as [String: Any]
        let json = try JSONSerialization.data(withJSONObject: header)
        let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
        try (length + json + bytes).write(to: url)
        try FileHandle(forWritingTo: url).truncate(atOffset: UInt64(8 + json.count + end))
    }

    /// Makes a file's last value another one.
    private func setLast(_ value: Float, of url: URL) throws {
        let handle = try FileHandle(forUpdating: url)
        try handle.seek(toOffset: try handle.seekToEnd() - 4)
        try handle.write(contentsOf: withUnsafeBytes(of: value.bitPattern.littleEndian) { Data($0) })
        try handle.close()
    }

    @Test(arguments: [[1, count], [count], [2, count / 2]])
    func aRowIsReadInPieces(_ shape: [Int]) throws {
        let scratch = try Scratch()
        let path = scratch.path("wide.safetensors")
        try add("w", shape, to: URL(filePath: path))
        try setLast(2.5, of: URL(filePath: path))
        let inspected = try limited(["inspect", path, "--stats", "--json"])
        #expect(inspected.status == 0, "\(inspected.errors)")
        let tensor = try #require((try inspected.json()["tensors"] as? [[String: Any]])?.first)
        #expect(tensor["zeros"] as? Int == Self.count - 1)
        #expect(tensor["max"] as? Double == 2.5)
        for command in [["hash", path], ["diff", path, path]] {
            let outcome = try limited(command)
            #expect(outcome.status == 0, "\(command[0]): \(outcome.errors)")
        }
        let halves = scratch.path("halves.safetensors")
        let converted = try limited(["convert", path, "-o", halves, "--layout", "keep", "--dtype", "f16", "--no-sync"])
        #expect(converted.status == 0, "\(converted.errors)")
        // 2.5 in half precision is 0x4100; all before it are zeros.
        let data = try Data(contentsOf: URL(filePath: halves), options: .mappedIfSafe)
        #expect(Array(data.suffix(4)) == [0, 0, 0, 0x41])
        #expect(data.count - 2 * Self.count < 1000)
    }

    /// Blocks of a tensor of one dimension are whole rows of elements too.
    @Test func blocksOfOneDimensionAreCarried() throws {
        let scratch = try Scratch()
        var file = SmallGGUF(data: 2 * 34)
        file.tensors[0].dimensions = [64]
        file.tensors[0].type = 8
        try Data(file.bytes).write(to: scratch.url.appending(path: "x.gguf"))
        let merged = try pannier("merge", scratch.path("x.gguf"), "-o", scratch.path("y.gguf"), "--no-sync")
        #expect(merged.status == 0, "\(merged.errors)")
        let hashes = try ["x.gguf", "y.gguf"].map { name in
            try #require((try pannier("hash", scratch.path(name), "--json").json()["tensors"] as? [[String: Any]])?.first)
        }
        #expect(hashes[0]["sha256"] as? String == hashes[1]["sha256"] as? String)
    }

    @Test func aMatrixOfImportanceIsNoLongerThanAModelIsWide() throws {
        let scratch = try Scratch()
        // One entry, named a, with 400 million values.
        var old = Builder()
        for number in [1, 1] as [Int32] { old.integer(number) }
        old.raw([UInt8(ascii: "a")])
        for number in [0, 400_000_000] as [Int32] { old.integer(number) }
        var new = SmallGGUF(
            tensors: ["a.in_sum2", "a.counts"].map { SmallGGUF.Tensor(name: Array($0.utf8)) }, data: 0)
        new.tensors[0].dimensions = [400_000_000]
        new.tensors[1].dimensions = [1]
        new.tensors[1].offset = 1_600_000_000
        for (name, bytes) in [("m.dat", old.bytes), ("m.gguf", new.bytes)] {
            let url = scratch.url.appending(path: name)
            try Data(bytes).write(to: url)
            try FileHandle(forWritingTo: url).truncate(atOffset: UInt64(bytes.count) + 1_600_000_032)
            let outcome = try limited(
                ["quantize", sample, "-o", scratch.path("x.gguf"), "--type", "Q4_0", "--imatrix", url.path, "--no-sync"])
            #expect(outcome.status == 2, "\(name): \(outcome.errors)")
            #expect(outcome.errors.contains(name) && outcome.errors.contains("400000000"), "\(outcome.errors)")
        }
    }

    @Test func factorsOfRoPEAreCountedBeforeTheyAreRead() throws {
        let scratch = try Scratch()
        let folder = scratch.url.appending(path: "model")
        try FileManager.default.copyItem(at: URL(filePath: sample), to: folder)
        try add("rope_freqs.weight", [Self.count], to: folder.appending(path: "model.safetensors"))
        let outcome = try limited(["run", folder.path, "-p", "In", "-n", "2", "-q"])
        #expect(outcome.status == 2, "\(outcome.errors)")
        #expect(outcome.errors.contains("rope_freqs.weight") && outcome.errors.contains("16"), "\(outcome.errors)")
    }

    /// Tensors take multiples of the alignment, which the size counts in.
    @Test(arguments: [8, 4096, 1 << 16]) func aTargetSizeHoldsWhateverTheAlignment(_ alignment: Int) throws {
        let scratch = try Scratch()
        for target in [3_000_000, 3_500_000] {
            let made = try pannier(
                "quantize", sample, "-o", scratch.path("x.gguf"), "--target-size", "\(target)", "--override-kv",
                "general.alignment=u32:\(alignment)", "--no-sync", "--force", "--json")
            #expect(made.status == 0, "\(made.errors)")
            let size = try FileManager.default.attributesOfItem(atPath: scratch.path("x.gguf"))[.size] as? Int
            #expect(try #require(size) <= target)
        }
    }
}
