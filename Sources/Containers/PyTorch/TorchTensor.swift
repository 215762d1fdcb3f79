// Tensors as a pickle describes them: which part of which storage, in which order.
//
// Source: torch/_utils.py, _rebuild_tensor, _v2, _v3, _rebuild_parameter; torch/_tensor.py, _rebuild_from_type_v2.

import Bytes
import Tensors

/// A tensor whose every element has been shown to lie within its storage.
struct TorchTensor {
    /// Index in `TorchStorages.all`.
    let storage: Int
    let dtype: DType
    let shape: Shape
    /// Elements from the storage's begin to the first.
    let offset: Int
    let strides: [Int]

    /// Whether the elements lie in row-major order without gaps.
    var isDense: Bool {
        var expected = 1
        for (size, stride) in zip(shape.dimensions, strides).reversed() where size != 1 {
            if stride != expected { return false }
            expected *= size
        }
        return true
    }
}

/// Makes tensors of the calls in a pickle.
struct TorchRebuilder {
    let graph: PickleGraph
    let storages: TorchStorages
    let file: File

    /// Wrappings of wrappings are bounded by this.
    private static let deepest = 8
    /// An expanded tensor (a stride of 0) may stand for this many elements; larger ones are an attack on the disk.
    private static let largestExpansion = 1 << 24

    /// The tensor a call makes, or nil when it makes something else.
    /// - Parameter name: for messages.
    func tensor(_ call: PickleCall, name: String) throws -> TorchTensor? {
        try tensor(
            callee: call.callee, arguments: graph.elements(call.arguments), name: name, offset: call.offset, depth: 0)
    }

    private func tensor(
        callee: Int32, arguments: [PickleID], name: String, offset: UInt64, depth: Int
    ) throws -> TorchTensor? {
        func fault(_ message: String, found: String? = nil) -> CheckpointError {
            .malformed(
                message, file: file.path, place: name, offset: offset, found: found, remedy: "do not trust this file")
        }
        guard depth < TorchRebuilder.deepest else { throw fault("a tensor is wrapped too often") }
        switch graph.roles[Int(callee)] {
        case .rebuildTensor(let version):
            return try rebuild(version, arguments, name: name, fault: fault)
        case .rebuildParameter:
            guard let first = arguments.first, case .call(let inner) = graph[first] else {
                throw fault("a parameter without a tensor")
            }
            let call = graph.calls[Int(inner)]
            guard
                let tensor = try tensor(
                    callee: call.callee, arguments: graph.elements(call.arguments), name: name, offset: offset,
                    depth: depth + 1)
            else { throw fault("a parameter without a tensor") }
            return tensor
        case .rebuildFromType:
            guard arguments.count == 4, case .global(let function) = graph[arguments[0]],
                case .global(let type) = graph[arguments[1]], case .tuple(let inner) = graph[arguments[2]]
            else { throw fault("a tensor of the wrong form") }
            guard graph.roles[Int(type)] == .tensorClass || graph.roles[Int(type)] == nil else {
                throw fault("a tensor of the class \(graph.globals[Int(type)].name)")
            }
            guard
                let tensor = try tensor(
                    callee: function, arguments: graph.elements(inner), name: name, offset: offset, depth: depth + 1)
            else { throw fault("a tensor made by \(graph.globals[Int(function)].name)") }
            return tensor
        case .rebuildUnsupported(let sort):
            throw CheckpointError.unsupported(
                "a \(sort) tensor", file: file.path, place: name, offset: offset, expected: "a dense one",
                remedy: "convert it in PyTorch and save it again")
        default:
            return nil
        }
    }

    private func rebuild(
        _ version: Int, _ arguments: [PickleID], name: String, fault: (String, String?) -> CheckpointError
    ) throws -> TorchTensor {
        let counts = [1: 4...4, 2: 6...7, 3: 7...8][version] ?? 4...8
        guard counts.contains(arguments.count), case .persistent(let id) = graph[arguments[0]],
            case .integer(let offset64) = graph[arguments[1]], let sizes = integers(arguments[2]),
            let strides = integers(arguments[3])
        else { throw fault("a tensor of the wrong form", nil) }
        // Metadata say whether the stored values still have to be conjugated or negated.
        let metadata = arguments.count > counts.lowerBound && version > 1 ? arguments.last : nil
        if let metadata, try needsWork(metadata, fault: fault) {
            throw CheckpointError.unsupported(
                "a tensor whose values still have to be conjugated or negated", file: file.path, place: name,
                remedy: "call resolve_conj() and resolve_neg() in PyTorch and save it again")
        }
        let view = storages.views[Int(id)]
        let storage = storages.all[view.storage]
        let dtype: DType
        if version == 3 {
            guard case .global(let global) = graph[arguments[6]], case .dtype(let type)? = graph.roles[Int(global)]
            else { throw fault("a tensor of the wrong form", nil) }
            guard let type else {
                throw CheckpointError.unsupported(
                    "a tensor of \(graph.globals[Int(global)].name)", file: file.path, place: name)
            }
            dtype = type
        } else {
            dtype = storage.dtype ?? .u8
        }
        guard storage.dtype == nil || storage.dtype == dtype else {
            throw fault("a tensor of \(dtype) in a storage of \(storage.dtype?.rawValue ?? "")", nil)
        }
        // Of an untyped storage the count is in bytes, offset and strides are in the tensor's elements.
        let unit = storage.dtype == nil ? dtype.blockBytes : 1
        let (available, viewOffset) = (view.count / unit, view.offset / unit)
        guard view.offset % unit == 0, sizes.count == strides.count, sizes.count <= Limits.rank,
            let offset = Int(exactly: offset64), offset >= 0, strides.allSatisfy({ $0 >= 0 }),
            let shape = Shape(sizes)
        else {
            throw fault(
                "impossible dimensions", "shape \(sizes.prefix(8)), strides \(strides.prefix(8)), offset \(offset64)")
        }
        if shape.count > 0 {
            var last: Int? = offset
            for (size, stride) in zip(sizes, strides) {
                last = (size - 1).multiplied(by: stride).flatMap { last?.adding($0) }
            }
            guard let last, last < available else {
                throw fault(
                    "the tensor reaches beyond its storage",
                    "shape \(shape), strides \(strides), offset \(offset) in \(available) elements")
            }
            guard shape.count <= max(available, TorchRebuilder.largestExpansion) else {
                throw fault("\(available) stored elements are expanded to \(shape.count)", nil)
            }
        } else {
            guard offset <= available else { throw fault("the tensor begins beyond its storage", nil) }
        }
        return TorchTensor(
            storage: view.storage, dtype: dtype, shape: shape, offset: viewOffset + offset, strides: strides)
    }

    /// The integers of a tuple, a list, or a torch.Size.
    private func integers(_ id: PickleID) -> [Int]? {
        switch graph[id] {
        case .tuple(let index), .list(let index):
            var out: [Int] = []
            for element in graph.elements(index) {
                guard case .integer(let value) = graph[element], let value = Int(exactly: value) else { return nil }
                out.append(value)
            }
            return out
        case .call(let index):
            let call = graph.calls[Int(index)]
            guard graph.roles[Int(call.callee)] == .size, let first = graph.elements(call.arguments).first,
                case .tuple(let tuple) = graph[first]
            else { return nil }
            let whole = graph.elements(tuple).compactMap { element -> Int? in
                guard case .integer(let value) = graph[element] else { return nil }
                return Int(exactly: value)
            }
            return whole.count == graph.elements(tuple).count ? whole : nil
        default: return nil
        }
    }

    /// Whether a tensor's metadata ask for more than reading.
    private func needsWork(_ id: PickleID, fault: (String, String?) -> CheckpointError) throws -> Bool {
        switch graph[id] {
        case .none: return false
        case .dict(let index):
            let pairs = graph.elements(index)
            for at in stride(from: 0, to: pairs.count - 1, by: 2) {
                if case .bool(false) = graph[pairs[at + 1]] { continue }
                return true
            }
            return false
        default: throw fault("a tensor of the wrong form", nil)
        }
    }
}
