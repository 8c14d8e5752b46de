/* Finds the top logits of a row that were computed from rounded weights, and computes them again from exact ones. */
#pragma once
#include "vectors.h"
#include <math.h>

/* Logits of a run. Only runs whose maxima are among the top can have a top logit: most are never looked through. */
enum { RUN = 32 };

typedef struct {
    float logit;
    int32_t id;
} Candidate;

/* The top `capacity` candidates so far. The lowest is in front. */
typedef struct {
    Candidate *candidates;
    int n, capacity;
} MinHeap;

static inline void push(MinHeap *heap, float logit, int32_t id) {
    Candidate *all = heap->candidates;
    int k = 0;
    if (heap->n < heap->capacity) {
        for (k = heap->n++; k && all[(k - 1) / 2].logit > logit; k = (k - 1) / 2) all[k] = all[(k - 1) / 2];
    } else {
        if (!(logit > all->logit)) return;
        for (int child; (child = 2 * k + 1) < heap->n; k = child) {
            if (child + 1 < heap->n && all[child + 1].logit < all[child].logit) child++;
            if (all[child].logit >= logit) break;
            all[k] = all[child];
        }
    }
    all[k] = (Candidate){logit, id};
}

/* The number of runs. It is also the distance between a run's logits, so that registers compare neighbouring runs. */
static inline int n_runs_of(int n_logits) {
    const int n = (n_logits + RUN - 1) / RUN;
    return (n + LANES - 1) / LANES * LANES;
}

/* Writes the n_top highest logits to `top`, in no order. They lie in at most n_top runs, those with the highest maxima.
 * Shapes: logits [n_logits], a multiple of LANES; maxima [n_runs_of(n_logits)]; runs and top [n_top]. */
static void find_top(const float *logits, int n_logits, int n_top, float *maxima, Candidate *runs, Candidate *top) {
    MinHeap best_runs = {.candidates = runs, .capacity = n_top}, best = {.candidates = top, .capacity = n_top};
    const int n_runs = n_runs_of(n_logits);
    for (int run = 0; run < n_runs; run++) maxima[run] = -INFINITY;
    for (int first = 0; first < n_logits; first += n_runs)
        for (int i = 0; i < n_runs && first + i < n_logits; i += LANES)
            store(maxima + i, max_lanes(load(logits + first + i), load(maxima + i)));
    for (int run = 0; run < n_runs && run < n_logits; run++) push(&best_runs, maxima[run], run);
    for (int k = 0; k < best_runs.n; k++)
        for (int i = runs[k].id; i < n_logits; i += n_runs) push(&best, logits[i], i);
}

/* Shapes: weight and x [n], n a multiple of 32. */
static inline float exact_dot(const bf16 *weight, const float *x, int n) {
    floats one = {0}, other = {0};
    for (int i = 0; i < n; i += 2 * LANES) {
        one += load_bf16(weight + i) * load(x + i);
        other += load_bf16(weight + i + LANES) * load(x + i + LANES);
    }
    return sum_lanes(one + other);
}

/* Computes the logits of n candidates from the weights. Shapes: weight [vocabulary, n_in], x [n_in]. */
static void rescore_row(float *logits, const Candidate *top, int n, const bf16 *weight, const float *x, int n_in) {
    for (int k = 0; k < n; k++) {
        /* the rows of the weights are scattered: fetch the next but one while this one is multiplied */
        for (int i = 0; k + 2 < n && i < n_in; i += 64 / (int)sizeof(bf16))
            __builtin_prefetch(weight + (int64_t)top[k + 2].id * n_in + i, 0, 3);
        logits[top[k].id] = exact_dot(weight + (int64_t)top[k].id * n_in, x, n_in);
    }
}
