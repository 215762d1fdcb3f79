// What a pickle describes, as inert values: numbers, text, containers, and calls that are written down and never made.
//
// Values lie in one array and name each other by index. A pickle can nest a million lists, or put a list into itself:
// with an array nothing is released recursively and nothing leaks.

/// The index of a value.
typealias PickleID = Int32

enum PickleValue {
    case none
    case bool(Bool)
    case integer(Int64)
    /// An integer of more than 64 bits, two's complement, least significant byte first.
    case longInteger([UInt8])
    case double(Double)
    case string(String)
    case bytes([UInt8])
    /// Containers: the index of their elements in `PickleGraph.elements`; a dictionary's are key, value, key, value.
    case tuple(Int32)
    case list(Int32)
    case dict(Int32)
    case set(Int32)
    /// The index in `PickleGraph.globals`.
    case global(Int32)
    /// The index in `PickleGraph.persistent`.
    case persistent(Int32)
    /// The index in `PickleGraph.calls`.
    case call(Int32)
}

/// Something that Python would look up by name in its modules.
public struct PickleGlobal: Sendable, Hashable {
    /// Module and name, "torch._utils._rebuild_tensor_v2"; an extension code as "copyreg extension 240".
    public let name: String
    /// Whether it is on the list of what checkpoints need.
    public let isAllowed: Bool
    /// Where in the file it is asked for first.
    public let offset: UInt64
}

/// A call that Python would make: a function of REDUCE, or a class of NEWOBJ, INST, OBJ.
struct PickleCall {
    /// Index in `PickleGraph.globals`.
    let callee: Int32
    /// Positional arguments: index in `PickleGraph.elements`.
    let arguments: Int32
    /// What SETITEM(S) put into the result: index in `PickleGraph.elements`, or -1.
    var items: Int32 = -1
    /// What BUILD handed over, or -1.
    var state: PickleID = -1
    let offset: UInt64
}

/// All values of one pickle.
struct PickleGraph {
    var values: [PickleValue] = []
    var elements: [[PickleID]] = []
    var calls: [PickleCall] = []
    var globals: [PickleGlobal] = []
    /// What each global means; nil for those outside the list. Parallel to `globals`.
    var roles: [TorchRole?] = []
    /// The elements of each persistent id, a tuple, and where it stands.
    var persistent: [(tuple: Int32, offset: UInt64)] = []
    var root: PickleID = 0
    /// 0 when the pickle does not say.
    var version: UInt8 = 0

    subscript(id: PickleID) -> PickleValue { values[Int(id)] }

    func elements(_ index: Int32) -> [PickleID] { elements[Int(index)] }
}

/// Bounds of one pickle; far above those of real checkpoints, whose pickles have some 20 values a tensor.
enum PickleLimits {
    static let bytes: UInt64 = 64 << 20
    static let values = 800_000
    static let stack = 1_000_000
    static let memo = 1_000_000
    static let globals = 4096
    /// Bytes of a line (text opcodes, names of globals).
    static let line = 1 << 16
    /// Bytes of an integer.
    static let integer = 1 << 12
    /// How deep containers lie in each other where tensors are looked for.
    static let depth = 64
    /// How many places are looked at when tensors are looked for: shared containers count at each place.
    static let visits = 2_000_000
    /// Bytes of one name and of all names.
    static let name = 4096
    static let allNames = 12 << 20
    /// Bytes of all texts and byte strings, shared ones at each place: as many as a pickle may have.
    static let allText = 64 << 20
}
