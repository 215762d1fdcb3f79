// Chooses the plain float kernels of the CPU level in force. See include/pannier_half.h.
#include "pannier_half.h"

#include <stddef.h>

typedef double v16d __attribute__((ext_vector_type(16)));
typedef uint64_t v16q __attribute__((ext_vector_type(16)));

#define PANNIER_KERNELS "values/half.inc"
#include "../levels.h"

typedef void (*convert_fn)(const void *, void *, int64_t);

#define DISPATCH(name, SourceType, TargetType)                                                                         \
    void pannier_##name(SourceType src, TargetType dst, int64_t count) {                                               \
        static const convert_fn kernels[PANNIER_CPU_LEVELS] = EVERY_LEVEL(name);                                       \
        kernels[pannier_cpu_current()](src, dst, count);                                                               \
    }

DISPATCH(f16_to_f32, const void *, float *)
DISPATCH(f32_to_f16, const float *, void *)
DISPATCH(bf16_to_f32, const void *, float *)
DISPATCH(f32_to_bf16, const float *, void *)
DISPATCH(f64_to_f32, const void *, float *)
DISPATCH(f16_to_bf16, const void *, void *)
DISPATCH(bf16_to_f16, const void *, void *)
DISPATCH(swap_bytes_16, const void *, void *)
DISPATCH(swap_bytes_32, const void *, void *)
DISPATCH(swap_bytes_64, const void *, void *)

int pannier_all_finite_f32(const float *values, int64_t count) {
    static int (*const kernels[PANNIER_CPU_LEVELS])(const float *, int64_t) = EVERY_LEVEL(all_finite);
    return kernels[pannier_cpu_current()](values, count);
}

void pannier_error_f32(const float *reference, const float *approximation, int64_t count, pannier_error *sums) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const float *, const float *, int64_t, pannier_error *) =
        EVERY_LEVEL(error);
    kernels[pannier_cpu_current()](reference, approximation, count, sums);
}
