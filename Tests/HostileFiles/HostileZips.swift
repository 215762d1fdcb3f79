// Zip archives that lie, with a part of what is said of each.

import Bytes

package struct BadZip: Sendable {
    package let name: String
    package let bytes: [UInt8]
    package let message: String
}

package func helloEntries() -> [TestZipEntry] { [TestZipEntry("a/x", "hello"), TestZipEntry("a/y", "world, more of it")] }

private func bad(_ name: String, _ message: String, _ edit: (inout TestZip) -> Void) -> BadZip {
    var zip = TestZip(helloEntries())
    edit(&zip)
    return BadZip(name: name, bytes: zip.bytes, message: message)
}

package func descriptor(_ data: String, crc: UInt32? = nil, size: UInt32? = nil) -> [UInt8] {
    let size = size ?? UInt32(data.utf8.count)
    return Op.le(UInt32(0x0807_4B50)) + Op.le(crc ?? CRC32(Array(data.utf8)).value) + Op.le(size) + Op.le(size)
}

package let badZips: [BadZip] = [
    bad("compressed", "compressed (deflate)") { $0.entries[1].method = 8 },
    bad("compressed otherwise", "compressed (method 93)") { $0.entries[1].method = 93 },
    bad("compressed only in the local header", "method in the local header") { $0.entries[0].localMethod = 8 },
    bad("encrypted", "encrypted") { $0.entries[0].flags = 1 },
    bad("encrypted only in the local header", "flags in the local header") { $0.entries[0].localFlags = 1 },
    bad("strongly encrypted", "encrypted") { $0.entries[0].flags = 1 << 6 },
    bad("patched", "flags that mean nothing") { $0.entries[0].flags = 1 << 5 },
    bad("another name in the local header", "name in the local header") { $0.entries[0].localName = "a/z" },
    bad("a longer name in the local header", "name in the local header") { $0.entries[0].localName = "a/xx" },
    bad("a name twice", "stands twice") { $0.entries[1].name = "a/x" },
    bad("a name twice but for its case", "stands twice") { $0.entries[1].name = "A/X" },
    bad("a name that leaves the archive", "leaves the archive") { $0.entries[0].name = "a/../../x" },
    bad("an absolute name", "leaves the archive") { $0.entries[0].name = "/x" },
    bad("a name with a backslash", "leaves the archive") { $0.entries[0].name = "a\\x" },
    bad("a name with U+0000", "leaves the archive") { $0.entries[0].name = "a/x\0.pkl" },
    bad("an empty name", "leaves the archive") { $0.entries[0].name = "" },
    bad("another CRC in the local header", "CRC-32 in the local header") { $0.entries[0].localCRC = 1 },
    bad("another size in the local header", "sizes in the local header") { $0.entries[0].localSize = 4 },
    bad("two sizes", "two sizes") { $0.entries[0].stored = 4 },
    bad("a size that reaches into the next entry", "reach into") {
        $0.entries[0].size = 9
        $0.entries[0].stored = 9
    },
    bad("a size beyond the file", "reach into") {
        $0.entries[1].size = 0xFFFF_FFF0
        $0.entries[1].stored = 0xFFFF_FFF0
    },
    bad("a zip64 size that is not there", "zip64") {
        $0.entries[1].size = .max
        $0.entries[1].stored = .max
    },
    bad("a zip64 size beyond all", "local header") {
        $0.entries[1].size = .max
        $0.entries[1].stored = .max
        $0.entries[1].localSize = 17
        $0.entries[1].extra = Op.le(UInt16(1)) + Op.le(UInt16(16)) + Op.le(UInt64.max) + Op.le(UInt64.max)
    },
    bad("a zip64 field that nothing asks for", "holds too much") {
        $0.entries[1].extra = Op.le(UInt16(1)) + Op.le(UInt16(8)) + Op.le(UInt64(17))
    },
    bad("a second name in the extra field", "second name") {
        $0.entries[0].extra = Op.le(UInt16(0x7075)) + Op.le(UInt16(6)) + [1, 0, 0, 0, 0, 0x78]
    },
    bad("a cut extra field", "cut") { $0.entries[0].localExtra = [0x46, 0x42, 9, 0, 1] },
    bad("bytes between entries", "between") { $0.entries[0].after = [1, 2, 3] },
    bad("a descriptor that nothing announces", "between") { $0.entries[0].after = descriptor("hello") },
    bad("a descriptor that is missing", "descriptor") { $0.entries[0].flags = 8 },
    bad("a descriptor with another CRC", "descriptor") {
        $0.entries[0].flags = 8
        $0.entries[0].after = descriptor("hello", crc: 1)
    },
    bad("a descriptor with another size", "descriptor") {
        $0.entries[0].flags = 8
        $0.entries[0].after = descriptor("hello", size: 4)
    },
    bad("entries that overlap", "overlap") { $0.entries[1].offset = 0 },
    bad("an entry beyond the file", "") { $0.entries[1].offset = 0xFFFF_0000 },
    bad("an entry that points into data", "") { $0.entries[1].offset = 35 },
    bad("bytes before the archive", "between") { $0.before = [0x50, 0x4B, 3, 4, 0] },
    bad("bytes before the directory", "between zip entries") { $0.beforeDirectory = [0] },
    bad("bytes after the archive", "comment") { $0.after = [0] },
    bad("a comment shorter than it says", "comment") { $0.commentLength = 1 },
    bad("a comment longer than it says", "comment") {
        $0.comment = [1, 2]
        $0.commentLength = 1
    },
    bad("fewer entries than the directory has", "more than its 1") { $0.count = 1 },
    bad("more entries than the directory has", "") { $0.count = 3 },
    bad("many entries", "too short") { $0.count = 60000 },
    bad("a directory that ends elsewhere", "does not end") { $0.directorySize = 5 },
    bad("a directory that begins elsewhere", "does not end") { $0.directoryOffset = 5 },
    bad("a zip64 end record that is missing", "zip64 end record") { $0.directoryOffset = .max },
]
