/* Chooses the table of kernels by what the CPU can do. */
#include "kernels/kernels.h"

#include "base/cpu.h"
#include "kernels/tables.h"

const imp_kernels *imp_kernels_get(unsigned cpu_features) {
#ifdef __x86_64__
    if (cpu_features & IMP_CPU_AVX512) return &imp_kernels_avx512;
    if (cpu_features & IMP_CPU_AVX2) return &imp_kernels_avx2;
#else
    (void)cpu_features;
#endif
    return &imp_kernels_c;
}
