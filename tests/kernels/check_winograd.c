/* The steps of Winograd convolution against the direct one in double precision: shapes, epilogues, cuts, guards, NaN. */
#include "check.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* How much more error than a plain sum: what the transforms multiply rounding by. The worst output of all shapes here
   has 0.9 (4x4) and 7.8 (6x6) times the tolerance of a plain sum; twice that is room for other orders of the same sums. */
#define AMPLIFIED_4 2.0
#define AMPLIFIED_6 16.0

typedef struct winograd_test {
    imp_convolution job;
    test_map in, before, mask;
    float *weights, *bias;
    int transpose;
    double *exact, magnitude; /* exact: [out][height][width]; one magnitude, as a tile's pixels share their errors */
    char name[128];
} winograd_test;

static double oracle(const winograd_test *test, int o, int y, int x, double *magnitude) {
    const imp_convolution *job = &test->job;
    double sum = job->bias ? (double)job->bias[o] : 0;

    *magnitude = fabs(sum);
    for (int i = 0; i < test->in.view.channels; i++)
        for (int tap = 0; tap < 9; tap++) {
            float value = *map_at(&test->in, i, y + tap / 3 - job->pad_y, x + tap % 3 - job->pad_x);
            int place = test->transpose ? (i * test->before.view.channels + o) * 9 + 8 - tap
                                        : (o * test->in.view.channels + i) * 9 + tap;
            double product = (double)value * (double)test->weights[place];

            sum += product;
            *magnitude += fabs(product);
        }
    if (job->accumulate) sum += (double)*map_at(&test->before, o, y, x);
    if (job->relu && sum < 0) sum = 0;
    return job->mask && !(*map_at(&test->mask, o, y, x) > 0) ? 0 : sum;
}

static void find_exact(winograd_test *test) {
    const imp_view *out = &test->before.view;
    double largest = 0;
    size_t at = 0;

    test->exact = take((size_t)out->channels * (size_t)out->height * (size_t)out->width * sizeof(double));
    for (int o = 0; o < out->channels; o++)
        for (int y = 0; y < out->height; y++)
            for (int x = 0; x < out->width; x++) {
                double magnitude;

                test->exact[at++] = oracle(test, o, y, x, &magnitude);
                if (magnitude > largest) largest = magnitude;
            }
    test->magnitude = largest + 1;
}

static winograd_test test_make(const int channels[2], const int size[2], int pad) {
    winograd_test test = {.in = map_make(channels[0], size[0], size[1], pad)};
    int height = size[0] + 2 * pad - 2, width = size[1] + 2 * pad - 2, epilogue = random_below(16);

    test.before = map_make(channels[1], height, width, 1);
    test.mask = map_make(channels[1], height, width, 2);
    map_random(&test.in);
    map_levels(&test.mask);
    if (epilogue & 1) map_fill(&test.before);
    test.weights = random_floats((size_t)(channels[0] * channels[1] * 9));
    test.bias = random_floats((size_t)imp_blocks(channels[1]) * IMP_BLOCK);
    for (int c = channels[1]; c < imp_blocks(channels[1]) * IMP_BLOCK; c++) test.bias[c] = 0;
    test.transpose = random_below(2);
    test.job = (imp_convolution){.kernel_height = 3,
                                 .kernel_width = 3,
                                 .stride = 1,
                                 .pad_y = pad,
                                 .pad_x = pad,
                                 .accumulate = epilogue & 1,
                                 .relu = epilogue >> 1 & 1,
                                 .bias = epilogue & 4 ? test.bias : NULL};
    imp_plain_weights(&test.job, test.weights, test.transpose ? channels[1] : channels[0], test.transpose);
    snprintf(test.name, sizeof test.name, "%d->%d %dx%d pad %d epilogue %d%s", channels[0], channels[1], size[0],
             size[1], pad, epilogue, test.transpose ? " transpose" : "");
    return test;
}

static void test_free(winograd_test *test) {
    map_free(&test->in);
    map_free(&test->before);
    map_free(&test->mask);
    free(test->weights);
    free(test->bias);
    free(test->exact);
}

void run_winograd_steps(const imp_winograd *steps, const imp_convolution *job, int most_tiles, int most_blocks) {
    int in_blocks = imp_blocks(job->in.channels), blocks = imp_blocks(job->out.channels), next_tile, next_block;
    int tiles =
        imp_winograd_tiles(job->out.width, steps->outputs) * imp_winograd_tiles(job->out.height, steps->outputs);
    void *weights = take(imp_winograd_size(steps, blocks, imp_winograd_rows(job->in.channels)) * steps->factor_bytes);
    void *input = take(imp_winograd_size(steps, in_blocks, tiles) * steps->factor_bytes);
    float *products = take(imp_winograd_size(steps, blocks, tiles) * sizeof(float));

    for (int tile = 0; tile < tiles; tile = next_tile) {
        int left = tiles - tile;

        next_tile = tile + (most_tiles < left ? 1 + random_below(most_tiles) : left);
        for (int i = in_blocks - 1; i >= 0; i--) steps->transform_input(job, i, i + 1, tile, next_tile, input);
        for (int block = 0; block < blocks; block = next_block) {
            left = blocks - block;
            next_block = block + (most_blocks < left ? 1 + random_below(most_blocks) : left);
            steps->transform_weights(job, block, next_block, weights);
            steps->multiply(job, block, next_block, tile, next_tile, weights, input, products);
            steps->transform_output(job, block, next_block, tile, next_tile, products);
        }
    }
    free(weights);
    free(input);
    free(products);
}

/* A case with one of a table's ways. */
typedef struct steps_test {
    const winograd_test *test;
    const imp_winograd *steps;
} steps_test;

static output_range range_of(const void *user, const imp_kernels *kernels, int channel, int y, int x) {
    const winograd_test *test = ((const steps_test *)user)->test;
    const imp_winograd *steps = ((const steps_test *)user)->steps;
    const imp_view *out = &test->before.view;
    double exact = test->exact[((size_t)channel * (size_t)out->height + (size_t)y) * (size_t)out->width + (size_t)x];
    double terms = test->in.view.channels * 9 + 2, amplified = steps->outputs == 4 ? AMPLIFIED_4 : AMPLIFIED_6;
    double rounding = steps->factor_bytes == 2 ? HALF_ROUNDING / ROUNDING : 1;
    return (output_range){exact, amplified * rounding * sum_tolerance(terms, test->magnitude) +
                                     store_tolerance(kernels, exact)};
}

static void run_steps(const void *user, const imp_kernels *kernels, const imp_convolution *job, int in_pieces) {
    (void)kernels;
    run_winograd_steps(((const steps_test *)user)->steps, job, in_pieces ? 20 : INT_MAX, in_pieces ? 3 : INT_MAX);
}

static void check_steps(winograd_test *test, const imp_kernels *kernels, const imp_winograd *steps, int masked) {
    steps_test of = {test, steps};
    char name[160];
    snprintf(name, sizeof name, "winograd %d %s", steps->outputs, test->name);
    test->job.in = *map_give(&test->in, kernels);
    test->job.mask = masked ? map_give(&test->mask, kernels) : NULL;
    check_outputs(&(output_check){.kernels = kernels,
                                  .name = name,
                                  .before = &test->before,
                                  .job = &test->job,
                                  .test = &of,
                                  .run = run_steps,
                                  .range = range_of});
}

/* A NaN must reach all that it touches, through the ReLU, and no other tile. */
static void check_nan(const imp_kernels *kernels, const imp_winograd *steps) {
    winograd_test test = test_make((int[]){20, 40}, (int[]){25, 26}, 1);
    int m = steps->outputs;

    *map_at(&test.in, 18, 13, 14) = NAN;
    test.job.accumulate = 0;
    test.job.relu = 1;
    test.job.in = *map_give(&test.in, kernels);
    test.job.out = *map_give(&test.before, kernels);
    run_winograd_steps(steps, &test.job, 7, 1);
    map_take(&test.before, kernels);
    for (int y = 0; y < 25; y++)
        for (int x = 0; x < 26; x++) {
            int is = isnan(*map_at(&test.before, 33, y, x)) != 0;
            int touched = abs(y - 13) <= 1 && abs(x - 14) <= 1;
            int same_tile = abs(y / m - 13 / m) <= 1 && abs(x / m - 14 / m) <= 1;

            expect(is || !touched, "%s winograd %d: NaN lost", kernels->name, m);
            expect(!is || same_tile, "%s winograd %d: NaN spread", kernels->name, m);
        }
    test_free(&test);
}

/* A shape on every table, with and without a mask as the numbers fall. */
static void check_shape(const imp_kernels *const *tables, int count, const int *channels, const int *size, int pad) {
    winograd_test test = test_make(channels, size, pad);
    int masked = random_below(2);

    if (masked) test.job.mask = &test.mask.view; /* for the oracle */
    find_exact(&test);
    for (int i = 0; i < count; i++)
        for (const imp_winograd *const *steps = tables[i]->winograd; *steps; steps++)
            check_steps(&test, tables[i], *steps, masked);
    test_free(&test);
}

void check_winograd(const imp_kernels *const *tables, int count, int every) {
    static const int channels[] = {1, 3, 16, 17, 48, 100};
    static const int sizes[][2] = {{1, 1}, {2, 3}, {4, 4}, {6, 12}, {7, 5}, {13, 15}, {31, 29}, {2, 71}, {40, 1}};
    /* VGG19's widest, of which a tile's products take several rounds over the channels. */
    static const int wide[][2] = {{256, 512}, {512, 96}}, wide_size[] = {7, 13};
    enum { CHANNELS = 6, SIZES = 9, PADS = 3, WIDE = 2, ALL = CHANNELS * CHANNELS * SIZES * PADS };
    int tested = WIDE;

    for (int n = 0; n < ALL; n++) {
        const int *size = sizes[n % SIZES];
        const int both[] = {channels[n / SIZES % CHANNELS], channels[n / (SIZES * CHANNELS) % CHANNELS]};
        int pad = n / (SIZES * CHANNELS * CHANNELS);

        if (size[0] + 2 * pad < 3 || size[1] + 2 * pad < 3 || random_below(every)) continue;
        check_shape(tables, count, both, size, pad);
        tested++;
    }
    for (int n = 0; n < WIDE; n++) check_shape(tables, count, wide[n], wide_size, 1);
    for (int i = 0; i < count; i++)
        for (const imp_winograd *const *steps = tables[i]->winograd; *steps; steps++) check_nan(tables[i], *steps);
    printf("winograd, %d shapes\n", tested);
}
