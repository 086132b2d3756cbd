/* Pooling, its gradient and differences against plain loops. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One multiplication and up to three additions, each rounded. */
#define MAP_TOLERANCE (4 * ROUNDING)

static const int shapes[][3] = {{1, 2, 2}, {16, 3, 5}, {17, 8, 9}, {40, 13, 6}, {64, 7, 37}, {3, 2, 70}};
#define SHAPES (int)(sizeof shapes / sizeof shapes[0])

typedef struct pool_window {
    float value[4];
    int winner; /* the first of the greatest; the last NaN if there is one */
} pool_window;

static pool_window window_at(const test_map *in, int c, int y, int x) {
    pool_window window = {.winner = 0};
    for (int i = 0; i < 4; i++) window.value[i] = *map_at(in, c, 2 * y + i / 2, 2 * x + i % 2);
    for (int i = 1; i < 4; i++)
        if (window.value[i] > window.value[window.winner]) window.winner = i;
    for (int i = 0; i < 4; i++)
        if (isnan(window.value[i])) window.winner = i;
    return window;
}

static void check_pool(const imp_kernels *kernels, imp_pool_kind kind, test_map *in) {
    float scale = 1.7f;
    const imp_view *view = &in->view;
    int blocks = imp_blocks(view->channels), height = view->height / 2, width = view->width / 2;
    int row = random_below(height), block = random_below(blocks);
    test_map whole = map_make(view->channels, height, width, 2), part = map_copy(&whole);
    const imp_view *given = map_give(in, kernels);
    kernels->pool(kind, scale, given, map_give(&whole, kernels), 0, blocks, 0, height);
    map_take(&whole, kernels);
    for (int c = 0; c < blocks * IMP_BLOCK; c++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                pool_window w = window_at(in, c, y, x);
                double mean = ((double)w.value[0] + (double)w.value[1] + (double)w.value[2] + (double)w.value[3]) / 4;
                double exact = kind == IMP_POOL_MAX ? (double)w.value[w.winner] : mean * (double)scale;
                double tolerance =
                    kind == IMP_POOL_MAX ? 0 : MAP_TOLERANCE * (double)scale + store_tolerance(kernels, exact);
                expect(near((double)*map_at(&whole, c, y, x), exact, tolerance), "%s pool %d, channel %d (%d, %d)",
                       kernels->name, kind, c, y, x);
            }
    expect(guarded(&whole, 0, blocks, 0, height), "%s pool: halo touched", kernels->name);
    kernels->pool(kind, scale, given, map_give(&part, kernels), block, block + 1, row, row + 1);
    map_take(&part, kernels);
    expect(guarded(&part, block, block + 1, row, row + 1), "%s pool: more than its part", kernels->name);
    map_free(&whole);
    map_free(&part);
}

static void compare_pool_backward(const imp_kernels *kernels, imp_pool_kind kind, float scale, const test_map *in,
                                  const test_map *gradient, const test_map *before, const test_map *mask,
                                  const test_map *got) {
    for (int c = 0; c < imp_blocks(in->view.channels) * IMP_BLOCK; c++)
        for (int y = 0; y < in->view.height; y++)
            for (int x = 0; x < in->view.width; x++) {
                double exact = 0;
                if (y / 2 < gradient->view.height && x / 2 < gradient->view.width) {
                    pool_window w = window_at(in, c, y / 2, x / 2);
                    double value = (double)*map_at(gradient, c, y / 2, x / 2);
                    if (kind == IMP_POOL_AVERAGE)
                        exact = value * (double)scale / 4;
                    else if (w.winner == y % 2 * 2 + x % 2)
                        exact = value;
                }
                if (before) exact += (double)*map_at(before, c, y, x);
                if (mask && !(*map_at(mask, c, y, x) > 0)) exact = 0;
                expect(near((double)*map_at(got, c, y, x), exact, MAP_TOLERANCE * 3 + store_tolerance(kernels, exact)),
                       "%s pool_backward %d, channel %d (%d, %d)", kernels->name, kind, c, y, x);
            }
}

static void check_pool_backward(const imp_kernels *kernels, imp_pool_kind kind, test_map *in, int accumulate,
                                int masked) {
    float scale = 1.7f;
    const imp_view *view = &in->view;
    int blocks = imp_blocks(view->channels), height = view->height;
    test_map gradient = map_make(view->channels, height / 2, view->width / 2, 1);
    test_map before = map_make(view->channels, height, view->width, 1), mask = map_copy(&before);
    map_random(&gradient);
    map_levels(&mask);
    *map_at(&mask, 0, 0, 0) = NAN; /* counts as not positive */
    if (accumulate) map_random(&before);
    test_map whole = map_copy(&before), cut = map_copy(&before);
    const imp_view *seen = kind == IMP_POOL_MAX ? map_give(in, kernels) : NULL;
    const imp_view *kept = masked ? map_give(&mask, kernels) : NULL, *from = map_give(&gradient, kernels);
    const imp_view *to = map_give(&cut, kernels);
    kernels->pool_backward(kind, scale, seen, from, map_give(&whole, kernels), accumulate, kept, 0, blocks, 0, height);
    map_take(&whole, kernels);
    compare_pool_backward(kernels, kind, scale, in, &gradient, accumulate ? &before : NULL, masked ? &mask : NULL,
                          &whole);
    for (int row = 0, next; row < height; row = next) {
        next = row + 1 + random_below(height - row);
        for (int block = 0; block < blocks; block++)
            kernels->pool_backward(kind, scale, seen, from, to, accumulate, kept, block, block + 1, row, next);
    }
    map_take(&cut, kernels);
    expect(!memcmp(whole.memory, cut.memory, whole.count * sizeof(float)), "%s pool_backward: depends on the cut",
           kernels->name);
    if (!accumulate) expect(guarded(&whole, 0, blocks, 0, height), "%s pool_backward: halo touched", kernels->name);
    map_free(&gradient);
    map_free(&before);
    map_free(&mask);
    map_free(&whole);
    map_free(&cut);
}

void check_pooling(const imp_kernels *kernels) {
    for (int n = 0; n < SHAPES; n++)
        for (int kind = IMP_POOL_MAX; kind <= IMP_POOL_AVERAGE; kind++) {
            test_map in = map_make(shapes[n][0], shapes[n][1], shapes[n][2], 1);
            map_levels(&in);
            for (int options = 0; options < 4; options++)
                check_pool_backward(kernels, (imp_pool_kind)kind, &in, options & 1, options >> 1);
            *map_at(&in, 0, random_below(2), random_below(2)) = NAN;
            check_pool(kernels, (imp_pool_kind)kind, &in);
            check_pool_backward(kernels, (imp_pool_kind)kind, &in, 0, 0);
            map_free(&in);
        }
    printf("%s: pooling\n", kernels->name);
}

static void check_difference(const imp_kernels *kernels, const int *shape, int accumulate, int masked) {
    float weight = 0.3f;
    int blocks = imp_blocks(shape[0]), height = shape[1], first = random_below(height), block = random_below(blocks);
    test_map a = map_make(shape[0], height, shape[2], 1), b = map_make(shape[0], height, shape[2], 0);
    test_map before = map_copy(&a), mask = map_copy(&b);
    map_random(&a);
    map_random(&b);
    map_levels(&mask);
    if (accumulate) map_random(&before);
    test_map out = map_copy(&before);
    kernels->scaled_difference(weight, map_give(&a, kernels), map_give(&b, kernels), map_give(&out, kernels),
                               accumulate, masked ? map_give(&mask, kernels) : NULL, block, blocks, first, height);
    map_take(&out, kernels);
    for (int c = block * IMP_BLOCK; c < blocks * IMP_BLOCK; c++)
        for (int y = first; y < height; y++)
            for (int x = 0; x < shape[2]; x++) {
                double exact = (double)weight * ((double)*map_at(&a, c, y, x) - (double)*map_at(&b, c, y, x));
                if (accumulate) exact += (double)*map_at(&before, c, y, x);
                if (masked && !(*map_at(&mask, c, y, x) > 0)) exact = 0;
                expect(near((double)*map_at(&out, c, y, x), exact, MAP_TOLERANCE * 2 + store_tolerance(kernels, exact)),
                       "%s scaled_difference, channel %d (%d, %d)", kernels->name, c, y, x);
            }
    if (!accumulate)
        expect(guarded(&out, block, blocks, first, height), "%s scaled_difference: more than its part", kernels->name);
    map_free(&a);
    map_free(&b);
    map_free(&before);
    map_free(&mask);
    map_free(&out);
}

void check_differences(const imp_kernels *kernels) {
    for (int n = 0; n < SHAPES; n++)
        for (int options = 0; options < 4; options++) check_difference(kernels, shapes[n], options & 1, options >> 1);
    printf("%s: differences\n", kernels->name);
}
