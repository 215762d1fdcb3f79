// Batch products of pairs of integers: which level has them. See matmul_words.h.
#include "matmul_words.h"
#include "tiles.h"
#include "units.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum {
    /// Columns of a row or token that share a unit.
    WORD_GROUP = 256,
    /// The most units of a weight and of an activation: WORD_GROUP * 2047 * 4095 < 2^31. Activations get more of them, since
    /// their largest stand out more.
    WEIGHT_LIMIT = 2047,
    ACTIVATION_LIMIT = 4095,
    TILE_GROUPS = TILE_COLUMNS / WORD_GROUP,
    TILE_WORD_PAIRS = TILE_COLUMNS / 2,
};

// Pairs of so many columns, and what a token of them takes in a packed batch, its units too.
static int64_t word_pairs(int64_t columns) { return (columns + 31) / 32 * 16; }
static int64_t word_stride(int64_t columns) { return word_pairs(columns) + (columns + WORD_GROUP - 1) / WORD_GROUP; }

#define AVX512_MORE ",avx512vnni"
#define PANNIER_KERNELS "products/matmul_words.inc"
#include "../levels.h"

pannier_pack_fn pannier_pack_words(void) {
    if (pannier_cpu_has(PANNIER_CPU_AVX512_VNNI)) return pack_avx512;
    return pannier_cpu_current() == PANNIER_CPU_AVX2 ? pack_avx2 : NULL;
}
pannier_matmul_fn pannier_matmul_words(void) {
    if (pannier_cpu_has(PANNIER_CPU_AVX512_VNNI)) return matmul_avx512;
    return pannier_cpu_current() == PANNIER_CPU_AVX2 ? matmul_avx2 : NULL;
}
#else
pannier_pack_fn pannier_pack_words(void) { return 0; }
pannier_matmul_fn pannier_matmul_words(void) { return 0; }
#endif
