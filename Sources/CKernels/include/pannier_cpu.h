// CPU levels: which build of the kernels runs.
//
// Every kernel is compiled once a level from one source (a `.inc` file) and
// chosen at run time. The bytes and the sums that leave a quantizing kernel are
// the same at every level; only the time differs.
#ifndef PANNIER_CPU_H
#define PANNIER_CPU_H

#ifdef __cplusplus
extern "C" {
#endif

/// The instruction sets the kernels are built for, in rising order on x86-64.
typedef enum pannier_cpu_level {
    PANNIER_CPU_BASELINE = 0, ///< what the platform's ABI promises: SSE2 on x86-64, NEON on arm64
    PANNIER_CPU_AVX2 = 1,     ///< AVX2, FMA, F16C, BMI2 (x86-64-v3)
    PANNIER_CPU_AVX512 = 2,   ///< AVX-512 F, BW, DQ, VL, CD (x86-64-v4)
    PANNIER_CPU_LEVELS = 3
} pannier_cpu_level;

/// Extensions that matrix products use where they are there, beside the level. A set of them is a sum.
typedef enum pannier_cpu_feature {
    PANNIER_CPU_AVX512_BF16 = 1, ///< products of pairs of bf16
    PANNIER_CPU_FAST_BF16 = 2,   ///< the same, and they take no longer than those of f32: not on Intel's cores
    PANNIER_CPU_AVX512_VNNI = 4, ///< sums of products of pairs of 16-bit integers
} pannier_cpu_feature;

/// The highest level that this machine can run.
pannier_cpu_level pannier_cpu_best(void);

/// The level in force: the best one, unless `pannier_cpu_force` lowered it.
pannier_cpu_level pannier_cpu_current(void);

/// Lowers the level in force (tests compare the levels with each other).
/// A level above the machine's best is cut to the best. Returns the level now in force.
/// Not to be called while kernels run on other threads.
pannier_cpu_level pannier_cpu_force(pannier_cpu_level level);

/// Whether the machine has the feature, it is not withheld, and the level in force is AVX-512.
int pannier_cpu_has(pannier_cpu_feature feature);

/// Withholds a set of features, so that tests reach the products without them; 0 withholds none. As pannier_cpu_force, not
/// to be called while kernels run.
void pannier_cpu_withhold(unsigned features);

/// "baseline", "avx2", "avx512".
const char *pannier_cpu_level_name(pannier_cpu_level level);

#ifdef __cplusplus
}
#endif
#endif
