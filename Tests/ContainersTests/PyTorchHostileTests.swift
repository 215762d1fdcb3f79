// Pickles that lie or attack: each ends in an error that says so, and nothing is ever executed.

import Bytes
import Containers
import Foundation
import HostileFiles
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
