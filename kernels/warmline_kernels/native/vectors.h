/* Vectors as wide as a register, and the number formats of weights and caches. */
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif

#define UNROLLED _Pragma("clang loop unroll(full)")
/* For functions with constant parameters, so that the compiler makes a version for each value. */
#define SPECIALIZED static inline __attribute__((always_inline))
/* For functions with many specialized versions inside: inlined, they would take their caller's registers. */
#define SEPARATE static __attribute__((noinline))

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef uint16_t bf16;

static inline floats load(const float *from) {
    floats out;
    memcpy(&out, from, sizeof out);
    return out;
}

static inline void store(float *to, floats values) { memcpy(to, &values, sizeof values); }

static inline floats load_bf16(const bf16 *from) {
    halves narrow;
    memcpy(&narrow, from, sizeof narrow);
    return (floats)(__builtin_convertvector(narrow, words) << 16);
}

static inline float from_bf16(bf16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Rounds to nearest, ties to even; NaN stays NaN. */
static inline bf16 to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return 0x7fc0;
    return (bf16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* The sum of all lanes. Adding halves to each other takes the fewest dependent steps. */
static inline float sum_lanes(floats values) {
#if LANES == 16
    const __m512 wide = (__m512)values;
    const __m256 v = _mm256_add_ps(_mm512_castps512_ps256(wide), _mm512_extractf32x8_ps(wide, 1));
#else
    const __m256 v = (__m256)values;
#endif
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

/* The sums of the lanes of four registers. The order of additions is the same in each. */
static inline __m128 sum_lanes_of_four(const floats v[4]) {
#if LANES == 16
    __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 low = _mm512_shuffle_ps(ab, cd, 0x44), high = _mm512_shuffle_ps(ab, cd, 0xee);
    __m512 all = _mm512_add_ps(low, high);
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
#else
    __m256 ab = _mm256_hadd_ps((__m256)v[0], (__m256)v[1]), cd = _mm256_hadd_ps((__m256)v[2], (__m256)v[3]);
    __m256 half = _mm256_hadd_ps(ab, cd);
#endif
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/* The larger of each two lanes; b's where either is NaN. */
static inline floats max_lanes(floats a, floats b) { return (floats)(((ints)a & (a > b)) | ((ints)b & ~(a > b))); }

static inline float max_lane(floats values) {
    float max = values[0];
    for (int lane = 1; lane < LANES; lane++) max = values[lane] > max ? values[lane] : max;
    return max;
}

/* Rounds magnitudes below 2^22 to whole numbers: a float of 1.5 · 2^23 or more has no fractional bits. */
static inline floats round_whole(floats x) { return (x + 12582912.0f) - 12582912.0f; }

/* Lanes that are NaN become 0: converting NaN to an integer is undefined. */
static inline floats nan_to_zero(floats x) { return (floats)((ints)x & (x == x)); }

/* e to the x for x in -87..88. Outside, the result at the nearer end: the exponent of a float ends there. */
static inline floats exp_lanes(floats x) {
    x = max_lanes(x, (floats){0} - 87.0f);
    x = -max_lanes(-x, (floats){0} - 88.0f);
    ints power = __builtin_convertvector(round_whole(x * 1.44269504f), ints);
    floats whole = __builtin_convertvector(power, floats);
    floats r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (floats)((power + 127) << 23);
}
