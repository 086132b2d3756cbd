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
    float *scratch;        /* of gemm, thread after thread */
    size_t thread_scratch; /* floats of each */
    float *work[2];        /* n x n each */
    double *rows;          /* [n]: sums by row */
} imp_matrices;

int imp_matrices_create(imp_context *context, int n, imp_matrices *matrices);
uint64_t imp_matrices_measure(const imp_context *context, int n); /* bytes that create takes */
void imp_matrices_release(imp_matrices *matrices);

/* c = alpha a b + beta c; c is neither a nor b. */
void imp_matrix_multiply(imp_matrices *matrices, float alpha, const float *a, const float *b, float beta, float *c);

/* out = a^T; out is not a. */
void imp_matrix_transpose(imp_matrices *matrices, const float *a, float *out);

/* a becomes its lower triangular Cholesky factor with zeros above, a = L L^T; inverse becomes that of the
   factor. a is symmetric and positive definite up to rounding: pivots under least > 0 are raised to it. */
void imp_matrix_cholesky(imp_matrices *matrices, float *a, float least, float *inverse);

/* a becomes its orthogonal polar factor Q, a = Q H with H symmetric and not negative. least: the smallest
   singular value that counts, by a's Frobenius norm; smaller ones may stay short of 1. A zero a stays zero. */
void imp_matrix_polar(imp_matrices *matrices, float *a, double least);

#endif
