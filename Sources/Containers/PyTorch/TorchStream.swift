// The form of torch.save from before PyTorch 1.6: five pickles and then the storages, one after another.
//
// Source: torch/serialization.py, _legacy_save and _legacy_load: a magic number, the protocol version, facts about the
// machine, the object, the keys of the storages; then for each key, in that order, the number of its elements in 8
// bytes and the elements. Both are little-endian on every machine (torch/csrc/serialization.cpp).

import Bytes
import Tensors

struct TorchStream {
    let graph: PickleGraph
    let storages: TorchStorages
    /// Where the elements of each storage lie; parallel to `storages.all`.
    let extents: [FileExtent]

    /// The magic number 0x1950a86a20f9469cfc6c, least significant byte first, as LONG1 has it.
    private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    private static let version: Int64 = 1001

    /// A pickle of the magic number: PROTO, from protocol 4 on perhaps FRAME, LONG1.
    static func begins(with head: [UInt8]) -> Bool {
        guard head.count >= 15, head[0] == PickleOpcode.proto.rawValue else { return false }
        let at = head[2] == PickleOpcode.frame.rawValue ? 11 : 2
        return head.count >= at + 12 && Array(head[at..<at + 2]) == [PickleOpcode.long1.rawValue, 10]
            && Array(head[at + 2..<at + 12]) == magic
    }

    init(_ file: File, strict: Bool) throws {
        var offset: UInt64 = 0
        func next(strict: Bool, limit: UInt64 = 1 << 16) throws -> PickleGraph {
            let end = file.size - offset > limit ? offset + limit : file.size
            let (graph, after) = try PickleMachine.run(PickleInput(file, at: offset, end: end), strict: strict)
            offset = after
            return graph
        }
        let magic = try next(strict: true)
        guard case .longInteger(let bytes) = magic[magic.root], bytes == TorchStream.magic else {
            throw CheckpointError.malformed("the magic number is wrong", file: file.path, offset: 0)
        }
        let version = try next(strict: true)
        guard case .integer(let number) = version[version.root], number == TorchStream.version else {
            throw CheckpointError.unsupported(
                "an unknown version of the stream", file: file.path, offset: 0, expected: "\(TorchStream.version)")
        }
        let machine = try next(strict: true)
        guard case .dict = machine[machine.root] else {
            throw CheckpointError.malformed("the facts about the machine are no dictionary", file: file.path)
        }
        graph = try next(strict: strict, limit: PickleLimits.bytes)
        do {
            storages = try TorchStorages(graph, legacy: true, file: file, place: nil)
            let keysStart = offset
            let keys = try next(strict: true, limit: PickleLimits.bytes)
            guard case .list(let list) = keys[keys.root] else {
                throw CheckpointError.malformed("the keys of the storages are no list", file: file.path, offset: keysStart)
            }
            extents = try TorchStream.place(keys, keys.elements(list), storages, file, from: offset)
        } catch let error as CheckpointError {
            throw error.naming(graph.globals)
        }
    }

    /// Walks over the storages to learn where each begins.
    private static func place(
        _ graph: PickleGraph, _ keys: [PickleID], _ storages: TorchStorages, _ file: File, from start: UInt64
    ) throws -> [FileExtent] {
        var offset = start
        var extents = [FileExtent?](repeating: nil, count: storages.all.count)
        for id in keys {
            func fault(_ message: String, expected: String? = nil, found: String? = nil) -> CheckpointError {
                .malformed(
                    message, file: file.path, place: graph.key(id).map { "storage " + $0 }, offset: offset,
                    expected: expected, found: found, remedy: "the file is truncated, damaged or not to be trusted")
            }
            guard let key = graph.key(id), let index = storages[key] else {
                throw fault("the stream holds a storage that nothing names")
            }
            guard extents[index] == nil else { throw fault("the stream holds a storage twice") }
            let storage = storages.all[index]
            guard let data = offset.adding(8), data <= file.size else { throw fault("the stream ends too early") }
            let head = try file.bytes(at: offset, count: 8)
            let count: UInt64 = head.withUnsafeBytes { $0.littleEndian(at: 0) } ?? 0
            guard count == UInt64(storage.count) else {
                throw fault(
                    "a storage has another size than the pickle says", expected: "\(storage.count) elements",
                    found: "\(count)")
            }
            guard let end = data.adding(UInt64(storage.byteCount)), end <= file.size else {
                throw fault(
                    "the stream ends too early", expected: "\(storage.byteCount) bytes",
                    found: "\(file.size - data)")
            }
            extents[index] = FileExtent(file: file, offset: data, count: UInt64(storage.byteCount))
            offset = end
        }
        guard offset == file.size else {
            throw CheckpointError.malformed(
                "bytes follow the last storage", file: file.path, offset: offset,
                remedy: "the file is damaged or has been added to")
        }
        return try zip(storages.all, extents).map { storage, extent in
            guard let extent else {
                throw CheckpointError.malformed(
                    "the stream lacks a storage", file: file.path, place: "storage " + storage.key,
                    remedy: "the file is damaged or not to be trusted")
            }
            return extent
        }
    }
}
