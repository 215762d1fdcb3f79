// Hand-assembled pickles: every opcode by name.

import Bytes

/// Pieces of a pickle, to be joined with `+`.
package enum Op {
    package static func bytes(_ values: UInt8...) -> [UInt8] { values }
    package static func le<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }

    package static func proto(_ version: UInt8 = 2) -> [UInt8] { [0x80, version] }
    package static let stop: [UInt8] = [0x2E]
    package static let none: [UInt8] = [0x4E]
    package static let yes: [UInt8] = [0x88]
    package static let no: [UInt8] = [0x89]
    package static let mark: [UInt8] = [0x28]
    package static let tuple: [UInt8] = [0x74]
    package static let tuple1: [UInt8] = [0x85]
    package static let tuple2: [UInt8] = [0x86]
    package static let emptyTuple: [UInt8] = [0x29]
    package static let emptyDict: [UInt8] = [0x7D]
    package static let emptyList: [UInt8] = [0x5D]
    package static let setItem: [UInt8] = [0x73]
    package static let setItems: [UInt8] = [0x75]
    package static let append: [UInt8] = [0x61]
    package static let appends: [UInt8] = [0x65]
    package static let reduce: [UInt8] = [0x52]
    package static let build: [UInt8] = [0x62]
    package static let newObj: [UInt8] = [0x81]
    package static let newObjEx: [UInt8] = [0x92]
    package static let obj: [UInt8] = [0x6F]
    package static let persID: [UInt8] = [0x51]
    package static let stackGlobal: [UInt8] = [0x93]
    package static let memoize: [UInt8] = [0x94]
    package static let pop: [UInt8] = [0x30]
    package static let dup: [UInt8] = [0x32]

    package static func int(_ value: Int) -> [UInt8] {
        value >= 0 && value < 256 ? [0x4B, UInt8(value)] : [0x8A, 8] + le(Int64(value))
    }
    package static func text(_ text: String) -> [UInt8] { [0x58] + le(UInt32(text.utf8.count)) + Array(text.utf8) }
    package static func global(_ module: String, _ name: String) -> [UInt8] { [0x63] + Array("\(module)\n\(name)\n".utf8) }
    package static func inst(_ module: String, _ name: String) -> [UInt8] { [0x69] + Array("\(module)\n\(name)\n".utf8) }
    package static func put(_ index: UInt8) -> [UInt8] { [0x71, index] }
    package static func get(_ index: UInt8) -> [UInt8] { [0x68, index] }

    package static func persistent(type: String = "FloatStorage", key: String = "0", count: Int, module: String = "torch") -> [UInt8] {
        mark + text("storage") + global(module, type) + text(key) + text("cpu") + int(count) + tuple + persID
    }

    /// As in the older stream, with the part of the storage it is, or NONE.
    package static func persistentInStream(type: String = "FloatStorage", count: Int, part: [UInt8] = none) -> [UInt8] {
        mark + text("storage") + global("torch", type) + text("0") + text("cpu") + int(count) + part + tuple + persID
    }

    package static func ints(_ values: [Int]) -> [UInt8] { mark + values.flatMap(int) + tuple }

    package static let orderedDict = global("collections", "OrderedDict") + emptyTuple + reduce

    /// A tensor as torch.save writes it.
    package static func tensor(
        storage: [UInt8]? = nil, count: Int = 6, offset: Int = 0, shape: [Int] = [2, 3], strides: [Int] = [3, 1],
        function: String = "_rebuild_tensor_v2", tail: [UInt8] = []
    ) -> [UInt8] {
        global("torch._utils", function) + mark + (storage ?? persistent(count: count)) + int(offset) + ints(shape)
            + ints(strides) + no + orderedDict + tail + tuple + reduce
    }

    /// {"w": value}
    package static func dict(_ value: [UInt8], key: String = "w") -> [UInt8] {
        proto() + emptyDict + text(key) + value + setItem + stop
    }
}

/// The older stream around a pickle and its storages.
package func testStream(
    pickle: [UInt8], keys: [String] = ["0"], storages: [(count: UInt64, bytes: [UInt8])] = [
        (6, [UInt8](repeating: 7, count: 24))
    ]
) -> [UInt8] {
    var out: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]
    out += Op.proto() + Op.bytes(0x4D, 0xE9, 0x03) + Op.stop
    out += Op.proto() + Op.emptyDict + Op.stop
    out += pickle
    out += Op.proto() + Op.emptyList + Op.mark + keys.flatMap(Op.text) + Op.appends + Op.stop
    for storage in storages { out += Op.le(storage.count) + storage.bytes }
    return out
}
