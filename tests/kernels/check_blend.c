/* Blends of maps, and sums and products by channel, against their definitions in double precision. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int shapes[][3] = {{1, 2, 2}, {3, 5, 1}, {12, 3, 37}, {17, 8, 9}, {48, 13, 6}, {96, 4, 21}, {16, 2, 300}};
#define SHAPES (int)(sizeof shapes / sizeof shapes[0])

typedef enum blend_term { TERM_NONE, TERM_PLAIN, TERM_SCALED, TERMS } blend_term;

typedef struct blend_test {
    const int *shape;
    blend_term terms[2]; /* x, y */
    int added, accumulate, relu, masked;
    test_map maps[2], before, mask;
    float *factors[2], *addend;
    char name[96];
} blend_test;

static blend_test test_make(int n) {
    blend_test test = {.shape = shapes[random_below(SHAPES)], .terms = {n % TERMS, n / TERMS % TERMS}};
    int options = n / (TERMS * TERMS), channels = test.shape[0], padded = imp_blocks(channels) * IMP_BLOCK;
    test.added = options & 1, test.accumulate = options >> 1 & 1, test.relu = options >> 2 & 1;
    test.masked = options >> 3;
    for (int i = 0; i < 2; i++) {
        test.maps[i] = map_make(channels, test.shape[1], test.shape[2], i);
        map_random(&test.maps[i]);
        test.factors[i] = random_floats((size_t)padded);
    }
    *map_at(&test.maps[0], 0, 0, 0) = NAN; /* passes through the ReLU */
    test.before = map_make(channels, test.shape[1], test.shape[2], 1);
    if (test.accumulate) map_fill(&test.before);
    test.mask = map_copy(&test.before);
    map_levels(&test.mask);
    test.addend = random_floats((size_t)padded);
    for (int c = channels; c < padded; c++) test.addend[c] = 0;
    snprintf(test.name, sizeof test.name, "%d at %dx%d, x %d y %d%s%s%s%s", channels, test.shape[1], test.shape[2],
             (int)test.terms[0], (int)test.terms[1], test.added ? " addend" : "", test.accumulate ? " accumulate" : "",
             test.relu ? " relu" : "", test.masked ? " mask" : "");
    return test;
}

static void test_free(blend_test *test) {
    for (int i = 0; i < 2; i++) {
        map_free(&test->maps[i]);
        free(test->factors[i]);
    }
    map_free(&test->before);
    map_free(&test->mask);
    free(test->addend);
}

static double oracle(const blend_test *test, int c, int y, int x, double *magnitude) {
    double sum = test->added ? (double)test->addend[c] : 0;
    *magnitude = fabs(sum);
    for (int i = 0; i < 2; i++) {
        double factor = test->terms[i] == TERM_SCALED ? (double)test->factors[i][c] : test->terms[i] == TERM_PLAIN;
        double term = factor != 0 ? factor * (double)*map_at(&test->maps[i], c, y, x) : 0;
        sum += term;
        *magnitude += fabs(term);
    }
    if (test->accumulate) {
        sum += (double)*map_at(&test->before, c, y, x);
        *magnitude += fabs((double)*map_at(&test->before, c, y, x));
    }
    if (test->relu && sum < 0) sum = 0;
    return test->masked && !(*map_at(&test->mask, c, y, x) > 0) ? 0 : sum;
}

/* Two products and three additions, each rounded. */
#define BLEND_ROUNDINGS 5

static void compare(const blend_test *test, const imp_kernels *kernels, const test_map *got) {
    for (int c = 0; c < imp_blocks(test->shape[0]) * IMP_BLOCK; c++)
        for (int y = 0; y < test->shape[1]; y++)
            for (int x = 0; x < test->shape[2]; x++) {
                double magnitude = 0, exact = c < test->shape[0] ? oracle(test, c, y, x, &magnitude) : 0;
                double tolerance =
                    isnan(magnitude) ? 0 : BLEND_ROUNDINGS * ROUNDING * magnitude + store_tolerance(kernels, exact);
                double value = (double)*map_at(got, c, y, x);
                if (near(value, exact, tolerance)) continue;
                expect(0, "%s blend %s: channel %d (%d, %d): %g, not %g", kernels->name, test->name, c, y, x, value,
                       exact);
                return;
            }
}

static imp_blend job_of(blend_test *test, const imp_kernels *kernels) {
    return (imp_blend){
        .x = test->terms[0] ? map_give(&test->maps[0], kernels) : NULL,
        .y = test->terms[1] ? map_give(&test->maps[1], kernels) : NULL,
        .x_factor = test->terms[0] == TERM_SCALED ? test->factors[0] : NULL,
        .y_factor = test->terms[1] == TERM_SCALED ? test->factors[1] : NULL,
        .addend = test->added ? test->addend : NULL,
        .accumulate = test->accumulate,
        .relu = test->relu,
        .mask = test->masked ? map_give(&test->mask, kernels) : NULL,
    };
}

static void check_blend(blend_test *test, const imp_kernels *kernels) {
    test_map whole = map_copy(&test->before), cut = map_copy(&test->before);
    int blocks = imp_blocks(test->shape[0]), height = test->shape[1], next;
    imp_blend job = job_of(test, kernels);
    job.out = map_give(&whole, kernels);
    kernels->blend(&job, 0, blocks, 0, height);
    map_take(&whole, kernels);
    compare(test, kernels, &whole);
    expect(guarded(&whole, 0, blocks, 0, height), "%s blend %s: halo touched", kernels->name, test->name);
    job.out = map_give(&cut, kernels);
    for (int row = 0; row < height; row = next) {
        next = row + 1 + random_below(height - row);
        for (int block = 0; block < blocks; block++) kernels->blend(&job, block, block + 1, row, next);
    }
    map_take(&cut, kernels);
    expect(!memcmp(whole.memory, cut.memory, whole.count * sizeof(float)), "%s blend %s: depends on the cut",
           kernels->name, test->name);
    map_free(&whole);
    map_free(&cut);
    if (!test->terms[1] || test->accumulate) return;
    test_map in_place = map_copy(&test->maps[1]);
    job.y = job.out = map_give(&in_place, kernels);
    kernels->blend(&job, 0, blocks, 0, height);
    map_take(&in_place, kernels);
    compare(test, kernels, &in_place);
    map_free(&in_place);
}

typedef struct products_test {
    test_map *x, *y; /* y: NULL for sums alone */
    const float *x_shift, *y_shift;
} products_test;

static void compare_products(const imp_kernels *kernels, const products_test *test, int first, int last,
                             const float *sum, const float *product) {
    const imp_view *view = &test->x->view;
    double terms = (double)(last - first) * view->width;
    for (int c = 0; c < imp_blocks(view->channels) * IMP_BLOCK; c++) {
        double sums[2] = {0}, magnitudes[2] = {0};
        for (int y = first; y < last; y++)
            for (int x = 0; x < view->width; x++) {
                double a = (double)*map_at(test->x, c, y, x) - (test->x_shift ? (double)test->x_shift[c] : 0);
                double b = test->y ? (double)*map_at(test->y, c, y, x) : 0;
                if (test->y && test->y_shift) b -= (double)test->y_shift[c];
                sums[0] += a, magnitudes[0] += fabs(a);
                sums[1] += a * b, magnitudes[1] += fabs(a * b);
            }
        /* Each term has up to three roundings of its own, of two shifts and a product. */
        expect(near((double)sum[c], sums[0], sum_tolerance(terms, magnitudes[0]) + 3 * ROUNDING * magnitudes[0]),
               "%s channel sum %d", kernels->name, c);
        if (test->y)
            expect(
                near((double)product[c], sums[1], sum_tolerance(terms, magnitudes[1]) + 3 * ROUNDING * magnitudes[1]),
                "%s channel product %d: %g not %g", kernels->name, c, (double)product[c], sums[1]);
        else
            expect(product[c] == GUARD, "%s channel products: wrote what nobody asked for", kernels->name);
    }
}

static void check_products_of(const imp_kernels *kernels, const products_test *test) {
    const imp_view *view = &test->x->view;
    int blocks = imp_blocks(view->channels), channels = blocks * IMP_BLOCK;
    int first = random_below(view->height), last = first + 1 + random_below(view->height - first);
    float *results = take((size_t)channels * 4 * sizeof(float));
    float *sum = results, *product = sum + channels, *cut = product + channels, *cut_product = cut + channels;
    for (int i = 0; i < 4 * channels; i++) results[i] = GUARD;
    const imp_view *x = map_give(test->x, kernels), *y = test->y ? map_give(test->y, kernels) : NULL;
    kernels->channel_products(x, y, test->x_shift, test->y_shift, 0, blocks, first, last, sum, product);
    compare_products(kernels, test, first, last, sum, product);
    for (int block = 0; block < blocks; block++)
        kernels->channel_products(x, y, test->x_shift, test->y_shift, block, block + 1, first, last, cut, cut_product);
    expect(!memcmp(sum, cut, 2 * (size_t)channels * sizeof(float)), "%s channel_products: depends on the cut",
           kernels->name);
    free(results);
}

/* The variance of what lies far from 0 keeps its digits when it is taken about a mean: a thousandth of the mean square here.
   Rounding the shifted values and their squares' sum costs a few 1e-7. */
static void check_variance(const imp_kernels *kernels) {
    test_map map = map_make(16, 64, 64, 0);
    float shift[IMP_BLOCK], sum[IMP_BLOCK], product[IMP_BLOCK];
    for (size_t i = 0; i < map.count; i++) map.memory[i] = 8 + (float)random_below(5) / 16; /* bf16 has these */
    for (int c = 0; c < IMP_BLOCK; c++) shift[c] = 8.1f;
    const imp_view *view = map_give(&map, kernels);
    kernels->channel_products(view, view, shift, shift, 0, 1, 0, 64, sum, product);
    for (int c = 0; c < IMP_BLOCK; c++) {
        double count = 64 * 64, mean = 0, variance = 0;
        for (int i = 0; i < 64 * 64; i++) mean += (double)map.memory[i * IMP_BLOCK + c] / count;
        for (int i = 0; i < 64 * 64; i++) variance += pow((double)map.memory[i * IMP_BLOCK + c] - mean, 2) / count;
        double off = (double)sum[c] / count, got = (double)product[c] / count - off * off;
        expect(near(got, variance, 1e-5 * variance), "%s variance: %g not %g", kernels->name, got, variance);
    }
    map_free(&map);
}

static void check_channel_products(const imp_kernels *kernels, const int *shape) {
    test_map x = map_make(shape[0], shape[1], shape[2], 1), y = map_make(shape[0], shape[1], shape[2], 0);
    size_t padded = (size_t)imp_blocks(shape[0]) * IMP_BLOCK;
    float *shifts[2] = {random_floats(padded), random_floats(padded)};
    map_random(&x);
    map_random(&y);
    for (size_t c = (size_t)shape[0]; c < padded; c++) shifts[0][c] = shifts[1][c] = 0;
    products_test tests[] = {{&x, NULL, NULL, NULL},
                             {&x, NULL, shifts[0], NULL},
                             {&x, &y, NULL, shifts[1]},
                             {&x, &y, shifts[0], shifts[1]},
                             {&x, &x, shifts[0], shifts[0]}};
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) check_products_of(kernels, &tests[i]);
    map_free(&x);
    map_free(&y);
    free(shifts[0]);
    free(shifts[1]);
}

void check_blends(const imp_kernels *kernels) {
    enum { OPTIONS = 16, ALL = TERMS * TERMS * OPTIONS };
    for (int n = 0; n < ALL; n++) {
        blend_test test = test_make(n);
        check_blend(&test, kernels);
        test_free(&test);
    }
    for (int n = 0; n < SHAPES; n++) check_channel_products(kernels, shapes[n]);
    check_variance(kernels);
    printf("%s: blends and channel products\n", kernels->name);
}
