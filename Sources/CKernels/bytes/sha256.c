// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them. See include/pannier_bytes.h.
#include "pannier_bytes.h"

#include <stdatomic.h>
#include <string.h>

#include "sha256_rounds.inc"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_SHA2)
#include <arm_neon.h>
#endif

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
            uint32_t one = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + choice + sha256_constants[i] + w[i];
            uint32_t two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + majority;
            memmove(s + 1, s, 7 * sizeof *s);
            s[4] += one;
            s[0] = one + two;
        }
        for (int i = 0; i < 8; i++) state[i] += s[i];
    }
}

#if defined(__x86_64__)
__attribute__((target("sha,sse4.1,ssse3")))
static void native_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
    sha256_native s = sha256_load(state);
    for (; blocks > 0; blocks--, p += 64) {
        sha256_begin_block(&s, p);
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) sha256_rounds(&s, i);
        sha256_end_block(&s);
    }
    sha256_store(&s, state);
}

// Two states at a time: each round waits for the one before, and the other's fill that time.
__attribute__((target("sha,sse4.1,ssse3")))
static void native_blocks_of_two(uint32_t a[8], const uint8_t *p, uint32_t b[8], const uint8_t *q, size_t blocks) {
    sha256_native s = sha256_load(a), t = sha256_load(b);
    for (; blocks > 0; blocks--, p += 64, q += 64) {
        sha256_begin_block(&s, p);
        sha256_begin_block(&t, q);
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) {
            sha256_rounds(&s, i);
            sha256_rounds(&t, i);
        }
        sha256_end_block(&s);
        sha256_end_block(&t);
    }
    sha256_store(&s, a);
    sha256_store(&t, b);
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
            uint32x4_t sum = vaddq_u32(w[i & 3], vld1q_u32(sha256_constants + 4 * i)), before = abcd;
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

int pannier_sha256_is_native(void) {
    int answer = atomic_load_explicit(&native, memory_order_relaxed);
    if (answer < 0) {
        answer = find_native();
        atomic_store_explicit(&native, answer, memory_order_relaxed);
    }
    return answer;
}

int pannier_sha256_use_native(int wanted) {
    atomic_store_explicit(&native, wanted ? -1 : 0, memory_order_relaxed);
    return pannier_sha256_is_native();
}

static void add_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
    if (pannier_sha256_is_native())
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
    if (pannier_sha256_is_native()) {
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
