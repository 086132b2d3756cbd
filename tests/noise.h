/* The numbers of tests/data/noise.py. */
#ifndef IMP_TESTS_NOISE_H
#define IMP_TESTS_NOISE_H

#include <stdint.h>

static inline float noise_at(uint32_t seed, uint32_t i) {
    uint32_t h = i * 2654435761u + seed * 2246822519u + 374761393u;

    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    h *= 3266489917u;
    h ^= h >> 16;
    return (float)(h >> 8) / (float)(1 << 23) - 1;
}

#endif
