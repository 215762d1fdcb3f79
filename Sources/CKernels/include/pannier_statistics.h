// What the values of a tensor are like: range, moments, zeros, NaNs and infinities, and how far two tensors differ.
#ifndef PANNIER_STATISTICS_H
#define PANNIER_STATISTICS_H

#include <stdint.h>
#include "pannier_cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Sums over an array. Begin with `pannier_statistics_begin`; calls add up. NaNs and infinities are counted and left
/// out of everything else. Sums are in double precision.
typedef struct pannier_statistics {
    double sum;
    double sum_squares;
    float smallest; ///< of the finite values; +infinity when there are none
    float largest;  ///< of the finite values; -infinity when there are none
    int64_t count;  ///< all values, finite or not
    int64_t zeros;
    int64_t nans;
    int64_t infinities;
} pannier_statistics;

void pannier_statistics_begin(pannier_statistics *sums);
void pannier_statistics_add(const float *values, int64_t count, pannier_statistics *sums);

/// Sums over two arrays and their difference. Begin with all zeros; calls add up.
typedef struct pannier_difference {
    double squared_difference; ///< sum of (b - a)^2
    double squared_a;          ///< sum of a^2
    double squared_b;          ///< sum of b^2
    double product;            ///< sum of a b
    double largest;            ///< largest |b - a|
    int64_t count;
    int64_t changed;    ///< values whose bits differ (a NaN equals itself only bit by bit)
    int64_t sign_flips; ///< values whose sign differs, neither being zero
    int64_t unordered;  ///< pairs in which a NaN or an infinity stands; left out of the sums
} pannier_difference;

void pannier_difference_add(const float *a, const float *b, int64_t count, pannier_difference *sums);

/// Counts of |b - a| by power of two: bin 0 holds equal values (NaNs of the same bits among them), bin e (1 to 63)
/// holds differences of 2^(e-48) up to 2^(e-47), smaller ones in bin 1, larger ones and unordered ones in bin 63. `bins` has 64
/// counters that are added to.
void pannier_difference_histogram(const float *a, const float *b, int64_t count, int64_t *bins);

#ifdef __cplusplus
}
#endif
#endif
