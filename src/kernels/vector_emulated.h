/* What vector_avx512.h has, of smaller vectors, as the compiler makes them: for the option emulate_avx512, with which the
   kernels for AVX-512 can be tested, slowly, on a processor that has not got it. Not tested by that are vector_avx512.h's
   own instructions; a multiply_add is rounded twice here, where AVX-512 rounds once. */
#ifndef IMP_KERNELS_VECTOR_EMULATED_H
#define IMP_KERNELS_VECTOR_EMULATED_H

#include <stdint.h>
#include <string.h>

typedef float vector __attribute__((vector_size(64)));
typedef uint32_t vector_bits __attribute__((vector_size(64)));
typedef uint16_t vector_half __attribute__((vector_size(32)));
typedef uint8_t vector_bytes __attribute__((vector_size(16)));
typedef int32_t condition __attribute__((vector_size(64))); /* a lane is -1 where it holds, else 0 */

#include "kernels/vector_operators.h"

static inline vector spread(float a) {
    return (vector){a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a};
}
static inline vector zero(void) {
    return (vector){0};
}
static inline vector load(const float *from) {
    vector a;
    memcpy(&a, from, sizeof a);
    return a;
}
static inline void store(float *to, vector a) {
    memcpy(to, &a, sizeof a);
}
static inline vector load_half(const uint16_t *from) {
    vector_half a;
    memcpy(&a, from, sizeof a);
    return (vector)(__builtin_convertvector(a, vector_bits) << 16);
}
static inline void store_half(uint16_t *to, vector a) {
    vector_half half = __builtin_convertvector(round_half(a), vector_half);
    memcpy(to, &half, sizeof half);
}
static inline vector_bits spread_pair(const uint16_t *pair) {
    uint32_t both;
    memcpy(&both, pair, sizeof both);
    return (vector_bits){0} + both;
}
static inline vector spread_first(const uint16_t *pair) {
    return (vector)(spread_pair(pair) << 16);
}
static inline vector spread_second(const uint16_t *pair) {
    return (vector)(spread_pair(pair) & 0xffff0000);
}
static inline vector_bits load_pairs(const uint16_t *weights) {
    vector_bits a;
    memcpy(&a, weights, sizeof a);
    return a;
}
static inline vector multiply_add_pairs(vector_bits pair, vector_bits weights, vector sum) {
    sum += (vector)(pair & 0xffff0000) * (vector)(weights & 0xffff0000);
    return sum + (vector)(pair << 16) * (vector)(weights << 16);
}
static inline void store_zipped(uint16_t *to, const uint16_t *first, const uint16_t *second) {
    vector_half low, high;
    memcpy(&low, first, sizeof low);
    memcpy(&high, second, sizeof high);
    vector_bits both = __builtin_convertvector(low, vector_bits) | __builtin_convertvector(high, vector_bits) << 16;
    memcpy(to, &both, sizeof both);
}
static inline void store_pairs(uint16_t *to, vector first, vector second) {
    vector_bits both = round_half(first) | round_half(second) << 16;
    memcpy(to, &both, sizeof both);
}
static inline vector multiply_add(vector a, vector b, vector sum) {
    return a * b + sum;
}

#endif
