// Metadata given on the command line: `--metadata KEY=TYPE:VALUE` and `--override-kv KEY=TYPE:VALUE`.

internal import Bytes
internal import JSONText
public import OrderedCollections
public import Tensors

/// One key and its value, as a person typed them.
///
/// TYPE is one of GGUF's scalar types (u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, bool, str), `int` or `float` as
/// llama-quantize has them (u32 and f32), or `arr[TYPE]` with elements between commas or as a JSON array.
public struct MetadataOverride: Sendable, Hashable {
    public let key: String
    public let value: MetadataValue

    /// Longest key that GGUF allows (ggml's docs/gguf.md).
    static let longestKey = 65535

    public init(key: String, value: MetadataValue) throws {
        self.key = key
        self.value = value
        try check(key)
    }

    /// Reads `KEY=TYPE:VALUE`.
    /// - Throws: `usage` with what is wrong and an example.
    public init(argument: String) throws {
        guard let equals = argument.utf8.firstIndex(of: UInt8(ascii: "=")) else {
            throw Self.fault("there is no \"=\"", argument)
        }
        key = String(argument[..<equals])
        let rest = argument[argument.utf8.index(after: equals)...]
        guard let colon = rest.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            throw Self.fault("there is no type and \":\" before the value", argument)
        }
        let type = rest[..<colon].lowercased()
        let text = String(rest[rest.utf8.index(after: colon)...])
        if type.hasPrefix("arr["), type.hasSuffix("]") {
            guard let element = Self.types[String(type.dropFirst(4).dropLast())] else {
                throw Self.fault("\"\(type)\" is no type", argument)
            }
            value = .array(try Self.array(of: element, text, argument))
        } else if type == "int" {
            guard let number = Int64(text) else { throw Self.fault("\"\(text)\" is no integer", argument) }
            value = UInt32(exactly: number).map(MetadataValue.u32) ?? .i64(number)
        } else {
            guard let known = Self.types[type] else { throw Self.fault("\"\(type)\" is no type", argument) }
            guard let scalar = Self.scalar(known, text) else {
                throw Self.fault("\"\(text)\" is no \(known.name)", argument)
            }
            value = scalar
        }
        try check(argument)
    }

    private static let types: [String: MetadataType] = {
        var types: [String: MetadataType] = ["float": .f32, "string": .string]
        for type in MetadataType.allCases where type != .array { types[type.name] = type }
        return types
    }()

    private static func fault(_ message: String, _ argument: String) -> CheckpointError {
        CheckpointError(
            .usage, "the metadata \"\(argument)\" cannot be read: \(message)", expected: "KEY=TYPE:VALUE",
            remedy: "for example general.author=str:Jane or llama.context_length=u32:4096 or general.tags=arr[str]:a,b")
    }

    private func check(_ argument: String) throws {
        guard !key.isEmpty, key.utf8.count <= Self.longestKey,
            key.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F })
        else { throw Self.fault("the key is empty, too long or has spaces", argument) }
        switch key {
        case "general.architecture":
            guard value.string != nil else { throw Self.fault("the architecture is a str", argument) }
        case "general.alignment":
            guard case .u32(let alignment) = value, alignment > 0, alignment & (alignment - 1) == 0 else {
                throw Self.fault("the alignment is a u32 and a power of two", argument)
            }
        case "split.no", "split.count", "split.tensors.count":
            throw Self.fault("how a file is split is not up to the metadata", argument)
        default: break
        }
    }

    private static func scalar(_ type: MetadataType, _ text: String) -> MetadataValue? {
        switch type {
        case .u8: UInt8(text).map(MetadataValue.u8)
        case .i8: Int8(text).map(MetadataValue.i8)
        case .u16: UInt16(text).map(MetadataValue.u16)
        case .i16: Int16(text).map(MetadataValue.i16)
        case .u32: UInt32(text).map(MetadataValue.u32)
        case .i32: Int32(text).map(MetadataValue.i32)
        case .u64: UInt64(text).map(MetadataValue.u64)
        case .i64: Int64(text).map(MetadataValue.i64)
        case .f32: Double(text).map { Float($0) }.flatMap { $0.isFinite ? .f32($0) : nil }
        case .f64: Double(text).flatMap { $0.isFinite ? .f64($0) : nil }
        case .bool: ["true": MetadataValue.bool(true), "false": .bool(false)][text]
        case .string: .string(text)
        case .array: nil
        }
    }

    private static func array(of type: MetadataType, _ text: String, _ argument: String) throws -> MetadataArray {
        var texts: [String]
        if text.utf8.first == UInt8(ascii: "[") {
            guard let elements = try? JSONText.parse(Array(text.utf8)).array else {
                throw fault("the list is no JSON", argument)
            }
            texts = try elements.map { element in
                guard let text = element.cardText else { throw fault("an element is no scalar", argument) }
                return text
            }
        } else {
            texts = text.isEmpty ? [] : text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let values = try texts.map { text in
            guard let value = scalar(type, text) else { throw fault("\"\(text)\" is no \(type.name)", argument) }
            return value
        }
        switch type {
        case .string: return .strings(texts)
        case .f32: return .f32(values.compactMap { if case .f32(let value) = $0 { value } else { nil } })
        case .i32: return .i32(values.compactMap { if case .i32(let value) = $0 { value } else { nil } })
        case .u32: return .u32(values.compactMap { if case .u32(let value) = $0 { value } else { nil } })
        default: return .other(type: type, values: values)
        }
    }

    /// Puts the values into the metadata.
    /// - Parameter movingToEnd: a key that is there already goes to the end, as llama-quantize has it; otherwise it
    ///   keeps its place. New keys go to the end either way.
    public static func apply(_ overrides: [MetadataOverride], to metadata: inout Metadata, movingToEnd: Bool = false) {
        for entry in overrides {
            if movingToEnd { metadata.removeValue(forKey: entry.key) }
            metadata[entry.key] = entry.value
        }
    }
}
