// What a person reads when something is wrong.

import Bytes
import Testing

@Suite struct CheckpointErrorTests {
    @Test func oneToThreeLines() {
        let error = CheckpointError.malformed(
            "the tensor is too long", file: "f.gguf", place: "blk.0", offset: 16, expected: "8 bytes", found: "9",
            remedy: "get it again")
        #expect(
            error.description == """
                f.gguf: blk.0: the tensor is too long (at byte 16)
                  expected 8 bytes, found 9
                  get it again
                """)
        #expect(CheckpointError.malformed("bad").description == "bad")
    }

    /// Names come out of hostile files: they neither steer the terminal nor fill it, nor add lines.
    @Test func hostileNamesAreTamed() {
        let error = CheckpointError.malformed(
            "bad", file: "f", place: "\u{1B}[2J\n" + String(repeating: "a", count: 1_000_000), found: "x\r\ny\u{9B}1m")
        let text = error.description
        #expect(text.utf8.count < 500)
        #expect(text.split(separator: "\n").count == 2)
        #expect(!text.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{9B}" || $0 == "\r" })
    }

    @Test func exitStatuses() {
        let statuses = CheckpointError.Kind.allCases.map { CheckpointError($0, "x").exitStatus }
        #expect(statuses == [2, 2, 64, 3, 3, 130])
    }
}
