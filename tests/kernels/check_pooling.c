/* 2x2 pooling and its gradient against plain loops: alone, and at the ends of Winograd convolution. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One multiplication and up to three additions, each rounded. */
#define MAP_TOLERANCE (4 * ROUNDING)
#define SCALE 1.7f /* of averages */
#define MOST_CHOICE 15

typedef struct pool_window {
    float value[4]; /* after the ReLU, if there is one */
    float pooled;
    int choice;
} pool_window;

static pool_window window_of(const float pixels[4], imp_pool_kind kind, int relu) {
    pool_window window = {.choice = 0};
    int winner = 0; /* the first of the greatest; the last NaN if there is one */

    for (int i = 0; i < 4; i++) window.value[i] = relu && pixels[i] < 0 ? 0 : pixels[i];
    for (int i = 1; i < 4; i++)
        if (window.value[i] > window.value[winner]) winner = i;
    for (int i = 0; i < 4; i++)
        if (isnan(window.value[i])) winner = i;
    for (int i = 0; i < 4; i++)
        if ((kind == IMP_POOL_AVERAGE || i == winner) && (!relu || window.value[i] > 0)) window.choice |= 1 << i;
    window.pooled = window.value[winner];
    if (kind == IMP_POOL_AVERAGE)
        window.pooled = (window.value[0] + window.value[1] + window.value[2] + window.value[3]) / 4 * SCALE;
    return window;
}

static pool_window window_at(const test_map *in, imp_pool_kind kind, int relu, int c, int y, int x) {
    float pixels[4];

    for (int i = 0; i < 4; i++) pixels[i] = *map_at(in, c, 2 * y + i / 2, 2 * x + i % 2);
    return window_of(pixels, kind, relu);
}

/* Windows, with choices that hold what no window leaves. */
typedef struct windows {
    test_map map;
    uint8_t *choices;
    imp_pooling job;
} windows;

static windows windows_make(imp_pool_kind kind, int relu, int channels, int height, int width) {
    windows made = {.map = map_make(channels, height, width, 2),
                    .job = {.kind = kind, .average_scale = SCALE, .relu = relu}};
    size_t row = (size_t)width * IMP_BLOCK, plane = row * (size_t)height;
    size_t count = plane * (size_t)imp_blocks(channels);

    made.choices = take(count);
    memset(made.choices, MOST_CHOICE + 1, count);
    made.job.choices = (imp_view){made.choices, plane, row, channels, height, width};
    return made;
}

static void windows_free(windows *made) {
    map_free(&made->map);
    free(made->choices);
}

static int choice_at(const windows *of, int c, int y, int x) {
    const imp_view *view = &of->job.choices;
    size_t pixel = (size_t)(c / IMP_BLOCK) * view->plane + (size_t)y * view->row + (size_t)x * IMP_BLOCK;

    return of->choices[pixel + (size_t)(c % IMP_BLOCK)];
}

/* ---- Alone ------------------------------------------------------------------------------------------------------- */

static void compare_window(const imp_kernels *kernels, const windows *of, const test_map *in, int c, int y, int x) {
    imp_pool_kind kind = of->job.kind;
    pool_window w = window_at(in, kind, of->job.relu, c, y, x);
    double tolerance =
        kind == IMP_POOL_MAX ? 0 : MAP_TOLERANCE * (double)SCALE + store_tolerance(kernels, (double)w.pooled);

    expect(near((double)*map_at(&of->map, c, y, x), (double)w.pooled, tolerance), "%s pool %d, channel %d (%d, %d)",
           kernels->name, kind, c, y, x);
    expect(choice_at(of, c, y, x) == w.choice, "%s pool %d, channel %d (%d, %d): choice %d, not %d", kernels->name,
           kind, c, y, x, choice_at(of, c, y, x), w.choice);
}

static void check_pool(const imp_kernels *kernels, imp_pool_kind kind, int relu, test_map *in) {
    const imp_view *view = &in->view, *given = map_give(in, kernels);
    int blocks = imp_blocks(view->channels), height = view->height / 2, width = view->width / 2;
    int row = random_below(height), block = random_below(blocks);
    windows whole = windows_make(kind, relu, view->channels, height, width);
    windows part = windows_make(kind, relu, view->channels, height, width);
    test_map without_choices;

    whole.job.windows = *map_give(&whole.map, kernels);
    kernels->pool(&whole.job, given, 0, blocks, 0, height);
    map_take(&whole.map, kernels);
    for (int c = 0; c < blocks * IMP_BLOCK; c++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) compare_window(kernels, &whole, in, c, y, x);
    expect(guarded(&whole.map, 0, blocks, 0, height), "%s pool: halo touched", kernels->name);
    part.job.windows = *map_give(&part.map, kernels);
    kernels->pool(&part.job, given, block, block + 1, row, row + 1);
    map_take(&part.map, kernels);
    expect(guarded(&part.map, block, block + 1, row, row + 1), "%s pool: more than its part", kernels->name);
    for (int c = 0; c < blocks * IMP_BLOCK; c++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                expect((choice_at(&part, c, y, x) <= MOST_CHOICE) == (c / IMP_BLOCK == block && y == row),
                       "%s pool: choices of more than its part", kernels->name);
    without_choices = map_copy(&whole.map);
    whole.job.choices.at = NULL;
    whole.job.windows = *map_give(&without_choices, kernels);
    kernels->pool(&whole.job, given, 0, blocks, 0, height);
    map_take(&without_choices, kernels);
    expect(!memcmp(whole.map.memory, without_choices.memory, whole.map.count * sizeof(float)),
           "%s pool: another without choices", kernels->name);
    map_free(&without_choices);
    windows_free(&whole);
    windows_free(&part);
}

/* A pixel's share of its window's gradient. */
static double share_at(const windows *of, int c, int y, int x) {
    const imp_view *view = &of->map.view;
    double value;

    if (y / 2 >= view->height || x / 2 >= view->width) return 0;
    value = (double)*map_at(&of->map, c, y / 2, x / 2);
    if (of->job.kind == IMP_POOL_AVERAGE) value *= (double)SCALE / 4;
    return !of->job.choices.at || choice_at(of, c, y / 2, x / 2) >> (y % 2 * 2 + x % 2) & 1 ? value : 0;
}

static void compare_gradient(const imp_kernels *kernels, const windows *of, const test_map *before,
                             const test_map *mask, const test_map *got) {
    for (int c = 0; c < imp_blocks(got->view.channels) * IMP_BLOCK; c++)
        for (int y = 0; y < got->view.height; y++)
            for (int x = 0; x < got->view.width; x++) {
                double exact = share_at(of, c, y, x);

                if (before) exact += (double)*map_at(before, c, y, x);
                if (mask && !(*map_at(mask, c, y, x) > 0)) exact = 0;
                expect(near((double)*map_at(got, c, y, x), exact, MAP_TOLERANCE * 3 + store_tolerance(kernels, exact)),
                       "%s pool_backward %d, channel %d (%d, %d)", kernels->name, of->job.kind, c, y, x);
            }
}

/* Gradients of windows that random pixels chose. */
static windows random_gradient(imp_pool_kind kind, int relu, int channels, int height, int width) {
    windows made = windows_make(kind, relu, channels, height, width);
    size_t count = made.job.choices.plane * (size_t)imp_blocks(channels);

    map_random(&made.map);
    for (size_t i = 0; i < count; i++) {
        float pixels[4];

        for (int pixel = 0; pixel < 4; pixel++) pixels[pixel] = random_value();
        made.choices[i] = (uint8_t)window_of(pixels, kind, relu).choice;
    }
    if (kind == IMP_POOL_AVERAGE && !relu) made.job.choices.at = NULL;
    return made;
}

static void check_backward(const imp_kernels *kernels, imp_pool_kind kind, const int shape[3], int options) {
    int blocks = imp_blocks(shape[0]), height = shape[1], accumulate = options & 1, masked = options >> 1 & 1;
    windows of = random_gradient(kind, options >> 2, shape[0], height / 2, shape[2] / 2);
    test_map before = map_make(shape[0], height, shape[2], 1), mask = map_copy(&before);

    map_levels(&mask);
    *map_at(&mask, 0, 0, 0) = NAN; /* counts as not positive */
    if (accumulate) map_random(&before);
    test_map whole = map_copy(&before), cut = map_copy(&before);
    const imp_view *kept = masked ? map_give(&mask, kernels) : NULL, *to = map_give(&cut, kernels);
    of.job.windows = *map_give(&of.map, kernels);
    kernels->pool_backward(&of.job, map_give(&whole, kernels), accumulate, kept, 0, blocks, 0, height);
    map_take(&whole, kernels);
    compare_gradient(kernels, &of, accumulate ? &before : NULL, masked ? &mask : NULL, &whole);
    for (int row = 0, next; row < height; row = next) {
        next = row + 1 + random_below(height - row);
        for (int block = 0; block < blocks; block++)
            kernels->pool_backward(&of.job, to, accumulate, kept, block, block + 1, row, next);
    }
    map_take(&cut, kernels);
    expect(!memcmp(whole.memory, cut.memory, whole.count * sizeof(float)), "%s pool_backward: depends on the cut",
           kernels->name);
    if (!accumulate) expect(guarded(&whole, 0, blocks, 0, height), "%s pool_backward: halo touched", kernels->name);
    windows_free(&of);
    map_free(&before);
    map_free(&mask);
    map_free(&whole);
    map_free(&cut);
}

/* ---- At the ends of Winograd ------------------------------------------------------------------------------------- */

/* In pieces, as windows must not depend on them either. */
static void run_steps(const imp_winograd *steps, const imp_convolution *job) {
    run_winograd_steps(steps, job, 7, 2);
}

/* Whether a pixel that the choice names has the window's greatest value: of bf16 several may, once they are rounded. */
static int chose_greatest(const pool_window *w, int choice) {
    for (int i = 0; i < 4; i++)
        if (choice == 1 << i) return w->value[i] == w->pooled;
    return choice == w->choice;
}

/* The result pooled at once, beside the same that is pooled afterwards. */
static void check_pooled(const imp_kernels *kernels, const imp_winograd *steps, imp_pool_kind kind, int relu,
                         const int shape[3]) {
    test_map in = map_make(20, shape[1], shape[2], 1), out = map_make(shape[0], shape[1], shape[2], 0);
    windows of = windows_make(kind, relu, shape[0], shape[1] / 2, shape[2] / 2);
    float *weights = random_floats((size_t)(20 * shape[0] * 9)), *bias = random_floats(64);
    imp_convolution job = {.kernel_height = 3, .kernel_width = 3, .stride = 1, .pad_y = 1, .pad_x = 1, .bias = bias};
    int blocks = imp_blocks(shape[0]);

    for (int c = shape[0]; c < 64; c++) bias[c] = 0;
    map_random(&in);
    imp_plain_weights(&job, weights, 20, 0);
    job.in = *map_give(&in, kernels);
    job.out = *map_give(&out, kernels);
    run_steps(steps, &job);
    map_take(&out, kernels);
    of.job.windows = *map_give(&of.map, kernels);
    job.out.at = NULL;
    job.pool = &of.job;
    run_steps(steps, &job);
    map_take(&of.map, kernels);
    for (int c = 0; c < blocks * IMP_BLOCK; c++)
        for (int y = 0; y < of.map.view.height; y++)
            for (int x = 0; x < of.map.view.width; x++) {
                pool_window w = window_at(&out, kind, relu, c, y, x);
                double exact = (double)w.pooled, largest = 0;

                for (int i = 0; i < 4; i++) largest = fmax(largest, fabs((double)w.value[i]));
                /* The same sums; averages are of values that were not rounded to the map's type. */
                expect(near((double)*map_at(&of.map, c, y, x), exact,
                            kind == IMP_POOL_MAX ? 0
                                                 : MAP_TOLERANCE * largest * 2 + 2 * store_tolerance(kernels, largest)),
                       "%s winograd %d pooled %d: channel %d (%d, %d)", kernels->name, steps->outputs, kind, c, y, x);
                expect(kind == IMP_POOL_MAX ? chose_greatest(&w, choice_at(&of, c, y, x))
                                            : choice_at(&of, c, y, x) == w.choice,
                       "%s winograd %d pooled %d: channel %d (%d, %d): choice", kernels->name, steps->outputs, kind, c,
                       y, x);
            }
    expect(guarded(&of.map, 0, blocks, 0, of.map.view.height), "%s winograd pooled: halo touched", kernels->name);
    windows_free(&of);
    map_free(&in);
    map_free(&out);
    free(weights);
    free(bias);
}

/* An input that is read through its windows, beside the same that pool_backward makes. */
static void check_unpooled(const imp_kernels *kernels, const imp_winograd *steps, imp_pool_kind kind, int relu, int pad,
                           const int shape[3]) {
    int height = shape[1] + 2 * pad - 2, width = shape[2] + 2 * pad - 2, blocks = imp_blocks(shape[0]);
    windows of = random_gradient(kind, relu, shape[0], shape[1] / 2, shape[2] / 2);
    test_map in = map_make(shape[0], shape[1], shape[2], pad), out = map_make(20, height, width, 0);
    test_map direct = map_copy(&out);
    float *weights = random_floats((size_t)(20 * shape[0] * 9));
    imp_convolution job = {.kernel_height = 3, .kernel_width = 3, .stride = 1, .pad_y = pad, .pad_x = pad};

    memset(in.memory, 0, in.count * sizeof(float)); /* its halo */
    imp_plain_weights(&job, weights, 20, 1);
    of.job.windows = *map_give(&of.map, kernels);
    job.in = *map_give(&in, kernels);
    kernels->pool_backward(&of.job, &job.in, 0, NULL, 0, blocks, 0, shape[1]);
    job.out = *map_give(&direct, kernels);
    run_steps(steps, &job);
    map_take(&direct, kernels);
    job.in.at = NULL;
    job.unpool = &of.job;
    job.out = *map_give(&out, kernels);
    run_steps(steps, &job);
    map_take(&out, kernels);
    expect(!memcmp(out.memory, direct.memory, out.count * sizeof(float)), "%s winograd %d unpooled %d, pad %d",
           kernels->name, steps->outputs, kind, pad);
    windows_free(&of);
    map_free(&in);
    map_free(&out);
    map_free(&direct);
    free(weights);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void check_winograd_pooling(const imp_kernels *kernels, imp_pool_kind kind, int relu, const int shape[3]) {
    for (const imp_winograd *const *steps = kernels->winograd; *steps; steps++) {
        check_pooled(kernels, *steps, kind, relu, shape);
        for (int pad = 0; pad <= 2; pad++)
            if (shape[1] + 2 * pad > 2 && shape[2] + 2 * pad > 2)
                check_unpooled(kernels, *steps, kind, relu, pad, shape);
    }
}

void check_pooling(const imp_kernels *kernels) {
    static const int shapes[][3] = {{1, 2, 2}, {16, 3, 5}, {17, 8, 9}, {40, 13, 6}, {64, 7, 37}, {3, 2, 70}};

    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
        for (int options = 0; options < 4; options++) {
            imp_pool_kind kind = options & 1 ? IMP_POOL_AVERAGE : IMP_POOL_MAX;
            int relu = options >> 1;
            test_map in = map_make(shapes[n][0], shapes[n][1], shapes[n][2], 1);

            map_levels(&in);
            *map_at(&in, 0, random_below(2), random_below(2)) = NAN;
            check_pool(kernels, kind, relu, &in);
            for (int how = 0; how < 4; how++) check_backward(kernels, kind, shapes[n], how | relu << 2);
            check_winograd_pooling(kernels, kind, relu, shapes[n]);
            map_free(&in);
        }
    printf("%s: pooling\n", kernels->name);
}
