/* Scores of pixels: SSIM (Wang et al., IEEE Transactions on Image Processing 13, 2004, pages 600 to 612), PSNR, and how
 * much fine detail there is. Windows are laid only where they fit, as in scikit-image's means. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "style/metrics.h"

#define PEAK 255.0
/* Wang et al.'s K1 = 0.01 and K2 = 0.03 of the range, squared: they keep quotients finite where pictures are flat. */
#define LEAST_MEANS (0.01 * PEAK * 0.01 * PEAK)
#define LEAST_VARIANCES (0.03 * PEAK * 0.03 * PEAK)
#define LONGEST_WINDOW 11

/* ITU-R BT.601. */
#define LUMA_RED 0.299f
#define LUMA_GREEN 0.587f
#define LUMA_BLUE 0.114f

/* A separable window, and by what it multiplies variances. */
typedef struct ssim_window {
    const char *name;
    int size;
    double deviation; /* of a Gaussian; 0: all weights are equal */
    int sample;       /* 1: covariances are those of a sample, over n - 1 */
} ssim_window;

static const ssim_window windows[] = {{"gaussian", 11, 1.5, 0}, {"uniform", 7, 0, 1}};
enum { window_count = sizeof windows / sizeof windows[0], gaussian = 0 };

const char *imp_ssim_window_name(int index) {
    return index >= 0 && index < window_count ? windows[index].name : NULL;
}

int imp_ssim_window_find(const char *name) {
    for (int i = 0; i < window_count; i++)
        if (strcmp(windows[i].name, name) == 0) return i;
    return -1;
}

typedef enum ssim_moment { MEAN_A, MEAN_B, SQUARE_A, SQUARE_B, PRODUCT, MOMENTS } ssim_moment;

typedef struct window_job {
    const float *a, *b; /* planes [channels, height, width] */
    int height, width, size;
    double weights[LONGEST_WINDOW], unbiased;
    double *columns; /* [threads, MOMENTS, width]: rows of the pictures, weighted and summed down */
    double *sums;    /* [channels, rows]: of each row of windows */
} window_job;

static int rows_of(const window_job *job) {
    return job->height - job->size + 1;
}

static void fill_weights(const ssim_window *window, window_job *job) {
    double total = 0;
    for (int i = 0; i < window->size; i++) {
        double at = i - window->size / 2;
        job->weights[i] = window->deviation > 0 ? exp(-0.5 * at * at / (window->deviation * window->deviation)) : 1;
        total += job->weights[i];
    }
    for (int i = 0; i < window->size; i++) job->weights[i] /= total;
    double pixels = (double)window->size * window->size;
    job->unbiased = window->sample ? pixels / (pixels - 1) : 1;
}

/* The weighted sums down the window's rows of a b, for each column; b NULL: of a. */
static void sum_down(const window_job *job, const float *a, const float *b, double *columns) {
    for (int x = 0; x < job->width; x++) columns[x] = 0;
    for (int i = 0; i < job->size; i++) {
        const float *row_a = a + (size_t)i * (size_t)job->width, *row_b = b ? b + (size_t)i * (size_t)job->width : NULL;
        for (int x = 0; x < job->width; x++) columns[x] += job->weights[i] * row_a[x] * (row_b ? (double)row_b[x] : 1);
    }
}

static double sum_across(const window_job *job, const double *columns) {
    double sum = 0;
    for (int i = 0; i < job->size; i++) sum += job->weights[i] * columns[i];
    return sum;
}

static double ssim_of_window(const window_job *job, const double *columns, int x) {
    double moments[MOMENTS];
    for (int i = 0; i < MOMENTS; i++) moments[i] = sum_across(job, columns + (size_t)i * (size_t)job->width + x);
    double a = moments[MEAN_A], b = moments[MEAN_B];
    double variances = job->unbiased * (moments[SQUARE_A] - a * a + moments[SQUARE_B] - b * b);
    double covariance = job->unbiased * (moments[PRODUCT] - a * b);
    return (2 * a * b + LEAST_MEANS) * (2 * covariance + LEAST_VARIANCES) /
           ((a * a + b * b + LEAST_MEANS) * (variances + LEAST_VARIANCES));
}

static void ssim_rows(void *user, int64_t begin, int64_t end, int thread) {
    const window_job *job = user;
    size_t width = (size_t)job->width;
    double *columns = job->columns + (size_t)thread * MOMENTS * width;
    for (int64_t i = begin; i < end; i++) {
        size_t row = (size_t)(i / rows_of(job)) * (size_t)job->height + (size_t)(i % rows_of(job));
        const float *a = job->a + row * width, *b = job->b + row * width;
        sum_down(job, a, NULL, columns + MEAN_A * width);
        sum_down(job, b, NULL, columns + MEAN_B * width);
        sum_down(job, a, a, columns + SQUARE_A * width);
        sum_down(job, b, b, columns + SQUARE_B * width);
        sum_down(job, a, b, columns + PRODUCT * width);
        double sum = 0;
        for (int x = 0; x + job->size <= job->width; x++) sum += ssim_of_window(job, columns, x);
        job->sums[i] = sum;
    }
}

/* Squared differences of a from what the window makes of it. */
static void detail_rows(void *user, int64_t begin, int64_t end, int thread) {
    const window_job *job = user;
    size_t width = (size_t)job->width, middle = (size_t)job->size / 2;
    double *columns = job->columns + (size_t)thread * MOMENTS * width;
    for (int64_t i = begin; i < end; i++) {
        const float *a = job->a + (size_t)i * width, *centre = a + middle * (width + 1);
        double sum = 0;
        sum_down(job, a, NULL, columns);
        for (int x = 0; x + job->size <= job->width; x++) {
            double difference = centre[x] - sum_across(job, columns + x);
            sum += difference * difference;
        }
        job->sums[i] = sum;
    }
}

/* The mean over all windows of what work sums up for each row of them; the job has pictures and sizes. */
static int mean_of_windows(imp_context *context, const ssim_window *window, int channels, window_job *job,
                           imp_work *work, double *value) {
    job->size = window->size;
    if (job->width < job->size || job->height < job->size)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%d x %d pixels: the %s window needs %d a side", job->width,
                        job->height, window->name, job->size);
    size_t threads = (size_t)imp_thread_pool_size(context->pool), rows = (size_t)channels * (size_t)rows_of(job);
    fill_weights(window, job);
    job->columns = imp_allocate_zero(context, threads * MOMENTS * (size_t)job->width, sizeof *job->columns);
    job->sums = imp_allocate_zero(context, rows, sizeof *job->sums);
    int status = job->columns && job->sums ? IMP_OK : IMP_ERR_MEMORY;
    if (!status) {
        double sum = 0;
        imp_parallel(context, (int64_t)rows, work, job);
        for (size_t i = 0; i < rows; i++) sum += job->sums[i];
        *value = sum / ((double)rows * (job->width - job->size + 1));
    }
    imp_release(context, job->columns);
    imp_release(context, job->sums);
    return status;
}

int imp_ssim(imp_context *context, int window, const float *a, const float *b, int channels, int height, int width,
             double *value) {
    window_job job = {.a = a, .b = b, .height = height, .width = width};
    return mean_of_windows(context, &windows[window], channels, &job, ssim_rows, value);
}

int imp_texture_detail(imp_context *context, const float *planes, int height, int width, double *value) {
    size_t pixels = (size_t)width * (size_t)height;
    float *luma = imp_allocate_zero(context, pixels, sizeof *luma);
    if (!luma) return IMP_ERR_MEMORY;
    for (size_t i = 0; i < pixels; i++)
        luma[i] = LUMA_RED * planes[i] + LUMA_GREEN * planes[pixels + i] + LUMA_BLUE * planes[2 * pixels + i];
    window_job job = {.a = luma, .height = height, .width = width};
    int status = mean_of_windows(context, &windows[gaussian], 1, &job, detail_rows, value);
    if (!status) *value = sqrt(*value);
    imp_release(context, luma);
    return status;
}

double imp_psnr(const float *a, const float *b, size_t count) {
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = (double)a[i] - (double)b[i];
        squares += difference * difference;
    }
    return 10 * log10(PEAK * PEAK * (double)count / squares);
}
