// Walks the containers of a pickle: tensors get the path to them as their name, scalars become metadata.

import Bytes
import OrderedCollections
import Tensors

/// What was found in one pickle.
struct TorchContents {
    var tensors: [(name: String, tensor: TorchTensor)] = []
    var metadata: Metadata = [:]
    var remarks: [String] = []
}

struct TorchWalker {
    private let rebuilder: TorchRebuilder
    private var graph: PickleGraph { rebuilder.graph }
    private let file: File
    private var contents = TorchContents()
    private var names: Set<ExactText> = []
    private var nameBytes = 0
    private var textBytes = 0
    private var visits = 0
    /// The containers on the way from the root to here.
    private var open: Set<PickleID> = []
    /// Paths of values that are carried by no type here, and how many there are.
    private var skipped: [String] = []
    private var skippedCount = 0
    /// The same for scalars whose names differ from others' in their code points alone.
    private var twins: [String] = []
    private var twinCount = 0

    /// - Throws: `malformed` when containers hold themselves, nest too deep, or name a thing twice.
    static func walk(_ rebuilder: TorchRebuilder) throws -> TorchContents {
        var walker = TorchWalker(rebuilder)
        try walker.visit(rebuilder.graph.root, path: "", depth: 0)
        walker.remark("values that are neither tensors nor plain are passed over", walker.skipped, of: walker.skippedCount)
        walker.remark(
            "values whose names differ from others' in their Unicode form alone are passed over", walker.twins,
            of: walker.twinCount)
        return walker.contents
    }

    /// Says of how many values something is true, and of which for example.
    private mutating func remark(_ what: String, _ examples: [String], of count: Int) {
        guard count > 0 else { return }
        let more = count > examples.count ? ", ..." : ""
        contents.remarks.append("\(count) \(what): \(examples.joined(separator: ", "))\(more)")
    }

    private init(_ rebuilder: TorchRebuilder) {
        self.rebuilder = rebuilder
        file = rebuilder.file
    }

    private func fault(_ message: String, _ path: String, remedy: String? = nil) -> CheckpointError {
        .malformed(message, file: file.path, place: path, remedy: remedy ?? "do not trust this file")
    }

    private mutating func visit(_ id: PickleID, path: String, depth: Int) throws {
        visits += 1
        guard visits <= PickleLimits.visits else {
            throw fault("containers are shared so often that walking them does not end", path)
        }
        switch graph[id] {
        case .none: return
        case .bool, .integer, .double, .string, .bytes, .longInteger:
            try count(id, path)
            if let value = scalar(id) { try note(value, path) } else { skip(path) }
        case .tuple(let index), .list(let index), .set(let index):
            try visitList(graph.elements(index), id: id, path: path, depth: depth)
        case .dict(let index):
            try visitPairs(graph.elements(index), id: id, path: path, depth: depth)
        case .global(let index):
            try note(.string(graph.globals[Int(index)].name), path)
        case .persistent(let index):
            try visitStorage(Int(index), path: path)
        case .call(let index):
            try visitCall(graph.calls[Int(index)], id: id, path: path, depth: depth)
        }
    }

    /// Does `body` one level deeper, unless the container is open already.
    private mutating func enter(
        _ id: PickleID, path: String, depth: Int, _ body: (inout TorchWalker) throws -> Void
    ) throws {
        guard depth < PickleLimits.depth else {
            throw fault("containers lie more than \(PickleLimits.depth) deep in each other", path)
        }
        guard open.insert(id).inserted else { throw fault("a container holds itself", path) }
        try body(&self)
        open.remove(id)
    }

    private func join(_ path: String, _ key: String) throws -> String {
        let name = path.isEmpty ? key : path + "." + key
        guard name.utf8.count <= PickleLimits.name else {
            throw fault("a name is longer than \(PickleLimits.name) bytes", String(name.prefix(80)) + "...")
        }
        return name
    }

    private mutating func visitList(_ elements: [PickleID], id: PickleID, path: String, depth: Int) throws {
        guard !elements.isEmpty else { return }
        if let array = try array(elements, path) {
            visits += elements.count
            try note(.array(array), path)
            return
        }
        try enter(id, path: path, depth: depth) { walker in
            for (index, element) in elements.enumerated() {
                try walker.visit(element, path: walker.join(path, String(index)), depth: depth + 1)
            }
        }
    }

    private mutating func visitPairs(_ pairs: [PickleID], id: PickleID, path: String, depth: Int) throws {
        try enter(id, path: path, depth: depth) { walker in
            var keys: Set<ExactText> = []
            for at in stride(from: 0, to: pairs.count - 1, by: 2) {
                guard let key = walker.graph.key(pairs[at]) else {
                    throw CheckpointError.unsupported(
                        "a dictionary has a key that is neither text nor an integer", file: walker.file.path,
                        place: path)
                }
                guard keys.insert(ExactText(key)).inserted else {
                    throw walker.fault("a dictionary has the key \(key) twice", path)
                }
                try walker.visit(pairs[at + 1], path: walker.join(path, key), depth: depth + 1)
            }
        }
    }

    private mutating func visitStorage(_ index: Int, path: String) throws {
        let view = rebuilder.storages.views[index]
        let storage = rebuilder.storages.all[view.storage]
        guard let shape = Shape([view.count]) else { throw fault("a storage is too large", path) }
        try note(
            TorchTensor(
                storage: view.storage, dtype: storage.dtype ?? .u8, shape: shape, offset: view.offset, strides: [1]),
            path)
    }

    private mutating func visitCall(_ call: PickleCall, id: PickleID, path: String, depth: Int) throws {
        if let tensor = try rebuilder.tensor(call, name: path.isEmpty ? "the tensor" : path) {
            try note(tensor, path)
            return
        }
        let arguments = graph.elements(call.arguments)
        switch graph.roles[Int(call.callee)] {
        case .dictionary:
            let pairs = try initialPairs(arguments, path: path) + (call.items < 0 ? [] : graph.elements(call.items))
            try visitPairs(pairs, id: id, path: path, depth: depth)
        case .namespace:
            guard call.state >= 0 else { return }
            try enter(id, path: path, depth: depth) { try $0.visit(call.state, path: path, depth: depth + 1) }
        case .size, .set:
            guard let first = arguments.first else { return }
            try enter(id, path: path, depth: depth) { try $0.visit(first, path: path, depth: depth + 1) }
        case .path:
            let parts = arguments.compactMap { graph.text($0) }
            guard parts.count == arguments.count else { return skip(path) }
            let root = parts.first == "/" ? "/" : ""
            try note(.string(root + parts.dropFirst(root.isEmpty ? 0 : 1).joined(separator: "/")), path)
        case .numpyScalar:
            if let value = numpyScalar(arguments) { try note(value, path) } else { skip(path) }
        case nil:
            // Outside the list; only `inspect` gets here. What it holds is shown, what it means is not known.
            skip(path)
            try enter(id, path: path, depth: depth) { walker in
                if call.items >= 0 {
                    let items = walker.graph.elements(call.items)
                    for at in stride(from: 0, to: items.count - 1, by: 2) {
                        guard let key = walker.graph.key(items[at]) else { continue }
                        try walker.visit(items[at + 1], path: walker.join(path, key), depth: depth + 1)
                    }
                }
                if call.state >= 0 { try walker.visit(call.state, path: path, depth: depth + 1) }
            }
        default:
            skip(path)
        }
    }

    /// What a dictionary class was made of: nothing, a default, a dictionary, or a list of pairs.
    private func initialPairs(_ arguments: [PickleID], path: String) throws -> [PickleID] {
        guard let first = arguments.first else { return [] }
        switch graph[first] {
        case .global, .none: return []
        case .dict(let index): return graph.elements(index)
        case .list(let index), .tuple(let index):
            var pairs: [PickleID] = []
            for element in graph.elements(index) {
                switch graph[element] {
                case .list(let pair) where graph.elements(pair).count == 2,
                    .tuple(let pair) where graph.elements(pair).count == 2:
                    pairs += graph.elements(pair)
                default: throw fault("a dictionary is made of something that is no pair", path)
                }
            }
            return pairs
        default: throw fault("a dictionary is made of something that is no list of pairs", path)
        }
    }

    // MARK: What is kept

    private mutating func keep(_ name: String) throws {
        guard names.insert(ExactText(name)).inserted else {
            throw fault("two values have the same name", name, remedy: "rename one of them in PyTorch")
        }
        nameBytes += name.utf8.count
        guard nameBytes <= PickleLimits.allNames else { throw fault("all names together are too long", name) }
    }

    private mutating func note(_ tensor: TorchTensor, _ path: String) throws {
        let name = path.isEmpty ? "tensor" : path
        try keep(name)
        guard contents.tensors.count < Limits.tensors else {
            throw CheckpointError.unsupported("more than \(Limits.tensors) tensors", file: file.path)
        }
        contents.tensors.append((name, tensor))
    }

    private mutating func note(_ value: MetadataValue, _ path: String) throws {
        let name = path.isEmpty ? "value" : path
        try keep(name)
        // Metadata is kept by text, of which such names are one. The first stays, and the other is not lost unsaid.
        guard contents.metadata[name] == nil else {
            twinCount += 1
            if twins.count < 5 { twins.append(name) }
            return
        }
        contents.metadata[name] = value
    }

    private mutating func skip(_ path: String) {
        skippedCount += 1
        if skipped.count < 5 { skipped.append(path.isEmpty ? "the whole" : path) }
    }

    private func scalar(_ id: PickleID) -> MetadataValue? {
        switch graph[id] {
        case .bool(let value): .bool(value)
        case .integer(let value): .i64(value)
        case .double(let value): .f64(value)
        case .string(let value): .string(value)
        case .bytes(let value): String(validating: value, as: UTF8.self).map { .string($0) } ?? .bytes(value)
        case .longInteger(let bytes) where bytes.count == 9 && bytes[8] == 0:
            .u64(bytes[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        default: nil
        }
    }

    /// Counts what the value's text takes, before it is copied: a text that is stored once may stand in many places.
    private mutating func count(_ id: PickleID, _ path: String) throws {
        switch graph[id] {
        case .string(let text): textBytes += text.utf8.count
        case .bytes(let bytes): textBytes += bytes.count
        default: return
        }
        guard textBytes <= PickleLimits.allText else { throw fault("texts are shared so often that they do not fit", path) }
    }

    /// Scalars of one type as one value.
    private mutating func array(_ elements: [PickleID], _ path: String) throws -> MetadataArray? {
        guard let first = elements.first, let type = scalar(first)?.type else { return nil }
        var values: [MetadataValue] = []
        values.reserveCapacity(elements.count)
        for element in elements {
            try count(element, path)
            guard let value = scalar(element), value.type == type else { return nil }
            values.append(value)
        }
        if type == .string {
            let strings = values.compactMap(\.string)
            if strings.count == values.count { return .strings(strings) }
        }
        return .other(type: type, values: values)
    }

    /// numpy.core.multiarray.scalar(dtype('f8'), bytes), for plain numbers in little-endian order.
    private func numpyScalar(_ arguments: [PickleID]) -> MetadataValue? {
        guard arguments.count == 2, case .call(let index) = graph[arguments[0]] else { return nil }
        let dtype = graph.calls[Int(index)]
        guard graph.roles[Int(dtype.callee)] == .numpyDType, let first = graph.elements(dtype.arguments).first,
            let code = graph.text(first), dtype.state >= 0, case .tuple(let state) = graph[dtype.state],
            graph.elements(state).count > 1, graph.text(graph.elements(state)[1]) != ">",
            let bytes = rawBytes(arguments[1])
        else { return nil }
        let bits = bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch (code, bytes.count) {
        case ("f8", 8): return .f64(Double(bitPattern: bits))
        case ("f4", 4): return .f32(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
        case ("i8", 8): return .i64(Int64(bitPattern: bits))
        case ("i4", 4): return .i32(Int32(truncatingIfNeeded: bits))
        case ("b1", 1): return .bool(bits != 0)
        default: return nil
        }
    }

    /// Bytes as protocol 3 and later write them, or `_codecs.encode(text, 'latin1')` of protocol 2.
    private func rawBytes(_ id: PickleID) -> [UInt8]? {
        switch graph[id] {
        case .bytes(let bytes): return bytes
        case .call(let index):
            let call = graph.calls[Int(index)]
            let arguments = graph.elements(call.arguments)
            guard graph.roles[Int(call.callee)] == .encode, arguments.count == 2, graph.text(arguments[1]) == "latin1",
                case .string(let text) = graph[arguments[0]]
            else { return nil }
            let out = text.unicodeScalars.compactMap { UInt8(exactly: $0.value) }
            return out.count == text.unicodeScalars.count ? out : nil
        default: return nil
        }
    }
}
