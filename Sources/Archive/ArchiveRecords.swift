// What an archive says about its steps: the directory and the records, read from hostile JSON and written.
// Docs/ArchiveFormat.md, "Directory" and "Step records".

internal import Bytes
internal import JSONText

/// A step in the directory.
struct DirectoryEntry: Sendable {
    var step: Int
    var name: String
    var record: StoredRecord
}

/// An object's place: the step that first stored it, counted in order of adding, and its index there.
struct ObjectID: Hashable, Sendable {
    var record: Int
    var index: Int
}

/// A coded piece of an object.
struct StoredChunk: Sendable {
    var offset: UInt64
    var length: Int
    var checksum: UInt64
}

/// What tells most objects apart at a glance: the size, and the checksum of the first bytes.
struct ObjectKey: Hashable, Sendable {
    static let probe = 1 << 16

    var size: UInt64
    /// Over the first 64 KiB, or all where there is less.
    var begin: UInt64
}

/// A run of bytes that is stored once however often it occurs: a tensor's data, or what lies around tensors.
struct StoredObject: Sendable {
    var key: ObjectKey
    /// The checksum of its chunks' checksums before coding: equal objects have equal ones.
    var hash: UInt64
    /// Bytes of a word, 0 when unknown.
    var width: Int
    /// What its chunks may be coded against; always of an earlier record, of the same size.
    var reference: ObjectID?
    var chunks: [StoredChunk]

    var size: UInt64 { key.size }

    static func chunkCount(_ size: UInt64) -> Int {
        Int(clamping: size / UInt64(ChunkCodec.maxChunk) + (size % UInt64(ChunkCodec.maxChunk) > 0 ? 1 : 0))
    }
}

/// A run of a file's bytes and where they are stored.
struct FilePiece: Sendable {
    var offset: UInt64
    var count: UInt64
    var object: ObjectID
    var objectOffset: UInt64
    /// The tensor whose data it is.
    var tensor: String?
}

/// A file of a step.
struct StoredFile: Sendable {
    /// Within the step's folder; the step's own name for a single file.
    var name: String
    var size: UInt64
    var digest: Digest
    /// In order and without holes.
    var pieces: [FilePiece]
    /// Of its blocks, in order; nil in records of programs that did not compute them.
    var digests: [Digest]?
}

/// Everything about one step.
struct StepRecord: Sendable {
    var step: Int
    var name: String
    var isFolder: Bool
    var files: [StoredFile]
    /// Those that this step stored first.
    var objects: [StoredObject]
}

// MARK: Writing

extension StepRecord {
    var json: JSONValue {
        [
            "step": JSONValue(step), "name": .string(name), "folder": .bool(isFolder),
            "files": .array(files.map(\.json)),
            "objects": .array(
                objects.map { object in
                    [
                        "size": JSONValue(object.size), "begin": .string(Hexadecimal.text(object.key.begin)),
                        "hash": .string(Hexadecimal.text(object.hash)), "width": JSONValue(object.width),
                        "reference": object.reference.map {
                            .array([JSONValue($0.record), JSONValue($0.index)])
                        } ?? .null,
                        "chunks": .array(
                            object.chunks.map {
                                .array([
                                    JSONValue($0.offset), JSONValue($0.length), .string(Hexadecimal.text($0.checksum)),
                                ])
                            }),
                    ]
                }),
        ]
    }
}

extension StoredFile {
    var json: JSONValue {
        var members: JSONObject = [
            "name": .string(name), "size": JSONValue(size), "sha256": .string(digest.description),
            "pieces": .array(
                pieces.map { piece in
                    var fields: [JSONValue] = [
                        JSONValue(piece.offset), JSONValue(piece.count), JSONValue(piece.object.record),
                        JSONValue(piece.object.index), JSONValue(piece.objectOffset),
                    ]
                    if let tensor = piece.tensor { fields.append(.string(tensor)) }
                    return .array(fields)
                }),
        ]
        if let digests { members["digests"] = .array(digests.map { .string($0.description) }) }
        return .object(members)
    }
}

extension DirectoryEntry {
    var json: JSONValue {
        [
            "step": JSONValue(step), "name": .string(name), "offset": JSONValue(record.offset),
            "copy": JSONValue(record.copy), "length": JSONValue(record.length),
            "checksum": .string(Hexadecimal.text(record.checksum)),
        ]
    }
}

// MARK: Reading

/// Reads records of one archive; every fault names the archive.
struct RecordReader {
    let path: String
    /// The archive's length: nothing it points to lies beyond.
    let end: UInt64

    private func fault(
        _ message: String, place: String? = nil, expected: String? = nil, found: String? = nil
    ) -> CheckpointError {
        .malformed(
            message, file: path, place: place, expected: expected, found: found,
            remedy: "the archive is damaged; `pannier archive verify` says how far")
    }

    private func unsigned(_ value: JSONValue?, _ what: String) throws -> UInt64 {
        switch value {
        case .integer(let number)? where number >= 0: return UInt64(number)
        case .unsigned(let number)?: return number
        default: throw fault("\(what) is not a number")
        }
    }

    private func integer(_ value: JSONValue?, _ what: String) throws -> Int {
        guard case .integer(let number)? = value, let whole = Int(exactly: number) else {
            throw fault("\(what) is not a number")
        }
        return whole
    }

    private func digest(_ value: JSONValue?) throws -> Digest {
        guard let text = value?.string, let digest = Digest(text) else { throw fault("a SHA-256 is malformed") }
        return digest
    }

    private func checksum(_ value: JSONValue?) throws -> UInt64 {
        guard let number = value?.string.flatMap(Hexadecimal.integer) else { throw fault("a checksum is malformed") }
        return number
    }

    /// The steps of a directory, in order of adding.
    func directory(_ bytes: [UInt8]) throws -> [DirectoryEntry] {
        let root = try JSONText.parse(bytes, file: path)
        guard let list = root["steps"]?.array else { throw fault("the directory has no list of steps") }
        var entries: [DirectoryEntry] = []
        for item in list {
            guard let name = item["name"]?.string, let checksum = item["checksum"]?.string.flatMap(Hexadecimal.integer)
            else { throw fault("a step of the directory is malformed") }
            let record = StoredRecord(
                offset: try unsigned(item["offset"], "a record's offset"),
                copy: try unsigned(item["copy"], "a record's offset"),
                length: try unsigned(item["length"], "a record's length"), checksum: checksum)
            let step = try integer(item["step"], "a step")
            guard Self.isName(name) else { throw fault("a step of the directory has no name that a file could have") }
            entries.append(DirectoryEntry(step: step, name: name, record: record))
        }
        try checkApart(entries)
        return entries
    }

    /// Every step has a record of its own. A hostile directory could name a large one thousands of times, and it would be
    /// read and kept as often.
    private func checkApart(_ entries: [DirectoryEntry]) throws {
        var places: [Range<UInt64>] = []
        for entry in entries {
            for offset in [entry.record.offset, entry.record.copy] {
                guard let end = offset.adding(entry.record.length) else {
                    throw fault("a step's record lies outside the archive", place: "step \(entry.step)")
                }
                places.append(offset..<end)
            }
        }
        places.sort { $0.lowerBound < $1.lowerBound }
        for (record, next) in zip(places, places.dropFirst()) where record.upperBound > next.lowerBound {
            throw fault("two records of the directory overlap", place: "the record at byte \(next.lowerBound)")
        }
    }

    /// The record of a step. What it says of objects in other records is checked by the archive's reader.
    func record(_ bytes: [UInt8], ordinal: Int) throws -> StepRecord {
        let root = try JSONText.parse(bytes, file: path)
        guard let name = root["name"]?.string, let isFolder = root["folder"]?.bool, let files = root["files"]?.array,
            let objects = root["objects"]?.array
        else { throw fault("a step record lacks a part", place: "step \(ordinal)") }
        guard Self.isName(name) else { throw fault("the step has no name that a file could have") }
        var record = StepRecord(
            step: try integer(root["step"], "the step"), name: name, isFolder: isFolder, files: [], objects: [])
        for item in objects { record.objects.append(try object(item, ordinal: ordinal)) }
        var names: Set<ExactText> = []
        var total: UInt64 = 0
        for item in files {
            let file = try self.file(item, ordinal: ordinal, objects: record.objects)
            guard names.insert(ExactText(file.name)).inserted else { throw fault("a file occurs twice", place: file.name) }
            // Everybody adds the sizes up.
            guard let sum = total.adding(file.size), sum <= UInt64(Int64.max) else {
                throw fault("the sizes of a step's files are beyond what a disk can hold", place: file.name)
            }
            total = sum
            record.files.append(file)
        }
        guard isFolder || record.files.count == 1 else { throw fault("a single file has \(record.files.count) files") }
        return record
    }

    private func object(_ item: JSONValue, ordinal: Int) throws -> StoredObject {
        guard let chunks = item["chunks"]?.array else { throw fault("an object has no chunks") }
        var object = StoredObject(
            key: ObjectKey(size: try unsigned(item["size"], "an object's size"), begin: try checksum(item["begin"])),
            hash: try checksum(item["hash"]), width: try integer(item["width"], "an object's width"), reference: nil,
            chunks: [])
        guard [0, 1, 2, 4].contains(object.width), object.size <= UInt64(Int64.max) else {
            throw fault("an object's width or size is out of range")
        }
        if let pair = item["reference"]?.array {
            guard pair.count == 2 else { throw fault("a reference is malformed") }
            let id = ObjectID(record: try integer(pair[0], "a reference"), index: try integer(pair[1], "a reference"))
            // Only backwards: no chain of references can be a ring.
            guard id.record >= 0, id.record < ordinal, id.index >= 0 else { throw fault("a reference leads nowhere") }
            object.reference = id
        }
        guard chunks.count == StoredObject.chunkCount(object.size) else {
            throw fault("an object has \(chunks.count) chunks for \(object.size) bytes")
        }
        for chunk in chunks {
            guard let fields = chunk.array, fields.count == 3, let checksum = fields[2].string.flatMap(Hexadecimal.integer)
            else { throw fault("a chunk is malformed") }
            let offset = try unsigned(fields[0], "a chunk's offset"), length = try unsigned(fields[1], "a chunk's length")
            guard length > 0, length <= UInt64(ChunkCodec.maxChunk) + 1, let last = offset.adding(length), last <= end else {
                throw fault("a chunk lies outside the archive")
            }
            object.chunks.append(StoredChunk(offset: offset, length: Int(length), checksum: checksum))
        }
        return object
    }

    /// - Parameter objects: of the same record: pieces of these must lie within them.
    private func file(_ item: JSONValue, ordinal: Int, objects: [StoredObject]) throws -> StoredFile {
        guard let name = item["name"]?.string, let pieces = item["pieces"]?.array, Self.isSafe(name) else {
            throw fault("a file's name would leave its folder, or is missing", place: item["name"]?.string)
        }
        var file = StoredFile(
            name: name, size: try unsigned(item["size"], "a file's size"), digest: try digest(item["sha256"]), pieces: [])
        var expected: UInt64 = 0
        for piece in pieces {
            guard let fields = piece.array, fields.count >= 5 else { throw fault("a piece is malformed", place: name) }
            let id = ObjectID(record: try integer(fields[2], "a piece"), index: try integer(fields[3], "a piece"))
            let read = FilePiece(
                offset: try unsigned(fields[0], "a piece"), count: try unsigned(fields[1], "a piece"), object: id,
                objectOffset: try unsigned(fields[4], "a piece"), tensor: fields.count > 5 ? fields[5].string : nil)
            guard read.offset == expected, read.count > 0, let next = expected.adding(read.count),
                let objectEnd = read.objectOffset.adding(read.count), id.record >= 0, id.record <= ordinal, id.index >= 0
            else { throw fault("the pieces of a file do not follow one another", place: name) }
            if id.record == ordinal {
                guard objects.indices.contains(id.index), objectEnd <= objects[id.index].size else {
                    throw fault("a file's piece lies beyond its object", place: name)
                }
            }
            expected = next
            file.pieces.append(read)
        }
        guard expected == file.size, file.size <= UInt64(Int64.max) else {
            throw fault("the pieces of a file do not make its size", place: name)
        }
        file.digests = try item["digests"].map { try digests($0, of: file) }
        return file
    }

    /// The digests of a file's blocks, as many as it has to have.
    private func digests(_ value: JSONValue, of file: StoredFile) throws -> [Digest] {
        guard let list = value.array else { throw fault("the digests of a file are no list", place: file.name) }
        var needed = 0
        for block in FileBlocks(file.pieces) {
            needed = block.digests.upperBound
            // Pieces may claim any size; what they claim is bounded only when their objects are looked at.
            if needed > list.count { break }
        }
        guard needed == list.count else {
            throw fault(
                "a file has not as many digests as blocks and halves of blocks", place: file.name,
                expected: needed > list.count ? "\(needed) or more" : "\(needed)", found: "\(list.count)")
        }
        return try list.map { try digest($0) }
    }

    /// Whether a step can be called so: the name of the file or folder that it was.
    static func isName(_ name: String) -> Bool { !name.isEmpty && !name.utf8.contains(0) }

    /// Whether a name stays within the folder it is extracted to. To the system a slash is a byte: a mark that follows it and
    /// makes one character of both changes nothing.
    static func isSafe(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count < 4096 && !name.utf8.contains(0)
            && name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy {
                !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8)
            }
    }
}
