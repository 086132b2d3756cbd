/* What plans refuse: options, networks and orders of calls that are wrong, memory that cannot be had. */
#include <math.h>
#include <string.h>

#include "gradients/fixture.h"
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

static void expect_failure(imp_context *context, const imp_network *network, const imp_plan_options *options,
                           int status, const char *words) {
    imp_plan *plan;
    uint64_t bytes;
    double operations;

    assert_int_equal(imp_plan_create(context, network, options, &plan), status);
    assert_null(plan);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" does not say \"%s\"", imp_error(context), words);
    assert_int_equal(imp_plan_measure(context, network, options, &bytes, &operations), status);
}

static void test_bad_options(void **state) {
    static const imp_tap twice[] = {{2, BOTH}, {2, BOTH}}, none[] = {{7, BOTH}}, useless[] = {{2, 0}};
    static const imp_tap pictures[] = {{6, IMP_TAP_PLANES}};
    const imp_plan_options good = {
        .batch = 1, .height = 8, .width = 8, .taps = taps, .tap_count = COUNT(taps), .average_scale = 1};
    imp_context *context = fixture_context(1, NULL);
    imp_plan_options options;
    imp_network network;
    imp_plan *plan;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    assert_int_equal(imp_plan_create(context, &network, &good, &plan), IMP_OK);
    imp_plan_free(plan);
#define EXPECT(field, value, status, words)                                                                            \
    options = good, options.field = value, expect_failure(context, &network, &options, status, words)
    EXPECT(batch, 0, IMP_ERR_ARGUMENT, "batch of 0");
    EXPECT(batch, 1 << 30, IMP_ERR_ARGUMENT, "batch");
    EXPECT(width, 0, IMP_ERR_ARGUMENT, "0x8");
    EXPECT(height, -5, IMP_ERR_ARGUMENT, "8x-5");
    EXPECT(height, IMP_IMAGE_MAX_SIDE + 1, IMP_ERR_ARGUMENT, "65536");
    EXPECT(height, 1, IMP_ERR_ARGUMENT, "pool1");
    EXPECT(width, 1, IMP_ERR_ARGUMENT, "pool1");
    EXPECT(tap_count, 0, IMP_ERR_ARGUMENT, "no layer");
    EXPECT(average_scale, NAN, IMP_ERR_ARGUMENT, "nan");
    EXPECT(pooling, (imp_pool_kind)7, IMP_ERR_ARGUMENT, "pooling 7");
    EXPECT(first_padding, (imp_padding)7, IMP_ERR_ARGUMENT, "padding 7");
    options = good, options.taps = twice, options.tap_count = 2;
    expect_failure(context, &network, &options, IMP_ERR_ARGUMENT, "relu1_1 is tapped twice");
    options.taps = none, options.tap_count = 1;
    expect_failure(context, &network, &options, IMP_ERR_ARGUMENT, "no layer 7");
    EXPECT(training, 1, IMP_ERR_ARGUMENT, "training without a backward pass");
    options = good, options.taps = pictures, options.tap_count = 1;
    expect_failure(context, &network, &options, IMP_ERR_ARGUMENT, "conv2_2 makes no picture: of its 16 channels");
    options.taps = useless;
    expect_failure(context, &network, &options, IMP_ERR_ARGUMENT, "relu1_1");
#undef EXPECT
    imp_network_release(&network);
    imp_context_free(context);
}

/* A network that a mistake in a table, or weights of another network, would make. */
static void test_bad_network(void **state) {
    static const imp_tap pooled[] = {{3, BOTH}};
    imp_plan_options options = {
        .batch = 1, .height = 8, .width = 8, .taps = taps, .tap_count = COUNT(taps), .average_scale = 1};
    imp_context *context = fixture_context(1, NULL);
    imp_network network;
    imp_layer layer;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    layer = network.layers[4];
#define EXPECT(field, value)                                                                                           \
    network.layers[4].field = value, expect_failure(context, &network, &options, IMP_ERR_FORMAT, "conv2_1"),           \
    network.layers[4] = layer
    EXPECT(channels, 32);
    EXPECT(input, 4);
    EXPECT(input, -1);
    EXPECT(kernel, 5);
    EXPECT(kernel, 1 << 20);
    EXPECT(padding, 1 << 20);
    EXPECT(stride, 0);
    EXPECT(weight, 99);
    EXPECT(weight, 0);
    EXPECT(bias, 0);
    EXPECT(kind, (imp_operation_kind)99);
#undef EXPECT
    network.layers[5].channels = 7; /* a ReLU does not change them */
    network.layer_count = 6;
    options.tap_count = 2;
    expect_failure(context, &network, &options, IMP_ERR_FORMAT, "relu2_1");
    network.layers[3].channels = 7; /* nor does a pool, which would be the end of conv1_1 */
    network.layer_count = 4;
    options.taps = pooled, options.tap_count = 1;
    expect_failure(context, &network, &options, IMP_ERR_FORMAT, "pool1");
    imp_network_release(&network);
    imp_context_free(context);
}

/* In the place of the last layer, which reads 33 channels of 4x4 pixels; conv2_1 has parameters 2 and 3, of 33 channels. */
#define LAST 6
#define WRONG IMP_ERR_FORMAT, "wrong kernel, padding, factor or weights"

static const struct {
    imp_layer layer;
    int status;
    const char *words;
} bad_layers[] = {
    {{.kind = IMP_OPERATION_CONVOLUTION, .channels = 16, .kernel = 3, .weight = 4, .groups = 5}, WRONG},
    {{.kind = IMP_OPERATION_CONVOLUTION, .channels = 16, .kernel = 3, .weight = 4, .dilation = 1 << 20}, WRONG},
    {{.kind = IMP_OPERATION_INSTANCE_NORM, .channels = 33, .weight = 2, .bias = 3}, WRONG},
    {{.kind = IMP_OPERATION_INSTANCE_NORM, .channels = 33, .weight = 3, .bias = 3}, WRONG},
    {{.kind = IMP_OPERATION_INSTANCE_NORM, .channels = 33, .weight = -1, .bias = -1}, WRONG},
    {{.kind = IMP_OPERATION_BATCH_NORM, .channels = 33, .weight = 3, .bias = 3, .mean = 3, .variance = 1}, WRONG},
    {{.kind = IMP_OPERATION_BATCH_NORM, .channels = 33, .weight = 3, .bias = 3, .mean = 3, .variance = 99}, WRONG},
    {{.kind = IMP_OPERATION_MAX_POOL, .channels = 33, .kernel = 2, .stride = 2, .padding = 2}, WRONG},
    {{.kind = IMP_OPERATION_ENLARGE, .channels = 33, .factor = 0}, WRONG},
    {{.kind = IMP_OPERATION_RESIZE, .channels = 33, .factor = 1 << 20}, WRONG},
    {{.kind = IMP_OPERATION_SHUFFLE, .channels = 8, .factor = 2}, IMP_ERR_FORMAT, "33 channels are no multiple of 4"},
    {{.kind = IMP_OPERATION_UNSHUFFLE, .channels = 297, .factor = 3}, IMP_ERR_ARGUMENT, "4x4 must be multiples of 3"},
    {{.kind = IMP_OPERATION_ADD, .channels = 33, .second = 2}, IMP_ERR_FORMAT, "a sum of maps of 33x4x4 and 24x8x8"},
    {{.kind = IMP_OPERATION_ADD, .channels = 33, .second = LAST}, IMP_ERR_FORMAT, "wrong kind, input"},
    {{.kind = IMP_OPERATION_CONCAT, .channels = 57, .second = 2}, IMP_ERR_FORMAT, "maps of 4x4 and 8x8 side by side"},
    {{.kind = IMP_OPERATION_CONCAT, .channels = 66, .second = 5},
     IMP_ERR_UNSUPPORTED,
     "33 channels, no multiple of 16"},
    {{.kind = IMP_OPERATION_SCALE, .channels = 33, .second = 5}, IMP_ERR_FORMAT, "times a map of 33x4x4"},
};

static void test_bad_layers(void **state) {
    static const imp_tap last = {LAST, BOTH};
    const imp_plan_options options = {
        .batch = 1, .height = 8, .width = 8, .taps = &last, .tap_count = 1, .average_scale = 1};
    imp_context *context = fixture_context(1, NULL);
    imp_network network;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    for (int i = 0; i < COUNT(bad_layers); i++) {
        network.layers[LAST] = bad_layers[i].layer;
        network.layers[LAST].input = 5;
        if (network.layers[LAST].stride == 0) network.layers[LAST].stride = 1;
        expect_failure(context, &network, &options, bad_layers[i].status, bad_layers[i].words);
    }
    imp_network_release(&network);
    imp_context_free(context);
}

static void test_bad_paddings(void **state) {
    static const imp_tap both[] = {{5, BOTH}, {LAST, BOTH}}, first = {0, IMP_TAP_MAP};
    imp_plan_options options = {.batch = 1, .height = 8, .width = 8, .taps = both, .tap_count = 2, .average_scale = 1};
    imp_context *context = fixture_context(1, NULL);
    imp_network network;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    network.layers[LAST].padding_mode = IMP_PADDING_REFLECT;
    options.height = 3; /* of one row after the pool */
    expect_failure(context, &network, &options, IMP_ERR_ARGUMENT,
                   "1 pixels cannot be reflected at layer conv2_1's 4x1");
    options.height = 8;
    network.layers[LAST] = network.layers[4]; /* both read pool1 */
    network.layers[LAST].padding_mode = IMP_PADDING_REFLECT;
    expect_failure(context, &network, &options, IMP_ERR_UNSUPPORTED, "layers that read pool1 pad it in different ways");
    network.layers[0].factor = 3;
    network.layers[0].channels = 27;
    network.layer_count = 1;
    options.taps = &first;
    options.tap_count = 1;
    expect_failure(context, &network, &options, IMP_ERR_ARGUMENT, "8x8: both sides must be multiples of 3");
    imp_network_release(&network);
    imp_context_free(context);
}

static void test_memory_that_cannot_be_had(void **state) {
    imp_plan_options options = {.batch = 1024,
                                .height = IMP_IMAGE_MAX_SIDE,
                                .width = IMP_IMAGE_MAX_SIDE,
                                .taps = taps,
                                .tap_count = COUNT(taps),
                                .average_scale = 1,
                                .backward = 1};
    imp_context_options context_options;
    imp_context *context;
    imp_network network;
    imp_plan *plan;
    uint64_t bytes;
    double operations;

    (void)state;
    imp_context_options_default(&context_options);
    context_options.threads = 1;
    context_options.memory_limit = 100000000;
    assert_int_equal(imp_context_create(&context_options, &context), IMP_OK);
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    assert_int_equal(imp_plan_measure(context, &network, &options, &bytes, &operations), IMP_OK);
    assert_true(bytes > (uint64_t)1e15); /* what it would take can still be said */
    assert_int_equal(imp_plan_create(context, &network, &options, &plan), IMP_ERR_MEMORY);
    assert_null(plan);
    assert_non_null(strstr(imp_error(context), "out of memory"));
    imp_network_release(&network);
    imp_context_free(context);
}

static void test_wrong_order(void **state) {
    static const imp_tap other[] = {{2, IMP_TAP_MAP}, {3, IMP_TAP_MAP}, {5, IMP_TAP_STATISTICS}};
    imp_context *context = fixture_context(1, NULL);
    imp_plan_options options = {
        .batch = 1, .height = 8, .width = 8, .taps = other, .tap_count = 3, .average_scale = 1, .backward = 1};
    float pixels[3 * 64] = {0}, gradient[3 * 64], one = 1;
    imp_tap_gradient gradients[3] = {{0}};
    imp_map_target *target = NULL, *pooled;
    imp_network network;
    imp_plan *plan;
    double values;

    (void)state;
    naive_network_make(context, &network, layers, COUNT(layers), 1);
    assert_int_equal(imp_plan_create(context, &network, &options, &plan), IMP_OK);
    assert_int_equal(imp_plan_backward(plan, gradients, gradient), IMP_ERR_STATE);
    assert_int_equal(imp_plan_copy_map(plan, 0, &target), IMP_ERR_STATE);
    assert_null(target);
    imp_plan_forward(plan, pixels);
    assert_int_equal(imp_plan_copy_map(plan, 2, &target), IMP_ERR_STATE);
    assert_int_equal(imp_plan_copy_map(plan, 0, &target), IMP_OK);
    assert_int_equal(imp_plan_copy_map(plan, 1, &pooled), IMP_OK);
    assert_true(imp_plan_map_loss(plan, 0, 0, target, &values) == 0);
    assert_true(isnan(imp_plan_map_loss(plan, 0, 0, pooled, &values)));
    assert_non_null(strstr(imp_error(context), "relu1_1"));

    gradients[0] = (imp_tap_gradient){.target = pooled, .map_weight = 1};
    assert_int_equal(imp_plan_backward(plan, gradients, gradient), IMP_ERR_ARGUMENT);
    gradients[0] = (imp_tap_gradient){.by_sum = &one};
    assert_int_equal(imp_plan_backward(plan, gradients, gradient), IMP_ERR_STATE);
    gradients[0] = (imp_tap_gradient){.target = target, .map_weight = 1};
    assert_int_equal(imp_plan_backward(plan, gradients, gradient), IMP_OK);
    assert_int_equal(imp_plan_backward(plan, gradients, gradient), IMP_ERR_STATE); /* the maps are gone */
    imp_map_target_free(context, target);
    imp_map_target_free(context, pooled);
    imp_map_target_free(context, NULL);
    imp_plan_free(plan);
    options.training = 1;
    assert_int_equal(imp_plan_create(context, &network, &options, &plan), IMP_OK);
    imp_plan_forward(plan, pixels);
    assert_int_equal(imp_plan_backward(plan, gradients, gradient), IMP_ERR_STATE);
    gradients[0] = (imp_tap_gradient){.planes = &one};
    assert_int_equal(imp_plan_backward(plan, gradients, NULL), IMP_ERR_STATE);
    imp_plan_free(plan);
    imp_plan_free(NULL);
    imp_network_release(&network);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_bad_layers),
        cmocka_unit_test(test_bad_paddings),
        cmocka_unit_test(test_memory_that_cannot_be_had),
        cmocka_unit_test(test_wrong_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
