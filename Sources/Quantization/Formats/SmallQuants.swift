// MXFP4 and NVFP4 (four-bit floats under small scales), Q1_0 (128 signs) and Q2_0 (64 levels of -1 ... 2).
// Layout: block_mxfp4, block_nvfp4, block_q1_0 and block_q2_0 in ggml-common.h; MXFP4 is the OCP microscaling format.

internal import Tensors

extension BlockFormat {
    static let smallQuants: [BlockFormat] = [
        BlockFormat(
            .mxfp4, ggmlType: 39, importance: .unused, scales: .exponent(0),
            summary: "32 x E2M1, power-of-two scale"),
        BlockFormat(
            .nvfp4, ggmlType: 40, importance: .unused, scales: .none,
            summary: "4 groups of 16 x E2M1, E4M3 scales"),
        BlockFormat(
            .q1_0, ggmlType: 41, importance: .unused, scales: .halves([0]), summary: "128 signs, scale"),
        BlockFormat(
            .q2_0, ggmlType: 42, importance: .unused, scales: .halves([0]),
            summary: "64 x 2 bits for -1, 0, 1 and 2, scale"),
    ]
}
