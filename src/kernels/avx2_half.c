/* The kernels for AVX2 and FMA on bf16 maps, multiplied in f32. Compiled with its flags, so nothing here may be called from elsewhere but
   through the table. */
#include "kernels/vector_avx2.h"

#define TABLE imp_kernels_avx2_half
#define TABLE_NAME "avx2 half"
#define ELEMENT_HALF 1
#define FACTOR_HALF 0
#include "kernels/blocked.inc"
