/* What the CPU can do: on x86-64 asked of it by CPUID, and what the operating system saves, by XGETBV. */
#include "base/cpu.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "impasto.h"

#define WITH_AVX2 (IMP_CPU_VECTORS | IMP_CPU_AVX2)
#define WITH_AVX512 (WITH_AVX2 | IMP_CPU_AVX512)
#define WITH_AVX512_BF16 (WITH_AVX512 | IMP_CPU_AVX512_BF16)

/* From the least on; each has what those before it have. */
static const struct {
    const char *name;
    unsigned features;
} instruction_sets[] = {
    {"c", 0},
#if defined(__x86_64__)
    {"sse2", IMP_CPU_VECTORS},
    {"avx2", WITH_AVX2},
    {"avx512", WITH_AVX512},
    {"avx512bf16", WITH_AVX512_BF16},
#elif defined(__aarch64__)
    {"neon", IMP_CPU_VECTORS},
#else
    {"portable", IMP_CPU_VECTORS},
#endif
};

#define SETS ((int)(sizeof instruction_sets / sizeof instruction_sets[0]))

#ifdef __x86_64__
#include <cpuid.h>

/* XCR0: SSE and AVX state; the three parts of AVX-512 state. */
#define XCR0_AVX 0x06u
#define XCR0_AVX512 0xE6u

static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

unsigned imp_cpu_features(void) {
    unsigned a, b, c, d, saved;
    unsigned basic = bit_FMA | bit_OSXSAVE | bit_AVX;
    unsigned wide = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & basic) != basic) return IMP_CPU_VECTORS;
    saved = saved_registers();
    if ((saved & XCR0_AVX) != XCR0_AVX) return IMP_CPU_VECTORS;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return IMP_CPU_VECTORS;
#ifdef IMP_EMULATE_AVX512
    return WITH_AVX512_BF16;
#endif
    if ((b & wide) != wide || (saved & XCR0_AVX512) != XCR0_AVX512) return WITH_AVX2;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & bit_AVX512BF16)) return WITH_AVX512;
    return WITH_AVX512_BF16;
}
#else
unsigned imp_cpu_features(void) {
    return IMP_CPU_VECTORS;
}
#endif

int imp_cpu_features_allowed(const char *instruction_set) {
    if (!instruction_set) return (int)instruction_sets[SETS - 1].features;
    for (int i = 0; i < SETS; i++)
        if (strcmp(instruction_set, instruction_sets[i].name) == 0) return (int)instruction_sets[i].features;
    return -1;
}

const char *imp_cpu_features_name(unsigned features) {
    int best = 0;
    for (int i = 1; i < SETS; i++)
        if ((instruction_sets[i].features & ~features) == 0) best = i;
    return instruction_sets[best].name;
}

const char *imp_instruction_set_name(int index) {
    return index >= 0 && index < SETS ? instruction_sets[index].name : NULL;
}

int imp_cpu_count(void) {
    cpu_set_t set;
    long online;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than a cpu_set_t holds */
    return online > 0 && online < 1 << 16 ? (int)online : 1;
}
