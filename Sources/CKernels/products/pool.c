// A small pool of threads. See include/pannier_pool.h.
//
// A waiting thread spins for a moment, since the next loop usually follows within microseconds, then sleeps.
//
// One word says which loop runs and how many of its chunks are still to be taken. Taking one is a compare-and-swap of
// that word, so a thread that comes late takes nothing of a loop that is over, and the caller waits for the chunks
// that were taken, not for threads that are asleep.
#include "pannier_pool.h"

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
    _Atomic uint64_t ticket;  // the loop's number in the upper half, chunks not yet taken in the lower
    _Atomic int64_t done;     // chunks of this loop that are done
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

static uint32_t loop_of(uint64_t ticket) { return (uint32_t)(ticket >> 32); }

static void work(pannier_pool *pool, int32_t thread) {
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while ((uint32_t)ticket != 0) {
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        // The loop cannot end before this chunk does, so its description stays.
        pool->body(pool->context, pool->chunks - (int64_t)(uint32_t)ticket, thread);
        atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

static void *serve(void *argument) {
    pannier_pool *pool = ((seat *)argument)->pool;
    const int32_t thread = ((seat *)argument)->thread;
    free(argument);
    uint32_t seen = 0;
    for (;;) {
        uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
        for (int spin = 0; spin < 4000 && loop_of(ticket) == seen; spin++) {
            relax();
            ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
        }
        if (loop_of(ticket) == seen) {
            pthread_mutex_lock(&pool->lock);
            while (loop_of(ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire)) == seen)
                pthread_cond_wait(&pool->wake, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        seen = loop_of(ticket);
        if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return NULL;
        work(pool, thread);
    }
}

// Begins a loop: under the lock, so that a worker about to sleep sees it.
static void begin(pannier_pool *pool, uint32_t chunks) {
    pthread_mutex_lock(&pool->lock);
    uint64_t next = (uint64_t)(loop_of(atomic_load_explicit(&pool->ticket, memory_order_relaxed)) + 1) << 32;
    atomic_store_explicit(&pool->ticket, next | chunks, memory_order_release);
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
    begin(pool, 0);
    for (int32_t thread = 1; thread < pool->threads; thread++) pthread_join(pool->workers[thread], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

int32_t pannier_pool_threads(const pannier_pool *pool) { return pool->threads; }

void pannier_pool_run(pannier_pool *pool, int64_t chunks, void (*body)(void *, int64_t, int32_t), void *context) {
    if (chunks <= 0) return;
    if (pool->threads == 1 || chunks == 1 || chunks > UINT32_MAX) {
        for (int64_t chunk = 0; chunk < chunks; chunk++) body(context, chunk, 0);
        return;
    }
    pool->chunks = chunks;
    pool->body = body;
    pool->context = context;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    begin(pool, (uint32_t)chunks);
    work(pool, 0);
    // The others are at chunks that they have taken; where they lost the processor, give it up too.
    for (int64_t spin = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < chunks; spin++) {
        if (spin < 20000) relax();
        else sched_yield();
    }
}
