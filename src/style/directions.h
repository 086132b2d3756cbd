/* The leading directions of second moments: the few combinations of channels that hold most of a Gram matrix. */
#ifndef IMP_STYLE_DIRECTIONS_H
#define IMP_STYLE_DIRECTIONS_H

#include "base/context.h"

/* moments: [n, n], symmetric, no eigenvalue below 0. directions: [count, n], orthonormal rows that span, nearly, the
   eigenvectors of the count largest eigenvalues, by subspace iteration (Halko et al., arXiv 0909.4061); the same for the
   same moments. share: of |moments|^2 that is left when all is projected on them. IMP_ERR_MEMORY. */
int imp_leading_directions(imp_context *context, const double *moments, int n, int count, float *directions,
                           double *share);

#endif
