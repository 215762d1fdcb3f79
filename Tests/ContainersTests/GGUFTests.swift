// GGUF: what gguf-py and llama-gguf-split wrote, and what must be refused.

import Bytes
import Containers
import Foundation
import OrderedCollections
import Tensors
import Testing

/// A small file, every part of which can be made wrong.
struct SmallGGUF {
    struct Tensor {
        var name = Array("t".utf8)
        var rank: UInt32?
        var dimensions: [UInt64] = [32]
        var type: UInt32 = 0
        var offset: UInt64 = 0
    }

    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var pairCount: UInt64?
    var tensors = [Tensor()]
    /// Key, type and value, as they stand in the file.
    var pairs: [[UInt8]] = []
    var alignment = 32
    var data = 128
    var isBig = false

    static func pair(_ key: String, _ type: UInt32, _ value: (inout Builder) -> Void) -> [UInt8] {
        var out = Builder()
        out.string(key)
        out.integer(type)
        value(&out)
        return out.bytes
    }

    var bytes: [UInt8] {
        var out = Builder()
        out.isBig = isBig
        out.raw(magic)
        out.integer(version)
        out.integer(tensorCount ?? UInt64(tensors.count))
        out.integer(pairCount ?? UInt64(pairs.count))
        for pair in pairs { out.raw(pair) }
        for tensor in tensors {
            out.string(tensor.name)
            out.integer(tensor.rank ?? UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { out.integer(dimension) }
            out.integer(tensor.type)
            out.integer(tensor.offset)
        }
        while out.bytes.count % alignment != 0 { out.raw([0]) }
        out.raw(Array(repeating: 7, count: data))
        return out.bytes
    }
}

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
            GGUFSplit.spread(tensors, limit: .tensors(4)), prefix: "tensors", metadata: reader.metadata,
            tensorCount: tensors.count, countComesLast: true)
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

    static func with(_ change: (inout SmallGGUF) -> Void) -> [UInt8] {
        var file = SmallGGUF()
        change(&file)
        return file.bytes
    }

    static func with(_ key: String, _ type: UInt32, _ value: (inout Builder) -> Void) -> [UInt8] {
        with { $0.pairs = [SmallGGUF.pair(key, type, value)] }
    }

    static func array(_ type: UInt32, _ count: UInt64, _ bytes: [UInt8] = []) -> [UInt8] {
        with("a", 9) {
            $0.integer(type)
            $0.integer(count)
            $0.raw(bytes)
        }
    }

    static let hostile: [(String, [UInt8], String)] = [
        ("another magic", with { $0.magic = Array("GGML".utf8) }, "not a GGUF"),
        ("version 0", with { $0.version = 0 }, "version 0"),
        ("version 1", with { $0.version = 1 }, "version 1"),
        ("version 4", with { $0.version = 4 }, "version 4"),
        ("a huge version", with { $0.version = 0xFFFF_0000 }, "version"),
        ("more tensors than bytes", with { $0.tensorCount = 1 << 20 }, "so many tensors"),
        ("2^64 - 1 tensors", with { $0.tensorCount = .max }, "so many tensors"),
        ("more keys than bytes", with { $0.pairCount = 1000 }, "so many keys"),
        ("2^64 - 1 keys", with { $0.pairCount = .max }, "so many keys"),
        ("an empty key", with("", 0) { $0.raw([1]) }, "empty"),
        ("a key with a zero byte", with("a\0b", 0) { $0.raw([1]) }, "zero byte"),
        ("a key twice", with { $0.pairs = Array(repeating: SmallGGUF.pair("k", 0) { $0.raw([1]) }, count: 2) }, "twice"),
        ("an unknown type", with("k", 13) { $0.raw([1]) }, "unknown"),
        ("a negative type", with("k", 0xFFFF_FFFF) { $0.raw([1]) }, "unknown"),
        ("a truth value of 2", with("k", 7) { $0.raw([2]) }, "truth value"),
        ("a string of 2^64 - 1 bytes", with("k", 8) { $0.integer(UInt64.max) }, "too long"),
        ("a string of 2^30 bytes", with("k", 8) { $0.integer(UInt64(1 << 30)) }, ""),
        ("an array of 2^64 - 1", array(0, .max), "so long an array"),
        ("an array of 2^61 u64", array(10, 1 << 61), "so long an array"),
        ("an array of 2^62 f32", array(6, 1 << 62), "so long an array"),
        ("an array of strings", array(8, 1 << 29), "so long an array"),
        ("an array that is short", array(4, 200, Array(repeating: 0, count: 40)), "so long an array"),
        ("an array of arrays", array(9, 1, Array(repeating: 0, count: 40)), "arrays within arrays"),
        ("an array of unknowns", array(99, 1), "unknown"),
        ("alignment 0", with("general.alignment", 4) { $0.integer(UInt32(0)) }, "power of two"),
        ("alignment 48", with("general.alignment", 4) { $0.integer(UInt32(48)) }, "power of two"),
        ("alignment 2^31", with("general.alignment", 4) { $0.integer(UInt32(1 << 31)) }, "beyond the end"),
        ("an alignment of u64", with("general.alignment", 10) { $0.integer(UInt64(32)) }, "power of two"),
        ("no name", with { $0.tensors[0].name = [] }, "empty"),
        ("a name of 64 bytes", with { $0.tensors[0].name = Array(repeating: 97, count: 64) }, "too long"),
        ("a name that is no text", with { $0.tensors[0].name = [0xFF] }, "UTF-8"),
        ("a name with a zero byte", with { $0.tensors[0].name = [97, 0, 98] }, "zero byte"),
        ("a name twice", with { file in
            file.tensors.append(file.tensors[0])
            file.tensors[1].offset = 128
            file.data = 256
        }, "twice"),
        ("five dimensions", with { $0.tensors[0].dimensions = [2, 2, 2, 2, 2] }, "dimensions"),
        ("2^32 - 1 dimensions", with { $0.tensors[0].rank = .max }, "dimensions"),
        ("a dimension of 2^63", with { $0.tensors[0].dimensions = [1 << 63] }, "does not fit"),
        ("a product that wraps", with { $0.tensors[0].dimensions = [1 << 32, 1 << 32] }, "does not fit"),
        ("a product that wraps beside a zero", with { $0.tensors[0].dimensions = [1 << 32, 1 << 32, 0] }, "does not fit"),
        ("bytes that wrap", with { $0.tensors[0].dimensions = [1 << 61, 2] }, ""),
        ("a size whose padding wraps", with { file in
            file.tensors[0].type = 24
            file.tensors[0].dimensions = [UInt64(Int64.max)]
        }, "beyond the end"),
        ("a removed type", with { $0.tensors[0].type = 4 }, "removed"),
        ("an unknown tensor type", with { $0.tensors[0].type = 43 }, "unknown"),
        ("a negative tensor type", with { $0.tensors[0].type = .max }, "unknown"),
        ("a row of half a block", with { file in
            file.tensors[0].type = 8
            file.tensors[0].dimensions = [16, 2]
        }, "whole number"),
        ("an offset that is not 0", with { $0.tensors[0].offset = 32 }, "does not follow"),
        ("an offset of 2^64 - 32", with { $0.tensors[0].offset = .max - 31 }, ""),
        ("overlap", with { file in
            file.tensors.append(SmallGGUF.Tensor(name: [98], offset: 64))
            file.data = 256
        }, "does not follow"),
        ("gap", with { file in
            file.tensors.append(SmallGGUF.Tensor(name: [98], offset: 256))
            file.data = 512
        }, "does not follow"),
        ("offsets out of order", with { file in
            file.tensors.append(SmallGGUF.Tensor(name: [98], offset: 0))
            file.tensors[0].offset = 128
            file.data = 256
        }, "does not follow"),
        ("data that is short", with { $0.data = 127 }, "beyond the end"),
        ("split of too many", with("split.count", 2) { $0.integer(UInt16.max) }, "named"),
    ]

    @Test(arguments: hostile.indices) func refuses(_ index: Int) throws {
        let (name, bytes, message) = Self.hostile[index]
        try expectRefused(name, bytes, in: Scratch(), saying: message.isEmpty ? nil : message) { try GGUFReader($0) }
    }

    /// A sparse file costs its maker nothing, so what is kept of it must be bounded by more than its length.
    @Test func aSparseFileTakesLittleMemory() throws {
        let scratch = Scratch()
        for (type, count) in [(UInt32(0), UInt64(1 << 28)), (8, 1 << 26), (7, 1 << 28), (10, 1 << 26), (6, 1 << 28)] {
            let path = try scratch.write("sparse", Self.array(type, count))
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
