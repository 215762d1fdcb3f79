// Blocks whose scales are no numbers. The checks of ggml_validate_row_data in ggml-quants.c.

internal import Bytes
internal import Tensors

extension BlockFormat {
    /// The first block of `bytes` with an infinite or NaN scale (or, of a plain float, the first such element), or nil
    /// when all is well. Bytes after the last whole block are not looked at.
    public func firstInvalidBlock(in bytes: UnsafeRawBufferPointer) -> Int? {
        let blocks = bytes.count / blockBytes
        switch scales {
        case .none:
            return nil
        case .elements:
            return (0..<blocks).first { !isFinite(bytes, at: $0 &* blockBytes) }
        case .halves(let offsets):
            return (0..<blocks).first { block in
                offsets.contains { offset in
                    let half = bytes.littleEndian(UInt16.self, at: block &* blockBytes &+ offset) ?? 0
                    return half & 0x7C00 == 0x7C00
                }
            }
        case .exponent(let offset):
            return (0..<blocks).first { bytes[$0 &* blockBytes &+ offset] == 0xFF }
        case .spreadHalf(let offset):
            // The top four bits, and so the exponent's, are the last word's and the second-highest bit of the one
            // before it.
            return (0..<blocks).first { block in
                let at = block &* blockBytes &+ offset
                let third = bytes.littleEndian(UInt16.self, at: at &+ 4) ?? 0
                let fourth = bytes.littleEndian(UInt16.self, at: at &+ 6) ?? 0
                return (fourth & 0xF000 | third >> 4 & 0x0F00) & 0x7C00 == 0x7C00
            }
        }
    }

    private func isFinite(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        switch dtype {
        case .f16: (bytes.littleEndian(UInt16.self, at: offset) ?? 0) & 0x7C00 != 0x7C00
        case .bf16: (bytes.littleEndian(UInt16.self, at: offset) ?? 0) & 0x7F80 != 0x7F80
        case .f32: (bytes.littleEndian(UInt32.self, at: offset) ?? 0) & 0x7F80_0000 != 0x7F80_0000
        case .f64: (bytes.littleEndian(UInt64.self, at: offset) ?? 0) & 0x7FF0 << 48 != 0x7FF0 << 48
        default: true
        }
    }
}
