// ggml's type numbers, as GGUF stores them.
//
// Source: `enum ggml_type` in ggml.h of llama.cpp. Gaps are types that were removed.

public import Tensors

extension DType {
    /// ggml's number of this type; nil for types that GGUF cannot store.
    public var ggmlType: UInt32? { DType.ggmlNumbers[self] }

    /// The type of a ggml number; nil for removed and unknown ones.
    public init?(ggmlType: UInt32) {
        guard let dtype = DType.ggmlDTypes[ggmlType] else { return nil }
        self = dtype
    }

    /// Types that were in ggml once, by number, with what became of them.
    static let removedGGMLTypes: [UInt32: String] = [
        4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8",
        38: "IQ4_NL_8_8",
    ]

    private static let ggmlDTypes: [UInt32: DType] = [
        0: .f32, 1: .f16, 2: .q4_0, 3: .q4_1, 6: .q5_0, 7: .q5_1, 8: .q8_0, 9: .q8_1, 10: .q2_K, 11: .q3_K, 12: .q4_K,
        13: .q5_K, 14: .q6_K, 15: .q8_K, 16: .iq2_xxs, 17: .iq2_xs, 18: .iq3_xxs, 19: .iq1_s, 20: .iq4_nl, 21: .iq3_s,
        22: .iq2_s, 23: .iq4_xs, 24: .i8, 25: .i16, 26: .i32, 27: .i64, 28: .f64, 29: .iq1_m, 30: .bf16, 34: .tq1_0,
        35: .tq2_0, 39: .mxfp4, 40: .nvfp4, 41: .q1_0, 42: .q2_0,
    ]

    private static let ggmlNumbers: [DType: UInt32] = Dictionary(
        uniqueKeysWithValues: ggmlDTypes.map { ($0.value, $0.key) })
}
