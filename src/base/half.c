/* 16-bit floats to and from 32-bit ones, rounded to nearest even. */
#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float imp_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1F, mantissa = half & 0x3FF;
    if (exponent == 0x1F) return float_of(sign | 0x7F800000 | mantissa << 13);
    if (exponent == 0) { /* zero or subnormal: mantissa x 2^-24, exact in f32 */
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

/* value >> shift, rounded to nearest, ties to even; shift 1..31. */
static uint32_t shift_rounded(uint32_t value, unsigned shift) {
    uint32_t kept = value >> shift, rest = value & ((1u << shift) - 1), half = 1u << (shift - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

uint16_t imp_f32_to_f16(float value) {
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    int exponent = (int)(magnitude >> 23) - 127;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF)); /* NaN, made quiet */
    if (exponent > 15) return (uint16_t)(sign | 0x7C00);
    if (exponent >= -14) /* a carry out of the mantissa rounds up the exponent, to infinity at the end */
        return (uint16_t)(sign | (shift_rounded(magnitude, 13) - ((127 - 15) << 10)));
    if (exponent < -25) return (uint16_t)sign; /* under half of the least subnormal */
    return (uint16_t)(sign | shift_rounded((magnitude & 0x7FFFFF) | 0x800000, (unsigned)(-1 - exponent)));
}
