// The SIMD kernels of Pannier, one header a concern.
#ifndef PANNIER_CKERNELS_H
#define PANNIER_CKERNELS_H

#include "pannier_bytes.h"
#include "pannier_cpu.h"
#include "pannier_crc32.h"
#include "pannier_half.h"
#include "pannier_quantize.h"
#include "pannier_words.h"
#include "pannier_statistics.h"
#include "pannier_matmul.h"
#include "pannier_pool.h"

#endif
