/* 16-bit floats to and from 32-bit ones, in plain C: IEEE binary16 and bfloat16, rounded to nearest even. */
#ifndef IMP_BASE_HALF_H
#define IMP_BASE_HALF_H

#include <stdint.h>

float imp_f16_to_f32(uint16_t half);
uint16_t imp_f32_to_f16(float value); /* overflow gives infinity */
float imp_bf16_to_f32(uint16_t half);
uint16_t imp_f32_to_bf16(float value);

#endif
