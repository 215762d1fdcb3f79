// Pickles that lie or attack: each ends in an error that says so, and nothing is ever executed.

import Bytes
import Containers
import Foundation
import HostileFiles
import OrderedCollections
import Tensors
import Testing

extension HostilePickle: CustomTestStringConvertible {
    public var testDescription: String { name }
}

@Suite struct PyTorchHostile {
    @Test(arguments: reachingPickles)
    func nothingIsReachedFor(_ hostile: HostilePickle) throws {
        for bytes in [TestZip(pickle: hostile.pickle).bytes, testStream(pickle: hostile.pickle)] {
            let fault = try #require(try openingFault(bytes))
            #expect(fault.description.contains(hostile.message), "\(fault)")
            #expect(fault.exitStatus == 2)
        }
        #expect(!FileManager.default.fileExists(atPath: "/tmp/pannier-was-here"))
    }

    @Test(arguments: reachingPickles)
    func inspectingListsWhatIsAskedFor(_ hostile: HostilePickle) throws {
        try withFile(TestZip(pickle: hostile.pickle).bytes) { path in
            do {
                let reader = try PyTorchReader(path, strict: false)
                #expect(reader.globals.contains { !$0.isAllowed })
            } catch let error as CheckpointError {
                // What cannot even be looked at is refused with a reason.
                #expect(error.exitStatus == 2)
            }
        }
        #expect(!FileManager.default.fileExists(atPath: "/tmp/pannier-was-here"))
    }

    /// Damage behind a call does not hide what the call was of.
    @Test func refusalsNameWhatWasAskedFor() throws {
        let call = Op.text("id") + Op.tuple1 + Op.reduce
        let memo =
            Op.proto(4) + Op.text("posix") + Op.put(1) + Op.text("system") + Op.put(2) + Op.get(1) + Op.get(2)
            + Op.stackGlobal + call + Op.stop
        let garbage = Op.proto() + Op.global("posix", "system") + call + [0x2F]
        for pickle in [memo, garbage] {
            for bytes in [TestZip(pickle: pickle).bytes, testStream(pickle: pickle), pickle] {
                let fault = try #require(try openingFault(bytes, strict: false))
                #expect(fault.message.hasPrefix("DANGER: the pickle asks for posix.system"), "\(fault)")
                #expect(fault.exitStatus == 2)
            }
        }
        let harmless = Op.proto() + Op.orderedDict + [0x2F]
        #expect(try openingFault(TestZip(pickle: harmless).bytes, strict: false)?.message.contains("DANGER") == false)
    }

    /// defaultdict(int), as protocol 2 has it: the class is handed over, and may not be called.
    @Test func plainClassesAreArguments() throws {
        for name in ["long", "int", "unicode", "str", "bool", "float", "list", "dict"] {
            let counts =
                Op.global("collections", "defaultdict") + Op.global("__builtin__", name) + Op.tuple1 + Op.reduce
                + Op.text("a") + Op.int(3) + Op.setItem
            try withFile(TestZip(pickle: Op.dict(counts)).bytes) { path in
                let reader = try PyTorchReader(path)
                #expect(reader.globals.allSatisfy { $0.isAllowed })
                #expect(reader.metadata.contains { $0.key.hasSuffix("a") && $0.value.integer == 3 }, "\(reader.metadata)")
            }
        }
        for name in ["long", "str", "bool", "unicode"] {
            let called = Op.dict(Op.global("__builtin__", name) + Op.emptyTuple + Op.reduce)
            let fault = try #require(try openingFault(TestZip(pickle: called).bytes))
            #expect(fault.description.contains("neither function nor class"), "\(fault)")
        }
    }

    @Test(arguments: lyingPickles)
    func liesAreRefused(_ hostile: HostilePickle) throws {
        for strict in [true, false] {
            let zip = TestZip(pickle: hostile.pickle, storages: hostile.storages)
            let fault = try #require(try openingFault(zip.bytes, strict: strict))
            #expect(fault.description.contains(hostile.message), "\(fault)")
            #expect(fault.exitStatus == 2)
        }
        #expect(try openingFault(testStream(pickle: hostile.pickle))?.exitStatus == 2)
    }

    @Test func whatIsSoundIsOpened() throws {
        #expect(try openingFault(TestZip(pickle: Op.dict(Op.tensor())).bytes) == nil)
        let stream = Op.dict(Op.tensor(storage: Op.persistentInStream(count: 6)))
        #expect(try openingFault(testStream(pickle: stream)) == nil)
    }

    /// "é", and "e" with an accent: one text, and two names. Tensors are kept by their bytes, scalars by their text.
    @Test func namesAreBytes() throws {
        let names = ["\u{e9}", "e\u{301}"]
        func pickle(_ values: [[UInt8]]) -> [UInt8] {
            let pairs = zip(names, values).flatMap { Op.text($0) + $1 }
            return Op.proto() + Op.emptyDict + Op.mark + pairs + Op.setItems + Op.stop
        }
        try withFile(TestZip(pickle: pickle([Op.tensor(), Op.tensor(shape: [3, 2], strides: [2, 1])])).bytes) { path in
            let reader = try PyTorchReader(path)
            #expect(reader.tensors.map { Array($0.name.utf8) } == names.map { Array($0.utf8) })
            #expect(reader.tensors.map(\.shape.dimensions) == [[2, 3], [3, 2]])
        }
        try withFile(TestZip(pickle: pickle([Op.int(1), Op.int(2)])).bytes) { path in
            let reader = try PyTorchReader(path)
            #expect(reader.metadata[names[0]]?.integer == 1)
            #expect(reader.remarks.contains { $0.contains("Unicode form") }, "\(reader.remarks)")
        }
    }

    @Test func theOffsetOfAGlobalIsWhereItStands() throws {
        let pickle = Op.dict(Op.global("os", "system") + Op.emptyTuple + Op.reduce)
        try withFile(TestZip(pickle: pickle).bytes) { path in
            let reader = try PyTorchReader(path, strict: false)
            let global = try #require(reader.globals.first)
            #expect(global.name == "os.system")
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(Array(bytes[Int(global.offset)..<Int(global.offset) + 4]) == Array("cos\n".utf8))
        }
    }

    @Test func loneWordsOfTheStream() throws {
        let pickle = Op.dict(Op.tensor(storage: Op.persistentInStream(count: 6)))
        let data = [UInt8](repeating: 7, count: 24)
        let cases: [(String, [UInt8])] = [
            ("lacks a storage", testStream(pickle: pickle, keys: [], storages: [])),
            ("nothing names", testStream(pickle: pickle, keys: ["1"])),
            ("twice", testStream(pickle: pickle, keys: ["0", "0"], storages: [(6, data), (6, data)])),
            ("another size", testStream(pickle: pickle, storages: [(5, data)])),
            ("another size", testStream(pickle: pickle, storages: [(UInt64.max, data)])),
            ("too early", testStream(pickle: pickle, storages: [(6, Array(data.dropLast()))])),
            ("bytes follow", testStream(pickle: pickle, storages: [(6, data + [0])])),
        ]
        for (message, bytes) in cases {
            let fault = try #require(try openingFault(bytes))
            #expect(fault.description.contains(message), "\(fault)")
        }
    }

    @Test func partsOfAStorageInTheStream() throws {
        func stored(_ part: [UInt8]) -> [UInt8] { Op.persistentInStream(count: 6, part: part) }
        let part = Op.mark + Op.text("part") + Op.int(2) + Op.int(3) + Op.tuple
        let pickle = Op.dict(Op.tensor(storage: stored(part), shape: [3], strides: [1]))
        let data = (0..<6).flatMap { Op.le(Float($0).bitPattern) }
        try withFile(testStream(pickle: pickle, storages: [(6, data)])) { path in
            let reader = try PyTorchReader(path)
            let bytes = try reader.readAll(reader.tensors[0])
            #expect(bytes == Array(data[8..<20]))
        }
        let outside = Op.mark + Op.text("part") + Op.int(4) + Op.int(3) + Op.tuple
        let wrong = Op.dict(Op.tensor(storage: stored(outside), shape: [3], strides: [1]))
        #expect(try openingFault(testStream(pickle: wrong)) != nil)
        let beyond = Op.dict(Op.tensor(storage: stored(part), shape: [4], strides: [1]))
        #expect(try openingFault(testStream(pickle: beyond)) != nil)
    }
}
