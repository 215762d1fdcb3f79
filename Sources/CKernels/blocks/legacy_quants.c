// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: blocks of 32 values with a scale of their own. See legacy_quants.inc.
#include "block_families.h"

#define PANNIER_KERNELS "blocks/legacy_quants.inc"
#include "../levels.h"

const pannier_block_kernels pannier_legacy_kernels[] = {
    {2, EVERY_LEVEL(quantize_q4_0), EVERY_LEVEL(dequantize_q4_0)},
    {3, EVERY_LEVEL(quantize_q4_1), EVERY_LEVEL(dequantize_q4_1)},
    {6, EVERY_LEVEL(quantize_q5_0), EVERY_LEVEL(dequantize_q5_0)},
    {7, EVERY_LEVEL(quantize_q5_1), EVERY_LEVEL(dequantize_q5_1)},
    {8, EVERY_LEVEL(quantize_q8_0), EVERY_LEVEL(dequantize_q8_0)},
    PANNIER_END_OF_FAMILY,
};
