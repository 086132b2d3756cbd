/* Passes over long vectors that also sum: the same result for any number of threads, since chunks depend on
   n alone. */
#ifndef IMP_OPTIM_VECTORS_H
#define IMP_OPTIM_VECTORS_H

#include "base/context.h"

#define IMP_VECTOR_SUMS 3 /* sums that one pass can yield */

typedef struct imp_vectors {
    imp_context *context;
    size_t n;
    int64_t chunks;
    double *partial; /* [chunks, IMP_VECTOR_SUMS] */
} imp_vectors;

int imp_vectors_create(imp_context *context, size_t n, imp_vectors *vectors);
void imp_vectors_release(imp_vectors *vectors);

/* What a pass is about; every pass says which of these it uses. */
typedef struct imp_vector_pass {
    float *out;
    const float *a, *b, *c, *d;
    double scale, factor;
} imp_vector_pass;

/* sums[0] = a . b */
void imp_vectors_dot(imp_vectors *vectors, const imp_vector_pass *pass, double *sums);

/* sums[0] = a . a, sums[1] = sum of |a| */
void imp_vectors_norms(imp_vectors *vectors, const imp_vector_pass *pass, double *sums);

/* out = scale * out + factor * a (a may be NULL), then sums[0] = out . b */
void imp_vectors_update(imp_vectors *vectors, const imp_vector_pass *pass, double *sums);

/* out = a + scale * b */
void imp_vectors_move(imp_vectors *vectors, const imp_vector_pass *pass);

/* out = scale * a */
void imp_vectors_scale(imp_vectors *vectors, const imp_vector_pass *pass);

/* With y = a - b and s = c - d, or s = scale * c where d is NULL: sums = y . s, y . y, s . s */
void imp_vectors_pair(imp_vectors *vectors, const imp_vector_pass *pass, double *sums);

/* out = a - b */
void imp_vectors_subtract(imp_vectors *vectors, const imp_vector_pass *pass);

#endif
