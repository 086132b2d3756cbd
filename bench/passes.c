/* VGG19 from conv1_1 to conv5_1 alone, without losses on style: the forward pass, and forward with backward to the
 * pixels, as other engines run it.
 *
 * usage: passes MODEL.safetensors f32|bf16 SIZE REPEATS THREADS
 * Prints one JSON line: the least seconds of the repeats. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "graph/plan.h"
#include "models/model.h"

#define MOST_SIZE 4096
#define MOST_THREADS 256

static imp_context *context;

static void require(int status) {
    if (!status) return;
    fprintf(stderr, "passes: %s\n", context ? imp_error(context) : imp_status_string(status));
    exit(1);
}

static float *allocate(size_t count) {
    float *made = imp_allocate(context, count * sizeof *made);
    if (!made) require(IMP_ERR_MEMORY);
    return made;
}

static imp_plan *create_plan(const imp_network *network, imp_element element, int size, int backward) {
    imp_tap last = {imp_network_find_tap(network, "conv5_1"), IMP_TAP_MAP};
    imp_plan_options options = {.batch = 1,
                                .height = size,
                                .width = size,
                                .taps = &last,
                                .tap_count = 1,
                                .pooling = IMP_POOL_MAX,
                                .average_scale = 1,
                                .first_padding = IMP_PADDING_ZERO,
                                .element = element,
                                .backward = backward};
    imp_plan *plan;
    require(imp_plan_create(context, network, &options, &plan));
    return plan;
}

/* One pass in seconds; with a gradient to fill, backward too, from the difference to the target. */
static double run(imp_plan *plan, const float *pixels, const imp_map_target *target, float *gradient) {
    imp_tap_gradient by_map = {.map_weight = 1, .target = target};
    double begin = imp_seconds();
    imp_plan_forward(plan, pixels);
    if (gradient) require(imp_plan_backward(plan, &by_map, gradient));
    return imp_seconds() - begin;
}

static double find_least(imp_plan *plan, const float *pixels, const imp_map_target *target, float *gradient,
                         int repeats) {
    double least = 0;
    for (int i = -1; i < repeats; i++) { /* the first one is not counted */
        double seconds = run(plan, pixels, target, gradient);
        if (i <= 0 || seconds < least) least = seconds;
    }
    return least;
}

static void time_passes(const imp_network *network, imp_element element, int size, int repeats) {
    size_t values = 3 * (size_t)size * (size_t)size;
    float *pixels = allocate(values), *gradient = allocate(values);
    imp_random random;
    imp_map_target *target;
    imp_random_seed(&random, 1);
    for (size_t i = 0; i < values; i++) pixels[i] = 0;
    imp_plan *plan = create_plan(network, element, size, 0);
    imp_plan_forward(plan, pixels);
    require(imp_plan_copy_map(plan, 0, &target));
    for (size_t i = 0; i < values; i++) pixels[i] = 255 * (float)imp_random_uniform(&random);
    double forward = find_least(plan, pixels, target, NULL, repeats);
    imp_plan_free(plan);
    plan = create_plan(network, element, size, 1);
    double both = find_least(plan, pixels, target, gradient, repeats);
    imp_plan_free(plan);
    imp_map_target_free(context, target);
    imp_release(context, pixels);
    imp_release(context, gradient);
    imp_context_info info = {.size = sizeof info};
    imp_context_get_info(context, &info);
    printf("{\"version\": \"Impasto %s (%s)\", \"seconds\": {\"forward\": %.6f, \"both\": %.6f}}\n", imp_version(),
           info.instruction_set, forward, both);
}

int main(int count, char **arguments) {
    imp_model *model;
    imp_context_options options;
    int size = count == 6 ? atoi(arguments[3]) : 0, repeats = count == 6 ? atoi(arguments[4]) : 0;
    imp_context_options_default(&options);
    options.threads = count == 6 ? atoi(arguments[5]) : 0;
    if (size < 16 || size > MOST_SIZE || repeats < 1 || options.threads < 1 || options.threads > MOST_THREADS) {
        fprintf(stderr, "usage: passes MODEL.safetensors f32|bf16 SIZE REPEATS THREADS\n");
        return 2;
    }
    require(imp_context_create(&options, &context));
    require(imp_model_open(context, arguments[1], &model));
    time_passes(&model->network, strcmp(arguments[2], "bf16") ? IMP_ELEMENT_F32 : IMP_ELEMENT_BF16, size, repeats);
    imp_model_free(model);
    imp_context_free(context);
    return 0;
}
