// Detection of the CPU level. See include/pannier_cpu.h.
#include "pannier_cpu.h"

#include <stdatomic.h>

static pannier_cpu_level detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
          __builtin_cpu_supports("f16c")))
        return PANNIER_CPU_BASELINE;
#ifdef PANNIER_EMULATED_AVX512
    return PANNIER_CPU_AVX512;
#endif
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
        return PANNIER_CPU_AVX512;
    return PANNIER_CPU_AVX2;
#else
    return PANNIER_CPU_BASELINE;
#endif
}

// -1: not yet detected. Detection gives the same answer on every thread, so a race is harmless.
static _Atomic int best = -1;
static _Atomic int current = -1;

pannier_cpu_level pannier_cpu_best(void) {
    int level = atomic_load_explicit(&best, memory_order_relaxed);
    if (level < 0) {
        level = (int)detect();
        atomic_store_explicit(&best, level, memory_order_relaxed);
    }
    return (pannier_cpu_level)level;
}

pannier_cpu_level pannier_cpu_current(void) {
    int level = atomic_load_explicit(&current, memory_order_relaxed);
    return level < 0 ? pannier_cpu_best() : (pannier_cpu_level)level;
}

pannier_cpu_level pannier_cpu_force(pannier_cpu_level level) {
    pannier_cpu_level top = pannier_cpu_best();
    if (level > top) level = top;
    atomic_store_explicit(&current, (int)level, memory_order_relaxed);
    return level;
}

static unsigned features(void) {
#ifdef PANNIER_EMULATED_AVX512
    return PANNIER_CPU_AVX512_BF16 | PANNIER_CPU_FAST_BF16 | PANNIER_CPU_AVX512_VNNI;
#elif defined(__x86_64__)
    __builtin_cpu_init();
    const unsigned bf16 = __builtin_cpu_supports("avx512bf16") ? PANNIER_CPU_AVX512_BF16 : 0;
    // Sapphire Rapids begins one such product every two cycles, and two of floats or integers every cycle.
    const unsigned fast = bf16 && !__builtin_cpu_is("intel") ? PANNIER_CPU_FAST_BF16 : 0;
    return bf16 | fast | (__builtin_cpu_supports("avx512vnni") ? PANNIER_CPU_AVX512_VNNI : 0);
#else
    return 0;
#endif
}

static _Atomic unsigned withheld = 0;

void pannier_cpu_withhold(unsigned features) { atomic_store_explicit(&withheld, features, memory_order_relaxed); }

int pannier_cpu_has(pannier_cpu_feature feature) {
    return pannier_cpu_current() == PANNIER_CPU_AVX512 &&
           (features() & feature & ~atomic_load_explicit(&withheld, memory_order_relaxed)) != 0;
}

const char *pannier_cpu_level_name(pannier_cpu_level level) {
    switch (level) {
    case PANNIER_CPU_AVX2: return "avx2";
    case PANNIER_CPU_AVX512: return "avx512";
    default: return "baseline";
    }
}
