/* Products of few rows with weights in 4 or 8 bits.
 *
 * Weights lie in blocks of 16 outputs, all inputs of a block behind each other, so that a register holds four inputs
 * of each of its outputs and no sum is taken across lanes. Rows are rounded to 8 bits, 32 inputs sharing a scale, and
 * multiplied as whole numbers. A row's result does not depend on the rows beside it, to the bit.
 *
 * A block in 4 bits, for each group of 32 inputs: 16 scales and 16 zeros in bf16, then 4 times 64 bytes; byte 4o + i of
 * the v-th of these is output o, input 8v + i in its low half and 8v + 4 + i in the high one.
 * A block in 8 bits: 16 scales in float32, then for each 4 inputs 64 bytes, byte 4o + i of the v-th output o, input
 * 4v + i, 128 added.
 */
#pragma once
#include "numbers.h"

enum { BLOCK = 16, GROUP = 32, HEADER4 = 64, GROUP4 = HEADER4 + GROUP * BLOCK / 2, HEADER8 = 64 };

/* Rows that a block is multiplied with at once, as many as there are registers for: while they are multiplied, the next
 * weights are on their way; for rows that come after them nothing is. Nine rows of 42 million weights in 8 bits take 2.6
 * ms instead of 2.9 as four and four and one (a core of a Zen 5). */
enum { MAX_TOGETHER = LANES == 16 ? 10 : 4 };

/* Bytes ahead of those in use that are asked for: of memory into the second cache, and out of that into the first. All
 * the way into the first at once there are too few places to wait in. Of 4-bit weights in large pages two cores read
 * 16 GB/s without, 20 so from memory to the first cache, 23 by steps. */
enum { AHEAD = 4096, SOON = 512 };

#define LEAST 1e-30f /* a group without a larger number is all 0: what divides by it could be infinite */

typedef struct {
    const uint8_t *blocks;
    const bf16 *bias; /* [out], or NULL */
    int32_t n_out, n_in, bits;
} Matrix;

/* Rows rounded to 8 bits. Shapes: codes [n, in], scales and sums [n, in / GROUP]; a sum is of a group's codes. */
typedef struct {
    int8_t *codes;
    float *scales;
    int32_t *sums;
} Rounded;

static size_t rounded_bytes(size_t n) { return n + 2 * n / GROUP * sizeof(float); }

static Rounded rounded_at(char *start, size_t n) {
    Rounded out = {.scales = (float *)start};
    out.sums = (int32_t *)(out.scales + n / GROUP);
    out.codes = (int8_t *)(out.sums + n / GROUP);
    return out;
}

static inline Rounded row_of(Rounded rows, int64_t row, int n_in) {
    const int64_t group = row * n_in / GROUP;
    return (Rounded){rows.codes + row * n_in, rows.scales + group, rows.sums + group};
}

static inline int64_t block_bytes(const Matrix *m) {
    return m->bits == 4 ? (int64_t)m->n_in / GROUP * GROUP4 : HEADER8 + (int64_t)m->n_in * BLOCK;
}

static void round_rows(const float *x, int n_rows, int n_in, Rounded to) {
    int64_t n_groups = (int64_t)n_rows * n_in / GROUP;
    for (int64_t g = 0; g < n_groups; g++, x += GROUP) {
        floats most = {0};
        for (int i = 0; i < GROUP; i += LANES) {
            floats size = (floats)((ints)load(x + i) & 0x7fffffff);
            most = larger(size, most);
        }
        float largest = 0;
        for (int lane = 0; lane < LANES; lane++) largest = most[lane] > largest ? most[lane] : largest;
        float inverse = largest > LEAST ? 127.0f / largest : 0;
        ints sum = {0};
        for (int i = 0; i < GROUP; i += LANES) {
            ints codes = rounded(load(x + i) * inverse);
            sum += codes;
            for (int lane = 0; lane < LANES; lane++) to.codes[g * GROUP + i + lane] = (int8_t)codes[lane];
        }
        int32_t total = 0;
        for (int lane = 0; lane < LANES; lane++) total += sum[lane];
        to.scales[g] = largest / 127.0f;
        to.sums[g] = total;
    }
}

/* sum + codes · four, in each lane over its four bytes. Codes are 0..15 if small, else 0..255, which SHIFT8 shifts. */
#if defined(__AVX512VNNI__) && LANES == 16
#define SHIFT8 128
static inline ints dot(ints sum, ints codes, int32_t four, int is_small) {
    (void)is_small;
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, _mm512_set1_epi32(four));
}
#elif defined(__AVXVNNI__)
#define SHIFT8 128
static inline ints dot(ints sum, ints codes, int32_t four, int is_small) {
    (void)is_small;
    return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)codes, _mm256_set1_epi32(four));
}
#else
#define SHIFT8 0
static inline ints dot(ints sum, ints codes, int32_t four, int is_small) {
    __m256i bytes = (__m256i)codes, row = _mm256_set1_epi32(four);
    if (!is_small) { /* two products of up to 255 · 127 leave 16 bits: shifted back, their sizes are at most 127 */
        bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
        row = _mm256_sign_epi8(row, bytes);
        bytes = _mm256_abs_epi8(bytes);
    }
    __m256i pairs = _mm256_maddubs_epi16(bytes, row);
    return sum + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#endif

static inline void ask_ahead(const uint8_t *at, int n_bytes) {
    for (int line = 0; line < n_bytes; line += 64) {
        __builtin_prefetch(at + AHEAD + line, 0, 2);
        __builtin_prefetch(at + SOON + line, 0, 3);
    }
}

static inline ints load_bytes(const uint8_t *from) {
    ints out;
    memcpy(&out, from, sizeof out);
    return out;
}

static inline int32_t four_of(const int8_t *codes) {
    int32_t four;
    memcpy(&four, codes, 4);
    return four;
}

static inline __attribute__((always_inline)) void block_of_4_bits(
    const uint8_t *block, int n_in, Rounded x, int row, const int n, float out[][BLOCK]) {
    const int n_groups = n_in / GROUP;
    for (int lane = 0; lane < BLOCK; lane += LANES) {
        const uint8_t *at = block;
        floats total[MAX_TOGETHER];
        UNROLLED for (int r = 0; r < n; r++) total[r] = (floats){0};
        for (int g = 0; g < n_groups; g++, at += GROUP4) {
            if (lane == 0) ask_ahead(at, GROUP4);
            ints sums[MAX_TOGETHER];
            UNROLLED for (int r = 0; r < n; r++) sums[r] = (ints){0} - 8 * x.sums[(row + r) * n_groups + g];
            for (int v = 0; v < GROUP / 8; v++) {
                ints both = load_bytes(at + HEADER4 + 64 * v + 4 * lane);
                ints first = both & 0x0f0f0f0f, second = (ints)((words)both >> 4) & 0x0f0f0f0f;
                UNROLLED for (int r = 0; r < n; r++) {
                    const int8_t *codes = x.codes + (int64_t)(row + r) * n_in + g * GROUP + 8 * v;
                    sums[r] = dot(sums[r], first, four_of(codes), 1);
                    sums[r] = dot(sums[r], second, four_of(codes + 4), 1);
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

static inline __attribute__((always_inline)) void block_of_8_bits(
    const uint8_t *block, int n_in, Rounded x, int row, const int n, float out[][BLOCK]) {
    const int n_groups = n_in / GROUP;
    for (int lane = 0; lane < BLOCK; lane += LANES) {
        const uint8_t *at = block + HEADER8;
        floats total[MAX_TOGETHER];
        UNROLLED for (int r = 0; r < n; r++) total[r] = (floats){0};
        for (int g = 0; g < n_groups; g++, at += GROUP * BLOCK) {
            if (lane == 0) ask_ahead(at, GROUP * BLOCK);
            ints sums[MAX_TOGETHER];
            UNROLLED for (int r = 0; r < n; r++) sums[r] = (ints){0} - SHIFT8 * x.sums[(row + r) * n_groups + g];
            for (int v = 0; v < GROUP / 4; v++) {
                ints codes = load_bytes(at + 64 * v + 4 * lane);
                UNROLLED for (int r = 0; r < n; r++)
                    sums[r] = dot(sums[r], codes, four_of(x.codes + (int64_t)(row + r) * n_in + g * GROUP + 4 * v), 0);
            }
            UNROLLED for (int r = 0; r < n; r++)
                total[r] += __builtin_convertvector(sums[r], floats) * x.scales[(row + r) * n_groups + g];
        }
        UNROLLED for (int r = 0; r < n; r++) store(out[r] + lane, total[r] * load((const float *)block + lane));
    }
}

static inline __attribute__((always_inline)) void rows_of_block(
    const Matrix *m, const uint8_t *block, Rounded x, int row, const int n, float out[][BLOCK]) {
    if (m->bits == 4)
        block_of_4_bits(block, m->n_in, x, row, n, out);
    else
        block_of_8_bits(block, m->n_in, x, row, n, out);
}

/* The products of all rows with one block of outputs. Shape: out [n_rows, n_out], of which columns are written. */
static void product_of_block(const Matrix *m, int number, Rounded x, int n_rows, float *out) {
    const uint8_t *block = m->blocks + number * block_bytes(m);
    for (int row = 0; row < n_rows; row += MAX_TOGETHER) {
        float some[MAX_TOGETHER][BLOCK];
        int n = n_rows - row < MAX_TOGETHER ? n_rows - row : MAX_TOGETHER;
        switch (n) { /* a number that the compiler knows */
            case 10: if (MAX_TOGETHER >= 10) rows_of_block(m, block, x, row, 10, some); break;
            case 9: if (MAX_TOGETHER >= 9) rows_of_block(m, block, x, row, 9, some); break;
            case 8: if (MAX_TOGETHER >= 8) rows_of_block(m, block, x, row, 8, some); break;
            case 7: if (MAX_TOGETHER >= 7) rows_of_block(m, block, x, row, 7, some); break;
            case 6: if (MAX_TOGETHER >= 6) rows_of_block(m, block, x, row, 6, some); break;
            case 5: if (MAX_TOGETHER >= 5) rows_of_block(m, block, x, row, 5, some); break;
            case 4: rows_of_block(m, block, x, row, 4, some); break;
            case 3: rows_of_block(m, block, x, row, 3, some); break;
            case 2: rows_of_block(m, block, x, row, 2, some); break;
            default: rows_of_block(m, block, x, row, 1, some);
        }
        for (int r = 0; r < n; r++) {
            float *to = out + (int64_t)(row + r) * m->n_out + number * BLOCK;
            for (int o = 0; o < BLOCK; o++) to[o] = some[r][o] + (m->bias ? widened(m->bias[number * BLOCK + o]) : 0);
        }
    }
}
