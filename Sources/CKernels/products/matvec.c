// Chooses the products with one token of the CPU level in force. See include/pannier_matmul.h.
#include "pannier_matmul.h"
#include "units.h"
#include "../blocks/iq_tables.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PANNIER_KERNELS "products/matvec.inc"
#include "../levels.h"

// Formats with minima need sums behind the activations: the blocks of 32 one for every 8 columns.
int64_t pannier_prepared_floats(int64_t columns) { return columns + columns / 8 + 16; }

void pannier_prepare(const pannier_matrix *w, pannier_compute compute, const float *x, float *prepared) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(pannier_weight_kind, bool, bool, const float *, int64_t, float *) =
        EVERY_LEVEL(prepare);
    kernels[pannier_cpu_current()](w->kind, compute == PANNIER_COMPUTE_BF16, w->groups != NULL, x, w->columns, prepared);
}

int64_t pannier_groups_bytes(const pannier_matrix *w) {
    static int64_t (*const kernels[PANNIER_CPU_LEVELS])(pannier_weight_kind) = EVERY_LEVEL(group_block);
    const int64_t groups = (w->rows + PANNIER_ROW_GROUP - 1) / PANNIER_ROW_GROUP;
    return groups * (w->columns / w->block_elements) * kernels[pannier_cpu_current()](w->kind);
}

void pannier_group_rows(const pannier_matrix *w, int64_t first, int64_t last, uint8_t *groups) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const pannier_matrix *, int64_t, int64_t, uint8_t *) =
        EVERY_LEVEL(group_rows);
    kernels[pannier_cpu_current()](w, first, last, groups);
}

void pannier_matvec(const pannier_matrix *w, pannier_compute compute, int64_t first, int64_t last, const float *prepared,
                    float *out) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const pannier_matrix *, bool, int64_t, int64_t, const float *,
                                                     float *) = EVERY_LEVEL(matvec);
    kernels[pannier_cpu_current()](w, compute == PANNIER_COMPUTE_BF16, first, last, prepared, out);
}
