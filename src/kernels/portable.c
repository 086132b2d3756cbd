/* The kernels for processors of which nothing is known but what they are: SSE2 on x86-64, NEON on ARM64. */
#include "kernels/vector_portable.h"

#define TABLE imp_kernels_portable
#define TABLE_NAME PORTABLE_NAME
#define ELEMENT_HALF 0
#define FACTOR_HALF 0
#include "kernels/blocked.inc"
