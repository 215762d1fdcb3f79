// Byte order inside block formats.
//
// A big-endian GGUF turns round the half floats (and wider fields) inside each block, and leaves the packed integers.
// Source of the field offsets: the block structs in ggml-common.h; which types exist in the other order at all: the
// gguf package's endian converter. Formats with packed 16-bit fields of ggml's IQ families are refused.

import Tensors

enum BlockByteOrder {
    /// Offsets of the 16-bit fields in a block that have a byte order; nil where the order of the fields is not defined.
    static func fields(of dtype: DType) -> [Int]? {
        switch dtype {
        case .q4_0, .q5_0, .q8_0, .iq4_nl, .q1_0, .q2_0: [0]
        case .q4_1, .q5_1, .q8_1, .q4_K, .q5_K: [0, 2]
        case .q2_K: [80, 82]
        case .q3_K: [108]
        case .q6_K: [208]
        case .tq1_0: [52]
        case .tq2_0: [64]
        case .mxfp4, .nvfp4: []
        default: nil
        }
    }

    /// Turns round the fields of whole blocks in place.
    static func reverse(_ dtype: DType, in buffer: UnsafeMutableRawBufferPointer) {
        guard let fields = fields(of: dtype), !fields.isEmpty else { return }
        var block = 0
        while block + dtype.blockBytes <= buffer.count {
            for field in fields {
                let value = buffer.loadUnaligned(fromByteOffset: block + field, as: UInt16.self)
                buffer.storeBytes(of: value.byteSwapped, toByteOffset: block + field, as: UInt16.self)
            }
            block += dtype.blockBytes
        }
    }
}
