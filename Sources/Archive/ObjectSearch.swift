// Finding what the archive has already, without reading a checkpoint twice: only what has the size and the first bytes
// of a stored object is read to compare it.

internal import Bytes
internal import CKernels

/// Finds objects that need not be stored.
struct ObjectSearch: Sendable {
    let archive: ArchiveReader
    let threads: Int

    /// Where an object is, or will be.
    enum Place: Sendable {
        /// In the archive.
        case known(ObjectID)
        /// It is equal to an earlier one of the list.
        case same(Int)
        case new(ObjectKey)
    }

    /// The hash of an object, given the checksums of its chunks before coding.
    static func hash(_ checksums: [UInt64]) -> UInt64 {
        var bytes: [UInt8] = []
        for checksum in checksums { withUnsafeBytes(of: checksum.littleEndian) { bytes += $0 } }
        return ArchiveFormat.checksum(bytes)
    }

    /// Looks for each object in the archive and among those before it.
    func find(_ sources: [SourceObject]) throws -> [Place] {
        var stored: [ObjectKey: [ObjectID]] = [:]
        for ordinal in archive.entries.indices {
            for (index, object) in try archive.record(ordinal).objects.enumerated() {
                stored[object.key, default: []].append(ObjectID(record: ordinal, index: index))
            }
        }
        let known = stored
        let found = Locked([Place?](repeating: nil, count: sources.count))
        try Parallel.perform(sources.count, threads: threads, worker: { ScratchBuffer() }) { index, scratch in
            let source = sources[index]
            let begin = scratch.reserve(Int(min(source.size, UInt64(ObjectKey.probe))))
            try source.read(into: begin, at: 0)
            let key = ObjectKey(size: source.size, begin: ArchiveFormat.checksum(UnsafeRawBufferPointer(begin)))
            var place = Place.new(key)
            if let candidates = known[key] {
                let hash = try self.hash(source)
                for id in candidates where try archive.object(id).hash == hash {
                    if try isEqual(source, id) {
                        place = .known(id)
                        break
                    }
                }
            }
            let answer = place
            found.withValue { $0[index] = answer }
        }
        // Among themselves: few share their first bytes with another.
        var places: [Place] = []
        var firsts: [ObjectKey: [Int]] = [:]
        for (index, place) in found.withValue({ $0 }).enumerated() {
            guard case .new(let key)? = place else {
                places.append(place ?? .same(index))
                continue
            }
            if let other = try firsts[key]?.first(where: { try isEqual(sources[index], sources[$0]) }) {
                places.append(.same(other))
            } else {
                firsts[key, default: []].append(index)
                places.append(.new(key))
            }
        }
        return places
    }

    /// Goes over an object a chunk at a time.
    private func each(_ source: SourceObject, _ body: (Int, UnsafeRawBufferPointer) throws -> Bool) throws {
        for chunk in 0..<StoredObject.chunkCount(source.size) {
            let offset = UInt64(chunk) * UInt64(ChunkCodec.maxChunk)
            let buffer = archive.buffers.take(Int(min(UInt64(ChunkCodec.maxChunk), source.size - offset)))
            defer { archive.buffers.give(buffer) }
            try source.read(into: buffer.bytes, at: offset)
            guard try body(chunk, UnsafeRawBufferPointer(buffer.bytes)) else { return }
        }
    }

    private func hash(_ source: SourceObject) throws -> UInt64 {
        var checksums: [UInt64] = []
        try each(source) { _, bytes in
            checksums.append(ArchiveFormat.checksum(bytes))
            return true
        }
        return Self.hash(checksums)
    }

    /// Byte for byte: checksums are no proof.
    private func isEqual(_ source: SourceObject, _ id: ObjectID) throws -> Bool {
        try isEqual(source) { chunk, bytes in
            // What is damaged is equal to nothing, and stored again.
            (try? archive.withWorker { try archive.decode(.init(object: id, index: chunk, bytes: bytes), $0) }) != nil
        }
    }

    private func isEqual(_ source: SourceObject, _ other: SourceObject) throws -> Bool {
        try isEqual(source) { chunk, bytes in
            try other.read(into: bytes, at: UInt64(chunk) * UInt64(ChunkCodec.maxChunk))
            return true
        }
    }

    private func isEqual(
        _ source: SourceObject, _ other: (Int, UnsafeMutableRawBufferPointer) throws -> Bool
    ) throws -> Bool {
        var equal = true
        try each(source) { chunk, bytes in
            let buffer = archive.buffers.take(bytes.count)
            defer { archive.buffers.give(buffer) }
            equal = try other(chunk, buffer.bytes)
            if equal, let left = bytes.baseAddress, let right = buffer.bytes.baseAddress {
                equal = pannier_bytes_equal(left, right, bytes.count) != 0
            }
            return equal
        }
        return equal
    }
}
