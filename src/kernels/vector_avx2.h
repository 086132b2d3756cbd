/* The vectors that the kernels are written in, as AVX2 and FMA have them: a block of 16 channels is two. */
#ifndef IMP_KERNELS_VECTOR_H
#define IMP_KERNELS_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#define LANES 8
/* 6 pixels x 1 block of 2 vectors: 12 sums, 2 weights and a pixel of the 16 registers. */
#define TILE_PIXELS 6
#define TILE_BLOCKS 1
typedef __m256 vector;
typedef __m256 condition;

static inline vector zero(void) {
    return _mm256_setzero_ps();
}
static inline vector load(const float *from) {
    return _mm256_loadu_ps(from);
}
static inline void store(float *to, vector a) {
    _mm256_storeu_ps(to, a);
}
/* bf16 to f32, and back to the nearest, ties to even; a NaN stays one. */
static inline vector load_half(const uint16_t *from) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline void store_half(uint16_t *to, vector a) {
    __m256i bits = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i near = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    near = _mm256_blendv_epi8(near, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
    near = _mm256_srli_epi32(near, 16);
    _mm_storeu_si128((__m128i *)to, _mm_packus_epi32(_mm256_castsi256_si128(near), _mm256_extracti128_si256(near, 1)));
}
/* The first or second of two neighbours in bf16, in every lane as f32. */
static inline vector spread_first(const uint16_t *pair) {
    int both;
    __builtin_memcpy(&both, pair, sizeof both);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_set1_epi32(both), 16));
}
static inline vector spread_second(const uint16_t *pair) {
    int both;
    __builtin_memcpy(&both, pair, sizeof both);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_set1_epi32(both), _mm256_set1_epi32((int)0xffff0000)));
}
static inline vector spread(float a) {
    return _mm256_set1_ps(a);
}
static inline vector add(vector a, vector b) {
    return _mm256_add_ps(a, b);
}
static inline vector subtract(vector a, vector b) {
    return _mm256_sub_ps(a, b);
}
static inline vector multiply(vector a, vector b) {
    return _mm256_mul_ps(a, b);
}
static inline vector multiply_add(vector a, vector b, vector sum) {
    return _mm256_fmadd_ps(a, b, sum);
}
static inline vector divide(vector a, vector b) {
    return _mm256_div_ps(a, b);
}
/* 2 to the power of n, from -126 to 127; rounded: n + 1.5 * 2^23, in whose lowest bits n stands. */
static inline vector power_of_two(vector rounded) {
    __m256i bits = _mm256_add_epi32(_mm256_castps_si256(rounded), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
/* a > b ? a : b, which is b when either is NaN. */
static inline vector maximum(vector a, vector b) {
    return _mm256_max_ps(a, b);
}
static inline condition greater(vector a, vector b) {
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}
/* a > b, or a is NaN. */
static inline condition greater_or_nan(vector a, vector b) {
    return _mm256_or_ps(greater(a, b), _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
/* Where which holds a, elsewhere b. */
static inline vector blend(condition which, vector a, vector b) {
    return _mm256_blendv_ps(b, a, which);
}
/* Where which holds a, elsewhere 0. */
static inline vector keep(condition which, vector a) {
    return _mm256_and_ps(which, a);
}
/* Whole numbers up to 127, as bytes. */
static inline void store_bytes(uint8_t *to, vector a) {
    __m256i whole = _mm256_cvtps_epi32(a);
    __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(pairs, pairs));
}
/* Where the byte of the lane has this bit. */
static inline condition has_bit(const uint8_t *from, int bit) {
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from)), one = _mm256_set1_epi32(1 << bit);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bytes, one), one));
}

#endif
