/* The kernels for AVX2 and FMA. Compiled with its flags, so nothing here may be called from elsewhere but
   through the table. */
#include "kernels/vector_avx2.h"

#define TABLE imp_kernels_avx2
#define TABLE_NAME "avx2"
#define ELEMENT_HALF 0
#define FACTOR_HALF 0
#include "kernels/blocked.inc"
