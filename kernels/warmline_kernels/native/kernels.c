/* The functions that Python calls: a decode pass, a matrix product, and the exact logits of the top candidates.
 *
 * Each returns 0, or 1 when no memory is left; then nothing has changed.
 */
#include "decode_pass.h"
#include "rescore.h"
#include <stdlib.h>

/* Memory that a thread keeps from call to call; NULL when none is left. */
static char *kept_memory(size_t n_bytes) {
    static _Thread_local char *kept = NULL;
    static _Thread_local size_t n_kept = 0;
    if (n_kept < n_bytes) {
        free(kept);
        kept = aligned_alloc(64, (n_bytes + 4095) / 4096 * 4096);
        n_kept = kept ? n_bytes : 0;
    }
    return kept;
}

/* The first n_bytes of the rest, which then starts at the next cache line. */
static char *take_bytes(char **rest, size_t n_bytes) {
    char *start = *rest;
    *rest += (n_bytes + 63) / 64 * 64;
    return start;
}

/* Runs a pass. */
int warmline_pass(const Model *m, const Pass *p, int n_threads, Parallel parallel) {
    const size_t n = p->n_rows, width = m->width, attended = (size_t)m->n_heads * m->head_size;
    const size_t qkv = attended + 2 * (size_t)m->n_kv_heads * m->head_size;
    const size_t normed = n * width * sizeof(float) + quantized_bytes(n * width);
    const size_t scores = tiled_scratch(p->n_slots, m->head_size) * sizeof(float);
    PassState state = {.model = m, .pass = p, .n_threads = n_threads};
    state.scratch_bytes = ((normed > scores ? normed : scores) + 63) / 64 * 64;
    const size_t sizes[] = {
        n * (qkv > width ? qkv : width) * sizeof(float),
        n * p->n_offsets * attended * sizeof(float),
        n * attended * sizeof(float),
        2 * n * m->n_mlp * sizeof(float),
        quantized_bytes(n * attended),
        quantized_bytes(n * m->n_mlp),
        n_threads * state.scratch_bytes,
        ((size_t)m->n_layers * JOBS_PER_LAYER + 1) * sizeof(Job),
    };
    enum { N_PARTS = sizeof sizes / sizeof *sizes };
    size_t total = 0;
    for (int i = 0; i < N_PARTS; i++) total += sizes[i] + 64;
    char *rest = kept_memory(total), *parts[N_PARTS];
    if (!rest) return 1;
    for (int i = 0; i < N_PARTS; i++) parts[i] = take_bytes(&rest, sizes[i]);
    state.projected = (float *)parts[0];
    state.queries = (float *)parts[1];
    state.attended = (float *)parts[2];
    state.gate_up = (float *)parts[3];
    state.attended_int8 = quantized_at(parts[4], n * attended);
    state.mlp_int8 = quantized_at(parts[5], n * m->n_mlp);
    state.scratch = parts[6];
    state.jobs = memset(parts[7], 0, sizes[7]);
    run_on_threads(run_pass, &state, n_threads, parallel);
    return 0;
}

typedef struct {
    const Matrix *weights;
    QuantizedRows x;
    float *out;
    int n_rows;
    Job job;
} Product;

static void run_product(void *data) {
    Product *work = data;
    const int n_pieces = n_matmul_pieces(work->weights);
    for (int piece; (piece = take_piece(&work->job)) < n_pieces;)
        matmul_piece(work->weights, piece, work->x, work->n_rows, work->out);
}

/* x Wᵀ + b. Shapes: x [n, in], out [n, out]. */
int warmline_product(const Matrix *weights, const float *x, int n_rows, float *out, int n_threads, Parallel parallel) {
    const size_t n_numbers = (size_t)n_rows * weights->n_in;
    char *memory = kept_memory(quantized_bytes(n_numbers));
    if (!memory) return 1;
    Product work = {.weights = weights, .x = quantized_at(memory, n_numbers), .out = out, .n_rows = n_rows};
    quantize_rows(x, n_rows, weights->n_in, work.x);
    run_on_threads(run_product, &work, n_threads, parallel);
    return 0;
}

typedef struct {
    float *logits;
    const bf16 *weight;
    const float *x;
    char *memory; /* row_bytes for each row */
    size_t row_bytes;
    int n_rows, n_out, n_in, n_top;
    Job job;
} Rescoring;

static void run_rescoring(void *data) {
    Rescoring *work = data;
    for (int row; (row = take_piece(&work->job)) < work->n_rows;) {
        float *logits = work->logits + (int64_t)row * work->n_out;
        float *maxima = (float *)(work->memory + row * work->row_bytes);
        Candidate *runs = (Candidate *)(maxima + n_runs_of(work->n_out)), *top = runs + work->n_top;
        find_top(logits, work->n_out, work->n_top, maxima, runs, top);
        rescore_row(logits, top, work->n_top, work->weight, work->x + (int64_t)row * work->n_in, work->n_in);
    }
}

/* Replaces the n_top highest logits of each row by exact ones.
 * Shapes: logits [n, out], weight [out, in], x [n, in]; n_top is at most out. */
int warmline_rescore(float *logits, const bf16 *weight, const float *x, int n_rows, int n_out, int n_in, int n_top,
                     int n_threads, Parallel parallel) {
    const size_t row_bytes = n_runs_of(n_out) * sizeof(float) + (size_t)2 * n_top * sizeof(Candidate);
    char *memory = kept_memory(n_rows * row_bytes);
    if (!memory) return 1;
    Rescoring work = {logits, weight, x, memory, row_bytes, n_rows, n_out, n_in, n_top, {0}};
    run_on_threads(run_rescoring, &work, n_rows == 1 ? 1 : n_threads, parallel);
    return 0;
}

/* Sizes of the structures. Python compares them with its own descriptions. */
void warmline_sizes(int sizes[4]) {
    sizes[0] = sizeof(Matrix), sizes[1] = sizeof(Layer), sizes[2] = sizeof(Model), sizes[3] = sizeof(Pass);
}
