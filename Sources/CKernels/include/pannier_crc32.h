// CRC-32 as zip has it (ISO 3309: reflected polynomial 0xEDB88320, all ones before and after).
#ifndef PANNIER_CRC32_H
#define PANNIER_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The checksum of what `crc` stands for followed by `count` bytes; 0 stands for nothing.
uint32_t pannier_crc32(uint32_t crc, const void *bytes, int64_t count);

/// The checksum of A followed by B, of their checksums and B's length. Pieces checksummed by different threads are
/// put together by it.
uint32_t pannier_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t count_b);

#ifdef __cplusplus
}
#endif
#endif
