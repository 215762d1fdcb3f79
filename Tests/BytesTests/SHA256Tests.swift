// SHA-256 against the vectors of FIPS 180-4, with the processor's own instructions and without, one and two at a time.

import Bytes
import CKernels
import Testing

@Suite(.serialized) struct SHA256Tests {
    private static func bytes(_ count: Int) -> [UInt8] {
        var x: UInt32 = 12345
        return (0..<count).map { _ in
            x = x &* 1_664_525 &+ 1_013_904_223
            return UInt8(x >> 24)
        }
    }

    /// In one go, or in pieces of a size.
    private static func digest(_ bytes: [UInt8], pieces: Int? = nil) -> String {
        var sha = SHA256()
        bytes.withUnsafeBytes { raw in
            for start in stride(from: 0, to: raw.count, by: pieces ?? max(raw.count, 1)) {
                sha.add(UnsafeRawBufferPointer(rebasing: raw[start...].prefix(pieces ?? raw.count)))
            }
        }
        return sha.digest().description
    }

    /// Does the same with plain C and with instructions, where there are any.
    private static func bothWays(_ body: (Bool) throws -> Void) rethrows {
        defer { _ = pannier_sha256_use_native(1) }
        for native in [false, true] where !native || pannier_sha256_use_native(1) != 0 {
            #expect((pannier_sha256_use_native(native ? 1 : 0) != 0) == native)
            try body(native)
        }
    }

    @Test func knownDigests() {
        let long = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
        Self.bothWays { native in
            for (text, digest) in [
                ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
                (long, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
                (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
            ] {
                #expect(Self.digest(Array(text.utf8)) == digest, "native: \(native)")
                #expect(Self.digest(Array(text.utf8), pieces: 37) == digest, "native: \(native)")
            }
        }
    }

    /// Every remainder of a block, with what was pending before: the digests are those of one at a time in plain C.
    @Test func twoAtOnceAreWhatEachIsAlone() {
        let source = Self.bytes(4500)
        let lengths = [0, 1, 55, 56, 63, 64, 65, 127, 128, 200, 1000, 4099]
        Self.bothWays { native in
            for left in lengths {
                for right in lengths {
                    for (leftFirst, rightFirst) in [(0, 0), (5, 0), (0, 63), (64, 1), (70, 33)] {
                        // The two overlap; each has bytes that were added before.
                        let a = Array(source[0..<leftFirst + left]), b = Array(source[7..<7 + rightFirst + right])
                        var one = SHA256(), two = SHA256()
                        source.withUnsafeBytes { raw in
                            func part(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
                                UnsafeRawBufferPointer(rebasing: raw[start..<start + count])
                            }
                            one.add(part(0, leftFirst))
                            two.add(part(7, rightFirst))
                            SHA256.add(part(leftFirst, left), to: &one, part(7 + rightFirst, right), to: &two)
                        }
                        let found = [one.digest().description, two.digest().description]
                        #expect(
                            found == [Self.digest(a), Self.digest(b)],
                            "\(leftFirst)+\(left) \(rightFirst)+\(right) \(native)")
                    }
                }
            }
        }
    }

    /// Plain C and the instructions agree on whole blocks in a row, which the lengths above have few of.
    @Test func bothWaysAgree() {
        let source = Self.bytes(300_001)
        var found: Set<String> = []
        Self.bothWays { _ in
            var one = SHA256(), two = SHA256()
            source.withUnsafeBytes { raw in
                let half = raw.count / 2
                SHA256.add(
                    UnsafeRawBufferPointer(rebasing: raw[..<half]), to: &one,
                    UnsafeRawBufferPointer(rebasing: raw[half...]), to: &two)
            }
            found.insert(one.digest().description + two.digest().description)
            #expect(one.digest().description == Self.digest(Array(source[..<150_000])))
            #expect(two.digest().description == Self.digest(Array(source[150_000...])))
        }
        #expect(found.count == 1)
    }

    @Test func nothingAddedToOneOfTwo() {
        var one = SHA256(), two = SHA256()
        let bytes = Self.bytes(100)
        bytes.withUnsafeBytes { SHA256.add($0, to: &one, UnsafeRawBufferPointer(start: nil, count: 0), to: &two) }
        #expect(one.digest().description == Self.digest(bytes))
        #expect(two.digest().description == Self.digest([]))
    }
}
