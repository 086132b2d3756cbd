/* The plain C kernels on f32 maps. */
#define TABLE imp_kernels_c
#define TABLE_NAME "c"
#define ELEMENT_HALF 0
#include "kernels/reference.inc"
