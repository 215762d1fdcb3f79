// What Swift's C library module does not show of file systems. See include/pannier_bytes.h.
#include "pannier_bytes.h"

#if defined(__linux__)
#include <linux/magic.h>
#include <sys/statfs.h>

int pannier_memory_file_room(int descriptor, uint64_t *room) {
    struct statfs system;
    if (fstatfs(descriptor, &system) != 0 || system.f_type != TMPFS_MAGIC) return 0;
    // One without a limit says 0 blocks.
    *room = UINT64_MAX;
    if (system.f_blocks != 0 && __builtin_mul_overflow((uint64_t)system.f_bavail, (uint64_t)system.f_bsize, room))
        *room = UINT64_MAX;
    return 1;
}
#else
int pannier_memory_file_room(int descriptor, uint64_t *room) {
    (void)descriptor;
    *room = 0;
    return 0;
}
#endif
