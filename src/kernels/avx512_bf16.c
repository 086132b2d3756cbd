/* The kernels for AVX-512 on bf16 maps, multiplied in bf16. Compiled with its flags, so nothing here may be called from elsewhere but
   through the table. */
#include "kernels/vector_avx512.h"

#define TABLE imp_kernels_avx512_bf16
#define TABLE_NAME "avx512 bf16"
#define ELEMENT_HALF 1
#define FACTOR_HALF 1
#include "kernels/blocked.inc"
