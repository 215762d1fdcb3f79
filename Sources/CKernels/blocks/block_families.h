// The families of block formats, each a table in its own file. quantize.c searches them in this order.
#ifndef PANNIER_BLOCK_FAMILIES_H
#define PANNIER_BLOCK_FAMILIES_H

#include "pannier_quantize.h"

/// A family's table ends with an entry whose ggml_type is negative.
#define PANNIER_END_OF_FAMILY { .ggml_type = -1 }

extern const pannier_block_kernels pannier_legacy_kernels[];
extern const pannier_block_kernels pannier_k_kernels[];
extern const pannier_block_kernels pannier_small_kernels[];
extern const pannier_block_kernels pannier_iq4_kernels[];
extern const pannier_block_kernels pannier_codebook_kernels[];

#endif
