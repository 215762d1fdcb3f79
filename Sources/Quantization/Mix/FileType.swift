// The file types of llama-quantize: a default block format, and a name under which the mixing rules know it.
//
// Source: QUANT_OPTIONS in tools/quantize/quantize.cpp, enum llama_ftype in llama.h and
// llama_ftype_get_default_type in src/llama-quant.cpp.

public import Tensors

/// A file type: what `--type` names, and what `general.file_type` of a GGUF file records.
public struct FileType: Sendable, Hashable {
    /// The name on the command line, in upper case.
    public let name: String
    /// `general.file_type`.
    public let id: UInt32
    /// What a tensor is quantized to where no rule says otherwise. Nil for COPY, which changes nothing.
    public let defaultType: DType?
    public let summary: String

    init(_ name: String, _ id: UInt32, _ defaultType: DType?, _ summary: String) {
        self.name = name
        self.id = id
        self.defaultType = defaultType
        self.summary = summary
    }

    public static func == (left: FileType, right: FileType) -> Bool { left.name == right.name }
    public func hash(into hasher: inout Hasher) { hasher.combine(name) }

    public static let f32 = FileType("F32", 0, .f32, "32 bits, nothing lost")
    public static let f16 = FileType("F16", 1, .f16, "16 bits")
    public static let bf16 = FileType("BF16", 32, .bf16, "16 bits, the exponent of 32")
    public static let q4_0 = FileType("Q4_0", 2, .q4_0, "4.5 bits, blocks of 32")
    public static let q4_1 = FileType("Q4_1", 3, .q4_1, "5 bits, blocks of 32 with a minimum")
    public static let q5_0 = FileType("Q5_0", 8, .q5_0, "5.5 bits, blocks of 32")
    public static let q5_1 = FileType("Q5_1", 9, .q5_1, "6 bits, blocks of 32 with a minimum")
    public static let q8_0 = FileType("Q8_0", 7, .q8_0, "8.5 bits, nearly nothing lost")
    public static let q2_K = FileType("Q2_K", 10, .q2_K, "2.6 bits, mixed with Q3_K and Q4_K")
    public static let q2_K_S = FileType("Q2_K_S", 21, .q2_K, "2.6 bits, needs an importance matrix")
    public static let q3_K_S = FileType("Q3_K_S", 11, .q3_K, "3.4 bits")
    public static let q3_K_M = FileType("Q3_K_M", 12, .q3_K, "3.4 bits, mixed with Q4_K and Q5_K")
    public static let q3_K_L = FileType("Q3_K_L", 13, .q3_K, "3.4 bits, mixed with Q5_K")
    public static let q4_K_S = FileType("Q4_K_S", 14, .q4_K, "4.5 bits, a few tensors in Q5_K")
    public static let q4_K_M = FileType("Q4_K_M", 15, .q4_K, "4.5 bits, mixed with Q6_K: the usual choice")
    public static let q5_K_S = FileType("Q5_K_S", 16, .q5_K, "5.5 bits")
    public static let q5_K_M = FileType("Q5_K_M", 17, .q5_K, "5.5 bits, mixed with Q6_K")
    public static let q6_K = FileType("Q6_K", 18, .q6_K, "6.6 bits")
    public static let iq1_s = FileType("IQ1_S", 24, .iq1_s, "1.6 bits, needs an importance matrix")
    public static let iq1_m = FileType("IQ1_M", 31, .iq1_m, "1.75 bits, needs an importance matrix")
    public static let iq2_xxs = FileType("IQ2_XXS", 19, .iq2_xxs, "2.1 bits, needs an importance matrix")
    public static let iq2_xs = FileType("IQ2_XS", 20, .iq2_xs, "2.3 bits, needs an importance matrix")
    public static let iq2_s = FileType("IQ2_S", 28, .iq2_xs, "2.5 bits, needs an importance matrix")
    public static let iq2_m = FileType("IQ2_M", 29, .iq2_s, "2.7 bits, needs an importance matrix")
    public static let iq3_xxs = FileType("IQ3_XXS", 23, .iq3_xxs, "3.1 bits, needs an importance matrix")
    public static let iq3_xs = FileType("IQ3_XS", 22, .iq3_s, "3.3 bits, needs an importance matrix")
    public static let iq3_s = FileType("IQ3_S", 26, .iq3_s, "3.4 bits")
    public static let iq3_m = FileType("IQ3_M", 27, .iq3_s, "3.7 bits, mixed with Q4_K")
    public static let iq4_nl = FileType("IQ4_NL", 25, .iq4_nl, "4.5 bits, unequal steps")
    public static let iq4_xs = FileType("IQ4_XS", 30, .iq4_xs, "4.25 bits, unequal steps")
    public static let tq1_0 = FileType("TQ1_0", 36, .tq1_0, "1.7 bits, for ternary models")
    public static let tq2_0 = FileType("TQ2_0", 37, .tq2_0, "2.1 bits, for ternary models")
    public static let mxfp4 = FileType("MXFP4_MOE", 38, .mxfp4, "4.25 bits for experts, Q8_0 for the rest")
    public static let q1_0 = FileType("Q1_0", 40, .q1_0, "1.1 bits, for models of signs")
    public static let q2_0 = FileType("Q2_0", 41, .q2_0, "2.25 bits, for ternary models")
    public static let copy = FileType("COPY", 0, nil, "every tensor as it is")

    /// All of them, the smallest first and COPY last.
    public static let all: [FileType] = [
        .q1_0, .iq1_s, .tq1_0, .iq1_m, .iq2_xxs, .tq2_0, .q2_0, .iq2_xs, .iq2_s, .iq2_m, .q2_K_S, .q2_K, .iq3_xxs,
        .iq3_xs, .q3_K_S, .iq3_s, .iq3_m, .q3_K_M, .q3_K_L, .mxfp4, .iq4_xs, .q4_0, .iq4_nl, .q4_K_S, .q4_K_M, .q4_1,
        .q5_0, .q5_K_S, .q5_K_M, .q5_1, .q6_K, .q8_0, .f16, .bf16, .f32, .copy,
    ]

    /// The medium mix goes by the family's name too.
    private static let aliases: [String: FileType] = ["Q3_K": .q3_K_M, "Q4_K": .q4_K_M, "Q5_K": .q5_K_M]

    /// The file type of a name in any spelling of case, of an alias (Q4_K means Q4_K_M), or of a number in decimal
    /// (a `general.file_type`).
    public init?(name: String) {
        let upper = name.uppercased()
        let found =
            Self.all.first { $0.name == upper } ?? Self.aliases[upper]
            ?? UInt32(name).flatMap { id in Self.all.first { $0.id == id && $0.defaultType != nil } }
        guard let found else { return nil }
        self = found
    }
}

extension FileType: CustomStringConvertible {
    public var description: String { name }
}
