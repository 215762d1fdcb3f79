// A few threads that share loops of tens of microseconds: the products of one token.
#ifndef PANNIER_POOL_H
#define PANNIER_POOL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pannier_pool pannier_pool;

/// A pool of `threads` threads, the caller's counted; fewer where the system gives fewer. NULL only without memory.
pannier_pool *pannier_pool_create(int32_t threads);
/// Ends the threads. Not while the pool runs.
void pannier_pool_destroy(pannier_pool *pool);
/// Threads in the pool, the caller's counted.
int32_t pannier_pool_threads(const pannier_pool *pool);
/// Calls body(context, chunk, thread) for each chunk in [0, chunks), thread in [0, threads), and returns when all are
/// done. One caller at a time.
void pannier_pool_run(pannier_pool *pool, int64_t chunks, void (*body)(void *context, int64_t chunk, int32_t thread),
                      void *context);

#ifdef __cplusplus
}
#endif
#endif
