/* The kernels for AVX-512. Compiled with its flags, so nothing here may be called from elsewhere but
   through the table. */
#include "kernels/vector_avx512.h"

#define TABLE imp_kernels_avx512
#define TABLE_NAME "avx512"
#define ELEMENT_HALF 0
#define FACTOR_HALF 0
#include "kernels/blocked.inc"
