// Plain floats: conversions between f16, bf16, f32 and f64 on arrays, byte order, and a few reductions.
//
// Rounding is to nearest, ties to even. A NaN stays a NaN: it keeps its sign and the upper bits of its payload and
// becomes quiet, as the hardware's conversions do (and ggml's of bf16). The bits are the same at every CPU level.
// Pointers to floats are aligned as floats, others need not be; `count` is in elements. Source and destination do not
// overlap, except that the byte swaps may work in place.
#ifndef PANNIER_HALF_H
#define PANNIER_HALF_H

#include <stdint.h>
#include "pannier_cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

void pannier_f16_to_f32(const void *src, float *dst, int64_t count);
void pannier_f32_to_f16(const float *src, void *dst, int64_t count);
void pannier_bf16_to_f32(const void *src, float *dst, int64_t count);
void pannier_f32_to_bf16(const float *src, void *dst, int64_t count);
void pannier_f64_to_f32(const void *src, float *dst, int64_t count);
void pannier_f16_to_bf16(const void *src, void *dst, int64_t count);
void pannier_bf16_to_f16(const void *src, void *dst, int64_t count);

/// Reverses the bytes of each element of 2, 4 or 8 bytes. `src` may be `dst`.
void pannier_swap_bytes_16(const void *src, void *dst, int64_t count);
void pannier_swap_bytes_32(const void *src, void *dst, int64_t count);
void pannier_swap_bytes_64(const void *src, void *dst, int64_t count);

/// 1 where no value is NaN or infinite.
int pannier_all_finite_f32(const float *values, int64_t count);

/// What differs between a reference and its approximation. Begin with all zeros; calls add up, and adding up in the
/// same order of calls gives the same bits at every level.
typedef struct pannier_error {
    double squared_error;     ///< sum of (reference - approximation)^2
    double squared_reference; ///< sum of reference^2
    double largest;           ///< largest |reference - approximation|
    int64_t count;
} pannier_error;

void pannier_error_f32(const float *reference, const float *approximation, int64_t count, pannier_error *sums);

#ifdef __cplusplus
}
#endif
#endif
