/* The kernels for AVX-512. Compiled with its flags, so nothing here may be called from elsewhere but through
   the table. */
#include "kernels/vector_avx512.h"

#include "kernels/blocked.inc"
