// What the IQ formats know beside the weights: their codebooks, what a point decodes to, and for every point that is
// not in a codebook the neighbours to search instead.
#ifndef PANNIER_IQ_TABLES_H
#define PANNIER_IQ_TABLES_H

#include <stdint.h>

/// The codebooks. IQ1_S and IQ1_M share one.
typedef enum pannier_codebook_kind {
    PANNIER_IQ2_XXS_POINTS,
    PANNIER_IQ2_XS_POINTS,
    PANNIER_IQ2_S_POINTS,
    PANNIER_IQ1_POINTS,
    PANNIER_IQ3_XXS_POINTS,
    PANNIER_IQ3_S_POINTS,
    PANNIER_CODEBOOKS
} pannier_codebook_kind;

extern const uint16_t pannier_iq2_xxs_points[256];
extern const uint16_t pannier_iq2_xs_points[512];
extern const uint16_t pannier_iq2_s_points[1024];
extern const uint16_t pannier_iq1_points[2048];
extern const uint16_t pannier_iq3_xxs_points[256];
extern const uint16_t pannier_iq3_s_points[512];

/// What a quantizer asks of a codebook.
///
/// A point has a *number*, its coordinates as digits (base 3 for eight of them, base 8 for four, the first one
/// lowest), and a *code*, its coordinates as bit fields (2 bits each for eight, 4 bits each for four).
/// `lists[number]` says where the points to consider lie in `neighbours` and how many chunks of eight they fill, and
/// whether the point is itself in the codebook, and then alone in its list: the macros below.
///
/// `lists[PANNIER_CERTAIN + number]` is a shorter list with the same first nearest member, for when the point with
/// that number was found by rounding each coordinate to its nearest level and none was close to halfway: then a member
/// is not farther off, coordinate by coordinate and so in the rounded sum, than those behind it in the list that lie
/// beyond it in every coordinate in which they differ.
///
/// The members of a list of C chunks are dealt out so that lane j of chunk c holds member j*C + c: the members of a
/// lane, and then the lanes, are in the list's order, which decides between equals. Past the end the last is repeated.
typedef struct pannier_codebook {
    const uint32_t *lists;
    const uint16_t *neighbours;
    const uint16_t *index; ///< by number: the place in the codebook, or 0 where it is not in it
} pannier_codebook;

/// The offset of the shorter lists, and an entry of `lists`: from the top six bits for the chunks less one, 22 for the first of them, three for how many of
/// their places are past the end, one for a point of the codebook.
#define PANNIER_CERTAIN 8192
#define PANNIER_LIST_ENTRY(chunk, length, on_grid)                                                                     \
    ((((uint32_t)(length) + 7) / 8 - 1) << 26 | (uint32_t)(chunk) << 4 | (-(uint32_t)(length) & 7) << 1 | (on_grid))
#define PANNIER_LIST(book, entry) ((book)->neighbours + ((entry) >> 1 & 0x1fffff8))
#define PANNIER_LIST_CHUNKS(entry) ((int)((entry) >> 26) + 1)
#define PANNIER_LIST_LENGTH(entry) (PANNIER_LIST_CHUNKS(entry) * 8 - (int)((entry) >> 1 & 7))
#define PANNIER_LIST_ON_GRID(entry) ((entry) & 1)

/// The codebook, built by the first who asks (a few ms). Any thread may ask.
const pannier_codebook *pannier_codebook_of(pannier_codebook_kind kind);

/// By the place in the codebook: what its coordinates decode to, a signed byte each, the first one lowest.
/// A point of four coordinates has its bytes in the lower half.
const uint64_t *pannier_codebook_values(pannier_codebook_kind kind);

/// IQ4_NL and IQ4_XS: what the sixteen levels stand for.
extern const int8_t pannier_iq4_values[16];

#endif
