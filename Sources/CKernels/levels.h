// Compiles one kernel source once a CPU level.
//
//     #define PANNIER_KERNELS "blocks/legacy_quants.inc"
//     #include "../levels.h"
//
// includes the file up to three times. In it, `AT_LEVEL(name)` is the level's own name of a function,
// `LEVEL_AVX512`, `LEVEL_AVX2` and `LEVEL_BASELINE` are 1 or 0. The target attribute is put on every function of
// the included file and ends with it, so that no instruction of a higher level can reach baseline code; headers are
// therefore included here, before the attribute, and never by a kernel source.
//
// `EVERY_LEVEL(name)` afterwards is the initializer of an array of the level's functions, indexed by
// `pannier_cpu_level`. On other architectures than x86-64 there is one level, and the rest is NULL.
#ifndef PANNIER_KERNELS
#error "define PANNIER_KERNELS, the name of the kernel source, before including levels.h"
#endif

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <math.h>
#include <float.h>

#include "include/pannier_cpu.h"

// Multiplying and adding stay two roundings: the bytes are defined by plain IEEE single precision.
#pragma STDC FP_CONTRACT OFF
// Wide vectors are only passed between functions that are inlined.
#pragma clang diagnostic ignored "-Wpsabi"

#define LEVEL_BASELINE 1
#define LEVEL_AVX2 0
#define LEVEL_AVX512 0
#define AT_LEVEL(name) name##_baseline
#include PANNIER_KERNELS
#undef AT_LEVEL
#undef LEVEL_BASELINE
#undef LEVEL_AVX2

#if defined(__x86_64__)
#ifndef AVX512_MORE // an extension that a source has asked for beforehand
#define AVX512_MORE ""
#endif
#ifndef AVX512_FEATURES // Tests/Emulation names others
#define AVX512_FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,movbe" AVX512_MORE
#endif
#define LEVEL_BASELINE 0
#define LEVEL_AVX2 1
#define AT_LEVEL(name) name##_avx2
// `sha` is none of the level's features: it lets kernels inline the rounds of bytes/sha256_rounds.inc, which nothing else
// becomes, and those ask for it before they do.
#pragma clang attribute push(__attribute__((target("sha,avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,movbe"))), apply_to = function)
#include PANNIER_KERNELS
#pragma clang attribute pop
#undef AT_LEVEL
#undef LEVEL_AVX2
#undef LEVEL_AVX512

#define LEVEL_AVX2 0
#define LEVEL_AVX512 1
#define AT_LEVEL(name) name##_avx512
#pragma clang attribute push(__attribute__((target(AVX512_FEATURES))), apply_to = function)
#include PANNIER_KERNELS
#pragma clang attribute pop
#undef AT_LEVEL
#undef LEVEL_BASELINE
#undef LEVEL_AVX2
#define EVERY_LEVEL(name) { name##_baseline, name##_avx2, name##_avx512 }
#else
#define EVERY_LEVEL(name) { name##_baseline }
#endif
#undef LEVEL_AVX512
#undef PANNIER_KERNELS
