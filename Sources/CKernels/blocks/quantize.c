// Looks up the kernels of a block format. See include/pannier_quantize.h.
#include "block_families.h"

#include <stddef.h>

static const pannier_block_kernels *const families[] = {
    pannier_legacy_kernels,
    pannier_k_kernels,
    pannier_small_kernels,
    pannier_iq4_kernels,
    pannier_codebook_kernels,
};

static const pannier_block_kernels *find(int32_t ggml_type) {
    if (ggml_type < 0) return NULL;
    for (size_t family = 0; family < sizeof families / sizeof *families; family++)
        for (const pannier_block_kernels *entry = families[family]; entry->ggml_type >= 0; entry++)
            if (entry->ggml_type == ggml_type) return entry;
    return NULL;
}

pannier_quantize_fn pannier_quantizer_at(int32_t ggml_type, pannier_cpu_level level) {
    const pannier_block_kernels *entry = find(ggml_type);
    return entry && level <= pannier_cpu_best() ? entry->quantize[level] : NULL;
}

pannier_dequantize_fn pannier_dequantizer_at(int32_t ggml_type, pannier_cpu_level level) {
    const pannier_block_kernels *entry = find(ggml_type);
    return entry && level <= pannier_cpu_best() ? entry->dequantize[level] : NULL;
}

pannier_quantize_fn pannier_quantizer(int32_t ggml_type) {
    return pannier_quantizer_at(ggml_type, pannier_cpu_current());
}

pannier_dequantize_fn pannier_dequantizer(int32_t ggml_type) {
    return pannier_dequantizer_at(ggml_type, pannier_cpu_current());
}
