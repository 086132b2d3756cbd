/* Networks and plans: names, memory, threads, errors. That their numbers are right is tested in
   gradients/test_plan.c. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "failing_allocator.h"
#include "gradients/fixture.h"
#include "graph/backend_cpu.h"
#include "unit.h"

#define BOTH (IMP_TAP_STATISTICS | IMP_TAP_MAP)

static const naive_layer layers[] = {
    {IMP_OPERATION_CONVOLUTION, 0, 24, 3, 1, "conv1_1"},
    {.kind = IMP_OPERATION_RELU, .input = 1, .name = "relu1_1"},
    {.kind = IMP_OPERATION_POOL, .input = 2, .name = "pool1"},
    {IMP_OPERATION_CONVOLUTION, 3, 33, 3, 1, "conv2_1"},
    {.kind = IMP_OPERATION_RELU, .input = 4, .name = "relu2_1"},
    {IMP_OPERATION_CONVOLUTION, 5, 16, 3, 1, "conv2_2"},
};
static const imp_tap taps[] = {{2, IMP_TAP_STATISTICS}, {5, BOTH}, {6, IMP_TAP_STATISTICS}};

static const fixture_case small = {
    "small", layers, COUNT(layers), taps, COUNT(taps),           2,
    19,      14,     IMP_POOL_MAX,  0,    IMP_PADDING_REPLICATE, IMP_ELEMENT_F32,
};
/* Rows enough that convolutions are cut by rows when threads are few, and statistics into several chunks. */
static const fixture_case tall = {
    "tall", layers, COUNT(layers),    taps, COUNT(taps),      1,
    420,    27,     IMP_POOL_AVERAGE, 0,    IMP_PADDING_ZERO, IMP_ELEMENT_F32,
};

static void test_names(void **state) {
    imp_context *context = fixture_context(1, NULL);
    imp_network network;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    assert_int_equal(imp_network_find_tap(&network, "conv1_1"), 2);
    assert_int_equal(imp_network_find_tap(&network, "relu1_1"), 2);
    assert_int_equal(imp_network_find_tap(&network, "pool1"), 3);
    assert_int_equal(imp_network_find_tap(&network, "conv2_1"), 5);
    assert_int_equal(imp_network_find_tap(&network, "conv2_2"), 6); /* no ReLU follows */
    assert_int_equal(imp_network_find_tap(&network, "conv3_1"), -1);
    assert_int_equal(imp_network_find_tap(&network, ""), -1);
    imp_network_release(&network);
    imp_context_free(context);
    assert_string_equal(imp_preprocessing_find("caffe")->name, "caffe");
    assert_true(imp_preprocessing_find("caffe")->order[0] == 2); /* blue first */
    assert_true(imp_preprocessing_find("torchvision")->order[0] == 0);
    assert_null(imp_preprocessing_find("imagenet"));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* All that a plan computes, one after the other, for comparison bit by bit. */
static float *results(fixture *made, size_t *count) {
    size_t size = made->pixel_count, at = 0;
    float *all;

    for (int i = 0; i < made->options.tap_count; i++) {
        const naive_map *map = &made->naive.maps[made->options.taps[i].layer];

        size += (size_t)made->options.batch * (map->floats + (size_t)map->channels * ((size_t)map->channels + 1));
    }
    all = naive_allocate(size, sizeof *all);
    for (int i = 0; i < made->options.tap_count * made->options.batch; i++) {
        int tap = i / made->options.batch, picture = i % made->options.batch;
        const naive_map *map = &made->naive.maps[made->options.taps[tap].layer];
        imp_statistics statistics = imp_plan_statistics(made->plan, tap, picture);
        size_t channels = (size_t)map->channels;

        memcpy(all + at, statistics.sum, channels * sizeof *all);
        memcpy(all + at + channels, statistics.second, channels * channels * sizeof *all);
        at += channels * (channels + 1);
        if (!(made->options.taps[tap].use & IMP_TAP_MAP)) continue;
        imp_plan_read_map(made->plan, tap, picture, all + at);
        at += map->floats;
    }
    fixture_backward(made, all + at);
    *count = at + made->pixel_count;
    return all;
}

static float *results_with_threads(const fixture_case *what, int threads, size_t *count) {
    imp_context *context = fixture_context(threads, NULL);
    fixture made;
    float *all;

    fixture_make(&made, context, what, 1);
    all = results(&made, count);
    fixture_free(&made);
    imp_context_free(context);
    return all;
}

static void test_same_bits_for_any_threads(void **state) {
    static const int threads[] = {2, 3, 5};
    static const imp_tap last[] = {{6, BOTH}}; /* the pool is the end of conv1_1 */
    fixture_case cases[] = {small, tall, small, tall, tall, tall};

    (void)state;
    cases[4].taps = cases[5].taps = last, cases[4].tap_count = cases[5].tap_count = 1;
    cases[2].element = cases[3].element = cases[5].element = IMP_ELEMENT_BF16;
    for (int i = 0; i < COUNT(cases); i++) {
        size_t count, other_count;
        float *one = results_with_threads(&cases[i], 1, &count);

        for (int j = 0; j < COUNT(threads); j++) {
            float *many = results_with_threads(&cases[i], threads[j], &other_count);

            assert_int_equal(count, other_count);
            assert_memory_equal(one, many, count * sizeof *one);
            free(many);
        }
        free(one);
    }
}

/* What was in the arena before must not matter: halos are the likely place. */
static void test_same_bits_again(void **state) {
    imp_context *context = fixture_context(2, NULL);
    fixture made;
    size_t count;
    float *first, *second, *bright;

    (void)state;
    fixture_make(&made, context, &small, 1);
    first = results(&made, &count);
    bright = naive_allocate(made.pixel_count, sizeof *bright);
    for (size_t i = 0; i < made.pixel_count; i++) bright[i] = INFINITY;
    imp_plan_forward(made.plan, bright);
    fixture_backward(&made, bright);
    imp_plan_forward(made.plan, made.pixels);
    second = results(&made, &count);
    assert_memory_equal(first, second, count * sizeof *first);
    free(first);
    free(second);
    free(bright);
    fixture_free(&made);
    imp_context_free(context);
}

/* One pixel that is no number: who watches the statistics sees it, in its picture and in no other. */
static void test_nan_shows(void **state) {
    imp_context *context = fixture_context(2, NULL);
    fixture made;

    (void)state;
    fixture_make(&made, context, &small, 1);
    made.pixels[5] = NAN;
    imp_plan_forward(made.plan, made.pixels);
    for (int tap = 0; tap < COUNT(taps); tap++) {
        assert_true(isnan(imp_plan_statistics(made.plan, tap, 0).sum[0]));
        assert_true(isnan(imp_plan_statistics(made.plan, tap, 0).second[0]));
        assert_false(isnan(imp_plan_statistics(made.plan, tap, 1).sum[0]));
    }
    fixture_free(&made);
    imp_context_free(context);
}

/* A tapped map stays to the end of a forward pass that keeps nothing else, and over a backward pass. */
static void test_kept_maps(void **state) {
    imp_context *context = fixture_context(2, NULL);
    imp_plan_options options;
    imp_plan *forward_only;
    fixture made;
    double before, values;
    float *gradient;

    (void)state;
    fixture_make(&made, context, &small, 1);
    gradient = naive_allocate(made.pixel_count, sizeof *gradient);
    before = imp_plan_map_loss(made.plan, 1, 0, made.targets[1], &values);
    fixture_backward(&made, gradient);
    assert_true(imp_plan_map_loss(made.plan, 1, 0, made.targets[1], &values) == before);

    options = made.options;
    options.backward = 0;
    assert_int_equal(imp_plan_create(context, &made.network, &options, &forward_only), IMP_OK);
    imp_plan_forward(forward_only, made.pixels);
    assert_true(imp_plan_map_loss(forward_only, 1, 0, made.targets[1], &values) == before);
    assert_memory_equal(imp_plan_statistics(forward_only, 0, 1).second, imp_plan_statistics(made.plan, 0, 1).second,
                        24 * 24 * sizeof(float));
    imp_plan_free(forward_only);
    free(gradient);
    fixture_free(&made);
    imp_context_free(context);
}

typedef struct shared_work {
    const imp_network *network;
    const fixture *made;
    imp_statistics statistics;
    imp_context *context;
    imp_plan *plan;
    int status;
} shared_work;

static void *make_and_run(void *user) {
    shared_work *work = user;

    work->context = fixture_context(1, NULL);
    work->status = imp_plan_create(work->context, work->network, &work->made->options, &work->plan);
    if (work->status == IMP_OK) imp_plan_forward(work->plan, work->made->pixels);
    return NULL;
}

/* Two threads with contexts of their own compile the same network, whose weights nobody has packed yet. */
static void test_shared_network(void **state) {
    imp_context *context = fixture_context(1, NULL);
    shared_work works[2];
    pthread_t threads[2];
    imp_network network;
    fixture made;

    (void)state;
    fixture_make(&made, context, &small, 1);
    naive_network_make(context, &network, layers, COUNT(layers), 2);
    for (int i = 0; i < 2; i++) {
        works[i] = (shared_work){.network = &network, .made = &made};
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_run, &works[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(works[i].status, IMP_OK);
        works[i].statistics = imp_plan_statistics(works[i].plan, 2, 1);
    }
    assert_memory_equal(works[0].statistics.second, works[1].statistics.second, 16 * 16 * sizeof(float));
    for (int i = 0; i < 2; i++) {
        imp_plan_free(works[i].plan);
        imp_context_free(works[i].context);
    }
    imp_network_release(&network);
    fixture_free(&made);
    imp_context_free(context);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static size_t live_bytes;

static void *allocate_counted(void *user, size_t bytes) {
    size_t rounded = (bytes + 2 * IMP_ALIGNMENT - 1) / IMP_ALIGNMENT * IMP_ALIGNMENT;
    size_t *memory = aligned_alloc(IMP_ALIGNMENT, rounded);

    (void)user;
    if (!memory) return NULL;
    *memory = bytes;
    live_bytes += bytes;
    return (char *)memory + IMP_ALIGNMENT;
}

static void release_counted(void *user, void *memory) {
    size_t *start;

    (void)user;
    if (!memory) return;
    start = (size_t *)(void *)((char *)memory - IMP_ALIGNMENT);
    live_bytes -= *start;
    free(start);
}

static imp_context *counting_context(void) {
    imp_context_options options;
    imp_context *context;

    imp_context_options_default(&options);
    options.threads = 1;
    options.allocate = allocate_counted;
    options.release = release_counted;
    assert_int_equal(imp_context_create(&options, &context), IMP_OK);
    return context;
}

static double measured(imp_context *context, const imp_network *network, const imp_plan_options *options) {
    uint64_t bytes;
    double operations;

    assert_int_equal(imp_plan_measure(context, network, options, &bytes, &operations), IMP_OK);
    assert_true(operations > 0);
    return (double)bytes;
}

/* VGG19 with a quarter of its channels, taps of the classic method. */
static const imp_tap classic_taps[] = {{2, IMP_TAP_STATISTICS},  {7, IMP_TAP_STATISTICS}, {12, IMP_TAP_STATISTICS},
                                       {21, IMP_TAP_STATISTICS}, {23, IMP_TAP_MAP},       {30, IMP_TAP_STATISTICS}};

static void test_measure(void **state) {
    imp_context *context = counting_context();
    imp_plan_options options = {.batch = 1,
                                .height = 97,
                                .width = 130,
                                .taps = classic_taps,
                                .tap_count = COUNT(classic_taps),
                                .average_scale = 1};
    naive_layer vgg19[64];
    imp_network network;

    (void)state;
    naive_network_make(context, &network, vgg19, naive_vgg19(vgg19, 4), 1);
    for (options.backward = 0; options.backward <= 1; options.backward++) {
        double expected = measured(context, &network, &options), before = (double)live_bytes, taken;
        imp_plan *plan, *second;

        assert_int_equal(imp_plan_create(context, &network, &options, &plan), IMP_OK);
        taken = (double)live_bytes - before;
        if (fabs(taken - expected) > 0.01 * taken) fail_msg("measured %.0f bytes, taken %.0f", expected, taken);

        /* The second plan finds packed what the layers packed that do not go by Winograd. */
        expected = measured(context, &network, &options), before = (double)live_bytes;
        assert_int_equal(imp_plan_create(context, &network, &options, &second), IMP_OK);
        assert_true((double)live_bytes - before < taken);
        taken = (double)live_bytes - before;
        if (fabs(taken - expected) > 0.01 * taken) fail_msg("measured %.0f bytes, then taken %.0f", expected, taken);
        imp_plan_free(plan);
        imp_plan_free(second);
    }
    imp_network_release(&network);
    imp_context_free(context);
    assert_int_equal(live_bytes, 0);
}

/* Plans are compiled for the highest window, and run in lower ones: those must not need more. */
static void test_scratch_grows_with_rows(void **state) {
    static const int channels[] = {16, 64, 512, 920}, widths[] = {17, 32, 64};
    const int most_rows = 60;
    imp_context *context = counting_context();

    (void)state;
    for (int i = 0; i < COUNT(channels) * COUNT(widths) * 6; i++) {
        imp_element element = i % 2 ? IMP_ELEMENT_BF16 : IMP_ELEMENT_F32;
        int width = widths[i / 6 % COUNT(widths)], batch = (int[]){1, 2, 9}[i / 2 % 3], out = i % 2 ? 48 : 512;
        size_t before = 0;

        for (int threads = 1; threads <= 32; threads *= 2, before = 0)
            for (int height = 1; height < most_rows; height++) {
                imp_map_convolution job = {.kernel = 3, .stride = 1, .pad = 1, .rows = most_rows};
                const imp_winograd *steps;
                size_t floats;

                imp_map_layout(&job.in, element, batch, channels[i / 6 / COUNT(widths)], height, width, 1);
                imp_map_layout(&job.out, element, batch, out, height, width, 1);
                steps = imp_cpu_find_winograd(context, &job);
                if (!steps) continue;
                floats = imp_cpu_winograd_scratch(&job, steps, threads);
                if (floats < before) fail_msg("%d rows of %d pixels need %zu floats", height, width, floats);
                before = floats;
            }
    }
    imp_context_free(context);
}

/* Backward needs the maps that masks and taps read, and pools' choices: of VGG19 with a quarter of its channels 44.4 floats
   a pixel. The first gradients take 2 more, the others must fit into what is dead by then; halos, statistics and their
   scratch may add 5 %. What Winograd convolution transforms comes on top, whatever the size of the picture: here at most
   128 x 128 weights for 8 x 8 points, 4.2 MB, and 1 MB of a thread's input. Forward alone needs two maps of a block: the
   pixels and conv1_1. */
static void test_arena_is_tight(void **state) {
    imp_context *context = counting_context();
    imp_plan_options options = {.batch = 1,
                                .height = 512,
                                .width = 512,
                                .taps = classic_taps,
                                .tap_count = COUNT(classic_taps),
                                .average_scale = 1,
                                .backward = 1};
    const double maps = 46.4 * sizeof(float) * 512 * 512, transformed = 6.5e6;
    naive_layer vgg19[64];
    imp_network network;
    imp_plan *plan;
    double with_backward, forward_only;

    (void)state;
    naive_network_make(context, &network, vgg19, naive_vgg19(vgg19, 4), 1);
    assert_int_equal(imp_plan_create(context, &network, &options, &plan), IMP_OK); /* the weights are packed now */
    imp_plan_free(plan);
    with_backward = measured(context, &network, &options);
    options.backward = 0;
    forward_only = measured(context, &network, &options);
    if (with_backward > 1.05 * maps + transformed)
        fail_msg("%.3g MB for maps of %.3g MB", with_backward / 1e6, maps / 1e6);
    if (forward_only > 1.1 * 2 * 16 * sizeof(float) * 512 * 512) fail_msg("%.3g MB forward only", forward_only / 1e6);
    imp_network_release(&network);
    imp_context_free(context);
}

static int run_all(imp_context *context, void *user) {
    imp_plan_options options = {
        .batch = 1, .height = 9, .width = 8, .taps = taps, .tap_count = COUNT(taps), .average_scale = 1, .backward = 1};
    float pixels[3 * 9 * 8] = {0}, gradient[3 * 9 * 8];
    imp_tap_gradient gradients[COUNT(taps)] = {{0}};
    imp_map_target *target = NULL;
    imp_network network = fixture_borrow_network(user, context);
    imp_plan *plan;
    uint64_t bytes;
    double operations;
    int status = imp_plan_measure(context, &network, &options, &bytes, &operations);

    if (status == IMP_OK) status = imp_plan_create(context, &network, &options, &plan);
    if (status == IMP_OK) {
        imp_plan_forward(plan, pixels);
        status = imp_plan_copy_map(plan, 1, &target);
        gradients[1] = (imp_tap_gradient){.map_weight = 1, .target = target};
        if (status == IMP_OK) status = imp_plan_backward(plan, gradients, gradient);
        imp_map_target_free(context, target);
        imp_plan_free(plan);
    }
    fixture_return_network(&network);
    return status;
}

static void test_every_allocation_fails(void **state) {
    imp_context *context = fixture_context(1, NULL);
    imp_network network;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    assert_int_equal(imp_test_every_allocation(run_all, &network), 0);
    imp_network_release(&network);
    imp_context_free(context);
}

/* ---- Profile ----------------------------------------------------------------------------------------------------- */

static void test_profile(void **state) {
    static const struct {
        const char *name, *kernel;
        int backward;
    } expected[] = {
        {"input", "pixels", 0},         {"conv1_1", "convolution 3x3 ", 0},    {"conv1_1", "statistics ", 0},
        {"pool1", "max pool ", 0},      {"conv2_1", "convolution 3x3 ", 0},    {"conv2_1", "statistics ", 0},
        {"conv2_2", "convolution ", 0}, {"conv2_2", "statistics ", 0},         {"conv2_2", "gradient of losses ", 1},
        {"conv2_2", "convolution ", 1}, {"conv2_1", "gradient of losses ", 1}, {"conv2_1", "convolution 3x3 ", 1},
        {"pool1", "max pool ", 1},      {"conv1_1", "gradient of losses ", 1}, {"conv1_1", "convolution 3x3 ", 1},
        {"input", "pixels", 1},
    };
    imp_context *context = fixture_context(1, NULL);
    imp_node_profile profile;
    fixture made;
    float *gradient;

    (void)state;
    fixture_make(&made, context, &small, 1); /* runs forward twice */
    gradient = naive_allocate(made.pixel_count, sizeof *gradient);
    fixture_backward(&made, gradient);
    for (int i = 0; i < COUNT(expected); i++) {
        assert_int_equal(imp_plan_profile(made.plan, i, &profile), 1);
        assert_string_equal(profile.name, expected[i].name);
        assert_memory_equal(profile.kernel, expected[i].kernel, strlen(expected[i].kernel));
        assert_int_equal(profile.backward, expected[i].backward);
        assert_int_equal(profile.calls, profile.backward ? 1 : 2);
        assert_true(profile.seconds >= 0);
        if (i == 1) assert_true(profile.operations == 2.0 * 2 * (2 * 9 * 3 * 24 * 19 * 14)); /* calls, pictures */
    }
    assert_int_equal(imp_plan_profile(made.plan, COUNT(expected), &profile), 0);
    free(gradient);
    fixture_free(&made);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_same_bits_for_any_threads),
        cmocka_unit_test(test_same_bits_again), cmocka_unit_test(test_nan_shows),
        cmocka_unit_test(test_kept_maps),       cmocka_unit_test(test_shared_network),
        cmocka_unit_test(test_measure),         cmocka_unit_test(test_scratch_grows_with_rows),
        cmocka_unit_test(test_arena_is_tight),  cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_profile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
