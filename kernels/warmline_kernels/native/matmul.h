/* Matrix products of a few rows with int4 or int8 weights.
 *
 * Weights are stored in blocks of 16 outputs, each with all its inputs, so that a register holds four inputs of each of
 * its outputs and no sum crosses lanes. Rows are quantized to int8, with one scale per 32 inputs. The result of a row
 * does not depend on the other rows, to the bit.
 *
 * An int4 block has, for each group of 32 inputs, 16 scales and 16 zeros in bf16 and 4 vectors of 64 bytes. Byte 4o + i
 * of vector v holds output o: input 8v + i in its low half, input 8v + 4 + i in its high half.
 * An int8 block has 16 scales in float32, and a vector of 64 bytes for every 4 inputs. Byte 4o + i of vector v holds
 * output o, input 4v + i, plus 128.
 */
#pragma once
#include "vectors.h"

enum { BLOCK = 16, GROUP = 32, HEADER4 = 64, GROUP4 = HEADER4 + GROUP * BLOCK / 2, HEADER8 = 64 };

/* Rows that a block is multiplied with at once: as many as the registers hold sums for. The next weights are fetched
 * while these rows are multiplied, so few large groups beat many small ones (docs/decisions/0023). */
enum { ROWS_AT_ONCE = LANES == 16 ? 10 : 4 };

/* Distances of prefetching in bytes: from memory into the second-level cache, and from there into the first level.
 * One step straight into the first level is slower, since few fetches may wait there (docs/decisions/0023). */
enum { PREFETCH_L2 = 4096, PREFETCH_L1 = 512 };

/* A group whose magnitudes are all below this is 0: its scale could not be inverted. */
#define MIN_MAGNITUDE 1e-30f

typedef struct {
    const uint8_t *blocks;
    const bf16 *bias; /* [out], or NULL */
    int32_t n_out, n_in, bits;
} Matrix;

/* Rows in int8. Shapes: codes [n, in], scales and sums [n, in / GROUP]; a sum is that of a group's codes. */
typedef struct {
    int8_t *codes;
    float *scales;
    int32_t *sums;
} QuantizedRows;

/* Bytes that n quantized numbers need. */
static size_t quantized_bytes(size_t n) { return n + 2 * n / GROUP * sizeof(float); }

/* Lays out n numbers in memory of quantized_bytes(n). */
static QuantizedRows quantized_at(char *start, size_t n) {
    QuantizedRows out = {.scales = (float *)start};
    out.sums = (int32_t *)(out.scales + n / GROUP);
    out.codes = (int8_t *)(out.sums + n / GROUP);
    return out;
}

static inline QuantizedRows quantized_row(QuantizedRows rows, int64_t row, int n_in) {
    const int64_t group = row * n_in / GROUP;
    return (QuantizedRows){rows.codes + row * n_in, rows.scales + group, rows.sums + group};
}

/* Quantizes rows to int8. NaN counts as 0. */
static void quantize_rows(const float *x, int n_rows, int n_in, QuantizedRows to) {
    const int64_t n_groups = (int64_t)n_rows * n_in / GROUP;
    for (int64_t g = 0; g < n_groups; g++, x += GROUP) {
        floats magnitudes = {0};
        for (int i = 0; i < GROUP; i += LANES)
            magnitudes = max_lanes((floats)((ints)load(x + i) & 0x7fffffff), magnitudes);
        const float max = max_lane(magnitudes);
        const float inverse = max > MIN_MAGNITUDE ? 127.0f / max : 0;
        ints sums = {0};
        for (int i = 0; i < GROUP; i += LANES) {
            const ints codes = __builtin_convertvector(nan_to_zero(round_whole(load(x + i) * inverse)), ints);
            sums += codes;
            for (int lane = 0; lane < LANES; lane++) to.codes[g * GROUP + i + lane] = (int8_t)codes[lane];
        }
        int32_t sum = 0;
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        to.scales[g] = max / 127.0f;
        to.sums[g] = sum;
    }
}

static inline int64_t block_bytes(const Matrix *m) {
    return m->bits == 4 ? (int64_t)m->n_in / GROUP * GROUP4 : HEADER8 + (int64_t)m->n_in * BLOCK;
}

/* Adds to each lane the dot product of its four codes with the row's four. Codes are 0..15 where is_small. Otherwise
 * they are 0..255, and the result is too large by ZERO_POINT8 times the sum of the row's codes. */
#if defined(__AVX512VNNI__) && LANES == 16
#define ZERO_POINT8 128
static inline ints dot(ints sum, ints codes, int32_t four, int is_small) {
    (void)is_small;
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, _mm512_set1_epi32(four));
}
#elif defined(__AVXVNNI__)
#define ZERO_POINT8 128
static inline ints dot(ints sum, ints codes, int32_t four, int is_small) {
    (void)is_small;
    return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)codes, _mm256_set1_epi32(four));
}
#else
#define ZERO_POINT8 0
static inline ints dot(ints sum, ints codes, int32_t four, int is_small) {
    __m256i bytes = (__m256i)codes, row = _mm256_set1_epi32(four);
    if (!is_small) {
        /* two products of up to 255 · 127 would overflow 16 bits: subtract 128, which leaves at most 127 */
        bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
        row = _mm256_sign_epi8(row, bytes);
        bytes = _mm256_abs_epi8(bytes);
    }
    __m256i pairs = _mm256_maddubs_epi16(bytes, row);
    return sum + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#endif

/* Prefetches what a reader of consecutive memory needs after the n_bytes at `at`. An address past the end of the array
 * does no harm: prefetching is a hint. */
static inline void prefetch(const void *at, int n_bytes) {
    for (int line = 0; line < n_bytes; line += 64) {
        __builtin_prefetch((const uint8_t *)at + PREFETCH_L2 + line, 0, 2);
        __builtin_prefetch((const uint8_t *)at + PREFETCH_L1 + line, 0, 3);
    }
}

static inline ints load_bytes(const uint8_t *from) {
    ints out;
    memcpy(&out, from, sizeof out);
    return out;
}

static inline int32_t load_four(const int8_t *codes) {
    int32_t four;
    memcpy(&four, codes, 4);
    return four;
}

SPECIALIZED void multiply_int4_block(
    const uint8_t *block, int n_in, QuantizedRows x, int row, const int n, float out[][BLOCK]) {
    const int n_groups = n_in / GROUP;
    for (int lane = 0; lane < BLOCK; lane += LANES) {
        const uint8_t *at = block;
        floats total[ROWS_AT_ONCE];
        UNROLLED for (int r = 0; r < n; r++) total[r] = (floats){0};
        for (int g = 0; g < n_groups; g++, at += GROUP4) {
            if (lane == 0) prefetch(at, GROUP4);
            ints sums[ROWS_AT_ONCE];
            UNROLLED for (int r = 0; r < n; r++) sums[r] = (ints){0} - 8 * x.sums[(row + r) * n_groups + g];
            for (int v = 0; v < GROUP / 8; v++) {
                ints both = load_bytes(at + HEADER4 + 64 * v + 4 * lane);
                ints first = both & 0x0f0f0f0f, second = (ints)((words)both >> 4) & 0x0f0f0f0f;
                UNROLLED for (int r = 0; r < n; r++) {
                    const int8_t *codes = x.codes + (int64_t)(row + r) * n_in + g * GROUP + 8 * v;
                    sums[r] = dot(sums[r], first, load_four(codes), 1);
                    sums[r] = dot(sums[r], second, load_four(codes + 4), 1);
                }
            }
            floats scales = load_bf16((const bf16 *)at + lane), zeros = load_bf16((const bf16 *)at + BLOCK + lane);
            UNROLLED for (int r = 0; r < n; r++) {
                float scale = x.scales[(row + r) * n_groups + g];
                float sum = scale * (float)x.sums[(row + r) * n_groups + g];
                total[r] += __builtin_convertvector(sums[r], floats) * scale * scales;
                total[r] += zeros * sum;
            }
        }
        UNROLLED for (int r = 0; r < n; r++) store(out[r] + lane, total[r]);
    }
}

SPECIALIZED void multiply_int8_block(
    const uint8_t *block, int n_in, QuantizedRows x, int row, const int n, float out[][BLOCK]) {
    const int n_groups = n_in / GROUP;
    for (int lane = 0; lane < BLOCK; lane += LANES) {
        const uint8_t *at = block + HEADER8;
        floats total[ROWS_AT_ONCE];
        UNROLLED for (int r = 0; r < n; r++) total[r] = (floats){0};
        for (int g = 0; g < n_groups; g++, at += GROUP * BLOCK) {
            if (lane == 0) prefetch(at, GROUP * BLOCK);
            ints sums[ROWS_AT_ONCE];
            UNROLLED for (int r = 0; r < n; r++) sums[r] = (ints){0} - ZERO_POINT8 * x.sums[(row + r) * n_groups + g];
            for (int v = 0; v < GROUP / 4; v++) {
                ints codes = load_bytes(at + 64 * v + 4 * lane);
                UNROLLED for (int r = 0; r < n; r++) {
                    const int8_t *row_codes = x.codes + (int64_t)(row + r) * n_in + g * GROUP + 4 * v;
                    sums[r] = dot(sums[r], codes, load_four(row_codes), 0);
                }
            }
            UNROLLED for (int r = 0; r < n; r++)
                total[r] += __builtin_convertvector(sums[r], floats) * x.scales[(row + r) * n_groups + g];
        }
        UNROLLED for (int r = 0; r < n; r++) store(out[r] + lane, total[r] * load((const float *)block + lane));
    }
}

SPECIALIZED void multiply_block_rows(
    const Matrix *m, const uint8_t *block, QuantizedRows x, int row, const int n, float out[][BLOCK]) {
    if (m->bits == 4)
        multiply_int4_block(block, m->n_in, x, row, n, out);
    else
        multiply_int8_block(block, m->n_in, x, row, n, out);
}

/* Multiplies all rows with a block, and adds the bias. Shape: out [n_rows, n_out], of which 16 columns are written. */
static void multiply_block(const Matrix *m, int number, QuantizedRows x, int n_rows, float *out) {
    const uint8_t *block = m->blocks + number * block_bytes(m);
    for (int row = 0; row < n_rows; row += ROWS_AT_ONCE) {
        float some[ROWS_AT_ONCE][BLOCK];
        int n = n_rows - row < ROWS_AT_ONCE ? n_rows - row : ROWS_AT_ONCE;
        switch (n) { /* a constant, so that sums stay in registers */
            case 10: if (ROWS_AT_ONCE >= 10) multiply_block_rows(m, block, x, row, 10, some); break;
            case 9: if (ROWS_AT_ONCE >= 9) multiply_block_rows(m, block, x, row, 9, some); break;
            case 8: if (ROWS_AT_ONCE >= 8) multiply_block_rows(m, block, x, row, 8, some); break;
            case 7: if (ROWS_AT_ONCE >= 7) multiply_block_rows(m, block, x, row, 7, some); break;
            case 6: if (ROWS_AT_ONCE >= 6) multiply_block_rows(m, block, x, row, 6, some); break;
            case 5: if (ROWS_AT_ONCE >= 5) multiply_block_rows(m, block, x, row, 5, some); break;
            case 4: multiply_block_rows(m, block, x, row, 4, some); break;
            case 3: multiply_block_rows(m, block, x, row, 3, some); break;
            case 2: multiply_block_rows(m, block, x, row, 2, some); break;
            default: multiply_block_rows(m, block, x, row, 1, some);
        }
        for (int r = 0; r < n; r++) {
            float *to = out + (int64_t)(row + r) * m->n_out + number * BLOCK;
            for (int o = 0; o < BLOCK; o++) to[o] = some[r][o] + (m->bias ? from_bf16(m->bias[number * BLOCK + o]) : 0);
        }
    }
}

/* Bytes of weights in a piece of work: so few that no thread waits long for the last piece. */
enum { PIECE_BYTES = 32768 };

static int blocks_per_piece(const Matrix *weights) {
    const int64_t n = PIECE_BYTES / block_bytes(weights);
    return n > 1 ? (int)n : 1;
}

static int n_matmul_pieces(const Matrix *weights) {
    const int per_piece = blocks_per_piece(weights);
    return (weights->n_out / BLOCK + per_piece - 1) / per_piece;
}

/* Multiplies all rows with the blocks of a piece. Shape: out [n_rows, n_out]. */
static void matmul_piece(const Matrix *weights, int piece, QuantizedRows x, int n_rows, float *out) {
    const int n_blocks = weights->n_out / BLOCK, per_piece = blocks_per_piece(weights), first = piece * per_piece;
    for (int b = first; b < n_blocks && b < first + per_piece; b++) multiply_block(weights, b, x, n_rows, out);
}
