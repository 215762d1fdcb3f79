// The pickle machine: interprets the opcodes symbolically. Nothing is looked up, imported or called.
//
// Source: CPython's Lib/pickletools.py (what each opcode does to stack and memo) and Lib/pickle.py. PyTorch's
// torch/_weights_only_unpickler.py is the model of what to refuse. What this machine refuses beside a wrong stream:
// calling what is no global on the list; SETITEM(S) into anything but a dictionary and APPEND(S) into anything but a
// list (CVE-2026-24747); BUILD of anything but an inert object, so that no state changes a tensor after the fact;
// persistent ids that are no tuples.

import Bytes

struct PickleMachine {
    private var input: PickleInput
    /// Whether a global outside the list is an error. Otherwise it becomes an inert value that is only listed.
    private let strict: Bool
    private var graph = PickleGraph()
    private var stack: [PickleID] = []
    /// Where in the stack each open MARK stands.
    private var marks: [Int] = []
    private var memo: [UInt32: PickleID] = [:]
    private var globalPlaces: [ExactText: Int32] = [:]
    /// Where the opcode at work stands.
    private var at: UInt64 = 0

    private init(_ input: PickleInput, strict: Bool) {
        self.input = input
        self.strict = strict
    }

    /// Interprets one pickle.
    /// - Returns: its values, and the offset of the byte after it.
    /// - Throws: `malformed` or `unsupported`, with the globals outside the list that it asked for until then.
    static func run(_ input: PickleInput, strict: Bool) throws -> (graph: PickleGraph, end: UInt64) {
        var machine = PickleMachine(input, strict: strict)
        do {
            try machine.run()
        } catch let error as CheckpointError {
            throw error.naming(machine.graph.globals)
        }
        return (machine.graph, machine.input.offset)
    }

    /// The globals that a pickle asks for, as far as it can be followed.
    static func globals(of input: PickleInput) -> [PickleGlobal] {
        var machine = PickleMachine(input, strict: false)
        try? machine.run()
        return machine.graph.globals
    }

    private mutating func run() throws {
        let start = input.offset
        while true {
            at = input.offset
            guard at - start < PickleLimits.bytes else { throw fault("it is longer than \(PickleLimits.bytes) bytes") }
            let code = try input.byte()
            guard let opcode = PickleOpcode(rawValue: code) else {
                throw fault("unknown opcode 0x" + String(code, radix: 16))
            }
            if opcode == .stop { break }
            try step(opcode, first: at == start)
            guard stack.count <= PickleLimits.stack, marks.count <= PickleLimits.stack else {
                throw fault("its stack is too high")
            }
        }
        guard marks.isEmpty, stack.count == 1 else {
            throw fault("it ends with \(stack.count) values", expected: "one")
        }
        graph.root = stack[0]
    }

    private mutating func step(_ opcode: PickleOpcode, first: Bool) throws {
        switch opcode {
        case .proto:
            graph.version = try input.byte()
            guard first else { throw fault("a second protocol mark") }
            guard graph.version <= 5 else {
                throw CheckpointError.unsupported(
                    "pickle protocol \(graph.version)", file: input.file.path, place: input.place, offset: at,
                    expected: "0 to 5")
            }
        case .frame:
            let length: UInt64 = try input.integer()
            guard length <= input.remaining else { throw fault("a frame reaches beyond its end") }
        case .stop: break

        case .none: try push(.none)
        case .newTrue: try push(.bool(true))
        case .newFalse: try push(.bool(false))
        case .binInt: try push(.integer(Int64(try input.integer(Int32.self))))
        case .binInt1: try push(.integer(Int64(try input.byte())))
        case .binInt2: try push(.integer(Int64(try input.integer(UInt16.self))))
        case .long1: try pushLong(UInt64(try input.byte()))
        case .long4: try pushLong(UInt64(try input.integer(UInt32.self)))
        case .int, .long, .float, .string, .unicode: try textValue(opcode)
        case .binFloat: try push(.double(try input.bigEndianDouble()))

        case .binUnicode: try push(.string(try input.string(UInt64(try input.integer(UInt32.self)))))
        case .shortBinUnicode: try push(.string(try input.string(UInt64(try input.byte()))))
        case .binUnicode8: try push(.string(try input.string(try input.integer(UInt64.self))))
        case .binString, .binBytes: try push(.bytes(try input.bytes(UInt64(try input.integer(UInt32.self)))))
        case .shortBinString, .shortBinBytes: try push(.bytes(try input.bytes(UInt64(try input.byte()))))
        case .binBytes8, .byteArray8: try push(.bytes(try input.bytes(try input.integer(UInt64.self))))

        case .mark: marks.append(stack.count)
        case .emptyTuple: try push(.tuple(try store([])))
        case .tuple: try push(.tuple(try store(try popMark())))
        case .tuple1: try push(.tuple(try store(try pop(1))))
        case .tuple2: try push(.tuple(try store(try pop(2))))
        case .tuple3: try push(.tuple(try store(try pop(3))))
        case .emptyList: try push(.list(try store([])))
        case .list: try push(.list(try store(try popMark())))
        case .append: try append(try pop(1))
        case .appends: try append(try popMark())
        case .emptyDict: try push(.dict(try store([])))
        case .dict: try push(.dict(try store(try pairs(try popMark()))))
        case .setItem: try setItems(try pop(2))
        case .setItems: try setItems(try popMark())
        case .emptySet: try push(.set(try store([])))
        case .addItems: try addItems(try popMark())
        case .frozenSet: try push(.set(try store(try popMark())))

        case .pop:
            if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop(1) }
        case .popMark: _ = try popMark()
        case .dup: stack.append(try top())
        case .get: try recall(try memoIndex(try input.textLine()))
        case .binGet: try recall(UInt32(try input.byte()))
        case .longBinGet: try recall(try input.integer())
        case .put: try memoize(try memoIndex(try input.textLine()))
        case .binPut: try memoize(UInt32(try input.byte()))
        case .longBinPut: try memoize(try input.integer())
        case .memoize: try memoize(UInt32(clamping: memo.count))

        case .global: try pushGlobal(module: try input.textLine(), name: try input.textLine())
        case .stackGlobal: try stackGlobal()
        case .ext1: try pushExtension(UInt32(try input.byte()))
        case .ext2: try pushExtension(UInt32(try input.integer(UInt16.self)))
        case .ext4: try pushExtension(try input.integer())
        case .reduce, .newObj:
            let operands = try pop(2)
            try call(operands[0], arguments: operands[1])
        case .newObjEx: try newObjectWithKeywords()
        case .inst:
            let (module, name) = (try input.textLine(), try input.textLine())
            let arguments = try popMark()
            try call(try globalIndex(module: module, name: name), elements: arguments)
        case .obj:
            let operands = try popMark()
            guard let callee = operands.first else { throw fault("OBJ without a class") }
            try call(try callable(callee), elements: Array(operands.dropFirst()))
        case .build: try build()
        case .persID:
            throw fault("a persistent id in text form", expected: "a tuple")
        case .binPersID: try persistent()
        }
    }

    private func fault(_ message: String, expected: String? = nil, found: String? = nil) -> CheckpointError {
        input.fault(message, at: at, expected: expected, found: found)
    }

    // MARK: Stack and memo

    private mutating func push(_ value: PickleValue) throws {
        guard graph.values.count < PickleLimits.values else {
            throw fault("it has more than \(PickleLimits.values) values")
        }
        stack.append(PickleID(graph.values.count))
        graph.values.append(value)
    }

    private mutating func store(_ elements: [PickleID]) throws -> Int32 {
        guard graph.elements.count < PickleLimits.values else {
            throw fault("it has more than \(PickleLimits.values) values")
        }
        graph.elements.append(elements)
        return Int32(graph.elements.count - 1)
    }

    private func top() throws -> PickleID {
        guard stack.count > marks.last ?? 0, let last = stack.last else { throw fault("its stack is empty") }
        return last
    }

    private mutating func pop(_ count: Int) throws -> [PickleID] {
        guard stack.count - (marks.last ?? 0) >= count else { throw fault("its stack is empty") }
        let out = Array(stack[(stack.count - count)...])
        stack.removeLast(count)
        return out
    }

    private mutating func popMark() throws -> [PickleID] {
        guard let mark = marks.popLast() else { throw fault("a mark is missing") }
        let out = Array(stack[mark...])
        stack.removeLast(stack.count - mark)
        return out
    }

    private func memoIndex(_ text: String) throws -> UInt32 {
        guard let index = UInt32(text) else { throw fault("a wrong index of the memo") }
        return index
    }

    private mutating func recall(_ index: UInt32) throws {
        guard let id = memo[index] else { throw fault("the memo has no entry \(index)") }
        stack.append(id)
    }

    private mutating func memoize(_ index: UInt32) throws {
        let id = try top()
        guard memo.count < PickleLimits.memo || memo[index] != nil else { throw fault("its memo is too large") }
        memo[index] = id
    }

    // MARK: Plain values

    private mutating func pushLong(_ count: UInt64) throws {
        guard count <= PickleLimits.integer else { throw fault("an integer of \(count) bytes") }
        var bytes = try input.bytes(count)
        // Superfluous sign bytes go first, so that only what does not fit is long.
        while let last = bytes.last, bytes.count > 1,
            last == (bytes[bytes.count - 2] & 0x80 == 0 ? 0 : 0xFF)
        {
            bytes.removeLast()
        }
        guard bytes.count <= 8 else {
            try push(.longInteger(bytes))
            return
        }
        var value: UInt64 = bytes.last.map { $0 & 0x80 == 0 ? 0 : .max } ?? 0
        for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
        try push(.integer(Int64(bitPattern: value)))
    }

    /// The text forms of protocol 0.
    private mutating func textValue(_ opcode: PickleOpcode) throws {
        let text = try input.textLine()
        switch opcode {
        case .int where text == "00": try push(.bool(false))
        case .int where text == "01": try push(.bool(true))
        case .int, .long:
            guard let value = Int64(text.hasSuffix("L") ? String(text.dropLast()) : text) else {
                throw fault("a wrong or too large integer in text form")
            }
            try push(.integer(value))
        case .float:
            guard let value = Double(text) else { throw fault("a wrong number in text form") }
            try push(.double(value))
        case .string:
            // Quotes and plain characters only: checkpoints have no others in this form.
            guard text.count >= 2, let quote = text.first, quote == "'" || quote == "\"", text.last == quote,
                !text.dropFirst().dropLast().contains(where: { $0 == quote || $0 == "\\" })
            else { throw fault("a text in quotes with escapes") }
            try push(.bytes(Array(text.dropFirst().dropLast().utf8)))
        default:
            guard !text.contains("\\") else { throw fault("a text with escapes") }
            try push(.string(text))
        }
    }

    // MARK: Containers

    private func pairs(_ elements: [PickleID]) throws -> [PickleID] {
        guard elements.count % 2 == 0 else { throw fault("a key without a value") }
        return elements
    }

    private mutating func append(_ items: [PickleID]) throws {
        switch graph[try top()] {
        case .list(let index): graph.elements[Int(index)] += items
        default: throw fault("APPEND into something that is no list")
        }
    }

    private mutating func addItems(_ items: [PickleID]) throws {
        guard case .set(let index) = graph[try top()] else { throw fault("ADDITEMS into something that is no set") }
        graph.elements[Int(index)] += items
    }

    private mutating func setItems(_ items: [PickleID]) throws {
        let items = try pairs(items)
        switch graph[try top()] {
        case .dict(let index): graph.elements[Int(index)] += items
        case .call(let index):
            let role = graph.roles[Int(graph.calls[Int(index)].callee)]
            // A class outside the list may be a dictionary; it is listed and nothing more.
            guard role == nil || role == .dictionary else {
                throw fault("SETITEM into something that is no dictionary")
            }
            if graph.calls[Int(index)].items < 0 { graph.calls[Int(index)].items = try store([]) }
            graph.elements[Int(graph.calls[Int(index)].items)] += items
        default: throw fault("SETITEM into something that is no dictionary")
        }
    }

    // MARK: Globals and calls

    private mutating func globalIndex(module: String, name: String) throws -> Int32 {
        try globalIndex(TorchGlobals.canonical(module: module, name: name))
    }

    private mutating func globalIndex(_ full: String) throws -> Int32 {
        if let known = globalPlaces[ExactText(full)] { return known }
        let role = TorchGlobals.roles[full]
        guard role != nil || !strict else {
            throw CheckpointError.unsupported(
                "the pickle asks for \(full), which is not on the list of what checkpoints need",
                file: input.file.path, place: input.place, offset: at,
                remedy: TorchGlobals.remedy(for: full))
        }
        guard graph.globals.count < PickleLimits.globals else { throw fault("it asks for too many globals") }
        let index = Int32(graph.globals.count)
        graph.globals.append(PickleGlobal(name: full, isAllowed: role != nil, offset: at))
        graph.roles.append(role)
        globalPlaces[ExactText(full)] = index
        return index
    }

    private mutating func pushGlobal(module: String, name: String) throws {
        try push(.global(try globalIndex(module: module, name: name)))
    }

    private mutating func stackGlobal() throws {
        let operands = try pop(2)
        guard case .string(let module) = graph[operands[0]], case .string(let name) = graph[operands[1]] else {
            throw fault("STACK_GLOBAL of something that is no text")
        }
        try pushGlobal(module: module, name: name)
    }

    private mutating func pushExtension(_ code: UInt32) throws {
        try push(.global(try globalIndex("copyreg extension \(code)")))
    }

    /// The global behind a callee.
    private func callable(_ id: PickleID) throws -> Int32 {
        guard case .global(let index) = graph[id] else {
            throw fault("a call of something that is no global")
        }
        return index
    }

    private mutating func call(_ callee: PickleID, arguments: PickleID) throws {
        guard case .tuple(let elements) = graph[arguments] else { throw fault("a call whose arguments are no tuple") }
        try pushCall(try callable(callee), elements)
    }

    private mutating func call(_ callee: Int32, elements: [PickleID]) throws {
        try pushCall(callee, try store(elements))
    }

    private mutating func pushCall(_ callee: Int32, _ arguments: Int32) throws {
        if let role = graph.roles[Int(callee)], !role.isCallable {
            throw fault("a call of \(graph.globals[Int(callee)].name), which is neither function nor class")
        }
        graph.calls.append(PickleCall(callee: callee, arguments: arguments, offset: at))
        try push(.call(Int32(graph.calls.count - 1)))
    }

    private mutating func newObjectWithKeywords() throws {
        let operands = try pop(3)
        guard case .dict(let keywords) = graph[operands[2]], graph.elements(keywords).isEmpty || !strict else {
            throw fault("a call with keyword arguments")
        }
        try call(operands[0], arguments: operands[1])
    }

    private mutating func build() throws {
        let state = try pop(1)[0]
        guard case .call(let index) = graph[try top()] else { throw fault("BUILD of something that is no object") }
        let call = graph.calls[Int(index)]
        guard graph.roles[Int(call.callee)]?.takesState ?? true, call.state < 0 else {
            throw fault("BUILD changes \(graph.globals[Int(call.callee)].name) after the fact")
        }
        graph.calls[Int(index)].state = state
    }

    private mutating func persistent() throws {
        let operand = try pop(1)[0]
        guard case .tuple(let elements) = graph[operand] else {
            throw fault("a persistent id that is no tuple", expected: "('storage', type, key, location, elements)")
        }
        // A whole module in the older stream: ('module', class, file, source text). It stands for its class.
        let members = graph.elements(elements)
        if members.count == 4, graph.text(members[0]) == "module", case .global = graph[members[1]] {
            stack.append(members[1])
            return
        }
        graph.persistent.append((elements, at))
        try push(.persistent(Int32(graph.persistent.count - 1)))
    }
}
