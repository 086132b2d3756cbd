/* Subspace iteration on second moments. */
#include "style/directions.h"

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/thread.h"

/* Each multiplies what lies outside the space by a ratio of eigenvalues; those of feature maps fall so fast that after these
   the share no longer changes in its third digit. */
#define ITERATIONS 24
#define SEED 1

typedef struct product_job {
    const double *moments, *from;
    double *to;
    int n;
} product_job;

/* Rows of to = from moments. */
static void multiply_rows(void *user, int64_t begin, int64_t end, int thread) {
    const product_job *job = user;
    size_t n = (size_t)job->n;
    (void)thread;
    for (size_t row = (size_t)begin; row < (size_t)end; row++) {
        double *to = job->to + row * n;
        for (size_t i = 0; i < n; i++) to[i] = 0;
        for (size_t k = 0; k < n; k++) {
            double factor = job->from[row * n + k];
            for (size_t i = 0; i < n; i++) to[i] += factor * job->moments[k * n + i];
        }
    }
}

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Gram and Schmidt, twice, after which rounding is all that is left; a row that vanishes becomes zero. */
static void orthogonalize(double *rows, int count, int n) {
    for (int i = 0; i < count; i++) {
        double *row = rows + (size_t)i * (size_t)n;
        double before = sqrt(dot(row, row, n));
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < i; k++) {
                const double *other = rows + (size_t)k * (size_t)n;
                double share = dot(row, other, n);
                for (int j = 0; j < n; j++) row[j] -= share * other[j];
            }
        double length = sqrt(dot(row, row, n));
        double scale = length > 1e-12 * before ? 1 / length : 0; /* less than that is rounding */
        for (int j = 0; j < n; j++) row[j] *= scale;
    }
}

static void multiply(imp_context *context, product_job *job, int count) {
    imp_parallel_dynamic(context, count, multiply_rows, job);
}

/* |U M U^T|^2 / |M|^2; product: U M. */
static double kept_share(const double *moments, const double *rows, const double *product, int n, int count) {
    double all = dot(moments, moments, n * n), kept = 0;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < count; k++) {
            double entry = dot(product + (size_t)i * (size_t)n, rows + (size_t)k * (size_t)n, n);
            kept += entry * entry;
        }
    return all > 0 ? kept / all : 1;
}

int imp_leading_directions(imp_context *context, const double *moments, int n, int count, float *directions,
                           double *share) {
    size_t values = (size_t)n * (size_t)count;
    double *rows = imp_allocate_zero(context, values, 2 * sizeof *rows), *product = rows ? rows + values : NULL;
    imp_random random;
    if (!rows) return IMP_ERR_MEMORY;
    imp_random_seed(&random, SEED);
    for (size_t i = 0; i < values; i++) rows[i] = imp_random_normal(&random);
    for (int i = 0; i < ITERATIONS; i++) {
        product_job job = {moments, i % 2 ? product : rows, i % 2 ? rows : product, n};
        multiply(context, &job, count);
        orthogonalize(job.to, count, n);
    }
    multiply(context, &(product_job){moments, rows, product, n}, count);
    *share = kept_share(moments, rows, product, n, count);
    for (size_t i = 0; i < values; i++) directions[i] = (float)rows[i];
    imp_release(context, rows);
    return IMP_OK;
}
