/* Every operation of networks against PyTorch's figures (tests/data/make_operations.py) and against finite differences:
 * values, gradients by pixels and by parameters, on each instruction set and type of maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradients/fixture.h"
#include "graph/packed.h"
#include "noise.h"

#define MAX_LAYERS 16
#define MAX_PARAMETERS 16

/* Sums of some 300 products in float, through at most 8 layers: see test_plan.c. bf16 keeps 8 bits of each value, an error of
   up to 2^-9 of it; where that flips a ReLU or a maximum, a gradient of so small a map changes by a tenth of its root mean
   square. As a mean over the samples that still shows wrong wiring; precision is what f32 is compared in. */
#define TOLERANCE_F32 5e-5
#define TOLERANCE_BF16 0.15
/* A root mean square in double that is zero but for rounding, as that of a gradient by a bias before a norm: errors are then
   compared with its terms, which are about 1. */
#define NOTHING 1e-9

typedef struct operation_case {
    json_t *json;
    const char *name;
    imp_context *context;
    imp_network network;
    imp_layer layers[MAX_LAYERS + 1];
    imp_parameter parameters[MAX_PARAMETERS];
    float *gradients[MAX_PARAMETERS];
    int batch, height, width, planes;
    imp_element element;
    size_t pixel_count;
    float *pixels, *styles;
    imp_plan *plan;
    imp_map_target *target;
    imp_tap_gradient *terms; /* [batch] */
    float *by_sum, *plane_gradient;
} operation_case;

static void require(int holds, const operation_case *at, const char *what) {
    if (!holds) fail_msg("%s: %s: %s", at->name, what, at->context ? imp_error(at->context) : "");
}

static float *make_noise(uint32_t seed, size_t count, float offset, float scale) {
    float *values = naive_allocate(count, sizeof *values);

    for (size_t i = 0; i < count; i++) values[i] = offset + scale * noise_at(seed, (uint32_t)i);
    return values;
}

/* ---- The network of a case --------------------------------------------------------------------------------------- */

static int number_of(const json_t *layer, const char *key, int otherwise) {
    const json_t *value = json_object_get(layer, key);

    return value ? (int)json_integer_value(value) : otherwise;
}

static int index_of(const char *name, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0) return i;
    fail_msg("unknown: %s", name);
    return -1;
}

static int kind_of(const json_t *layer) {
    static const char *const names[] = {
        "input",  "convolution", "relu",    "pool",    "max_pool", "activation", "instance_norm", "batch_norm", "add",
        "concat", "scale",       "average", "enlarge", "resize",   "shuffle",    "unshuffle",     NULL};

    return index_of(json_string_value(json_object_get(layer, "kind")), names);
}

static imp_padding padding_of(const json_t *layer) {
    static const char *const names[] = {"zero", "replicate", "reflect", NULL};
    const char *name = json_string_value(json_object_get(layer, "padding_mode"));

    return name ? (imp_padding)index_of(name, names) : IMP_PADDING_ZERO;
}

static imp_activation activation_of(const json_t *layer) {
    static const char *const names[] = {"leaky_relu", "relu6", "hard_sigmoid", "hard_swish", "sigmoid", "tanh", NULL};
    const char *name = json_string_value(json_object_get(layer, "activation"));

    return name ? (imp_activation)index_of(name, names) : IMP_ACTIVATION_LEAKY_RELU;
}

static int add_parameter(operation_case *at, uint32_t seed, const int64_t *shape, int dimensions, float offset,
                         float scale) {
    imp_parameter *parameter = &at->parameters[at->network.parameter_count];

    *parameter = (imp_parameter){.name = (char *)"parameter", .dtype = "F32", .dimensions = dimensions};
    memcpy(parameter->shape, shape, (size_t)dimensions * sizeof *shape);
    parameter->data = make_noise(seed, imp_parameter_count(parameter), offset, scale);
    at->gradients[at->network.parameter_count] = naive_allocate(imp_parameter_count(parameter), sizeof(float));
    return at->network.parameter_count++;
}

static void add_weights(operation_case *at, imp_layer *layer, const json_t *json, int number, int inputs) {
    uint32_t seed = 100 + 10 * (uint32_t)number;

    if (layer->kind == IMP_OPERATION_CONVOLUTION) {
        const int64_t shape[] = {layer->channels, inputs / imp_layer_groups(layer), layer->kernel, layer->kernel};
        double fan = (double)(shape[1] * shape[2] * shape[3]);

        layer->weight = add_parameter(at, seed, shape, 4, 0, (float)sqrt(3 / fan));
        layer->bias = add_parameter(at, seed + 1, shape, 1, 0, 0.1f);
    } else if (layer->kind == IMP_OPERATION_INSTANCE_NORM) {
        const int64_t shape[] = {number_of(json, "styles", 1), inputs};

        layer->weight = add_parameter(at, seed, shape, 2, 1, 0.5f);
        layer->bias = add_parameter(at, seed + 1, shape, 2, 0, 0.5f);
    } else if (layer->kind == IMP_OPERATION_BATCH_NORM) {
        const int64_t shape[] = {inputs};

        layer->weight = add_parameter(at, seed, shape, 1, 1, 0.5f);
        layer->bias = add_parameter(at, seed + 1, shape, 1, 0, 0.5f);
        layer->mean = add_parameter(at, seed + 2, shape, 1, 0, 0.5f);
        layer->variance = add_parameter(at, seed + 3, shape, 1, 1, 0.5f);
    }
}

static int channels_of(const operation_case *at, const imp_layer *layer, const json_t *json, int inputs) {
    int square = layer->factor * layer->factor;

    switch (layer->kind) {
    case IMP_OPERATION_CONVOLUTION:
        return number_of(json, "channels", 0);
    case IMP_OPERATION_CONCAT:
        return inputs + at->layers[layer->second].channels;
    case IMP_OPERATION_SHUFFLE:
        return inputs / square;
    case IMP_OPERATION_UNSHUFFLE:
        return inputs * square;
    default:
        return inputs;
    }
}

static void make_network(operation_case *at) {
    json_t *layers = json_object_get(at->json, "layers"), *json;
    int factor = number_of(at->json, "factor", 1);
    size_t index;

    at->network = (imp_network){.allocator = imp_context_allocator(at->context),
                                .preprocessing = imp_preprocessing_find("signed"),
                                .layers = at->layers,
                                .parameters = at->parameters,
                                .layer_count = 1 + (int)json_array_size(layers)};
    at->layers[0] = (imp_layer){.kind = IMP_OPERATION_INPUT,
                                .name = "input",
                                .input = -1,
                                .channels = 3 * factor * factor,
                                .factor = factor,
                                .weight = -1,
                                .bias = -1};
    json_array_foreach(layers, index, json) {
        imp_layer *layer = &at->layers[index + 1];

        *layer = (imp_layer){.kind = (imp_operation_kind)kind_of(json),
                             .input = number_of(json, "input", 0),
                             .second = number_of(json, "second", 0),
                             .kernel = number_of(json, "kernel", 1),
                             .stride = number_of(json, "stride", 1),
                             .padding = number_of(json, "padding", 0),
                             .dilation = number_of(json, "dilation", 0),
                             .groups = number_of(json, "groups", 0),
                             .factor = number_of(json, "factor", 1),
                             .padding_mode = padding_of(json),
                             .activation = activation_of(json),
                             .slope = 0.2f,
                             .weight = -1,
                             .bias = -1};
        snprintf(layer->name, sizeof layer->name, "layer%zu", index + 1);
        layer->channels = channels_of(at, layer, json, at->layers[layer->input].channels);
        add_weights(at, layer, json, (int)index + 1, at->layers[layer->input].channels);
    }
}

/* ---- Its plan and loss ------------------------------------------------------------------------------------------- */

/* Whether the parameter is a mean or variance that a batch norm keeps: it has no gradient. */
static int is_state(const operation_case *at, int parameter) {
    for (int i = 0; i < at->network.layer_count; i++) {
        const imp_layer *layer = &at->layers[i];

        if (layer->kind == IMP_OPERATION_BATCH_NORM && (layer->mean == parameter || layer->variance == parameter))
            return 1;
    }
    return 0;
}

static void make_plan(operation_case *at, int training) {
    imp_tap tap = {at->network.layer_count - 1, at->planes ? IMP_TAP_PLANES : IMP_TAP_STATISTICS | IMP_TAP_MAP};
    imp_plan_options options = {.batch = at->batch,
                                .height = at->height,
                                .width = at->width,
                                .taps = &tap,
                                .tap_count = 1,
                                .average_scale = 1,
                                .element = at->element,
                                .backward = 1,
                                .training = training};
    float *other = make_noise(2, at->pixel_count, 127.5f, 127.5f);

    require(imp_plan_create(at->context, &at->network, &options, &at->plan) == IMP_OK, at, "a plan");
    imp_plan_set_styles(at->plan, at->styles);
    for (int i = 0; i < at->network.parameter_count && training; i++)
        if (!is_state(at, i)) imp_plan_set_parameter_gradient(at->plan, i, at->gradients[i]);
    if (!at->planes) {
        imp_plan_forward(at->plan, other);
        require(imp_plan_copy_map(at->plan, 0, &at->target) == IMP_OK, at, "a target");
    }
    for (int i = 0; i < at->batch; i++)
        at->terms[i] =
            at->planes
                ? (imp_tap_gradient){.planes = at->plane_gradient + (size_t)i * at->pixel_count / (size_t)at->batch}
                : (imp_tap_gradient){.by_sum = at->by_sum, .map_weight = 0.7f, .target = at->target};
    imp_plan_forward(at->plan, at->pixels);
    free(other);
}

static void end_plan(operation_case *at) {
    imp_map_target_free(at->context, at->target);
    at->target = NULL;
    imp_plan_free(at->plan);
    at->plan = NULL;
}

static double planes_loss(const operation_case *at) {
    float *planes = naive_allocate(at->pixel_count, sizeof *planes);
    double loss = 0;

    imp_plan_read_planes(at->plan, 0, planes);
    for (size_t i = 0; i < at->pixel_count; i++) loss += (double)planes[i] * (double)at->plane_gradient[i];
    free(planes);
    return loss;
}

/* After a forward pass. */
static double loss_of(operation_case *at) {
    double loss = at->planes ? planes_loss(at) : 0, values;

    for (int i = 0; i < at->batch && !at->planes; i++) {
        imp_statistics statistics = imp_plan_statistics(at->plan, 0, i);

        loss += 0.35 * imp_plan_map_loss(at->plan, 0, i, at->target, &values);
        for (int c = 0; c < statistics.channels; c++) loss += (double)statistics.sum[c] * (double)at->by_sum[c];
    }
    return loss;
}

static operation_case *open_case(json_t *json, imp_context *context, imp_element element) {
    operation_case *at = naive_allocate(1, sizeof *at);

    at->json = json;
    at->name = json_string_value(json_object_get(json, "name"));
    at->context = context;
    at->batch = number_of(json, "batch", 1);
    at->height = number_of(json, "height", 1);
    at->width = number_of(json, "width", 1);
    at->planes = json_is_true(json_object_get(json, "planes"));
    at->element = element;
    make_network(at);
    at->pixel_count = 3 * (size_t)at->batch * (size_t)at->height * (size_t)at->width;
    at->pixels = make_noise(1, at->pixel_count, 127.5f, 127.5f);
    at->styles = make_noise(3, (size_t)(at->batch * number_of(json, "styles", 1)), 0.5f, 0.5f);
    at->plane_gradient = make_noise(4, at->pixel_count, 0, 1);
    at->by_sum = make_noise(5, (size_t)at->layers[at->network.layer_count - 1].channels, 0, 1);
    at->terms = naive_allocate((size_t)at->batch, sizeof *at->terms);
    return at;
}

static void close_case(operation_case *at) {
    end_plan(at);
    for (int i = 0; i < at->network.parameter_count; i++) {
        free(at->parameters[i].data);
        free(at->gradients[i]);
    }
    imp_packed_release(&at->network);
    free(at->pixels);
    free(at->styles);
    free(at->plane_gradient);
    free(at->by_sum);
    free(at->terms);
    free(at);
}

/* ---- Comparison -------------------------------------------------------------------------------------------------- */

static void compare(const operation_case *at, const char *what, const float *values, const json_t *expected) {
    const json_t *samples = json_object_get(expected, "samples");
    double rms = json_real_value(json_object_get(expected, "rms")), scale = rms > NOTHING ? rms : 1;
    double greatest = 0, squares = 0, all = 0;
    size_t count = (size_t)json_integer_value(json_object_get(expected, "count"));
    size_t step = (size_t)json_integer_value(json_object_get(expected, "step")), index;
    json_t *sample;

    json_array_foreach(samples, index, sample) {
        double error = fabs((double)values[index * step] - json_real_value(sample));

        squares += error * error;
        if (!(error <= greatest)) greatest = error; /* a NaN too */
    }
    for (size_t i = 0; i < count; i++) all += (double)values[i] * (double)values[i];
    if (at->element == IMP_ELEMENT_F32 && !(greatest <= TOLERANCE_F32 * scale))
        fail_msg("%s: %s: a value is off by %g of its root mean square", at->name, what, greatest / scale);
    if (!(sqrt(squares / (double)json_array_size(samples)) <= TOLERANCE_BF16 * scale))
        fail_msg("%s: %s: off by %g, PyTorch's root mean square is %g", at->name, what,
                 sqrt(squares / (double)json_array_size(samples)), rms);
    /* Values that are not among the samples: together they are as long. */
    if (!(fabs(sqrt(all / (double)count) - rms) <=
          (at->element == IMP_ELEMENT_F32 ? TOLERANCE_F32 : TOLERANCE_BF16) * scale))
        fail_msg("%s: %s: root mean square %g, PyTorch has %g", at->name, what, sqrt(all / (double)count), rms);
}

/* key: "value", or where batch norms train "training_value". */
static void compare_value(operation_case *at, const char *key) {
    int channels, height, width;
    float *values;
    size_t each;

    imp_plan_tap_shape(at->plan, 0, &channels, &height, &width);
    each = (size_t)channels * (size_t)height * (size_t)width;
    values = naive_allocate(each * (size_t)at->batch, sizeof *values);
    for (int i = 0; i < at->batch && !at->planes; i++) imp_plan_read_map(at->plan, 0, i, values + (size_t)i * each);
    if (at->planes) imp_plan_read_planes(at->plan, 0, values);
    compare(at, key, values, json_object_get(at->json, key));
    free(values);
}

static void compare_pixel_gradient(operation_case *at) {
    float *gradient = naive_allocate(at->pixel_count, sizeof *gradient);

    make_plan(at, 0);
    compare_value(at, "value");
    require(imp_plan_backward(at->plan, at->terms, gradient) == IMP_OK, at, "backward");
    compare(at, "gradient by the pixels", gradient, json_object_get(at->json, "pixel_gradient"));
    end_plan(at);
    free(gradient);
}

/* What a batch norm saw, in the place of gradients by the two parameters that keep it. */
static void compare_moments(const operation_case *at, const json_t *expected) {
    for (int i = 0; i < at->network.layer_count; i++) {
        const imp_layer *layer = &at->layers[i];

        if (layer->kind != IMP_OPERATION_BATCH_NORM) continue;
        assert_true(imp_plan_batch_moments(at->plan, i, at->gradients[layer->mean], at->gradients[layer->variance]));
        compare(at, "means", at->gradients[layer->mean], json_array_get(expected, (size_t)layer->mean));
        compare(at, "variances", at->gradients[layer->variance], json_array_get(expected, (size_t)layer->variance));
    }
}

static void compare_parameter_gradients(operation_case *at) {
    const json_t *expected = json_object_get(at->json, "parameter_gradients");

    make_plan(at, 1);
    compare_value(at, json_object_get(at->json, "training_value") ? "training_value" : "value");
    compare_moments(at, expected);
    require(imp_plan_backward(at->plan, at->terms, NULL) == IMP_OK, at, "backward");
    assert_int_equal(json_array_size(expected), at->network.parameter_count);
    for (int i = 0; i < at->network.parameter_count; i++) {
        char what[48];

        if (is_state(at, i)) continue;
        snprintf(what, sizeof what, "gradient by parameter %d", i);
        compare(at, what, at->gradients[i], json_array_get(expected, (size_t)i));
    }
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static json_t *cases;

static int load_cases(void **state) {
    const char *source = getenv("IMPASTO_SOURCE");
    char path[4096];
    json_error_t error;

    (void)state;
    snprintf(path, sizeof path, "%s/tests/data/operations.json", source ? source : ".");
    cases = json_load_file(path, 0, &error);
    if (!cases) fprintf(stderr, "%s: %s\n", path, error.text);
    return cases ? 0 : -1;
}

static int release_cases(void **state) {
    (void)state;
    json_decref(cases);
    return 0;
}

static void for_all(imp_context *context, imp_element element, void (*work)(operation_case *)) {
    json_t *json;
    size_t index;

    json_array_foreach(json_object_get(cases, "cases"), index, json) {
        operation_case *at = open_case(json, context, element);

        work(at);
        close_case(at);
    }
}

static void compare_both(operation_case *at) {
    compare_pixel_gradient(at);
    compare_parameter_gradients(at);
}

static void test_pytorch(void **state) {
    (void)state;
    for (int i = 0; imp_instruction_set_name(i); i++) {
        imp_context *context = fixture_context(2, imp_instruction_set_name(i));

        for_all(context, IMP_ELEMENT_F32, compare_both);
        for_all(context, IMP_ELEMENT_BF16, compare_both);
        imp_context_free(context);
    }
}

/* The loss with one tensor moved along a direction of noise, by which it has the slope that the gradient says. The loss is
   smooth but for corners of ReLUs and maxima, which so short a step seldom meets but does meet: 3e-2 of the gradient's
   length. Computed in float it is known to about 2e-7 of itself; LOSS_ROUNDING is five times that. */
#define LOSS_ROUNDING 1e-6
#define STEP 5e-4
#define SLOPE_TOLERANCE 3e-2

static void check_slope(operation_case *at, const char *what, float *values, const float *gradient, size_t count,
                        double unit) {
    float *kept = naive_allocate(count, sizeof *kept);
    double slope = 0, squares = 0, losses[2];

    memcpy(kept, values, count * sizeof *kept);
    for (size_t i = 0; i < count; i++) {
        slope += (double)gradient[i] * (double)noise_at(9, (uint32_t)i) * unit;
        squares += (double)gradient[i] * (double)gradient[i] * unit * unit;
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++)
            values[i] = kept[i] + (float)((side ? STEP : -STEP) * unit * (double)noise_at(9, (uint32_t)i));
        require(imp_network_refresh(at->context, &at->network) == IMP_OK, at, "refresh");
        imp_plan_forward(at->plan, at->pixels);
        losses[side] = loss_of(at);
    }
    memcpy(values, kept, count * sizeof *kept);
    require(imp_network_refresh(at->context, &at->network) == IMP_OK, at, "refresh");
    free(kept);
    if (!(fabs((losses[1] - losses[0]) / (2 * STEP) - slope) <=
          SLOPE_TOLERANCE * sqrt(squares) + LOSS_ROUNDING * fabs(losses[0]) / STEP))
        fail_msg("%s: %s: the loss has a slope of %g, the gradient says %g of %g", at->name, what,
                 (losses[1] - losses[0]) / (2 * STEP), slope, sqrt(squares));
}

static void check_slopes(operation_case *at) {
    float *gradient = naive_allocate(at->pixel_count, sizeof *gradient);

    make_plan(at, 0);
    require(imp_plan_backward(at->plan, at->terms, gradient) == IMP_OK, at, "backward");
    check_slope(at, "pixels", at->pixels, gradient, at->pixel_count, 127.5);
    end_plan(at);
    free(gradient);
    make_plan(at, 1);
    require(imp_plan_backward(at->plan, at->terms, NULL) == IMP_OK, at, "backward");
    for (int i = 0; i < at->network.parameter_count; i++) {
        char what[32];

        if (is_state(at, i)) continue;
        snprintf(what, sizeof what, "parameter %d", i);
        check_slope(at, what, at->parameters[i].data, at->gradients[i], imp_parameter_count(&at->parameters[i]), 1);
    }
}

static void test_finite_differences(void **state) {
    imp_context *context = fixture_context(2, NULL);

    (void)state;
    for_all(context, IMP_ELEMENT_F32, check_slopes);
    imp_context_free(context);
}

/* The bits of losses and gradients for one thread and for three. */
static void compare_threads(json_t *json, imp_element element) {
    operation_case *made[2];
    imp_context *contexts[2];
    double losses[2];

    for (int k = 0; k < 2; k++) {
        contexts[k] = fixture_context(k ? 3 : 1, NULL);
        made[k] = open_case(json, contexts[k], element);
        make_plan(made[k], 1);
        losses[k] = loss_of(made[k]);
        require(imp_plan_backward(made[k]->plan, made[k]->terms, NULL) == IMP_OK, made[k], "backward");
    }
    require(losses[0] == losses[1], made[0], "the same loss");
    for (int p = 0; p < made[0]->network.parameter_count; p++)
        assert_memory_equal(made[0]->gradients[p], made[1]->gradients[p],
                            imp_parameter_count(&made[0]->parameters[p]) * sizeof(float));
    for (int k = 0; k < 2; k++) {
        close_case(made[k]);
        imp_context_free(contexts[k]);
    }
}

static void test_threads(void **state) {
    json_t *json;
    size_t index;

    (void)state;
    json_array_foreach(json_object_get(cases, "cases"), index, json) {
        compare_threads(json, IMP_ELEMENT_F32);
        compare_threads(json, IMP_ELEMENT_BF16);
    }
}

/* Parameters whose gradient nobody wants do not change those of others. */
static void check_frozen(operation_case *at) {
    int count = at->network.parameter_count;
    float *kept[MAX_PARAMETERS];

    make_plan(at, 1);
    require(imp_plan_backward(at->plan, at->terms, NULL) == IMP_OK, at, "backward");
    for (int i = 0; i < count; i++) {
        size_t floats = imp_parameter_count(&at->parameters[i]);

        kept[i] = naive_allocate(floats, sizeof(float));
        memcpy(kept[i], at->gradients[i], floats * sizeof(float));
        memset(at->gradients[i], 0, floats * sizeof(float));
        if (i % 2 == 0) imp_plan_set_parameter_gradient(at->plan, i, NULL);
    }
    imp_plan_forward(at->plan, at->pixels);
    require(imp_plan_backward(at->plan, at->terms, NULL) == IMP_OK, at, "backward");
    for (int i = 0; i < count; i++) {
        size_t floats = imp_parameter_count(&at->parameters[i]);

        if (i % 2 == 0) memset(kept[i], 0, floats * sizeof(float));
        assert_memory_equal(kept[i], at->gradients[i], floats * sizeof(float));
        free(kept[i]);
    }
}

static void test_frozen(void **state) {
    imp_context *context = fixture_context(2, NULL);

    (void)state;
    for_all(context, IMP_ELEMENT_F32, check_frozen);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pytorch),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_frozen),
    };

    return cmocka_run_group_tests(tests, load_cases, release_cases);
}
