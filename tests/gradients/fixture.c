/* Makes plans and their naive twins for the graph tests. */
#include "gradients/fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds, const imp_context *context, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s: %s\n", what, context ? imp_error(context) : "");
    abort();
}

static void *allocate_dirty(void *user, size_t bytes) {
    size_t rounded = (bytes + IMP_ALIGNMENT - 1) / IMP_ALIGNMENT * IMP_ALIGNMENT;
    void *memory = aligned_alloc(IMP_ALIGNMENT, rounded ? rounded : IMP_ALIGNMENT);

    (void)user;
    if (memory) memset(memory, 0xff, bytes); /* as floats: NaN */
    return memory;
}

static void release_dirty(void *user, void *memory) {
    (void)user;
    free(memory);
}

imp_context *fixture_context(int threads, const char *instruction_set) {
    imp_context_options options;
    imp_context *context;

    imp_context_options_default(&options);
    options.threads = threads;
    options.instruction_set = instruction_set;
    options.allocate = allocate_dirty;
    options.release = release_dirty;
    require(imp_context_create(&options, &context) == IMP_OK, NULL, "a context for the test");
    return context;
}

static void randomize(float *values, size_t count, double deviation, imp_random *random) {
    for (size_t i = 0; i < count; i++) values[i] = (float)(deviation * imp_random_normal(random));
}

/* Terms that weigh about the same whatever the size of the map: F F^T grows with the pixels and the channels. */
static void make_term(const fixture *made, int tap, naive_term *term, imp_random *random) {
    const naive_map *map = &made->naive.maps[made->options.taps[tap].layer];
    size_t channels = (size_t)map->channels;

    if (made->options.taps[tap].use & IMP_TAP_STATISTICS) {
        term->by_second = naive_allocate(channels * channels, sizeof(float));
        term->by_sum = naive_allocate(channels, sizeof(float));
        randomize(term->by_second, channels * channels, 1 / sqrt((double)channels), random);
        randomize(term->by_sum, channels, 1, random);
        for (size_t i = 0; i < channels; i++)
            for (size_t j = 0; j < i; j++) term->by_second[i * channels + j] = term->by_second[j * channels + i];
    }
    if (made->options.taps[tap].use & IMP_TAP_MAP) {
        term->map_weight = 0.7f;
        term->target = naive_allocate(map->floats, sizeof(double));
    }
}

static void forward(fixture *made) {
    imp_plan_forward(made->plan, made->pixels);
    fixture_loss_at(made, 0, made->pixels);
}

/* A target is a map of other pixels: those of the pictures upside down, which both engines see. */
static void make_targets(fixture *made, imp_map_target **targets) {
    for (size_t i = 0; i < made->pixel_count / 2; i++) {
        float swapped = made->pixels[i];

        made->pixels[i] = made->pixels[made->pixel_count - 1 - i];
        made->pixels[made->pixel_count - 1 - i] = swapped;
    }
    forward(made);
    for (int tap = 0; tap < made->options.tap_count; tap++) {
        const naive_map *map = &made->naive.maps[made->options.taps[tap].layer];

        if (!(made->options.taps[tap].use & IMP_TAP_MAP)) continue;
        require(imp_plan_copy_map(made->plan, tap, &targets[tap]) == IMP_OK, made->context, "a target");
        for (int i = 0; i < made->options.batch; i++)
            memcpy(made->terms[tap * made->options.batch + i].target, map->value + (size_t)i * map->floats,
                   map->floats * sizeof(double));
    }
}

imp_network fixture_borrow_network(const imp_network *network, const imp_context *context) {
    imp_network borrowed = *network;

    borrowed.packed = NULL;
    borrowed.allocator = imp_context_allocator(context);
    return borrowed;
}

void fixture_return_network(imp_network *network) {
    network->layers = NULL; /* the owner's */
    network->parameters = NULL;
    imp_network_release(network);
}

fixture_case fixture_vgg19(naive_layer *layers) {
    static const imp_tap taps[] = {{2, IMP_TAP_STATISTICS},  {7, IMP_TAP_STATISTICS}, {12, IMP_TAP_STATISTICS},
                                   {21, IMP_TAP_STATISTICS}, {23, IMP_TAP_MAP},       {30, IMP_TAP_STATISTICS}};

    return (fixture_case){
        .name = "vgg19",
        .layers = layers,
        .layer_count = naive_vgg19(layers, 8),
        .taps = taps,
        .tap_count = sizeof taps / sizeof taps[0],
        .batch = 1,
        .pooling = IMP_POOL_MAX,
    };
}

void fixture_make(fixture *made, imp_context *context, const fixture_case *what, uint64_t seed) {
    imp_random random;

    imp_random_seed(&random, seed);
    *made = (fixture){.context = context};
    made->options = (imp_plan_options){
        .batch = what->batch,
        .height = what->height,
        .width = what->width,
        .taps = what->taps,
        .tap_count = what->tap_count,
        .pooling = what->pooling,
        .average_scale = what->average_scale == 0 ? 1 : what->average_scale,
        .first_padding = what->padding,
        .element = what->element,
        .backward = 1,
    };
    naive_network_make(context, &made->network, what->layers, what->layer_count, imp_random_next(&random));
    require(imp_plan_create(context, &made->network, &made->options, &made->plan) == IMP_OK, context, what->name);
    naive_start(&made->naive, &made->network, &made->options);
    made->pixel_count = (size_t)what->batch * made->naive.maps[0].floats;
    made->pixels = naive_allocate(made->pixel_count, sizeof(float));
    for (size_t i = 0; i < made->pixel_count; i++) made->pixels[i] = (float)(255 * imp_random_uniform(&random));
    made->terms = naive_allocate((size_t)(what->tap_count * what->batch), sizeof *made->terms);
    made->targets = naive_allocate((size_t)what->tap_count, sizeof(imp_map_target *));
    for (int i = 0; i < what->tap_count * what->batch; i++) make_term(made, i / what->batch, &made->terms[i], &random);
    make_targets(made, made->targets);
    for (size_t i = 0; i < made->pixel_count; i++) made->pixels[i] = (float)(255 * imp_random_uniform(&random));
    forward(made);
}

void fixture_free(fixture *made) {
    for (int i = 0; i < made->options.tap_count * made->options.batch; i++) {
        free(made->terms[i].by_second);
        free(made->terms[i].by_sum);
        free(made->terms[i].target);
    }
    for (int i = 0; i < made->options.tap_count; i++) imp_map_target_free(made->context, made->targets[i]);
    free(made->targets);
    free(made->terms);
    free(made->pixels);
    imp_plan_free(made->plan);
    naive_end(&made->naive);
    imp_network_release(&made->network);
}

void fixture_backward(fixture *made, float *gradient) {
    int count = made->options.tap_count * made->options.batch;
    imp_tap_gradient *gradients = naive_allocate((size_t)count, sizeof *gradients);

    for (int i = 0; i < count; i++)
        gradients[i] = (imp_tap_gradient){
            .by_second = made->terms[i].by_second,
            .by_sum = made->terms[i].by_sum,
            .map_weight = made->terms[i].map_weight,
            .target = made->targets[i / made->options.batch],
        };
    require(imp_plan_backward(made->plan, gradients, gradient) == IMP_OK, made->context, "backward");
    free(gradients);
}

double fixture_loss_at(fixture *made, double step, const float *direction) {
    double *pixels = naive_allocate(made->pixel_count, sizeof *pixels);
    double loss;

    for (size_t i = 0; i < made->pixel_count; i++) pixels[i] = (double)made->pixels[i] + step * (double)direction[i];
    naive_forward(&made->naive, pixels);
    loss = naive_loss(&made->naive, made->terms);
    free(pixels);
    return loss;
}

double fixture_error(const float *values, const double *expected, size_t count) {
    double squares = 0, greatest = 0;

    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)values[i] - expected[i]);

        squares += expected[i] * expected[i];
        if (!(difference <= greatest)) greatest = difference; /* a NaN too */
    }
    return squares > 0 ? greatest / sqrt(squares / (double)count) : greatest;
}
