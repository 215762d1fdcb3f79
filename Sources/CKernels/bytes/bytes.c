// Comparing, filling, and the checksum of archives. See include/pannier_bytes.h.
#include "pannier_bytes.h"

#include <string.h>

int pannier_bytes_equal(const void *a, const void *b, size_t count) { return memcmp(a, b, count) == 0; }

void pannier_bytes_fill(void *to, size_t count, const void *unit_bytes, size_t unit) {
    if (count < unit || unit == 0) return;
    uint8_t *out = to;
    memcpy(out, unit_bytes, unit);
    // What is filled already is copied behind itself, twice as much every time.
    for (size_t done = unit; done < count;) {
        size_t piece = done < count - done ? done : count - done;
        memcpy(out + done, out, piece);
        done += piece;
    }
}

enum : uint64_t {
    P1 = 0x9E3779B185EBCA87u,
    P2 = 0xC2B2AE3D27D4EB4Fu,
    P3 = 0x165667B19E3779F9u,
    P4 = 0x85EBCA77C2B2AE63u,
    P5 = 0x27D4EB2F165667C5u,
};

static inline uint64_t turn(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline uint64_t load64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline uint64_t step(uint64_t sum, uint64_t lane) { return turn(sum + lane * P2, 31) * P1; }

uint64_t pannier_xxh64(const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    size_t left = count;
    uint64_t sum = P5;
    if (left >= 32) {
        uint64_t a = P1 + P2, b = P2, c = 0, d = 0 - P1;
        for (; left >= 32; p += 32, left -= 32) {
            a = step(a, load64(p));
            b = step(b, load64(p + 8));
            c = step(c, load64(p + 16));
            d = step(d, load64(p + 24));
        }
        sum = turn(a, 1) + turn(b, 7) + turn(c, 12) + turn(d, 18);
        sum = (sum ^ step(0, a)) * P1 + P4;
        sum = (sum ^ step(0, b)) * P1 + P4;
        sum = (sum ^ step(0, c)) * P1 + P4;
        sum = (sum ^ step(0, d)) * P1 + P4;
    }
    sum += count;
    for (; left >= 8; p += 8, left -= 8) sum = turn(sum ^ step(0, load64(p)), 27) * P1 + P4;
    if (left >= 4) {
        uint64_t four = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
        sum = turn(sum ^ four * P1, 23) * P2 + P3;
        p += 4;
        left -= 4;
    }
    for (; left > 0; p++, left--) sum = turn(sum ^ *p * P5, 11) * P1;
    sum = (sum ^ sum >> 33) * P2;
    sum = (sum ^ sum >> 29) * P3;
    return sum ^ sum >> 32;
}
