// Batch products of 16-bit pairs: of bf16 here, where AVX-512 has them (vdpbf16ps) and they are fast, of integers elsewhere
// (matmul_words.inc). Which it is, is chosen at the end. See include/pannier_matmul.h.
//
// The same walk as matmul.inc with pairs of columns in place of columns: a pair of weights (32 bits) is broadcast and
// multiplied with the pairs of sixteen tokens. The instruction rounds each product's sum to f32 and takes subnormal
// inputs as zero.
#include "matmul_words.h"
#include "tiles.h"
#include "pannier_half.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define TILE_PAIRS 512
#define VECTORS 4
#define PANEL 64

#ifndef AVX512_BF16_FEATURES // Tests/Emulation names others
#define AVX512_BF16_FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"
#endif
#pragma clang attribute push(__attribute__((target(AVX512_BF16_FEATURES))), apply_to = function)

#define BLOCK(R, V)                                                                                                    \
    static __attribute__((noinline)) void block_##R##_##V(const uint32_t *w, const uint32_t *a, int64_t steps,         \
                                                          float *c, int64_t c_stride, bool add, fetch_list *ahead) {    \
        __m512 sum[R][V];                                                                                              \
        _Pragma("unroll") for (int r = 0; r < R; r++) _Pragma("unroll") for (int v = 0; v < V; v++)                    \
            sum[r][v] = add ? _mm512_loadu_ps(c + r * c_stride + v * 16) : _mm512_setzero_ps();                        \
        for (int64_t k = 0; k < steps; k++) {                                                                          \
            if (k % FETCH_STEPS == 0) fetch_next(ahead);                                                               \
            __m512bh x[V];                                                                                             \
            _Pragma("unroll") for (int v = 0; v < V; v++) x[v] = (__m512bh)_mm512_loadu_si512(a + v * 16);             \
            _Pragma("unroll") for (int r = 0; r < R; r++) {                                                            \
                __m512bh weight = (__m512bh)_mm512_set1_epi32((int)w[r * TILE_PAIRS]);                                 \
                _Pragma("unroll") for (int v = 0; v < V; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], weight, x[v]);   \
            }                                                                                                          \
            a += V * 16;                                                                                               \
            w++;                                                                                                       \
        }                                                                                                              \
        _Pragma("unroll") for (int r = 0; r < R; r++) _Pragma("unroll") for (int v = 0; v < V; v++)                    \
            _mm512_storeu_ps(c + r * c_stride + v * 16, sum[r][v]);                                                    \
    }
#define BLOCKS(V) BLOCK(1, V) BLOCK(2, V) BLOCK(3, V) BLOCK(4, V) BLOCK(5, V) BLOCK(6, V)
#define BLOCK_NAMES(V) { block_1_##V, block_2_##V, block_3_##V, block_4_##V, block_5_##V, block_6_##V }
BLOCKS(1)
BLOCKS(2)
BLOCKS(3)
BLOCKS(4)

typedef void (*block_fn)(const uint32_t *, const uint32_t *, int64_t, float *, int64_t, bool, fetch_list *);
static const block_fn all_blocks[VECTORS][BLOCK_ROWS] = {BLOCK_NAMES(1), BLOCK_NAMES(2), BLOCK_NAMES(3), BLOCK_NAMES(4)};

static void pack(const float *x, int64_t stride, int64_t tokens, int64_t columns, int64_t first, int64_t last,
                 float *packed) {
    const int64_t pairs = (columns + 1) / 2;
    for (int64_t panel = first; panel < last; panel++) {
        int64_t begin = panel * PANEL, count = tokens - begin < PANEL ? tokens - begin : PANEL;
        int64_t width = (count + 15) / 16 * 16;
        uint32_t *to = (uint32_t *)packed + begin * pairs;
        memset(to, 0, (size_t)(width * pairs) * sizeof(uint32_t));
        for (int64_t t = 0; t < count; t++) {
            const float *from = x + (begin + t) * stride;
            for (int64_t pair = 0; pair < pairs; pair += 8) {
                // Sixteen values become eight pairs.
                int64_t rest = columns - pair * 2;
                __mmask16 there = rest >= 16 ? 0xffff : (__mmask16)((1u << rest) - 1);
                uint32_t eight[8];
                _mm256_storeu_si256((void *)eight,
                                    (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, from + pair * 2)));
                for (int64_t i = 0; i < 8 && pair + i < pairs; i++) to[(pair + i) * width + t] = eight[i];
            }
        }
    }
}

// Weights as bf16 pairs, an odd last one paired with zero.
static void decode_row(const pannier_matrix *w, const char *src, int64_t count, uint32_t *pairs) {
    if (w->kind == PANNIER_WEIGHT_BF16) {
        if (count & 1) pairs[count / 2] = 0;
        memcpy(pairs, src, (size_t)count * 2);
        return;
    }
    float values[TILE_PAIRS * 2];
    w->decode(src, values, count);
    for (int64_t k = 0; k < count; k += 16) {
        int64_t rest = count - k;
        __mmask16 there = rest >= 16 ? 0xffff : (__mmask16)((1u << rest) - 1);
        __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(there, values + k));
        if (rest >= 16) _mm256_storeu_si256((void *)(pairs + k / 2), rounded);
        else _mm256_mask_storeu_epi32(pairs + k / 2, (__mmask8)((1u << (rest + 1) / 2) - 1), rounded);
    }
}

static void decode_pairs(const pannier_matrix *w, const char *const *row, int64_t rows, int64_t count, void *tile) {
    for (int64_t r = 0; r < rows; r++) decode_row(w, row[r], count, (uint32_t *)tile + r * TILE_PAIRS);
}

static void multiply_pairs(const tile_place *p) {
    const uint32_t *panel = (const uint32_t *)p->packed + p->token * ((p->columns + 1) / 2) + p->column / 2 * p->width;
    for (int64_t r = 0; r < p->rows; r += BLOCK_ROWS) {
        const int64_t rows = p->rows - r < BLOCK_ROWS ? p->rows - r : BLOCK_ROWS;
        all_blocks[p->width / 16 - 1][rows - 1]((const uint32_t *)p->tile + r * TILE_PAIRS, panel, (p->count + 1) / 2,
                                                p->sums + r * p->sums_stride, p->sums_stride, p->add, p->ahead);
    }
}

static void matmul(const pannier_matrix *w, int64_t first, int64_t last, const float *packed, int64_t tokens,
                   float *out, int64_t out_stride, void *scratch) {
    static const tile_kernels kernels = {16, PANEL, TILE_PAIRS * 2, decode_pairs, multiply_pairs};
    pannier_walk_tiles(&kernels, w, first, last, packed, tokens, out, out_stride, scratch);
}
#pragma clang attribute pop

static bool has_bf16(void) {
    return pannier_cpu_has(PANNIER_CPU_FAST_BF16) ||
           (pannier_cpu_has(PANNIER_CPU_AVX512_BF16) && !pannier_cpu_has(PANNIER_CPU_AVX512_VNNI));
}
static pannier_pack_fn pack_here(void) { return has_bf16() ? pack : pannier_pack_words(); }
static pannier_matmul_fn matmul_here(void) { return has_bf16() ? matmul : pannier_matmul_words(); }
#else
#define pack_here() pannier_pack_words()
#define matmul_here() pannier_matmul_words()
#endif

// Where pairs are no faster, the products of f32 stand in for them: slower and more exact.
void pannier_pack_bf16(const float *x, int64_t stride, int64_t tokens, int64_t columns, int64_t first, int64_t last,
                       float *packed) {
    const pannier_pack_fn here = pack_here();
    (here ? here : pannier_pack_f32)(x, stride, tokens, columns, first, last, packed);
}

void pannier_matmul_bf16(const pannier_matrix *w, int64_t first, int64_t last, const float *packed, int64_t tokens,
                         float *out, int64_t out_stride, void *scratch) {
    const pannier_matmul_fn here = matmul_here();
    (here ? here : pannier_matmul_f32)(w, first, last, packed, tokens, out, out_stride, scratch);
}
