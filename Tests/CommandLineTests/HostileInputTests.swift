// What no input may do, seen from outside: the program is run on every hostile file of the readers' tests, and on some
// that are large. It must end with status 2 and a message that names the file, write nothing, execute nothing, and have
// had no more than 300 MB and ten seconds (which the system enforces; how long it really took is printed).

import Foundation
import HostileFiles
import Testing

/// A file that must be refused.
struct HostileFile: Sendable, CustomTestStringConvertible {
    let name: String
    let ending: String
    let make: @Sendable (URL) throws -> Void

    init(_ name: String, _ ending: String, _ make: @escaping @Sendable (URL) throws -> Void) {
        self.name = name
        self.ending = ending
        self.make = make
    }

    init(_ name: String, _ ending: String, _ bytes: [UInt8]) {
        self.init(name, ending) { try Data(bytes).write(to: $0) }
    }

    var testDescription: String { "\(name) (\(ending))" }
}

@Suite struct HostileInputTests {
    private static let megabytes = 300
    private static let seconds = 10

    /// Runs the program with so much memory and time at most.
    private static func limited(_ arguments: [String]) throws -> (outcome: Outcome, seconds: Double) {
        let limits = "ulimit -c 0; ulimit -d \(megabytes * 1000); ulimit -t \(seconds); exec \"$0\" \"$@\""
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try launch(URL(filePath: "/bin/sh"), ["-c", limits, program.path] + arguments)
        return (outcome, (clock.now - start) / .seconds(1))
    }

    /// - Parameter looks: whether `inspect`, which does not stop at a pickle's globals, may show the file.
    private static func refuse(_ files: [HostileFile], looks: Bool = false) throws {
        var longest = (seconds: 0.0, name: "")
        for file in files {
            let scratch = try Scratch()
            let path = scratch.path("hostile.\(file.ending)")
            try file.make(URL(filePath: path))
            for command in [["inspect", path], ["verify", path, "--deep"], ["convert", path, "-o", scratch.path("out.gguf")]] {
                let (outcome, seconds) = try limited(command + ["--threads", "2"])
                let isShown = looks && command[0] == "inspect" && outcome.status == 0
                #expect(outcome.status == 2 || isShown, "\(file.name), \(command[0]): \(outcome.status) \(outcome.errors)")
                #expect(
                    isShown ? outcome.output.contains("DANGER") : outcome.errors.contains("hostile.\(file.ending)"),
                    "\(file.name), \(command[0]): \(outcome.errors)")
                #expect(outcome.errors.split(separator: "\n").count <= 3, "\(outcome.errors)")
                longest = max(longest, (seconds, "\(command[0]) of \(file.name)"), by: { $0.seconds < $1.seconds })
            }
            #expect(scratch.names == ["hostile.\(file.ending)"], "\(file.name): \(scratch.names)")
        }
        #expect(!FileManager.default.fileExists(atPath: "/tmp/pannier-was-here"))
        print("\(files.count) hostile files; the longest answer: \(longest.name), \(Int(longest.seconds * 1000)) ms")
    }

    @Test func picklesThatReachForMoreThanTensors() throws {
        let zips = reachingPickles.map { HostileFile($0.name, "pt", TestZip(pickle: $0.pickle).bytes) }
        let streams = reachingPickles.map { HostileFile($0.name, "bin", testStream(pickle: $0.pickle)) }
        try Self.refuse(zips + streams, looks: true)
    }

    @Test func picklesThatLie() throws {
        try Self.refuse(
            lyingPickles.map { HostileFile($0.name, "pth", TestZip(pickle: $0.pickle, storages: $0.storages).bytes) })
    }

    @Test func zipArchives() throws {
        try Self.refuse(badZips.map { HostileFile($0.name, "bin", $0.bytes) })
    }

    @Test func safetensors() throws {
        try Self.refuse(
            SmallSafetensors.hostile.map { name, header, data, _ in
                HostileFile(name, "safetensors", SmallSafetensors.file(header, data: data))
            })
    }

    @Test func gguf() throws {
        try Self.refuse(hostileGGUFs.map { HostileFile($0.0, "gguf", $0.1) })
    }

    @Test func truncations() throws {
        let tensor = TestZip(pickle: Op.dict(Op.tensor())).bytes
        let whole: [(String, [UInt8])] = [
            ("pt", tensor), ("gguf", SmallGGUF().bytes),
            ("safetensors", SmallSafetensors.file(SmallSafetensors.sound, data: 11)),
        ]
        for (ending, bytes) in whole {
            let lengths = stride(from: 0, to: bytes.count, by: max(1, bytes.count / 24))
            try Self.refuse(lengths.map { HostileFile("\($0) bytes", ending, Array(bytes[..<$0])) })
        }
    }

    /// What lies beside sound weights: refused with a message that names the file, or carried as it is, in bounds.
    @Test func companionFiles() throws {
        let size = 80_000_000
        func filled(_ unit: String, _ first: String = "", _ last: String = "") -> Data {
            Data((first + String(repeating: unit, count: size / unit.utf8.count) + last).utf8)
        }
        let lists = filled("[")
        let files: [(String, [Data], refused: Bool)] = [
            ("config.json", [lists, filled("{\"a\":"), filled("9", "{\"hidden_size\":")], true),
            (
                "tokenizer.json",
                [
                    lists, filled("{},", "{\"added_tokens\":[", "{}]}"), filled("[],", "[", "[]]"), filled("1,", "[", "1]"),
                    filled("\"a b\",", "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[", "\"a b\"]}}"),
                ], true
            ),
            ("tokenizer.model", [filled("\u{1}"), filled("\n\0"), filled("\n\u{3}\n\u{1}a")], true),
            ("tokenizer_config.json", [lists, filled("{\"a\":"), filled("x", "{\"chat_template\":\"", "\"}")], false),
            ("added_tokens.json", [lists], true),
            ("README.md", [filled("a: [\n", "---\n"), filled("- ", "---\n")], false),
        ]
        var longest = 0.0
        for (name, contents, refused) in files {
            for (number, data) in contents.enumerated() {
                let scratch = try Scratch()
                let folder = scratch.url.appending(path: "model")
                try FileManager.default.copyItem(at: URL(filePath: sample), to: folder)
                try data.write(to: folder.appending(path: name))
                let convert = ["convert", folder.path, "-o", scratch.path("out.gguf"), "--no-sync"]
                for command in [["verify", folder.path], convert] {
                    let (outcome, seconds) = try Self.limited(command + ["--threads", "2"])
                    longest = max(longest, seconds)
                    #expect([0, 1, 2].contains(outcome.status), "\(name) \(number): \(outcome.status) \(outcome.errors)")
                    #expect(
                        outcome.status == 0 || outcome.errors.contains(name) || outcome.output.contains("config"),
                        "\(name) \(number): \(outcome.errors)")
                    if refused, command[0] == "convert" {
                        #expect(outcome.status == 2, "\(name) \(number): \(outcome.errors)")
                        #expect(scratch.names == ["model"])
                    }
                }
            }
        }
        print("companion files; the longest answer: \(Int(longest * 1000)) ms")
    }

    /// Configs that a person may be sent: impossible numbers, and texts that steer the terminal.
    @Test func configsThatAreGiven() throws {
        let lit = #"{"n_embd":64,"n_head":4,"n_layer":2,"intermediate_size":128,"vocab_size":-1,"padding_multiple":MULTIPLE}"#
        let preset = """
            {"schema": "pannier.preset/1", "name": "x", "architecture": "\\u001b[31mllama", "layers": 4, "hidden": 256,
             "heads": 8, "kv_heads": 2, "ffn": 512, "vocab": 1024, "context": 512}
            """
        let configs = [
            (lit.replacingOccurrences(of: "MULTIPLE", with: "9223372036854775807"), "vocab_size"),
            (lit.replacingOccurrences(of: "MULTIPLE", with: "64"), "vocab_size"), (preset, "architecture"),
        ]
        for (text, place) in configs {
            let scratch = try Scratch()
            try Data(text.utf8).write(to: scratch.url.appending(path: "given.json"))
            for command in [["verify"], ["convert", "-o", scratch.path("out.gguf")]] {
                let (outcome, _) = try Self.limited(command + [sample, "--config", scratch.path("given.json")])
                #expect(outcome.status == 2, "\(command[0]) \(place): \(outcome.errors)")
                #expect(outcome.errors.contains("given.json") && outcome.errors.contains(place), "\(outcome.errors)")
                #expect(!(outcome.output + outcome.errors).unicodeScalars.contains { $0 == "\u{1B}" })
            }
            #expect(scratch.names == ["given.json"])
        }
    }

    /// Files of up to 100 MB that are made of very little, and files that claim to be larger than any disk.
    @Test func largeOnes() throws {
        @Sendable func header(_ unit: String, _ first: String) -> @Sendable (URL) throws -> Void {
            { url in
                var data = Data(withUnsafeBytes(of: UInt64(100_000_000).littleEndian, Array.init))
                data += Data((first + String(repeating: unit, count: (100_000_000 - first.utf8.count) / unit.utf8.count)).utf8)
                data += Data(repeating: 0x20, count: 100_000_008 - data.count)
                try data.write(to: url)
            }
        }
        func sparse(_ head: [UInt8], _ size: Int) -> @Sendable (URL) throws -> Void {
            { url in
                try Data(head).write(to: url)
                try FileHandle(forWritingTo: url).truncate(atOffset: UInt64(size))
            }
        }
        let array = [(0, 1 << 30), (8, 1 << 27), (9, 1 << 27), (10, 1 << 27), (6, 1 << 29)] as [(UInt32, UInt64)]
        let tensors = SmallGGUF.with { $0.tensorCount = 1 << 60 }
        try Self.refuse(
            [
                HostileFile("100 MB of [", "safetensors", header("[", "{\"a\":")),
                HostileFile("100 MB of {\"a\":", "safetensors", header("{\"a\":", "")),
                HostileFile("100 MB of one name", "safetensors", header("x", "{\"")),
                HostileFile("100 MB of escapes", "safetensors", header("\\u0041", "{\"")),
                HostileFile("100 MB of empty keys", "safetensors", header("\"\":{},", "{")),
                HostileFile("100 MB of digits", "safetensors", header("9", "{\"a\":{\"shape\":[")),
                HostileFile("100 MB of dimensions", "safetensors", header("1,", "{\"a\":{\"shape\":[")),
                HostileFile("100 MB of metadata", "safetensors") { url in
                    var text = "{\"__metadata__\":{"
                    for number in 0..<5_000_000 { text += "\"\(number)\":\"\"," }
                    try header(" ", text)(url)
                },
                HostileFile("100 MB of spaces", "safetensors", header(" ", "{")),
                HostileFile("an index of 90 MB", "index.json", header("{\"a\":", "{\"weight_map\":")),
                HostileFile("2^60 tensors in 4 GB", "gguf", sparse(tensors, 1 << 32)),
                HostileFile("zeros without end", "gguf", sparse(Array("GGUF".utf8), 1 << 40)),
                HostileFile("a zip of zeros", "pt", sparse(Array("PK\u{3}\u{4}".utf8), 1 << 40)),
                HostileFile("a pickle of zeros", "bin", sparse([0x80, 2, 0x8A, 10], 1 << 40)),
                HostileFile("a pickle of 100 MB", "pt") { url in
                    let pickle = Op.proto() + [UInt8](repeating: 0x5D, count: 100_000_000) + Op.stop
                    try Data(TestZip(pickle: pickle).bytes).write(to: url)
                },
                HostileFile("a pickle of marks", "bin") { url in
                    try Data(testStream(pickle: Op.proto() + [UInt8](repeating: 0x28, count: 50_000_000))).write(to: url)
                },
                HostileFile("a pickle of memos", "pt") { url in
                    var pickle = Op.proto(4) + Op.emptyDict
                    pickle += [UInt8](repeating: 0x94, count: 50_000_000) + Op.stop
                    try Data(TestZip(pickle: pickle).bytes).write(to: url)
                },
            ]
                + array.map { type, count in
                    HostileFile("\(count) values of type \(type)", "gguf", sparse(SmallGGUF.array(type, count), 1 << 40))
                })
    }
}

private func max<T>(_ a: T, _ b: T, by less: (T, T) -> Bool) -> T { less(a, b) ? b : a }
