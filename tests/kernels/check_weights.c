/* Gradients of convolutions by their weights against their definition in double precision: shapes, strides, dilations,
 * cuts, and the way back to plain weights. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCTS_LIMIT 3000000.0 /* of a shape: the oracle is slow */

typedef struct weights_test {
    imp_convolution job;
    test_map in, gradient;
    double *exact, *magnitude; /* [out][in][kh][kw], or [channel][kh][kw] */
    size_t count;
    char name[128];
} weights_test;

/* size: of out. The halo covers what the taps reach to the left and right. */
static weights_test test_make(int in_channels, int out_channels, const int size[2], int kernel_height, int kernel_width,
                              int stride, int dilation) {
    int pad_y = kernel_height / 2 * dilation, pad_x = kernel_width / 2 * dilation;
    int halo = (pad_y > pad_x ? pad_y : pad_x) + stride;
    weights_test test = {
        .in = map_make(in_channels, size[0] * stride, size[1] * stride, halo),
        .gradient = map_make(out_channels, size[0], size[1], 1),
        .job = {.kernel_height = kernel_height,
                .kernel_width = kernel_width,
                .stride = stride,
                .dilation = dilation,
                .pad_y = pad_y,
                .pad_x = pad_x},
    };
    map_random(&test.in);
    map_fill(&test.gradient); /* the halo is never read */
    snprintf(test.name, sizeof test.name, "%d->%d at %dx%d kernel %dx%d/%d dilation %d", in_channels, out_channels,
             size[0], size[1], kernel_height, kernel_width, stride, dilation);
    return test;
}

static void test_free(weights_test *test) {
    map_free(&test->in);
    map_free(&test->gradient);
    free(test->exact);
    free(test->magnitude);
}

static void add_product(const weights_test *test, int o, int i, int tap, int y, int x, size_t at) {
    const imp_convolution *job = &test->job;
    double input = (double)*map_at(&test->in, i, y * job->stride + tap / job->kernel_width * job->dilation - job->pad_y,
                                   x * job->stride + tap % job->kernel_width * job->dilation - job->pad_x);
    double product = (double)*map_at(&test->gradient, o, y, x) * input;
    test->exact[at] += product;
    test->magnitude[at] += fabs(product);
}

/* depthwise: only the products of each channel with itself. */
static void test_expect(weights_test *test, int depthwise) {
    int outs = test->gradient.view.channels, ins = depthwise ? 1 : test->in.view.channels;
    int taps = test->job.kernel_height * test->job.kernel_width;
    test->count = (size_t)outs * (size_t)ins * (size_t)taps;
    test->exact = take(test->count * sizeof(double));
    test->magnitude = take(test->count * sizeof(double));
    size_t at = 0;
    for (int o = 0; o < outs; o++)
        for (int i = 0; i < ins; i++)
            for (int tap = 0; tap < taps; tap++, at++) {
                test->exact[at] = test->magnitude[at] = 0;
                for (int y = 0; y < test->gradient.view.height; y++)
                    for (int x = 0; x < test->gradient.view.width; x++)
                        add_product(test, o, depthwise ? o : i, tap, y, x, at);
            }
}

/* before: what the plain gradient held. */
static void compare(const weights_test *test, const imp_kernels *kernels, const float *got, float before) {
    double terms = (double)test->gradient.view.height * test->gradient.view.width + 2;
    for (size_t at = 0; at < test->count; at++) {
        double exact = test->exact[at] + (double)before;
        double tolerance = sum_tolerance(terms, test->magnitude[at] + fabs((double)before));
        if (near((double)got[at], exact, tolerance)) continue;
        expect(0, "%s weight gradient %s: %zu is %g, not %g +- %g", kernels->name, test->name, at, (double)got[at],
               exact, tolerance);
        return;
    }
}

/* Where nothing but zero belongs. */
static int padding_is_zero(const weights_test *test, const float *partial) {
    int outs = test->gradient.view.channels, ins = test->in.view.channels;
    int taps = test->job.kernel_height * test->job.kernel_width;
    for (int ob = 0; ob < imp_blocks(outs); ob++)
        for (int ib = 0; ib < imp_blocks(ins); ib++)
            for (int tap = 0; tap < taps; tap++)
                for (int i = 0; i < IMP_BLOCK; i++)
                    for (int o = 0; o < IMP_BLOCK; o++, partial++)
                        if ((ob * IMP_BLOCK + o >= outs || ib * IMP_BLOCK + i >= ins) && *partial != 0) return 0;
    return 1;
}

/* Every pair of blocks by itself must give the bits of the whole. */
static void check_blocks(const weights_test *test, const imp_kernels *kernels, const float *whole) {
    int outs = imp_blocks(test->gradient.view.channels), ins = imp_blocks(test->in.view.channels);
    size_t tile = (size_t)(test->job.kernel_height * test->job.kernel_width) * IMP_BLOCK * IMP_BLOCK;
    float *part = take((tile + 1) * sizeof(float));
    for (int o = 0; o < outs; o++)
        for (int i = 0; i < ins; i++, whole += tile) {
            part[tile] = GUARD;
            kernels->weight_gradient(&test->job, o, o + 1, i, i + 1, 0, test->gradient.view.height, part);
            expect(!memcmp(part, whole, tile * sizeof(float)), "%s weight gradient %s: depends on the cut",
                   kernels->name, test->name);
            expect(part[tile] == GUARD, "%s weight gradient %s: wrote past the end", kernels->name, test->name);
        }
    free(part);
}

static void check_table(weights_test *test, const imp_kernels *kernels) {
    const imp_convolution *job = &test->job;
    int out_channels = test->gradient.view.channels, in_channels = test->in.view.channels;
    int outs = imp_blocks(out_channels), ins = imp_blocks(in_channels), height = test->gradient.view.height, next;
    size_t count = (size_t)(outs * ins * job->kernel_height * job->kernel_width) * IMP_BLOCK * IMP_BLOCK;
    float *partial = take(count * sizeof(float)), *plain = take(test->count * sizeof(float));
    test->job.in = *map_give(&test->in, kernels);
    test->job.out = *map_give(&test->gradient, kernels);
    for (size_t i = 0; i < count; i++) partial[i] = GUARD;
    for (size_t i = 0; i < test->count; i++) plain[i] = 0.5f;
    kernels->weight_gradient(job, 0, outs, 0, ins, 0, height, partial);
    expect(padding_is_zero(test, partial), "%s weight gradient %s: padding", kernels->name, test->name);
    imp_unpack_weight_gradient(partial, out_channels, in_channels, job->kernel_height, job->kernel_width, 0, outs, 0,
                               ins, plain);
    compare(test, kernels, plain, 0.5f); /* added to what is there */
    check_blocks(test, kernels, partial);
    memset(plain, 0, test->count * sizeof(float));
    for (int row = 0; row < height; row = next) { /* the parts add up */
        next = row + 1 + random_below(height - row);
        for (int o = 0; o < outs; o++) {
            kernels->weight_gradient(job, o, o + 1, 0, ins, row, next, partial);
            imp_unpack_weight_gradient(partial, out_channels, in_channels, job->kernel_height, job->kernel_width, o,
                                       o + 1, 0, ins, plain);
        }
    }
    compare(test, kernels, plain, 0);
    free(partial);
    free(plain);
}

static void check_shape(const imp_kernels *const *tables, int count, weights_test test) {
    test_expect(&test, 0);
    for (int i = 0; i < count; i++) check_table(&test, tables[i]);
    test_free(&test);
}

/* Whole, in pieces of blocks with the same bits, and in pieces of rows that add up. */
static void check_depthwise_table(weights_test *test, const imp_kernels *kernels) {
    const imp_convolution *job = &test->job;
    int channels = test->in.view.channels, blocks = imp_blocks(channels), height = test->gradient.view.height, next;
    size_t of_block = (size_t)(job->kernel_height * job->kernel_width) * IMP_BLOCK, count = of_block * (size_t)blocks;
    float *whole = take(count * sizeof(float)), *cut = take((count + 1) * sizeof(float));
    float *plain = take(test->count * sizeof(float));
    test->job.in = *map_give(&test->in, kernels);
    test->job.out = *map_give(&test->gradient, kernels);
    for (size_t i = 0; i < test->count; i++) plain[i] = 0.5f;
    kernels->depthwise_weight_gradient(job, 0, blocks, 0, height, whole);
    for (size_t i = 0; i < count; i++)
        if (i / of_block * IMP_BLOCK + i % IMP_BLOCK >= (size_t)channels)
            expect(whole[i] == 0, "%s depthwise gradient %s: padding", kernels->name, test->name);
    imp_unpack_depthwise_gradient(whole, channels, job->kernel_height, job->kernel_width, plain);
    compare(test, kernels, plain, 0.5f);
    for (size_t i = 0; i <= count; i++) cut[i] = GUARD;
    for (int block = 0; block < blocks; block++)
        kernels->depthwise_weight_gradient(job, block, block + 1, 0, height, cut);
    expect(!memcmp(whole, cut, count * sizeof(float)) && cut[count] == GUARD,
           "%s depthwise gradient %s: depends on the cut", kernels->name, test->name);
    memset(plain, 0, test->count * sizeof(float));
    for (int row = 0; row < height; row = next) {
        next = row + 1 + random_below(height - row);
        kernels->depthwise_weight_gradient(job, 0, blocks, row, next, whole);
        imp_unpack_depthwise_gradient(whole, channels, job->kernel_height, job->kernel_width, plain);
    }
    compare(test, kernels, plain, 0);
    free(whole);
    free(cut);
    free(plain);
}

static void check_depthwise_shape(const imp_kernels *const *tables, int count, weights_test test) {
    test_expect(&test, 1);
    for (int i = 0; i < count; i++) check_depthwise_table(&test, tables[i]);
    test_free(&test);
}

/* A sum of 16384 terms of one sign, as of a map of 128 x 128, keeps 2e-6: what second moments keep. */
static void check_long_sum(const imp_kernels *kernels) {
    static const int size[2] = {128, 128};
    weights_test test = test_make(3, 16, size, 1, 1, 1, 1);
    float partial[IMP_BLOCK * IMP_BLOCK];
    for (size_t i = 0; i < test.in.count; i++) test.in.memory[i] = fabsf(test.in.memory[i]);
    for (size_t i = 0; i < test.gradient.count; i++) test.gradient.memory[i] = fabsf(test.gradient.memory[i]);
    test_expect(&test, 0);
    test.job.in = *map_give(&test.in, kernels);
    test.job.out = *map_give(&test.gradient, kernels);
    kernels->weight_gradient(&test.job, 0, 1, 0, 1, 0, size[0], partial);
    for (int o = 0; o < 16; o++)
        for (int i = 0; i < 3; i++) {
            double exact = test.exact[o * 3 + i];
            expect(near((double)partial[i * IMP_BLOCK + o], exact, 2e-6 * exact), "%s weight gradient: inexact",
                   kernels->name);
        }
    test_free(&test);
}

void check_weights(const imp_kernels *const *tables, int count) {
    static const int channels[][2] = {{1, 3}, {3, 16}, {12, 17}, {17, 12}, {48, 48}, {16, 1}, {33, 112}, {96, 3}};
    static const int sizes[][2] = {{1, 1}, {5, 7}, {3, 37}, {9, 8}, {1, 300}};
    static const int windows[][4] = {{1, 1, 1, 1}, {3, 3, 1, 1}, {3, 3, 2, 1}, {3, 3, 1, 2},
                                     {4, 2, 3, 1}, {1, 7, 2, 3}, {9, 9, 1, 1}}; /* height, width, stride, dilation */
    enum { CHANNELS = 8, SIZES = 5, WINDOWS = 7, ALL = CHANNELS * SIZES * WINDOWS };
    int tested = 0;
    for (int n = 0; n < ALL; n++) {
        const int *channel = channels[n % CHANNELS], *size = sizes[n / CHANNELS % SIZES];
        const int *window = windows[n / (CHANNELS * SIZES)];
        if ((double)channel[0] * channel[1] * window[0] * window[1] * size[0] * size[1] > PRODUCTS_LIMIT) continue;
        check_shape(tables, count, test_make(channel[0], channel[1], size, window[0], window[1], window[2], window[3]));
        check_depthwise_shape(tables, count,
                              test_make(channel[0], channel[0], size, window[0], window[1], window[2], window[3]));
        tested++;
    }
    for (int i = 0; i < count; i++) check_long_sum(tables[i]);
    printf("weight gradients, %d shapes\n", tested);
}
