// Archives and their chunks. Checksums would turn every mutation away, so inputs are what lies below them: an archive is
// put together of two records and the bytes that chunks lie in, and a chunk is a payload.

@testable import Archive
import Bytes
import Platform

/// Inputs to begin with, which no program but this one writes.
let seeds: [String: @Sendable () throws -> [[UInt8]]] = ["archive": archiveSeeds, "chunk": chunkSeeds]

func writeSeeds(_ seeds: () throws -> [[UInt8]], to folder: String) -> CInt {
    do {
        for (index, seed) in try seeds().enumerated() {
            try OutputFile(creating: Paths.join(folder, "seed-\(index)")).write(seed, at: 0)
        }
        return 0
    } catch {
        print(error)
        return 1
    }
}

/// Words that stand for weights of two bytes, and those of a step before.
private func words(_ count: Int, step: UInt32) -> [UInt8] {
    var x: UInt32 = 7
    return (0..<count).flatMap { index -> [UInt8] in
        x = x &* 1_664_525 &+ 1_013_904_223
        let word = 0x3C00 | x >> 25 | (x >> 9 & 0x8000)
        let moved = word &+ (x >> 12 & 3) &* step
        return [UInt8(truncatingIfNeeded: moved), UInt8(truncatingIfNeeded: moved >> 8)]
    }
}

private func encoded(_ bytes: [UInt8], against reference: [UInt8]?, width: Int) -> [UInt8] {
    bytes.withUnsafeBytes { bytes in
        guard let reference else { return ChunkCodec().encode(bytes, width: width, reference: nil) }
        return reference.withUnsafeBytes { ChunkCodec().encode(bytes, width: width, reference: $0) }
    }
}

// MARK: Chunks

/// The first byte says how many words, the second where the second digest begins; the rest is the payload.
private func chunkSize(_ input: [UInt8]) -> Int { 64 + 66 * Int(input[0]) }

private func chunkSeeds() -> [[UInt8]] {
    var inputs: [[UInt8]] = []
    for size: UInt8 in [0, 30, 255] {
        let count = chunkSize([size])
        let before = words(count / 2, step: 0), now = words(count / 2, step: 1)
        let cases: [([UInt8], [UInt8]?)] = [(now, before), (now, nil), (now, now), ([UInt8](repeating: 1, count: count), nil)]
        for (bytes, reference) in cases {
            for width in [1, 2, 4] where count % width == 0 {
                inputs.append([size, 1] + encoded(bytes, against: reference, width: width))
            }
        }
    }
    return inputs
}

/// Decodes a payload twice, once in the place of the reference with digests beside: both must say the same.
func chunk(_ input: [UInt8]) throws {
    guard input.count > 2 else { return }
    let size = chunkSize(input), place = min(size, 64 * Int(input[1]))
    let payload = Array(input[2...]), reference = words(size / 2, step: 0)
    func decode(inPlace: Bool, _ digests: BlockDigests?) -> [UInt8]? {
        // Exactly as much memory as the decoder may touch.
        let padded = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count + ChunkCodec.slack, alignment: 1)
        let earlier = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 1)
        let apart = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 1)
        defer { for memory in [padded, earlier, apart] { memory.deallocate() } }
        padded.initializeMemory(as: UInt8.self, repeating: 0)
        padded.copyBytes(from: payload)
        earlier.copyBytes(from: reference)
        apart.initializeMemory(as: UInt8.self, repeating: 0)
        let output = inPlace ? earlier : apart
        let fine = ChunkCodec().decode(
            UnsafeRawBufferPointer(rebasing: padded[..<payload.count]), into: output,
            reference: UnsafeRawBufferPointer(earlier), digests: digests)
        return fine ? [UInt8](output) : nil
    }
    let digests = BlockDigests(parts: [0..<place, place..<size])
    let found = decode(inPlace: false, nil)
    guard decode(inPlace: true, digests) == found else { fatalError("in place the bytes are others") }
    guard let found else { return }
    let expected = BlockDigests(parts: [0..<place, place..<size])
    guard found.withUnsafeBytes({ digests.result(of: $0) == expected.result(of: $0) }) else {
        fatalError("the digests beside are not those of the bytes")
    }
}

// MARK: Archives

/// Two steps, the second of which leans on the first.
private func archiveSeeds() -> [[UInt8]] {
    let before = words(3000, step: 0), now = words(3000, step: 1)
    let chunks = [encoded(before, against: nil, width: 2), encoded(now, against: before, width: 2)]
    var offset = Int(ArchiveFormat.pageSize)
    var records: [String] = []
    for (index, bytes) in [before, now].enumerated() {
        let digest = bytes.withUnsafeBytes { BlockDigests(parts: [0..<bytes.count]).result(of: $0)[0] }
        let sum = Hexadecimal.text(ArchiveFormat.checksum(chunks[index]))
        let begin = Hexadecimal.text(ArchiveFormat.checksum(bytes))
        records.append(
            """
            {"step":\(index),"name":"a","folder":\(index == 1),"files":[{"name":"a","size":6000,"sha256":"\(digest)",\
            "pieces":[[0,6000,\(index),0,0,"t"]],"digests":["\(digest)"]}],"objects":[{"size":6000,"begin":"\(begin)",\
            "hash":"\(begin)","width":2,"reference":\(index == 0 ? "null" : "[0,0]"),\
            "chunks":[[\(offset),\(chunks[index].count),"\(sum)"]]}]}
            """)
        offset += chunks[index].count
    }
    return [Array(records.joined(separator: "\n").utf8) + [10] + chunks[0] + chunks[1]]
}

/// The first two lines are records, the rest lies behind the first page.
func archive(_ input: [UInt8]) throws {
    let parts = input.split(separator: 10, maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3 else { return }
    var bytes = Array(parts[2]), entries: [String] = []
    func append(_ text: String) throws -> StoredRecord {
        let packed = try ArchiveFormat.pack(text), offset = ArchiveFormat.pageSize + UInt64(bytes.count)
        bytes += packed + packed
        return StoredRecord(
            offset: offset, copy: offset + UInt64(packed.count), length: UInt64(packed.count),
            checksum: ArchiveFormat.checksum(packed))
    }
    for (index, part) in parts[..<2].enumerated() {
        let record = try append(String(decoding: part, as: UTF8.self))
        entries.append(
            """
            {"step":\(index),"name":"a","offset":\(record.offset),"copy":\(record.copy),"length":\(record.length),\
            "checksum":"\(Hexadecimal.text(record.checksum))"}
            """)
    }
    let directory = try append("{\"steps\":[\(entries.joined(separator: ","))]}")
    let end = ArchiveFormat.pageSize + UInt64(bytes.count + ArchiveSlot.size)
    let slot = ArchiveSlot(sequence: 1, directory: directory, end: end, version: ArchiveFormat.version)
    let whole = ArchiveFormat.page(slot) + bytes + slot.bytes
    whole.withUnsafeBufferPointer { InputFile.shared.fill($0.baseAddress, $0.count) }
    let reader = try ArchiveReader(InputFile.shared.path)
    for step in reader.steps {
        // What may be stored once and be named by many pieces takes as long to read as it is large.
        guard let contents = try? reader.contents(of: step), contents.bytes < 8 << 20 else { continue }
        _ = reader.verify(steps: [step], threads: 1)
        let out = InputFile.shared.path + ".out"
        defer { remove(out) }
        _ = try? reader.extract(step, to: out, options: OutputOptions(sync: false), keepDamaged: true, threads: 1)
    }
}

private func remove(_ path: String) {
    guard Paths.kind(path) == .folder else { return Paths.removeFile(path) }
    for name in (try? Paths.list(path)) ?? [] { remove(Paths.join(path, name)) }
    rmdir(path)
}
