/* Random numbers that are the same everywhere for a seed: xoshiro256++ (Blackman and Vigna, public domain),
 * seeded by splitmix64. */
#ifndef IMP_BASE_RANDOM_H
#define IMP_BASE_RANDOM_H

#include <stdint.h>

typedef struct imp_random {
    uint64_t state[4];
} imp_random;

void imp_random_seed(imp_random *random, uint64_t seed);
uint64_t imp_random_next(imp_random *random);
double imp_random_uniform(imp_random *random); /* [0, 1) */
double imp_random_normal(imp_random *random);  /* mean 0, deviation 1, by Marsaglia's polar method */

#endif
