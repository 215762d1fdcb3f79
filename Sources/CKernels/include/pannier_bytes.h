// Plain bytes: comparing, filling, checksums and digests.
#ifndef PANNIER_BYTES_H
#define PANNIER_BYTES_H

#include <stddef.h>
#include <stdint.h>

/// Whether two runs of bytes, which may overlap, are equal.
int pannier_bytes_equal(const void *a, const void *b, size_t count);

/// Fills `count` bytes, a multiple of `unit`, with a unit repeated.
void pannier_bytes_fill(void *to, size_t count, const void *unit_bytes, size_t unit);

/// XXH64 with seed 0, after the specification in xxHash's doc/xxhash_spec.md. A checksum against accidents.
uint64_t pannier_xxh64(const void *bytes, size_t count);

/// SHA-256 (FIPS 180-4) being computed.
typedef struct {
    uint32_t state[8];
    uint64_t count;
    uint8_t pending[64];
} pannier_sha256;

void pannier_sha256_begin(pannier_sha256 *sha);
void pannier_sha256_add(pannier_sha256 *sha, const void *bytes, size_t count);
void pannier_sha256_end(pannier_sha256 *sha, uint8_t digest[32]);

/// Whether an open file lies in a file system that is in memory (Linux's tmpfs); then also how many bytes that has left.
int pannier_memory_file_room(int descriptor, uint64_t *room);

#endif
