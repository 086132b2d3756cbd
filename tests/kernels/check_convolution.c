/* Convolution against a plain one in double precision: shapes, epilogues, transposed weights, cuts, guards, NaN. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS_LIMIT 2000000.0 /* multiplications of a shape: the oracle is slow */

typedef struct test_shape {
    int in_channels, out_channels, height, width, kernel_height, kernel_width, stride, pad_y, pad_x, dilation, out_step;
    int accumulate, relu, masked, biased, transpose;
} test_shape;

typedef struct convolution_test {
    test_shape shape;
    test_map in, before, mask;
    float *weights, *bias; /* weights as the caller has them: [out][in][kh][kw] before transposing */
    void *packed;
    imp_convolution job;
    int width;                 /* outputs of a row */
    double *exact, *magnitude; /* [out][height][width] */
    double *weight_sums;       /* [out]: of the weights' magnitudes */
    size_t scratch_bytes;
    char name[160];
} convolution_test;

/* kernel: what its taps span. */
static int out_size(int in, int kernel, int pad, int stride) {
    return (in + 2 * pad - kernel) / stride + 1;
}

static int span(int kernel, int dilation) {
    return (kernel - 1) * dilation + 1;
}

/* The weight that leads from channel i to channel o at a tap: with transpose the stored ones are those of the
   way forth. */
static float weight_of(const convolution_test *test, int o, int i, int ky, int kx) {
    const test_shape *s = &test->shape;
    if (!s->transpose) return test->weights[((o * s->in_channels + i) * s->kernel_height + ky) * s->kernel_width + kx];
    int y = s->kernel_height - 1 - ky, x = s->kernel_width - 1 - kx;
    return test->weights[((i * s->out_channels + o) * s->kernel_height + y) * s->kernel_width + x];
}

static convolution_test test_make(const test_shape *s) {
    convolution_test test = {.shape = *s};
    int halo = s->pad_y > s->pad_x ? s->pad_y : s->pad_x;
    int height = out_size(s->height, span(s->kernel_height, s->dilation), s->pad_y, s->stride);
    int width = out_size(s->width, span(s->kernel_width, s->dilation), s->pad_x, s->stride);
    int first = s->transpose ? s->in_channels : s->out_channels,
        second = s->transpose ? s->out_channels : s->in_channels;
    size_t count = (size_t)first * (size_t)second * (size_t)(s->kernel_height * s->kernel_width);
    int pixels = (width - 1) * s->out_step + 1;
    test.width = width;
    test.in = map_make(s->in_channels, s->height, s->width, halo);
    test.before = map_make(s->out_channels, height, pixels, 1);
    test.mask = map_make(s->out_channels, height, pixels, 2);
    map_random(&test.in);
    map_levels(&test.mask);
    if (s->accumulate) map_fill(&test.before);
    test.weights = random_floats(count);
    test.bias = random_floats((size_t)imp_blocks(s->out_channels) * IMP_BLOCK);
    for (int c = s->out_channels; c < imp_blocks(s->out_channels) * IMP_BLOCK; c++) test.bias[c] = 0;
    test.job = (imp_convolution){.bias = s->biased ? test.bias : NULL,
                                 .kernel_height = s->kernel_height,
                                 .kernel_width = s->kernel_width,
                                 .stride = s->stride,
                                 .dilation = s->dilation,
                                 .pad_y = s->pad_y,
                                 .pad_x = s->pad_x,
                                 .out_step = s->out_step,
                                 .accumulate = s->accumulate,
                                 .relu = s->relu};
    return test;
}

#define SCRATCH_GUARD 64  /* bytes behind the scratch that stay as they are; take gives so many more */
#define SCRATCH_FILL 0xff /* a NaN, in f32 and in bf16: nothing may be read that was not written */

/* Scratch for so many rows of each call. */
static void test_give_scratch(convolution_test *test, const imp_kernels *kernels, int rows) {
    free(test->job.scratch);
    test->job.scratch = NULL;
    test->scratch_bytes = kernels->convolve_scratch ? kernels->convolve_scratch(&test->job, rows) : 0;
    if (!test->scratch_bytes) return;
    test->job.scratch = take(test->scratch_bytes);
    memset(test->job.scratch, SCRATCH_FILL, test->scratch_bytes + SCRATCH_GUARD);
}

static void check_scratch(const convolution_test *test, const imp_kernels *kernels) {
    const unsigned char *guard = (const unsigned char *)test->job.scratch + test->scratch_bytes;
    int changed = 0;
    for (int i = 0; i < SCRATCH_GUARD && test->scratch_bytes; i++) changed += guard[i] != SCRATCH_FILL;
    expect(!changed, "%s %s: wrote past the scratch", kernels->name, test->name);
}

/* Gives the job what this table reads. */
static void test_give(convolution_test *test, const imp_kernels *kernels) {
    const test_shape *s = &test->shape;
    int first = s->transpose ? s->in_channels : s->out_channels,
        second = s->transpose ? s->out_channels : s->in_channels;
    free(test->packed);
    test->packed = take(kernels->packed_bytes(first, second, s->kernel_height, s->kernel_width));
    kernels->pack_weights(test->weights, first, second, s->kernel_height, s->kernel_width, s->transpose, test->packed);
    test->job.weights = test->packed;
    test->job.in = *map_give(&test->in, kernels);
    test->job.out = test->before.view;
    test->job.out.width = test->width;
    test_give_scratch(test, kernels, test->job.out.height);
    test->job.mask = s->masked ? map_give(&test->mask, kernels) : NULL;
}

static void test_free(convolution_test *test) {
    map_free(&test->in);
    map_free(&test->before);
    map_free(&test->mask);
    free(test->weights);
    free(test->bias);
    free(test->packed);
    free(test->job.scratch);
    free(test->exact);
    free(test->magnitude);
    free(test->weight_sums);
}

/* One output value and the magnitudes that it is a sum of, by the definition in kernels.h. */
static double oracle(const convolution_test *test, int o, int y, int x, double *magnitudes) {
    const test_shape *s = &test->shape;
    double sum = s->biased ? (double)test->bias[o] : 0, magnitude = fabs(sum);
    for (int i = 0; i < s->in_channels; i++)
        for (int ky = 0; ky < s->kernel_height; ky++)
            for (int kx = 0; kx < s->kernel_width; kx++) {
                float value = *map_at(&test->in, i, y * s->stride + ky * s->dilation - s->pad_y,
                                      x * s->stride + kx * s->dilation - s->pad_x);
                double product = (double)value * (double)weight_of(test, o, i, ky, kx);
                sum += product;
                magnitude += fabs(product);
            }
    if (s->accumulate) {
        double before = (double)*map_at(&test->before, o, y, x * s->out_step);
        sum += before;
        magnitude += fabs(before);
    }
    *magnitudes = magnitude;
    if (s->relu && sum < 0) sum = 0;
    if (s->masked && !(*map_at(&test->mask, o, y, x * s->out_step) > 0)) *magnitudes = sum = 0;
    return sum;
}

static double weight_sum(const convolution_test *test, int o) {
    const test_shape *s = &test->shape;
    double sum = 0;
    for (int i = 0; i < s->in_channels; i++)
        for (int ky = 0; ky < s->kernel_height; ky++)
            for (int kx = 0; kx < s->kernel_width; kx++) sum += fabs((double)weight_of(test, o, i, ky, kx));
    return sum;
}

/* All output values, once for every table. */
static void test_expect(convolution_test *test) {
    const imp_view *out = &test->before.view;
    size_t count = (size_t)out->channels * (size_t)out->height * (size_t)test->width, at = 0;
    test->exact = take(count * sizeof(double));
    test->magnitude = take(count * sizeof(double));
    test->weight_sums = take((size_t)out->channels * sizeof(double));
    for (int o = 0; o < out->channels; o++) test->weight_sums[o] = weight_sum(test, o);
    for (int o = 0; o < out->channels; o++)
        for (int y = 0; y < out->height; y++)
            for (int x = 0; x < test->width; x++, at++) test->exact[at] = oracle(test, o, y, x, &test->magnitude[at]);
}

/* Where weights are rounded, each is off by at most half a unit of itself and what it is given of the one before, and gives
   that to the next: by inputs of up to 1 the errors add up to a unit of the sum of all weights, and 1 % for what is passed on
   twice. */
static output_range range_of(const void *user, const imp_kernels *kernels, int channel, int y, int x) {
    const convolution_test *test = user;
    const test_shape *s = &test->shape;
    const imp_view *out = &test->before.view;
    size_t at = ((size_t)channel * (size_t)out->height + (size_t)y) * (size_t)test->width + (size_t)x;
    double terms = s->in_channels * s->kernel_height * s->kernel_width + 2;
    int rounds_weights = kernels->factor == IMP_ELEMENT_BF16;
    return (output_range){test->exact[at],
                          sum_tolerance(terms, test->magnitude[at]) + store_tolerance(kernels, test->exact[at]) +
                              (rounds_weights ? 1.01 * HALF_ROUNDING * test->weight_sums[channel] : 0)};
}

static void run(const void *user, const imp_kernels *kernels, const imp_convolution *job, int in_pieces) {
    (void)user;
    if (in_pieces)
        run_in_pieces(kernels->convolve, job);
    else
        kernels->convolve(job, 0, imp_blocks(job->out.channels), 0, job->out.height);
}

/* One block of one row, and nothing else. */
static void check_part(convolution_test *test, const imp_kernels *kernels) {
    const imp_view *out = &test->before.view;
    test_map part = map_make(out->channels, out->height, out->width, 1);
    int block = random_below(imp_blocks(out->channels)), row = random_below(out->height);
    test->job.out = *map_give(&part, kernels);
    test->job.out.width = test->width;
    test_give_scratch(test, kernels, 1);
    kernels->convolve(&test->job, block, block + 1, row, row + 1);
    map_take(&part, kernels);
    expect(guarded(&part, block, block + 1, row, row + 1), "%s %s: more than its part", kernels->name, test->name);
    check_scratch(test, kernels);
    map_free(&part);
}

static void check_table(convolution_test *test, const imp_kernels *kernels) {
    test_give(test, kernels);
    check_outputs(&(output_check){.kernels = kernels,
                                  .name = test->name,
                                  .before = &test->before,
                                  .job = &test->job,
                                  .test = test,
                                  .run = run,
                                  .range = range_of});
    check_scratch(test, kernels);
    if (!test->shape.accumulate) check_part(test, kernels);
}

static void check_shape(const imp_kernels *const *tables, int count, const test_shape *s) {
    convolution_test test = test_make(s);
    snprintf(test.name, sizeof test.name, "%d->%d %dx%d kernel %dx%d/%d dilation %d pad %d,%d step %d%s%s%s%s%s",
             s->in_channels, s->out_channels, s->height, s->width, s->kernel_height, s->kernel_width, s->stride,
             s->dilation, s->pad_y, s->pad_x, s->out_step, s->accumulate ? " accumulate" : "", s->relu ? " relu" : "",
             s->masked ? " mask" : "", s->biased ? " bias" : "", s->transpose ? " transpose" : "");
    test_expect(&test);
    for (int i = 0; i < count; i++) check_table(&test, tables[i]);
    test_free(&test);
}

/* A NaN in the input must reach the output through the ReLU, and only what it touches. */
static void check_nan(const imp_kernels *kernels) {
    test_shape s = {.in_channels = 20,
                    .out_channels = 40,
                    .height = 9,
                    .width = 21,
                    .kernel_height = 3,
                    .kernel_width = 3,
                    .stride = 1,
                    .dilation = 1,
                    .out_step = 1,
                    .pad_y = 1,
                    .pad_x = 1,
                    .relu = 1,
                    .biased = 1};
    convolution_test test = test_make(&s);
    *map_at(&test.in, 18, 4, 10) = NAN;
    test_give(&test, kernels);
    test.job.out = *map_give(&test.before, kernels);
    kernels->convolve(&test.job, 0, imp_blocks(s.out_channels), 0, s.height);
    map_take(&test.before, kernels);
    for (int c = 0; c < s.out_channels; c++)
        for (int y = 0; y < s.height; y++)
            for (int x = 0; x < s.width; x++) {
                int touched = abs(y - 4) <= 1 && abs(x - 10) <= 1;
                expect((isnan(*map_at(&test.before, c, y, x)) != 0) == touched, "%s convolution: NaN lost or spread",
                       kernels->name);
            }
    test_free(&test);
}

/* Larger than what tiles gather at a time: in parts of columns, and of rows; widths that no tile divides. */
static void check_parts(const imp_kernels *const *tables, int count) {
    static const int sizes[][4] = {{128, 17, 6, 700}, {160, 16, 40, 130}, {64, 33, 7, 33}};
    for (int i = 0; i < 3; i++)
        check_shape(tables, count,
                    &(test_shape){.in_channels = sizes[i][0],
                                  .out_channels = sizes[i][1],
                                  .height = sizes[i][2],
                                  .width = sizes[i][3],
                                  .kernel_height = 3,
                                  .kernel_width = 3,
                                  .pad_y = 1,
                                  .pad_x = 1,
                                  .stride = 1,
                                  .dilation = 1,
                                  .out_step = 1,
                                  .relu = 1,
                                  .biased = 1});
}

void check_convolution(const imp_kernels *const *tables, int count, int every) {
    static const int channels[] = {1, 3, 16, 17, 64, 100, 128};
    static const int sizes[][2] = {{1, 1}, {2, 3}, {5, 7}, {13, 15}, {31, 29}, {2, 71}, {3, 600}, {40, 1}};
    static const int windows[][4] = {{1, 1, 0, 0}, {3, 3, 1, 1}, {5, 5, 2, 2}, {7, 7, 3, 3}, {3, 3, 0, 0},
                                     {1, 3, 0, 1}, {3, 1, 2, 0}, {9, 9, 4, 4}, {4, 3, 1, 1}, {0, 0, 0, 0}};
    enum { CHANNELS = 7, SIZES = 8, WINDOWS = 10, STRIDES = 3, ALL = CHANNELS * CHANNELS * SIZES * WINDOWS * STRIDES };
    int tested = 0;
    for (int n = 0; n < ALL; n++) {
        const int *size = sizes[n % SIZES], *window = windows[n / SIZES % WINDOWS];
        int epilogue = random_below(32), dilation = random_below(2) ? 1 : 2 + random_below(2);
        test_shape s = {.in_channels = channels[n / (SIZES * WINDOWS) % CHANNELS],
                        .out_channels = channels[n / (SIZES * WINDOWS * CHANNELS) % CHANNELS],
                        .height = size[0],
                        .width = size[1],
                        .kernel_height = window[0],
                        .kernel_width = window[1],
                        .pad_y = window[2] * dilation,
                        .pad_x = window[3] * dilation,
                        .dilation = dilation,
                        .out_step = random_below(2) ? 1 : 2 + random_below(2),
                        .stride = 1 + n / (SIZES * WINDOWS * CHANNELS * CHANNELS),
                        .accumulate = epilogue & 1,
                        .relu = epilogue >> 1 & 1,
                        .masked = epilogue >> 2 & 1,
                        .biased = epilogue >> 3 & 1,
                        .transpose = epilogue >> 4 & 1};
        if (s.height + 2 * s.pad_y < span(s.kernel_height, s.dilation) ||
            s.width + 2 * s.pad_x < span(s.kernel_width, s.dilation))
            continue;
        double operations = (double)s.in_channels * s.out_channels * s.kernel_height * s.kernel_width *
                            out_size(s.height, span(s.kernel_height, s.dilation), s.pad_y, s.stride) *
                            out_size(s.width, span(s.kernel_width, s.dilation), s.pad_x, s.stride);
        if (operations > OPERATIONS_LIMIT || random_below(every)) continue;
        check_shape(tables, count, &s);
        tested++;
    }
    check_parts(tables, count);
    for (int i = 0; i < count; i++) check_nan(tables[i]);
    printf("convolution, %d shapes\n", tested);
}
