// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: blocks of 32 with a half-float scale and, in the _1 formats, a minimum after it.
// Layout: block_q4_0 ... block_q8_0 in ggml-common.h.

internal import Tensors

extension BlockFormat {
    static let legacyQuants: [BlockFormat] = [
        BlockFormat(
            .q4_0, ggmlType: 2, importance: .optional, scales: .halves([0]), summary: "32 x 4 bits, scale"),
        BlockFormat(
            .q4_1, ggmlType: 3, importance: .optional, scales: .halves([0, 2]), summary: "32 x 4 bits, scale, minimum"),
        BlockFormat(
            .q5_0, ggmlType: 6, importance: .optional, scales: .halves([0]), summary: "32 x 5 bits, scale"),
        BlockFormat(
            .q5_1, ggmlType: 7, importance: .optional, scales: .halves([0, 2]), summary: "32 x 5 bits, scale, minimum"),
        BlockFormat(
            .q8_0, ggmlType: 8, importance: .unused, scales: .halves([0]), summary: "32 x 8 bits, scale"),
    ]
}
