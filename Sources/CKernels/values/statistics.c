// Chooses the statistics kernels of the CPU level in force. See include/pannier_statistics.h.
#include "pannier_statistics.h"

#include <stddef.h>

typedef double v16d __attribute__((ext_vector_type(16)));

#define PANNIER_KERNELS "values/statistics.inc"
#include "../levels.h"

void pannier_statistics_begin(pannier_statistics *sums) {
    *sums = (pannier_statistics){.smallest = INFINITY, .largest = -INFINITY};
}

void pannier_statistics_add(const float *values, int64_t count, pannier_statistics *sums) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const float *, int64_t, pannier_statistics *) =
        EVERY_LEVEL(statistics);
    kernels[pannier_cpu_current()](values, count, sums);
}

void pannier_difference_add(const float *a, const float *b, int64_t count, pannier_difference *sums) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const float *, const float *, int64_t, pannier_difference *) =
        EVERY_LEVEL(difference);
    kernels[pannier_cpu_current()](a, b, count, sums);
}

void pannier_difference_histogram(const float *a, const float *b, int64_t count, int64_t *bins) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const float *, const float *, int64_t, int64_t *) =
        EVERY_LEVEL(difference_histogram);
    kernels[pannier_cpu_current()](a, b, count, bins);
}
