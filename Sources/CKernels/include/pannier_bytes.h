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
/// Adds bytes to two digests at once: where the processor has instructions for it (x86-64), in about the time of the
/// longer one. The two runs of bytes may be the same or overlap.
void pannier_sha256_add_two(pannier_sha256 *a, const void *a_bytes, size_t a_count, pannier_sha256 *b,
                            const void *b_bytes, size_t b_count);

void pannier_sha256_end(pannier_sha256 *sha, uint8_t digest[32]);

/// Whether digests are computed with the processor's own instructions, where it has them; 0 for plain C (tests compare
/// the two). Returns whether they now are.
int pannier_sha256_use_native(int wanted);
/// Whether they are.
int pannier_sha256_is_native(void);

/// Whether an open file lies in a file system that is in memory (Linux's tmpfs); then also how many bytes that has left.
int pannier_memory_file_room(int descriptor, uint64_t *room);

#endif
