// safetensors: what the reference implementation wrote, and what must be refused.

import Bytes
import Containers
import Foundation
import HostileFiles
import OrderedCollections
import Tensors
import Testing

@Suite struct SafetensorsTests {
    @Test func readsWhatTheReferenceWrote() throws {
        let reader = try SafetensorsReader(Golden.path("dtypes.safetensors"))
        #expect(reader.metadata == ["format": .string("pt")])
        #expect(reader.remarks.isEmpty)
        let dtypes = Set(reader.tensors.map(\.dtype))
        #expect(
            dtypes == [
                .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz, .i16, .u16, .f16, .bf16, .i32,
                .u32, .f32, .c64, .f64, .i64, .u64,
            ])
        let byName = Dictionary(uniqueKeysWithValues: reader.tensors.map { ($0.name, $0) })
        #expect(byName["scalar"]?.shape == Shape([]))
        #expect(byName["empty"]?.shape == Shape([0, 4]))
        #expect(byName["caf\u{e9} \"quoted\" \\ \n"]?.dtype == .i32)
        let values = try contents(reader)
        #expect(values["scalar"] == [0, 0, 0xC0, 0x3F])
        #expect(values["t07"] == [0, 1, 2, 3, 4, 5])
    }

    @Test func writesTheReferencesBytes() throws {
        let scratch = Scratch()
        let reader = try SafetensorsReader(Golden.path("dtypes.safetensors"))
        let writer = try SafetensorsWriter(in: scratch.path, name: "model.safetensors", tensors: plans(reader))
        try copy(reader, to: writer)
        let written = try scratch.bytes("model.safetensors")
        #expect(written == (try Golden.bytes("dtypes.safetensors")))
        #expect(writer.totalBytes == UInt64(written.count))
        #expect(writer.fileNames == ["model.safetensors"])
    }

    @Test func subByteTypesCountBits() throws {
        let scratch = Scratch()
        let header =
            #"{"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]},"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[3,6]}}"#
        let reader = try SafetensorsReader(scratch.write("x.safetensors", SmallSafetensors.file(header, data: 6)))
        #expect(reader.tensors.map(\.byteCount) == [3, 3])
    }

    @Test(arguments: [UInt64(1), 60, 200, 100_000]) func shardsRoundTrip(size: UInt64) throws {
        let scratch = Scratch()
        let reader = try SafetensorsReader(Golden.path("dtypes.safetensors"))
        let writer = try SafetensorsWriter(
            in: scratch.path, name: "model.safetensors", tensors: plans(reader), shardSize: size)
        try copy(reader, to: writer)
        #expect(Set(writer.fileNames) == Set(scratch.names))
        let sizes = try scratch.names.map { UInt64(try scratch.bytes($0).count) }
        #expect(sizes.reduce(0, +) == writer.totalBytes)
        let back = try Containers.open(scratch.path)
        #expect(try contents(back) == contents(reader))
        #expect(back.remarks.isEmpty)
        if size < 1000 {
            #expect(scratch.names.last == "model.safetensors.index.json")
            #expect(scratch.names.first?.hasPrefix("model-00001-of-000") == true)
        }
    }

    @Test func truncationAtEveryByte() throws {
        let scratch = Scratch()
        let whole = SmallSafetensors.file(SmallSafetensors.sound, data: 11)
        #expect(try SafetensorsReader(scratch.write("whole", whole)).tensors.count == 2)
        for count in 0..<whole.count {
            try expectRefused("\(count) bytes", Array(whole[..<count]), in: scratch) { try SafetensorsReader($0) }
        }
        try expectRefused("a byte more", whole + [0], in: scratch) { try SafetensorsReader($0) }
    }

    @Test(arguments: SmallSafetensors.hostile.indices) func refuses(_ index: Int) throws {
        let (name, header, data, message) = SmallSafetensors.hostile[index]
        let bytes = SmallSafetensors.file(header, data: data)
        try expectRefused(name, bytes, in: Scratch(), saying: message.isEmpty ? nil : message) { try SafetensorsReader($0) }
    }

    @Test func refusesBytesThatAreNoText() throws {
        let scratch = Scratch()
        for bad in [[0xFF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]] {
            let header = Array(#"{"a"#.utf8) + bad + Array(#"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#.utf8)
            var file = Builder()
            file.integer(UInt64(header.count))
            file.raw(header)
            file.raw([0])
            try expectRefused("\(bad)", file.bytes, in: scratch, saying: "UTF-8") { try SafetensorsReader($0) }
        }
    }

    @Test(arguments: [UInt64(0), 100_000_001, 1 << 40, .max, .max - 7]) func refusesHeaderLengths(length: UInt64) throws {
        try expectRefused("\(length)", SmallSafetensors.file(SmallSafetensors.sound, data: 11, length: length), in: Scratch()) {
            try SafetensorsReader($0)
        }
    }

    @Test func anIndexMustAgreeWithItsShards() throws {
        let scratch = Scratch()
        func shard(_ names: [String]) -> [UInt8] {
            let entries = names.enumerated().map {
                "\"\($1)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\($0),\($0 + 1)]}"
            }
            return SmallSafetensors.file("{" + entries.joined(separator: ",") + "}", data: names.count)
        }
        try scratch.write("one.safetensors", shard(["a", "b"]))
        try scratch.write("two.safetensors", shard(["c"]))
        try scratch.write("again.safetensors", shard(["a"]))
        func index(_ map: String, total: String = "3") -> [UInt8] {
            Array("{\"metadata\":{\"total_size\":\(total)},\"weight_map\":{\(map)}}".utf8)
        }
        let good = #""a":"one.safetensors","b":"one.safetensors","c":"two.safetensors""#
        let name = "model.safetensors.index.json"
        let reader = try Containers.open(scratch.write(name, index(good)))
        #expect(reader.tensors.map(\.name) == ["a", "b", "c"])
        #expect(reader.details == "safetensors, 2 shards")
        #expect(try Containers.open(scratch.write(name, index(good, total: "3.0"))).remarks.isEmpty)
        #expect(try Containers.open(scratch.write(name, index(good, total: "4"))).remarks.count == 1)

        let bad: [(String, [UInt8], String)] = [
            ("a tensor in no shard", index(good + #","d":"two.safetensors""#), "does not hold"),
            ("a tensor not listed", index(#""a":"one.safetensors","c":"two.safetensors""#), "does not list"),
            ("the wrong shard", index(#""a":"one.safetensors","b":"two.safetensors","c":"two.safetensors""#), "another shard"),
            (
                "two shards with it", index(#""a":"again.safetensors","b":"one.safetensors","c":"two.safetensors""#),
                "two shards"
            ),
            ("a shard elsewhere", index(#""a":"../one.safetensors""#), "leaves the folder"),
            ("an absolute shard", index(#""a":"/etc/passwd""#), "leaves the folder"),
            ("a shard that is the folder", index(#""a":"..""#), "leaves the folder"),
            ("a shard without a name", index(#""a":"""#), "leaves the folder"),
            ("a shard with a zero byte", index(#""a":"one.safetensors\u0000x""#), "leaves the folder"),
            ("listed twice", index(good + #","a":"two.safetensors""#), "twice"),
            ("no weight_map", Array("{}".utf8), "no weight_map"),
            ("an empty weight_map", index(""), "no tensors"),
            ("two weight_maps", Array(#"{"weight_map":{},"weight_map":{}}"#.utf8), "twice"),
            ("weight_map of numbers", index(#""a":1"#), "string"),
            (
                "keys without an end",
                Array(("{" + (0..<1025).map { "\"k\($0)\":0" }.joined(separator: ",") + "}").utf8), "more than 1024 keys"
            ),
        ]
        for (what, bytes, message) in bad {
            try expectRefused(what, bytes, in: scratch, file: name, saying: message) { try Containers.open($0) }
        }
        try scratch.write(name, index(good + #","d":"lost.safetensors","e":"gone.safetensors""#))
        let fault = #expect(throws: CheckpointError.self) { try Containers.open(scratch.path(name)) }
        #expect(fault?.kind == .inputOutput)
        #expect(fault?.message == "2 of 4 shards are missing: gone.safetensors, lost.safetensors")
    }

    /// The names of shards say which belong together, and what is not there.
    @Test func shardsWithoutTheirIndexAreOpenedTogether() throws {
        let scratch = Scratch()
        func shard(_ name: String) -> [UInt8] {
            SmallSafetensors.file("{\"\(name)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", data: 1)
        }
        for number in 1...3 { try scratch.write("model-0000\(number)-of-00003.safetensors", shard("t\(number)")) }
        let reader = try Containers.open(scratch.path)
        #expect(reader.tensors.map(\.name) == ["t1", "t2", "t3"])
        #expect(reader.files.count == 3)
        #expect(reader.remarks.contains { $0.contains("no index") }, "\(reader.remarks)")
        #expect(reader.folder == scratch.path)
        // A shard that is named stands for itself.
        #expect(try Containers.open(scratch.path("model-00002-of-00003.safetensors")).tensors.map(\.name) == ["t2"])

        try scratch.write("model-00003-of-00003.safetensors", shard("t1"))
        let twice = #expect(throws: CheckpointError.self) { try Containers.open(scratch.path) }
        #expect(twice?.message.contains("two shards") == true)
        for number in [1, 3] {
            try FileManager.default.removeItem(atPath: scratch.path("model-0000\(number)-of-00003.safetensors"))
        }
        let fault = #expect(throws: CheckpointError.self) { try Containers.open(scratch.path) }
        #expect(fault?.kind == .inputOutput)
        for name in ["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"] {
            #expect(fault?.message.contains(name) == true)
        }
        // Shards of two checkpoints are no family.
        try scratch.write("other-00001-of-00002.safetensors", shard("a"))
        let several = #expect(throws: CheckpointError.self) { try Containers.open(scratch.path) }
        #expect(several?.message.contains("missing") == false)
    }

    /// "é", and "e" with an accent: one text, and two names.
    @Test func namesAreBytes() throws {
        let scratch = Scratch()
        let names = ["\u{e9}", "e\u{301}"]
        let entries = names.enumerated().map { "\"\($1)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\($0),\($0 + 1)]}" }
        let header = "{" + entries.joined(separator: ",") + "}"
        let reader = try SafetensorsReader(scratch.write("x.safetensors", SmallSafetensors.file(header, data: 2)))
        #expect(reader.tensors.map { Array($0.name.utf8) } == names.map { Array($0.utf8) })
        #expect(try reader.tensors.map { try reader.readAll($0) } == [[0], [1]])

        // In one file, and in shards with an index.
        for size in [nil, 1] as [UInt64?] {
            let folder = scratch.path(size == nil ? "whole" : "shards")
            try Paths.makeFolders(folder)
            let writer = try SafetensorsWriter(
                in: folder, name: "model.safetensors", tensors: plans(reader), shardSize: size)
            try copy(reader, to: writer)
            let back = try Containers.open(folder)
            #expect(back.files.count == (size == nil ? 1 : 2))
            for (name, value) in zip(names, [0, 1] as [UInt8]) {
                let tensor = try #require(back.tensors.first { ExactText($0.name) == ExactText(name) })
                #expect(try back.readAll(tensor) == [value])
            }
        }

        // Metadata is kept by text: nothing is lost unsaid.
        let metadata = "{\"__metadata__\":{\"\(names[0])\":\"1\",\"\(names[1])\":\"2\"}}"
        try expectRefused("metadata", SmallSafetensors.file(metadata, data: 0), in: scratch, saying: "Unicode form") {
            try SafetensorsReader($0)
        }
    }

    @Test func sizesTogetherDoNotOverflow() throws {
        let extent = FileExtent(file: try File(Golden.path("little.gguf")), offset: 0, count: 0)
        let large = try TensorInfo(name: "a", dtype: .u8, shape: #require(Shape([Int.max])), extent: extent)
        #expect([large, large].totalBytes == UInt64.max - 1)
        #expect([large, large, large].totalBytes == UInt64.max)
    }

    @Test func linksOfTheCacheAreFollowed() throws {
        let scratch = Scratch()
        let files = FileManager.default
        for folder in ["blobs", "snapshots/abc", "refs"] {
            try files.createDirectory(atPath: scratch.path(folder), withIntermediateDirectories: true)
        }
        try scratch.write("blobs/111", SmallSafetensors.file(SmallSafetensors.sound, data: 11))
        try scratch.write("blobs/222", Array(#"{"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors"}}"#.utf8))
        try scratch.write("refs/main", Array("abc".utf8))
        try files.createSymbolicLink(
            atPath: scratch.path("snapshots/abc/m-1.safetensors"), withDestinationPath: "../../blobs/111")
        try files.createSymbolicLink(
            atPath: scratch.path("snapshots/abc/model.safetensors.index.json"), withDestinationPath: "../../blobs/222")
        for path in ["snapshots/abc", "snapshots/abc/model.safetensors.index.json", "snapshots/abc/m-1.safetensors", ""] {
            #expect(try Containers.open(scratch.path(path)).tensors.count == 2)
        }
    }

    @Test func writersRefuseWhatCannotBeStored() throws {
        let scratch = Scratch()
        let shape = try #require(Shape([32]))
        let one = try TensorPlan(name: "a", dtype: .f32, shape: shape)
        for tensors in [
            [try TensorPlan(name: "a", dtype: .q8_0, shape: shape)], [one, one],
            [try TensorPlan(name: "__metadata__", dtype: .f32, shape: shape)],
        ] {
            #expect(throws: CheckpointError.self) {
                try SafetensorsWriter(in: scratch.path, name: "x.safetensors", tensors: tensors)
            }
            #expect(scratch.names.isEmpty)
        }
    }
}
