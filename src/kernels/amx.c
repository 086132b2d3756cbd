/* The kernels for AMX on bf16 maps: its tiles in convolutions, AVX-512 in all else. Compiled with its flags, so nothing here
   may be called from elsewhere but through the table. */
#include "kernels/vector_avx512.h"

#define TABLE imp_kernels_amx
#define TABLE_NAME "amx bf16"
#define ELEMENT_HALF 1
#define FACTOR_HALF 1
#define FACTOR_TILES 1
#include "kernels/blocked.inc"
