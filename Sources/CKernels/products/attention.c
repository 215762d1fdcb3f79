// Chooses the kernels between the products of the CPU level in force. See include/pannier_matmul.h.
#include "tiles.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define PANNIER_KERNELS "products/attention.inc"
#include "../levels.h"

#define DISPATCH(result, name, parameters, arguments)                                                                  \
    result pannier_##name parameters {                                                                                 \
        static result(*const kernels[PANNIER_CPU_LEVELS]) parameters = EVERY_LEVEL(name);                              \
        return kernels[pannier_cpu_current()] arguments;                                                               \
    }

DISPATCH(void, rms_norm, (const float *x, const float *weight, float eps, int64_t count, float *y),
         (x, weight, eps, count, y))
DISPATCH(void, silu_multiply, (float *gate, const float *up, int64_t count), (gate, up, count))
DISPATCH(void, add, (float *x, const float *y, int64_t count), (x, y, count))
DISPATCH(void, rope, (float *head, const float *cosine, const float *sine, int64_t half, int adjacent),
         (head, cosine, sine, half, adjacent))
DISPATCH(double, log_sum_exp, (const float *x, int64_t count), (x, count))
DISPATCH(pannier_logits_difference, compare_logits, (const float *reference, const float *candidate, int64_t count),
         (reference, candidate, count))
DISPATCH(int64_t, attention_tokens, (void), ())
DISPATCH(void, attend, (const pannier_attention *attention, float *scratch), (attention, scratch))

// Sixty-four lanes a panel at most.
int64_t pannier_attention_scratch(int64_t last_position, int64_t head) { return 64 * (2 * head + last_position + 1); }
