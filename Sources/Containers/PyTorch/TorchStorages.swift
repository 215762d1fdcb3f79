// The storages that a pickle names by persistent ids.
//
// Source: torch/serialization.py, persistent_id of _save and _legacy_save: ('storage', type, key, location, elements),
// and in the older stream a sixth member: None, or (view key, offset, elements) for a storage that is part of another.

import Bytes
import Tensors

/// A storage as the pickle declares it.
struct TorchStorage {
    let key: String
    /// The elements' type; nil for bytes whose type the tensor says.
    let dtype: DType?
    /// In elements of `dtype`, or bytes.
    let count: Int
    let byteCount: Int
}

/// What one persistent id stands for: a storage or part of it.
struct TorchStorageView {
    /// Index in `TorchStorages.all`.
    let storage: Int
    /// In elements of the storage.
    let offset: Int
    let count: Int
}

struct TorchStorages {
    private(set) var all: [TorchStorage] = []
    /// Parallel to the graph's persistent ids.
    private(set) var views: [TorchStorageView] = []
    private var places: [ExactText: Int] = [:]

    /// Checks every persistent id of a pickle; two that name one storage must agree.
    /// - Parameter legacy: whether ids have the older stream's sixth member.
    init(_ graph: PickleGraph, legacy: Bool, file: File, place: String?) throws {
        for (tuple, offset) in graph.persistent {
            func fault(_ message: String, expected: String? = nil, found: String? = nil) -> CheckpointError {
                .malformed(
                    message, file: file.path, place: place, offset: offset, expected: expected, found: found,
                    remedy: "do not trust this file")
            }
            let members = graph.elements(tuple)
            guard let kind = members.first.flatMap({ graph.text($0) }) else {
                throw fault("a persistent id that names no storage")
            }
            guard kind == "storage" else {
                throw CheckpointError.unsupported(
                    "a persistent id of the kind \(String(kind.prefix(40)))", file: file.path, place: place,
                    offset: offset, expected: "'storage'",
                    remedy: "save the model's state_dict() instead of the model")
            }
            guard members.count == (legacy ? 6 : 5), case .global(let global) = graph[members[1]],
                let key = graph.key(members[2]), graph.text(members[3]) != nil,
                case .integer(let elements) = graph[members[4]]
            else {
                throw fault(
                    "a persistent id of the wrong form", expected: "('storage', type, key, location, elements)")
            }
            let dtype: DType?
            switch graph.roles[Int(global)] {
            case .storageType(let type?): dtype = type
            case .untypedStorage: dtype = nil
            case .storageType(nil):
                throw CheckpointError.unsupported(
                    "a storage of quantized numbers (\(graph.globals[Int(global)].name))", file: file.path,
                    place: key, offset: offset, remedy: "dequantize the model in PyTorch and save it again")
            default:
                throw fault("a storage of the type \(graph.globals[Int(global)].name)", expected: "a storage type")
            }
            guard let count = Int(exactly: elements), count >= 0,
                let byteCount = (dtype ?? .u8).byteCount(elements: count)
            else { throw fault("storage \(key) claims \(elements) elements") }
            let index: Int
            if let known = places[ExactText(key)] {
                guard all[known].dtype == dtype, all[known].count == count else {
                    throw fault(
                        "storage \(key) is claimed twice and differently",
                        expected: "\(all[known].count) × \(all[known].dtype?.rawValue ?? "bytes")",
                        found: "\(count) × \(dtype?.rawValue ?? "bytes")")
                }
                index = known
            } else {
                index = all.count
                all.append(TorchStorage(key: key, dtype: dtype, count: count, byteCount: byteCount))
                places[ExactText(key)] = index
            }
            views.append(
                try TorchStorages.view(of: index, count: count, member: legacy ? members[5] : nil, graph) {
                    fault("storage \(key) is part of another, outside of it")
                })
        }
    }

    private static func view(
        of storage: Int, count: Int, member: PickleID?, _ graph: PickleGraph, fault: () -> CheckpointError
    ) throws -> TorchStorageView {
        guard let member else { return TorchStorageView(storage: storage, offset: 0, count: count) }
        switch graph[member] {
        case .none: return TorchStorageView(storage: storage, offset: 0, count: count)
        case .tuple(let tuple):
            let parts = graph.elements(tuple)
            guard parts.count == 3, case .integer(let offset) = graph[parts[1]],
                case .integer(let length) = graph[parts[2]], let offset = Int(exactly: offset), offset >= 0,
                let length = Int(exactly: length), length >= 0, let end = offset.adding(length), end <= count
            else { throw fault() }
            return TorchStorageView(storage: storage, offset: offset, count: length)
        default: throw fault()
        }
    }

    subscript(key: String) -> Int? { places[ExactText(key)] }
}

extension PickleGraph {
    /// A text, in Python 2's form as well.
    func text(_ id: PickleID) -> String? {
        switch self[id] {
        case .string(let text): text
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        default: nil
        }
    }

    /// A key of a storage or dictionary: a text, or an integer (litgpt's incremental_save numbers its storages).
    func key(_ id: PickleID) -> String? {
        if case .integer(let number) = self[id] { return String(number) }
        return text(id)
    }
}
