/* The vectors that the kernels are written in, as AVX-512 has them: a block of 16 channels is one. */
#ifndef IMP_KERNELS_VECTOR_H
#define IMP_KERNELS_VECTOR_H

#include <stdint.h>

#define LANES 16
/* 14 pixels x 2 blocks: 28 sums, 2 weights and a pixel of the 32 registers. */
#define TILE_PIXELS 14
#define TILE_BLOCKS 2

#ifdef IMP_EMULATE_AVX512
#include "kernels/vector_emulated.h"
#else
#include <immintrin.h>

typedef __m512 vector;
typedef __mmask16 condition;

static inline vector zero(void) {
    return _mm512_setzero_ps();
}
static inline vector load(const float *from) {
    return _mm512_loadu_ps(from);
}
static inline void store(float *to, vector a) {
    _mm512_storeu_ps(to, a);
}
/* bf16 to f32, and back to the nearest, ties to even; a NaN stays one. */
static inline vector load_half(const uint16_t *from) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline void store_half(uint16_t *to, vector a) {
#ifdef __AVX512BF16__
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(a));
#else
    __m512i bits = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i near = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    near = _mm512_mask_or_epi32(near, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(near, 16)));
#endif
}
/* The first or second of two neighbours in bf16, in every lane as f32. */
static inline vector spread_first(const uint16_t *pair) {
    int both;
    __builtin_memcpy(&both, pair, sizeof both);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_set1_epi32(both), 16));
}
static inline vector spread_second(const uint16_t *pair) {
    int both;
    __builtin_memcpy(&both, pair, sizeof both);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_set1_epi32(both), _mm512_set1_epi32((int)0xffff0000)));
}
#ifdef __AVX512BF16__
/* sum + pair[0] * weights[lane][0] + pair[1] * weights[lane][1], all bf16. */
static inline __m512i spread_pair(const uint16_t *pair) {
    int both;
    __builtin_memcpy(&both, pair, sizeof both);
    return _mm512_set1_epi32(both);
}
static inline __m512i load_pairs(const uint16_t *weights) {
    return _mm512_loadu_si512(weights);
}
static inline vector multiply_add_pairs(__m512i pair, __m512i weights, vector sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)pair, (__m512bh)weights);
}
/* Pairs of bf16 from two vectors in bf16. */
static inline void store_zipped(uint16_t *to, const uint16_t *first, const uint16_t *second) {
    __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)first));
    __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)second));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}
/* Pairs of bf16 from two vectors' lanes. */
static inline void store_pairs(uint16_t *to, vector first, vector second) {
    __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i order = _mm512_or_si512(lanes, _mm512_slli_epi32(_mm512_add_epi32(lanes, _mm512_set1_epi32(LANES)), 16));
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second, first)));
}
#endif
static inline vector spread(float a) {
    return _mm512_set1_ps(a);
}
static inline vector add(vector a, vector b) {
    return _mm512_add_ps(a, b);
}
static inline vector subtract(vector a, vector b) {
    return _mm512_sub_ps(a, b);
}
static inline vector multiply(vector a, vector b) {
    return _mm512_mul_ps(a, b);
}
static inline vector multiply_add(vector a, vector b, vector sum) {
    return _mm512_fmadd_ps(a, b, sum);
}
static inline vector divide(vector a, vector b) {
    return _mm512_div_ps(a, b);
}
/* 2 to the power of n, from -126 to 127; rounded: n + 1.5 * 2^23, in whose lowest bits n stands. */
static inline vector power_of_two(vector rounded) {
    __m512i bits = _mm512_add_epi32(_mm512_castps_si512(rounded), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
}
/* a > b ? a : b, which is b when either is NaN. */
static inline vector maximum(vector a, vector b) {
    return _mm512_max_ps(a, b);
}
static inline condition greater(vector a, vector b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
/* a > b, or a is NaN. */
static inline condition greater_or_nan(vector a, vector b) {
    return (condition)(greater(a, b) | _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q));
}
/* Where which holds a, elsewhere b. */
static inline vector blend(condition which, vector a, vector b) {
    return _mm512_mask_blend_ps(which, b, a);
}
/* Where which holds a, elsewhere 0. */
static inline vector keep(condition which, vector a) {
    return _mm512_maskz_mov_ps(which, a);
}
/* Whole numbers up to 127, as bytes. */
static inline void store_bytes(uint8_t *to, vector a) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/* Where the byte of the lane has this bit. */
static inline condition has_bit(const uint8_t *from, int bit) {
    return _mm_test_epi8_mask(_mm_loadu_si128((const __m128i *)from), _mm_set1_epi8((char)(1 << bit)));
}
#endif

#endif
