/* The kernels for AVX-512 on bf16 maps, multiplied in f32. Compiled with its flags, so nothing here may be called from elsewhere but
   through the table. */
#include "kernels/vector_avx512.h"

#define TABLE imp_kernels_avx512_half
#define TABLE_NAME "avx512 half"
#define ELEMENT_HALF 1
#define FACTOR_HALF 0
#include "kernels/blocked.inc"
