/* Threads that work through the pieces of one job after another.
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

/* How far a job is. Who comes late to a job finds its pieces taken, and goes on: nobody waits for a thread, only for
 * pieces. A thread that another process keeps from its core thus holds up no more than the piece it has. */
typedef struct {
    atomic_int n_taken, n_done;
} Job;

/* A piece of a job that nobody has taken yet; n_pieces or more where none is left. */
static inline int take(Job *job) { return atomic_fetch_add_explicit(&job->n_taken, 1, memory_order_relaxed); }

static inline void finish(Job *job) { atomic_fetch_add_explicit(&job->n_done, 1, memory_order_release); }

static inline int is_done(Job *job, int n_pieces) {
    return atomic_load_explicit(&job->n_done, memory_order_acquire) == n_pieces;
}

static inline void await(Job *job, int n_pieces) {
    for (int spins = 0; !is_done(job, n_pieces); spins++) {
        _mm_pause();
        if (spins > SPINS) sched_yield();
    }
}
