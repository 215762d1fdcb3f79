// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them. See include/pannier_bytes.h.
#include "pannier_bytes.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2)
#include <arm_neon.h>
#endif

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t turn(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void plain_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
    for (; blocks > 0; blocks--, p += 64) {
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
        }
        memcpy(s, state, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]), majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
            uint32_t one = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + choice + round_constants[i] + w[i];
            uint32_t two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + majority;
            memmove(s + 1, s, 7 * sizeof *s);
            s[4] += one;
            s[0] = one + two;
        }
        for (int i = 0; i < 8; i++) state[i] += s[i];
    }
}

#if defined(__x86_64__)
#define NATIVE __attribute__((target("sha,sse4.1,ssse3")))

// A state as the instructions keep it, (a, b, e, f) and (c, d, g, h), and the words of the block at hand.
typedef struct {
    __m128i abef, cdgh, w[4];
} native_state;

NATIVE static inline native_state native_load(const uint32_t state[8]) {
    native_state s;
    s.abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    s.cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    return s;
}

NATIVE static inline void native_store(const native_state *s, uint32_t state[8]) {
    uint32_t x[4], y[4];
    _mm_storeu_si128((__m128i *)x, s->abef);
    _mm_storeu_si128((__m128i *)y, s->cdgh);
    state[0] = x[3], state[1] = x[2], state[4] = x[1], state[5] = x[0];
    state[2] = y[3], state[3] = y[2], state[6] = y[1], state[7] = y[0];
}

NATIVE static inline void native_words(native_state *s, const uint8_t *p) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    for (int i = 0; i < 4; i++) s->w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), order);
}

// Group i of sixteen groups of four rounds.
NATIVE static inline __attribute__((always_inline)) void native_rounds(native_state *s, int i) {
    __m128i *w = s->w, now = w[i & 3];
    __m128i sum = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(round_constants + 4 * i)));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, sum);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(sum, 0x0e));
    if (i < 12) {
        __m128i next = _mm_sha256msg1_epu32(now, w[(i + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
        w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
    }
}

NATIVE static void native_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
    native_state s = native_load(state);
    for (; blocks > 0; blocks--, p += 64) {
        __m128i abef = s.abef, cdgh = s.cdgh;
        native_words(&s, p);
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) native_rounds(&s, i);
        s.abef = _mm_add_epi32(s.abef, abef);
        s.cdgh = _mm_add_epi32(s.cdgh, cdgh);
    }
    native_store(&s, state);
}

// Two states at a time: each round waits for the one before, and the other's fill that time.
NATIVE static void native_blocks_of_two(uint32_t a[8], const uint8_t *p, uint32_t b[8], const uint8_t *q, size_t blocks) {
    native_state s = native_load(a), t = native_load(b);
    for (; blocks > 0; blocks--, p += 64, q += 64) {
        __m128i s_abef = s.abef, s_cdgh = s.cdgh, t_abef = t.abef, t_cdgh = t.cdgh;
        native_words(&s, p);
        native_words(&t, q);
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) {
            native_rounds(&s, i);
            native_rounds(&t, i);
        }
        s.abef = _mm_add_epi32(s.abef, s_abef);
        s.cdgh = _mm_add_epi32(s.cdgh, s_cdgh);
        t.abef = _mm_add_epi32(t.abef, t_abef);
        t.cdgh = _mm_add_epi32(t.cdgh, t_cdgh);
    }
    native_store(&s, a);
    native_store(&t, b);
}

static int find_native(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2)
static void native_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; blocks > 0; blocks--, p += 64) {
        uint32x4_t w[4], abcd_before = abcd, efgh_before = efgh;
        for (int i = 0; i < 4; i++) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * i)));
        for (int i = 0; i < 16; i++) {
            uint32x4_t sum = vaddq_u32(w[i & 3], vld1q_u32(round_constants + 4 * i)), before = abcd;
            abcd = vsha256hq_u32(abcd, efgh, sum);
            efgh = vsha256h2q_u32(efgh, before, sum);
            if (i < 12)
                w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

static int find_native(void) { return 1; }
#else
static void native_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) { plain_blocks(state, p, blocks); }
static int find_native(void) { return 0; }
#endif

#if !defined(__x86_64__)
static void native_blocks_of_two(uint32_t a[8], const uint8_t *p, uint32_t b[8], const uint8_t *q, size_t blocks) {
    native_blocks(a, p, blocks);
    native_blocks(b, q, blocks);
}
#endif

// Whether the processor's instructions are used; -1 before it is asked.
static _Atomic int native = -1;

static int has_native(void) {
    int answer = atomic_load_explicit(&native, memory_order_relaxed);
    if (answer < 0) {
        answer = find_native();
        atomic_store_explicit(&native, answer, memory_order_relaxed);
    }
    return answer;
}

int pannier_sha256_use_native(int wanted) {
    atomic_store_explicit(&native, wanted ? -1 : 0, memory_order_relaxed);
    return has_native();
}

static void add_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
    if (has_native())
        native_blocks(state, p, blocks);
    else
        plain_blocks(state, p, blocks);
}

void pannier_sha256_begin(pannier_sha256 *sha) {
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, first, sizeof first);
    sha->count = 0;
}

void pannier_sha256_add(pannier_sha256 *sha, const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    size_t have = sha->count % 64;
    sha->count += count;
    if (have > 0) {
        size_t piece = count < 64 - have ? count : 64 - have;
        memcpy(sha->pending + have, p, piece);
        p += piece;
        count -= piece;
        if (have + piece < 64) return;
        add_blocks(sha->state, sha->pending, 1);
    }
    add_blocks(sha->state, p, count / 64);
    if (count % 64 > 0) memcpy(sha->pending, p + count / 64 * 64, count % 64);
}

// Bytes that are missing to a whole block, and no more than there are.
static size_t missing(const pannier_sha256 *sha, size_t count) {
    size_t missing = (64 - sha->count % 64) % 64;
    return missing < count ? missing : count;
}

void pannier_sha256_add_two(pannier_sha256 *a, const void *a_bytes, size_t a_count, pannier_sha256 *b,
                            const void *b_bytes, size_t b_count) {
    const uint8_t *p = a_bytes, *q = b_bytes;
    size_t p_head = missing(a, a_count), q_head = missing(b, b_count);
    pannier_sha256_add(a, p, p_head);
    pannier_sha256_add(b, q, q_head);
    p += p_head, a_count -= p_head;
    q += q_head, b_count -= q_head;
    if (has_native()) {
        size_t blocks = (a_count < b_count ? a_count : b_count) / 64;
        native_blocks_of_two(a->state, p, b->state, q, blocks);
        a->count += 64 * blocks, p += 64 * blocks, a_count -= 64 * blocks;
        b->count += 64 * blocks, q += 64 * blocks, b_count -= 64 * blocks;
    }
    pannier_sha256_add(a, p, a_count);
    pannier_sha256_add(b, q, b_count);
}

void pannier_sha256_end(pannier_sha256 *sha, uint8_t digest[32]) {
    uint64_t bits = sha->count * 8;
    uint8_t end[72] = {0x80};
    size_t padding = 64 - (sha->count + 8) % 64;
    for (int i = 0; i < 8; i++) end[padding + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    pannier_sha256_add(sha, end, padding + 8);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}
