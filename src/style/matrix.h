/* Dense float matrices of the losses, row-major and contiguous: product, Cholesky factor and polar factor,
 * parallel inside. */
#ifndef IMP_STYLE_MATRIX_H
#define IMP_STYLE_MATRIX_H

#include "base/context.h"
#include "kernels/kernels.h"

/* The tools for n x n matrices: the kernels, and scratch for each thread. */
typedef struct imp_matrices {
    imp_context *context;
    const imp_kernels *kernels;
    int n;
    float *scratch;        /* of gemm, thread after thread        */
    size_t thread_scratch; /* floats of each */
    float *work[2];        /* n x n each        */
} imp_matrices;

int imp_matrices_create(imp_context *context, int n, imp_matrices *matrices);
void imp_matrices_release(imp_matrices *matrices);

/* c = alpha a b + beta c; c is neither a nor b. */
void imp_matrix_multiply(imp_matrices *matrices, float alpha, const float *a, const float *b, float beta,
                         float *c);

/* out = a^T; out is not a. */
void imp_matrix_transpose(imp_matrices *matrices, const float *a, float *out);

/* factor factor^T = a, lower triangular with zeros above; inverse (may be NULL) is the factor's inverse. a is
   symmetric; pivots below least > 0 are raised to it, so that rounding in a nearly singular a cannot fail.
   factor may be a. */
void imp_matrix_cholesky(imp_matrices *matrices, const float *a, float least, float *factor, float *inverse);

/* The orthogonal polar factor Q of a = Q H by Newton-Schulz steps, scaled as Chen and Chow (2014) do.
   Singular values under least times a's Frobenius norm may stay short of 1. q is not a. A zero a gives zero.
 */
void imp_matrix_polar(imp_matrices *matrices, const float *a, double least, float *q);

#endif
