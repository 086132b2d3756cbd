/* 16-bit floats to and from 32-bit ones, in plain C: IEEE binary16 and bfloat16, rounded to nearest even. */
#ifndef IMP_BASE_HALF_H
#define IMP_BASE_HALF_H

#include <stdint.h>
#include <string.h>

float imp_f16_to_f32(uint16_t half);
uint16_t imp_f32_to_f16(float value); /* overflow gives infinity */

/* The upper half of an f32; here, because maps are gone through with it. */
static inline float imp_bf16_to_f32(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t imp_f32_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40); /* NaN, made quiet */
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);                /* to even from the middle */
}

#endif
