// CRC-32: sixteen tables, or carry-less multiplication where the machine has it.
//
// Carry-less folding is the method of Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ"
// (Intel, 2009): a 128-bit remainder is moved forward over the message by multiplying its halves with powers of x
// modulo P. Four remainders run side by side. The last 128 bits go through the tables, which spares the reduction.

#include "pannier_crc32.h"
#include "pannier_cpu.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0xEDB88320u

// tables[k][b]: the remainder of byte b followed by k zero bytes.
static uint32_t tables[16][256];
// powers[k]: x^(2^k) modulo P, reflected.
static uint32_t powers[64];
static pthread_once_t once = PTHREAD_ONCE_INIT;

// The product of two reflected polynomials modulo P. Bit 31 is x^0.
static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        if (a & bit) product ^= b;
        b = (b >> 1) ^ (b & 1 ? POLYNOMIAL : 0);
    }
    return product;
}

static void make_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (int k = 1; k < 16; k++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = tables[k - 1][byte];
            tables[k][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
        }
    powers[0] = 0x40000000u;
    for (int k = 1; k < 64; k++) powers[k] = multiply(powers[k - 1], powers[k - 1]);
}

// The register after `count` bytes, neither inverted before nor after.
static uint32_t update(uint32_t crc, const uint8_t *bytes, int64_t count) {
    for (; count >= 16; count -= 16, bytes += 16) {
        uint32_t next = tables[15][bytes[0] ^ (crc & 0xFF)] ^ tables[14][bytes[1] ^ (crc >> 8 & 0xFF)]
                      ^ tables[13][bytes[2] ^ (crc >> 16 & 0xFF)] ^ tables[12][bytes[3] ^ (crc >> 24)];
        for (int k = 4; k < 16; k++) next ^= tables[15 - k][bytes[k]];
        crc = next;
    }
    for (; count > 0; count--, bytes++) crc = (crc >> 8) ^ tables[0][(crc ^ *bytes) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define WITH_PCLMUL __attribute__((target("pclmul,sse4.1")))

static inline WITH_PCLMUL __m128i fold(__m128i remainder, __m128i constants, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(remainder, constants, 0x00);
    __m128i high = _mm_clmulepi64_si128(remainder, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline WITH_PCLMUL __m128i load(const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }

// As `update`, for a count of at least 64 that is a multiple of 16.
static WITH_PCLMUL uint32_t update_folding(uint32_t crc, const uint8_t *bytes, int64_t count) {
    // x^(512 + 32) and x^(512 - 32), then x^(128 + 32) and x^(128 - 32), modulo P, reflected and shifted by one.
    const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128((int)crc));
    __m128i b = load(bytes + 16), c = load(bytes + 32), d = load(bytes + 48);
    for (bytes += 64, count -= 64; count >= 64; bytes += 64, count -= 64) {
        a = fold(a, by_512, load(bytes));
        b = fold(b, by_512, load(bytes + 16));
        c = fold(c, by_512, load(bytes + 32));
        d = fold(d, by_512, load(bytes + 48));
    }
    a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
    for (; count >= 16; bytes += 16, count -= 16) a = fold(a, by_128, load(bytes));
    uint8_t last[16];
    _mm_storeu_si128((__m128i *)last, a);
    return update(0, last, 16);
}
#endif

uint32_t pannier_crc32(uint32_t crc, const void *bytes, int64_t count) {
    pthread_once(&once, make_tables);
    const uint8_t *at = bytes;
    crc = ~crc;
#if defined(__x86_64__)
    if (count >= 64 && pannier_cpu_current() >= PANNIER_CPU_AVX2 && __builtin_cpu_supports("pclmul")) {
        int64_t whole = count & ~(int64_t)15;
        crc = update_folding(crc, at, whole);
        at += whole;
        count -= whole;
    }
#endif
    return ~update(crc, at, count);
}

uint32_t pannier_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t count_b) {
    pthread_once(&once, make_tables);
    // A's remainder moves on by the bits of B: it is multiplied with x^(8 * count).
    uint32_t shift = 0x80000000u;
    for (int k = 3; count_b != 0; count_b >>= 1, k++)
        if (count_b & 1) shift = multiply(powers[k < 64 ? k : 63], shift);
    return multiply(shift, crc_a) ^ crc_b;
}
