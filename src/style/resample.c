/* Separable resampling, with the filters and the placing of Pillow's Image.resize (Pillow, MIT-CMU licence;
 * no code is shared): an output pixel is the weighted mean of the source pixels whose centres lie within the
 * filter's support, which grows with the scale when shrinking. All in float: Pillow rounds to 8 bits between
 * its two passes, this doesn't. */
#include "style/resample.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"

/* The weights of one axis: output i is the sum over k < count[i] of weights[i * taps + k] * source[first[i] + k]. */
typedef struct filter_bank {
    int length, taps;
    int *first, *count;
    float *weights;
} filter_bank;

typedef struct resampling {
    imp_row_source *source;
    const void *user;
    int channels, height, width, out_height, out_width;
    const filter_bank *horizontal, *vertical; /* NULL where the size stays */
    float *scratch;                           /* channels * width floats for each thread */
    float *middle;                            /* [channels][height][out_width]: what the vertical pass reads */
    float *out;
} resampling;

static double sinc(double x) {
    if (x == 0) return 1;
    return sin(M_PI * x) / (M_PI * x);
}

static double filter_support(imp_filter filter) {
    return filter == IMP_FILTER_LANCZOS ? 3 : filter == IMP_FILTER_BICUBIC ? 2 : 1;
}

static double filter_value(imp_filter filter, double x) {
    x = fabs(x);
    if (x >= filter_support(filter)) return 0;
    if (filter == IMP_FILTER_LANCZOS) return sinc(x) * sinc(x / 3);
    if (filter == IMP_FILTER_BILINEAR) return 1 - x;
    const double a = -0.5; /* Keys 1981: the value that reproduces quadratics */
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return (((x - 5) * x + 8) * x - 4) * a;
}

static void bank_free(imp_context *context, filter_bank *bank) {
    imp_release(context, bank->first);
    imp_release(context, bank->count);
    imp_release(context, bank->weights);
}

/* The weights of output pixel i, for a source of in_length pixels. */
static void bank_fill(filter_bank *bank, int i, int in_length, imp_filter filter) {
    double scale = (double)in_length / bank->length, widened = scale > 1 ? scale : 1;
    double support = filter_support(filter) * widened, centre = (i + 0.5) * scale;
    int first = (int)fmax(centre - support + 0.5, 0);
    int end = (int)fmin(centre + support + 0.5, in_length);
    float *weights = bank->weights + (size_t)i * (size_t)bank->taps;
    double sum = 0;
    for (int k = first; k < end; k++) sum += filter_value(filter, (k - centre + 0.5) / widened);
    for (int k = first; k < end; k++)
        weights[k - first] = (float)(filter_value(filter, (k - centre + 0.5) / widened) / sum);
    bank->first[i] = first;
    bank->count[i] = end - first;
}

static int bank_make(imp_context *context, int in_length, int length, imp_filter filter, filter_bank *bank) {
    double scale = (double)in_length / length;
    size_t count = (size_t)length;
    *bank = (filter_bank){.length = length};
    /* Both ends of the support, and the pixel that rounding may add. */
    bank->taps = (int)ceil(filter_support(filter) * (scale > 1 ? scale : 1)) * 2 + 1;
    bank->first = imp_allocate_zero(context, count, sizeof(int));
    bank->count = bank->first ? imp_allocate_zero(context, count, sizeof(int)) : NULL;
    bank->weights = bank->count ? imp_allocate_zero(context, count, (size_t)bank->taps * sizeof(float)) : NULL;
    if (!bank->weights) return IMP_ERR_MEMORY; /* the caller frees the bank, whole or not */
    for (int i = 0; i < length; i++) bank_fill(bank, i, in_length, filter);
    return IMP_OK;
}

static void filter_row(const filter_bank *bank, const float *in, float *out) {
    for (int i = 0; i < bank->length; i++) {
        const float *weights = bank->weights + (size_t)i * (size_t)bank->taps, *from = in + bank->first[i];
        float even = 0, odd = 0; /* two sums, so that additions need not wait for each other */
        int k = 0;
        for (; k + 1 < bank->count[i]; k += 2) {
            even += weights[k] * from[k];
            odd += weights[k + 1] * from[k + 1];
        }
        if (k < bank->count[i]) even += weights[k] * from[k];
        out[i] = even + odd;
    }
}

/* Rows [begin, end) of the source, filtered horizontally (or copied) into middle. */
static void horizontal_pass(void *user, int64_t begin, int64_t end, int thread) {
    const resampling *job = user;
    size_t out_width = (size_t)job->out_width, height = (size_t)job->height;
    float *scratch = job->scratch + (size_t)thread * (size_t)job->channels * (size_t)job->width;
    const float *rows[IMP_RESAMPLE_MAX_CHANNELS];
    for (int64_t y = begin; y < end; y++) {
        job->source(job->user, (int)y, scratch, rows);
        for (int c = 0; c < job->channels; c++) {
            float *out = job->middle + ((size_t)c * height + (size_t)y) * out_width;
            if (job->horizontal)
                filter_row(job->horizontal, rows[c], out);
            else
                memcpy(out, rows[c], out_width * sizeof(float));
        }
    }
}

/* Rows [begin, end) of out, all channels counted through. */
static void vertical_pass(void *user, int64_t begin, int64_t end, int thread) {
    const resampling *job = user;
    const filter_bank *bank = job->vertical;
    size_t width = (size_t)job->out_width;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t channel = row / job->out_height, y = row % job->out_height;
        const float *weights = bank->weights + (size_t)y * (size_t)bank->taps;
        const float *from = job->middle + ((size_t)channel * (size_t)job->height + (size_t)bank->first[y]) * width;
        float *out = job->out + (size_t)row * width;
        memset(out, 0, width * sizeof(float));
        for (int k = 0; k < bank->count[y]; k++, from += width) {
            float weight = weights[k];
            for (size_t x = 0; x < width; x++) out[x] += weight * from[x];
        }
    }
}

/* Runs both passes with the banks made; middle is out itself where the height stays. */
static int run_passes(imp_context *context, resampling *job) {
    size_t channels = (size_t)job->channels, threads = (size_t)imp_thread_pool_size(context->pool), count;
    int status = IMP_ERR_MEMORY;
    float *middle = NULL;
    job->scratch = imp_allocate_zero(context, threads * channels, (size_t)job->width * sizeof(float));
    if (!job->scratch) return IMP_ERR_MEMORY;
    if (job->vertical) {
        if (imp_multiply(channels * (size_t)job->height, (size_t)job->out_width * sizeof(float), &count))
            middle = imp_allocate(context, count);
        else
            imp_fail(context, IMP_ERR_MEMORY, "out of memory: resampling %d x %d pixels", job->width, job->height);
        if (!middle) goto done;
    }
    job->middle = middle ? middle : job->out;
    imp_parallel(context, job->height, horizontal_pass, job);
    if (job->vertical) imp_parallel(context, (int64_t)channels * job->out_height, vertical_pass, job);
    status = IMP_OK;
done:
    imp_release(context, middle);
    imp_release(context, job->scratch);
    return status;
}

int imp_resample(imp_context *context, imp_row_source *source, const void *user, int channels, int height, int width,
                 float *out, int out_height, int out_width, imp_filter filter) {
    filter_bank horizontal = {0}, vertical = {0};
    resampling job = {.source = source,
                      .user = user,
                      .channels = channels,
                      .height = height,
                      .width = width,
                      .out_height = out_height,
                      .out_width = out_width,
                      .out = out};
    int status = IMP_OK;
    if (width != out_width) {
        status = bank_make(context, width, out_width, filter, &horizontal);
        job.horizontal = &horizontal;
    }
    if (!status && height != out_height) {
        status = bank_make(context, height, out_height, filter, &vertical);
        job.vertical = &vertical;
    }
    if (!status) status = run_passes(context, &job);
    bank_free(context, &horizontal);
    bank_free(context, &vertical);
    return status;
}

/* Planes in memory as a source. */
typedef struct plane_source {
    const float *planes;
    int channels;
    size_t height, width;
} plane_source;

static void plane_row(const void *user, int y, float *scratch, const float *rows[IMP_RESAMPLE_MAX_CHANNELS]) {
    const plane_source *source = user;
    (void)scratch;
    for (int c = 0; c < source->channels; c++)
        rows[c] = source->planes + ((size_t)c * source->height + (size_t)y) * source->width;
}

int imp_planes_resize(imp_context *context, const float *in, int channels, int height, int width, float *out,
                      int out_height, int out_width, imp_filter filter) {
    int status = IMP_OK;
    size_t in_size = (size_t)height * (size_t)width, out_size = (size_t)out_height * (size_t)out_width;
    for (int c = 0; c < channels && !status; c += IMP_RESAMPLE_MAX_CHANNELS) {
        int few = channels - c < IMP_RESAMPLE_MAX_CHANNELS ? channels - c : IMP_RESAMPLE_MAX_CHANNELS;
        plane_source source = {in + (size_t)c * in_size, few, (size_t)height, (size_t)width};
        status = imp_resample(context, plane_row, &source, few, height, width, out + (size_t)c * out_size, out_height,
                              out_width, filter);
    }
    return status;
}
