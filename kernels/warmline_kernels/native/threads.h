/* Threads that take the pieces of one job after another.
 *
 * They are torch's own: a second pool would compete with torch's spinning threads for the cores. At load Python hands
 * over the address of GOMP_parallel, which starts them.
 */
#pragma once
#include <immintrin.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

typedef void (*Parallel)(void (*run)(void *), void *data, unsigned n_threads, unsigned flags);

/* After so many spins a waiting thread yields its core: on a busy machine the thread it waits for may need it. */
enum { MAX_SPINS = 2000 };

/* Progress of a job. Threads wait for pieces, never for each other: a thread that arrives late finds all pieces taken
 * and goes on, so a descheduled thread delays only the piece it holds. */
typedef struct {
    atomic_int n_taken, n_done;
} Job;

/* The number of a piece that no thread has taken yet; the number of pieces or more when none is left. */
static inline int take_piece(Job *job) { return atomic_fetch_add_explicit(&job->n_taken, 1, memory_order_relaxed); }

static inline void finish_piece(Job *job) { atomic_fetch_add_explicit(&job->n_done, 1, memory_order_release); }

static inline int is_done(Job *job, int n_pieces) {
    return atomic_load_explicit(&job->n_done, memory_order_acquire) == n_pieces;
}

static inline void wait_for_job(Job *job, int n_pieces) {
    for (int spins = 0; !is_done(job, n_pieces); spins++) {
        _mm_pause();
        if (spins > MAX_SPINS) sched_yield();
    }
}

/* Runs `work` on n_threads threads, the calling one among them, and returns when all have returned. */
static void run_on_threads(void (*work)(void *), void *data, int n_threads, Parallel parallel) {
    if (n_threads == 1)
        work(data);
    else
        parallel(work, data, (unsigned)n_threads, 0);
}
