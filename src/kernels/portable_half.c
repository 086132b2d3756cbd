/* The kernels for processors of which nothing is known but what they are, on bf16 maps, multiplied in f32. */
#include "kernels/vector_portable.h"

#define TABLE imp_kernels_portable_half
#define TABLE_NAME PORTABLE_NAME " half"
#define ELEMENT_HALF 1
#define FACTOR_HALF 0
#include "kernels/blocked.inc"
