/* Random numbers: xoshiro256++ and splitmix64 (Blackman and Vigna, prng.di.unimi.it), Marsaglia's polar method. */
#include "base/random.h"

#include <math.h>

static uint64_t rotate_left(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static uint64_t splitmix(uint64_t *state) {
    uint64_t mixed = *state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

void imp_random_seed(imp_random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++) random->state[i] = splitmix(&seed);
}

uint64_t imp_random_next(imp_random *random) {
    uint64_t *state = random->state;
    uint64_t result = rotate_left(state[0] + state[3], 23) + state[0];
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

/* The upper 53 bits: as many as a double's mantissa has. */
double imp_random_uniform(imp_random *random) {
    return (double)(imp_random_next(random) >> 11) * 0x1p-53;
}

double imp_random_normal(imp_random *random) {
    double x, y, square;
    do {
        x = 2 * imp_random_uniform(random) - 1;
        y = 2 * imp_random_uniform(random) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    return x * sqrt(-2 * log(square) / square);
}
