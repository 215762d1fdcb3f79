// zstd, which the archive codes byte planes with.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
