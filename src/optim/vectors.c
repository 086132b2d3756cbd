/* Passes over long vectors, cut into fixed chunks; each chunk's sums are doubles, added in the chunks' order. */
#include "optim/vectors.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"

#define CHUNK 8192 /* floats: three vectors of a chunk stay in the second-level cache */
#define LANES 8    /* running sums side by side, so that additions need not wait for each other */

typedef struct job {
    const imp_vector_pass *pass;
    size_t n;
    void (*run)(const imp_vector_pass *pass, size_t begin, size_t end, double *sums);
    double *partial; /* NULL: the pass sums nothing */
} job;

int imp_vectors_create(imp_context *context, size_t n, imp_vectors *vectors) {
    *vectors = (imp_vectors){.context = context, .n = n, .chunks = (int64_t)((n + CHUNK - 1) / CHUNK)};
    vectors->partial = imp_allocate_zero(context, (size_t)vectors->chunks, IMP_VECTOR_SUMS * sizeof(double));
    return vectors->partial ? IMP_OK : IMP_ERR_MEMORY;
}

void imp_vectors_release(imp_vectors *vectors) {
    if (vectors->context) imp_release(vectors->context, vectors->partial);
    vectors->partial = NULL;
}

static void run_chunks(void *user, int64_t begin, int64_t end, int thread) {
    const job *work = user;
    (void)thread;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        size_t first = (size_t)chunk * CHUNK, last = first + CHUNK < work->n ? first + CHUNK : work->n;
        work->run(work->pass, first, last, work->partial ? work->partial + chunk * IMP_VECTOR_SUMS : NULL);
    }
}

static void run(imp_vectors *vectors, const imp_vector_pass *pass,
                void (*function)(const imp_vector_pass *, size_t, size_t, double *), int sum_count, double *sums) {
    job work = {.pass = pass, .n = vectors->n, .run = function, .partial = sum_count ? vectors->partial : NULL};
    imp_parallel(vectors->context, vectors->chunks, run_chunks, &work);
    for (int k = 0; k < sum_count; k++) {
        sums[k] = 0;
        for (int64_t chunk = 0; chunk < vectors->chunks; chunk++)
            sums[k] += vectors->partial[chunk * IMP_VECTOR_SUMS + k];
    }
}

static double total(const double *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

static void dot(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    const float *a = pass->a, *b = pass->b;
    double lanes[LANES] = {0};
    size_t i = begin;
    for (; i + LANES <= end; i += LANES)
        for (int k = 0; k < LANES; k++) lanes[k] += (double)a[i + k] * b[i + k];
    for (; i < end; i++) lanes[0] += (double)a[i] * b[i];
    sums[0] = total(lanes);
}

void imp_vectors_dot(imp_vectors *vectors, const imp_vector_pass *pass, double *sums) {
    run(vectors, pass, dot, 1, sums);
}

static void norms(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    const float *a = pass->a;
    double squares[LANES] = {0}, absolutes[LANES] = {0};
    size_t i = begin;
    for (; i + LANES <= end; i += LANES)
        for (int k = 0; k < LANES; k++) {
            squares[k] += (double)a[i + k] * a[i + k];
            absolutes[k] += fabs((double)a[i + k]);
        }
    for (; i < end; i++) {
        squares[0] += (double)a[i] * a[i];
        absolutes[0] += fabs((double)a[i]);
    }
    sums[0] = total(squares);
    sums[1] = total(absolutes);
}

void imp_vectors_norms(imp_vectors *vectors, const imp_vector_pass *pass, double *sums) {
    run(vectors, pass, norms, 2, sums);
}

static void update(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    float *restrict out = pass->out;
    const float *a = pass->a, *b = pass->b;
    float scale = (float)pass->scale, factor = (float)pass->factor;
    if (a)
        for (size_t i = begin; i < end; i++) out[i] = scale * out[i] + factor * a[i];
    else
        for (size_t i = begin; i < end; i++) out[i] = scale * out[i];
    imp_vector_pass product = {.a = out, .b = b};
    dot(&product, begin, end, sums);
}

void imp_vectors_update(imp_vectors *vectors, const imp_vector_pass *pass, double *sums) {
    run(vectors, pass, update, 1, sums);
}

static void move(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    float *restrict out = pass->out;
    float scale = (float)pass->scale;
    (void)sums;
    for (size_t i = begin; i < end; i++) out[i] = pass->a[i] + scale * pass->b[i];
}

void imp_vectors_move(imp_vectors *vectors, const imp_vector_pass *pass) {
    run(vectors, pass, move, 0, NULL);
}

static void scale_copy(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    float *restrict out = pass->out;
    float scale = (float)pass->scale;
    (void)sums;
    for (size_t i = begin; i < end; i++) out[i] = scale * pass->a[i];
}

void imp_vectors_scale(imp_vectors *vectors, const imp_vector_pass *pass) {
    run(vectors, pass, scale_copy, 0, NULL);
}

static void pair(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    double ys[LANES] = {0}, yy[LANES] = {0}, ss[LANES] = {0};
    for (size_t i = begin; i < end; i += LANES) {
        size_t count = end - i < LANES ? end - i : LANES;
        for (size_t k = 0; k < count; k++) {
            double y = pass->a[i + k] - pass->b[i + k];
            double s = pass->d ? pass->c[i + k] - pass->d[i + k] : pass->scale * pass->c[i + k];
            ys[k] += y * s;
            yy[k] += y * y;
            ss[k] += s * s;
        }
    }
    sums[0] = total(ys);
    sums[1] = total(yy);
    sums[2] = total(ss);
}

void imp_vectors_pair(imp_vectors *vectors, const imp_vector_pass *pass, double *sums) {
    run(vectors, pass, pair, 3, sums);
}

static void subtract(const imp_vector_pass *pass, size_t begin, size_t end, double *sums) {
    float *restrict out = pass->out;
    (void)sums;
    for (size_t i = begin; i < end; i++) out[i] = pass->a[i] - pass->b[i];
}

void imp_vectors_subtract(imp_vectors *vectors, const imp_vector_pass *pass) {
    run(vectors, pass, subtract, 0, NULL);
}
