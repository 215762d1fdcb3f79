// TQ1_0 and TQ2_0: super-blocks of 256 values of -1, 0 and 1 with one scale, for models trained that way.
// Layout: block_tq1_0 and block_tq2_0 in ggml-common.h.

internal import Tensors

extension BlockFormat {
    static let ternaryQuants: [BlockFormat] = [
        BlockFormat(
            .tq1_0, ggmlType: 34, importance: .unused, scales: .halves([52]),
            summary: "256 ternary digits, five a byte, scale"),
        BlockFormat(
            .tq2_0, ggmlType: 35, importance: .unused, scales: .halves([64]),
            summary: "256 ternary digits, four a byte, scale"),
    ]
}
