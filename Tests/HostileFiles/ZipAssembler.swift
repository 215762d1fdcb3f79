// Hand-assembled zip archives: every field at will.

import Bytes

/// A zip entry with every field at will; what is nil is what it should be.
package struct TestZipEntry {
    package var name: String
    package var data: [UInt8]
    package var flags: UInt16 = 0
    package var method: UInt16 = 0
    package var crc: UInt32?
    package var size: UInt32?
    package var stored: UInt32?
    package var localName: String?
    package var localFlags: UInt16?
    package var localMethod: UInt16?
    package var localCRC: UInt32?
    package var localSize: UInt32?
    package var localExtra: [UInt8] = []
    package var extra: [UInt8] = []
    package var offset: UInt32?
    /// Bytes after the data: a descriptor, or what should not be there.
    package var after: [UInt8] = []

    package init(_ name: String, _ data: [UInt8]) {
        self.name = name
        self.data = data
    }

    package init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
}

package struct TestZip {
    package var entries: [TestZipEntry]
    package var before: [UInt8] = []
    package var beforeDirectory: [UInt8] = []
    package var comment: [UInt8] = []
    package var commentLength: UInt16?
    package var after: [UInt8] = []
    package var count: UInt16?
    package var directorySize: UInt32?
    package var directoryOffset: UInt32?

    package init(_ entries: [TestZipEntry]) { self.entries = entries }

    /// A PyTorch archive around a pickle and its storages, keys 0, 1, ...
    package init(pickle: [UInt8], storages: [[UInt8]] = [[UInt8](repeating: 7, count: 24)]) {
        entries = [TestZipEntry("a/data.pkl", pickle), TestZipEntry("a/byteorder", "little")]
        entries += storages.enumerated().map { TestZipEntry("a/data/\($0.offset)", $0.element) }
        entries.append(TestZipEntry("a/version", "3\n"))
    }

    package var bytes: [UInt8] {
        var out = before
        var directory: [UInt8] = []
        for entry in entries {
            let crc = entry.crc ?? CRC32(entry.data).value
            let size = UInt32(entry.data.count)
            let offset = UInt32(out.count)
            let localName = Array((entry.localName ?? entry.name).utf8)
            out += Op.le(UInt32(0x0403_4B50)) + Op.le(UInt16(20)) + Op.le(entry.localFlags ?? entry.flags)
            out += Op.le(entry.localMethod ?? entry.method) + Op.le(UInt32(0)) + Op.le(entry.localCRC ?? crc)
            out += Op.le(entry.localSize ?? entry.stored ?? size) + Op.le(entry.localSize ?? entry.size ?? size)
            out += Op.le(UInt16(localName.count)) + Op.le(UInt16(entry.localExtra.count)) + localName
            out += entry.localExtra + entry.data + entry.after
            let name = Array(entry.name.utf8)
            directory += Op.le(UInt32(0x0201_4B50)) + Op.le(UInt32(0x0014_0014)) + Op.le(entry.flags)
            directory += Op.le(entry.method) + Op.le(UInt32(0)) + Op.le(crc) + Op.le(entry.stored ?? size)
            directory += Op.le(entry.size ?? size) + Op.le(UInt16(name.count)) + Op.le(UInt16(entry.extra.count))
            directory += [UInt8](repeating: 0, count: 10) + Op.le(entry.offset ?? offset) + name + entry.extra
        }
        out += beforeDirectory
        let start = out.count
        out += directory
        out += Op.le(UInt32(0x0605_4B50)) + Op.le(UInt32(0)) + Op.le(count ?? UInt16(entries.count))
        out += Op.le(count ?? UInt16(entries.count)) + Op.le(directorySize ?? UInt32(directory.count))
        out += Op.le(directoryOffset ?? UInt32(start)) + Op.le(commentLength ?? UInt16(comment.count)) + comment + after
        return out
    }
}
