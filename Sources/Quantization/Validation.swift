// Blocks whose scales are no numbers. The checks of ggml_validate_row_data in ggml-quants.c.

internal import Bytes
internal import Tensors

extension BlockFormat {
    /// The first block of `bytes` with an infinite or NaN scale, or nil when all is well. Plain floats have no scales, and
    /// bytes after the last whole block are not looked at.
    public func firstInvalidBlock(in bytes: UnsafeRawBufferPointer) -> Int? {
        let blocks = bytes.count / blockBytes
        switch scales {
        case .none:
            return nil
        case .halves(let offsets):
            guard let base = bytes.baseAddress else { return nil }
            let size = blockBytes
            var first: Int?
            // Every block that is quantized passes here, so the loop is a plain one.
            for offset in offsets where offset >= 0 && offset <= size - 2 {
                for block in 0..<(first ?? blocks) {
                    let half = base.loadUnaligned(fromByteOffset: block &* size &+ offset, as: UInt16.self)
                    guard UInt16(littleEndian: half) & 0x7C00 == 0x7C00 else { continue }
                    first = block
                    break
                }
            }
            return first
        case .exponent(let offset):
            return (0..<blocks).first { bytes[$0 &* blockBytes &+ offset] == 0xFF }
        case .spreadHalf(let offset):
            // Of the exponent's five bits the upper three are in the last word's upper four, below the sign; the lower two
            // are the two highest of the word before it.
            return (0..<blocks).first { block in
                let at = block &* blockBytes &+ offset
                let third = bytes.littleEndian(UInt16.self, at: at &+ 4) ?? 0
                let fourth = bytes.littleEndian(UInt16.self, at: at &+ 6) ?? 0
                return (fourth & 0xF000 | third >> 4 & 0x0F00) & 0x7C00 == 0x7C00
            }
        }
    }
}
