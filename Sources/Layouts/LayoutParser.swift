// Reads a layout table. A user's own (`--layout FILE`) meets this code too, so everything is checked: a table that is
// accepted is invertible, holds every tensor a Llama has exactly once, and its shapes mean what its tensors are.

internal import Bytes
internal import JSONText
internal import Tensors

extension Layout {
    /// Reads a table from a file.
    public init(file path: String) throws {
        let bytes = try File(path).contents(limit: 1 << 20)
        try self.init(json: JSONText.parse(bytes, file: path), file: path)
    }

    /// Reads a table from its JSON text.
    public init(text: [UInt8], file: String? = nil) throws {
        guard text.count <= 1 << 20 else {
            throw CheckpointError.malformed("a layout table is too large", file: file, expected: "at most 1 MiB")
        }
        try self.init(json: JSONText.parse(text, file: file), file: file)
    }

    init(json: JSONValue, file: String?) throws {
        do {
            self = try LayoutParser(json).layout()
        } catch let error as CheckpointError {
            throw error.at(file: file)
        }
    }
}

/// Reads one table.
private struct LayoutParser {
    static let schema = "pannier.layout/1"
    private let root: JSONObject

    init(_ json: JSONValue) throws {
        guard let root = json.object else { throw Self.fault("a layout table is a JSON object") }
        self.root = root
    }

    static func fault(
        _ message: String, at place: String? = nil, expected: String? = nil, found: String? = nil
    ) -> CheckpointError {
        .malformed(message, place: place, expected: expected, found: found, remedy: "see Formats/README.md")
    }

    func layout() throws -> Layout {
        try Self.refuseUnknown(
            root,
            known: [
                "schema", "name", "title", "containers", "configs", "tell", "prefixes", "bookkeeping",
                "unpermuted_architectures",
                "tensors", "drop", "comment",
            ], at: nil)
        guard root["schema"]?.string == Self.schema else {
            throw Self.fault(
                "not a layout table of this version", at: "schema", expected: "\"\(Self.schema)\"",
                found: root["schema"]?.text(.compact))
        }
        let name = try text("name", in: root, limit: 40)
        guard name.utf8.allSatisfy({ Self.isWordByte($0) }) else {
            throw Self.fault("a layout's name is made of a-z, 0-9 and -", at: "name", found: name)
        }
        let entries = try tensors()
        let tell = try text("tell", in: root, limit: 200)
        guard entries.contains(where: { $0.name == tell }) else {
            throw Self.fault("the telling name is none of the tensors'", at: "tell", found: tell)
        }
        let dropped = try list("drop", limit: 200)
        for pattern in dropped { try Self.checkName(pattern, perLayer: nil) }
        let prefixes = try list("prefixes", limit: 40)
        for prefix in prefixes where !prefix.hasSuffix(".") || prefix.count < 2 {
            throw Self.fault("a prefix ends in a dot", at: "prefixes", found: prefix)
        }
        let containers = try list("containers", limit: 20).map { word in
            guard let kind = ContainerKind(rawValue: word) else {
                throw Self.fault(
                    "an unknown container", at: "containers",
                    expected: ContainerKind.allCases.map(\.rawValue).joined(separator: ", "), found: word)
            }
            return kind
        }
        guard !containers.isEmpty else { throw Self.fault("at least one container is needed", at: "containers") }
        let configs = try list("configs", limit: 40).map { word in
            guard let kind = ConfigKind(rawValue: word), ConfigFile.fileNames.contains(word) else {
                throw Self.fault(
                    "an unknown config file", at: "configs", expected: ConfigFile.fileNames.joined(separator: ", "),
                    found: word)
            }
            return kind
        }
        return Layout(
            name: name, title: try text("title", in: root, limit: 100), containers: containers, configs: configs,
            tell: tell,
            entries: entries, dropped: dropped, prefixes: prefixes, bookkeeping: try list("bookkeeping", limit: 80),
            unpermutedArchitectures: try list("unpermuted_architectures", limit: 40))
    }

    private func tensors() throws -> [LayoutEntry] {
        guard let list = root["tensors"]?.array else { throw Self.fault("a list is missing", at: "tensors") }
        guard list.count <= 64 else {
            throw Self.fault("too many tensors", at: "tensors", expected: "at most 64", found: "\(list.count)")
        }
        let entries = try list.enumerated().map { index, value in
            guard let object = value.object else { throw Self.fault("a tensor is an object", at: "tensors[\(index)]") }
            let name = try text("name", in: object, limit: 200, at: "tensors[\(index)]")
            do {
                return try entry(object, name: name)
            } catch let error as CheckpointError {
                throw error.at(place: name)
            }
        }
        var names: Set<String> = []
        var roles: Set<Role> = []
        for entry in entries {
            guard names.insert(entry.name).inserted else {
                throw Self.fault("a name stands twice in the table", at: entry.name)
            }
            for role in entry.roles where !roles.insert(role).inserted {
                throw Self.fault("a role stands twice in the table", at: entry.name, found: role.rawValue)
            }
        }
        for role in Role.allCases where role.condition == nil && !roles.contains(role) {
            throw Self.fault("a role has no tensor", at: "tensors", expected: role.rawValue)
        }
        // What belongs together is there together, or a model with biases could be laid out by half.
        for condition in RoleCondition.allCases {
            let all = Role.allCases.filter { $0.condition == condition }
            let present = all.filter(roles.contains)
            if !present.isEmpty, present.count != all.count {
                throw Self.fault(
                    "a role has no tensor", at: "tensors",
                    expected: all.filter { !roles.contains($0) }.map(\.rawValue).joined(separator: ", "))
            }
        }
        return entries
    }

    private func entry(_ object: JSONObject, name: String) throws -> LayoutEntry {
        try Self.refuseUnknown(
            object, known: ["name", "shape", "rename", "fuse", "grouping", "permute_rope", "tie", "comment"], at: name)
        let roles: [Role]
        let grouping: Grouping
        switch (object["rename"], object["fuse"]) {
        case (let one?, nil):
            roles = [try role(one, at: name)]
            grouping = .concatenated
            guard object["grouping"] == nil else { throw Self.fault("only a fused tensor has a grouping", at: name) }
        case (nil, let many?):
            guard let list = many.array, list.count > 1, list.count <= 8 else {
                throw Self.fault("fuse is a list of two to eight roles", at: name)
            }
            roles = try list.map { try role($0, at: name) }
            guard let word = object["grouping"]?.string, let known = Grouping(rawValue: word) else {
                throw Self.fault(
                    "a fused tensor needs its grouping", at: name,
                    expected: Grouping.allCases.map(\.rawValue).joined(separator: " or "),
                    found: object["grouping"]?.text(.compact))
            }
            grouping = known
            if grouping == .interleaved, roles != [.attnQ, .attnK, .attnV],
                roles != [.attnQBias, .attnKBias, .attnVBias]
            {
                throw Self.fault("only Q, K and V, in this order, are interleaved by groups", at: name)
            }
        default:
            throw Self.fault("a tensor has either rename or fuse", at: name)
        }
        guard let first = roles.first,
            roles.allSatisfy({
                $0.isPerLayer == first.isPerLayer && $0.condition == first.condition
                    && $0.axes.dropFirst() == first.axes.dropFirst()
            })
        else { throw Self.fault("these roles cannot be fused: their columns or conditions differ", at: name) }
        try Self.checkName(name, perLayer: first.isPerLayer)

        let permutes = object["permute_rope"] ?? false
        guard let permutes = permutes.bool else { throw Self.fault("permute_rope is true or false", at: name) }
        guard !permutes || roles.contains(where: \.isRotated) else {
            throw Self.fault("permute_rope is for Q and K only", at: name)
        }
        let tie = try object["tie"].map { try role($0, at: name) }
        guard tie == nil || (tie == .tokenEmbedding && roles == [.output]) else {
            throw Self.fault("only the output is tied, and to token_embedding", at: name)
        }
        return LayoutEntry(
            name: name, shape: try shape(object, of: roles, name: name), roles: roles, grouping: grouping,
            permutesRoPE: permutes, tie: tie, condition: first.condition)
    }

    /// The shape as written, which has to mean the sum of the roles' rows and their columns.
    private func shape(
        _ object: JSONObject, of roles: [Role], name: String
    ) throws -> [DimensionExpression] {
        guard let list = object["shape"]?.array, list.count <= 4 else {
            throw Self.fault("a shape is a list of dimensions", at: name)
        }
        let shape = try list.map { value in
            if let number = value.integer { return try DimensionExpression(String(number)) }
            guard let text = value.string else { throw Self.fault("a dimension is text", at: name) }
            return try DimensionExpression(text)
        }
        let rows = roles.map { $0.canonicalShape[0] }
        let meant = [rows.dropFirst().reduce(rows[0], +)] + roles[0].canonicalShape.dropFirst()
        guard shape.count == meant.count, zip(shape, meant).allSatisfy({ $0.isSame(as: $1) }) else {
            throw Self.fault(
                "the shape is not that of \(roles.map(\.rawValue).joined(separator: " + "))", at: name,
                expected: meant.map(\.text).joined(separator: " × "),
                found: shape.map(\.text).joined(separator: " × "))
        }
        return shape
    }

    private func role(_ value: JSONValue, at place: String) throws -> Role {
        guard let word = value.string, let role = Role(rawValue: word) else {
            throw Self.fault(
                "an unknown role", at: place, expected: Role.allCases.map(\.rawValue).joined(separator: ", "),
                found: value.text(.compact))
        }
        return role
    }

    /// A name is printable, and has `{i}` as one whole component exactly when it stands for every layer.
    private static func checkName(_ name: String, perLayer: Bool?) throws {
        guard !name.isEmpty, name.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value < 0x7F }) else {
            throw fault("a name is made of printable ASCII", at: name)
        }
        let components = name.split(separator: ".", omittingEmptySubsequences: false)
        guard !components.contains(where: { $0.isEmpty }) else {
            throw fault("a name has an empty component", at: name)
        }
        let layers = components.filter { $0 == "{i}" }.count
        guard layers <= 1, perLayer == nil || (layers == 1) == perLayer,
            !components.contains(where: { $0 != "{i}" && ($0.contains("{") || $0.contains("}")) })
        else {
            throw fault(
                "{i} stands once, as a whole component, in the name of a tensor that every layer has, and nowhere else",
                at: name)
        }
        guard !components.contains(where: { $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }) else {
            throw fault("a component that is a number would be taken for a layer", at: name)
        }
    }

    private func text(
        _ key: String, in object: JSONObject, limit: Int, at place: String? = nil
    ) throws -> String {
        let place = place.map { "\($0).\(key)" } ?? key
        guard let text = object[key]?.string, !text.isEmpty, text.utf8.count <= limit else {
            throw Self.fault("a text of at most \(limit) bytes is needed", at: place)
        }
        return text
    }

    private func list(_ key: String, limit: Int) throws -> [String] {
        guard let value = root[key] else { return [] }
        guard let list = value.array, list.count <= 64 else {
            throw Self.fault("a list of at most 64 texts is needed", at: key)
        }
        return try list.map { element in
            guard let text = element.string, !text.isEmpty, text.utf8.count <= limit else {
                throw Self.fault("a text of at most \(limit) bytes is needed", at: key)
            }
            return text
        }
    }

    private static func refuseUnknown(
        _ object: JSONObject, known: Set<String>, at place: String?
    ) throws {
        for key in object.keys where !known.contains(key) {
            throw fault(
                "an unknown key", at: place, expected: known.sorted().joined(separator: ", "), found: "\"\(key)\"")
        }
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        (byte >= 0x61 && byte <= 0x7A) || (byte >= 0x30 && byte <= 0x39) || byte == UInt8(ascii: "-")
    }
}
