// Q2_K, Q3_K, Q4_K, Q5_K, Q6_K: super-blocks of 256 values. See k_quants.inc.
#include "block_families.h"

#define PANNIER_KERNELS "blocks/k_quants.inc"
#include "../levels.h"

const pannier_block_kernels pannier_k_kernels[] = {
    {10, EVERY_LEVEL(quantize_q2_k), EVERY_LEVEL(dequantize_q2_k)},
    {11, EVERY_LEVEL(quantize_q3_k), EVERY_LEVEL(dequantize_q3_k)},
    {12, EVERY_LEVEL(quantize_q4_k), EVERY_LEVEL(dequantize_q4_k)},
    {13, EVERY_LEVEL(quantize_q5_k), EVERY_LEVEL(dequantize_q5_k)},
    {14, EVERY_LEVEL(quantize_q6_k), EVERY_LEVEL(dequantize_q6_k)},
    PANNIER_END_OF_FAMILY,
};
