// The IQ formats that have a codebook. See iq23.inc, iq1.inc and iq_decode.inc.
#include "block_families.h"
#include "iq_tables.h"

#include <stddef.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PANNIER_KERNELS "blocks/iq_codebooks.inc"
#include "../levels.h"

const pannier_block_kernels pannier_codebook_kernels[] = {
    {.ggml_type = 16, .quantize = EVERY_LEVEL(iq2_xxs), .dequantize = EVERY_LEVEL(from_iq2_xxs)},
    {.ggml_type = 17, .quantize = EVERY_LEVEL(iq2_xs), .dequantize = EVERY_LEVEL(from_iq2_xs)},
    {.ggml_type = 18, .quantize = EVERY_LEVEL(iq3_xxs), .dequantize = EVERY_LEVEL(from_iq3_xxs)},
    {.ggml_type = 19, .quantize = EVERY_LEVEL(iq1_s), .dequantize = EVERY_LEVEL(from_iq1_s)},
    {.ggml_type = 21, .quantize = EVERY_LEVEL(iq3_s), .dequantize = EVERY_LEVEL(from_iq3_s)},
    {.ggml_type = 22, .quantize = EVERY_LEVEL(iq2_s), .dequantize = EVERY_LEVEL(from_iq2_s)},
    {.ggml_type = 29, .quantize = EVERY_LEVEL(iq1_m), .dequantize = EVERY_LEVEL(from_iq1_m)},
    PANNIER_END_OF_FAMILY,
};
