/* Attention of the queries that share one key/value head: those of its query heads, in all rows of a pass.
 *
 * A query's result is the same, to the bit, beside any other queries: its sums are its own, and a slot that it may not
 * see adds 0. Few queries read keys and values as they are stored; many share tiles of them (tiled_attention.h).
 * Shape letters: T rows, S slots, G rotations of a query, Hq query heads, D head size.
 */
#pragma once
#include "matmul.h"
#include <math.h>

/* Where the processor multiplies bf16, queries and weights are rounded to it, as keys and values are: a register then
 * holds two numbers in the place of one (docs/decisions/0023). */
#if defined(__AVX512BF16__) && LANES == 16
#define HAS_BF16 1
#else
#define HAS_BF16 0
#endif
enum { BF16_LANES = 2 * LANES };

static inline int uses_bf16(int head_size) { return HAS_BF16 && head_size % BF16_LANES == 0; }

enum { KEYS_AT_ONCE = 4, MAX_QUERIES = 4 };

typedef struct {
    const bf16 *keys, *values; /* [S, D], those of the key/value head */
    const float *queries;      /* [T, Hq, G, D], rotated and scaled; bf16 where uses_bf16(D) */
    const int64_t *offset_of;  /* [S]: which of a query's rotations belongs to a slot; NULL where G is 1 */
    const uint8_t *mask;       /* [T, S]: whether a row sees a slot; NULL where all are seen */
    float *out;                /* [T, Hq, D] */
    int64_t n_slots, n_rotations;
    int head_size, n_heads, kv_head, n_shared; /* n_shared query heads share the key/value head */
} Attention;

typedef struct {
    const float *vector; /* [G, D], bf16 where uses_bf16(D) */
    const uint8_t *mask; /* [S], or NULL */
    float *scores;       /* [S], rounded up to whole registers */
    float *out;          /* [D] */
} Query;

/* Query `number` of those that share the key/value head. They are counted row by row. */
static inline Query query_at(const Attention *a, int number, const int size, float *scores) {
    const int row = number / a->n_shared, head = a->kv_head * a->n_shared + number % a->n_shared;
    const size_t at = (size_t)row * a->n_heads + head;
    const size_t vector = at * a->n_rotations * size;
    return (Query){
        .vector = uses_bf16(size) ? (const float *)((const bf16 *)a->queries + vector) : a->queries + vector,
        .mask = a->mask ? a->mask + row * a->n_slots : NULL,
        .scores = scores,
        .out = a->out + at * size,
    };
}

/* Turns scores into weights, e to the score less the maximum, and those of unseen slots into 0. Returns the factor that
 * makes the weights' sum 1; 0 where no slot is seen. Slots in [n_slots, n_padded) are unseen. */
static float softmax_weights(float *scores, const uint8_t *mask, int64_t n_slots, int64_t n_padded) {
    const floats unseen = (floats){0} - INFINITY;
    floats maxima = unseen, total = {0};
    for (int64_t s = n_slots; s < n_padded; s++) scores[s] = -INFINITY;
    for (int64_t s = 0; mask && s < n_slots; s++) scores[s] = mask[s] ? scores[s] : -INFINITY;
    for (int64_t s = 0; s < n_padded; s += LANES) maxima = max_lanes(load(scores + s), maxima);
    float max = max_lane(maxima);
    if (max == -INFINITY) max = 0; /* no slot is seen: all weights become 0 */
    for (int64_t s = 0; s < n_padded; s += LANES) {
        floats score = load(scores + s), weight = exp_lanes(score - max);
        weight = (floats)((ints)weight & (score > unseen));
        store(scores + s, weight);
        total += weight;
    }
    const float sum = sum_lanes(total);
    return sum > 0 ? 1 / sum : 0;
}

#if HAS_BF16
typedef __m512bh Bf16s;

static inline Bf16s load_bf16s(const bf16 *from) {
    Bf16s out;
    memcpy(&out, from, sizeof out);
    return out;
}

/* Adds to each lane of `sum` two products. */
static inline floats dot_bf16(floats sum, Bf16s a, Bf16s b) { return (floats)_mm512_dpbf16_ps((__m512)sum, a, b); }
#endif

/* Adds the products of a register of a query with one of a key, from dimension i on. */
static inline floats add_products(floats sum, const float *query, const bf16 *key, int64_t i, const int in_bf16) {
#if HAS_BF16
    if (in_bf16) return dot_bf16(sum, load_bf16s((const bf16 *)query + i), load_bf16s(key));
#endif
    (void)in_bf16;
    return sum + load(query + i) * load_bf16(key);
}

/* Writes the scores of all slots for n queries. */
SPECIALIZED void score_keys(
    const Attention *a, const Query *queries, const int n, const int size, const int in_bf16, const int has_offsets) {
    const int step = in_bf16 ? BF16_LANES : LANES;
    for (int64_t s = 0; s < a->n_slots; s += KEYS_AT_ONCE) {
        const bf16 *keys[KEYS_AT_ONCE];
        int64_t rotation[KEYS_AT_ONCE];
        floats products[MAX_QUERIES][KEYS_AT_ONCE];
        UNROLLED for (int k = 0; k < KEYS_AT_ONCE; k++) { /* past the end, the last key again */
            const int64_t slot = s + k < a->n_slots ? s + k : a->n_slots - 1;
            keys[k] = a->keys + slot * size;
            rotation[k] = has_offsets ? a->offset_of[slot] * size : 0;
            UNROLLED for (int q = 0; q < n; q++) products[q][k] = (floats){0};
        }
        prefetch(keys[0], KEYS_AT_ONCE * size * (int)sizeof(bf16));
        for (int i = 0; i < size; i += step)
            UNROLLED for (int k = 0; k < KEYS_AT_ONCE; k++)
                UNROLLED for (int q = 0; q < n; q++)
                    products[q][k] =
                        add_products(products[q][k], queries[q].vector, keys[k] + i, rotation[k] + i, in_bf16);
        UNROLLED for (int q = 0; q < n; q++) _mm_storeu_ps(queries[q].scores + s, sum_lanes_of_four(products[q]));
    }
}

/* Writes the outputs of n queries: the sums of the values, weighted. */
SPECIALIZED void add_values(
    const Attention *a, const Query *queries, const float *factors, const int n, const int size) {
    const int n_registers = size / LANES;
    floats sums[MAX_QUERIES][n_registers];
    for (int q = 0; q < n; q++)
        for (int i = 0; i < n_registers; i++) sums[q][i] = (floats){0};
    for (int64_t s = 0; s < a->n_slots; s++) {
        prefetch(a->values + s * size, size * (int)sizeof(bf16));
        for (int i = 0; i < n_registers; i++) {
            const floats value = load_bf16(a->values + s * size + i * LANES);
            UNROLLED for (int q = 0; q < n; q++) sums[q][i] += value * queries[q].scores[s];
        }
    }
    for (int q = 0; q < n; q++)
        for (int i = 0; i < n_registers; i++) store(queries[q].out + i * LANES, sums[q][i] * factors[q]);
}

#if HAS_BF16
/* Rounds weights to bf16. They replace the scores, which need twice their room. */
static inline void round_weights(float *scores, int64_t n_padded) {
    for (int64_t s = 0; s < n_padded; s += LANES) {
        const __m256bh narrow = _mm512_cvtneps_pbh((__m512)load(scores + s));
        memcpy((bf16 *)scores + s, &narrow, sizeof narrow);
    }
}

/* As add_values, in products of bf16: two slots at a time, since an instruction adds two products to a lane. */
SPECIALIZED void add_values_bf16(
    const Attention *a, const Query *queries, const float *factors, const int n, const int size) {
    const int n_registers = size / BF16_LANES;
    floats sums[MAX_QUERIES][2 * n_registers];
    for (int q = 0; q < n; q++)
        for (int i = 0; i < 2 * n_registers; i++) sums[q][i] = (floats){0};
    for (int64_t s = 0; s < a->n_slots; s += 2) {
        /* past the end, the last value again, whose weight there is 0 */
        const bf16 *one = a->values + s * size, *other = s + 1 < a->n_slots ? one + size : one;
        prefetch(one, 2 * size * (int)sizeof(bf16));
        for (int i = 0; i < n_registers; i++) {
            const __m512i x = (__m512i)load_bf16s(one + i * BF16_LANES);
            const __m512i y = (__m512i)load_bf16s(other + i * BF16_LANES);
            const Bf16s low = (Bf16s)_mm512_unpacklo_epi16(x, y), high = (Bf16s)_mm512_unpackhi_epi16(x, y);
            UNROLLED for (int q = 0; q < n; q++) {
                const bf16 *weights = (const bf16 *)queries[q].scores + s;
                const Bf16s both = (Bf16s)_mm512_set1_epi32(load_four((const int8_t *)weights));
                sums[q][2 * i] = dot_bf16(sums[q][2 * i], low, both);
                sums[q][2 * i + 1] = dot_bf16(sums[q][2 * i + 1], high, both);
            }
        }
    }
    for (int q = 0; q < n; q++)
        for (int i = 0; i < n_registers; i++) {
            float low[LANES], high[LANES];
            store(low, sums[q][2 * i] * factors[q]), store(high, sums[q][2 * i + 1] * factors[q]);
            for (int k = 0; k < LANES; k += 4) { /* unpacking put the first and last four of each eight apart */
                float *to = queries[q].out + i * BF16_LANES + 2 * k;
                memcpy(to, low + k, 4 * sizeof(float));
                memcpy(to + 4, high + k, 4 * sizeof(float));
            }
        }
}
#endif

/* Attends n queries, from `first` on, at once. Shape: scores [n, n_padded]. */
SPECIALIZED void attend_at_once(const Attention *a, int first, const int n, const int size, const int in_bf16,
                                const int has_offsets, float *scores, int64_t n_padded) {
    Query queries[MAX_QUERIES];
    float factors[MAX_QUERIES];
    for (int q = 0; q < n; q++) queries[q] = query_at(a, first + q, size, scores + q * n_padded);
    score_keys(a, queries, n, size, in_bf16, has_offsets);
    for (int q = 0; q < n; q++)
        factors[q] = softmax_weights(queries[q].scores, queries[q].mask, a->n_slots, n_padded);
#if HAS_BF16
    if (in_bf16) {
        for (int q = 0; q < n; q++) round_weights(queries[q].scores, n_padded);
        add_values_bf16(a, queries, factors, n, size);
        return;
    }
#endif
    add_values(a, queries, factors, n, size);
}

/* Attends n queries, at most `max` at once, in batches of nearly the same size. */
SPECIALIZED void attend_in_batches(const Attention *a, int first, int n, const int max, const int size,
                                   const int in_bf16, const int has_offsets, float *scores, int64_t n_padded) {
    const int n_batches = (n + max - 1) / max;
    for (int k = 0, batch; k < n_batches; k++, first += batch, n -= batch) {
        batch = n / (n_batches - k);
        switch (batch) {
            case 4: if (max >= 4) attend_at_once(a, first, 4, size, in_bf16, has_offsets, scores, n_padded); break;
            case 3: if (max >= 3) attend_at_once(a, first, 3, size, in_bf16, has_offsets, scores, n_padded); break;
            case 2: if (max >= 2) attend_at_once(a, first, 2, size, in_bf16, has_offsets, scores, n_padded); break;
            default: attend_at_once(a, first, 1, size, in_bf16, has_offsets, scores, n_padded);
        }
    }
}

/* Calls attend_in_batches with a constant head size, and as many queries at once as the registers hold sums for. */
SPECIALIZED void attend_sized(const Attention *a, int first, int n, const int in_bf16, const int has_offsets,
                              float *scores, int64_t n_padded) {
    enum { WIDE = LANES == 16 };
    switch (a->head_size) {
        case 32: attend_in_batches(a, first, n, 4, 32, in_bf16, has_offsets, scores, n_padded); break;
        case 64: attend_in_batches(a, first, n, WIDE ? 4 : 1, 64, in_bf16, has_offsets, scores, n_padded); break;
        case 128: attend_in_batches(a, first, n, WIDE ? 2 : 1, 128, in_bf16, has_offsets, scores, n_padded); break;
        default: attend_in_batches(a, first, n, 1, a->head_size, in_bf16, has_offsets, scores, n_padded);
    }
}

/* Attends n queries, from `first` on. Shape: scores [MAX_QUERIES, slots rounded up to whole registers]. */
SEPARATE void attend(const Attention *a, int first, int n, float *scores) {
    const int64_t n_padded = (a->n_slots + LANES - 1) / LANES * LANES;
    const int has_offsets = a->offset_of != NULL;
    if (!uses_bf16(a->head_size))
        attend_sized(a, first, n, 0, has_offsets, scores, n_padded);
    else if (has_offsets)
        attend_sized(a, first, n, 1, 1, scores, n_padded);
    else
        attend_sized(a, first, n, 1, 0, scores, n_padded);
}
