// Spreading tensors over several files, as transformers does for safetensors and for PyTorch.

internal import Bytes
internal import JSONText
internal import Tensors

enum Shards {
    /// Refuses names that no container can tell apart or that mean something else.
    static func checkNames(_ tensors: [TensorPlan]) throws {
        var names: Set<ExactText> = []
        for tensor in tensors {
            guard !tensor.name.isEmpty, tensor.name != "__metadata__", names.insert(ExactText(tensor.name)).inserted else {
                throw CheckpointError(
                    .usage, "two tensors would have this name, or it is no name for a tensor", place: tensor.name)
            }
        }
    }

    /// Which tensors go into which file: in order, a new file where the next tensor would exceed the limit.
    static func fill(_ tensors: [TensorPlan], limit: UInt64?) -> [[Int]] {
        guard let limit else { return [Array(tensors.indices)] }
        var shards: [[Int]] = [[]]
        var size: UInt64 = 0
        for (index, tensor) in tensors.enumerated() {
            let bytes = UInt64(tensor.byteCount)
            if size + bytes > limit, !shards[shards.count - 1].isEmpty {
                shards.append([])
                size = 0
            }
            shards[shards.count - 1].append(index)
            size += bytes
        }
        return shards
    }

    /// "model.safetensors", or "model-00001-of-00003.safetensors" and so on.
    static func names(_ name: String, count: Int) -> [String] {
        guard count > 1 else { return [name] }
        let dot = name.lastIndex(of: ".") ?? name.endIndex
        return (1...count).map { "\(name[..<dot])-\(padded($0))-of-\(padded(count))\(name[dot...])" }
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    /// Writes the index.json beside the shards; nil where one file needs none.
    static func writeIndex(
        _ tensors: [TensorPlan], shards: [[Int]], names: [String], name: String, in folder: String
    ) throws -> (name: String, size: UInt64)? {
        guard shards.count > 1 else { return nil }
        let text = Array(index(tensors, shards: shards, names: names).utf8)
        try OutputFile(creating: Paths.join(folder, name + ".index.json")).write(text, at: 0)
        return (name + ".index.json", UInt64(text.count))
    }

    /// Bytes of the index.json that `writeIndex` would write.
    static func indexSize(_ tensors: [TensorPlan], shards: [[Int]], name: String) -> UInt64 {
        guard shards.count > 1 else { return 0 }
        return UInt64(index(tensors, shards: shards, names: names(name, count: shards.count)).utf8.count)
    }

    /// The text of the index.json.
    private static func index(_ tensors: [TensorPlan], shards: [[Int]], names: [String]) -> String {
        var places: [(name: String, file: String)] = []
        for (shard, name) in zip(shards, names) {
            for index in shard { places.append((tensors[index].name, name)) }
        }
        places.sort { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
        var map = JSONObject()
        for place in places { map[place.name] = .string(place.file) }
        let total = tensors.reduce(UInt64(0)) { $0 + UInt64($1.byteCount) }
        let document: JSONValue = ["metadata": ["total_size": JSONValue(total)], "weight_map": .object(map)]
        return document.text(.indented) + "\n"
    }
}
