/* The vectors that the kernels are written in, as AVX-512 has them: a block of 16 channels is one. */
#ifndef IMP_KERNELS_VECTOR_H
#define IMP_KERNELS_VECTOR_H

#include <immintrin.h>

#define LANES 16
/* 14 pixels x 2 blocks: 28 sums, 2 weights and a pixel of the 32 registers. */
#define TILE_PIXELS 14
#define TILE_BLOCKS 2
#define TABLE imp_kernels_avx512
#define TABLE_NAME "avx512"

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

#endif
