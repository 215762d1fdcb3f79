// Chooses the archive coder of the CPU level in force. See include/pannier_words.h.
#include "include/pannier_words.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <stdbool.h>
#include <string.h>

// A group of 32 words out of the last few: the last of them repeated.
static void pannier_words_fill_up(uint8_t group[128], const uint8_t *words, size_t count, size_t width) {
    memcpy(group, words, count * width);
    for (size_t at = count; at < PANNIER_WORDS_LANES; at++)
        memcpy(group + at * width, words + (count - 1) * width, width);
}

#define PANNIER_KERNELS "words.inc"
#include "levels.h"

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

size_t pannier_words_encode(const pannier_words_model *model, const uint32_t *symbol_of_code, const uint32_t *symbols,
                            const pannier_words_encoder *encoders, const void *words, const void *earlier,
                            size_t count, uint8_t *out, size_t capacity) {
    static size_t (*const kernels[PANNIER_CPU_LEVELS])(
        const pannier_words_model *, const uint32_t *, const uint32_t *, const pannier_words_encoder *,
        const uint8_t *, const uint8_t *, size_t, uint8_t *, size_t) = EVERY_LEVEL(words_encode);
    return kernels[pannier_cpu_current()](model, symbol_of_code, symbols, encoders, words, earlier, count, out,
                                          capacity);
}

int pannier_words_decode(const pannier_words_model *model, const uint32_t *table, const uint32_t *symbols,
                         const uint8_t *stream, size_t length, const void *earlier, size_t count, void *words) {
    static int (*const kernels[PANNIER_CPU_LEVELS])(const pannier_words_model *, const uint32_t *, const uint32_t *,
                                                    const uint8_t *, size_t, const uint8_t *, size_t, uint8_t *) =
        EVERY_LEVEL(words_decode);
    return kernels[pannier_cpu_current()](model, table, symbols, stream, length, earlier, count, words);
}
