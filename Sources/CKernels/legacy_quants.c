// Q4_0 Q4_1 Q5_0 Q5_1 Q8_0: blocks of 32 with their own scale. See legacy_quants.inc.
#include "block_families.h"

const pannier_block_kernels pannier_legacy_kernels[] = {
    PANNIER_END_OF_FAMILY,
};
