/* Where a thin student begins: as its teacher with most channels left out, and what they held said by those that stay (after He
 * et al., arXiv 1707.06168). That is far nearer than random weights are. */
#ifndef IMP_STYLE_STUDENT_START_H
#define IMP_STYLE_STUDENT_START_H

#include "base/context.h"
#include "graph/network.h"

/* Chooses count of n channels by whose values the others are best told: the pivots of a Cholesky factorisation of their
   second moments [n, n]. kept: their indices, in the order in which they were chosen. IMP_ERR_MEMORY. */
int imp_choose_channels(imp_context *context, const double *moments, int n, int count, int *kept);

/* Least squares: all n channels from the kept ones, map [n] ~ others [n, count] kept [count]. IMP_ERR_MEMORY. */
int imp_tell_channels(imp_context *context, const double *moments, int n, const int *kept, int count, float *others);

/* Weights [outs, count, kernel] that give the kept outputs of weights [.., n, kernel] when they read the kept inputs alone.
   kept_outs: NULL for outputs 0 .. outs - 1; kernel: pixels of it. */
void imp_keep_weights(const float *weights, int n, int kernel, const int *kept_outs, int outs, const float *others,
                      int count, float *kept);

#endif
