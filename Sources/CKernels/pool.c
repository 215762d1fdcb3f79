// A small pool of threads. See include/pannier_pool.h.
//
// A waiting thread spins for a moment, since the next loop usually follows within microseconds, then sleeps.
#include "include/pannier_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct pannier_pool {
    int32_t threads;
    pthread_t *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint64_t round;   // counts the loops; a change wakes the workers
    _Atomic int64_t next;     // the next chunk
    _Atomic int32_t busy;     // workers not yet done with this loop
    _Atomic bool stop;
    int64_t chunks;
    void (*body)(void *, int64_t, int32_t);
    void *context;
};

typedef struct { pannier_pool *pool; int32_t thread; } seat;

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(pannier_pool *pool, int32_t thread) {
    for (;;) {
        int64_t chunk = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (chunk >= pool->chunks) return;
        pool->body(pool->context, chunk, thread);
    }
}

static void *serve(void *argument) {
    pannier_pool *pool = ((seat *)argument)->pool;
    const int32_t thread = ((seat *)argument)->thread;
    free(argument);
    uint64_t seen = 0;
    for (;;) {
        for (int spin = 0; spin < 4000 && atomic_load_explicit(&pool->round, memory_order_acquire) == seen; spin++) relax();
        if (atomic_load_explicit(&pool->round, memory_order_acquire) == seen) {
            pthread_mutex_lock(&pool->lock);
            while (atomic_load_explicit(&pool->round, memory_order_acquire) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        seen++;
        if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return NULL;
        work(pool, thread);
        atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_release);
    }
}

// Begins a round: under the lock, so that a worker about to sleep sees it.
static void begin(pannier_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

pannier_pool *pannier_pool_create(int32_t threads) {
    pannier_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    if (threads < 1) threads = 1;
    pool->threads = 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    if (!pool->workers) {
        free(pool);
        return NULL;
    }
    while (pool->threads < threads) {
        seat *place = malloc(sizeof *place);
        if (!place) break;
        *place = (seat){pool, pool->threads};
        if (pthread_create(&pool->workers[pool->threads], NULL, serve, place) != 0) {
            free(place);
            break;
        }
        pool->threads++;
    }
    return pool;
}

void pannier_pool_destroy(pannier_pool *pool) {
    if (!pool) return;
    atomic_store_explicit(&pool->stop, true, memory_order_release);
    begin(pool);
    for (int32_t thread = 1; thread < pool->threads; thread++) pthread_join(pool->workers[thread], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

int32_t pannier_pool_threads(const pannier_pool *pool) { return pool->threads; }

void pannier_pool_run(pannier_pool *pool, int64_t chunks, void (*body)(void *, int64_t, int32_t), void *context) {
    if (chunks <= 0) return;
    if (pool->threads == 1 || chunks == 1) {
        for (int64_t chunk = 0; chunk < chunks; chunk++) body(context, chunk, 0);
        return;
    }
    pool->chunks = chunks;
    pool->body = body;
    pool->context = context;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->busy, pool->threads - 1, memory_order_relaxed);
    begin(pool);
    work(pool, 0);
    // The others are at their last chunk; where they lost the processor, give it up too.
    for (int64_t spin = 0; atomic_load_explicit(&pool->busy, memory_order_acquire) > 0; spin++) {
        if (spin < 20000) relax();
        else sched_yield();
    }
}
