// The members of a JSON object.

internal import Bytes
internal import OrderedCollections

/// The members of a JSON object in the order of the document.
///
/// Keys are the same only when their bytes are, as RFC 8259 has it; a dictionary keyed by `String` would take the two
/// "ά" of Llama's vocabulary for one.
public struct JSONObject: Sendable, Hashable {
    private var members: OrderedDictionary<ExactText, JSONValue> = [:]

    public init() {}

    /// The last of equal keys counts.
    public init(_ members: some Sequence<(key: String, value: JSONValue)>) {
        for (key, value) in members { self[key] = value }
    }

    /// The member of that name. Setting appends a new name at the end, setting nil removes it.
    public subscript(key: String) -> JSONValue? {
        get { members[ExactText(key)] }
        set { members[ExactText(key)] = newValue }
    }

    public var keys: [String] { members.keys.map(\.text) }
    public var values: [JSONValue] { Array(members.values) }

    public mutating func reserveCapacity(_ count: Int) { members.reserveCapacity(count) }

    @discardableResult
    public mutating func removeValue(forKey key: String) -> JSONValue? { members.removeValue(forKey: ExactText(key)) }
}

extension JSONObject: RandomAccessCollection {
    public typealias Element = (key: String, value: JSONValue)
    public var startIndex: Int { 0 }
    public var endIndex: Int { members.count }
    public subscript(position: Int) -> Element {
        let member = members.elements[position]
        return (member.key.text, member.value)
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (key, value) in elements { self[key] = value }
    }
}
