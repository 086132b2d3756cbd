/* Chooses the table of kernels by what the CPU can do. */
#include "kernels/kernels.h"

#include "base/cpu.h"
#include "kernels/tables.h"

const imp_kernels *imp_kernels_get(unsigned cpu_features, imp_element element) {
    int half = element == IMP_ELEMENT_BF16;
#ifdef __x86_64__
#ifndef IMP_EMULATE_AVX512
    if (half && (cpu_features & IMP_CPU_AMX)) return &imp_kernels_amx;
#endif
    if (half && (cpu_features & IMP_CPU_AVX512_BF16)) return &imp_kernels_avx512_bf16;
    if (cpu_features & IMP_CPU_AVX512) return half ? &imp_kernels_avx512_half : &imp_kernels_avx512;
    if (cpu_features & IMP_CPU_AVX2) return half ? &imp_kernels_avx2_half : &imp_kernels_avx2;
#endif
    if (cpu_features & IMP_CPU_VECTORS) return half ? &imp_kernels_portable_half : &imp_kernels_portable;
    return half ? &imp_kernels_c_half : &imp_kernels_c;
}
