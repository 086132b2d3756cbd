/* The vectors that the kernels are written in, as AVX2 and FMA have them: a block of 16 channels is two. */
#ifndef IMP_KERNELS_VECTOR_H
#define IMP_KERNELS_VECTOR_H

#include <immintrin.h>

#define LANES 8
/* 6 pixels x 1 block of 2 vectors: 12 sums, 2 weights and a pixel of the 16 registers. */
#define TILE_PIXELS 6
#define TILE_BLOCKS 1
#define TABLE imp_kernels_avx2
#define TABLE_NAME "avx2"

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

#endif
