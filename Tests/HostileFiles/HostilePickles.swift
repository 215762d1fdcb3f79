// Pickles that lie or attack, with a part of what is said of each.

/// A pickle that must be refused, and a part of what is said.
package struct HostilePickle: Sendable {
    package let name: String
    package let pickle: [UInt8]
    package let message: String
    package var storages = [[UInt8](repeating: 7, count: 24)]

    package init(_ name: String, _ pickle: [UInt8], _ message: String, storages: [[UInt8]] = [[UInt8](repeating: 7, count: 24)]) {
        self.name = name
        self.pickle = pickle
        self.message = message
        self.storages = storages
    }
}

/// Ways to have os.system called, or anything else that no checkpoint needs.
package let reachingPickles: [HostilePickle] = {
    let command = Op.text("touch /tmp/pannier-was-here") + Op.tuple1
    let system = Op.global("os", "system")
    let outside = "not on the list"
    return [
        HostilePickle("GLOBAL", Op.dict(system), outside),
        HostilePickle("GLOBAL and REDUCE", Op.dict(system + command + Op.reduce), outside),
        HostilePickle("posix", Op.dict(Op.global("posix", "system") + command + Op.reduce), outside),
        HostilePickle("Python 2's builtins", Op.dict(Op.global("__builtin__", "eval") + command + Op.reduce), outside),
        HostilePickle("a submodule", Op.dict(Op.global("torch.serialization.os", "system") + command + Op.reduce), outside),
        HostilePickle("an attribute of an attribute", Op.dict(Op.global("torch", "serialization.os.system")), outside),
        HostilePickle(
            "STACK_GLOBAL", Op.dict(Op.text("os") + Op.text("system") + Op.stackGlobal + command + Op.reduce), outside),
        HostilePickle(
            "STACK_GLOBAL through the memo",
            Op.proto(4) + Op.text("os") + Op.put(1) + Op.pop + Op.text("system") + Op.put(2) + Op.pop + Op.get(1)
                + Op.get(2) + Op.stackGlobal + command + Op.reduce + Op.stop, outside),
        HostilePickle("INST", Op.proto() + Op.mark + Op.text("id") + Op.inst("os", "system") + Op.stop, outside),
        HostilePickle("OBJ", Op.proto() + Op.mark + system + Op.text("id") + Op.obj + Op.stop, outside),
        HostilePickle("NEWOBJ", Op.dict(Op.global("subprocess", "Popen") + command + Op.newObj), outside),
        HostilePickle(
            "NEWOBJ_EX", Op.dict(Op.global("subprocess", "Popen") + command + Op.emptyDict + Op.newObjEx), outside),
        HostilePickle(
            "BUILD", Op.dict(Op.global("io", "Any") + Op.emptyTuple + Op.newObj + Op.emptyDict + Op.build), outside),
        HostilePickle(
            "a state that calls",
            Op.dict(Op.orderedDict + Op.emptyDict + Op.text("x") + system + command + Op.reduce + Op.setItem + Op.build),
            outside),
        HostilePickle("in a tensor's hooks", Op.dict(Op.tensor(tail: system + command + Op.reduce)), outside),
        HostilePickle("as a storage's type", Op.dict(Op.tensor(storage: Op.persistent(type: "system", count: 6, module: "os"))), outside),
        HostilePickle("thrown away after the call", Op.proto() + system + command + Op.reduce + Op.pop + Op.emptyDict + Op.stop, outside),
        HostilePickle("as a dictionary's default", Op.dict(Op.global("collections", "defaultdict") + system + Op.tuple1 + Op.reduce), outside),
        HostilePickle("EXT1", Op.dict(Op.bytes(0x82, 7) + command + Op.reduce), outside),
        HostilePickle("EXT2", Op.dict(Op.bytes(0x83, 7, 1) + command + Op.reduce), outside),
        HostilePickle("EXT4", Op.dict(Op.bytes(0x84, 7, 0, 0, 1) + command + Op.reduce), outside),
    ]
}()

/// Wrong streams, and right ones that lie about tensors.
package let lyingPickles: [HostilePickle] = {
    let storage24 = [[UInt8](repeating: 7, count: 24)]
    var bomb = Op.proto() + Op.emptyList + Op.text("x") + Op.append + Op.put(0)
    for level in 1..<40 {
        bomb += Op.pop + Op.emptyList + Op.mark
        for _ in 0..<10 { bomb += Op.get(UInt8(level - 1)) }
        bomb += Op.none + Op.appends + Op.put(UInt8(level))
    }
    bomb += Op.stop
    var deep = Op.proto()
    for _ in 0..<100_000 { deep += Op.emptyList }
    for _ in 0..<99_999 { deep += Op.append }
    deep += Op.stop
    var tuples = Op.proto() + Op.none
    for _ in 0..<700_000 { tuples += Op.tuple1 }
    tuples += Op.stop
    // One text of a megabyte in a hundred places.
    var shared = Op.proto() + Op.emptyList + Op.mark + Op.text(String(repeating: "x", count: 1 << 20)) + Op.put(0)
    for _ in 0..<100 { shared += Op.get(0) }
    shared += Op.appends + Op.stop
    return [
        HostilePickle("a text in many places", shared, "shared so often"),
        // Calls of what is no function.
        HostilePickle("REDUCE of a text", Op.dict(Op.text("os.system") + Op.emptyTuple + Op.reduce), "no global"),
        HostilePickle("REDUCE of a call", Op.dict(Op.orderedDict + Op.emptyTuple + Op.reduce), "no global"),
        HostilePickle("REDUCE of a storage type", Op.dict(Op.global("torch", "FloatStorage") + Op.emptyTuple + Op.reduce), "neither function nor class"),
        HostilePickle("NEWOBJ of a tensor class", Op.dict(Op.global("torch", "Tensor") + Op.emptyTuple + Op.newObj), "neither function nor class"),
        HostilePickle("REDUCE without a tuple", Op.dict(Op.global("collections", "OrderedDict") + Op.text("x") + Op.reduce), "no tuple"),
        HostilePickle("BUILD of a dictionary", Op.dict(Op.emptyDict + Op.emptyDict + Op.build), "BUILD"),
        HostilePickle("BUILD of a tensor", Op.dict(Op.tensor() + Op.emptyTuple + Op.build), "BUILD"),
        HostilePickle("BUILD twice", Op.dict(Op.orderedDict + Op.emptyDict + Op.build + Op.emptyDict + Op.build), "BUILD"),
        HostilePickle("SETITEM into a tensor", Op.dict(Op.tensor() + Op.int(0) + Op.int(1) + Op.setItem), "SETITEM"),
        HostilePickle("SETITEM into a list", Op.dict(Op.emptyList + Op.int(0) + Op.int(1) + Op.setItem), "SETITEM"),
        HostilePickle("SETITEMS into a storage", Op.dict(Op.persistent(count: 6) + Op.mark + Op.int(0) + Op.int(1) + Op.setItems), "SETITEM"),
        HostilePickle("SETITEMS of an odd number", Op.dict(Op.emptyDict + Op.mark + Op.int(0) + Op.setItems), "without a value"),
        HostilePickle("APPEND into a dictionary", Op.dict(Op.emptyDict + Op.int(0) + Op.append), "APPEND"),
        HostilePickle("STACK_GLOBAL of numbers", Op.dict(Op.int(1) + Op.int(2) + Op.stackGlobal), "STACK_GLOBAL"),
        // Persistent ids.
        HostilePickle("a persistent id of text", Op.dict(Op.text("0") + Op.persID), "no tuple"),
        HostilePickle("a persistent id in text form", Op.dict(Op.bytes(0x50, 0x30, 0x0A)), "text form"),
        HostilePickle("an empty persistent id", Op.dict(Op.emptyTuple + Op.persID), "no storage"),
        HostilePickle("a short persistent id", Op.dict(Op.text("storage") + Op.tuple1 + Op.persID), "wrong form"),
        HostilePickle("another kind of persistent id", Op.dict(Op.text("file") + Op.tuple1 + Op.persID), "kind file"),
        HostilePickle("a storage of no storage type", Op.dict(Op.tensor(storage: Op.persistent(type: "float32", count: 6))), "type torch.float32"),
        HostilePickle("a storage that is missing", Op.dict(Op.tensor(storage: Op.persistent(key: "1", count: 6))), "no storage 1"),
        HostilePickle("a storage outside of the folder", Op.dict(Op.tensor(storage: Op.persistent(key: "../data.pkl", count: 6))), "no storage"),
        HostilePickle("a storage smaller than it says", Op.dict(Op.tensor(count: 7)), "another size"),
        HostilePickle("a storage larger than it says", Op.dict(Op.tensor(count: 5, shape: [5], strides: [1])), "another size"),
        HostilePickle("a storage of negative size", Op.dict(Op.tensor(count: -6)), "claims"),
        HostilePickle("a storage whose bytes overflow", Op.dict(Op.tensor(count: Int.max / 2)), "claims"),
        HostilePickle(
            "a storage of two types",
            Op.proto() + Op.emptyDict + Op.mark + Op.text("a") + Op.tensor() + Op.text("b")
                + Op.tensor(storage: Op.persistent(type: "IntStorage", count: 6)) + Op.setItems + Op.stop, "differently"),
        HostilePickle("quantized", Op.dict(Op.tensor(storage: Op.persistent(type: "QInt8Storage", count: 6))), "quantized"),
        // Tensors.
        HostilePickle("an offset beyond the storage", Op.dict(Op.tensor(offset: 1)), "beyond its storage"),
        HostilePickle("a huge offset", Op.dict(Op.tensor(offset: Int.max)), "beyond its storage"),
        HostilePickle("a negative offset", Op.dict(Op.tensor(offset: -1)), "impossible"),
        HostilePickle("a shape beyond the storage", Op.dict(Op.tensor(shape: [3, 3])), "beyond its storage"),
        HostilePickle("a stride beyond the storage", Op.dict(Op.tensor(strides: [4, 1])), "beyond its storage"),
        HostilePickle("a negative stride", Op.dict(Op.tensor(offset: 5, strides: [-3, -1])), "impossible"),
        HostilePickle("strides that overflow", Op.dict(Op.tensor(shape: [3, 3], strides: [Int.max, Int.max])), "beyond its storage"),
        HostilePickle("a negative dimension", Op.dict(Op.tensor(shape: [-2, 3])), "impossible"),
        HostilePickle("dimensions that overflow", Op.dict(Op.tensor(shape: [1 << 32, 1 << 32], strides: [0, 0])), "impossible"),
        HostilePickle("dimensions that overflow beside a zero", Op.dict(Op.tensor(shape: [0, 1 << 40, 1 << 40], strides: [0, 0, 0])), "impossible"),
        HostilePickle("a few elements expanded without end", Op.dict(Op.tensor(shape: [1 << 40], strides: [0])), "expanded"),
        HostilePickle("more strides than dimensions", Op.dict(Op.tensor(shape: [6], strides: [1, 1])), "impossible"),
        HostilePickle("40 dimensions", Op.dict(Op.tensor(shape: [Int](repeating: 1, count: 40), strides: [Int](repeating: 1, count: 40))), "impossible"),
        HostilePickle("a shape of texts", Op.dict(Op.global("torch._utils", "_rebuild_tensor_v2") + Op.mark + Op.persistent(count: 6) + Op.int(0) + Op.text("x") + Op.tuple1 + Op.ints([1]) + Op.no + Op.orderedDict + Op.tuple + Op.reduce), "wrong form"),
        HostilePickle("a tensor without a storage", Op.dict(Op.tensor(storage: Op.int(1))), "wrong form"),
        HostilePickle("a parameter of itself", Op.dict(Op.global("torch._utils", "_rebuild_parameter") + Op.mark + Op.text("x") + Op.yes + Op.orderedDict + Op.tuple + Op.reduce), "without a tensor"),
        // Containers.
        HostilePickle("a list that holds itself", Op.proto() + Op.emptyList + Op.put(0) + Op.get(0) + Op.append + Op.stop, "holds itself"),
        HostilePickle("a dictionary that holds itself", Op.proto() + Op.emptyDict + Op.put(0) + Op.text("x") + Op.get(0) + Op.setItem + Op.stop, "holds itself"),
        HostilePickle("ten to the fortieth texts", bomb, "too long"),
        HostilePickle("100,000 lists in each other", deep, "deep"),
        HostilePickle("700,000 tuples in each other", tuples, "deep"),
        HostilePickle("a key that stands twice", Op.proto() + Op.emptyDict + Op.mark + Op.text("a") + Op.int(1) + Op.text("a") + Op.int(2) + Op.setItems + Op.stop, "twice"),
        HostilePickle(
            "two paths of one name",
            Op.proto() + Op.emptyDict + Op.mark + Op.text("a.b") + Op.int(1) + Op.text("a") + Op.emptyDict + Op.text("b")
                + Op.int(2) + Op.setItem + Op.setItems + Op.stop, "same name"),
        HostilePickle("a key that is a tuple", Op.proto() + Op.emptyDict + Op.emptyTuple + Op.int(1) + Op.setItem + Op.stop, "neither text nor"),
        HostilePickle("a name without end", Op.dict(Op.int(1), key: String(repeating: "x", count: 5000)), "longer than"),
        // Streams.
        HostilePickle("nothing", [], "too early"),
        HostilePickle("STOP alone", Op.stop, "0 values"),
        HostilePickle("two values", Op.proto() + Op.none + Op.none + Op.stop, "2 values"),
        HostilePickle("an open mark", Op.proto() + Op.none + Op.mark + Op.stop, "1 values"),
        HostilePickle("bytes after STOP", Op.proto() + Op.emptyDict + Op.stop + Op.stop, "follow"),
        HostilePickle("an unknown opcode", Op.proto() + Op.bytes(0xFF), "opcode 0xff"),
        HostilePickle("an out-of-band buffer", Op.proto(5) + Op.bytes(0x97), "opcode 0x97"),
        HostilePickle("protocol 6", Op.proto(6) + Op.emptyDict + Op.stop, "protocol 6"),
        HostilePickle("a second protocol mark", Op.proto() + Op.proto() + Op.emptyDict + Op.stop, "second"),
        HostilePickle("a frame beyond the end", Op.proto(4) + Op.bytes(0x95) + Op.le(UInt64.max) + Op.emptyDict + Op.stop, "frame"),
        HostilePickle("a text beyond the end", Op.proto() + Op.bytes(0x58) + Op.le(UInt32.max) + Op.stop, "beyond its end"),
        HostilePickle("a text of 2^64 - 1 bytes", Op.proto() + Op.bytes(0x8D) + Op.le(UInt64.max) + Op.stop, "beyond its end"),
        HostilePickle("bytes of 2^63 bytes", Op.proto() + Op.bytes(0x8E) + Op.le(UInt64(1) << 63) + Op.stop, "beyond its end"),
        HostilePickle("a text that is no UTF-8", Op.proto() + Op.bytes(0x58, 2, 0, 0, 0, 0xC3, 0x28) + Op.stop, "UTF-8"),
        HostilePickle("a surrogate", Op.proto() + Op.bytes(0x58, 3, 0, 0, 0, 0xED, 0xA0, 0x80) + Op.stop, "UTF-8"),
        HostilePickle("an integer of 4 GB", Op.proto() + Op.bytes(0x8B) + Op.le(UInt32.max) + Op.stop, "integer"),
        HostilePickle("an integer of negative length", Op.proto() + Op.bytes(0x8B) + Op.le(Int32(-1)) + Op.stop, "integer"),
        HostilePickle("an empty stack", Op.proto() + Op.tuple2 + Op.stop, "stack is empty"),
        HostilePickle("a stack empty behind a mark", Op.proto() + Op.none + Op.mark + Op.tuple1 + Op.stop, "stack is empty"),
        HostilePickle("a missing mark", Op.proto() + Op.tuple + Op.stop, "mark is missing"),
        HostilePickle("an empty place of the memo", Op.proto() + Op.get(9) + Op.stop, "no entry 9"),
        HostilePickle("a wrong index of the memo", Op.proto() + Op.bytes(0x67) + Array("-1\n".utf8) + Op.stop, "wrong index"),
        HostilePickle("a line without end", Op.proto() + Op.bytes(0x63) + [UInt8](repeating: 0x61, count: 1 << 17), "too long"),
        HostilePickle("a text with escapes", Op.proto() + Op.bytes(0x53) + Array("'\\x41'\n".utf8) + Op.stop, "escapes"),
    ].map {
        HostilePickle($0.name, $0.pickle, $0.message, storages: storage24)
    }
}()
