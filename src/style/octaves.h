/* Octaves: a picture's gradient scaled by how coarse its parts are. The losses bend far less along broad changes of a
 * picture than along fine ones, because every pixel of a broad change adds to the same features; a descent that takes
 * both alike spends its iterations on the fine ones. */
#ifndef IMP_STYLE_OCTAVES_H
#define IMP_STYLE_OCTAVES_H

#include "base/context.h"

typedef struct imp_octaves imp_octaves;

/* For planes [3, height, width]. growth > 1: a change of half the frequency is moved growth times as far. */
int imp_octaves_create(imp_context *context, int height, int width, double growth, imp_octaves **octaves);

/* Bytes that create takes. */
uint64_t imp_octaves_measure(int height, int width);

/* planes becomes P planes, where P = 1 + U (growth - 1 + U (growth^2 - growth + ...) D) D, with D the picture at half
   the size and U = 4 D^T back at the whole one: symmetric and positive definite. octaves: an imp_octaves, as
   imp_lbfgs_options.precondition wants it. */
void imp_octaves_apply(void *octaves, float *planes);

void imp_octaves_free(imp_octaves *octaves);

#endif
