/* What the CPU can do, asked of it by CPUID, and what the operating system saves, by XGETBV. */
#include "base/cpu.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
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

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & basic) != basic) return 0;
    saved = saved_registers();
    if ((saved & XCR0_AVX) != XCR0_AVX) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return 0;
    if ((b & wide) != wide || (saved & XCR0_AVX512) != XCR0_AVX512) return IMP_CPU_AVX2;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & bit_AVX512BF16)) return IMP_CPU_AVX2 | IMP_CPU_AVX512;
    return IMP_CPU_AVX2 | IMP_CPU_AVX512 | IMP_CPU_AVX512_BF16;
}
#else
unsigned imp_cpu_features(void) {
    return 0;
}
#endif

int imp_cpu_features_allowed(const char *instruction_set) {
    if (!instruction_set || strcmp(instruction_set, "avx512bf16") == 0)
        return IMP_CPU_AVX2 | IMP_CPU_AVX512 | IMP_CPU_AVX512_BF16;
    if (strcmp(instruction_set, "avx512") == 0) return IMP_CPU_AVX2 | IMP_CPU_AVX512;
    if (strcmp(instruction_set, "c") == 0) return 0;
    if (strcmp(instruction_set, "avx2") == 0) return IMP_CPU_AVX2;
    return -1;
}

const char *imp_cpu_features_name(unsigned features) {
    if (features & IMP_CPU_AVX512_BF16) return "avx512bf16";
    if (features & IMP_CPU_AVX512) return "avx512";
    return features & IMP_CPU_AVX2 ? "avx2" : "c";
}

int imp_cpu_count(void) {
    cpu_set_t set;
    long online;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than a cpu_set_t holds */
    return online > 0 && online < 1 << 16 ? (int)online : 1;
}
