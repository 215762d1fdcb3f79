// Chooses the batch products of the CPU level in force. See include/pannier_matmul.h.
#include "tiles.h"

#include <string.h>

static void decode_floats(const pannier_matrix *w, const char *const *row, int64_t rows, int64_t count, void *tile) {
    for (int64_t r = 0; r < rows; r++) w->decode(row[r], (float *)tile + r * TILE_COLUMNS, count);
}

#define PANNIER_KERNELS "products/matmul.inc"
#include "../levels.h"

void pannier_decode_f32(const void *src, float *dst, int64_t count) { memcpy(dst, src, (size_t)count * sizeof(float)); }

int64_t pannier_panels(int64_t tokens) {
    static int64_t (*const kernels[PANNIER_CPU_LEVELS])(void) = EVERY_LEVEL(panel);
    int64_t panel = kernels[pannier_cpu_current()]();
    return (tokens + panel - 1) / panel;
}

// Whole vectors of the widest level, so that a buffer serves every level, and what pairs need beside (word_stride).
int64_t pannier_packed_floats(int64_t tokens, int64_t columns) { return (tokens + 15) / 16 * 16 * (columns + 17); }

void pannier_pack_f32(const float *x, int64_t stride, int64_t tokens, int64_t columns, int64_t first, int64_t last,
                      float *packed) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const float *, int64_t, int64_t, int64_t, int64_t, int64_t,
                                                     float *) = EVERY_LEVEL(pack);
    kernels[pannier_cpu_current()](x, stride, tokens, columns, first, last, packed);
}

void pannier_matmul_f32(const pannier_matrix *w, int64_t first, int64_t last, const float *packed, int64_t tokens,
                        float *out, int64_t out_stride, void *scratch) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const pannier_matrix *, int64_t, int64_t, const float *, int64_t,
                                                     float *, int64_t, void *) = EVERY_LEVEL(matmul);
    kernels[pannier_cpu_current()](w, first, last, packed, tokens, out, out_stride, scratch);
}
