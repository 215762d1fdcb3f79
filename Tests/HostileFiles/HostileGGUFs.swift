// GGUF files of which every part can be made wrong, and those that must be refused.

/// A small file, every part of which can be made wrong.
package struct SmallGGUF {
    package struct Tensor {
        package var name: [UInt8]
        package var rank: UInt32?
        package var dimensions: [UInt64] = [32]
        package var type: UInt32 = 0
        package var offset: UInt64

        package init(name: [UInt8] = Array("t".utf8), offset: UInt64 = 0) {
            self.name = name
            self.offset = offset
        }
    }

    package var magic = Array("GGUF".utf8)
    package var version: UInt32
    package var tensorCount: UInt64?
    package var pairCount: UInt64?
    package var tensors: [Tensor]
    /// Key, type and value, as they stand in the file.
    package var pairs: [[UInt8]] = []
    package var alignment = 32
    package var data: Int
    package var isBig: Bool

    package init(version: UInt32 = 3, tensors: [Tensor] = [Tensor()], data: Int = 128, isBig: Bool = false) {
        self.version = version
        self.tensors = tensors
        self.data = data
        self.isBig = isBig
    }

    package static func pair(_ key: String, _ type: UInt32, _ value: (inout Builder) -> Void) -> [UInt8] {
        var out = Builder()
        out.string(key)
        out.integer(type)
        value(&out)
        return out.bytes
    }

    package var bytes: [UInt8] {
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

extension SmallGGUF {
    package static func with(_ change: (inout SmallGGUF) -> Void) -> [UInt8] {
        var file = SmallGGUF()
        change(&file)
        return file.bytes
    }

    package static func with(_ key: String, _ type: UInt32, _ value: (inout Builder) -> Void) -> [UInt8] {
        with { $0.pairs = [SmallGGUF.pair(key, type, value)] }
    }

    package static func array(_ type: UInt32, _ count: UInt64, _ bytes: [UInt8] = []) -> [UInt8] {
        with("a", 9) {
            $0.integer(type)
            $0.integer(count)
            $0.raw(bytes)
        }
    }
}

/// Name, bytes, and a part of what is said.
package let hostileGGUFs: [(String, [UInt8], String)] = [
    ("another magic", SmallGGUF.with { $0.magic = Array("GGML".utf8) }, "not a GGUF"),
    ("version 0", SmallGGUF.with { $0.version = 0 }, "version 0"),
    ("version 1", SmallGGUF.with { $0.version = 1 }, "version 1"),
    ("version 4", SmallGGUF.with { $0.version = 4 }, "version 4"),
    ("a huge version", SmallGGUF.with { $0.version = 0xFFFF_0000 }, "version"),
    ("more tensors than bytes", SmallGGUF.with { $0.tensorCount = 1 << 20 }, "so many tensors"),
    ("2^64 - 1 tensors", SmallGGUF.with { $0.tensorCount = .max }, "so many tensors"),
    ("more keys than bytes", SmallGGUF.with { $0.pairCount = 1000 }, "so many keys"),
    ("2^64 - 1 keys", SmallGGUF.with { $0.pairCount = .max }, "so many keys"),
    ("an empty key", SmallGGUF.with("", 0) { $0.raw([1]) }, "empty"),
    ("a key with a zero byte", SmallGGUF.with("a\0b", 0) { $0.raw([1]) }, "zero byte"),
    ("a key twice", SmallGGUF.with { $0.pairs = Array(repeating: SmallGGUF.pair("k", 0) { $0.raw([1]) }, count: 2) }, "twice"),
    ("an unknown type", SmallGGUF.with("k", 13) { $0.raw([1]) }, "unknown"),
    ("a negative type", SmallGGUF.with("k", 0xFFFF_FFFF) { $0.raw([1]) }, "unknown"),
    ("a truth value of 2", SmallGGUF.with("k", 7) { $0.raw([2]) }, "truth value"),
    ("a string of 2^64 - 1 bytes", SmallGGUF.with("k", 8) { $0.integer(UInt64.max) }, "too long"),
    ("a string of 2^30 bytes", SmallGGUF.with("k", 8) { $0.integer(UInt64(1 << 30)) }, ""),
    ("an array of 2^64 - 1", SmallGGUF.array(0, .max), "so long an array"),
    ("an array of 2^61 u64", SmallGGUF.array(10, 1 << 61), "so long an array"),
    ("an array of 2^62 f32", SmallGGUF.array(6, 1 << 62), "so long an array"),
    ("an array of strings", SmallGGUF.array(8, 1 << 29), "so long an array"),
    ("an array that is short", SmallGGUF.array(4, 200, Array(repeating: 0, count: 40)), "so long an array"),
    ("an array of arrays", SmallGGUF.array(9, 1, Array(repeating: 0, count: 40)), "arrays within arrays"),
    ("an array of unknowns", SmallGGUF.array(99, 1), "unknown"),
    ("alignment 0", SmallGGUF.with("general.alignment", 4) { $0.integer(UInt32(0)) }, "power of two"),
    ("alignment 48", SmallGGUF.with("general.alignment", 4) { $0.integer(UInt32(48)) }, "power of two"),
    ("alignment 2^31", SmallGGUF.with("general.alignment", 4) { $0.integer(UInt32(1 << 31)) }, "beyond the end"),
    ("an alignment of u64", SmallGGUF.with("general.alignment", 10) { $0.integer(UInt64(32)) }, "power of two"),
    ("no name", SmallGGUF.with { $0.tensors[0].name = [] }, "empty"),
    ("a name of 64 bytes", SmallGGUF.with { $0.tensors[0].name = Array(repeating: 97, count: 64) }, "too long"),
    ("a name that is no text", SmallGGUF.with { $0.tensors[0].name = [0xFF] }, "UTF-8"),
    ("a name with a zero byte", SmallGGUF.with { $0.tensors[0].name = [97, 0, 98] }, "zero byte"),
    ("a name twice", SmallGGUF.with { file in
        file.tensors.append(file.tensors[0])
        file.tensors[1].offset = 128
        file.data = 256
    }, "twice"),
    ("five dimensions", SmallGGUF.with { $0.tensors[0].dimensions = [2, 2, 2, 2, 2] }, "dimensions"),
    ("2^32 - 1 dimensions", SmallGGUF.with { $0.tensors[0].rank = .max }, "dimensions"),
    ("a dimension of 2^63", SmallGGUF.with { $0.tensors[0].dimensions = [1 << 63] }, "does not fit"),
    ("a product that wraps", SmallGGUF.with { $0.tensors[0].dimensions = [1 << 32, 1 << 32] }, "does not fit"),
    ("a product that wraps beside a zero", SmallGGUF.with { $0.tensors[0].dimensions = [1 << 32, 1 << 32, 0] }, "does not fit"),
    ("bytes that wrap", SmallGGUF.with { $0.tensors[0].dimensions = [1 << 61, 2] }, ""),
    ("a size whose padding wraps", SmallGGUF.with { file in
        file.tensors[0].type = 24
        file.tensors[0].dimensions = [UInt64(Int64.max)]
    }, "beyond the end"),
    ("a removed type", SmallGGUF.with { $0.tensors[0].type = 4 }, "removed"),
    ("an unknown tensor type", SmallGGUF.with { $0.tensors[0].type = 43 }, "unknown"),
    ("a negative tensor type", SmallGGUF.with { $0.tensors[0].type = .max }, "unknown"),
    ("a row of half a block", SmallGGUF.with { file in
        file.tensors[0].type = 8
        file.tensors[0].dimensions = [16, 2]
    }, "whole number"),
    ("an offset that is not 0", SmallGGUF.with { $0.tensors[0].offset = 32 }, "does not follow"),
    ("an offset of 2^64 - 32", SmallGGUF.with { $0.tensors[0].offset = .max - 31 }, ""),
    ("overlap", SmallGGUF.with { file in
        file.tensors.append(SmallGGUF.Tensor(name: [98], offset: 64))
        file.data = 256
    }, "does not follow"),
    ("gap", SmallGGUF.with { file in
        file.tensors.append(SmallGGUF.Tensor(name: [98], offset: 256))
        file.data = 512
    }, "does not follow"),
    ("offsets out of order", SmallGGUF.with { file in
        file.tensors.append(SmallGGUF.Tensor(name: [98], offset: 0))
        file.tensors[0].offset = 128
        file.data = 256
    }, "does not follow"),
    ("data that is short", SmallGGUF.with { $0.data = 127 }, "beyond the end"),
    ("split of too many", SmallGGUF.with("split.count", 2) { $0.integer(UInt16.max) }, "named"),
]
