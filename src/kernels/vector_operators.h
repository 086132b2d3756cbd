/* What is alike for vectors of any width that are the compiler's own. Whoever includes it has declared vector, of floats,
   and of as many lanes vector_bits, unsigned, vector_bytes, and condition, signed, in which a lane is -1 where it holds,
   else 0. */
#ifndef IMP_KERNELS_VECTOR_OPERATORS_H
#define IMP_KERNELS_VECTOR_OPERATORS_H

/* Where which holds a, elsewhere b. */
static inline vector blend(condition which, vector a, vector b) {
    return (vector)((which & (condition)a) | (~which & (condition)b));
}
/* Where which holds a, elsewhere 0. */
static inline vector keep(condition which, vector a) {
    return (vector)(which & (condition)a);
}
static inline vector add(vector a, vector b) {
    return a + b;
}
static inline vector subtract(vector a, vector b) {
    return a - b;
}
static inline vector multiply(vector a, vector b) {
    return a * b;
}
static inline vector divide(vector a, vector b) {
    return a / b;
}
/* 2 to the power of n, from -126 to 127; rounded: n + 1.5 * 2^23, in whose lowest bits n stands. */
static inline vector power_of_two(vector rounded) {
    return (vector)(((vector_bits)rounded + 127) << 23);
}
static inline condition greater(vector a, vector b) {
    return a > b;
}
/* a > b, or a is NaN. */
static inline condition greater_or_nan(vector a, vector b) {
    return (a > b) | (a != a);
}
/* a > b ? a : b, which is b when either is NaN. */
static inline vector maximum(vector a, vector b) {
    return blend(greater(a, b), a, b);
}
/* Whole numbers up to 127, as bytes. */
static inline void store_bytes(uint8_t *to, vector a) {
    vector_bytes bytes = __builtin_convertvector(a, vector_bytes);
    __builtin_memcpy(to, &bytes, sizeof bytes);
}
/* Where the byte of the lane has this bit. */
static inline condition has_bit(const uint8_t *from, int bit) {
    vector_bytes bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    return (__builtin_convertvector(bytes, vector_bits) & (1u << bit)) != 0;
}
/* The upper halves of the lanes, rounded to the nearest, ties to even; a NaN stays one: a vector in bf16. */
static inline vector_bits round_half(vector a) {
    vector_bits bits = (vector_bits)a, near = bits + ((bits >> 16 & 1) + 0x7fff);
    return (vector_bits)blend(a == a, (vector)near, (vector)(bits | 0x400000)) >> 16;
}

#endif
