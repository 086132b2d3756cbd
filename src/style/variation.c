/* Total variation: each row gathers what the differences around it say, so that rows are independent of
   each other. */
#include "style/variation.h"

#include "base/memory.h"
#include "base/thread.h"
#include "style/image.h"

#define STRAIGHT (2 / 3.0)  /* weights of the nine-point form: of mean dx^2 and mean dy^2, */
#define DIAGONAL (2 / 12.0) /* and of the means over both diagonals */

typedef struct variation_job {
    const float *planes;
    float *gradient; /* NULL: the value alone */
    int height, width;
    double *rows;              /* [planes * height]: each row's part of the value */
    double straight, diagonal; /* weights by single square */
    float straight_slope, diagonal_slope;
} variation_job;

/* Squares of the differences along row y and from it down, and what they add to the row's gradient. */
static double straight_row(const variation_job *job, const float *row, int y, float *gradient) {
    int width = job->width;
    const float *up = y > 0 ? row - width : row, *down = y + 1 < job->height ? row + width : row;
    double sum = 0;
    for (int x = 0; x < width; x++) {
        float right = x + 1 < width ? row[x + 1] - row[x] : 0, left = x > 0 ? row[x] - row[x - 1] : 0;
        float below = down[x] - row[x], above = row[x] - up[x];
        sum += (double)right * right + (double)below * below;
        if (gradient) gradient[x] += job->straight_slope * (left - right + above - below);
    }
    return sum;
}

/* The windows whose upper row is y (-1: the replicated one): squares of both diagonals, and what they add
   to the gradient of row `own`. */
static double diagonal_row(const variation_job *job, const float *plane, int y, int own, float *gradient) {
    int width = job->width, upper = y < 0 ? 0 : y, lower = y + 1 < job->height ? y + 1 : job->height - 1;
    const float *top = plane + (int64_t)upper * width, *bottom = plane + (int64_t)lower * width;
    float above = upper == own ? job->diagonal_slope : 0, below = lower == own ? job->diagonal_slope : 0;
    double sum = 0;
    for (int x = -1; x < width; x++) {
        int left = x < 0 ? 0 : x, right = x + 1 < width ? x + 1 : width - 1;
        float falling = bottom[right] - top[left], rising = bottom[left] - top[right];
        sum += (double)falling * falling + (double)rising * rising;
        if (!gradient) continue;
        gradient[left] += below * rising - above * falling;
        gradient[right] += below * falling - above * rising;
    }
    return sum;
}

static void variation_rows(void *user, int64_t begin, int64_t end, int thread) {
    const variation_job *job = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int y = (int)(i % job->height);
        const float *row = job->planes + i * job->width, *plane = row - (int64_t)y * job->width;
        float *gradient = job->gradient ? job->gradient + i * job->width : NULL;
        double straight = straight_row(job, row, y, gradient);
        /* The windows above belong to the row above, but for the first row's. */
        double above = gradient || y == 0 ? diagonal_row(job, plane, y - 1, y, gradient) : 0;
        double below = diagonal_row(job, plane, y, y, gradient);
        job->rows[i] = job->straight * straight + job->diagonal * (below + (y == 0 ? above : 0));
    }
}

int imp_variation(imp_context *context, const float *planes, int plane_count, int height, int width, double weight,
                  double *value, float *gradient) {
    int64_t rows = (int64_t)plane_count * height;
    double pixels = (double)rows * width, windows = (double)plane_count * (height + 1.0) * (width + 1.0);
    double *sums = imp_allocate(context, (size_t)rows * sizeof(double));
    if (!sums) return IMP_ERR_MEMORY;
    variation_job job = {.planes = planes, .gradient = gradient, .height = height, .width = width, .rows = sums};
    job.straight = STRAIGHT / pixels / (IMP_WHITE * IMP_WHITE);
    job.diagonal = DIAGONAL / windows / (IMP_WHITE * IMP_WHITE);
    job.straight_slope = (float)(2 * weight * job.straight);
    job.diagonal_slope = (float)(2 * weight * job.diagonal);
    imp_parallel(context, rows, variation_rows, &job);
    *value = 0;
    for (int64_t i = 0; i < rows; i++) *value += sums[i];
    imp_release(context, sums);
    return IMP_OK;
}
