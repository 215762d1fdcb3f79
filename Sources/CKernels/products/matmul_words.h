// Batch products of pairs of integers, for `--compute bf16`. The arguments are those of pannier_pack_bf16 and
// pannier_matmul_bf16.
#ifndef PANNIER_MATMUL_WORDS_H
#define PANNIER_MATMUL_WORDS_H

#include <stdint.h>
#include "../include/pannier_matmul.h"

typedef void (*pannier_pack_fn)(const float *, int64_t, int64_t, int64_t, int64_t, int64_t, float *);
typedef void (*pannier_matmul_fn)(const pannier_matrix *, int64_t, int64_t, const float *, int64_t, float *, int64_t, void *);

/// Those of the CPU level in force, or NULL where it multiplies pairs of integers no faster than floats.
pannier_pack_fn pannier_pack_words(void);
pannier_matmul_fn pannier_matmul_words(void);

#endif
