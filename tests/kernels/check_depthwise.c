/* Depthwise convolution against its definition in double precision: shapes, epilogues, turned weights, cuts, guards. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct depthwise_test {
    imp_convolution job;
    test_map in, before, mask;
    float *weights, *bias, *packed;
    int transpose, masked;
    char name[128];
} depthwise_test;

static depthwise_test test_make(int channels, const int size[2], int kernel, int stride, int dilation, int out_step) {
    int halo = kernel / 2 * dilation, epilogue = random_below(32), padded = imp_blocks(channels) * IMP_BLOCK;
    int height = (size[0] - 1) / stride + 1, width = (size[1] - 1) / stride + 1;
    int pixels = (width - 1) * out_step + 1;
    depthwise_test test = {
        .in = map_make(channels, size[0], size[1], halo),
        .before = map_make(channels, height, pixels, 1),
        .mask = map_make(channels, height, pixels, 2),
        .weights = random_floats((size_t)(channels * kernel * kernel)),
        .bias = random_floats((size_t)padded),
        .packed = take((size_t)(padded * kernel * kernel) * sizeof(float)),
        .transpose = epilogue & 1,
        .masked = epilogue >> 1 & 1,
    };
    map_random(&test.in);
    map_fill(&test.before);
    map_levels(&test.mask);
    for (int c = channels; c < padded; c++) test.bias[c] = 0;
    imp_pack_depthwise(test.weights, channels, kernel, kernel, test.transpose, test.packed);
    test.job = (imp_convolution){.weights = test.packed,
                                 .bias = epilogue & 4 ? test.bias : NULL,
                                 .kernel_height = kernel,
                                 .kernel_width = kernel,
                                 .stride = stride,
                                 .dilation = dilation,
                                 .pad_y = halo,
                                 .pad_x = halo,
                                 .out_step = out_step,
                                 .accumulate = epilogue >> 3 & 1,
                                 .relu = epilogue >> 4 & 1};
    snprintf(test.name, sizeof test.name, "depthwise %d at %dx%d kernel %d/%d dilation %d step %d epilogue %d",
             channels, size[0], size[1], kernel, stride, dilation, out_step, epilogue);
    return test;
}

static void test_free(depthwise_test *test) {
    map_free(&test->in);
    map_free(&test->before);
    map_free(&test->mask);
    free(test->weights);
    free(test->bias);
    free(test->packed);
}

static double oracle(const depthwise_test *test, int c, int y, int x, double *magnitude) {
    const imp_convolution *job = &test->job;
    int kernel = job->kernel_height, taps = kernel * kernel;
    double sum = job->bias ? (double)job->bias[c] : 0;
    *magnitude = fabs(sum);
    for (int tap = 0; tap < taps; tap++) {
        float value = *map_at(&test->in, c, y * job->stride + tap / kernel * job->dilation - job->pad_y,
                              x * job->stride + tap % kernel * job->dilation - job->pad_x);
        double product = (double)value * (double)test->weights[c * taps + (test->transpose ? taps - 1 - tap : tap)];
        sum += product;
        *magnitude += fabs(product);
    }
    x *= job->out_step;
    if (job->accumulate) sum += (double)*map_at(&test->before, c, y, x);
    if (job->relu && sum < 0) sum = 0;
    return test->masked && !(*map_at(&test->mask, c, y, x) > 0) ? 0 : sum;
}

static output_range range_of(const void *user, const imp_kernels *kernels, int channel, int y, int x) {
    const depthwise_test *test = user;
    double magnitude, exact = oracle(test, channel, y, x, &magnitude);
    double terms = test->job.kernel_height * test->job.kernel_width + 2;
    return (output_range){exact, sum_tolerance(terms, magnitude + 1) + store_tolerance(kernels, exact)};
}

static void run(const void *user, const imp_kernels *kernels, const imp_convolution *job, int in_pieces) {
    (void)user;
    if (in_pieces)
        run_in_pieces(kernels->convolve_depthwise, job);
    else
        kernels->convolve_depthwise(job, 0, imp_blocks(job->out.channels), 0, job->out.height);
}

static void check_table(depthwise_test *test, const imp_kernels *kernels) {
    test->job.in = *map_give(&test->in, kernels);
    test->job.mask = test->masked ? map_give(&test->mask, kernels) : NULL;
    check_outputs(&(output_check){.kernels = kernels,
                                  .name = test->name,
                                  .before = &test->before,
                                  .job = &test->job,
                                  .test = test,
                                  .run = run,
                                  .range = range_of});
}

void check_depthwise(const imp_kernels *const *tables, int count) {
    static const int channels[] = {1, 16, 24, 40}, kernels[] = {0, 1, 2, 3, 5, 7};
    static const int sizes[][2] = {{1, 1}, {5, 7}, {9, 16}, {3, 37}};
    enum { EACH = 4, KERNELS = 6, STRIDES = 3, ALL = EACH * EACH * KERNELS * STRIDES };
    for (int n = 0; n < ALL; n++) {
        int step = random_below(2) ? 1 : 2 + random_below(2);
        depthwise_test test =
            test_make(channels[n % EACH], sizes[n / EACH % EACH], kernels[n / (EACH * EACH) % KERNELS],
                      1 + n / (EACH * EACH * KERNELS), 1 + random_below(3), step);
        for (int i = 0; i < count; i++) check_table(&test, tables[i]);
        test_free(&test);
    }
    printf("depthwise convolution, %d shapes\n", ALL);
}
