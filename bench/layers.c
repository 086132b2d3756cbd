/* The convolutions of layers.h one by one, forward and backward by the input, as a plan runs them.
 *
 * usage: layers f32|bf16 REPEATS THREADS
 * Prints one JSON line: the least milliseconds of the repeats. */
#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "graph/plan.h"
#include "models/builder.h"

#define MOST_THREADS 256

static imp_context *context;

static void require(int status) {
    if (!status) return;
    fprintf(stderr, "layers: %s\n", context ? imp_error(context) : imp_status_string(status));
    exit(1);
}

static float *allocate(size_t count) {
    float *made = imp_allocate(context, count * sizeof *made);
    if (!made) require(IMP_ERR_MEMORY);
    return made;
}

static void fill(float *values, size_t count, float largest) {
    imp_random random;
    imp_random_seed(&random, 1);
    for (size_t i = 0; i < count; i++) values[i] = largest * (float)(2 * imp_random_uniform(&random) - 1);
}

static int add_convolution(imp_builder *builder, int input, const bench_layer *layer) {
    int index = layer->groups == layer->in
                    ? imp_builder_depthwise(builder, input, "layer", 0, layer->kernel, layer->stride)
                    : imp_builder_convolution(builder, input, "layer", 0, layer->out, layer->kernel, layer->stride);
    if (layer->groups == 1 || layer->groups == layer->in) return index;
    imp_builder_last(builder)->groups = layer->groups;
    builder->network->parameters[imp_builder_last(builder)->weight].shape[1] /= layer->groups;
    return index;
}

/* The layer, and before it one that makes as many channels of the pixels. */
static void build(const bench_layer *layer, imp_network *network) {
    imp_builder builder;
    imp_builder_begin(&builder, context, "layer", 1, network);
    int input = layer->in == 3 ? 0 : imp_builder_convolution(&builder, 0, "before", 0, layer->in, 1, 1);
    add_convolution(&builder, input, layer);
    require(imp_builder_end(&builder));
    for (int i = 0; i < network->parameter_count; i++) {
        imp_parameter *parameter = &network->parameters[i];
        size_t count = imp_parameter_count(parameter), inputs = count / (size_t)parameter->shape[0];
        parameter->data = imp_allocator_take(&network->allocator, count * sizeof(float));
        if (!parameter->data) require(IMP_ERR_MEMORY);
        fill(parameter->data, count, sqrtf(3.0f / (float)inputs));
    }
    network->preprocessing = imp_preprocessing_find("signed");
}

/* Seconds so far of the node, forward or backward. */
static double seconds_of(const imp_plan *plan, int backward) {
    imp_node_profile profile = {.size = sizeof profile};
    for (int i = 0; imp_plan_profile(plan, i, &profile); i++)
        if (strcmp(profile.name, "layer") == 0 && profile.backward == backward &&
            strncmp(profile.kernel, "convolution", strlen("convolution")) == 0)
            return profile.seconds;
    return 0;
}

/* The least seconds of each way. */
static void run(imp_plan *plan, const float *pixels, float *gradient, int repeats, double least[2]) {
    imp_map_target *target;
    imp_plan_forward(plan, pixels);
    require(imp_plan_copy_map(plan, 0, &target));
    imp_tap_gradient by_map = {.map_weight = 1, .target = target};
    for (int i = -1; i < repeats; i++) { /* the first one is not counted */
        double before[2] = {seconds_of(plan, 0), seconds_of(plan, 1)};
        imp_plan_forward(plan, pixels);
        require(imp_plan_backward(plan, &by_map, gradient));
        for (int way = 0; way < 2; way++) {
            double seconds = seconds_of(plan, way) - before[way];
            if (i <= 0 || seconds < least[way]) least[way] = seconds;
        }
    }
    imp_map_target_free(context, target);
}

static void time_layer(const bench_layer *layer, imp_element element, int repeats, double least[2]) {
    size_t values = 3 * (size_t)layer->size * (size_t)layer->size;
    float *pixels = allocate(values), *gradient = allocate(values);
    imp_network network;
    imp_plan *plan;
    build(layer, &network);
    fill(pixels, values, 127);
    const imp_tap last = {imp_network_find_tap(&network, "layer"), IMP_TAP_MAP};
    const imp_plan_options options = {.batch = 1,
                                      .height = layer->size,
                                      .width = layer->size,
                                      .taps = &last,
                                      .tap_count = 1,
                                      .average_scale = 1,
                                      .element = element,
                                      .backward = 1};
    require(imp_plan_create(context, &network, &options, &plan));
    run(plan, pixels, gradient, repeats, least);
    imp_plan_free(plan);
    imp_network_release(&network);
    imp_release(context, pixels);
    imp_release(context, gradient);
}

int main(int count, char **arguments) {
    imp_context_options options;
    int repeats = count == 4 ? atoi(arguments[2]) : 0;
    imp_context_options_default(&options);
    options.threads = count == 4 ? atoi(arguments[3]) : 0;
    if (repeats < 1 || options.threads < 1 || options.threads > MOST_THREADS) {
        fprintf(stderr, "usage: layers f32|bf16 REPEATS THREADS\n");
        return 2;
    }
    require(imp_context_create(&options, &context));
    imp_context_info info = {.size = sizeof info};
    imp_context_get_info(context, &info);
    printf("{\"version\": \"Impasto %s (%s)\", \"layers\": {", imp_version(), info.instruction_set);
    for (int i = 0; i < BENCH_LAYERS; i++) {
        double least[2];
        time_layer(&bench_layers[i], strcmp(arguments[1], "bf16") ? IMP_ELEMENT_F32 : IMP_ELEMENT_BF16, repeats, least);
        printf("%s\"%s\": {\"forward\": %.4f, \"backward\": %.4f}", i ? ", " : "", bench_layers[i].name, least[0] * 1e3,
               least[1] * 1e3);
    }
    printf("}}\n");
    imp_context_free(context);
    return 0;
}
