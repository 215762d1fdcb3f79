// The coder of chunks: everything comes back, the same bytes at every CPU level, and no damage harms the reader.

import Archive
import Bytes
import CKernels
import Testing

@Suite(.serialized) struct ChunkCodecTests {
    /// Words of several kinds: weights with and without an earlier step, all bit patterns, few values.
    static let kinds = ["weights", "noise", "few", "padded", "special"]

    private static func words(_ kind: String, width: Int, count: Int, seed: UInt64) -> (now: [UInt8], before: [UInt8]) {
        var generator = SeededGenerator(state: seed)
        var now: [UInt8] = [], before: [UInt8] = []
        func append(_ value: UInt32, to bytes: inout [UInt8]) {
            for place in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * place))) }
        }
        for _ in 0..<count {
            var pair: (UInt32, UInt32)
            switch kind {
            case "weights":
                let old = generator.weight(0.02)
                pair = ((old + generator.weight(0.001)).bitPattern, old.bitPattern)
                if width < 4 { pair = (pair.0 >> 16, pair.1 >> 16) }
            case "noise": pair = (UInt32.random(in: 0 ... .max, using: &generator), 0)
            case "few": pair = (UInt32.random(in: 0...3, using: &generator), UInt32.random(in: 0...3, using: &generator))
            case "padded": pair = (generator.weight(1).bitPattern & 0xFFFF_E000, generator.weight(1).bitPattern)
            default:
                let values: [UInt32] = [0, 0x8000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7F80_0000, 0xFF80_0000, 1, 0x8000_0001]
                pair = (values.randomElement(using: &generator) ?? 0, values.randomElement(using: &generator) ?? 0)
            }
            append(pair.0, to: &now)
            append(pair.1, to: &before)
        }
        return (now, before)
    }

    /// - Parameter inPlace: whether what is decoded takes the place of the reference.
    private static func decode(
        _ payload: [UInt8], count: Int, reference: [UInt8]?, inPlace: Bool = false, digests: BlockDigests? = nil
    ) -> [UInt8]? {
        // Memory of its own, so that a sanitizer sees what is read and written beyond.
        func copy(_ bytes: [UInt8]) -> UnsafeMutableRawBufferPointer {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            copy.copyBytes(from: bytes)
            return copy
        }
        let output = copy([UInt8](repeating: 0xAA, count: count))
        let padded = copy(payload + [UInt8](repeating: 0, count: ChunkCodec.slack))
        let earlier = reference.map(copy)
        defer {
            output.deallocate()
            padded.deallocate()
            earlier?.deallocate()
        }
        let bytes = inPlace ? earlier ?? output : output
        let fine = ChunkCodec().decode(
            UnsafeRawBufferPointer(rebasing: padded[..<payload.count]), into: bytes,
            reference: earlier.map { UnsafeRawBufferPointer($0) }, digests: digests)
        return fine ? [UInt8](bytes) : nil
    }

    private static func encode(_ bytes: [UInt8], width: Int, reference: [UInt8]?, version: UInt32 = 3) -> [UInt8] {
        let codec = ChunkCodec(version: version)
        return bytes.withUnsafeBytes { bytes in
            guard let reference else { return codec.encode(bytes, width: width, reference: nil) }
            return reference.withUnsafeBytes { codec.encode(bytes, width: width, reference: $0) }
        }
    }

    /// The levels of instructions that this machine has.
    private static let levels = [PANNIER_CPU_BASELINE, PANNIER_CPU_AVX2, PANNIER_CPU_AVX512].filter {
        $0.rawValue <= pannier_cpu_best().rawValue
    }

    @Test(arguments: kinds, [0, 1, 2, 4])
    func comesBackAtEveryLevel(kind: String, width: Int) {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        for (count, version) in [(1, 3), (31, 3), (100, 3), (4096, 3), (70_001, 3), (100, 2), (70_001, 2)] as [(Int, UInt32)] {
            let (now, before) = Self.words(kind, width: max(width, 1), count: count, seed: UInt64(count))
            for reference in [nil, before] {
                var first: [UInt8]?
                for level in Self.levels {
                    _ = pannier_cpu_force(level)
                    let payload = Self.encode(now, width: width, reference: reference, version: version)
                    #expect(version > 2 || payload.first.map { $0 < 5 } == true)
                    #expect(first == nil || first == payload, "\(kind) \(width) \(count) differs at level \(level)")
                    first = payload
                    #expect(payload.count <= now.count + 2)
                    #expect(Self.decode(payload, count: now.count, reference: reference) == now)
                }
            }
        }
    }

    private static func digest(_ bytes: ArraySlice<UInt8>) -> Digest {
        var sha = SHA256()
        bytes.withUnsafeBytes { sha.add($0) }
        return sha.digest()
    }

    /// Digests computed while a chunk is decoded are those of its bytes, wherever the second begins; and the chunk may take
    /// the place of what it was coded against.
    @Test(arguments: kinds, [0, 1, 2, 4])
    func digestsBesideAndInPlace(kind: String, width: Int) {
        defer {
            _ = pannier_cpu_force(pannier_cpu_best())
            _ = pannier_sha256_use_native(1)
        }
        for count in [64, 4096, 70_001] {
            let (now, before) = Self.words(kind, width: max(width, 1), count: count, seed: UInt64(count))
            for reference in [nil, before] {
                let payload = Self.encode(now, width: width, reference: reference)
                for level in Self.levels {
                    _ = pannier_cpu_force(level)
                    for native in [Int32(0), 1] {
                        _ = pannier_sha256_use_native(native)
                        let last = now.count & ~63
                        let places = [0, 1, 63, 64, 65, 128, now.count / 2, last / 2 & ~63, last - 64, last, now.count]
                        for place in places where place <= now.count {
                            let digests = BlockDigests(parts: [0..<place, place..<now.count])
                            let found = Self.decode(
                                payload, count: now.count, reference: reference, inPlace: true, digests: digests)
                            #expect(found == now)
                            let expected = [Self.digest(now[..<place]), Self.digest(now[place...])]
                            let computed = now.withUnsafeBytes { digests.result(of: $0) }
                            #expect(
                                computed == expected,
                                "\(kind) \(width) \(count) at \(place), level \(level), native \(native)")
                        }
                        let one = BlockDigests(parts: [0..<now.count])
                        #expect(Self.decode(payload, count: now.count, reference: reference, digests: one) == now)
                        #expect(now.withUnsafeBytes { one.result(of: $0) } == [Self.digest(now[...])])
                    }
                }
            }
        }
    }

    /// Digests computed beside are those that `result` gives: it does not look at the bytes again.
    @Test func digestsAreComputedWhileDecoding() {
        let (now, before) = Self.words("weights", width: 2, count: 4096, seed: 3)
        let payload = Self.encode(now, width: 2, reference: before)
        #expect(payload.first == 5)
        let digests = BlockDigests(parts: [0..<4096, 4096..<8192])
        #expect(Self.decode(payload, count: now.count, reference: before, digests: digests) == now)
        let others = [UInt8](repeating: 1, count: now.count)
        #expect(others.withUnsafeBytes { digests.result(of: $0) } == [Self.digest(now[..<4096]), Self.digest(now[4096...])])
    }

    /// A stream that ends too early is refused, whatever its length.
    @Test(arguments: kinds, [1, 2, 4])
    func shortStreamsAreRefused(kind: String, width: Int) {
        defer { _ = pannier_cpu_force(pannier_cpu_best()) }
        for count in [300, 4096, 70_001] {
            let (now, before) = Self.words(kind, width: width, count: count, seed: 11)
            for reference in [nil, before] {
                let payload = Self.encode(now, width: width, reference: reference)
                // Weights are always coded as words, so that some are looked at.
                #expect(kind != "weights" || width == 1 || count < 70_001 || payload.first == 5)
                guard payload.first == 5 else { continue }
                for level in Self.levels {
                    _ = pannier_cpu_force(level)
                    #expect(Self.decode([UInt8](payload.dropLast()), count: now.count, reference: reference) == nil)
                }
            }
        }
    }

    @Test func earlierStepAndEntropyPay() {
        let (now, before) = Self.words("weights", width: 4, count: 100_000, seed: 1)
        let alone = Self.encode(now, width: 4, reference: nil).count
        let against = Self.encode(now, width: 4, reference: before).count
        #expect(alone < 340_000)
        #expect(against < alone * 9 / 10)
        #expect(Self.encode(now, width: 4, reference: now).count == 1)
        #expect(Self.encode([UInt8](repeating: 0, count: 4000), width: 4, reference: nil).count < 8)
    }

    @Test func damagedPayloadsAreRefusedOrDecodeToSomething() {
        var generator = SeededGenerator(state: 99)
        for (kind, width) in [("weights", 4), ("weights", 2), ("few", 1), ("padded", 4)] {
            let (now, before) = Self.words(kind, width: width, count: 3000, seed: 5)
            for reference in [nil, before] {
                let payload = Self.encode(now, width: width, reference: reference)
                for _ in 0..<1500 {
                    var damaged = payload
                    if Bool.random(using: &generator) {
                        damaged.removeLast(Int.random(in: 0..<damaged.count, using: &generator))
                    }
                    for _ in 0..<Int.random(in: 0...4, using: &generator) where !damaged.isEmpty {
                        // The header is where damage can lead furthest.
                        let limit = Bool.random(using: &generator) ? min(64, damaged.count) : damaged.count
                        damaged[Int.random(in: 0..<limit, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                    }
                    _ = Self.decode(damaged, count: now.count, reference: reference)
                }
            }
        }
    }

    @Test func checksumsAreThoseOfTheirSpecifications() {
        func xxh64(_ text: String) -> UInt64 { Array(text.utf8).withUnsafeBytes { pannier_xxh64($0.baseAddress, $0.count) } }
        #expect(xxh64("") == 0xef46_db37_51d8_e999)
        #expect(xxh64("a") == 0xd24e_c4f1_a98c_6e5b)
        #expect(xxh64("abc") == 0x44bc_2cf5_ad77_0999)
        #expect(xxh64("Nobody inspects the spammish repetition") == 0xfbce_a83c_8a37_8bf1)
    }
}
