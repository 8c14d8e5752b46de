/* The highest logits of a row, found among rough ones and computed again from the weights as they are. */
#pragma once
#include "numbers.h"
#include <math.h>

enum { RUN = 32 }; /* logits whose maximum is looked at first: most runs have none of the highest */

typedef struct {
    float value;
    int32_t at;
} Candidate;

/* Candidates seen so far that are the highest, the least of them first. */
typedef struct {
    Candidate *of;
    int n, most;
} Heap;

static inline void offer(Heap *heap, float value, int32_t at) {
    Candidate *of = heap->of;
    int k = 0;
    if (heap->n < heap->most) {
        for (k = heap->n++; k && of[(k - 1) / 2].value > value; k = (k - 1) / 2) of[k] = of[(k - 1) / 2];
    } else {
        if (!(value > of->value)) return;
        for (int child; (child = 2 * k + 1) < heap->n; k = child) {
            if (child + 1 < heap->n && of[child + 1].value < of[child].value) child++;
            if (of[child].value >= value) break;
            of[k] = of[child];
        }
    }
    of[k] = (Candidate){value, at};
}

/* How many runs there are. A run's logits lie so far from each other: maxima of neighbours are taken by registers. */
static inline int n_runs_of(int n_logits) {
    const int n = (n_logits + RUN - 1) / RUN;
    return (n + LANES - 1) / LANES * LANES;
}

/* The n_highest of a row, in no order, in `found`; they stand in as many runs, those of the highest maxima.
 * Shapes: logits [n_logits], a multiple of LANES; maxima [n_runs_of(n_logits)]; runs and found [n_highest]. */
static void find_highest(
    const float *logits, int n_logits, int n_highest, float *maxima, Candidate *runs, Candidate *found) {
    Heap best = {.of = runs, .most = n_highest}, all = {.of = found, .most = n_highest};
    const int n_runs = n_runs_of(n_logits);
    for (int run = 0; run < n_runs; run++) maxima[run] = -INFINITY;
    for (int first = 0; first < n_logits; first += n_runs)
        for (int i = 0; i < n_runs && first + i < n_logits; i += LANES)
            store(maxima + i, larger(load(logits + first + i), load(maxima + i)));
    for (int run = 0; run < n_runs && run < n_logits; run++) offer(&best, maxima[run], run);
    for (int k = 0; k < best.n; k++)
        for (int i = runs[k].at; i < n_logits; i += n_runs) offer(&all, logits[i], i);
}

/* Shapes: weight and x [n], n a multiple of GROUP. */
static inline float exact_product(const bf16 *weight, const float *x, int n) {
    floats one = {0}, other = {0};
    for (int i = 0; i < n; i += 2 * LANES) {
        one += load_bf16(weight + i) * load(x + i);
        other += load_bf16(weight + i + LANES) * load(x + i + LANES);
    }
    return sum_of(one + other);
}

static void make_exact(float *logits, const Candidate *found, int n, const bf16 *weight, const float *x, int n_in) {
    for (int k = 0; k < n; k++) {
        /* rows lie apart: while one is multiplied the next but one is fetched */
        for (int i = 0; k + 2 < n && i < n_in; i += 64 / (int)sizeof(bf16))
            __builtin_prefetch(weight + (int64_t)found[k + 2].at * n_in + i, 0, 3);
        logits[found[k].at] = exact_product(weight + (int64_t)found[k].at * n_in, x, n_in);
    }
}
