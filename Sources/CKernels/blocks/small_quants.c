// TQ1_0, TQ2_0, MXFP4, NVFP4, Q1_0, Q2_0: values of very few bits under one scale. See small_quants.inc.
#include "block_families.h"

#define PANNIER_KERNELS "blocks/small_quants.inc"
#include "../levels.h"

const pannier_block_kernels pannier_small_kernels[] = {
    {34, EVERY_LEVEL(quantize_tq1_0), EVERY_LEVEL(dequantize_tq1_0)},
    {35, EVERY_LEVEL(quantize_tq2_0), EVERY_LEVEL(dequantize_tq2_0)},
    {39, EVERY_LEVEL(quantize_mxfp4), EVERY_LEVEL(dequantize_mxfp4)},
    {40, EVERY_LEVEL(quantize_nvfp4), EVERY_LEVEL(dequantize_nvfp4)},
    {41, EVERY_LEVEL(quantize_q1_0), EVERY_LEVEL(dequantize_q1_0)},
    {42, EVERY_LEVEL(quantize_q2_0), EVERY_LEVEL(dequantize_q2_0)},
    PANNIER_END_OF_FAMILY,
};
