/* A student's first weights out of its teacher's. */
#include "style/student_start.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/* Added to the diagonal, as a share of its mean: channels that are nearly told by others leave the rest well behaved. */
#define RIDGE 1e-6

int imp_choose_channels(imp_context *context, const double *moments, int n, int count, int *kept) {
    size_t size = (size_t)n;
    /* Rows of the factor, one for each pivot, and what is left of each channel's energy. */
    double *factor = imp_allocate_zero(context, size, ((size_t)count + 1) * sizeof *factor);
    double *left = factor ? factor + size * (size_t)count : NULL;
    if (!factor) return IMP_ERR_MEMORY;
    for (size_t i = 0; i < size; i++) left[i] = moments[i * size + i];
    for (int k = 0; k < count; k++) {
        double *row = factor + (size_t)k * size;
        size_t pivot = 0;
        for (size_t i = 1; i < size; i++)
            if (left[i] > left[pivot]) pivot = i;
        kept[k] = (int)pivot;
        double root = left[pivot] > 0 ? sqrt(left[pivot]) : 1; /* all the others are told exactly: any will do */
        for (size_t i = 0; i < size; i++) {
            double rest = moments[pivot * size + i];
            for (int j = 0; j < k; j++) rest -= factor[(size_t)j * size + pivot] * factor[(size_t)j * size + i];
            row[i] = rest / root;
            left[i] -= row[i] * row[i];
        }
        left[pivot] = -INFINITY; /* not chosen again */
    }
    imp_release(context, factor);
    return IMP_OK;
}

/* a = L L^T in place of a's lower triangle, [count, count]; a has a ridge. */
static void factorize(double *a, int count) {
    size_t n = (size_t)count;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(sum > 0 ? sum : 1) : sum / a[j * n + j];
        }
}

/* x = (L L^T)^-1 x */
static void solve(const double *factor, int count, double *x) {
    size_t n = (size_t)count;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) x[i] -= factor[i * n + k] * x[k];
        x[i] /= factor[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++) x[i] -= factor[k * n + i] * x[k];
        x[i] /= factor[i * n + i];
    }
}

int imp_tell_channels(imp_context *context, const double *moments, int n, const int *kept, int count, float *others) {
    size_t size = (size_t)count, all = (size_t)n;
    double *gram = imp_allocate_zero(context, size, (size + 1) * sizeof *gram), trace = 0;
    double *row = gram ? gram + size * size : NULL;
    if (!gram) return IMP_ERR_MEMORY;
    for (size_t i = 0; i < size; i++) {
        for (size_t j = 0; j < size; j++) gram[i * size + j] = moments[(size_t)kept[i] * all + (size_t)kept[j]];
        trace += gram[i * size + i];
    }
    for (size_t i = 0; i < size; i++) gram[i * size + i] += RIDGE * trace / (double)size;
    factorize(gram, count);
    for (size_t c = 0; c < all; c++) {
        for (size_t i = 0; i < size; i++) row[i] = moments[c * all + (size_t)kept[i]];
        solve(gram, count, row);
        for (size_t i = 0; i < size; i++) others[c * size + i] = (float)row[i];
    }
    imp_release(context, gram);
    return IMP_OK;
}

void imp_keep_weights(const float *weights, int n, int kernel, const int *kept_outs, int outs, const float *others,
                      int count, float *kept) {
    memset(kept, 0, (size_t)outs * (size_t)count * (size_t)kernel * sizeof *kept);
    for (int o = 0; o < outs; o++)
        for (int c = 0; c < n; c++) {
            const float *from =
                weights + ((size_t)(kept_outs ? kept_outs[o] : o) * (size_t)n + (size_t)c) * (size_t)kernel;
            for (int i = 0; i < count; i++) {
                float *to = kept + ((size_t)o * (size_t)count + (size_t)i) * (size_t)kernel;
                for (int k = 0; k < kernel; k++) to[k] += from[k] * others[(size_t)c * (size_t)count + (size_t)i];
            }
        }
}
