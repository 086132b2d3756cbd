/* The plain C kernels on bf16 maps. */
#define TABLE imp_kernels_c_half
#define TABLE_NAME "c half"
#define ELEMENT_HALF 1
#include "kernels/reference.inc"
