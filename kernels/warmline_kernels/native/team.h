/* Threads that work through pieces of one job, and wait for each other between jobs.
 *
 * They are torch's own: a second set would wait for work on the cores that torch's threads wait on. Its runtime is
 * handed over at load as the address of GOMP_parallel.
 */
#pragma once
#include <immintrin.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

typedef void (*Parallel)(void (*run)(void *), void *data, unsigned n_threads, unsigned flags);

enum { SPINS = 2000 }; /* then another process gets the core: on a busy machine the one waited for may need it */

typedef struct {
    int n_threads;
    atomic_int n_entered, n_waiting, n_passed;
    atomic_int *next; /* the next piece, of each job */
} Team;

static inline void meet(Team *team) {
    int passed = atomic_load_explicit(&team->n_passed, memory_order_relaxed);
    if (atomic_fetch_add(&team->n_waiting, 1) == team->n_threads - 1) {
        atomic_store_explicit(&team->n_waiting, 0, memory_order_relaxed);
        atomic_fetch_add(&team->n_passed, 1);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&team->n_passed, memory_order_acquire) == passed; spins++) {
        _mm_pause();
        if (spins > SPINS) sched_yield();
    }
}

/* A piece of a job that nobody has taken yet; n_pieces or more where none is left. */
static inline int take(Team *team, int job) { return atomic_fetch_add(&team->next[job], 1); }
