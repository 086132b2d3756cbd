/* The vectors that the kernels are written in, as any machine has them: four lanes of the compiler's own, which are
 * SSE2 on x86-64 and NEON on ARM64; a block of 16 channels is four. */
#ifndef IMP_KERNELS_VECTOR_H
#define IMP_KERNELS_VECTOR_H

#include <stdint.h>

#ifdef __ARM_FEATURE_FMA
#include <arm_neon.h>
#endif

#define LANES 4
#define TILE_BLOCKS 1
#ifdef __aarch64__
/* 6 pixels x 1 block of 4 vectors: 24 sums, 4 weights and a pixel of the 32 registers. */
#define TILE_PIXELS 6
#define PORTABLE_NAME "neon"
#else
/* 3 pixels x 1 block of 4 vectors: 12 sums, a pixel and a product of the 16 registers; weights are read for each. */
#define TILE_PIXELS 3
#ifdef __x86_64__
#define PORTABLE_NAME "sse2"
#else
#define PORTABLE_NAME "portable"
#endif
#endif
typedef float vector __attribute__((vector_size(16)));
typedef uint32_t vector_bits __attribute__((vector_size(16)));
typedef uint16_t vector_half __attribute__((vector_size(8)));
typedef uint8_t vector_bytes __attribute__((vector_size(4)));
typedef int32_t condition __attribute__((vector_size(16))); /* a lane is -1 where it holds, else 0 */
/* In memory, wherever they lie: memcpy would bring vectors there through other registers. */
typedef float stored_vector __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint16_t stored_half __attribute__((vector_size(8), aligned(2), may_alias));

#include "kernels/vector_operators.h"

static inline vector spread(float a) {
    return (vector){a, a, a, a};
}
static inline vector zero(void) {
    return spread(0);
}
static inline vector load(const float *from) {
    return *(const stored_vector *)from;
}
static inline void store(float *to, vector a) {
    *(stored_vector *)to = a;
}
/* bf16 to f32, and back to the nearest, ties to even; a NaN stays one. */
static inline vector load_half(const uint16_t *from) {
    vector_half high = *(const stored_half *)from, low = {0}; /* an instruction; a conversion and a shift are more */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (vector)__builtin_shufflevector(low, high, 0, 4, 1, 5, 2, 6, 3, 7);
#else
    return (vector)__builtin_shufflevector(high, low, 0, 4, 1, 5, 2, 6, 3, 7);
#endif
}
static inline void store_half(uint16_t *to, vector a) {
    *(stored_half *)to = __builtin_convertvector(round_half(a), vector_half);
}
/* The first or second of two neighbours in bf16, in every lane as f32. Both are read at once, as compilers see. */
static inline vector_bits spread_both(const uint16_t *pair) {
    uint32_t both = pair[0] | (uint32_t)pair[1] << 16;
    return (vector_bits){both, both, both, both};
}
static inline vector spread_first(const uint16_t *pair) {
    return (vector)(spread_both(pair) << 16);
}
static inline vector spread_second(const uint16_t *pair) {
    return (vector)(spread_both(pair) & 0xffff0000);
}
/* Rounded once where the machine can; there is no way yet to say so to every compiler. */
static inline vector multiply_add(vector a, vector b, vector sum) {
#ifdef __ARM_FEATURE_FMA
    return vfmaq_f32(sum, a, b);
#else
    return a * b + sum;
#endif
}

#endif
