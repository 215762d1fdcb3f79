// The AVX-512 instructions that the kernels use, in plain C: what their level computes can then be tested on a machine that
// has AVX2 only. Included before every C source by `make avx512`; slow, and no proof of anything but results.
//
// Meanings are those of Intel's Intrinsics Guide. What the kernels use and is not here does not compile.
#if defined(__x86_64__) && !defined(PANNIER_EMULATED_AVX512)
#define PANNIER_EMULATED_AVX512 1
// Replaces the features that the level's functions are compiled for; see levels.h and matmul_bf16.c.
#define AVX512_FEATURES "avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,movbe"
#define AVX512_BF16_FEATURES AVX512_FEATURES

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#pragma clang diagnostic ignored "-Wpsabi"
#define EMULATED static inline __attribute__((always_inline, unused, target(AVX512_FEATURES)))

typedef int32_t emulated_i32 __attribute__((vector_size(64)));
typedef uint32_t emulated_u32 __attribute__((vector_size(64)));
typedef uint64_t emulated_u64 __attribute__((vector_size(64)));
typedef uint16_t emulated_u16 __attribute__((vector_size(32)));

#define LANES_OF(...)                                                                                                  \
    for (int i = 0; i < 16; i++) { __VA_ARGS__; }
#define CHOSEN(mask) ((mask) >> i & 1)

// ---- Loading and storing ---------------------------------------------------------------------------------------------

EMULATED __m512 emulated_loadu_ps(const void *p) { __m512 v; memcpy(&v, p, sizeof v); return v; }
EMULATED __m512i emulated_loadu_si512(const void *p) { __m512i v; memcpy(&v, p, sizeof v); return v; }
EMULATED void emulated_storeu_ps(void *p, __m512 v) { memcpy(p, &v, sizeof v); }
EMULATED void emulated_storeu_si512(void *p, __m512i v) { memcpy(p, &v, sizeof v); }
EMULATED __m512 emulated_maskz_loadu_ps(unsigned mask, const void *p) {
    __m512 v = {0};
    LANES_OF(if (CHOSEN(mask)) memcpy((char *)&v + 4 * i, (const char *)p + 4 * i, 4))
    return v;
}
EMULATED void emulated_mask_storeu_epi16(void *p, unsigned mask, __m256i v) {
    LANES_OF(if (CHOSEN(mask)) memcpy((char *)p + 2 * i, (char *)&v + 2 * i, 2))
}
EMULATED void emulated_mask_storeu_epi32(void *p, unsigned mask, __m256i v) {
    for (int i = 0; i < 8; i++)
        if (CHOSEN(mask)) memcpy((char *)p + 4 * i, (char *)&v + 4 * i, 4);
}
EMULATED __m512i emulated_i32gather_epi32(__m512i index, const void *base, int scale) {
    emulated_i32 at = (emulated_i32)index, v;
    LANES_OF(memcpy((char *)&v + 4 * i, (const char *)base + (int64_t)at[i] * scale, 4))
    return (__m512i)v;
}

// ---- Making vectors --------------------------------------------------------------------------------------------------

EMULATED __m512 emulated_set1_ps(float x) { __m512 v; LANES_OF(v[i] = x) return v; }
EMULATED __m512 emulated_setzero_ps(void) { return (__m512){0}; }
EMULATED __m512i emulated_set1_epi32(int x) { emulated_i32 v; LANES_OF(v[i] = x) return (__m512i)v; }
EMULATED __m512i emulated_maskz_set1_epi32(unsigned mask, int x) {
    emulated_i32 v;
    LANES_OF(v[i] = CHOSEN(mask) ? x : 0)
    return (__m512i)v;
}
EMULATED __m512i emulated_cvtepu16_epi32(__m256i x) {
    emulated_u32 v;
    LANES_OF(v[i] = ((emulated_u16)x)[i])
    return (__m512i)v;
}
EMULATED __m512i emulated_cvtepi8_epi32(__m128i x) {
    emulated_i32 v;
    LANES_OF(v[i] = ((const int8_t *)&x)[i])
    return (__m512i)v;
}
EMULATED __m256i emulated_cvtepi32_epi16(__m512i x) {
    emulated_u16 v;
    LANES_OF(v[i] = (uint16_t)((emulated_u32)x)[i])
    return (__m256i)v;
}
EMULATED __m512 emulated_cvtepi32_ps(__m512i x) { __m512 v; LANES_OF(v[i] = (float)((emulated_i32)x)[i]) return v; }

// ---- Arithmetic ------------------------------------------------------------------------------------------------------

EMULATED __m512 emulated_add_ps(__m512 a, __m512 b) { return a + b; }
EMULATED __m512 emulated_sub_ps(__m512 a, __m512 b) { return a - b; }
EMULATED __m512 emulated_mul_ps(__m512 a, __m512 b) { return a * b; }
// The second where they are equal or one is NaN.
EMULATED __m512 emulated_min_ps(__m512 a, __m512 b) { __m512 v; LANES_OF(v[i] = a[i] < b[i] ? a[i] : b[i]) return v; }
EMULATED __m512i emulated_add_epi32(__m512i a, __m512i b) { return (__m512i)((emulated_u32)a + (emulated_u32)b); }
EMULATED __m512i emulated_mask_add_epi32(__m512i other, unsigned mask, __m512i a, __m512i b) {
    emulated_u32 v = (emulated_u32)other, sum = (emulated_u32)a + (emulated_u32)b;
    LANES_OF(if (CHOSEN(mask)) v[i] = sum[i])
    return (__m512i)v;
}
EMULATED __m512i emulated_mul_epu32(__m512i a, __m512i b) {
    return (__m512i)(((emulated_u64)a & 0xffffffff) * ((emulated_u64)b & 0xffffffff));
}
EMULATED __m512i emulated_or_si512(__m512i a, __m512i b) { return a | b; }
EMULATED __m512i emulated_or_epi32(__m512i a, __m512i b) { return a | b; }
EMULATED __m512i emulated_srli_epi32(__m512i a, unsigned by) {
    emulated_u32 v;
    LANES_OF(v[i] = by > 31 ? 0 : ((emulated_u32)a)[i] >> by)
    return (__m512i)v;
}
EMULATED __m512i emulated_srli_epi64(__m512i a, unsigned by) {
    emulated_u64 v = (emulated_u64)a;
    for (int i = 0; i < 8; i++) v[i] = by > 63 ? 0 : v[i] >> by;
    return (__m512i)v;
}
EMULATED __m512i emulated_mask_srli_epi32(__m512i other, unsigned mask, __m512i a, unsigned by) {
    emulated_u32 v = (emulated_u32)other, moved = (emulated_u32)emulated_srli_epi32(a, by);
    LANES_OF(if (CHOSEN(mask)) v[i] = moved[i])
    return (__m512i)v;
}
EMULATED __m512i emulated_mask_slli_epi32(__m512i other, unsigned mask, __m512i a, unsigned by) {
    emulated_u32 v = (emulated_u32)other;
    LANES_OF(if (CHOSEN(mask)) v[i] = by > 31 ? 0 : ((emulated_u32)a)[i] << by)
    return (__m512i)v;
}
EMULATED __m512i emulated_lzcnt_epi32(__m512i a) {
    emulated_u32 v = (emulated_u32)a;
    LANES_OF(v[i] = v[i] ? (uint32_t)__builtin_clz(v[i]) : 32)
    return (__m512i)v;
}

// ---- Comparing and choosing ------------------------------------------------------------------------------------------

EMULATED __mmask16 emulated_cmp_ps_mask(__m512 a, __m512 b, int how) {
    unsigned mask = 0;
    LANES_OF(const int is = how == _CMP_LT_OQ ? a[i] < b[i] : how == _CMP_EQ_OQ ? a[i] == b[i]
             : how == _CMP_NLT_UQ ? !(a[i] < b[i]) : (__builtin_trap(), 0);
             mask |= (unsigned)is << i)
    return (__mmask16)mask;
}
EMULATED __mmask16 emulated_cmplt_epu32_mask(__m512i a, __m512i b) {
    unsigned mask = 0;
    LANES_OF(mask |= (unsigned)(((emulated_u32)a)[i] < ((emulated_u32)b)[i]) << i)
    return (__mmask16)mask;
}
EMULATED __mmask16 emulated_cmpge_epu32_mask(__m512i a, __m512i b) { return (__mmask16)~emulated_cmplt_epu32_mask(a, b); }
EMULATED __m512 emulated_mask_blend_ps(unsigned mask, __m512 a, __m512 b) {
    LANES_OF(if (CHOSEN(mask)) a[i] = b[i])
    return a;
}
EMULATED __m512 emulated_mask_mov_ps(__m512 other, unsigned mask, __m512 a) { return emulated_mask_blend_ps(mask, other, a); }
EMULATED __m512i emulated_mask_blend_epi32(unsigned mask, __m512i a, __m512i b) {
    emulated_u32 v = (emulated_u32)a;
    LANES_OF(if (CHOSEN(mask)) v[i] = ((emulated_u32)b)[i])
    return (__m512i)v;
}
EMULATED __m512i emulated_mask_mov_epi32(__m512i other, unsigned mask, __m512i a) {
    return emulated_mask_blend_epi32(mask, other, a);
}

// ---- Moving lanes ----------------------------------------------------------------------------------------------------

EMULATED __m512 emulated_permutexvar_ps(__m512i index, __m512 a) {
    __m512 v;
    LANES_OF(v[i] = a[((emulated_u32)index)[i] & 15])
    return v;
}
EMULATED __m512 emulated_permutex2var_ps(__m512 a, __m512i index, __m512 b) {
    __m512 v;
    LANES_OF(const uint32_t at = ((emulated_u32)index)[i]; v[i] = at & 16 ? b[at & 15] : a[at & 15])
    return v;
}
// Both within each quarter of the vector.
EMULATED __m512 emulated_permutevar_ps(__m512 a, __m512i index) {
    __m512 v;
    LANES_OF(v[i] = a[(i & ~3) | (((emulated_u32)index)[i] & 3)])
    return v;
}
EMULATED __m512 emulated_permute_ps(__m512 a, int order) {
    __m512 v;
    LANES_OF(v[i] = a[(i & ~3) | (order >> 2 * (i & 3) & 3)])
    return v;
}
// The lower two quarters come from a, the upper from b.
EMULATED __m512 emulated_shuffle_f32x4(__m512 a, __m512 b, int order) {
    __m512 v;
    LANES_OF(const int quarter = order >> 2 * (i / 4) & 3; v[i] = (i < 8 ? a : b)[4 * quarter + i % 4])
    return v;
}
EMULATED __m512i emulated_maskz_expand_epi32(unsigned mask, __m512i a) {
    emulated_u32 v = {0};
    int next = 0;
    LANES_OF(if (CHOSEN(mask)) v[i] = ((emulated_u32)a)[next++])
    return (__m512i)v;
}
EMULATED __m512i emulated_maskz_compress_epi32(unsigned mask, __m512i a) {
    emulated_u32 v = {0};
    int next = 0;
    LANES_OF(if (CHOSEN(mask)) v[next++] = ((emulated_u32)a)[i])
    return (__m512i)v;
}

// ---- bf16 ------------------------------------------------------------------------------------------------------------

EMULATED float emulated_no_subnormal(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (!(bits & 0x7f800000)) bits &= 0x80000000;
    memcpy(&x, &bits, sizeof x);
    return x;
}
EMULATED __m256i emulated_cvtneps_pbh(__m512 a) {
    emulated_u16 v;
    LANES_OF(const float x = emulated_no_subnormal(a[i]); uint32_t bits; memcpy(&bits, &x, sizeof bits);
             v[i] = (uint16_t)(x != x ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16))
    return (__m256i)v;
}
EMULATED float emulated_from_bf16(uint32_t bits) {
    float x;
    bits <<= 16;
    memcpy(&x, &bits, sizeof x);
    return emulated_no_subnormal(x);
}
EMULATED __m512 emulated_dpbf16_ps(__m512 sum, __m512i a, __m512i b) {
    LANES_OF(const uint32_t x = ((emulated_u32)a)[i], y = ((emulated_u32)b)[i];
             sum[i] += emulated_from_bf16(x >> 16) * emulated_from_bf16(y >> 16);
             sum[i] += emulated_from_bf16(x & 0xffff) * emulated_from_bf16(y & 0xffff))
    return sum;
}
#define __m512bh __m512i

// ---- Integers of 16 bits ---------------------------------------------------------------------------------------------

EMULATED __m512i emulated_dpwssd_epi32(__m512i sum, __m512i a, __m512i b) {
    emulated_u32 v = (emulated_u32)sum;
    LANES_OF(const uint32_t x = ((emulated_u32)a)[i], y = ((emulated_u32)b)[i];
             v[i] += (uint32_t)((int16_t)x * (int16_t)y) + (uint32_t)((int16_t)(x >> 16) * (int16_t)(y >> 16)))
    return (__m512i)v;
}

EMULATED __m512i emulated_mulhrs_epi16(__m512i a, __m512i b) {
    int16_t x[32], y[32];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 32; i++) x[i] = (int16_t)((((int32_t)x[i] * y[i] >> 14) + 1) >> 1);
    memcpy(&a, x, sizeof x);
    return a;
}
EMULATED __m512i emulated_permutexvar_epi16(__m512i index, __m512i words) {
    uint16_t at[32], from[32];
    memcpy(at, &index, sizeof at);
    memcpy(from, &words, sizeof from);
    for (int i = 0; i < 32; i++) at[i] = from[at[i] & 31];
    memcpy(&index, at, sizeof at);
    return index;
}

#undef LANES_OF
#undef CHOSEN
#undef EMULATED

// ---- In their place ---------------------------------------------------------------------------------------------------

#undef _mm512_add_epi32
#define _mm512_add_epi32 emulated_add_epi32
#undef _mm512_add_ps
#define _mm512_add_ps emulated_add_ps
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask emulated_cmp_ps_mask
#undef _mm512_cmpge_epu32_mask
#define _mm512_cmpge_epu32_mask emulated_cmpge_epu32_mask
#undef _mm512_cmplt_epu32_mask
#define _mm512_cmplt_epu32_mask emulated_cmplt_epu32_mask
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16 emulated_cvtepi32_epi16
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32 emulated_cvtepi8_epi32
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
#undef _mm512_cvtneps_pbh
#define _mm512_cvtneps_pbh emulated_cvtneps_pbh
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps emulated_dpbf16_ps
#undef _mm512_dpwssd_epi32
#define _mm512_dpwssd_epi32 emulated_dpwssd_epi32
#undef _mm512_i32gather_epi32
#define _mm512_i32gather_epi32 emulated_i32gather_epi32
#undef _mm512_loadu_ps
#define _mm512_loadu_ps emulated_loadu_ps
#undef _mm512_loadu_si512
#define _mm512_loadu_si512 emulated_loadu_si512
#undef _mm512_lzcnt_epi32
#define _mm512_lzcnt_epi32 emulated_lzcnt_epi32
#undef _mm512_mask_add_epi32
#define _mm512_mask_add_epi32 emulated_mask_add_epi32
#undef _mm512_mask_blend_epi32
#define _mm512_mask_blend_epi32 emulated_mask_blend_epi32
#undef _mm512_mask_blend_ps
#define _mm512_mask_blend_ps emulated_mask_blend_ps
#undef _mm512_mask_mov_epi32
#define _mm512_mask_mov_epi32 emulated_mask_mov_epi32
#undef _mm512_mask_mov_ps
#define _mm512_mask_mov_ps emulated_mask_mov_ps
#undef _mm512_mask_slli_epi32
#define _mm512_mask_slli_epi32 emulated_mask_slli_epi32
#undef _mm512_mask_srli_epi32
#define _mm512_mask_srli_epi32 emulated_mask_srli_epi32
#undef _mm256_mask_storeu_epi16
#define _mm256_mask_storeu_epi16 emulated_mask_storeu_epi16
#undef _mm256_mask_storeu_epi32
#define _mm256_mask_storeu_epi32 emulated_mask_storeu_epi32
#undef _mm512_maskz_compress_epi32
#define _mm512_maskz_compress_epi32 emulated_maskz_compress_epi32
#undef _mm512_maskz_expand_epi32
#define _mm512_maskz_expand_epi32 emulated_maskz_expand_epi32
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#undef _mm512_maskz_set1_epi32
#define _mm512_maskz_set1_epi32 emulated_maskz_set1_epi32
#undef _mm512_min_ps
#define _mm512_min_ps emulated_min_ps
#undef _mm512_mul_epu32
#define _mm512_mul_epu32 emulated_mul_epu32
#undef _mm512_mul_ps
#define _mm512_mul_ps emulated_mul_ps
#undef _mm512_mulhrs_epi16
#define _mm512_mulhrs_epi16 emulated_mulhrs_epi16
#undef _mm512_or_epi32
#define _mm512_or_epi32 emulated_or_epi32
#undef _mm512_or_si512
#define _mm512_or_si512 emulated_or_si512
#undef _mm512_permute_ps
#define _mm512_permute_ps emulated_permute_ps
#undef _mm512_permutevar_ps
#define _mm512_permutevar_ps emulated_permutevar_ps
#undef _mm512_permutex2var_ps
#define _mm512_permutex2var_ps emulated_permutex2var_ps
#undef _mm512_permutexvar_epi16
#define _mm512_permutexvar_epi16 emulated_permutexvar_epi16
#undef _mm512_permutexvar_ps
#define _mm512_permutexvar_ps emulated_permutexvar_ps
#undef _mm512_set1_epi32
#define _mm512_set1_epi32 emulated_set1_epi32
#undef _mm512_set1_ps
#define _mm512_set1_ps emulated_set1_ps
#undef _mm512_setzero_ps
#define _mm512_setzero_ps emulated_setzero_ps
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4 emulated_shuffle_f32x4
#undef _mm512_srli_epi32
#define _mm512_srli_epi32 emulated_srli_epi32
#undef _mm512_srli_epi64
#define _mm512_srli_epi64 emulated_srli_epi64
#undef _mm512_storeu_ps
#define _mm512_storeu_ps emulated_storeu_ps
#undef _mm512_storeu_si512
#define _mm512_storeu_si512 emulated_storeu_si512
#undef _mm512_sub_ps
#define _mm512_sub_ps emulated_sub_ps
#endif
