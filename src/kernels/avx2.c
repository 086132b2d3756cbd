/* The kernels for AVX2 and FMA. Compiled with their flags, so nothing here may be called from elsewhere but
   through the table. */
#include "kernels/vector_avx2.h"

#include "kernels/blocked.inc"
