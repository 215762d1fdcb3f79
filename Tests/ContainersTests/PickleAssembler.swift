// Hand-assembled pickles and archives for the tests: every opcode by name, every field of a zip at will.

import Bytes
import Containers
import Foundation
import Tensors

/// Pieces of a pickle, to be joined with `+`.
enum Op {
    static func bytes(_ values: UInt8...) -> [UInt8] { values }
    static func le<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }

    static func proto(_ version: UInt8 = 2) -> [UInt8] { [0x80, version] }
    static let stop: [UInt8] = [0x2E]
    static let none: [UInt8] = [0x4E]
    static let yes: [UInt8] = [0x88]
    static let no: [UInt8] = [0x89]
    static let mark: [UInt8] = [0x28]
    static let tuple: [UInt8] = [0x74]
    static let tuple1: [UInt8] = [0x85]
    static let tuple2: [UInt8] = [0x86]
    static let emptyTuple: [UInt8] = [0x29]
    static let emptyDict: [UInt8] = [0x7D]
    static let emptyList: [UInt8] = [0x5D]
    static let setItem: [UInt8] = [0x73]
    static let setItems: [UInt8] = [0x75]
    static let append: [UInt8] = [0x61]
    static let appends: [UInt8] = [0x65]
    static let reduce: [UInt8] = [0x52]
    static let build: [UInt8] = [0x62]
    static let newObj: [UInt8] = [0x81]
    static let newObjEx: [UInt8] = [0x92]
    static let obj: [UInt8] = [0x6F]
    static let persID: [UInt8] = [0x51]
    static let stackGlobal: [UInt8] = [0x93]
    static let memoize: [UInt8] = [0x94]
    static let pop: [UInt8] = [0x30]
    static let dup: [UInt8] = [0x32]

    static func int(_ value: Int) -> [UInt8] {
        value >= 0 && value < 256 ? [0x4B, UInt8(value)] : [0x8A, 8] + le(Int64(value))
    }
    static func text(_ text: String) -> [UInt8] { [0x58] + le(UInt32(text.utf8.count)) + Array(text.utf8) }
    static func global(_ module: String, _ name: String) -> [UInt8] { [0x63] + Array("\(module)\n\(name)\n".utf8) }
    static func inst(_ module: String, _ name: String) -> [UInt8] { [0x69] + Array("\(module)\n\(name)\n".utf8) }
    static func put(_ index: UInt8) -> [UInt8] { [0x71, index] }
    static func get(_ index: UInt8) -> [UInt8] { [0x68, index] }

    static func persistent(type: String = "FloatStorage", key: String = "0", count: Int, module: String = "torch") -> [UInt8] {
        mark + text("storage") + global(module, type) + text(key) + text("cpu") + int(count) + tuple + persID
    }

    /// As in the older stream, with the part of the storage it is, or NONE.
    static func persistentInStream(type: String = "FloatStorage", count: Int, part: [UInt8] = none) -> [UInt8] {
        mark + text("storage") + global("torch", type) + text("0") + text("cpu") + int(count) + part + tuple + persID
    }

    static func ints(_ values: [Int]) -> [UInt8] { mark + values.flatMap(int) + tuple }

    static let orderedDict = global("collections", "OrderedDict") + emptyTuple + reduce

    /// A tensor as torch.save writes it.
    static func tensor(
        storage: [UInt8]? = nil, count: Int = 6, offset: Int = 0, shape: [Int] = [2, 3], strides: [Int] = [3, 1],
        function: String = "_rebuild_tensor_v2", tail: [UInt8] = []
    ) -> [UInt8] {
        global("torch._utils", function) + mark + (storage ?? persistent(count: count)) + int(offset) + ints(shape)
            + ints(strides) + no + orderedDict + tail + tuple + reduce
    }

    /// {"w": value}
    static func dict(_ value: [UInt8], key: String = "w") -> [UInt8] {
        proto() + emptyDict + text(key) + value + setItem + stop
    }
}

/// A zip entry with every field at will; what is nil is what it should be.
struct TestZipEntry {
    var name: String
    var data: [UInt8]
    var flags: UInt16 = 0
    var method: UInt16 = 0
    var crc: UInt32?
    var size: UInt32?
    var stored: UInt32?
    var localName: String?
    var localFlags: UInt16?
    var localMethod: UInt16?
    var localCRC: UInt32?
    var localSize: UInt32?
    var localExtra: [UInt8] = []
    var extra: [UInt8] = []
    var offset: UInt32?
    /// Bytes after the data: a descriptor, or what should not be there.
    var after: [UInt8] = []

    init(_ name: String, _ data: [UInt8]) {
        self.name = name
        self.data = data
    }

    init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
}

struct TestZip {
    var entries: [TestZipEntry]
    var before: [UInt8] = []
    var beforeDirectory: [UInt8] = []
    var comment: [UInt8] = []
    var commentLength: UInt16?
    var after: [UInt8] = []
    var count: UInt16?
    var directorySize: UInt32?
    var directoryOffset: UInt32?

    init(_ entries: [TestZipEntry]) { self.entries = entries }

    /// A PyTorch archive around a pickle and its storages, keys 0, 1, ...
    init(pickle: [UInt8], storages: [[UInt8]] = [[UInt8](repeating: 7, count: 24)]) {
        entries = [TestZipEntry("a/data.pkl", pickle), TestZipEntry("a/byteorder", "little")]
        entries += storages.enumerated().map { TestZipEntry("a/data/\($0.offset)", $0.element) }
        entries.append(TestZipEntry("a/version", "3\n"))
    }

    var bytes: [UInt8] {
        var out = before
        var directory: [UInt8] = []
        for entry in entries {
            let crc = entry.crc ?? CRC32(entry.data).value
            let size = UInt32(entry.data.count)
            let offset = UInt32(out.count)
            let localName = Array((entry.localName ?? entry.name).utf8)
            out += Op.le(UInt32(0x0403_4B50)) + Op.le(UInt16(20)) + Op.le(entry.localFlags ?? entry.flags)
            out += Op.le(entry.localMethod ?? entry.method) + Op.le(UInt32(0)) + Op.le(entry.localCRC ?? crc)
            out += Op.le(entry.localSize ?? entry.stored ?? size) + Op.le(entry.localSize ?? entry.size ?? size)
            out += Op.le(UInt16(localName.count)) + Op.le(UInt16(entry.localExtra.count)) + localName
            out += entry.localExtra + entry.data + entry.after
            let name = Array(entry.name.utf8)
            directory += Op.le(UInt32(0x0201_4B50)) + Op.le(UInt32(0x0014_0014)) + Op.le(entry.flags)
            directory += Op.le(entry.method) + Op.le(UInt32(0)) + Op.le(crc) + Op.le(entry.stored ?? size)
            directory += Op.le(entry.size ?? size) + Op.le(UInt16(name.count)) + Op.le(UInt16(entry.extra.count))
            directory += [UInt8](repeating: 0, count: 10) + Op.le(entry.offset ?? offset) + name + entry.extra
        }
        out += beforeDirectory
        let start = out.count
        out += directory
        out += Op.le(UInt32(0x0605_4B50)) + Op.le(UInt32(0)) + Op.le(count ?? UInt16(entries.count))
        out += Op.le(count ?? UInt16(entries.count)) + Op.le(directorySize ?? UInt32(directory.count))
        out += Op.le(directoryOffset ?? UInt32(start)) + Op.le(commentLength ?? UInt16(comment.count)) + comment + after
        return out
    }
}

/// The older stream around a pickle and its storages.
func testStream(
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

/// Does something with a file that holds these bytes.
func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "pannier-test-\(UUID().uuidString)"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// What opening these bytes as a checkpoint says: nil when all is well.
func openingFault(_ bytes: [UInt8], strict: Bool = true) throws -> CheckpointError? {
    try withFile(bytes) { path in
        do {
            let reader = try PyTorchReader(path, strict: strict)
            for tensor in reader.tensors where tensor.byteCount < 1 << 20 { _ = try reader.readAll(tensor) }
            return nil
        } catch let error as CheckpointError {
            return error
        }
    }
}
