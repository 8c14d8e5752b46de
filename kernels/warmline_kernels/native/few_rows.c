/* One pass of few rows through a decoder with weights in 4 or 8 bits, in one call.
 *
 * The model's arithmetic is that of warmline_engine/model/transformer.py, the attention's that of ../reference.py,
 * which are this file's twins. What flows from layer to layer is float32; keys and values are stored in bf16, as they
 * are elsewhere. Shape letters: T rows, S slots, G offsets, Hq and Hk query and key/value heads, D head size.
 */
#include "highest.h"
#include "products.h"
#include "team.h"
#include <math.h>
#include <stdlib.h>

enum { SLOTS = 4 }; /* keys that queries meet together */
enum { QUERIES = 4 }; /* that meet them, at most */
/* In a pass of many rows, keys and values are widened once for several queries, some slots at a time: a tile of them
 * stays in the first cache. */
enum { TILE_QUERIES = 8, TILE_SLOTS = 32, TILE_PART = 32, TILED_ROWS = 17 };

/* Where the processor multiplies bf16, queries and weights are rounded to it, as keys and values are, and two numbers go
 * where one went: behind 2,000 tokens nine rows of `base` take 4.3 ms instead of 5.8, of which 2.5 are products. */
#if defined(__AVX512BF16__) && LANES == 16
#define HAS_PAIRS 1
#else
#define HAS_PAIRS 0
#endif
enum { PAIRED = 32 }; /* numbers of bf16 in a register */

static inline int goes_in_pairs(int head_size) { return HAS_PAIRS && head_size % PAIRED == 0; }
enum { BYTES_AT_ONCE = 32768 }; /* of weights, in a piece of work: small enough that nobody waits long for the last */

typedef struct {
    Matrix qkv, out, up, down;
    const bf16 *norm_in, *norm_mlp;     /* [width] */
    const bf16 *query_norm, *key_norm;  /* [D], or NULL */
    int32_t mask;                       /* which of the pass's masks */
} Layer;

typedef struct {
    const Layer *layers;
    const bf16 *norm;
    int32_t n_layers, width, n_heads, n_kv_heads, head_size, n_mlp, n_turned; /* dimensions of a head that turn */
    float norm_eps, residual_multiplier, attention_scale;
} Model;

typedef struct {
    float *x;               /* [T, width]: the tokens' embeddings; afterwards the normed output of the last layer */
    bf16 *unrotated, *rotated, *values; /* [L, Hk, slots there are, D] */
    const int64_t *slots;   /* [T], where the rows' keys and values go */
    const float *key_cos, *key_sin;     /* [T, n_turned / 2] */
    const float *query_cos, *query_sin; /* [G, T, n_turned / 2] */
    const int64_t *offset_of;           /* [S]: which of the offsets each slot has; NULL where there is one */
    const uint8_t *masks[2];            /* [T, S]: what each row sees; NULL where all */
    int64_t n_rows, n_slots, n_slots_there_are, n_offsets;
} Pass;

typedef struct {
    const Model *model;
    const Pass *pass;
    Job *jobs;
    atomic_int n_entered;
    int n_threads;
    float *heads, *seen, *up, *turned;
    Rounded seen_rounded, mlp_rounded;
    size_t own_bytes;
    char *own; /* each thread's, own_bytes apart */
} Work;

static void norm_row(const float *x, const bf16 *weight, int size, float eps, float *to) {
    floats squares = {0};
    for (int i = 0; i < size; i += LANES) squares += load(x + i) * load(x + i);
    float scale = 1.0f / sqrtf(sum_of(squares) / (float)size + eps);
    for (int i = 0; i < size; i += LANES) store(to + i, load(x + i) * scale * load_bf16(weight + i));
}

/* Rows normed and rounded. Each thread does it for itself, which takes less time than to wait for another. */
static Rounded norm_and_round(const Work *work, const bf16 *weight, char *own) {
    const Model *m = work->model;
    int n = (int)work->pass->n_rows;
    float *normed = (float *)own;
    Rounded out = rounded_at((char *)(normed + (size_t)n * m->width), (size_t)n * m->width);
    for (int r = 0; r < n; r++)
        norm_row(work->pass->x + (size_t)r * m->width, weight, m->width, m->norm_eps, normed + (size_t)r * m->width);
    round_rows(normed, n, m->width, out);
    return out;
}

static int blocks_at_once(const Matrix *by) {
    const int64_t n = BYTES_AT_ONCE / block_bytes(by);
    return n > 1 ? (int)n : 1;
}

static int n_pieces_of(const Matrix *by) {
    const int at_once = blocks_at_once(by);
    return (by->n_out / BLOCK + at_once - 1) / at_once;
}

/* One piece of the product with a matrix. */
static void multiply(const Matrix *by, int piece, Rounded x, int n_rows, float *out) {
    const int n_blocks = by->n_out / BLOCK, at_once = blocks_at_once(by), first = piece * at_once;
    for (int b = first; b < n_blocks && b < first + at_once; b++) product_of_block(by, b, x, n_rows, out);
}

/* The same, added to what flows from layer to layer. */
static void multiply_and_add(const Work *work, const Matrix *by, int piece, Rounded x, float *out) {
    const int n = (int)work->pass->n_rows, width = by->n_out, size = blocks_at_once(by) * BLOCK, first = piece * size;
    const int end = first + size < width ? first + size : width;
    multiply(by, piece, x, n, out);
    for (int r = 0; r < n; r++)
        for (int o = first; o < end; o += LANES) {
            float *to = work->pass->x + (size_t)r * width + o;
            store(to, load(to) + load(out + (size_t)r * width + o) * work->model->residual_multiplier);
        }
}

/* A head turned by the rotary factor, in the half-split layout. */
static void turn(const float *head, const float *cos, const float *sin, int n_turned, int size, float *to) {
    const int half = n_turned / 2;
    for (int i = 0; i < half; i++) {
        float low = head[i], high = head[half + i];
        to[i] = low * cos[i] - high * sin[i];
        to[half + i] = high * cos[i] + low * sin[i];
    }
    for (int i = n_turned; i < size; i++) to[i] = head[i];
}

static void narrow(const float *from, int n, bf16 *to) {
    for (int i = 0; i < n; i++) to[i] = narrowed(from[i]);
}

/* Keys and values of a row into their slot, its queries turned for each offset. */
static void place(Work *work, int layer, int row) {
    const Model *m = work->model;
    const Pass *p = work->pass;
    const Layer *l = &m->layers[layer];
    const int size = m->head_size, half = m->n_turned / 2, n_all = m->n_heads + 2 * m->n_kv_heads;
    float *heads = work->heads + (size_t)row * n_all * size;
    float turned[size];
    for (int h = 0; h < m->n_heads; h++) {
        float *head = heads + h * size;
        if (l->query_norm) norm_row(head, l->query_norm, size, m->norm_eps, head);
        for (int64_t g = 0; g < p->n_offsets; g++) {
            const size_t at = ((size_t)g * p->n_rows + row) * half;
            const size_t to = (((size_t)row * m->n_heads + h) * p->n_offsets + g) * size;
            turn(head, p->query_cos + at, p->query_sin + at, m->n_turned, size, turned);
            for (int i = 0; i < size; i += LANES) store(turned + i, load(turned + i) * m->attention_scale);
            if (goes_in_pairs(size))
                narrow(turned, size, (bf16 *)work->turned + to);
            else
                memcpy(work->turned + to, turned, size * sizeof(float));
        }
    }
    for (int h = 0; h < m->n_kv_heads; h++) {
        float *key = heads + (m->n_heads + h) * size, *value = key + m->n_kv_heads * size;
        const size_t head = (size_t)layer * m->n_kv_heads + h;
        const size_t slot = (head * p->n_slots_there_are + p->slots[row]) * size;
        if (l->key_norm) norm_row(key, l->key_norm, size, m->norm_eps, key);
        turn(key, p->key_cos + (size_t)row * half, p->key_sin + (size_t)row * half, m->n_turned, size, turned);
        narrow(key, size, p->unrotated + slot);
        narrow(turned, size, p->rotated + slot);
        narrow(value, size, p->values + slot);
    }
}

/* The queries that share keys: those of a key/value head, of all rows, one row behind the other. */
typedef struct {
    const Model *model;
    const Pass *pass;
    const bf16 *keys, *values; /* of the head, [slots there are, D] */
    const float *turned;       /* [T, Hq, G, D]; of bf16 where it goes in pairs */
    const uint8_t *mask;       /* [T, S], or NULL */
    float *seen;               /* [T, Hq, D] */
    int kv_head, n_shared;     /* query heads that share it */
} Head;

/* Scores of all slots to weights of e to the score, those of what is not seen to 0; their sum. */
static float to_weights(float *scores, const uint8_t *mask, int64_t n_slots, int64_t room) {
    const floats never = (floats){0} - INFINITY;
    floats highest = never, total = {0};
    for (int64_t s = n_slots; s < room; s++) scores[s] = -INFINITY;
    for (int64_t s = 0; mask && s < n_slots; s++) scores[s] = mask[s] ? scores[s] : -INFINITY;
    for (int64_t s = 0; s < room; s += LANES) {
        highest = larger(load(scores + s), highest);
    }
    float top = highest[0];
    for (int lane = 1; lane < LANES; lane++) top = highest[lane] > top ? highest[lane] : top;
    if (top == -INFINITY) top = 0; /* it sees nothing, and all weights become 0 */
    for (int64_t s = 0; s < room; s += LANES) {
        floats score = load(scores + s), weight = exponential(score - top);
        weight = (floats)((ints)weight & (score > never));
        store(scores + s, weight);
        total += weight;
    }
    return sum_of(total);
}

/* What the queries [first, first + n) see. Scores has room for the slots of each, `room` apart. Each query's result is
 * the same beside any others: its sums are its own, and what it does not see adds 0. */
static inline __attribute__((always_inline)) void attend_together(
    const Head *h, int first, const int n, const int size, float *scores, int64_t room) {
    const Pass *p = h->pass;
    const int n_heads = h->model->n_heads, n_registers = size / LANES;
    const float *queries[QUERIES];
    const uint8_t *masks[QUERIES];
    float *out[QUERIES], total[QUERIES];
    for (int q = 0; q < n; q++) {
        const int row = (first + q) / h->n_shared, head = h->kv_head * h->n_shared + (first + q) % h->n_shared;
        queries[q] = h->turned + ((size_t)row * n_heads + head) * p->n_offsets * size;
        out[q] = h->seen + ((size_t)row * n_heads + head) * size;
        masks[q] = h->mask ? h->mask + row * p->n_slots : NULL;
    }
    for (int64_t s = 0; s < p->n_slots; s += SLOTS) {
        const int64_t n_left = p->n_slots - s < SLOTS ? p->n_slots - s : SLOTS;
        const bf16 *keys[SLOTS];
        int64_t version[SLOTS];
        floats products[QUERIES][SLOTS];
        for (int k = 0; k < SLOTS; k++) { /* behind the last one, the last one again */
            const int64_t slot = s + (k < n_left ? k : n_left - 1);
            keys[k] = h->keys + slot * size;
            version[k] = p->offset_of ? p->offset_of[slot] * size : 0;
            UNROLLED for (int q = 0; q < n; q++) products[q][k] = (floats){0};
        }
        ask_ahead((const uint8_t *)keys[0], SLOTS * size * (int)sizeof(bf16));
        for (int i = 0; i < n_registers; i++)
            UNROLLED for (int k = 0; k < SLOTS; k++) {
                const floats key = load_bf16(keys[k] + i * LANES);
                UNROLLED for (int q = 0; q < n; q++)
                    products[q][k] += load(queries[q] + version[k] + i * LANES) * key;
            }
        UNROLLED for (int q = 0; q < n; q++) _mm_storeu_ps(scores + q * room + s, sums_of_four(products[q]));
    }
    for (int q = 0; q < n; q++) total[q] = to_weights(scores + q * room, masks[q], p->n_slots, room);
    floats sums[QUERIES][n_registers];
    for (int q = 0; q < n; q++)
        for (int i = 0; i < n_registers; i++) sums[q][i] = (floats){0};
    for (int64_t s = 0; s < p->n_slots; s++) {
        ask_ahead((const uint8_t *)(h->values + s * size), size * (int)sizeof(bf16));
        for (int i = 0; i < n_registers; i++) {
            const floats value = load_bf16(h->values + s * size + i * LANES);
            UNROLLED for (int q = 0; q < n; q++) sums[q][i] += value * scores[q * room + s];
        }
    }
    for (int q = 0; q < n; q++) {
        const float share = total[q] > 0 ? 1 / total[q] : 0;
        for (int i = 0; i < n_registers; i++) store(out[q] + i * LANES, sums[q][i] * share);
    }
}

#if HAS_PAIRS
static inline __m512bh load_pairs(const bf16 *from) {
    __m512bh out;
    memcpy(&out, from, sizeof out);
    return out;
}

static inline __m512bh weight_pair(const bf16 *weights) {
    return (__m512bh)_mm512_set1_epi32(four_of((const int8_t *)weights));
}

static inline floats add_pairs(floats sum, __m512bh a, __m512bh b) { return (floats)_mm512_dpbf16_ps((__m512)sum, a, b); }

/* As attend_together, in products of bf16. */
static inline __attribute__((always_inline)) void attend_in_pairs(
    const Head *h, int first, const int n, const int size, const int has_offsets, float *scores, int64_t room) {
    const Pass *p = h->pass;
    const int n_heads = h->model->n_heads, n_registers = size / PAIRED;
    const bf16 *queries[QUERIES];
    const uint8_t *masks[QUERIES];
    bf16 *weights[QUERIES];
    float *out[QUERIES], total[QUERIES];
    for (int q = 0; q < n; q++) {
        const int row = (first + q) / h->n_shared, head = h->kv_head * h->n_shared + (first + q) % h->n_shared;
        queries[q] = (const bf16 *)h->turned + ((size_t)row * n_heads + head) * p->n_offsets * size;
        out[q] = h->seen + ((size_t)row * n_heads + head) * size;
        masks[q] = h->mask ? h->mask + row * p->n_slots : NULL;
        weights[q] = (bf16 *)(scores + q * room); /* in the place of the scores that they were made of */
    }
    for (int64_t s = 0; s < p->n_slots; s += SLOTS) {
        const int64_t n_left = p->n_slots - s < SLOTS ? p->n_slots - s : SLOTS;
        const bf16 *keys[SLOTS];
        int64_t version[SLOTS];
        floats products[QUERIES][SLOTS];
        UNROLLED for (int k = 0; k < SLOTS; k++) { /* behind the last one, the last one again */
            const int64_t slot = s + (k < n_left ? k : n_left - 1);
            keys[k] = h->keys + slot * size;
            version[k] = has_offsets ? p->offset_of[slot] * size : 0;
            UNROLLED for (int q = 0; q < n; q++) products[q][k] = (floats){0};
        }
        ask_ahead((const uint8_t *)keys[0], SLOTS * size * (int)sizeof(bf16));
        for (int i = 0; i < n_registers; i++)
            UNROLLED for (int k = 0; k < SLOTS; k++) {
                const __m512bh key = load_pairs(keys[k] + i * PAIRED);
                UNROLLED for (int q = 0; q < n; q++)
                    products[q][k] = add_pairs(products[q][k], load_pairs(queries[q] + version[k] + i * PAIRED), key);
            }
        UNROLLED for (int q = 0; q < n; q++) _mm_storeu_ps(scores + q * room + s, sums_of_four(products[q]));
    }
    for (int q = 0; q < n; q++) {
        total[q] = to_weights(scores + q * room, masks[q], p->n_slots, room);
        for (int64_t s = 0; s < room; s += LANES) {
            const __m256bh narrow = _mm512_cvtneps_pbh((__m512)load(scores + q * room + s));
            memcpy(weights[q] + s, &narrow, sizeof narrow);
        }
    }
    floats sums[QUERIES][2 * n_registers];
    for (int q = 0; q < n; q++)
        for (int i = 0; i < 2 * n_registers; i++) sums[q][i] = (floats){0};
    for (int64_t s = 0; s < p->n_slots; s += 2) {
        const bf16 *one = h->values + s * size, *other = s + 1 < p->n_slots ? one + size : one; /* whose weight is 0 */
        ask_ahead((const uint8_t *)one, 2 * size * (int)sizeof(bf16));
        for (int i = 0; i < n_registers; i++) {
            const __m512i a = (__m512i)load_pairs(one + i * PAIRED), b = (__m512i)load_pairs(other + i * PAIRED);
            const __m512bh low = (__m512bh)_mm512_unpacklo_epi16(a, b), high = (__m512bh)_mm512_unpackhi_epi16(a, b);
            UNROLLED for (int q = 0; q < n; q++) {
                const __m512bh weight = weight_pair(weights[q] + s);
                sums[q][2 * i] = add_pairs(sums[q][2 * i], low, weight);
                sums[q][2 * i + 1] = add_pairs(sums[q][2 * i + 1], high, weight);
            }
        }
    }
    for (int q = 0; q < n; q++) {
        const float share = total[q] > 0 ? 1 / total[q] : 0;
        for (int i = 0; i < n_registers; i++) {
            float low[LANES], high[LANES];
            store(low, sums[q][2 * i] * share), store(high, sums[q][2 * i + 1] * share);
            for (int four = 0; four < LANES; four += 4) { /* of eight numbers each the first and the last */
                memcpy(out[q] + i * PAIRED + 2 * four, low + four, 4 * sizeof(float));
                memcpy(out[q] + i * PAIRED + 2 * four + 4, high + four, 4 * sizeof(float));
            }
        }
    }
}

static inline __attribute__((always_inline)) void attend_in_pairs_by(
    const Head *h, int first, int n, const int most, const int size, float *scores, int64_t room) {
    const int n_parts = (n + most - 1) / most;
    for (int k = 0, together; k < n_parts; k++, first += together, n -= together) {
        together = n / (n_parts - k);
        if (h->pass->offset_of)
            switch (together) {
                case 4: attend_in_pairs(h, first, 4, size, 1, scores, room); break;
                case 3: attend_in_pairs(h, first, 3, size, 1, scores, room); break;
                case 2: attend_in_pairs(h, first, 2, size, 1, scores, room); break;
                default: attend_in_pairs(h, first, 1, size, 1, scores, room);
            }
        else
            switch (together) {
                case 4: attend_in_pairs(h, first, 4, size, 0, scores, room); break;
                case 3: attend_in_pairs(h, first, 3, size, 0, scores, room); break;
                case 2: attend_in_pairs(h, first, 2, size, 0, scores, room); break;
                default: attend_in_pairs(h, first, 1, size, 0, scores, room);
            }
    }
}
#endif

/* As many queries together as leave registers for their sums. */
static inline __attribute__((always_inline)) void attend_by(
    const Head *h, int first, int n, const int most, const int size, float *scores, int64_t room) {
    const int n_parts = (n + most - 1) / most;
    for (int k = 0, together; k < n_parts; k++, first += together, n -= together) {
        together = n / (n_parts - k);
        switch (together) {
            case 4: if (most >= 4) attend_together(h, first, 4, size, scores, room); break;
            case 3: if (most >= 3) attend_together(h, first, 3, size, scores, room); break;
            case 2: if (most >= 2) attend_together(h, first, 2, size, scores, room); break;
            default: attend_together(h, first, 1, size, scores, room);
        }
    }
}

/* Scores of N queries with a tile of widened keys, in the order of attend_together's sums. */
static inline __attribute__((always_inline)) void score_tile(
    const float *const *queries, const int n, const int size, const float *tile, float *scores, int64_t room) {
    for (int s = 0; s < TILE_SLOTS; s += SLOTS) {
        floats products[2][SLOTS];
        for (int k = 0; k < SLOTS; k++) UNROLLED for (int q = 0; q < n; q++) products[q][k] = (floats){0};
        for (int i = 0; i < size; i += LANES)
            UNROLLED for (int k = 0; k < SLOTS; k++) {
                const floats key = load(tile + (s + k) * size + i);
                UNROLLED for (int q = 0; q < n; q++) products[q][k] += load(queries[q] + i) * key;
            }
        UNROLLED for (int q = 0; q < n; q++) _mm_storeu_ps(scores + q * room + s, sums_of_four(products[q]));
    }
}

/* Slots [start, start + TILE_SLOTS) widened; behind the last one, the last one again. */
static inline __attribute__((always_inline)) void widen_tile(
    const bf16 *rows, int64_t start, int64_t n_slots, const int size, float *tile) {
    for (int k = 0; k < TILE_SLOTS; k++) {
        const int64_t slot = start + k < n_slots ? start + k : n_slots - 1;
        for (int i = 0; i < size; i += LANES) store(tile + k * size + i, load_bf16(rows + slot * size + i));
    }
}

/* Adds a tile of widened values, weighted, to the sums of n queries. */
static inline __attribute__((always_inline)) void add_tile(
    const float *weights, int64_t room, const int n, const int size, const int part_size, const float *tile, int n_slots,
    float *sums) {
    for (int part = 0; part < size; part += part_size) {
        floats sum[2][part_size / LANES];
        for (int q = 0; q < n; q++)
            UNROLLED for (int i = 0; i < part_size / LANES; i++) sum[q][i] = load(sums + q * size + part + i * LANES);
        for (int k = 0; k < n_slots; k++)
            UNROLLED for (int i = 0; i < part_size / LANES; i++) {
                const floats value = load(tile + k * size + part + i * LANES);
                UNROLLED for (int q = 0; q < n; q++) sum[q][i] += value * weights[q * room + k];
            }
        for (int q = 0; q < n; q++)
            UNROLLED for (int i = 0; i < part_size / LANES; i++) store(sums + q * size + part + i * LANES, sum[q][i]);
    }
}

/* How many of the first slots the queries [first, first + n) see any of: what none of them sees adds 0. */
static int64_t n_seen_by(const Head *h, int first, int n) {
    const int64_t n_slots = h->pass->n_slots;
    if (!h->mask) return n_slots;
    int64_t most = 0;
    for (int row = first / h->n_shared; row <= (first + n - 1) / h->n_shared; row++) {
        int64_t end = n_slots;
        while (end > most && !h->mask[row * n_slots + end - 1]) end--;
        most = end;
    }
    return most;
}

/* As attend_together, bit for bit, for up to TILE_QUERIES queries of keys that share one offset. `scratch` has room for
 * a tile and a sum for each query. */
static inline __attribute__((always_inline)) void attend_tiled(
    const Head *h, int first, const int n, const int size, const int part_size, float *scores, int64_t room,
    float *scratch) {
    const int64_t n_slots = n_seen_by(h, first, n);
    const int n_heads = h->model->n_heads;
    float *tile = scratch, *sums = scratch + TILE_SLOTS * size;
    const float *queries[TILE_QUERIES];
    float share[TILE_QUERIES];
    for (int q = 0; q < n; q++) {
        const int row = (first + q) / h->n_shared, head = h->kv_head * h->n_shared + (first + q) % h->n_shared;
        queries[q] = h->turned + ((size_t)row * n_heads + head) * size;
    }
    for (int64_t s = 0; s < n_slots; s += TILE_SLOTS) {
        widen_tile(h->keys, s, n_slots, size, tile);
        int q = 0;
        for (; q + 2 <= n; q += 2) score_tile(queries + q, 2, size, tile, scores + q * room + s, room);
        if (q < n) score_tile(queries + q, 1, size, tile, scores + q * room + s, room);
    }
    const int64_t used = (n_slots + LANES - 1) / LANES * LANES;
    for (int q = 0; q < n; q++) {
        const uint8_t *mask = h->mask ? h->mask + (first + q) / h->n_shared * h->pass->n_slots : NULL;
        const float total = to_weights(scores + q * room, mask, n_slots, used);
        share[q] = total > 0 ? 1 / total : 0;
    }
    memset(sums, 0, (size_t)n * size * sizeof(float));
    for (int64_t s = 0; s < n_slots; s += TILE_SLOTS) {
        const int n_here = n_slots - s < TILE_SLOTS ? (int)(n_slots - s) : TILE_SLOTS;
        widen_tile(h->values, s, n_slots, size, tile);
        int q = 0;
        for (; q + 2 <= n; q += 2) add_tile(scores + q * room + s, room, 2, size, part_size, tile, n_here, sums + q * size);
        if (q < n) add_tile(scores + q * room + s, room, 1, size, part_size, tile, n_here, sums + q * size);
    }
    for (int q = 0; q < n; q++) {
        const int row = (first + q) / h->n_shared, head = h->kv_head * h->n_shared + (first + q) % h->n_shared;
        float *out = h->seen + ((size_t)row * n_heads + head) * size;
        for (int i = 0; i < size; i += LANES) store(out + i, load(sums + q * size + i) * share[q]);
    }
}

/* Whether queries are taken in tiles: where they are many, and their products are of float32. */
static inline int is_tiled(const Work *work) {
    const int size = work->model->head_size;
    return work->pass->n_rows >= TILED_ROWS && !work->pass->offset_of && !goes_in_pairs(size) && size % TILE_PART == 0;
}

static inline int64_t room_for(const Pass *p) { return (p->n_slots + TILE_SLOTS - 1) / TILE_SLOTS * TILE_SLOTS; }

static void attend(const Work *work, int layer, int kv_head, int first, int n, float *scores) {
    const Model *m = work->model;
    const Pass *p = work->pass;
    const int64_t room = is_tiled(work) ? room_for(p) : (p->n_slots + LANES - 1) / LANES * LANES;
    const size_t at = ((size_t)layer * m->n_kv_heads + kv_head) * p->n_slots_there_are * m->head_size;
    const Head head = {m, p, p->rotated + at, p->values + at, work->turned, p->masks[m->layers[layer].mask], work->seen,
                       kv_head, m->n_heads / m->n_kv_heads};
    if (is_tiled(work)) {
        float *memory = scores + TILE_QUERIES * room;
        switch (m->head_size) {
            case 32: attend_tiled(&head, first, n, 32, TILE_PART, scores, room, memory); return;
            case 64: attend_tiled(&head, first, n, 64, TILE_PART, scores, room, memory); return;
            case 128: attend_tiled(&head, first, n, 128, TILE_PART, scores, room, memory); return;
            default: attend_tiled(&head, first, n, m->head_size, TILE_PART, scores, room, memory); return;
        }
    }
#if HAS_PAIRS
    switch (m->head_size) {
        case 32: attend_in_pairs_by(&head, first, n, QUERIES, 32, scores, room); return;
        case 64: attend_in_pairs_by(&head, first, n, QUERIES, 64, scores, room); return;
        case 128: attend_in_pairs_by(&head, first, n, 2, 128, scores, room); return;
        default: if (goes_in_pairs(m->head_size)) { attend_in_pairs_by(&head, first, n, 1, m->head_size, scores, room); return; }
    }
#endif
    switch (m->head_size) {
        case 32: attend_by(&head, first, n, QUERIES, 32, scores, room); break;
        case 64: attend_by(&head, first, n, LANES == 16 ? QUERIES : 1, 64, scores, room); break;
        case 128: attend_by(&head, first, n, LANES == 16 ? 2 : 1, 128, scores, room); break;
        default: attend_by(&head, first, n, 1, m->head_size, scores, room);
    }
}

/* A group of 32 of what the gates let through, rounded. */
static void gate(const Work *work, int row, int group) {
    const int n_mlp = work->model->n_mlp, at = group * GROUP;
    float *gates = work->up + (size_t)row * 2 * n_mlp + at, *ups = gates + n_mlp;
    for (int i = 0; i < GROUP; i += LANES) {
        floats x = load(gates + i);
        store(gates + i, x / (1.0f + exponential(-x)) * load(ups + i));
    }
    const size_t number = (size_t)row * n_mlp / GROUP + group;
    const Rounded to = work->mlp_rounded;
    round_rows(gates, 1, GROUP, (Rounded){to.codes + number * GROUP, to.scales + number, to.sums + number});
}

/* Where a thread is: a layer, and the rows normed and rounded for the product at hand. */
typedef struct {
    Work *work;
    const Layer *layer;
    int number;
    Rounded x;
    char *own;
} At;

typedef void (*Piece)(const At *at, int piece);

static void work_through(Job *job, int n_pieces, Piece run, const At *at) {
    for (int piece; (piece = take(job)) < n_pieces; finish(job)) run(at, piece);
    await(job, n_pieces);
}

static void run_qkv(const At *at, int piece) {
    multiply(&at->layer->qkv, piece, at->x, (int)at->work->pass->n_rows, at->work->heads);
}

static void run_place(const At *at, int row) { place(at->work, at->number, row); }

/* Of all rows, how many queries share a key/value head. */
static int n_shared(const Work *work) {
    return (int)work->pass->n_rows * (work->model->n_heads / work->model->n_kv_heads);
}

static int n_parts(const Work *work) {
    const int most = is_tiled(work) ? TILE_QUERIES : QUERIES;
    return (n_shared(work) + most - 1) / most;
}

/* Parts of a head in a piece: all, where there is a head for each thread, so that one core alone reads its keys. */
static int parts_at_once(const Work *work) { return work->model->n_kv_heads % work->n_threads ? 1 : n_parts(work); }

static int n_attend_pieces(const Work *work) {
    return work->model->n_kv_heads * (n_parts(work) / parts_at_once(work));
}

static void run_attend(const At *at, int piece) {
    const int at_once = parts_at_once(at->work), parts = n_parts(at->work), pieces = parts / at_once;
    const int first = piece % pieces * at_once, n_there_are = n_shared(at->work);
    for (int part = first; part < first + at_once; part++) {
        const int query = n_there_are * part / parts, end = n_there_are * (part + 1) / parts; /* 7 as 3 and 4 */
        attend(at->work, at->number, piece / pieces, query, end - query, (float *)at->own);
    }
}

static void run_round(const At *at, int row) {
    const int width = at->layer->out.n_in;
    round_rows(at->work->seen + (size_t)row * width, 1, width, row_of(at->work->seen_rounded, row, width));
}

static void run_out(const At *at, int piece) {
    multiply_and_add(at->work, &at->layer->out, piece, at->work->seen_rounded, at->work->heads);
}

static void run_up(const At *at, int piece) {
    multiply(&at->layer->up, piece, at->x, (int)at->work->pass->n_rows, at->work->up);
}

static void run_gate(const At *at, int piece) {
    const int n_groups = at->work->model->n_mlp / GROUP;
    gate(at->work, piece / n_groups, piece % n_groups);
}

static void run_down(const At *at, int piece) {
    multiply_and_add(at->work, &at->layer->down, piece, at->work->mlp_rounded, at->work->heads);
}

static void run_norm(const At *at, int row) {
    const Model *m = at->work->model;
    float *x = at->work->pass->x + (size_t)row * m->width;
    norm_row(x, m->norm, m->width, m->norm_eps, x);
}

enum { JOBS = 8 };

static void run_pass(void *data) {
    Work *work = data;
    const Model *m = work->model;
    const int n = (int)work->pass->n_rows;
    Job *job = work->jobs;
    At at = {.work = work, .own = work->own + atomic_fetch_add(&work->n_entered, 1) * work->own_bytes};
    for (int l = 0; l < m->n_layers; l++) {
        const Layer *layer = at.layer = &m->layers[l];
        at.number = l;
        /* what a thread rounds while others are further on is wrong, and then no piece is left to use it for */
        at.x = norm_and_round(work, layer->norm_in, at.own);
        work_through(job++, n_pieces_of(&layer->qkv), run_qkv, &at);
        work_through(job++, n, run_place, &at);
        work_through(job++, n_attend_pieces(work), run_attend, &at);
        work_through(job++, n, run_round, &at);
        work_through(job++, n_pieces_of(&layer->out), run_out, &at);
        at.x = norm_and_round(work, layer->norm_mlp, at.own);
        work_through(job++, n_pieces_of(&layer->up), run_up, &at);
        work_through(job++, n * (m->n_mlp / GROUP), run_gate, &at);
        work_through(job++, n_pieces_of(&layer->down), run_down, &at);
    }
    work_through(job, n, run_norm, &at);
}

/* Memory that a thread keeps from call to call; NULL where there is none to be had. */
static char *scratch(size_t n_bytes) {
    static _Thread_local char *kept = NULL;
    static _Thread_local size_t n_kept = 0;
    if (n_kept < n_bytes) {
        free(kept);
        kept = aligned_alloc(64, (n_bytes + 4095) / 4096 * 4096);
        n_kept = kept ? n_bytes : 0;
    }
    return kept;
}

static char *part(char **rest, size_t n_bytes) {
    char *start = *rest;
    *rest += (n_bytes + 63) / 64 * 64;
    return start;
}

static void run_all(void (*work)(void *), void *data, int n_threads, Parallel parallel) {
    if (n_threads == 1)
        work(data);
    else
        parallel(work, data, (unsigned)n_threads, 0);
}

/* Runs a pass; 0, or 1 where memory is out, and then nothing has changed. */
int warmline_pass(const Model *m, const Pass *p, int n_threads, Parallel parallel) {
    const size_t n = p->n_rows, floats_ = sizeof(float), width = (size_t)m->n_heads * m->head_size;
    const size_t n_all = width + 2 * (size_t)m->n_kv_heads * m->head_size;
    const size_t heads = n * (n_all > (size_t)m->width ? n_all : (size_t)m->width) * floats_;
    const size_t normed = n * m->width * floats_ + rounded_bytes(n * m->width);
    const size_t scores =
        (TILE_QUERIES * (size_t)room_for(p) + (TILE_SLOTS + TILE_QUERIES) * (size_t)m->head_size) * floats_;
    Work work = {.model = m, .pass = p, .n_threads = n_threads};
    work.own_bytes = ((normed > scores ? normed : scores) + 63) / 64 * 64;
    const size_t sizes[] = {heads, n * width * floats_, 2 * n * m->n_mlp * floats_, n * p->n_offsets * width * floats_,
                            rounded_bytes(n * width), rounded_bytes(n * m->n_mlp), n_threads * work.own_bytes,
                            ((size_t)m->n_layers * JOBS + 1) * sizeof(Job)};
    enum { PARTS = sizeof sizes / sizeof *sizes };
    size_t total = 0;
    char *at[PARTS];
    for (int i = 0; i < PARTS; i++) total += sizes[i] + 64;
    char *rest = scratch(total);
    if (!rest) return 1;
    for (int i = 0; i < PARTS; i++) at[i] = part(&rest, sizes[i]);
    work.heads = (float *)at[0], work.seen = (float *)at[1], work.up = (float *)at[2], work.turned = (float *)at[3];
    work.seen_rounded = rounded_at(at[4], n * width), work.mlp_rounded = rounded_at(at[5], n * m->n_mlp);
    work.own = at[6], work.jobs = (Job *)at[7];
    memset(work.jobs, 0, sizes[7]);
    run_all(run_pass, &work, n_threads, parallel);
    return 0;
}

typedef struct {
    const Matrix *by;
    Rounded x;
    float *out;
    int n_rows;
    Job job;
} Product;

static void run_product(void *data) {
    Product *work = data;
    const int n_pieces = n_pieces_of(work->by);
    for (int piece; (piece = take(&work->job)) < n_pieces;) multiply(work->by, piece, work->x, work->n_rows, work->out);
}

/* x Wᵀ + b. Shapes: x [n, in], out [n, out]. 0, or 1 where memory is out. */
int warmline_product(const Matrix *by, const float *x, int n_rows, float *out, int n_threads, Parallel parallel) {
    char *memory = scratch(rounded_bytes((size_t)n_rows * by->n_in));
    if (!memory) return 1;
    Product work = {.by = by, .x = rounded_at(memory, (size_t)n_rows * by->n_in), .out = out, .n_rows = n_rows};
    round_rows(x, n_rows, by->n_in, work.x);
    run_all(run_product, &work, n_threads, parallel);
    return 0;
}

typedef struct {
    float *logits;
    const bf16 *weight;
    const float *x;
    char *memory; /* row_bytes of it for each row */
    size_t row_bytes;
    int n_rows, n_out, n_in, n_highest;
    Job job;
} Rescoring;

static void run_rescoring(void *data) {
    Rescoring *work = data;
    for (int row; (row = take(&work->job)) < work->n_rows;) {
        float *logits = work->logits + (int64_t)row * work->n_out;
        float *maxima = (float *)(work->memory + row * work->row_bytes);
        Candidate *runs = (Candidate *)(maxima + n_runs_of(work->n_out)), *found = runs + work->n_highest;
        find_highest(logits, work->n_out, work->n_highest, maxima, runs, found);
        make_exact(logits, found, work->n_highest, work->weight, work->x + (int64_t)row * work->n_in, work->n_in);
    }
}

/* Makes the n_highest of each row's logits exact. Shapes: logits [n, out], weight [out, in], x [n, in]; n_highest is at
 * most out. 0, or 1 where memory is out. */
int warmline_rescore(float *logits, const bf16 *weight, const float *x, int n_rows, int n_out, int n_in, int n_highest,
                     int n_threads, Parallel parallel) {
    const size_t row_bytes = n_runs_of(n_out) * sizeof(float) + (size_t)2 * n_highest * sizeof(Candidate);
    char *memory = scratch(n_rows * row_bytes);
    if (!memory) return 1;
    Rescoring work = {logits, weight, x, memory, row_bytes, n_rows, n_out, n_in, n_highest, {0}};
    run_all(run_rescoring, &work, n_rows == 1 ? 1 : n_threads, parallel);
    return 0;
}

/* What the caller's description of the structures must agree with. */
void warmline_sizes(int sizes[4]) {
    sizes[0] = sizeof(Matrix), sizes[1] = sizeof(Layer), sizes[2] = sizeof(Model), sizes[3] = sizeof(Pass);
}
