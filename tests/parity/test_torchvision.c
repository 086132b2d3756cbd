/* VGG16 and the ResNets against PyTorch's figures (tests/data/make_torchvision.py), on weights that both make by one formula:
 * imported from a file with torchvision's keys, batch norm folded, taps' maps and the gradient of each by pixel. Run in the folder
 * tests/data. Random weights show the mechanics; they say nothing of how pictures look. */
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
#include <unistd.h>

#include "formats/safetensors.h"
#include "graph/plan.h"
#include "models/model.h"
#include "noise.h"

/* Of the root mean square. Sums of up to 4608 products in float through 53 layers: 3e-6 is measured, and an order of
   magnitude is left for other orders of sums. A gradient agrees as well until rounding flips a ReLU, of which the last
   maps have few: that moves it by 6e-4 in one tap. */
#define MAP_TOLERANCE 3e-5
#define GRADIENT_TOLERANCE 5e-3

#define MOST_TENSORS 512                 /* of a file */
#define KEY_LENGTH (2 * IMP_NAME_LENGTH) /* of a layer's name and a suffix */

static imp_context *context;
static json_t *reference;
static char path[] = "/tmp/impasto-parity-XXXXXX";

static int set_up(void **state) {
    json_error_t error;
    int file = mkstemp(path);
    (void)state;
    if (file < 0) return -1;
    close(file);
    reference = json_load_file("torchvision.json", 0, &error);
    if (!reference) fail_msg("torchvision.json: %s", error.text);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(reference);
    return unlink(path);
}

static void require(int status) {
    if (status) fail_msg("%s", imp_error(context));
}

/* ---- A file with torchvision's keys ------------------------------------------------------------------------------ */

/* FNV-1a. */
static uint32_t seed_of(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
    return h;
}

static float *make_noise(const char *name, size_t count, float offset, float scale) {
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) values[i] = offset + scale * noise_at(seed_of(name), (uint32_t)i);
    return values;
}

typedef struct weights_file {
    imp_tensor_source tensors[MOST_TENSORS];
    char names[MOST_TENSORS][KEY_LENGTH];
    float *values[MOST_TENSORS];
    int count;
} weights_file;

static void add_tensor(weights_file *file, const char *layer, const char *suffix, int dimensions, const int64_t *shape,
                       float offset, float scale) {
    size_t count = 1;
    int at = file->count++;
    assert_true(at < MOST_TENSORS);
    for (int i = 0; i < dimensions; i++) count *= (size_t)shape[i];
    snprintf(file->names[at], KEY_LENGTH, "%s%s", layer, suffix);
    file->values[at] = make_noise(file->names[at], count, offset, scale);
    file->tensors[at] = (imp_tensor_source){file->names[at], dimensions, shape, file->values[at]};
}

/* "layer1.0.bn2" of "layer1.0.conv2", "layer2.0.downsample.1" of "layer2.0.downsample.0". */
static void name_norm(const char *layer, char norm[IMP_NAME_LENGTH]) {
    const char *convolution = strstr(layer, "conv");
    if (convolution)
        snprintf(norm, IMP_NAME_LENGTH, "%.*sbn%s", (int)(convolution - layer), layer, convolution + strlen("conv"));
    else
        snprintf(norm, IMP_NAME_LENGTH, "%.*s1", (int)strlen(layer) - 1, layer);
}

static void add_weight(weights_file *file, const char *name, const int64_t *shape) {
    add_tensor(file, name, ".weight", 4, shape, 0, (float)sqrt(6 / (double)(shape[1] * shape[2] * shape[3])));
}

/* A convolution of a VGG, whose layers torchvision counts, ReLUs and pools among them. */
static void add_counted(weights_file *file, int number, const int64_t *shape) {
    char name[IMP_NAME_LENGTH];
    snprintf(name, sizeof name, "features.%d", number);
    add_weight(file, name, shape);
    add_tensor(file, name, ".bias", 1, shape, 0, 0.1f);
}

/* One of a ResNet, with its norm. */
static void add_normed(weights_file *file, const char *name, const int64_t *shape) {
    char norm[IMP_NAME_LENGTH];
    name_norm(name, norm);
    add_weight(file, name, shape);
    add_tensor(file, norm, ".weight", 1, shape, 0.75f, 0.25f);
    add_tensor(file, norm, ".bias", 1, shape, 0, 0.1f);
    add_tensor(file, norm, ".running_mean", 1, shape, 0, 0.1f);
    add_tensor(file, norm, ".running_var", 1, shape, 1, 0.5f);
}

static void write_weights(const imp_network *network) {
    weights_file *file = calloc(1, sizeof *file);
    assert_non_null(file);
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];
        if (layer->kind != IMP_OPERATION_CONVOLUTION) continue;
        const int64_t *shape = network->parameters[layer->weight].shape;
        if (strncmp(network->architecture, "vgg", 3) == 0)
            add_counted(file, i - 1, shape); /* our first layer is the input */
        else
            add_normed(file, layer->name, shape);
    }
    require(imp_safetensors_write(context, path, file->tensors, file->count, IMP_F32, NULL, 0));
    for (int i = 0; i < file->count; i++) free(file->values[i]);
    free(file);
}

static imp_model *import(const char *name) {
    imp_model *bare, *model;
    imp_model_info info = {.size = sizeof info};
    require(imp_model_make(context, imp_architecture_find(imp_architectures, name), NULL, &bare));
    write_weights(&bare->network);
    imp_model_free(bare);
    require(imp_model_import(context, path, NULL, &model));
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_string_equal(info.architecture, name);
    return model;
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

static double number(json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The greatest difference of a sample, in units of the root mean square, which is compared too. */
static double error_of(json_t *expected, const float *values, size_t count) {
    double rms = number(expected, "rms"), square = 0, worst;
    size_t step = (size_t)number(expected, "step"), i;
    json_t *sample;
    assert_int_equal((size_t)number(expected, "count"), count);
    for (i = 0; i < count; i++) square += (double)values[i] * values[i];
    worst = fabs(sqrt(square / (double)count) - rms);
    json_array_foreach(json_object_get(expected, "samples"), i, sample) worst =
        fmax(worst, fabs(values[i * step] - json_number_value(sample)));
    return worst / rms;
}

/* A tap's map and the gradient of a weighted sum of it. */
static void compare_tap(const imp_network *network, const char *name, json_t *expected) {
    imp_tap tap = {imp_network_find_tap(network, name), IMP_TAP_STATISTICS | IMP_TAP_MAP};
    const imp_plan_options options = {.batch = 1,
                                      .height = (int)number(reference, "height"),
                                      .width = (int)number(reference, "width"),
                                      .taps = &tap,
                                      .tap_count = 1,
                                      .average_scale = 1,
                                      .element = IMP_ELEMENT_F32,
                                      .backward = 1};
    size_t pixel_count = 3 * (size_t)options.width * (size_t)options.height;
    float *pixels = make_noise("pixels", pixel_count, 127.5f, 127.5f), *gradient = malloc(pixel_count * sizeof(float));
    imp_plan *plan;
    int channels, height, width;
    require(imp_plan_create(context, network, &options, &plan));
    imp_plan_forward(plan, pixels);
    imp_plan_tap_shape(plan, 0, &channels, &height, &width);
    size_t count = (size_t)channels * (size_t)height * (size_t)width;
    float *map = malloc(count * sizeof *map), *by_sum = make_noise("gradient", (size_t)channels, 0, 1);
    const imp_tap_gradient term = {.by_sum = by_sum};
    imp_plan_read_map(plan, 0, 0, map);
    require(imp_plan_backward(plan, &term, gradient));
    double map_error = error_of(json_object_get(expected, "map"), map, count);
    double gradient_error = error_of(json_object_get(expected, "gradient"), gradient, pixel_count);
    print_message("%s %s: map %.1e, gradient %.1e\n", network->architecture, name, map_error, gradient_error);
    assert_true(map_error <= MAP_TOLERANCE && gradient_error <= GRADIENT_TOLERANCE);
    imp_plan_free(plan);
    free(pixels);
    free(gradient);
    free(map);
    free(by_sum);
}

static void compare(const char *name, const char *instruction_set) {
    json_t *taps = json_object_get(json_object_get(reference, "networks"), name), *expected;
    const imp_context_options how = {.size = sizeof how, .instruction_set = instruction_set};
    const char *tap;
    assert_int_equal(imp_context_create(&how, &context), IMP_OK);
    imp_model *model = import(name);
    assert_true(json_object_size(taps) >= 8);
    json_object_foreach(taps, tap, expected) compare_tap(&model->network, tap, expected);
    imp_model_free(model);
    imp_context_free(context);
}

/* In plain C: with random weights the values of a pool's window are often near each other, and Winograd's rounding, 1e-5 of
   the maps, then picks another maximum, which moves samples of the gradient by 4e-2. */
static void vgg16(void **state) {
    (void)state;
    compare("vgg16", "c");
}

static void resnet18(void **state) {
    (void)state;
    compare("resnet18", NULL);
}

static void resnet50(void **state) {
    (void)state;
    compare("resnet50", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vgg16), cmocka_unit_test(resnet18), cmocka_unit_test(resnet50)};
    return cmocka_run_group_tests_name("networks of torchvision and PyTorch", tests, set_up, tear_down);
}
