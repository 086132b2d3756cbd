/* Resizing and pooling of any window, and their gradients, against plain loops in double precision. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a kernel of these does to one map, whichever it is: forward from in, backward from in and the gradient by out. */
typedef enum resize_kind { ENLARGE, BILINEAR, MAX_POOL } resize_kind;

typedef struct resize_test {
    resize_kind kind;
    int times;           /* ENLARGE */
    imp_windows windows; /* MAX_POOL */
    test_map in, gradient, before, mask;
    int accumulate, masked;
    char name[128];
} resize_test;

static resize_test test_make(resize_kind kind, int channels, const int in[2], const int out[2]) {
    resize_test test = {.kind = kind,
                        .in = map_make(channels, in[0], in[1], 2),
                        .gradient = map_make(channels, out[0], out[1], 1),
                        .before = map_make(channels, in[0], in[1], 1)};
    map_random(&test.in);
    if (kind == MAX_POOL) map_levels(&test.in);
    map_random(&test.gradient);
    test.mask = map_copy(&test.before);
    map_levels(&test.mask);
    static const char *const names[] = {"enlarge", "bilinear", "max pool"};
    snprintf(test.name, sizeof test.name, "%s %d at %dx%d to %dx%d", names[kind], channels, in[0], in[1], out[0],
             out[1]);
    return test;
}

static void test_free(resize_test *test) {
    map_free(&test->in);
    map_free(&test->gradient);
    map_free(&test->before);
    map_free(&test->mask);
}

/* The share of pixel (row, column) of in in pixel (y, x) of out, by the definitions. */
static double bilinear_share(int from, int to, int in, int out) {
    double place = fmax(0, (out + 0.5) * from / to - 0.5), first = floor(place), share = place - first;
    if ((int)first + 1 >= from) return in == (int)first;
    return in == (int)first ? 1 - share : in == (int)first + 1 ? share : 0;
}

/* The first of the greatest of a window, or its last NaN. */
static int wins(const resize_test *test, int c, int y, int x, int row, int column) {
    const imp_windows *w = &test->windows;
    int best_row = -1, best_column = -1;
    float best = 0;
    for (int ky = y * w->stride - w->pad_y, i = 0; i < w->kernel_height; i++, ky++)
        for (int kx = x * w->stride - w->pad_x, j = 0; j < w->kernel_width; j++, kx++) {
            if (ky < 0 || kx < 0 || ky >= test->in.view.height || kx >= test->in.view.width) continue;
            float value = *map_at(&test->in, c, ky, kx);
            if (best_row < 0 || value > best || isnan(value)) best = value, best_row = ky, best_column = kx;
        }
    return row == best_row && column == best_column;
}

static double share_of(const resize_test *test, int c, int y, int x, int row, int column) {
    const imp_view *in = &test->in.view, *out = &test->gradient.view;
    if (test->kind == ENLARGE) return y / test->times == row && x / test->times == column;
    if (test->kind == MAX_POOL) return wins(test, c, y, x, row, column);
    return bilinear_share(in->height, out->height, row, y) * bilinear_share(in->width, out->width, column, x);
}

/* Both ways at once: values[y][x] of out and sums[row][column] of in for a channel, and the magnitudes of the sums. */
static void expect_channel(const resize_test *test, int c, double *values, double *sums, double *magnitudes) {
    const imp_view *in = &test->in.view, *out = &test->gradient.view;
    memset(values, 0, (size_t)(out->height * out->width) * sizeof *values);
    memset(sums, 0, (size_t)(in->height * in->width) * sizeof *sums);
    memset(magnitudes, 0, (size_t)(in->height * in->width) * sizeof *magnitudes);
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++)
            for (int at = 0; at < in->height * in->width; at++) {
                double share = share_of(test, c, y, x, at / in->width, at % in->width);
                double gradient = (double)*map_at(&test->gradient, c, y, x);
                if (share == 0) continue;
                values[y * out->width + x] += share * (double)*map_at(&test->in, c, at / in->width, at % in->width);
                sums[at] += share * gradient;
                magnitudes[at] += fabs(share * gradient);
            }
}

/* Every value is a copy, or a sum of shares: six roundings of values up to 1, and a share's own, relative to 1. */
static double value_tolerance(const resize_test *test, const imp_kernels *kernels, double exact) {
    return test->kind == BILINEAR ? 8 * ROUNDING + store_tolerance(kernels, exact) : 0;
}

static void run_forward(const resize_test *test, const imp_kernels *kernels, const imp_view *in, const imp_view *out,
                        int block_begin, int block_end, int row_begin, int row_end) {
    if (test->kind == ENLARGE)
        kernels->enlarge(test->times, in, out, block_begin, block_end, row_begin, row_end);
    else if (test->kind == BILINEAR)
        kernels->resize(in, out, block_begin, block_end, row_begin, row_end);
    else
        kernels->max_pool(&test->windows, in, out, block_begin, block_end, row_begin, row_end);
}

static void run_backward(const resize_test *test, const imp_kernels *kernels, const imp_view *in, const imp_view *from,
                         const imp_view *to, const imp_view *mask, int block_begin, int block_end, int row_begin,
                         int row_end) {
    if (test->kind == ENLARGE)
        kernels->enlarge_backward(test->times, from, to, test->accumulate, mask, block_begin, block_end, row_begin,
                                  row_end);
    else if (test->kind == BILINEAR)
        kernels->resize_backward(from, to, test->accumulate, mask, block_begin, block_end, row_begin, row_end);
    else
        kernels->max_pool_backward(&test->windows, in, from, to, test->accumulate, mask, block_begin, block_end,
                                   row_begin, row_end);
}

static void compare(const resize_test *test, const imp_kernels *kernels, const test_map *out, const test_map *back) {
    const imp_view *in_view = &test->in.view, *out_view = &test->gradient.view;
    int in_count = in_view->height * in_view->width, out_count = out_view->height * out_view->width;
    double *values = take((size_t)(2 * in_count + out_count) * sizeof *values), *sums = values + out_count;
    double *magnitudes = sums + in_count;
    for (int c = 0; c < imp_blocks(in_view->channels) * IMP_BLOCK; c++) {
        expect_channel(test, c, values, sums, magnitudes);
        for (int at = 0; at < out_count; at++) {
            double got = (double)*map_at(out, c, at / out_view->width, at % out_view->width);
            expect(near(got, values[at], value_tolerance(test, kernels, values[at])),
                   "%s %s: channel %d pixel %d: %g, not %g", kernels->name, test->name, c, at, got, values[at]);
        }
        for (int at = 0; at < in_count; at++) {
            int y = at / in_view->width, x = at % in_view->width;
            double before = test->accumulate ? (double)*map_at(&test->before, c, y, x) : 0;
            double exact = test->masked && !(*map_at(&test->mask, c, y, x) > 0) ? 0 : sums[at] + before;
            double got = (double)*map_at(back, c, y, x);
            /* Terms are at most out_count, of which each has the roundings of its shares. */
            double tolerance =
                sum_tolerance(out_count, magnitudes[at]) + 4 * ROUNDING * (magnitudes[at] + fabs(before));
            expect(near(got, exact, tolerance + store_tolerance(kernels, exact)),
                   "%s %s: gradient of channel %d (%d, %d): %g, not %g", kernels->name, test->name, c, y, x, got,
                   exact);
        }
    }
    free(values);
}

static void check_table(resize_test *test, const imp_kernels *kernels) {
    test_map out = map_make(test->in.view.channels, test->gradient.view.height, test->gradient.view.width, 1);
    test_map out_cut = map_copy(&out), back = map_copy(&test->before), back_cut = map_copy(&test->before);
    int blocks = imp_blocks(test->in.view.channels), next;
    int in_height = test->in.view.height, out_height = test->gradient.view.height;
    const imp_view *in = map_give(&test->in, kernels), *from = map_give(&test->gradient, kernels);
    const imp_view *mask = test->masked ? map_give(&test->mask, kernels) : NULL;
    const imp_view *to = map_give(&out_cut, kernels), *back_to = map_give(&back_cut, kernels);
    run_forward(test, kernels, in, map_give(&out, kernels), 0, blocks, 0, out_height);
    run_backward(test, kernels, in, from, map_give(&back, kernels), mask, 0, blocks, 0, in_height);
    map_take(&out, kernels);
    map_take(&back, kernels);
    compare(test, kernels, &out, &back);
    expect(guarded(&out, 0, blocks, 0, out_height), "%s %s: halo touched", kernels->name, test->name);
    expect(guarded(&back, 0, blocks, 0, in_height), "%s %s: gradient's halo touched", kernels->name, test->name);
    for (int block = 0; block < blocks; block++) {
        for (int row = 0; row < out_height; row = next) {
            next = row + 1 + random_below(out_height - row);
            run_forward(test, kernels, in, to, block, block + 1, row, next);
        }
        for (int row = 0; row < in_height; row = next) {
            next = row + 1 + random_below(in_height - row);
            run_backward(test, kernels, in, from, back_to, mask, block, block + 1, row, next);
        }
    }
    map_take(&out_cut, kernels);
    map_take(&back_cut, kernels);
    expect(!memcmp(out.memory, out_cut.memory, out.count * sizeof(float)) &&
               !memcmp(back.memory, back_cut.memory, back.count * sizeof(float)),
           "%s %s: depends on the cut", kernels->name, test->name);
    map_free(&out);
    map_free(&out_cut);
    map_free(&back);
    map_free(&back_cut);
}

static void check_test(const imp_kernels *const *tables, int count, resize_test test) {
    test.accumulate = random_below(2);
    test.masked = random_below(2);
    if (test.accumulate) map_fill(&test.before);
    for (int i = 0; i < count; i++) check_table(&test, tables[i]);
    test_free(&test);
}

static void check_windows(const imp_kernels *const *tables, int count, int channels, const int in[2]) {
    static const imp_windows windows[] = {{3, 3, 2, 1, 1}, {2, 2, 2, 0, 0}, {3, 3, 1, 1, 1},
                                          {2, 3, 3, 1, 0}, {5, 5, 1, 2, 2}, {1, 1, 2, 0, 0}};
    for (int n = 0; n < (int)(sizeof windows / sizeof windows[0]); n++) {
        imp_windows w = windows[n];
        int out[2] = {(in[0] + 2 * w.pad_y - w.kernel_height) / w.stride + 1,
                      (in[1] + 2 * w.pad_x - w.kernel_width) / w.stride + 1};
        if (in[0] + 2 * w.pad_y < w.kernel_height || in[1] + 2 * w.pad_x < w.kernel_width) continue;
        resize_test test = test_make(MAX_POOL, channels, in, out);
        test.windows = w;
        *map_at(&test.in, 0, random_below(in[0]), random_below(in[1])) = n % 2 ? NAN : -INFINITY;
        check_test(tables, count, test);
    }
}

void check_resizing(const imp_kernels *const *tables, int count) {
    static const int channels[] = {1, 3, 16, 17, 48};
    static const int sizes[][2] = {{1, 1}, {5, 7}, {2, 3}, {9, 4}, {1, 21}};
    static const int targets[][2] = {{1, 1}, {10, 14}, {3, 8}, {4, 11}, {7, 5}, {2, 300}};
    enum { CHANNELS = 5, SIZES = 5, TARGETS = 6 };
    for (int n = 0; n < CHANNELS * SIZES; n++) {
        const int *size = sizes[n / CHANNELS];
        for (int times = 1; times <= 4; times++) {
            int out[2] = {size[0] * times, size[1] * times};
            resize_test test = test_make(ENLARGE, channels[n % CHANNELS], size, out);
            test.times = times;
            check_test(tables, count, test);
        }
        for (int i = 0; i < TARGETS; i++)
            check_test(tables, count, test_make(BILINEAR, channels[n % CHANNELS], size, targets[i]));
        check_windows(tables, count, channels[n % CHANNELS], size);
    }
    check_windows(tables, count, 3, (const int[2]){2, 259}); /* more than a run */
    printf("resizing and windows, %d shapes\n", CHANNELS * SIZES);
}
