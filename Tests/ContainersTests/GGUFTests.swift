// GGUF: what gguf-py and llama-gguf-split wrote, and what must be refused.

import Bytes
import Containers
import Foundation
import HostileFiles
import OrderedCollections
import Tensors
import Testing

@Suite struct GGUFTests {
    @Test func readsWhatThePythonPackageWrote() throws {
        for (name, order) in [("little.gguf", Endianness.little), ("big.gguf", .big)] {
            let reader = try GGUFReader(Golden.path(name))
            #expect(reader.version == 3)
            #expect(reader.endianness == order)
            let metadata = reader.metadata
            #expect(metadata["test.uint8"] == .u8(200))
            #expect(metadata["test.int8"] == .i8(-100))
            #expect(metadata["test.uint16"] == .u16(60000))
            #expect(metadata["test.int16"] == .i16(-30000))
            #expect(metadata["test.uint32"] == .u32(4_000_000_000))
            #expect(metadata["test.int32"] == .i32(-2_000_000_000))
            #expect(metadata["test.float32"] == .f32(0.1))
            #expect(metadata["test.bool"] == .bool(true))
            #expect(metadata["test.string"] == .string("caf\u{e9}"))
            #expect(metadata["test.uint64"] == .u64((1 << 63) + 1))
            #expect(metadata["test.int64"] == .i64(-(1 << 62)))
            #expect(metadata["test.float64"] == .f64(0.1))
            #expect(metadata["test.array.float32"]?.array == .f32([0.5, -0.25]))
            #expect(metadata["test.array.int32"]?.array == .i32([-1, 2]))
            #expect(metadata["test.array.uint32"]?.array == .u32([1, .max]))
            #expect(metadata["test.array.bool"]?.array?[1] == .bool(false))
            #expect(metadata["test.array.uint64"]?.array?[0] == .u64(.max))
            let tokens = try #require(metadata["tokenizer.ggml.tokens"]?.array)
            #expect(tokens.elementType == .string)
            #expect(tokens[1] == .string("\u{2581}the"))
            #expect(tokens[2] == .bytes([0xFF, 0xFE] + Array(" not text".utf8)))
            #expect(tokens[3] == .string(""))
            #expect(metadata["tokenizer.ggml.words"]?.array?.count == 3)
            let shapes = Dictionary(uniqueKeysWithValues: reader.tensors.map { ($0.name, $0.shape.dimensions) })
            #expect(shapes["blk.4.weight"] == [3, 36])
            #expect(shapes["half"] == [2, 3, 5])
            #expect(shapes["vector"] == [7])
        }
    }

    @Test func bothByteOrdersGiveTheSameNumbers() throws {
        let little = try contents(GGUFReader(Golden.path("little.gguf")))
        let big = try contents(GGUFReader(Golden.path("big.gguf")))
        #expect(big.count == 8)
        for (name, bytes) in big { #expect(little[name] == bytes, "\(name)") }
    }

    @Test func blocksOfTheOtherByteOrderAreTurned() throws {
        let scratch = Scratch()
        var file = SmallGGUF(data: 64, isBig: true)
        file.tensors[0].type = 8
        // A Q8_0 block: a half float, then bytes that have no order.
        var bytes = file.bytes
        bytes.replaceSubrange((bytes.count - 64)..<(bytes.count - 62), with: [0x3C, 0x00])
        let reader = try GGUFReader(scratch.write("big.gguf", bytes))
        #expect(try reader.readAll(reader.tensors[0]) == [0x00, 0x3C] + Array(repeating: 7, count: 32))
        file.tensors[0].type = 16
        file.tensors[0].dimensions = [256]
        file.data = 96
        try expectRefused("IQ2_XXS", file.bytes, in: scratch) { try GGUFReader($0) }
    }

    /// "é", and "e" with an accent: one text, and two names.
    @Test func namesAreBytes() throws {
        let scratch = Scratch()
        let names = ["\u{e9}", "e\u{301}"]
        var file = SmallGGUF(data: 256)
        file.tensors = zip(names, [0, 128] as [UInt64]).map { SmallGGUF.Tensor(name: Array($0.utf8), offset: $1) }
        let reader = try GGUFReader(scratch.write("x.gguf", file.bytes))
        #expect(reader.tensors.map { Array($0.name.utf8) } == names.map { Array($0.utf8) })
        let writer = try GGUFWriter(in: scratch.path, name: "y.gguf", tensors: plans(reader), metadata: [:])
        try copy(reader, to: writer)
        #expect(try scratch.bytes("y.gguf") == file.bytes)
        // Metadata is kept by text: nothing is lost unsaid.
        file.pairs = names.map { name in SmallGGUF.pair(name, 4) { $0.integer(UInt32(1)) } }
        try expectRefused("metadata", file.bytes, in: scratch, saying: "Unicode form") { try GGUFReader($0) }
    }

    @Test(arguments: ["little.gguf", "merged.gguf", "tensors-00002-of-00003.gguf"])
    func writesTheSameBytes(name: String) throws {
        let scratch = Scratch()
        // A part by itself: its name does not say that it is one.
        let path = try scratch.write("in.gguf", Golden.bytes(name))
        guard !name.contains("-of-") else {
            #expect(throws: CheckpointError.self) { try GGUFReader(path) }
            return
        }
        let reader = try GGUFReader(path)
        #expect(reader.remarks.isEmpty)
        let writer = try GGUFWriter(
            in: scratch.path, name: "out.gguf", tensors: plans(reader), metadata: reader.metadata)
        try copy(reader, to: writer)
        let written = try scratch.bytes("out.gguf")
        #expect(written == (try Golden.bytes(name)))
        #expect(writer.totalBytes == UInt64(written.count))
    }

    @Test func splitsAsThePeerDoes() throws {
        let scratch = Scratch()
        let reader = try GGUFReader(Golden.path("little.gguf"))
        let tensors = try plans(reader)
        let parts = GGUFSplit.parts(
            GGUFSplit.spread(tensors, limit: .tensors(4), alignment: reader.alignment), prefix: "tensors",
            metadata: reader.metadata, tensorCount: tensors.count, countComesLast: true)
        let writer = try GGUFWriter(in: scratch.path, parts: parts, tensors: tensors)
        try copy(reader, to: writer)
        #expect(writer.fileNames.count == 3)
        for name in writer.fileNames { #expect(try scratch.bytes(name) == Golden.bytes(name), "\(name)") }
    }

    @Test(arguments: 1...3) func aSplitOpensFromAnyPart(number: Int) throws {
        let whole = try GGUFReader(Golden.path("little.gguf"))
        let split = try GGUFReader(Golden.path("tensors-0000\(number)-of-00003.gguf"))
        #expect(split.files.count == 3)
        #expect(split.tensors.map(\.name) == whole.tensors.map(\.name))
        #expect(try contents(split) == contents(whole))
        #expect(split.metadata["test.string"] == .string("caf\u{e9}"))
    }

    @Test func splitsThatDoNotFit() throws {
        let names = (1...3).map { "tensors-0000\($0)-of-00003.gguf" }
        func folder(_ change: (Scratch) throws -> Void) throws {
            let scratch = Scratch()
            for name in names { try scratch.write(name, Golden.bytes(name)) }
            _ = try GGUFReader(scratch.path(names[0]))
            try change(scratch)
            #expect(throws: CheckpointError.self) { try GGUFReader(scratch.path(names[0])) }
        }
        try folder { try FileManager.default.removeItem(atPath: $0.path(names[2])) }
        try folder { try $0.write(names[2], Golden.bytes(names[1])) }
        try folder { try $0.write(names[1], Golden.bytes("little.gguf")) }
    }

    @Test func alignmentIsTakenFromTheMetadata() throws {
        let scratch = Scratch()
        let shape = try #require(Shape([3]))
        let tensors = try ["a", "b"].map { try TensorPlan(name: $0, dtype: .f32, shape: shape) }
        for alignment in [1, 8, 64, 4096] as [UInt32] {
            let name = "\(alignment).gguf"
            let writer = try GGUFWriter(
                in: scratch.path, name: name, tensors: tensors, metadata: ["general.alignment": .u32(alignment)])
            try writer.finish()
            let reader = try GGUFReader(scratch.path(name))
            #expect(reader.alignment == UInt64(alignment))
            #expect(reader.tensors[1].extent.offset % UInt64(alignment) == 0)
        }
    }

    @Test func readsVersion2AndOddities() throws {
        let scratch = Scratch()
        #expect(try GGUFReader(scratch.write("2.gguf", SmallGGUF(version: 2).bytes)).version == 2)
        // Nothing in it, and no padding behind the last tensor.
        #expect(try GGUFReader(scratch.write("0.gguf", SmallGGUF(tensors: [], data: 0).bytes)).tensors.isEmpty)
        var short = SmallGGUF(data: 124)
        short.tensors[0].dimensions = [31]
        #expect(try GGUFReader(scratch.write("s.gguf", short.bytes)).remarks.isEmpty)
        #expect(try GGUFReader(scratch.write("l.gguf", SmallGGUF(data: 4096).bytes)).remarks.count == 1)
        var scalar = SmallGGUF()
        scalar.tensors[0].dimensions = []
        #expect(try GGUFReader(scratch.write("r.gguf", scalar.bytes)).tensors[0].shape == Shape([]))
    }

    @Test func truncationAtEveryByte() throws {
        let scratch = Scratch()
        var file = SmallGGUF(data: 124)
        file.tensors[0].dimensions = [31]
        file.pairs = [
            SmallGGUF.pair("name", 8) { $0.string("text") },
            SmallGGUF.pair("list", 9) { out in
                out.integer(UInt32(8))
                out.integer(UInt64(2))
                out.string("one")
                out.string("two")
            },
        ]
        let whole = file.bytes
        #expect(try GGUFReader(scratch.write("whole", whole)).tensors.count == 1)
        for count in 0..<whole.count {
            try expectRefused("\(count) bytes", Array(whole[..<count]), in: scratch) { try GGUFReader($0) }
        }
    }

    @Test(arguments: hostileGGUFs.indices) func refuses(_ index: Int) throws {
        let (name, bytes, message) = hostileGGUFs[index]
        try expectRefused(name, bytes, in: Scratch(), saying: message.isEmpty ? nil : message) { try GGUFReader($0) }
    }

    /// A sparse file costs its maker nothing, so what is kept of it must be bounded by more than its length.
    @Test func aSparseFileTakesLittleMemory() throws {
        let scratch = Scratch()
        for (type, count) in [(UInt32(0), UInt64(1 << 28)), (8, 1 << 26), (7, 1 << 28), (10, 1 << 26), (6, 1 << 28)] {
            let path = try scratch.write("sparse", SmallGGUF.array(type, count))
            #expect(truncate(path, 1 << 31) == 0)
            do {
                _ = try GGUFReader(path)
                Issue.record("opened")
            } catch let error as CheckpointError {
                #expect(error.description.contains("too much memory"))
            }
        }
    }

    @Test func writersRefuseWhatCannotBeStored() throws {
        let scratch = Scratch()
        func plan(_ name: String, _ dtype: DType, _ shape: [Int]) throws -> TensorPlan {
            try TensorPlan(name: name, dtype: dtype, shape: #require(Shape(shape)))
        }
        for tensors in [
            [try plan("a", .u64, [1])], [try plan("a", .f32, [1, 1, 1, 1, 1])],
            [try plan(String(repeating: "a", count: 64), .f32, [1])], [try plan("a", .f32, [1]), try plan("a", .f32, [1])],
        ] {
            #expect(throws: CheckpointError.self) {
                try GGUFWriter(in: scratch.path, name: "x.gguf", tensors: tensors, metadata: [:])
            }
        }
        #expect(throws: CheckpointError.self) {
            try GGUFWriter(in: scratch.path, name: "x.gguf", tensors: [], metadata: ["general.alignment": .u32(3)])
        }
        #expect(scratch.names.isEmpty)
    }
}
