// The index of a checkpoint in shards: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
//
// Form: {"metadata": {"total_size": n}, "weight_map": {tensor name: file name}} (transformers' save_pretrained). The
// shards lie beside the index. In Hugging Face's cache the index and the shards are symbolic links in one folder, so a
// shard is looked for beside the link and not beside what it points to.

public import Bytes
import JSONText
public import OrderedCollections

/// Which tensor lies in which shard.
public struct ShardIndex: Sendable {
    /// The index's own path.
    public let path: String
    /// Tensor name to file name, in the order of the index.
    public let weightMap: OrderedDictionary<ExactText, String>
    /// The shards' file names, sorted.
    public let shards: [String]
    /// Bytes of all tensors, as the index says; nil when it does not.
    public let totalSize: UInt64?

    /// Keys of the index itself, at most; transformers writes two.
    private static let mostKeys = 1024

    /// Reads and checks an index file, not yet its shards.
    /// - Throws: `malformed` or `unsupported`, also when a shard's name leaves the folder.
    public init(_ path: String) throws {
        self.path = path
        let json = try File(path).contents(limit: Limits.headerBytes)
        var map: OrderedDictionary<ExactText, String> = [:]
        var files: Set<ExactText> = []
        var keys: Set<ExactText> = []
        var total: UInt64?
        try JSONPull.read(json, file: path) { pull in
            try pull.object { key, pull in
                guard keys.insert(ExactText(key)).inserted else {
                    throw CheckpointError.malformed(
                        "the key stands twice in the index", file: path, place: key, offset: pull.offset)
                }
                guard keys.count <= ShardIndex.mostKeys else {
                    throw CheckpointError.unsupported(
                        "the index has more than \(ShardIndex.mostKeys) keys", file: path, offset: pull.offset,
                        expected: "metadata and weight_map")
                }
                switch key {
                case "weight_map":
                    try pull.object { name, pull in
                        guard map[ExactText(name)] == nil else {
                            throw CheckpointError.malformed(
                                "the tensor stands twice in the index", file: path, place: name, offset: pull.offset)
                        }
                        guard map.count < Limits.tensors else {
                            throw CheckpointError.unsupported(
                                "more than \(Limits.tensors) tensors", file: path, offset: pull.offset)
                        }
                        let shard = try pull.string()
                        try ShardIndex.check(shard, of: name, index: path)
                        files.insert(ExactText(shard))
                        map[ExactText(name)] = shard
                    }
                case "metadata":
                    total = try ShardIndex.totalSize(&pull)
                default:
                    try pull.skip()
                }
            }
        }
        guard keys.contains("weight_map") else {
            throw CheckpointError.malformed(
                "the index has no weight_map", file: path, expected: "a map from tensor names to file names",
                remedy: "name a checkpoint, its folder, or its .index.json")
        }
        guard files.count <= Limits.shards else {
            throw CheckpointError.unsupported("more than \(Limits.shards) shards", file: path)
        }
        weightMap = map
        shards = files.map(\.text).sorted()
        totalSize = total
    }

    /// `total_size`, which some writers give as a float; other members of the metadata are passed over.
    private static func totalSize(_ pull: inout JSONPull) throws -> UInt64? {
        guard pull.next == UInt8(ascii: "{") else {
            try pull.skip()
            return nil
        }
        var total: UInt64?
        try pull.object { key, pull in
            if key == "total_size", let value = try pull.numberIfAny() {
                total = UInt64(exactly: value)
            } else if key != "total_size" {
                try pull.skip()
            }
        }
        return total
    }

    /// A shard is a plain name in the index's own folder.
    private static func check(_ shard: String, of tensor: String, index: String) throws {
        guard !shard.isEmpty, shard.utf8.count <= 255, shard != ".", shard != "..",
            !shard.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 == 0 })
        else {
            throw CheckpointError.malformed(
                "a shard's name leaves the folder of the index", file: index, place: tensor,
                expected: "a plain file name", found: String(shard.prefix(80)),
                remedy: "do not trust this checkpoint")
        }
    }

    /// Where a shard lies.
    public func location(of shard: String) -> String { Paths.join(Paths.parent(path), shard) }

    /// Looks whether all shards are there.
    /// - Throws: `inputOutput` with the names of those that are not.
    public func checkPresence() throws {
        let missing = shards.filter { Paths.kind(location(of: $0)) == .missing }
        guard missing.isEmpty else { throw ShardFamily.incomplete(missing, of: shards.count, file: path) }
    }

    /// Compares what the shards hold with what the index says.
    /// - Parameter held: for every shard, in the order of `shards`, the names of its tensors.
    /// - Throws: `malformed` for a tensor that is missing, in another shard, in two shards, or not in the index.
    public func check(held: [[String]]) throws {
        var seen: [ExactText: String] = [:]
        for (shard, names) in zip(shards, held) {
            for name in names {
                let key = ExactText(name)
                if let other = seen.updateValue(shard, forKey: key) {
                    throw CheckpointError.malformed(
                        "the tensor lies in two shards", file: path, place: name, expected: "one shard",
                        found: "\(other) and \(shard)")
                }
                guard let listed = weightMap[key] else {
                    throw CheckpointError.malformed(
                        "\(shard) holds a tensor that the index does not list", file: path, place: name,
                        remedy: "index and shards belong to different versions of the checkpoint")
                }
                guard ExactText(listed) == ExactText(shard) else {
                    throw CheckpointError.malformed(
                        "the tensor lies in another shard than the index says", file: path, place: name,
                        expected: listed, found: shard)
                }
            }
        }
        for (name, shard) in weightMap where seen[name] == nil {
            throw CheckpointError.malformed(
                "the index lists a tensor that its shard does not hold", file: path, place: name.text,
                expected: "in \(shard)", found: "nothing",
                remedy: "index and shards belong to different versions of the checkpoint")
        }
    }
}
