// IQ1_S to IQ4_XS: levels that no formula gives. IQ4 has sixteen uneven ones for a weight; the others take four or
// eight weights together as a point of a codebook that was found by clustering.
// Three have no search without an importance matrix (ggml_quantize_requires_imatrix); that others are of little worth
// without one is for the mixing rules to say.
// Layout: block_iq1_s ... block_iq4_xs in ggml-common.h.

internal import Tensors

extension BlockFormat {
    static let iqQuants: [BlockFormat] = [
        BlockFormat(
            .iq1_s, ggmlType: 19, importance: .required, scales: .halves([0]),
            summary: "32 x 8 ternary digits from a book of 2048, 3-bit scales, a shift for 32"),
        BlockFormat(
            .iq1_m, ggmlType: 29, importance: .optional, scales: .spreadHalf(48),
            summary: "32 x 8 ternary digits from a book of 2048, 3-bit scales, a shift for 8"),
        BlockFormat(
            .iq2_xxs, ggmlType: 16, importance: .required, scales: .halves([0]),
            summary: "32 x 8 magnitudes from a book of 256, even signs, 4-bit scales for 32"),
        BlockFormat(
            .iq2_xs, ggmlType: 17, importance: .required, scales: .halves([0]),
            summary: "32 x 8 magnitudes from a book of 512, even signs, 4-bit scales for 16"),
        BlockFormat(
            .iq2_s, ggmlType: 22, importance: .optional, scales: .halves([0]),
            summary: "32 x 8 magnitudes from a book of 1024, signs, 4-bit scales for 16"),
        BlockFormat(
            .iq3_xxs, ggmlType: 18, importance: .optional, scales: .halves([0]),
            summary: "64 x 4 magnitudes from a book of 256, even signs, 4-bit scales for 32"),
        BlockFormat(
            .iq3_s, ggmlType: 21, importance: .optional, scales: .halves([0]),
            summary: "64 x 4 magnitudes from a book of 512, signs, 4-bit scales for 32"),
        BlockFormat(
            .iq4_nl, ggmlType: 20, importance: .optional, scales: .halves([0]),
            summary: "32 x 16 uneven levels, scale"),
        BlockFormat(
            .iq4_xs, ggmlType: 23, importance: .optional, scales: .halves([0]),
            summary: "8 sub-blocks of 32 x 16 uneven levels, 6-bit scales"),
    ]
}
