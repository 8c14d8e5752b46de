/* Attention of many queries: keys and values are widened to float32 once for several queries, a tile at a time.
 *
 * A tile stays in the first-level cache. Each query's result is that of attention.h, to the bit: its sums are added in
 * the same order.
 */
#pragma once
#include "attention.h"

enum { TILE_QUERIES = 8, TILE_SLOTS = 32, TILE_DIMENSIONS = 32, MIN_TILED_ROWS = 17 };

/* Whether tiles serve a pass: where there are many rows with one rotation each, and products are of float32. */
static inline int uses_tiles(int64_t n_rows, int has_offsets, int head_size) {
    return n_rows >= MIN_TILED_ROWS && !has_offsets && !uses_bf16(head_size) && head_size % TILE_DIMENSIONS == 0;
}

static inline int64_t padded_to_tiles(int64_t n_slots) { return (n_slots + TILE_SLOTS - 1) / TILE_SLOTS * TILE_SLOTS; }

/* How many floats attend_tiled needs: scores for each query, a tile, and sums for each query. */
static inline size_t tiled_scratch(int64_t n_slots, int head_size) {
    return TILE_QUERIES * (size_t)padded_to_tiles(n_slots) + (TILE_SLOTS + TILE_QUERIES) * (size_t)head_size;
}

/* Widens slots [start, start + TILE_SLOTS); past the end, the last one again. */
SPECIALIZED void widen_tile(const bf16 *rows, int64_t start, int64_t n_slots, const int size, float *tile) {
    for (int k = 0; k < TILE_SLOTS; k++) {
        const int64_t slot = start + k < n_slots ? start + k : n_slots - 1;
        for (int i = 0; i < size; i += LANES) store(tile + k * size + i, load_bf16(rows + slot * size + i));
    }
}

/* Writes the scores of n queries, one or two, for the tile of keys that starts at slot `start`. */
SPECIALIZED void score_tile(const Query *queries, const int n, const int size, const float *tile, int64_t start) {
    const float *vectors[2] = {queries[0].vector, queries[n - 1].vector};
    float *scores[2] = {queries[0].scores + start, queries[n - 1].scores + start};
    for (int s = 0; s < TILE_SLOTS; s += KEYS_AT_ONCE) {
        floats products[2][KEYS_AT_ONCE];
        for (int k = 0; k < KEYS_AT_ONCE; k++) UNROLLED for (int q = 0; q < n; q++) products[q][k] = (floats){0};
        for (int i = 0; i < size; i += LANES)
            UNROLLED for (int k = 0; k < KEYS_AT_ONCE; k++) {
                const floats key = load(tile + (s + k) * size + i);
                UNROLLED for (int q = 0; q < n; q++) products[q][k] += load(vectors[q] + i) * key;
            }
        UNROLLED for (int q = 0; q < n; q++) _mm_storeu_ps(scores[q] + s, sum_lanes_of_four(products[q]));
    }
}

/* Adds a tile of values, weighted, to the sums of n queries, one or two. Shape: sums [n, size]. */
SPECIALIZED void add_tile(const Query *queries, const int n, const int size, const float *tile, int64_t start,
                          int n_slots, float *sums) {
    const float *weights[2] = {queries[0].scores + start, queries[n - 1].scores + start};
    enum { N_SUMS = TILE_DIMENSIONS / LANES };
    for (int d = 0; d < size; d += TILE_DIMENSIONS) { /* as many dimensions as the registers hold sums for */
        floats sum[2][N_SUMS];
        for (int q = 0; q < n; q++)
            UNROLLED for (int i = 0; i < N_SUMS; i++) sum[q][i] = load(sums + q * size + d + i * LANES);
        for (int k = 0; k < n_slots; k++)
            UNROLLED for (int i = 0; i < N_SUMS; i++) {
                const floats value = load(tile + k * size + d + i * LANES);
                UNROLLED for (int q = 0; q < n; q++) sum[q][i] += value * weights[q][k];
            }
        for (int q = 0; q < n; q++)
            UNROLLED for (int i = 0; i < N_SUMS; i++) store(sums + q * size + d + i * LANES, sum[q][i]);
    }
}

/* The end of the last slot that any of the queries [first, first + n) sees. Later slots would add 0. */
static int64_t seen_end(const Attention *a, int first, int n) {
    if (!a->mask) return a->n_slots;
    int64_t max = 0;
    for (int row = first / a->n_shared; row <= (first + n - 1) / a->n_shared; row++) {
        int64_t end = a->n_slots;
        while (end > max && !a->mask[row * a->n_slots + end - 1]) end--;
        max = end;
    }
    return max;
}

SPECIALIZED void attend_tiled_sized(const Attention *a, int first, const int n, const int size, float *scratch) {
    const int64_t n_slots = seen_end(a, first, n), n_padded = padded_to_tiles(a->n_slots);
    float *tile = scratch + TILE_QUERIES * n_padded, *sums = tile + TILE_SLOTS * size;
    Query queries[TILE_QUERIES];
    float factors[TILE_QUERIES];
    for (int q = 0; q < n; q++) queries[q] = query_at(a, first + q, size, scratch + q * n_padded);
    for (int64_t s = 0; s < n_slots; s += TILE_SLOTS) {
        widen_tile(a->keys, s, n_slots, size, tile);
        int q = 0;
        for (; q + 2 <= n; q += 2) score_tile(queries + q, 2, size, tile, s);
        if (q < n) score_tile(queries + q, 1, size, tile, s);
    }
    const int64_t used = (n_slots + LANES - 1) / LANES * LANES;
    for (int q = 0; q < n; q++) factors[q] = softmax_weights(queries[q].scores, queries[q].mask, n_slots, used);
    memset(sums, 0, (size_t)n * size * sizeof(float));
    for (int64_t s = 0; s < n_slots; s += TILE_SLOTS) {
        const int n_here = n_slots - s < TILE_SLOTS ? (int)(n_slots - s) : TILE_SLOTS;
        widen_tile(a->values, s, n_slots, size, tile);
        int q = 0;
        for (; q + 2 <= n; q += 2) add_tile(queries + q, 2, size, tile, s, n_here, sums + q * size);
        if (q < n) add_tile(queries + q, 1, size, tile, s, n_here, sums + q * size);
    }
    for (int q = 0; q < n; q++)
        for (int i = 0; i < size; i += LANES) store(queries[q].out + i, load(sums + q * size + i) * factors[q]);
}

/* Attends n queries, from `first` on, at most TILE_QUERIES. Shape: scratch [tiled_scratch(n_slots, D)]. */
SEPARATE void attend_tiled(const Attention *a, int first, int n, float *scratch) {
    switch (a->head_size) {
        case 32: attend_tiled_sized(a, first, n, 32, scratch); break;
        case 64: attend_tiled_sized(a, first, n, 64, scratch); break;
        case 128: attend_tiled_sized(a, first, n, 128, scratch); break;
        default: attend_tiled_sized(a, first, n, a->head_size, scratch);
    }
}
