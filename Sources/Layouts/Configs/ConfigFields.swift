// Typed access to the members of a config, whatever text it was read from, with errors that name file and key.

internal import Bytes
internal import JSONText
internal import Tensors

/// The members of one config object. A member that is null counts as absent.
struct ConfigFields {
    let members: JSONObject
    let file: String?
    /// Where the object lies in the file: "rope_scaling".
    var place: String? = nil

    /// - Throws: `malformed` when the document is not an object.
    init(_ value: JSONValue, file: String?, place: String? = nil) throws {
        guard let members = value.object else {
            throw CheckpointError.malformed("a config is an object of keys and values", file: file, place: place)
        }
        self.members = members
        self.file = file
        self.place = place
    }

    subscript(key: String) -> JSONValue? {
        guard let value = members[key], !value.isNull else { return nil }
        return value
    }

    /// The first of several spellings that is there.
    private func first(_ keys: [String]) -> (key: String, value: JSONValue)? {
        for key in keys {
            if let value = self[key] { return (key, value) }
        }
        return nil
    }

    func fault(_ message: String, _ key: String, expected: String, found: JSONValue?) -> CheckpointError {
        .malformed(
            message, file: file, place: place.map { "\($0).\(key)" } ?? key, expected: expected,
            found: found.map { String($0.text(.compact).prefix(80)) })
    }

    func integer(_ keys: String...) throws -> Int? {
        guard let (key, value) = first(keys) else { return nil }
        guard let integer = value.integer else {
            throw fault("the value is of the wrong type", key, expected: "a whole number", found: value)
        }
        return integer
    }

    func requiredInteger(_ keys: String...) throws -> Int {
        for key in keys {
            if let value = try integer(key) { return value }
        }
        throw CheckpointError.malformed(
            "a dimension of the model is missing", file: file, place: place,
            expected: keys.joined(separator: " or "), remedy: "is this the config of a Llama?")
    }

    func number(_ keys: String...) throws -> Double? {
        guard let (key, value) = first(keys) else { return nil }
        guard let number = value.number, number.isFinite else {
            throw fault("the value is of the wrong type", key, expected: "a number", found: value)
        }
        return number
    }

    func bool(_ keys: String...) throws -> Bool? {
        guard let (key, value) = first(keys) else { return nil }
        guard let bool = value.bool else {
            throw fault("the value is of the wrong type", key, expected: "true or false", found: value)
        }
        return bool
    }

    func string(_ keys: String...) throws -> String? {
        guard let (key, value) = first(keys) else { return nil }
        guard let string = value.string else {
            throw fault("the value is of the wrong type", key, expected: "a text", found: value)
        }
        return string
    }

    func object(_ key: String) throws -> ConfigFields? {
        guard let value = self[key] else { return nil }
        guard value.object != nil else {
            throw fault("the value is of the wrong type", key, expected: "an object", found: value)
        }
        return try ConfigFields(value, file: file, place: place.map { "\($0).\(key)" } ?? key)
    }

    /// One integer or a list of them.
    func integers(_ key: String) throws -> [Int] {
        guard let value = self[key] else { return [] }
        if let one = value.integer { return [one] }
        guard let list = value.array, list.count <= 64 else {
            throw fault(
                "the value is of the wrong type", key, expected: "a whole number or a list of them", found: value)
        }
        return try list.map {
            guard let one = $0.integer else {
                throw fault("the value is of the wrong type", key, expected: "whole numbers", found: $0)
            }
            return one
        }
    }
}

extension ModelConfig {
    /// The architectures that are carried, by GGUF's names, which are Hugging Face's too.
    static let architectures = ["llama", "mistral", "qwen2"]

    /// Refuses impossible dimensions, naming the file they came from.
    func checked(file: String?) throws -> ModelConfig {
        if let fault {
            throw CheckpointError.malformed(
                "the \(fault.field) given for the model cannot be", file: file, expected: fault.expected,
                found: fault.found)
        }
        if let fault = ropeScaling.fault ?? ropeTheta.flatMap({ $0 > 0 ? nil : "RoPE base \($0)" }) {
            throw CheckpointError.malformed(
                "the RoPE constants given for the model cannot be", file: file, expected: "positive numbers",
                found: fault)
        }
        return self
    }

    /// The head width where a config leaves it out: hidden / heads.
    static func headDim(hidden: Int, heads: Int, file: String?) throws -> Int {
        guard heads > 0, hidden > 0, hidden % heads == 0 else {
            throw CheckpointError.malformed(
                "the model's width is no multiple of its heads", file: file, expected: "a multiple of \(heads)",
                found: "\(hidden)")
        }
        return hidden / heads
    }
}

extension RoPEScaling {
    /// What makes the constants impossible.
    var fault: String? {
        let numbers: [Double] =
            switch self {
            case .none: []
            case .linear(let factor), .dynamic(let factor): [factor]
            case .llama3(let factor, let low, let high, let context): [factor, low, high, Double(context)]
            case .yarn(let factor, let context): [factor, Double(context)]
            }
        return numbers.first { !($0 > 0 && $0.isFinite) }.map { "\($0)" }
    }
}
