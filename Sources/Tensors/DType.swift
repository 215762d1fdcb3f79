// Element and block types: how numbers are coded, whichever container they lie in.

internal import Bytes

/// How the numbers of a tensor are coded.
///
/// A type codes `blockElements` consecutive elements of a row in `blockBytes` bytes; for plain types a block is one
/// element (F4 and F6 pack two and four). The raw value is the name that safetensors and GGUF use.
///
/// Sources: the safetensors format description (dtype names); ggml's `type_traits` table (block sizes).
public enum DType: String, Sendable, CaseIterable, Codable {
    // Plain elements.
    case bool = "BOOL"
    case u8 = "U8"
    case i8 = "I8"
    case u16 = "U16"
    case i16 = "I16"
    case u32 = "U32"
    case i32 = "I32"
    case u64 = "U64"
    case i64 = "I64"
    case f16 = "F16"
    case bf16 = "BF16"
    case f32 = "F32"
    case f64 = "F64"
    case c64 = "C64"
    case c128 = "C128"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3 = "F8_E4M3"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e8m0 = "F8_E8M0"
    case f4 = "F4"
    case f6e2m3 = "F6_E2M3"
    case f6e3m2 = "F6_E3M2"

    // ggml's block formats.
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q8_0 = "Q8_0"
    case q8_1 = "Q8_1"
    case q2_K = "Q2_K"
    case q3_K = "Q3_K"
    case q4_K = "Q4_K"
    case q5_K = "Q5_K"
    case q6_K = "Q6_K"
    case q8_K = "Q8_K"
    case iq1_s = "IQ1_S"
    case iq1_m = "IQ1_M"
    case iq2_xxs = "IQ2_XXS"
    case iq2_xs = "IQ2_XS"
    case iq2_s = "IQ2_S"
    case iq3_xxs = "IQ3_XXS"
    case iq3_s = "IQ3_S"
    case iq4_nl = "IQ4_NL"
    case iq4_xs = "IQ4_XS"
    case tq1_0 = "TQ1_0"
    case tq2_0 = "TQ2_0"
    case mxfp4 = "MXFP4"
    case nvfp4 = "NVFP4"
    case q1_0 = "Q1_0"
    case q2_0 = "Q2_0"

    /// The type of a name in any spelling of case ("bf16", "Q4_K").
    public init?(name: String) {
        self.init(rawValue: name.uppercased())
    }

    /// Elements in one block; 1 for plain types.
    public var blockElements: Int {
        switch self {
        case .f4: 2
        case .f6e2m3, .f6e3m2: 4
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q8_1, .iq4_nl, .mxfp4: 32
        case .nvfp4, .q2_0: 64
        case .q1_0: 128
        case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .q8_K, .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s,
            .iq4_xs, .tq1_0, .tq2_0:
            256
        default: 1
        }
    }

    /// Bytes of one block.
    public var blockBytes: Int {
        switch self {
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e5m2fnuz, .f8e4m3fnuz, .f8e8m0, .f4: 1
        case .u16, .i16, .f16, .bf16: 2
        case .f6e2m3, .f6e3m2: 3
        case .u32, .i32, .f32: 4
        case .u64, .i64, .f64, .c64: 8
        case .c128: 16
        case .q4_0, .iq4_nl, .q1_0, .q2_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q8_1, .nvfp4: 36
        case .mxfp4: 17
        case .q2_K: 84
        case .q3_K: 110
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        case .q8_K: 292
        case .iq1_s: 50
        case .iq1_m: 56
        case .iq2_xxs: 66
        case .iq2_xs: 74
        case .iq2_s: 82
        case .iq3_xxs: 98
        case .iq3_s: 110
        case .iq4_xs: 136
        case .tq1_0: 54
        case .tq2_0: 66
        }
    }

    /// Whether it is a block format: scales and small integers that a kernel has to decode.
    public var isQuantized: Bool { blockElements > 6 }

    /// Whether it is one of the plain floats that Pannier computes with and converts between.
    public var isFloat: Bool {
        switch self {
        case .f16, .bf16, .f32, .f64: true
        default: false
        }
    }

    /// Bits a weight, block overhead included.
    public var bitsPerElement: Double { Double(blockBytes * 8) / Double(blockElements) }

    /// Size of the unit that byte order turns round; 1 for bytes, and for blocks, whose fields have
    /// several sizes (GGUF's reader turns those round itself).
    public var byteOrderUnit: Int {
        switch self {
        case .c64: 4
        case .c128: 8
        default: blockElements == 1 ? blockBytes : 1
        }
    }

    /// Bytes of `elements` elements, or nil when that is no whole number of blocks or does not fit.
    public func byteCount(elements: Int) -> Int? {
        guard elements >= 0, elements % blockElements == 0 else { return nil }
        return (elements / blockElements).multiplied(by: blockBytes)
    }
}

extension DType: CustomStringConvertible {
    public var description: String { rawValue }
}
