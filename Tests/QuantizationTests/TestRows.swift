// The rows that Tests/Golden/make_quantize.py quantized with ggml: the same generator, the same arithmetic.

import Foundation

enum TestRows {
    static let rows = 19
    static let columns = 768

    static func splitmix(_ seed: UInt64, _ count: Int) -> [UInt64] {
        (1...count).map { index in
            var z = seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// Four 16-bit parts added: a bell around 0, times 2^-19.
    static func bell(_ words: [UInt64]) -> [Float] {
        words.map { word in
            let sum = (0..<4).reduce(0) { $0 + Int(word >> (16 * UInt64($1)) & 0xFFFF) }
            return Float(sum - 131_070) * 0x1p-19
        }
    }

    static func make(_ kind: String) -> [Float] {
        let count = rows * columns
        switch kind {
        case "bell":
            return bell(splitmix(1, count))
        case "bits":
            return splitmix(2, count).map { word in
                let x = Float(bitPattern: UInt32(word >> 32))
                return x.isFinite ? x : 0
            }
        default:
            let quiet = kind == "quiet" // nothing huge
            var x = bell(splitmix(quiet ? 6 : 3, count))
            // The third and fourth are the subnormal 1e-40 and 3e-45.
            let factors: [Float] = [
                0, -0.0, Float(bitPattern: 71362), Float(bitPattern: 2), quiet ? 1e4 : 3e38, 1e-15, quiet ? 1e-9 : 1e20,
                1e-20,
            ]
            for (block, word) in splitmix(quiet ? 7 : 4, count / 16).enumerated() {
                let pick = Int(word % 12)
                let range = block * 16..<block * 16 + 16
                switch pick {
                case 0..<8: for i in range { x[i] *= factors[pick] }
                case 8: for i in range { x[i] = x[range.lowerBound] }
                case 9: for i in range { x[i] = abs(x[i]) }
                case 10: x[range.lowerBound + 3] *= 1000
                default: break
                }
            }
            return x
        }
    }

    static let importance: [Float] = splitmix(5, columns).map { word in
        word % 6 == 0 ? 0 : Float(word >> 40) * 0x1p-22
    }

    /// FNV-1a of 64 bits, in hexadecimal.
    static func digest(_ bytes: UnsafeRawBufferPointer) -> String {
        var h: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { h = (h ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let hex = String(h, radix: 16)
        return String(repeating: "0", count: 16 - hex.count) + hex
    }

    static func digest(_ values: [Float]) -> String {
        values.map { $0.isNaN ? 0 : $0 }.withUnsafeBytes { digest($0) }
    }

    /// A file beside this one, in Golden/.
    static func golden(_ name: String) throws -> Data {
        try Data(
            contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
                .appendingPathComponent(name))
    }
}
