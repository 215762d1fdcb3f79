// Q2_K to Q6_K: super-blocks of 256 in sub-blocks whose scales are quantized too.
// Layout: block_q2_K ... block_q6_K in ggml-common.h.

internal import Tensors

extension BlockFormat {
    static let kQuants: [BlockFormat] = [
        BlockFormat(
            .q2_K, ggmlType: 10, importance: .optional, scales: .halves([80, 82]),
            summary: "16 sub-blocks of 16 x 2 bits, 4-bit scales and minima"),
        BlockFormat(
            .q3_K, ggmlType: 11, importance: .optional, scales: .halves([108]),
            summary: "16 sub-blocks of 16 x 3 bits, 6-bit scales"),
        BlockFormat(
            .q4_K, ggmlType: 12, importance: .optional, scales: .halves([0, 2]),
            summary: "8 sub-blocks of 32 x 4 bits, 6-bit scales and minima"),
        BlockFormat(
            .q5_K, ggmlType: 13, importance: .optional, scales: .halves([0, 2]),
            summary: "8 sub-blocks of 32 x 5 bits, 6-bit scales and minima"),
        BlockFormat(
            .q6_K, ggmlType: 14, importance: .optional, scales: .halves([208]),
            summary: "16 sub-blocks of 16 x 6 bits, 8-bit scales"),
    ]
}
