/* Whole plans against the naive engine and against finite differences: every operation, every kind of tap, odd
   shapes, batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gradients/fixture.h"

#define CONVOLUTION(from, channels, kernel, padding)                                                                   \
    { IMP_OPERATION_CONVOLUTION, from, channels, kernel, padding, NULL }
#define RELU(from)                                                                                                     \
    { .kind = IMP_OPERATION_RELU, .input = from }
#define POOL(from)                                                                                                     \
    { .kind = IMP_OPERATION_POOL, .input = from }
#define BOTH (IMP_TAP_STATISTICS | IMP_TAP_MAP)

/* Each layer is read by the next. */
static const naive_layer chain[] = {
    CONVOLUTION(0, 19, 3, 1),
    RELU(1),
    CONVOLUTION(2, 33, 3, 1),
    RELU(3),
    POOL(4),
    CONVOLUTION(5, 16, 3, 1),
    RELU(6),
    POOL(7),
    CONVOLUTION(8, 5, 3, 1),
    RELU(9),
};
static const imp_tap chain_taps[] = {{2, BOTH}, {4, IMP_TAP_STATISTICS}, {7, BOTH}, {10, IMP_TAP_MAP}};
static const imp_tap chain_middle[] = {{5, BOTH}, {7, IMP_TAP_MAP}};

/* A map before and after its ReLU, two readers of one map, a branch that leads to no tap, a ReLU of a pooled map. */
static const naive_layer branches[] = {
    CONVOLUTION(0, 18, 3, 1), RELU(1), CONVOLUTION(2, 20, 3, 1), RELU(3), POOL(2), RELU(5),
    CONVOLUTION(6, 17, 3, 1), POOL(3), CONVOLUTION(4, 64, 3, 1),
};
static const imp_tap branches_taps[] = {
    {1, BOTH}, {2, IMP_TAP_STATISTICS}, {4, BOTH}, {7, BOTH}, {8, IMP_TAP_STATISTICS}};

/* Pools at the ends of convolutions, whose own results nobody sees: with and without a ReLU, odd sizes, another padding. */
static const naive_layer pooled[] = {
    CONVOLUTION(0, 19, 3, 1), RELU(1), POOL(2), CONVOLUTION(3, 33, 3, 0), POOL(4),
    CONVOLUTION(5, 16, 1, 1), RELU(6), POOL(7), CONVOLUTION(8, 5, 3, 1),
};
static const imp_tap pooled_taps[] = {{3, BOTH}, {8, IMP_TAP_STATISTICS}, {9, IMP_TAP_MAP}};
static const imp_tap unpooled_taps[] = {{2, IMP_TAP_MAP}, {4, BOTH}, {7, IMP_TAP_STATISTICS}, {9, BOTH}};

/* Kernels of other sizes, paddings smaller and larger than half of them, all of them readers of the pixels. */
static const naive_layer kernels[] = {
    CONVOLUTION(0, 16, 5, 2),
    CONVOLUTION(0, 7, 1, 0),
    CONVOLUTION(0, 33, 3, 0),
    CONVOLUTION(1, 20, 1, 1),
    RELU(4),
    CONVOLUTION(5, 16, 2, 1),
    POOL(0),
};
static const imp_tap kernels_taps[] = {{0, BOTH}, {2, BOTH}, {3, IMP_TAP_STATISTICS}, {6, BOTH}, {7, BOTH}};

#define NETWORK(layers, taps) layers, sizeof layers / sizeof layers[0], taps, sizeof taps / sizeof taps[0]

static const fixture_case cases[] = {
    {"chain", NETWORK(chain, chain_taps), 1, 12, 20, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"chain, odd, batch", NETWORK(chain, chain_taps), 3, 13, 7, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"chain, least size", NETWORK(chain, chain_taps), 2, 4, 4, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"chain, average", NETWORK(chain, chain_taps), 2, 11, 14, IMP_POOL_AVERAGE, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"chain, replicate", NETWORK(chain, chain_taps), 2, 9, 15, IMP_POOL_MAX, 0, IMP_PADDING_REPLICATE, IMP_ELEMENT_F32},
    {"chain, average twice, replicate", NETWORK(chain, chain_taps), 1, 10, 5, IMP_POOL_AVERAGE, 2,
     IMP_PADDING_REPLICATE, IMP_ELEMENT_F32},
    {"chain, taps in the middle", NETWORK(chain, chain_middle), 2, 9, 9, IMP_POOL_MAX, 0, IMP_PADDING_ZERO,
     IMP_ELEMENT_F32},
    {"chain, many rows", NETWORK(chain, chain_middle), 1, 70, 60, IMP_POOL_MAX, 0, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"branches", NETWORK(branches, branches_taps), 1, 10, 13, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"branches, batch, replicate", NETWORK(branches, branches_taps), 2, 7, 6, IMP_POOL_AVERAGE, 0,
     IMP_PADDING_REPLICATE, IMP_ELEMENT_F32},
    {"kernels", NETWORK(kernels, kernels_taps), 1, 8, 9, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"kernels, batch, replicate", NETWORK(kernels, kernels_taps), 3, 6, 5, IMP_POOL_MAX, 0, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"pooled", NETWORK(pooled, pooled_taps), 2, 29, 22, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"pooled, replicate", NETWORK(pooled, pooled_taps), 1, 33, 40, IMP_POOL_MAX, 0, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"pooled on their own", NETWORK(pooled, unpooled_taps), 1, 31, 38, IMP_POOL_MAX, 0, IMP_PADDING_ZERO,
     IMP_ELEMENT_F32},
    {"pooled, average", NETWORK(pooled, pooled_taps), 2, 22, 27, IMP_POOL_AVERAGE, 2, IMP_PADDING_ZERO,
     IMP_ELEMENT_F32},
};

/* The plan computes in float. A value is a sum of some 300 products whose roundings of 6e-8 add up like a random
   walk, to about 1e-6, and passes through at most 4 layers; statistics and gradients have one such sum more. */
#define TOLERANCE 5e-5

static void compare(const char *what, const fixture_case *at, int tap, const float *values, const double *expected,
                    size_t count) {
    double error = fixture_error(values, expected, count);

    if (!(error <= TOLERANCE))
        fail_msg("%s: %s of tap %d is off by %g of its root mean square", at->name, what, tap, error);
}

static void compare_statistics(const fixture *made, const fixture_case *at, int tap, int picture) {
    const naive_map *map = &made->naive.maps[at->taps[tap].layer];
    const double *value = map->value + (size_t)picture * map->floats;
    size_t channels = (size_t)map->channels, plane = map->floats / channels;
    imp_statistics statistics = imp_plan_statistics(made->plan, tap, picture);
    double *sum = naive_allocate(channels, sizeof *sum), *second = naive_allocate(channels * channels, sizeof *second);

    for (size_t i = 0; i < channels; i++)
        for (size_t p = 0; p < plane; p++) {
            sum[i] += value[i * plane + p];
            for (size_t j = 0; j < channels; j++)
                second[i * channels + j] += value[i * plane + p] * value[j * plane + p];
        }
    assert_int_equal(statistics.channels, map->channels);
    assert_true(statistics.count == (double)plane);
    compare("sum", at, tap, statistics.sum, sum, channels);
    compare("second moments", at, tap, statistics.second, second, channels * channels);
    for (size_t i = 0; i < channels; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(statistics.second[i * channels + j] == statistics.second[j * channels + i]);
    free(sum);
    free(second);
}

static void compare_map(const fixture *made, const fixture_case *at, int tap, int picture) {
    const naive_map *map = &made->naive.maps[at->taps[tap].layer];
    const double *value = map->value + (size_t)picture * map->floats;
    const double *target = made->terms[tap * at->batch + picture].target;
    float *read = naive_allocate(map->floats, sizeof *read);
    double loss, values, expected = 0;
    int channels, height, width;

    imp_plan_tap_shape(made->plan, tap, &channels, &height, &width);
    assert_true(channels == map->channels && height == map->height && width == map->width);
    imp_plan_read_map(made->plan, tap, picture, read);
    compare("map", at, tap, read, value, map->floats);
    for (size_t i = 0; i < map->floats; i++) expected += (value[i] - target[i]) * (value[i] - target[i]);
    loss = imp_plan_map_loss(made->plan, tap, picture, made->targets[tap], &values);
    assert_true(values == (double)map->floats);
    if (!(fabs(loss - expected) <= TOLERANCE * expected)) fail_msg("%s: map loss %g, not %g", at->name, loss, expected);
    free(read);
}

static double dot(const float *a, const float *b, size_t count) {
    double sum = 0;

    for (size_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* The loss is piecewise quadratic, so a central difference is exact as long as no ReLU and no maximum changes sides; at
   this step, a 2,500,000th of the pixels' range, hardly any does. What is left is the plan's own rounding. */
static void compare_with_differences(fixture *made, const fixture_case *at, const float *gradient) {
    const double step = 1e-4;
    float *direction = naive_allocate(made->pixel_count, sizeof *direction);
    double slope, expected, length = sqrt(dot(gradient, gradient, made->pixel_count));
    imp_random random;

    imp_random_seed(&random, 7);
    for (size_t i = 0; i < made->pixel_count; i++) direction[i] = (float)imp_random_normal(&random);
    slope = dot(gradient, direction, made->pixel_count);
    expected = (fixture_loss_at(made, step, direction) - fixture_loss_at(made, -step, direction)) / (2 * step);
    if (!(fabs(slope - expected) <= TOLERANCE * length))
        fail_msg("%s: slope %g, finite difference %g, gradient's length %g", at->name, slope, expected, length);
    free(direction);
}

static void compare_with_naive(const fixture_case *at, imp_context *context) {
    fixture made;
    float *gradient;
    double *expected;

    fixture_make(&made, context, at, 1);
    for (int tap = 0; tap < at->tap_count; tap++)
        for (int picture = 0; picture < at->batch; picture++) {
            if (at->taps[tap].use & IMP_TAP_STATISTICS) compare_statistics(&made, at, tap, picture);
            if (at->taps[tap].use & IMP_TAP_MAP) compare_map(&made, at, tap, picture);
        }
    gradient = naive_allocate(made.pixel_count, sizeof *gradient);
    expected = naive_allocate(made.pixel_count, sizeof *expected);
    fixture_backward(&made, gradient);
    naive_loss_gradient(&made.naive, made.terms);
    naive_backward(&made.naive, expected);
    compare("pixel gradient", at, -1, gradient, expected, made.pixel_count);
    compare_with_differences(&made, at, gradient);
    free(gradient);
    free(expected);
    fixture_free(&made);
}

static void test_plans(void **state) {
    (void)state;
    for (int set = 0; imp_instruction_set_name(set); set++) {
        imp_context *context = fixture_context(2, imp_instruction_set_name(set));

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) compare_with_naive(&cases[i], context);
        imp_context_free(context);
    }
}

static void test_vgg19(void **state) {
    naive_layer layers[64];
    fixture_case vgg19 = fixture_vgg19(layers);
    imp_context *context = fixture_context(2, NULL);

    (void)state;
    vgg19.height = 35;
    vgg19.width = 38;
    vgg19.padding = IMP_PADDING_ZERO;
    compare_with_naive(&vgg19, context);
    imp_context_free(context);
}

/* Terms may be missing: at a tap, or for one picture of the batch. Each combination is compared, the one without
   any term too. */
static void test_missing_terms(void **state) {
    imp_context *context = fixture_context(1, NULL);
    const fixture_case *at = &cases[9];
    fixture made;
    float *gradient;
    double *expected;
    imp_random random;

    (void)state;
    fixture_make(&made, context, at, 3);
    gradient = naive_allocate(made.pixel_count, sizeof *gradient);
    expected = naive_allocate(made.pixel_count, sizeof *expected);
    imp_random_seed(&random, 5);
    for (int round = 0; round < 30; round++) {
        int count = at->tap_count * at->batch;
        naive_term *all = made.terms;
        naive_term *some = naive_allocate((size_t)count, sizeof *some);

        for (int i = 0; i < count; i++) {
            uint64_t bits = round ? imp_random_next(&random) : 0;

            some[i].by_second = bits & 1 ? all[i].by_second : NULL;
            some[i].by_sum = bits & 2 ? all[i].by_sum : NULL;
            some[i].map_weight = bits & 4 ? all[i].map_weight : 0;
            some[i].target = all[i].target;
            if (bits & 24) some[i] = (naive_term){0}; /* three quarters have nothing */
        }
        made.terms = some;
        imp_plan_forward(made.plan, made.pixels);
        fixture_backward(&made, gradient);
        naive_loss_gradient(&made.naive, some);
        naive_backward(&made.naive, expected);
        compare("pixel gradient", at, -1, gradient, expected, made.pixel_count);
        made.terms = all;
        free(some);
    }
    free(gradient);
    free(expected);
    fixture_free(&made);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_vgg19),
        cmocka_unit_test(test_missing_terms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
