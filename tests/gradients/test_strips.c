/* Strips against one plan of the whole picture: every way of cutting that a memory limit leads to, odd sizes, batches,
   every kind of tap; in f32 the same, in bf16 as close to f32 as that plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_allocator.h"
#include "gradients/fixture.h"
#include "graph/backend.h"
#include "graph/strips.h"

#define CONVOLUTION(from, channels, kernel, padding)                                                                   \
    { IMP_OPERATION_CONVOLUTION, from, channels, kernel, padding, NULL }
#define RELU(from)                                                                                                     \
    { .kind = IMP_OPERATION_RELU, .input = from }
#define POOL(from)                                                                                                     \
    { .kind = IMP_OPERATION_POOL, .input = from }
#define BOTH (IMP_TAP_STATISTICS | IMP_TAP_MAP)

/* Blocks of one and two convolutions, a pool after a pool, another kernel than 3x3, a ReLU on its own. */
static const naive_layer chain[] = {
    CONVOLUTION(0, 19, 3, 1),
    RELU(1), /* 1, 2 */
    CONVOLUTION(2, 33, 3, 1),
    RELU(3),
    POOL(4), /* 3, 4, 5 */
    CONVOLUTION(5, 16, 5, 2),
    RELU(6),
    POOL(7), /* 6, 7, 8 */
    POOL(8),
    RELU(9), /* 9, 10 */
    CONVOLUTION(10, 5, 3, 1),
    RELU(11), /* 11, 12 */
};
static const imp_tap all_taps[] = {{2, BOTH}, {4, IMP_TAP_STATISTICS}, {7, BOTH}, {9, BOTH}, {12, BOTH}};
static const imp_tap few_taps[] = {{2, BOTH}, {12, BOTH}}; /* pools are the ends of convolutions */
static const imp_tap pool_taps[] = {{0, BOTH}, {3, IMP_TAP_MAP}, {5, BOTH}, {8, BOTH}};

/* Pools behind the pixels' own reader, behind a kernel that reads nothing around, and behind no ReLU. */
static const naive_layer pooled[] = {
    CONVOLUTION(0, 19, 3, 1), RELU(1), POOL(2), CONVOLUTION(3, 33, 1, 0), POOL(4), CONVOLUTION(5, 16, 3, 1), RELU(6),
};
static const imp_tap pooled_taps[] = {{3, BOTH}, {7, BOTH}};

#define NETWORK(layers, taps) layers, sizeof layers / sizeof layers[0], taps, sizeof taps / sizeof taps[0]

static const fixture_case cases[] = {
    {"chain", NETWORK(chain, all_taps), 1, 64, 20, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"chain, odd", NETWORK(chain, all_taps), 1, 79, 19, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"chain, odd, replicate", NETWORK(chain, all_taps), 1, 53, 18, IMP_POOL_MAX, 0, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"chain, average, batch", NETWORK(chain, all_taps), 2, 62, 33, IMP_POOL_AVERAGE, 2, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"chain, low", NETWORK(chain, all_taps), 1, 23, 70, IMP_POOL_AVERAGE, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"pooled, odd", NETWORK(chain, few_taps), 1, 79, 19, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
    {"pooled, average, batch", NETWORK(chain, few_taps), 2, 62, 33, IMP_POOL_AVERAGE, 2, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"pooled at once, replicate", NETWORK(pooled, pooled_taps), 1, 67, 23, IMP_POOL_MAX, 0, IMP_PADDING_REPLICATE,
     IMP_ELEMENT_F32},
    {"pooled at once, average", NETWORK(pooled, pooled_taps), 1, 70, 21, IMP_POOL_AVERAGE, 2, IMP_PADDING_ZERO,
     IMP_ELEMENT_F32},
    {"pools and pixels", NETWORK(chain, pool_taps), 1, 61, 21, IMP_POOL_MAX, 0, IMP_PADDING_ZERO, IMP_ELEMENT_F32},
};

static const fixture_case *named(const char *name) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (!strcmp(cases[i].name, name)) return &cases[i];
    fail_msg("there is no case %s", name);
    return NULL;
}

/* Both compute in float, each value a sum of some hundred products whose roundings of 6e-8 add up like a random walk, and
   pass on through a few layers. */
#define TOLERANCE 5e-5

/* Through thirteen layers, Winograd's tiles, which lie elsewhere in a window, round differently enough to let a ReLU or a
   pool decide the other way once in a while: that moves some pixels' gradients by a hundredth of the root mean square,
   and the root of the mean of all squared differences by far less. In plain C, which has no tiles, nothing moves. */
#define FLIPPED 2e-3
static int may_flip;

/* The root of the mean squared difference, in units of the root of the mean square of expected. */
static double difference(const float *values, const float *expected, size_t count) {
    double squares = 0, sum = 0;

    for (size_t i = 0; i < count; i++) {
        double apart = (double)values[i] - (double)expected[i];

        sum += apart * apart;
        squares += (double)expected[i] * (double)expected[i];
    }
    return sqrt(sum / squares);
}

static double *widen(const float *values, size_t count) {
    double *wide = naive_allocate(count, sizeof *wide);

    for (size_t i = 0; i < count; i++) wide[i] = (double)values[i];
    return wide;
}

static void compare(const char *name, const char *what, uint64_t memory, const float *values, const float *expected,
                    size_t count) {
    double *wide = widen(expected, count), error = fixture_error(values, wide, count);

    if (!(error <= TOLERANCE) && !(may_flip && difference(values, expected, count) <= FLIPPED))
        fail_msg("%s within %llu bytes: %s is off by %g of its root mean square", name, (unsigned long long)memory,
                 what, error);
    free(wide);
}

/* Two sets of pictures, the gradients by every tap, and what one plan makes of them. */
typedef struct whole_run {
    fixture made; /* its pixels are those that are compared; upside down they are the targets */
    imp_tap_gradient *gradients;
    float *target_pixels, *gradient;
    double *losses; /* [tap_count, batch] */
} whole_run;

static void run_whole(whole_run *run, imp_context *context, const fixture_case *at) {
    fixture *made = &run->made;
    int count = at->tap_count * at->batch;

    fixture_make(made, context, at, 1);
    run->gradient = naive_allocate(made->pixel_count, sizeof(float));
    run->target_pixels = naive_allocate(made->pixel_count, sizeof(float));
    run->gradients = naive_allocate((size_t)count, sizeof *run->gradients);
    run->losses = naive_allocate((size_t)count, sizeof *run->losses);
    for (size_t i = 0; i < made->pixel_count; i++) run->target_pixels[i] = made->pixels[made->pixel_count - 1 - i];
    imp_plan_forward(made->plan, run->target_pixels);
    for (int tap = 0; tap < at->tap_count; tap++) {
        if (!(at->taps[tap].use & IMP_TAP_MAP)) continue;
        imp_map_target_free(context, made->targets[tap]);
        assert_int_equal(imp_plan_copy_map(made->plan, tap, &made->targets[tap]), IMP_OK);
    }
    imp_plan_forward(made->plan, made->pixels);
    for (int i = 0; i < count; i++) {
        const naive_term *term = &made->terms[i];
        double values;

        run->gradients[i] =
            (imp_tap_gradient){term->by_second, term->by_sum, term->map_weight, made->targets[i / at->batch], NULL};
        if (made->targets[i / at->batch])
            run->losses[i] =
                imp_plan_map_loss(made->plan, i / at->batch, i % at->batch, made->targets[i / at->batch], &values);
    }
    fixture_backward(made, run->gradient);
    imp_plan_forward(made->plan, made->pixels); /* for the statistics */
}

static void free_whole(whole_run *run) {
    free(run->gradient);
    free(run->target_pixels);
    free(run->gradients);
    free(run->losses);
    fixture_free(&run->made);
}

static void compare_results(const whole_run *run, const fixture_case *at, uint64_t memory, const imp_strips *strips) {
    for (int i = 0; i < at->tap_count * at->batch; i++) {
        int tap = i / at->batch, picture = i % at->batch;
        double values, loss;

        if (at->taps[tap].use & IMP_TAP_STATISTICS) {
            imp_statistics expected = imp_plan_statistics(run->made.plan, tap, picture);
            imp_statistics got = imp_strips_statistics(strips, tap, picture);
            size_t channels = (size_t)expected.channels;

            assert_true(got.channels == expected.channels && got.count == expected.count);
            compare(at->name, "sum", memory, got.sum, expected.sum, channels);
            compare(at->name, "second moments", memory, got.second, expected.second, channels * channels);
        }
        if (!(at->taps[tap].use & IMP_TAP_MAP)) continue;
        loss = imp_strips_map_loss(strips, tap, picture, &values);
        if (!(fabs(loss - run->losses[i]) <= TOLERANCE * run->losses[i]))
            fail_msg("%s within %llu bytes: map loss of tap %d is %g, not %g", at->name, (unsigned long long)memory,
                     tap, loss, run->losses[i]);
    }
}

/* Structures and the headers of some fifty allocations, which are not measured. */
#define UNMEASURED 16384

static size_t held(imp_context *context) {
    imp_context_info info = {.size = sizeof info};

    imp_context_get_info(context, &info);
    return info.memory_now;
}

/* bytes: that were measured for them. */
static void compare_strips(const whole_run *run, const fixture_case *at, imp_context *context, uint64_t memory,
                           uint64_t bytes) {
    size_t count = run->made.pixel_count;
    float *gradient = naive_allocate(count, sizeof *gradient);
    size_t before = held(context);
    imp_strips *strips;

    memset(gradient, 0xff, count * sizeof *gradient);
    assert_int_equal(imp_strips_create(context, &run->made.network, &run->made.options, memory, &strips), IMP_OK);
    assert_true(held(context) - before <= bytes + UNMEASURED);
    imp_strips_keep_targets(strips, run->target_pixels);
    for (int round = 0; round < 2; round++) { /* nothing of the first may be left in the second */
        imp_strips_forward(strips, run->made.pixels);
        compare_results(run, at, memory, strips);
        assert_int_equal(imp_strips_backward(strips, run->gradients, run->made.pixels, gradient), IMP_OK);
        compare(at->name, "pixel gradient", memory, gradient, run->gradient, count);
    }
    imp_strips_free(strips);
    free(gradient);
}

/* Limits at which other ways of running are chosen, from the whole on down to the least. Returns how many. */
static int compare_all_limits(const fixture_case *at, imp_context *context) {
    whole_run run;
    imp_strips_cost cost;
    int ways = 0, windows = 0;

    run_whole(&run, context, at);
    /* A little less each time: some ways that hardly differ are left out. */
    for (uint64_t memory = UINT64_MAX;; memory = cost.bytes - cost.bytes / 50) {
        uint64_t asked = memory;

        assert_int_equal(imp_strips_measure(context, &run.made.network, &run.made.options, memory, &cost), IMP_OK);
        if (cost.bytes > asked) break; /* there is nothing smaller */
        compare_strips(&run, at, context, asked, cost.bytes);
        ways++;
        if (cost.windows > windows) windows = cost.windows;
    }
    compare_strips(&run, at, context, 1, cost.bytes); /* the least, whatever is asked for */
    assert_true(windows > 3 && cost.windows > 1);
    free_whole(&run);
    return ways;
}

static void test_limits(void **state) {
    static const char *const instruction_sets[] = {"c", NULL};

    (void)state;
    for (size_t set = 0; set < 2; set++) {
        imp_context *context = fixture_context(2, instruction_sets[set]);

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            assert_true(compare_all_limits(&cases[i], context) >= 3);
        imp_context_free(context);
    }
}

static void test_vgg19(void **state) {
    naive_layer layers[64];
    fixture_case vgg19 = fixture_vgg19(layers);
    static const char *const sets[] = {"c", NULL}; /* NULL: the best there is */

    (void)state;
    vgg19.height = 171;
    vgg19.width = 38;
    vgg19.padding = IMP_PADDING_REPLICATE;
    for (int i = 0; i < 2; i++) {
        imp_context *context = fixture_context(2, sets[i]);

        may_flip = !sets[i];
        assert_true(compare_all_limits(&vgg19, context) > 10);
        may_flip = 0;
        imp_context_free(context);
    }
}

/* ---- bf16 -------------------------------------------------------------------------------------------------------- */

/* What one plan is off by in bf16, strips may be off by too, by chance half as much again: another place in a tile of
   Winograd's rounds another way, and each ReLU and pool that decides otherwise sends a gradient elsewhere. A number that
   the plan happens to hit may be off by two roundings to 8 bits. */
#define BF16_FACTOR 1.5
#define BF16_LEAST 0.008
/* Without Winograd maps are the same bits, and gradients too but where the rows of two windows meet: there sums are
   rounded once more, which is 1/512 at most in each of some rows, at up to 3 pools. */
#define BF16_SAME_MAPS 0.006

typedef struct bf16_runs {
    whole_run exact, rounded; /* one plan in f32 and one in bf16, of the same pixels, weights and gradients */
    imp_strips *strips;
    int same_maps;
} bf16_runs;

static void compare_bf16(const bf16_runs *runs, const imp_strips_cost *cost, const char *what, const float *values,
                         const float *rounded, const float *exact, size_t count) {
    double usual = difference(rounded, exact, count), off = difference(values, exact, count);
    double apart = difference(values, rounded, count);

    if (!(off <= BF16_FACTOR * usual + BF16_LEAST))
        fail_msg("%d parts, %d windows: %s is off by %g from f32, and one plan by %g", cost->parts, cost->windows, what,
                 off, usual);
    if (runs->same_maps && !(apart <= BF16_SAME_MAPS))
        fail_msg("%d parts, %d windows: %s is off by %g from one plan", cost->parts, cost->windows, what, apart);
}

static void compare_bf16_results(const bf16_runs *runs, const fixture_case *at, const imp_strips_cost *cost) {
    for (int tap = 0; tap < at->tap_count; tap++) {
        float loss[3];
        double values;

        if (at->taps[tap].use & IMP_TAP_STATISTICS) {
            imp_statistics got = imp_strips_statistics(runs->strips, tap, 0);
            imp_statistics rounded = imp_plan_statistics(runs->rounded.made.plan, tap, 0);
            imp_statistics exact = imp_plan_statistics(runs->exact.made.plan, tap, 0);
            size_t channels = (size_t)got.channels;

            compare_bf16(runs, cost, "a sum", got.sum, rounded.sum, exact.sum, channels);
            compare_bf16(runs, cost, "second moments", got.second, rounded.second, exact.second, channels * channels);
        }
        if (!(at->taps[tap].use & IMP_TAP_MAP)) continue;
        loss[0] = (float)imp_strips_map_loss(runs->strips, tap, 0, &values);
        loss[1] = (float)runs->rounded.losses[tap];
        loss[2] = (float)runs->exact.losses[tap];
        compare_bf16(runs, cost, "a map's loss", &loss[0], &loss[1], &loss[2], 1);
    }
}

static void compare_bf16_limits(const fixture_case *at, const char *instruction_set) {
    imp_context *context = fixture_context(2, instruction_set);
    bf16_runs runs = {.same_maps = instruction_set != NULL};
    fixture_case rounded = *at;
    imp_strips_cost cost;
    uint64_t memory = UINT64_MAX;
    float *gradient;
    int windows = 0;

    rounded.element = IMP_ELEMENT_BF16;
    run_whole(&runs.exact, context, at);
    run_whole(&runs.rounded, context, &rounded);
    const fixture *made = &runs.rounded.made;
    gradient = naive_allocate(made->pixel_count, sizeof *gradient);
    for (;; memory = cost.bytes - cost.bytes / 16) {
        assert_int_equal(imp_strips_measure(context, &made->network, &made->options, memory, &cost), IMP_OK);
        if (cost.bytes > memory) break; /* there is nothing smaller */
        windows = cost.windows;
        assert_int_equal(imp_strips_create(context, &made->network, &made->options, memory, &runs.strips), IMP_OK);
        imp_strips_keep_targets(runs.strips, runs.rounded.target_pixels);
        imp_strips_forward(runs.strips, made->pixels);
        compare_bf16_results(&runs, at, &cost);
        assert_int_equal(imp_strips_backward(runs.strips, runs.rounded.gradients, made->pixels, gradient), IMP_OK);
        compare_bf16(&runs, &cost, "the gradient", gradient, runs.rounded.gradient, runs.exact.gradient,
                     made->pixel_count);
        if (windows == 1) assert_memory_equal(gradient, runs.rounded.gradient, made->pixel_count * sizeof *gradient);
        imp_strips_free(runs.strips);
    }
    assert_true(windows > 10);
    free(gradient);
    free_whole(&runs.exact);
    free_whole(&runs.rounded);
    imp_context_free(context);
}

static void test_bf16(void **state) {
    static const char *const instruction_sets[] = {"c", NULL};
    naive_layer layers[64];
    fixture_case vgg19 = fixture_vgg19(layers);

    (void)state;
    vgg19.height = 171;
    vgg19.width = 38;
    for (size_t set = 0; set < 2; set++) {
        compare_bf16_limits(&vgg19, instruction_sets[set]);
        compare_bf16_limits(&cases[1], instruction_sets[set]);
        compare_bf16_limits(&cases[2], instruction_sets[set]);
        compare_bf16_limits(named("pooled at once, average"), instruction_sets[set]);
    }
}

/* ---- Cost -------------------------------------------------------------------------------------------------------- */

/* Less memory never costs fewer operations, and forward alone needs less. */
static void test_costs(void **state) {
    naive_layer layers[64];
    const fixture_case vgg19 = fixture_vgg19(layers);
    imp_context *context = fixture_context(1, NULL);
    imp_plan_options options = {.batch = 1,
                                .height = 1023,
                                .width = 517,
                                .taps = vgg19.taps,
                                .tap_count = vgg19.tap_count,
                                .average_scale = 1,
                                .backward = 1};
    imp_strips_cost whole, least, between = {0}, forward;
    imp_network network;

    (void)state;
    naive_network_make(context, &network, layers, vgg19.layer_count, 1);
    assert_int_equal(imp_strips_measure(context, &network, &options, 0, &whole), IMP_OK);
    assert_int_equal(imp_strips_measure(context, &network, &options, 1, &least), IMP_OK);
    assert_true(least.bytes < whole.bytes / 4);
    for (int i = 16; i > 0; i--) {
        imp_strips_cost cost;
        uint64_t memory = least.bytes + (whole.bytes - least.bytes) * (uint64_t)i / 16;

        assert_int_equal(imp_strips_measure(context, &network, &options, memory, &cost), IMP_OK);
        assert_true(cost.bytes <= memory && cost.operations >= between.operations);
        between = cost;
        /* Forward is a third of the work, or half where backward costs no more; doing it twice is up to 3/2 of all. */
        if (i == 8) assert_true(cost.operations < 1.5 * whole.operations);
    }
    options.backward = 0;
    assert_int_equal(imp_strips_measure(context, &network, &options, least.bytes, &forward), IMP_OK);
    assert_true(forward.bytes <= least.bytes && forward.operations < least.operations / 2);
    imp_network_release(&network);
    imp_context_free(context);
}

/* Strips are cut alike for any number of threads up to IMP_MANY_THREADS, though each thread has scratch of its own. */
static void compare_threads(const fixture_case *at, uint64_t memory) {
    float *first = NULL;

    for (int threads = 1; threads <= IMP_MANY_THREADS; threads = 2 * threads + (threads == 2)) {
        imp_context *context = fixture_context(threads, NULL);
        whole_run run;
        imp_strips_cost cost;
        imp_strips *strips;
        float *gradient;

        run_whole(&run, context, at);
        gradient = naive_allocate(run.made.pixel_count, sizeof *gradient);
        assert_int_equal(imp_strips_measure(context, &run.made.network, &run.made.options, memory, &cost), IMP_OK);
        assert_true(cost.windows > 3);
        assert_int_equal(imp_strips_create(context, &run.made.network, &run.made.options, memory, &strips), IMP_OK);
        imp_strips_keep_targets(strips, run.target_pixels);
        imp_strips_forward(strips, run.made.pixels);
        assert_int_equal(imp_strips_backward(strips, run.gradients, run.made.pixels, gradient), IMP_OK);
        if (first) assert_memory_equal(gradient, first, run.made.pixel_count * sizeof *gradient);
        imp_strips_free(strips);
        free_whole(&run);
        if (first)
            free(gradient);
        else
            first = gradient;
        imp_context_free(context);
    }
    free(first);
}

static void test_threads(void **state) {
    (void)state;
    compare_threads(&cases[1], 700000);
    compare_threads(named("pooled, odd"), 650000);
}

/* ---- Allocations ------------------------------------------------------------------------------------------------- */

static int run_strips(imp_context *context, void *user) {
    static const imp_tap taps[] = {{2, BOTH}, {7, IMP_TAP_STATISTICS}};
    static float pixels[3 * 40 * 16];
    imp_plan_options options = {
        .batch = 1, .height = 40, .width = 16, .taps = taps, .tap_count = 2, .average_scale = 1, .backward = 1};
    imp_network network = fixture_borrow_network(user, context);
    imp_strips *strips;
    imp_strips_cost cost;
    int status = imp_strips_measure(context, &network, &options, 1, &cost);

    if (status == IMP_OK) assert_true(cost.windows > 3);
    if (status == IMP_OK) status = imp_strips_create(context, &network, &options, 1, &strips);
    if (status == IMP_OK) {
        imp_strips_keep_targets(strips, pixels);
        imp_strips_free(strips);
    }
    fixture_return_network(&network);
    return status;
}

static void test_every_allocation_fails(void **state) {
    imp_context *context = fixture_context(1, NULL);
    imp_network network;

    (void)state;
    naive_network_make(context, &network, chain, sizeof chain / sizeof chain[0], 1);
    assert_int_equal(imp_test_every_allocation(run_strips, &network), 0);
    imp_network_release(&network);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits), cmocka_unit_test(test_vgg19),   cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_costs),  cmocka_unit_test(test_threads), cmocka_unit_test(test_every_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
