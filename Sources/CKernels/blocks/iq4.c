// IQ4_NL and IQ4_XS: quantizing. See iq4.inc.
#include "block_families.h"
#include "iq_tables.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PANNIER_KERNELS "blocks/iq4.inc"
#include "../levels.h"

const pannier_block_kernels pannier_iq4_kernels[] = {
    {.ggml_type = 20, .quantize = EVERY_LEVEL(iq4_nl), .dequantize = EVERY_LEVEL(from_iq4_nl)},
    {.ggml_type = 23, .quantize = EVERY_LEVEL(iq4_xs), .dequantize = EVERY_LEVEL(from_iq4_xs)},
    PANNIER_END_OF_FAMILY,
};
