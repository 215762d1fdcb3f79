// Block formats: rows of float to blocks and back, the same bytes and bits as ggml's own functions.
#ifndef PANNIER_QUANTIZE_H
#define PANNIER_QUANTIZE_H

#include <stdint.h>
#include "pannier_cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Quantizes `rows` rows of `columns` floats, one after the other at `src`, into their blocks, one after the other
/// at `dst`. `columns` is a multiple of the format's block. `importance` is NULL or one weight a column, the same for
/// every row. Blocks need no alignment, floats their own. The values are finite: what becomes of others is bounded but
/// means nothing.
typedef void (*pannier_quantize_fn)(const float *src, void *dst, int64_t rows, int64_t columns,
                                    const float *importance);

/// Decodes `count` values (a multiple of the format's block) from the blocks at `src`. Any bytes may be given.
typedef void (*pannier_dequantize_fn)(const void *src, float *dst, int64_t count);

/// The kernels of one block format, each indexed by `pannier_cpu_level`. An entry that the architecture does not
/// have is NULL, and so is `quantize` of a format that is only decoded.
typedef struct pannier_block_kernels {
    int32_t ggml_type;
    pannier_quantize_fn quantize[PANNIER_CPU_LEVELS];
    pannier_dequantize_fn dequantize[PANNIER_CPU_LEVELS];
} pannier_block_kernels;

/// The kernel of the level in force (`pannier_cpu_current`) for ggml's type id, or NULL where there is none.
pannier_quantize_fn pannier_quantizer(int32_t ggml_type);
pannier_dequantize_fn pannier_dequantizer(int32_t ggml_type);

/// The same of one level, for tests that compare them; NULL where the machine cannot run it.
pannier_quantize_fn pannier_quantizer_at(int32_t ggml_type, pannier_cpu_level level);
pannier_dequantize_fn pannier_dequantizer_at(int32_t ggml_type, pannier_cpu_level level);

#ifdef __cplusplus
}
#endif
#endif
