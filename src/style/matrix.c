/* Dense matrices of the losses: blocked so that nearly all the work is in the gemm of the kernels. */
#include "style/matrix.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"

#define PANEL 64 /* columns of a Cholesky step: what is done one by one stays small beside the products */

/* Floats of one thread's scratch, in whole cache lines. */
static size_t thread_scratch(const imp_kernels *kernels, int n) {
    size_t line = IMP_ALIGNMENT / sizeof(float);
    return (kernels->gemm_scratch(n, n) + line - 1) / line * line;
}

uint64_t imp_matrices_measure(const imp_context *context, int n) {
    uint64_t threads = (uint64_t)imp_thread_pool_size(context->pool), count = (uint64_t)n * (uint64_t)n;
    uint64_t scratch = threads * thread_scratch(imp_kernels_get(context->cpu_features, IMP_ELEMENT_F32), n);
    return (scratch + 2 * count) * sizeof(float) + (uint64_t)n * sizeof(double);
}

int imp_matrices_create(imp_context *context, int n, imp_matrices *matrices) {
    const imp_kernels *kernels = imp_kernels_get(context->cpu_features, IMP_ELEMENT_F32);
    *matrices = (imp_matrices){.context = context, .kernels = kernels, .n = n};
    size_t bytes = (size_t)n * (size_t)n * sizeof(float), threads = (size_t)imp_thread_pool_size(context->pool);
    matrices->thread_scratch = thread_scratch(kernels, n);
    if ((matrices->scratch = imp_allocate(context, threads * matrices->thread_scratch * sizeof(float))) &&
        (matrices->work[0] = imp_allocate(context, bytes)) && (matrices->work[1] = imp_allocate(context, bytes)) &&
        (matrices->rows = imp_allocate(context, (size_t)n * sizeof(double))))
        return IMP_OK;
    imp_matrices_release(matrices);
    return IMP_ERR_MEMORY;
}

void imp_matrices_release(imp_matrices *matrices) {
    if (!matrices->context) return;
    imp_release(matrices->context, matrices->scratch);
    for (int k = 0; k < 2; k++) imp_release(matrices->context, matrices->work[k]);
    imp_release(matrices->context, matrices->rows);
    *matrices = (imp_matrices){0};
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

typedef struct product {
    imp_matrices *matrices;
    int columns, depth; /* of c; of a */
    float alpha, beta;
    const float *a, *b;
    float *c;
} product;

static void product_rows(void *user, int64_t begin, int64_t end, int thread) {
    const product *job = user;
    imp_matrices *matrices = job->matrices;
    size_t stride = (size_t)matrices->n;
    matrices->kernels->gemm(job->columns, job->depth, job->alpha, job->a, stride, job->b, stride, job->beta, job->c,
                            stride, (int)begin, (int)end,
                            matrices->scratch + (size_t)thread * matrices->thread_scratch);
}

/* The same for parts of matrices: rows x columns of c, depth columns of a; all with a whole matrix's stride. */
static void multiply_part(imp_matrices *matrices, int rows, int columns, int depth, float alpha, const float *a,
                          const float *b, float beta, float *c) {
    product job = {
        .matrices = matrices, .columns = columns, .depth = depth, .alpha = alpha, .beta = beta, .a = a, .b = b, .c = c};
    imp_parallel(matrices->context, rows, product_rows, &job);
}

void imp_matrix_multiply(imp_matrices *matrices, float alpha, const float *a, const float *b, float beta, float *c) {
    multiply_part(matrices, matrices->n, matrices->n, matrices->n, alpha, a, b, beta, c);
}

typedef struct transposition {
    int n;
    const float *a;
    float *out;
} transposition;

static void transpose_rows(void *user, int64_t begin, int64_t end, int thread) {
    const transposition *job = user;
    int n = job->n;
    (void)thread;
    /* In squares of 16: a cache line of each of 16 rows is read whole before it is dropped. */
    for (int from = 0; from < n; from += 16)
        for (int64_t i = begin; i < end; i++)
            for (int j = from; j < n && j < from + 16; j++) job->out[i * n + j] = job->a[(int64_t)j * n + i];
}

void imp_matrix_transpose(imp_matrices *matrices, const float *a, float *out) {
    transposition job = {.n = matrices->n, .a = a, .out = out};
    imp_parallel(matrices->context, matrices->n, transpose_rows, &job);
}

/* ---- Cholesky factor --------------------------------------------------------------------------------------------- */

/* Factors the square of size at a (a diagonal block) in doubles and writes the factor's inverse; both have
   zeros above. */
static void factor_block(float *a, size_t stride, int size, float least, float *inverse) {
    double factor[PANEL][PANEL] = {{0}}, inverted[PANEL][PANEL] = {{0}};
    for (int j = 0; j < size; j++) {
        double pivot = a[(size_t)j * stride + (size_t)j];
        for (int k = 0; k < j; k++) pivot -= factor[j][k] * factor[j][k];
        factor[j][j] = sqrt(fmax(pivot, least));
        for (int i = j + 1; i < size; i++) {
            double sum = a[(size_t)i * stride + (size_t)j];
            for (int k = 0; k < j; k++) sum -= factor[i][k] * factor[j][k];
            factor[i][j] = sum / factor[j][j];
        }
    }
    for (int j = 0; j < size; j++) {
        inverted[j][j] = 1 / factor[j][j];
        for (int i = j + 1; i < size; i++) {
            double sum = 0;
            for (int k = j; k < i; k++) sum -= factor[i][k] * inverted[k][j];
            inverted[i][j] = sum / factor[i][i];
        }
    }
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            a[(size_t)i * stride + (size_t)j] = (float)factor[i][j];
            inverse[(size_t)i * stride + (size_t)j] = (float)inverted[i][j];
        }
}

/* Copies a part of rows x columns, transposed, between matrices of n columns. */
static void transpose_part(const float *a, int rows, int columns, size_t n, float *out) {
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++) out[(size_t)j * n + (size_t)i] = a[(size_t)i * n + (size_t)j];
}

/* The rows under a factored diagonal block at k, and what they take from the rest of a. */
static void eliminate_below(imp_matrices *matrices, float *a, int k, int size, const float *inverse) {
    size_t n = (size_t)matrices->n;
    int rows = matrices->n - k - size;
    float *panel = a + ((size_t)(k + size) * n + (size_t)k), *rest = panel + size;
    float *turned = matrices->work[0], *solved = matrices->work[1];
    transpose_part(inverse, size, size, n, turned);
    multiply_part(matrices, rows, size, size, 1, panel, turned, 0, solved);
    for (int i = 0; i < rows; i++) memcpy(panel + (size_t)i * n, solved + (size_t)i * n, (size_t)size * sizeof(float));
    transpose_part(panel, rows, size, n, turned);
    multiply_part(matrices, rows, rows, size, -1, panel, turned, 1, rest);
}

/* inverse holds the inverses of the factor's diagonal blocks; the rest follows block row by block row:
   inverse[i] = inverse[i][i] (0 - sum over j < i of factor[i][j] inverse[j]). */
static void invert_factor(imp_matrices *matrices, const float *factor, float *inverse) {
    size_t n = (size_t)matrices->n;
    for (int i = PANEL; i < matrices->n; i += PANEL) {
        int size = matrices->n - i < PANEL ? matrices->n - i : PANEL;
        float *row = inverse + (size_t)i * n, *sum = matrices->work[0];
        multiply_part(matrices, size, i, i, -1, factor + (size_t)i * n, inverse, 0, sum);
        multiply_part(matrices, size, i, size, 1, row + i, sum, 0, row);
    }
}

void imp_matrix_cholesky(imp_matrices *matrices, float *a, float least, float *inverse) {
    int n = matrices->n;
    size_t stride = (size_t)n;
    memset(inverse, 0, stride * stride * sizeof(float));
    for (int k = 0; k < n; k += PANEL) {
        int size = n - k < PANEL ? n - k : PANEL;
        size_t corner = (size_t)k * (stride + 1);
        factor_block(a + corner, stride, size, least, inverse + corner);
        if (k + size == n) break;
        eliminate_below(matrices, a, k, size, inverse + corner);
        for (int i = 0; i < size; i++)
            memset(a + corner + (size_t)i * stride + size, 0, (size_t)(n - k - size) * sizeof(float));
    }
    invert_factor(matrices, a, inverse);
}

/* ---- Polar factor ------------------------------------------------------------------------------------------------ */

/* The step q (3 r - r^3 q^T q) / 2 takes a singular value x to r x (3 - r^2 x^2) / 2. r = 1 is Newton and
   Schulz's; a greater r lifts small values faster, and Chen and Chow ("A stable scaling of Newton-Schulz",
   2014) choose it by the least value there is, so that the least and the greatest meet, with this bound,
   under which a value a little over 1 by rounding still comes out positive. */
#define GREATEST_SCALE 1.69770248526
#define MEASURABLE 1e-7 /* singular values below this part of the norm are rounding in f32 */
#define CONVERGED 1e-7  /* what singular values may lack of 1 at the end: f32 cannot tell */
#define MOST_STEPS 40   /* twice what MEASURABLE needs */

typedef struct norm_job {
    const float *a;
    int n;
    double *rows;
} norm_job;

static void square_rows(void *user, int64_t begin, int64_t end, int thread) {
    const norm_job *job = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        for (int j = 0; j < job->n; j++) sum += (double)job->a[i * job->n + j] * job->a[i * job->n + j];
        job->rows[i] = sum;
    }
}

static double frobenius_norm(imp_matrices *matrices, const float *a) {
    norm_job job = {.a = a, .n = matrices->n, .rows = matrices->rows};
    imp_parallel(matrices->context, matrices->n, square_rows, &job);
    double sum = 0;
    for (int i = 0; i < matrices->n; i++) sum += matrices->rows[i];
    return sqrt(sum);
}

typedef struct affine_job {
    float *a;
    int n;
    float scale, diagonal;
} affine_job;

static void affine_rows(void *user, int64_t begin, int64_t end, int thread) {
    const affine_job *job = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        for (int j = 0; j < job->n; j++) job->a[i * job->n + j] *= job->scale;
        job->a[i * job->n + i] += job->diagonal;
    }
}

/* a = scale a + diagonal I */
static void scale_and_shift(imp_matrices *matrices, float *a, double scale, double diagonal) {
    affine_job job = {.a = a, .n = matrices->n, .scale = (float)scale, .diagonal = (float)diagonal};
    imp_parallel(matrices->context, matrices->n, affine_rows, &job);
}

void imp_matrix_polar(imp_matrices *matrices, float *a, double least) {
    double norm = frobenius_norm(matrices, a);
    if (!(norm > 0) || !isfinite(norm)) return;
    scale_and_shift(matrices, a, 1 / norm, 0);
    float *from = a, *to = matrices->work[0], *square = matrices->work[1];
    least = fmin(fmax(least, MEASURABLE), 1 - 2 * CONVERGED);
    for (int step = 0; step < MOST_STEPS && least < 1 - CONVERGED; step++) {
        imp_matrix_transpose(matrices, from, to);
        imp_matrix_multiply(matrices, 1, to, from, 0, square);
        /* The greatest singular value is at most the root of the first square's norm, and seldom much less:
           dividing by that instead of by the norm of a saves a step. */
        double most = step == 0 ? sqrt(frobenius_norm(matrices, square)) : 1;
        least = fmin(least / most, 1);
        double r = fmin(sqrt(3 / (1 + least + least * least)), GREATEST_SCALE), by = r / most;
        scale_and_shift(matrices, square, -by * by * by / 2, 1.5 * by);
        imp_matrix_multiply(matrices, 1, from, square, 0, to);
        float *swap = from;
        from = to;
        to = swap;
        least = r * least * (3 - r * r * least * least) / 2;
    }
    if (from != a) memcpy(a, from, (size_t)matrices->n * (size_t)matrices->n * sizeof(float));
}
