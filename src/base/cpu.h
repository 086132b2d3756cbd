/* What the CPU can do, and the operating system lets it (XGETBV). */
#ifndef IMP_BASE_CPU_H
#define IMP_BASE_CPU_H

typedef enum imp_cpu_feature {
    IMP_CPU_VECTORS = 1, /* what every processor of its kind has: SSE2 of x86-64, NEON of ARM64 */
    IMP_CPU_AVX2 = 2,    /* AVX2 and FMA */
    IMP_CPU_AVX512 = 4,  /* AVX-512 F, BW, DQ, VL */
    IMP_CPU_AVX512_BF16 = 8,
    IMP_CPU_AMX = 16,      /* AMX tiles and their products in bf16 */
    IMP_CPU_FAST_BF16 = 32 /* what there is of the two multiplies more numbers a second than there are in f32 */
} imp_cpu_feature;

/* Those of the imp_cpu_feature bits in allowed that this CPU has; IMP_CPU_FAST_BF16 is always allowed. For AMX, where
   there is any, the operating system has to be asked, and may refuse (imp_context_options). */
unsigned imp_cpu_features(unsigned allowed);

/* The features that an instruction set allows (imp_instruction_set_name); -1 for an unknown name. NULL allows all. */
int imp_cpu_features_allowed(const char *instruction_set);

/* The name of the best instruction set among the features, as imp_cpu_features_allowed takes it. */
const char *imp_cpu_features_name(unsigned features);

/* Processors that this process may run on (its affinity mask), at least 1. */
int imp_cpu_count(void);

#endif
