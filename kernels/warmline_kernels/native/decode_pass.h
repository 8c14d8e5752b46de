/* One pass of rows through all layers of a decoder with int4 or int8 weights.
 *
 * A layer is a series of jobs; run_pass, at the end, lists them. The arithmetic is that of the engine's
 * model/transformer.py, and that of ../reference.py for attention. Hidden states are float32; keys and values are
 * stored in bf16. Shape letters: T rows, S slots, G rotations of a query, L layers, Hq and Hk query and key/value
 * heads, D head size.
 */
#pragma once
#include "tiled_attention.h"
#include "threads.h"

typedef struct {
    Matrix qkv, out, up, down;
    const bf16 *norm_in, *norm_mlp;    /* [width] */
    const bf16 *query_norm, *key_norm; /* [D], or NULL */
    int32_t mask;                      /* which of the pass's masks */
} Layer;

typedef struct {
    const Layer *layers;
    const bf16 *norm;
    int32_t n_layers, width, n_heads, n_kv_heads, head_size, n_mlp, rotary_dim;
    float norm_eps, residual_multiplier, attention_scale;
} Model;

typedef struct {
    float *x;                           /* [T, width]: embeddings in, normed output of the last layer out */
    bf16 *unrotated, *rotated, *values; /* [L, Hk, slot capacity, D] */
    const int64_t *slots;               /* [T]: where the keys and values of the rows go */
    const float *key_cos, *key_sin;     /* [T, rotary_dim / 2] */
    const float *query_cos, *query_sin; /* [G, T, rotary_dim / 2] */
    const int64_t *offset_of;           /* [S]: which rotation belongs to each slot; NULL where there is one */
    const uint8_t *masks[2];            /* [T, S]: what each row sees; NULL where all */
    int64_t n_rows, n_slots, slot_capacity, n_offsets;
} Pass;

/* What the threads of a pass share. */
typedef struct {
    const Model *model;
    const Pass *pass;
    Job *jobs;
    atomic_int n_entered;
    int n_threads;
    float *projected;              /* [T, heads · D or width]: the output of qkv, out or down */
    float *queries;                /* [T, Hq, G, D], rotated and scaled; bf16 where uses_bf16(D) */
    float *attended;               /* [T, Hq, D] */
    float *gate_up;                /* [T, 2 · n_mlp] */
    QuantizedRows attended_int8;   /* [T, Hq · D] */
    QuantizedRows mlp_int8;        /* [T, n_mlp] */
    size_t scratch_bytes;
    char *scratch;                 /* scratch_bytes for each thread */
} PassState;

/* Where a thread is: a layer, and the normed rows that its product takes. */
typedef struct {
    PassState *state;
    const Layer *layer;
    int layer_number;
    QuantizedRows x;
    char *scratch;
} ThreadContext;

typedef void (*RunPiece)(const ThreadContext *thread, int piece);

static void run_job(Job *job, int n_pieces, RunPiece run, const ThreadContext *thread) {
    for (int piece; (piece = take_piece(job)) < n_pieces; finish_piece(job)) run(thread, piece);
    wait_for_job(job, n_pieces);
}

static void rms_norm(const float *x, const bf16 *weight, int size, float eps, float *to) {
    floats squares = {0};
    for (int i = 0; i < size; i += LANES) squares += load(x + i) * load(x + i);
    float scale = 1.0f / sqrtf(sum_lanes(squares) / (float)size + eps);
    for (int i = 0; i < size; i += LANES) store(to + i, load(x + i) * scale * load_bf16(weight + i));
}

/* Norms and quantizes all rows. Each thread does so itself, which takes less time than waiting for another. */
static QuantizedRows norm_and_quantize(const PassState *state, const bf16 *weight, char *scratch) {
    const Model *m = state->model;
    const int n = (int)state->pass->n_rows, width = m->width;
    const size_t n_numbers = (size_t)n * width;
    float *normed = (float *)scratch;
    const QuantizedRows out = quantized_at((char *)(normed + n_numbers), n_numbers);
    for (int r = 0; r < n; r++)
        rms_norm(state->pass->x + (size_t)r * width, weight, width, m->norm_eps, normed + (size_t)r * width);
    quantize_rows(normed, n, width, out);
    return out;
}

/* Adds a product to the hidden states. */
static void matmul_and_add_piece(const PassState *state, const Matrix *weights, int piece, QuantizedRows x) {
    const int n = (int)state->pass->n_rows, width = weights->n_out, size = blocks_per_piece(weights) * BLOCK;
    const int first = piece * size, end = first + size < width ? first + size : width;
    matmul_piece(weights, piece, x, n, state->projected);
    for (int r = 0; r < n; r++)
        for (int o = first; o < end; o += LANES) {
            float *to = state->pass->x + (size_t)r * width + o;
            const floats added = load(state->projected + (size_t)r * width + o);
            store(to, load(to) + added * state->model->residual_multiplier);
        }
}

static void run_qkv(const ThreadContext *thread, int piece) {
    const PassState *state = thread->state;
    matmul_piece(&thread->layer->qkv, piece, thread->x, (int)state->pass->n_rows, state->projected);
}

/* Applies the rotary embedding to a head, in the half-split layout. */
static void apply_rotary(const float *head, const float *cos, const float *sin, int rotary_dim, int size, float *to) {
    const int half = rotary_dim / 2;
    for (int i = 0; i < half; i++) {
        float low = head[i], high = head[half + i];
        to[i] = low * cos[i] - high * sin[i];
        to[half + i] = high * cos[i] + low * sin[i];
    }
    for (int i = rotary_dim; i < size; i++) to[i] = head[i];
}

static void write_bf16(const float *from, int n, bf16 *to) {
    for (int i = 0; i < n; i++) to[i] = to_bf16(from[i]);
}

/* Writes a row's keys and values into its slot. `rotated` has room for a head. */
static void write_kv(const ThreadContext *thread, int row, float *key, float *rotated) {
    const Model *m = thread->state->model;
    const Pass *p = thread->state->pass;
    const Layer *layer = thread->layer;
    const int size = m->head_size;
    const size_t angles = (size_t)row * (m->rotary_dim / 2);
    for (int h = 0; h < m->n_kv_heads; h++, key += size) {
        const float *value = key + m->n_kv_heads * size;
        const size_t head = (size_t)thread->layer_number * m->n_kv_heads + h;
        const size_t slot = (head * p->slot_capacity + p->slots[row]) * size;
        if (layer->key_norm) rms_norm(key, layer->key_norm, size, m->norm_eps, key);
        apply_rotary(key, p->key_cos + angles, p->key_sin + angles, m->rotary_dim, size, rotated);
        write_bf16(key, size, p->unrotated + slot);
        write_bf16(rotated, size, p->rotated + slot);
        write_bf16(value, size, p->values + slot);
    }
}

/* Rotates a row's queries, once for each offset, and writes its keys and values. */
static void run_rotary(const ThreadContext *thread, int row) {
    const PassState *state = thread->state;
    const Model *m = state->model;
    const Pass *p = state->pass;
    const Layer *layer = thread->layer;
    const int size = m->head_size;
    float *heads = state->projected + (size_t)row * (m->n_heads + 2 * m->n_kv_heads) * size;
    float rotated[size];
    for (int h = 0; h < m->n_heads; h++) {
        float *query = heads + h * size;
        if (layer->query_norm) rms_norm(query, layer->query_norm, size, m->norm_eps, query);
        for (int64_t g = 0; g < p->n_offsets; g++) {
            const size_t angles = ((size_t)g * p->n_rows + row) * (m->rotary_dim / 2);
            const size_t to = (((size_t)row * m->n_heads + h) * p->n_offsets + g) * size;
            apply_rotary(query, p->query_cos + angles, p->query_sin + angles, m->rotary_dim, size, rotated);
            for (int i = 0; i < size; i += LANES) store(rotated + i, load(rotated + i) * m->attention_scale);
            if (uses_bf16(size))
                write_bf16(rotated, size, (bf16 *)state->queries + to);
            else
                memcpy(state->queries + to, rotated, size * sizeof(float));
        }
    }
    write_kv(thread, row, heads + m->n_heads * size, rotated);
}

static int is_tiled(const PassState *state) {
    return uses_tiles(state->pass->n_rows, state->pass->offset_of != NULL, state->model->head_size);
}

/* How many queries share a key/value head, those of all rows. */
static int n_queries(const PassState *state) {
    return (int)state->pass->n_rows * (state->model->n_heads / state->model->n_kv_heads);
}

/* Into how many parts they are divided. */
static int n_parts(const PassState *state) {
    const int max = is_tiled(state) ? TILE_QUERIES : MAX_QUERIES;
    return (n_queries(state) + max - 1) / max;
}

/* How many parts a piece has: all those of a head where each thread gets the same number of heads, so that only one
 * core reads a head's keys. */
static int parts_per_piece(const PassState *state) {
    return state->model->n_kv_heads % state->n_threads ? 1 : n_parts(state);
}

static int n_attention_pieces(const PassState *state) {
    return state->model->n_kv_heads * (n_parts(state) / parts_per_piece(state));
}

static void run_attention(const ThreadContext *thread, int piece) {
    const PassState *state = thread->state;
    const Model *m = state->model;
    const Pass *p = state->pass;
    const int per_piece = parts_per_piece(state), parts = n_parts(state), pieces_per_head = parts / per_piece;
    const int kv_head = piece / pieces_per_head, first = piece % pieces_per_head * per_piece, n = n_queries(state);
    const size_t head = ((size_t)thread->layer_number * m->n_kv_heads + kv_head) * p->slot_capacity * m->head_size;
    const Attention attention = {
        .keys = p->rotated + head,
        .values = p->values + head,
        .queries = state->queries,
        .offset_of = p->offset_of,
        .mask = p->masks[thread->layer->mask],
        .out = state->attended,
        .n_slots = p->n_slots,
        .n_rotations = p->n_offsets,
        .head_size = m->head_size,
        .n_heads = m->n_heads,
        .kv_head = kv_head,
        .n_shared = m->n_heads / m->n_kv_heads,
    };
    for (int part = first; part < first + per_piece; part++) {
        const int query = n * part / parts, end = n * (part + 1) / parts; /* 7 queries as 3 and 4 */
        if (is_tiled(state))
            attend_tiled(&attention, query, end - query, (float *)thread->scratch);
        else
            attend(&attention, query, end - query, (float *)thread->scratch);
    }
}

static void run_quantize(const ThreadContext *thread, int row) {
    const int width = thread->layer->out.n_in;
    const PassState *state = thread->state;
    quantize_rows(state->attended + (size_t)row * width, 1, width, quantized_row(state->attended_int8, row, width));
}

static void run_out(const ThreadContext *thread, int piece) {
    matmul_and_add_piece(thread->state, &thread->layer->out, piece, thread->state->attended_int8);
}

static void run_up(const ThreadContext *thread, int piece) {
    const PassState *state = thread->state;
    matmul_piece(&thread->layer->up, piece, thread->x, (int)state->pass->n_rows, state->gate_up);
}

/* SwiGLU of a group of 32 dimensions of a row, quantized. */
static void run_swiglu(const ThreadContext *thread, int piece) {
    const PassState *state = thread->state;
    const int n_mlp = state->model->n_mlp, n_groups = n_mlp / GROUP, row = piece / n_groups, group = piece % n_groups;
    float *gates = state->gate_up + (size_t)row * 2 * n_mlp + group * GROUP, *ups = gates + n_mlp;
    for (int i = 0; i < GROUP; i += LANES) {
        floats x = load(gates + i);
        store(gates + i, x / (1.0f + exp_lanes(-x)) * load(ups + i));
    }
    const size_t number = (size_t)row * n_mlp / GROUP + group;
    const QuantizedRows to = state->mlp_int8;
    quantize_rows(gates, 1, GROUP, (QuantizedRows){to.codes + number * GROUP, to.scales + number, to.sums + number});
}

static void run_down(const ThreadContext *thread, int piece) {
    matmul_and_add_piece(thread->state, &thread->layer->down, piece, thread->state->mlp_int8);
}

static void run_last_norm(const ThreadContext *thread, int row) {
    const Model *m = thread->state->model;
    float *x = thread->state->pass->x + (size_t)row * m->width;
    rms_norm(x, m->norm, m->width, m->norm_eps, x);
}

enum { JOBS_PER_LAYER = 8 };

/* What each thread runs. */
static void run_pass(void *data) {
    PassState *state = data;
    const Model *m = state->model;
    const int n = (int)state->pass->n_rows;
    const size_t scratch = atomic_fetch_add(&state->n_entered, 1) * state->scratch_bytes;
    Job *job = state->jobs;
    ThreadContext thread = {.state = state, .scratch = state->scratch + scratch};
    for (int l = 0; l < m->n_layers; l++) {
        const Layer *layer = thread.layer = &m->layers[l];
        thread.layer_number = l;
        /* A late thread may read rows that others change already. It then finds no piece left to use the result for. */
        thread.x = norm_and_quantize(state, layer->norm_in, thread.scratch);
        run_job(job++, n_matmul_pieces(&layer->qkv), run_qkv, &thread);
        run_job(job++, n, run_rotary, &thread);
        run_job(job++, n_attention_pieces(state), run_attention, &thread);
        run_job(job++, n, run_quantize, &thread);
        run_job(job++, n_matmul_pieces(&layer->out), run_out, &thread);
        thread.x = norm_and_quantize(state, layer->norm_mlp, thread.scratch);
        run_job(job++, n_matmul_pieces(&layer->up), run_up, &thread);
        run_job(job++, n * (m->n_mlp / GROUP), run_swiglu, &thread);
        run_job(job++, n_matmul_pieces(&layer->down), run_down, &thread);
    }
    run_job(job, n, run_last_norm, &thread);
}
