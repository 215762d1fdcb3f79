// The records of a PyTorch zip archive: a folder with data.pkl, data/KEY, version, byteorder.
//
// Source: caffe2/serialize/inline_container.cc (one folder around all records, `version`, alignment) and
// torch/serialization.py (`byteorder`, `.format_version`, `.storage_alignment`, `.data/serialization_id`).

import Bytes

struct TorchRecords {
    let root: String
    let pickle: ZipEntry
    let endianness: Endianness
    /// Records under data/.
    let storageCount: Int
    private let archive: ZipArchive

    init(_ archive: ZipArchive) throws {
        self.archive = archive
        let file = archive.file
        guard let first = archive.entries.first, let slash = first.name.firstIndex(of: "/") else {
            throw CheckpointError.malformed(
                "the archive has no folder around its records", file: file.path, place: archive.entries.first?.name,
                expected: "FOLDER/data.pkl", remedy: "this is a zip archive, but no PyTorch checkpoint")
        }
        let root = String(first.name[..<slash])
        self.root = root
        for entry in archive.entries where !entry.name.utf8.starts(with: (root + "/").utf8) {
            throw CheckpointError.malformed(
                "a record lies outside of the archive's folder", file: file.path, place: entry.name,
                offset: entry.headerOffset, expected: "\(root)/...", remedy: "do not trust this file")
        }
        guard archive[root + "/constants.pkl"] == nil else {
            throw CheckpointError.unsupported(
                "this is a TorchScript program and no plain checkpoint", file: file.path, place: root + "/constants.pkl",
                remedy: "load it with torch.jit.load and save its state_dict() with torch.save")
        }
        guard let pickle = archive[root + "/data.pkl"] else {
            throw CheckpointError.malformed(
                "the archive has no data.pkl", file: file.path, expected: "\(root)/data.pkl",
                remedy: "this is a zip archive, but no PyTorch checkpoint")
        }
        self.pickle = pickle
        endianness = try TorchRecords.byteOrder(archive, root)
        try TorchRecords.checkVersion(archive, root)
        storageCount = archive.entries.count {
            $0.name.utf8.starts(with: (root + "/data/").utf8) && !$0.name.hasSuffix("/")
        }
    }

    func storage(_ key: String) -> ZipEntry? { archive[root + "/data/" + key] }

    private static func text(_ archive: ZipArchive, _ name: String) throws -> String? {
        guard let entry = archive[name] else { return nil }
        let bytes = try archive.contents(of: entry, limit: 64)
        return String(validating: bytes, as: UTF8.self)?.filter { !$0.isNewline }
    }

    /// Archives from before 2.1 say nothing; they are little-endian but for those written on rare machines.
    private static func byteOrder(_ archive: ZipArchive, _ root: String) throws -> Endianness {
        guard let text = try text(archive, root + "/byteorder") else { return .little }
        guard let order = Endianness(rawValue: text) else {
            throw CheckpointError.malformed(
                "an unknown byte order", file: archive.file.path, place: root + "/byteorder",
                expected: "little or big", found: String(text.prefix(32)))
        }
        return order
    }

    /// The archive format's own version; PyTorch reads 1 to 10.
    private static func checkVersion(_ archive: ZipArchive, _ root: String) throws {
        let name = archive[root + "/version"] == nil ? root + "/.data/version" : root + "/version"
        guard let text = try text(archive, name) else {
            throw CheckpointError.malformed(
                "the archive has no version", file: archive.file.path, expected: "\(root)/version",
                remedy: "this is a zip archive, but no PyTorch checkpoint")
        }
        guard let version = Int(text), version >= 1 else {
            throw CheckpointError.malformed(
                "a wrong version", file: archive.file.path, place: name, found: String(text.prefix(32)))
        }
        guard version <= 10 else {
            throw CheckpointError.unsupported(
                "version \(version) of the archive format", file: archive.file.path, place: name,
                expected: "1 to 10")
        }
    }
}
