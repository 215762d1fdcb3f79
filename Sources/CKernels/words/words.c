// Chooses the archive coder of the CPU level in force. See include/pannier_words.h.
#include "pannier_words.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include "../bytes/sha256_rounds.inc"
#endif

// A group of 32 words out of the last few: the last of them repeated.
static void pannier_words_fill_up(uint8_t group[128], const uint8_t *words, size_t count, size_t width) {
    memcpy(group, words, count * width);
    for (size_t at = count; at < PANNIER_WORDS_LANES; at++)
        memcpy(group + at * width, words + (count - 1) * width, width);
}

// For each context 4096 entries: symbol, (frequency - 1) << 8, (slot - start) << 20.
static void pannier_words_fill_table(const pannier_words_alphabet *alphabet, uint32_t *table) {
    for (int context = 0; context < alphabet->contexts; context++)
        for (int symbol = 0; symbol < alphabet->symbols; symbol++) {
            uint32_t frequency = alphabet->frequencies[context * alphabet->symbols + symbol];
            uint32_t entry = (uint32_t)symbol | (frequency - 1) << 8;
            for (uint32_t slot = 0; slot < frequency; slot++) *table++ = entry | slot << 20;
        }
}

#if defined(__x86_64__)
// Tables by a mask of eight lanes. `RANK` is how many lanes of the mask come before lane i.
#define RANK(mask, i) ((uint64_t)__builtin_popcount((mask) & ((1 << (i)) - 1)))
#define EVERY_LANE(of, mask)                                                                                           \
    (of(mask, 0) | of(mask, 1) | of(mask, 2) | of(mask, 3) | of(mask, 4) | of(mask, 5) | of(mask, 6) | of(mask, 7))
#define MASKS_4(of, m) of(m), of(m + 1), of(m + 2), of(m + 3)
#define MASKS_16(of, m) MASKS_4(of, m), MASKS_4(of, m + 4), MASKS_4(of, m + 8), MASKS_4(of, m + 12)
#define MASKS_64(of, m) MASKS_16(of, m), MASKS_16(of, m + 16), MASKS_16(of, m + 32), MASKS_16(of, m + 48)
#define EVERY_MASK(of) { MASKS_64(of, 0), MASKS_64(of, 64), MASKS_64(of, 128), MASKS_64(of, 192) }

// The numbers of those lanes whose bit is set, a byte each, in the last bytes.
#define IN_LAST_BYTES(mask, i)                                                                                         \
    ((mask) >> (i) & 1 ? (uint64_t)(i) << 8 * ((8 - __builtin_popcount(mask) + RANK(mask, i)) % 8) : 0)
#define LAST_BYTES(mask) EVERY_LANE(IN_LAST_BYTES, mask)
static const uint64_t pannier_words_last[256] = EVERY_MASK(LAST_BYTES);

// A shuffle of bytes that gives each lane whose bit is set a 16-bit unit, the lowest lane the first, and all others zero.
#define UNIT_OF(mask, i) ((mask) >> (i) & 1 ? 0x80800100 + 0x0202 * RANK(mask, i) : 0x80808080)
#define UNITS_OF_TWO(mask, i) (UNIT_OF(mask, i) | UNIT_OF(mask, (i) + 1) << 32)
#define UNITS(mask) { UNITS_OF_TWO(mask, 0), UNITS_OF_TWO(mask, 2), UNITS_OF_TWO(mask, 4), UNITS_OF_TWO(mask, 6) }
static const uint64_t pannier_words_spread[256][4] __attribute__((aligned(64))) = EVERY_MASK(UNITS);
#endif

#define PANNIER_KERNELS "words/words.inc"
#include "../levels.h"

void pannier_words_count_keys(const pannier_words_model *model, const void *words, size_t count, uint32_t *keys) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const pannier_words_model *, const uint8_t *, size_t, uint32_t *) =
        EVERY_LEVEL(words_keys);
    kernels[pannier_cpu_current()](model, words, count, keys);
}

void pannier_words_count(const pannier_words_model *model, const void *words, const void *earlier, size_t count,
                         uint32_t *histogram) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const pannier_words_model *, const uint8_t *, const uint8_t *,
                                                     size_t, uint32_t *) = EVERY_LEVEL(words_count);
    kernels[pannier_cpu_current()](model, words, earlier, count, histogram);
}

uint32_t pannier_words_union(const void *words, size_t count, int32_t width) {
    static uint32_t (*const kernels[PANNIER_CPU_LEVELS])(const uint8_t *, size_t, int) = EVERY_LEVEL(words_union);
    return kernels[pannier_cpu_current()](words, count, width);
}

pannier_words_encoder pannier_words_encoder_of(uint32_t start, uint32_t frequency) {
    // Division by the frequency as a multiplication, exact for states below 2^31: R. Alverson, "Integer division
    // using reciprocals", 1991. A frequency of 1 has no such reciprocal; x - 1 takes the quotient's place.
    pannier_words_encoder encoder;
    uint32_t shift = 0, bias = start;
    if (frequency < 2) {
        encoder.reciprocal = 0xffffffffu;
        bias = start + 4095;
    } else {
        while (frequency > 1u << shift) shift++;
        encoder.reciprocal = (uint32_t)(((1ull << (shift + 31)) + frequency - 1) / frequency);
        shift--;
    }
    encoder.packed = bias | (4096 - frequency) << 13 | shift << 25;
    return encoder;
}

size_t pannier_words_encode(const pannier_words_model *model, const uint16_t *encoder_of_code,
                            const pannier_words_encoder *encoders, const void *words, const void *earlier,
                            size_t count, uint8_t *out, size_t capacity) {
    static size_t (*const kernels[PANNIER_CPU_LEVELS])(
        const pannier_words_model *, const uint16_t *, const pannier_words_encoder *,
        const uint8_t *, const uint8_t *, size_t, uint8_t *, size_t) = EVERY_LEVEL(words_encode);
    return kernels[pannier_cpu_current()](model, encoder_of_code, encoders, words, earlier, count, out,
                                          capacity);
}

void pannier_words_pack(const pannier_words_model *model, const void *words, const void *earlier, size_t count,
                        uint8_t *out) {
    static void (*const kernels[PANNIER_CPU_LEVELS])(const pannier_words_model *, const uint8_t *, const uint8_t *,
                                                     size_t, uint8_t *) = EVERY_LEVEL(words_pack);
    kernels[pannier_cpu_current()](model, words, earlier, count, out);
}

int pannier_words_decode(const pannier_words_coded *coded) {
    static int (*const kernels[PANNIER_CPU_LEVELS])(const pannier_words_coded *) = EVERY_LEVEL(words_decode);
    pannier_cpu_level level = pannier_cpu_current();
    bool digesting = coded->digests[0] && coded->digests[1];
#if defined(__x86_64__)
    if (digesting && level == PANNIER_CPU_AVX2 && digests_beside(coded)) return decode_digesting(coded);
#endif
    if (kernels[level](coded) != 0) return -1;
    if (digesting) {
        const uint8_t *bytes = coded->words;
        size_t count = coded->count * (size_t)coded->model->width;
        size_t parted = coded->parted < count ? coded->parted : count;
        pannier_sha256_add_two(coded->digests[0], bytes, parted, coded->digests[1], bytes + parted, count - parted);
    }
    return 0;
}
