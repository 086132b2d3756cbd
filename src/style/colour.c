/* Colour transfer: three channels, so everything is in doubles and small. */
#include "style/colour.h"

#include <math.h>

#include "base/memory.h"
#include "base/thread.h"

#define RELATIVE_EPSILON 1e-5 /* of the mean eigenvalue */
/* Variance that rounding to 8 bits leaves in a flat colour: a picture that varies less has nothing to stretch. */
#define ROUNDING_VARIANCE (1.0 / 12)
#define SWEEPS 30 /* of Jacobi's method: 3x3 needs five or six */

typedef struct colours {
    double mean[3], covariance[3][3];
} colours;

static void measure(const float *planes, size_t count, colours *found) {
    *found = (colours){0};
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < count; i++) found->mean[c] += planes[(size_t)c * count + i];
        found->mean[c] /= (double)count;
    }
    double sum[6] = {0};
    for (size_t i = 0; i < count; i++) {
        double r = planes[i] - found->mean[0], g = planes[count + i] - found->mean[1],
               b = planes[2 * count + i] - found->mean[2];
        sum[0] += r * r;
        sum[1] += r * g;
        sum[2] += r * b;
        sum[3] += g * g;
        sum[4] += g * b;
        sum[5] += b * b;
    }
    static const int entry[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) found->covariance[i][j] = sum[entry[i][j]] / (double)count;
}

/* Turns rows and columns p and q of a so that a[p][q] becomes zero; the columns of vectors turn along. */
static void rotate(double a[3][3], double vectors[3][3], int p, int q) {
    if (a[p][q] == 0) return;
    double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < 3; k++) {
        double kp = a[k][p], kq = a[k][q];
        a[k][p] = c * kp - s * kq;
        a[k][q] = s * kp + c * kq;
    }
    for (int k = 0; k < 3; k++) {
        double pk = a[p][k], qk = a[q][k];
        a[p][k] = c * pk - s * qk;
        a[q][k] = s * pk + c * qk;
    }
    for (int k = 0; k < 3; k++) {
        double kp = vectors[k][p], kq = vectors[k][q];
        vectors[k][p] = c * kp - s * kq;
        vectors[k][q] = s * kp + c * kq;
    }
}

/* root = V f(eigenvalues) V^T with f(x) = sqrt(x), or with inverse 1 / sqrt(x + a little). */
static void symmetric_root(const double matrix[3][3], int inverse, double root[3][3]) {
    double a[3][3], vectors[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) a[i][j] = matrix[i][j];
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        rotate(a, vectors, 0, 1);
        rotate(a, vectors, 0, 2);
        rotate(a, vectors, 1, 2);
    }
    double little = RELATIVE_EPSILON * (a[0][0] + a[1][1] + a[2][2]) / 3 + ROUNDING_VARIANCE;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            root[i][j] = 0;
            for (int k = 0; k < 3; k++) {
                double value = fmax(a[k][k], 0);
                root[i][j] += vectors[i][k] * vectors[j][k] * (inverse ? 1 / sqrt(value + little) : sqrt(value));
            }
        }
}

typedef struct match_job {
    float *planes;
    size_t count;
    double transform[3][3], offset[3];
} match_job;

static void match_range(void *user, int64_t begin, int64_t end, int thread) {
    const match_job *job = user;
    float *r = job->planes, *g = r + job->count, *b = g + job->count;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        double in[3] = {r[i], g[i], b[i]}, out[3];
        for (int c = 0; c < 3; c++)
            out[c] = job->offset[c] + job->transform[c][0] * in[0] + job->transform[c][1] * in[1] +
                     job->transform[c][2] * in[2];
        r[i] = (float)out[0];
        g[i] = (float)out[1];
        b[i] = (float)out[2];
    }
}

int imp_colour_match(imp_context *context, float *style, size_t style_count, const float *photo, size_t photo_count) {
    if (!style_count || !photo_count)
        return imp_fail(context, IMP_ERR_ARGUMENT, "colour transfer: a picture without pixels");
    colours from, to;
    measure(style, style_count, &from);
    measure(photo, photo_count, &to);
    double whiten[3][3], colour[3][3];
    symmetric_root(from.covariance, 1, whiten);
    symmetric_root(to.covariance, 0, colour);
    match_job job = {.planes = style, .count = style_count};
    for (int i = 0; i < 3; i++) {
        job.offset[i] = to.mean[i];
        for (int j = 0; j < 3; j++) {
            for (int k = 0; k < 3; k++) job.transform[i][j] += colour[i][k] * whiten[k][j];
            job.offset[i] -= job.transform[i][j] * from.mean[j];
        }
    }
    imp_parallel(context, (int64_t)style_count, match_range, &job);
    return IMP_OK;
}

typedef struct keep_job {
    float *painted;
    const float *photo;
    size_t count;
} keep_job;

/* The luma of BT.601. */
static float luma(float r, float g, float b) {
    return 0.299f * r + 0.587f * g + 0.114f * b;
}

static void keep_range(void *user, int64_t begin, int64_t end, int thread) {
    const keep_job *job = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        float *r = job->painted + i, *g = r + job->count, *b = g + job->count;
        const float *from = job->photo + i;
        float red = from[0], green = from[job->count], blue = from[2 * job->count];
        /* Cb and Cr are multiples of B - Y and R - Y, so another luma under the same chroma moves all three alike. */
        float rise = luma(*r, *g, *b) - luma(red, green, blue);
        *r = red + rise;
        *g = green + rise;
        *b = blue + rise;
    }
}

void imp_colour_keep(imp_context *context, float *painted, const float *photo, size_t count) {
    keep_job job = {.painted = painted, .photo = photo, .count = count};
    imp_parallel(context, (int64_t)count, keep_range, &job);
}
