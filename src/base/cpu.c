/* What the CPU can do: on x86-64 asked of it by CPUID, and what the operating system saves, by XGETBV. */
#include "base/cpu.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "impasto.h"

#define WITH_AVX2 (IMP_CPU_VECTORS | IMP_CPU_AVX2)
#define WITH_AVX512 (WITH_AVX2 | IMP_CPU_AVX512)
#define WITH_AVX512_BF16 (WITH_AVX512 | IMP_CPU_AVX512_BF16)
#define WITH_AMX (WITH_AVX512_BF16 | IMP_CPU_AMX)

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
    {"amx", WITH_AMX},
#elif defined(__aarch64__)
    {"neon", IMP_CPU_VECTORS},
#else
    {"portable", IMP_CPU_VECTORS},
#endif
};

#define SETS ((int)(sizeof instruction_sets / sizeof instruction_sets[0]))

#ifdef __x86_64__
#include <cpuid.h>

/* XCR0: SSE and AVX state; the three parts of AVX-512 state; the tiles' shapes and contents. */
#define XCR0_AVX 0x06u
#define XCR0_AVX512 0xE6u
#define XCR0_AMX 0x60000u

/* CPUID 7.0 EDX, which not every <cpuid.h> names: AMX-TILE and AMX-BF16. */
#define BITS_AMX (1u << 24 | 1u << 22)

static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* AVX512_BF16 of AMD multiplies twice as many numbers a second as there are in f32, that of Intel half as many (Sapphire
   Rapids; there AMX is the fast one). */
static int is_amd(void) {
    unsigned a, b, c, d;

    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
}

/* Linux gives a process the tiles, 8 KB more for every thread that uses them, when it asks (arch_prctl(2)). */
static int ask_for_tiles(void) {
#ifdef __linux__
    enum { REQUEST_STATE = 0x1023, TILE_CONTENTS = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA */

    return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_CONTENTS) == 0;
#else
    return 0;
#endif
}

/* What the CPU has; whether its bf16 is fast is not among it. */
static unsigned all_features(void) {
    unsigned a, b, c, d, saved, has_tiles;
    unsigned basic = bit_FMA | bit_OSXSAVE | bit_AVX;
    unsigned wide = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & basic) != basic) return IMP_CPU_VECTORS;
    saved = saved_registers();
    if ((saved & XCR0_AVX) != XCR0_AVX) return IMP_CPU_VECTORS;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return IMP_CPU_VECTORS;
#ifdef IMP_EMULATE_AVX512
    return WITH_AVX512_BF16;
#endif
    has_tiles = (d & BITS_AMX) == BITS_AMX && (saved & XCR0_AMX) == XCR0_AMX;
    if ((b & wide) != wide || (saved & XCR0_AVX512) != XCR0_AVX512) return WITH_AVX2;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & bit_AVX512BF16)) return WITH_AVX512;
    return has_tiles ? WITH_AMX : WITH_AVX512_BF16;
}

unsigned imp_cpu_features(unsigned allowed) {
    unsigned features = all_features() & allowed;

    if (features & IMP_CPU_AMX && !ask_for_tiles()) features &= ~(unsigned)IMP_CPU_AMX;
    if (features & IMP_CPU_AMX || (features & IMP_CPU_AVX512_BF16 && is_amd())) features |= IMP_CPU_FAST_BF16;
    return features;
}
#else
unsigned imp_cpu_features(unsigned allowed) {
    return IMP_CPU_VECTORS & allowed;
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
