/* The highest logits of a row, found among rough ones and computed again from the weights as they are. */
#pragma once
#include "numbers.h"

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

static inline float highest_of_run(const float *logits, int n) {
    float highest = logits[0];
    if (n == RUN) {
        floats all = load(logits);
        for (int i = LANES; i < RUN; i += LANES) all = larger(load(logits + i), all);
        for (int lane = 0; lane < LANES; lane++) highest = all[lane] > highest ? all[lane] : highest;
    }
    for (int i = 1; n < RUN && i < n; i++) highest = logits[i] > highest ? logits[i] : highest;
    return highest;
}

static inline int run_size(int n_logits, int run) { return n_logits - run * RUN < RUN ? n_logits - run * RUN : RUN; }

/* The n_highest of a row, in no order, in `found`; they stand in as many runs, those of the highest maxima. */
static void find_highest(const float *logits, int n_logits, int n_highest, Candidate *runs, Candidate *found) {
    Heap best = {.of = runs, .most = n_highest}, all = {.of = found, .most = n_highest};
    for (int run = 0; run * RUN < n_logits; run++)
        offer(&best, highest_of_run(logits + run * RUN, run_size(n_logits, run)), run);
    for (int k = 0; k < best.n; k++) {
        const int first = runs[k].at * RUN, n = run_size(n_logits, runs[k].at);
        for (int i = first; i < first + n; i++) offer(&all, logits[i], i);
    }
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
