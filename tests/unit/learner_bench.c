/* What tests of learners share. */
#include "learner_bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/vgg.h"
#include "style/training.h"
#include "unit.h"

/* ---- Where pictures and models come from ------------------------------------------------------------------------- */

/* A picture of soft blobs, so that layers see more than noise. */
float bench_pixel(uint64_t number, int c, int y, int x) {
    double a = (double)(number % 7 + 1), b = (double)(number % 5 + 2);
    return (float)(127.5 + 60 * sin(0.3 * a * x + c) + 60 * cos(0.2 * b * y - c * (double)(number % 3)));
}

int bench_crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    (void)user;
    (void)set;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) planes[(c * side + y) * side + x] = bench_pixel(number, c, y, x);
    return IMP_OK;
}

/* "line" is one pixel high. */
static int bench_picture(void *user, imp_context *context, const char *name, imp_image *image) {
    int height = strcmp(name, "line") == 0 ? 1 : 20, status;
    status = imp_image_create(context, 24, height, 3, IMP_DEPTH_8, image);
    (void)user;
    for (int y = 0; y < height && !status; y++)
        for (int x = 0; x < 24; x++)
            for (int c = 0; c < 3; c++)
                ((uint8_t *)image->pixels)[(size_t)y * image->stride + (size_t)(3 * x + c)] =
                    (uint8_t)bench_pixel((uint64_t)name[0], c, 3 * y, x);
    return status;
}

static int build_tiny(imp_context *context, const int *options, imp_network *network) {
    static const imp_vgg tiny = {"tiny", 2, {1, 2}, {8, 20}};
    (void)options;
    return imp_vgg_build(context, &tiny, network);
}

/* Of random weights: "tiny", or a known network. */
int bench_model(void *user, imp_context *context, const char *name, imp_model **made) {
    static const imp_architecture tiny = {.name = "tiny", .build = build_tiny};
    const imp_architecture *known = imp_architecture_find(imp_architectures, name);
    (void)user;
    int status = imp_model_make(context, known ? known : &tiny, NULL, made);
    if (!status) status = imp_model_set_preprocessing(context, *made, known ? "caffe" : "torchvision");
    if (!status) status = imp_model_set_words(context, *made, "random", "none");
    if (!status) status = imp_model_initialize(context, *made, 3);
    if (status) {
        imp_model_free(*made);
        *made = NULL;
    }
    return status;
}

const imp_training_source bench_source = {
    .size = sizeof bench_source, .crop = bench_crop, .picture = bench_picture, .model = bench_model};

/* ---- A learner with what it needs -------------------------------------------------------------------------------- */

size_t bench_length(const bench *on, int i) {
    size_t length = 1;
    for (int k = 0; k < on->learner.parameters[i].dimensions; k++) length *= (size_t)on->learner.parameters[i].shape[k];
    return length;
}

void bench_begin(bench *on, const char *recipe, int threads) {
    *on = (bench){.context = make_context(threads, 0)};
    if (imp_recipe_read(on->context, recipe, strlen(recipe), "r.json", &on->recipe) ||
        imp_learner_create(on->context, on->recipe, &bench_source, &on->learner))
        fail_msg("%s", imp_error(on->context));
    int side = on->recipe->data.crop;
    size_t floats = 3 * (size_t)side * (size_t)side;
    on->crops = calloc((size_t)on->recipe->batch * floats, sizeof(float));
    for (int i = 0; i < on->recipe->batch; i++)
        bench_crop(NULL, "train", (uint64_t)i, side, on->crops + (size_t)i * floats);
    assert_true(on->learner.parameter_count <= MOST_PARAMETERS);
    for (int i = 0; i < on->learner.parameter_count; i++)
        if (!on->learner.parameters[i].state) {
            on->gradients[i] = calloc(bench_length(on, i), sizeof(float));
            on->others[i] = calloc(bench_length(on, i), sizeof(float));
        }
}

void bench_end(bench *on) {
    for (int i = 0; i < on->learner.parameter_count; i++) {
        free(on->gradients[i]);
        free(on->others[i]);
    }
    free(on->crops);
    on->learner.release(on->learner.user);
    imp_recipe_free(on->recipe);
    imp_context_free(on->context);
}

void bench_evaluate_step(bench *on, int64_t number, float *const *gradients) {
    if (on->learner.evaluate(on->learner.user, number, on->crops, on->losses, gradients))
        fail_msg("%s", imp_error(on->context));
}

void bench_evaluate(bench *on, float *const *gradients) {
    bench_evaluate_step(on, 7, gradients);
}

/* The loss's slope along all parameters at once, in the gradient's own direction, where it is the gradient's length. Losses
   in float are known to 1e-6; ReLUs and maxima bend the way. */
#define SLOPE_TOLERANCE 3e-2

void bench_check_slope(bench *on, double step) {
    double square = 0, losses[2];
    bench_evaluate(on, on->gradients);
    for (int i = 0; i < on->learner.parameter_count; i++)
        for (size_t k = 0; on->gradients[i] && k < bench_length(on, i); k++)
            square += (double)on->gradients[i][k] * (double)on->gradients[i][k];
    assert_true(square > 0 && isfinite(square));
    for (int side = 0; side < 2; side++) {
        double by = (side ? 2 : -1) * step / sqrt(square); /* back, and forward past the middle */
        for (int i = 0; i < on->learner.parameter_count; i++)
            for (size_t k = 0; on->gradients[i] && k < bench_length(on, i); k++)
                on->learner.parameters[i].data[k] += (float)(by * (double)on->gradients[i][k]);
        assert_int_equal(on->learner.refresh(on->learner.user), IMP_OK);
        bench_evaluate(on, on->others); /* with gradients, since a batch norm takes other means without */
        losses[side] = on->losses[0];
    }
    double slope = (losses[1] - losses[0]) / (2 * step);
    if (!(fabs(slope / sqrt(square) - 1) <= SLOPE_TOLERANCE))
        fail_msg("the loss goes up by %g, the gradient's length is %g", slope, sqrt(square));
}

/* ---- Going on ---------------------------------------------------------------------------------------------------- */

static int other_crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    return bench_crop(user, set, number + 1, side, planes);
}

static imp_training *training_of(imp_context *context, const imp_recipe *recipe, const imp_training_source *from) {
    imp_training *training;
    if (imp_training_create(context, recipe, from, &training)) fail_msg("%s", imp_error(context));
    return training;
}

void bench_go_on(const char *text, const char *name) {
    imp_context *context;
    imp_recipe *recipe;
    imp_training_source another = bench_source;
    char path[64];
    double losses[IMP_TRAINING_MAX_LOSSES], again[IMP_TRAINING_MAX_LOSSES];
    int found = 0;
    another.crop = other_crop;
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    assert_int_equal(imp_recipe_read(context, text, strlen(text), "r.json", &recipe), IMP_OK);
    imp_training *first = training_of(context, recipe, &another), *second = training_of(context, recipe, &bench_source);
    assert_int_equal(imp_training_step(first, NULL), IMP_OK);
    snprintf(path, sizeof path, "bench_%ld.checkpoint", (long)getpid());
    assert_int_equal(imp_training_save(first, path), IMP_OK);
    for (int i = 0; i < first->learner.parameter_count; i++) {
        size_t bytes = first->lengths[i] * sizeof(float);
        if (strcmp(first->learner.parameters[i].name, name) != 0) continue;
        assert_true(first->learner.parameters[i].state);
        assert_memory_not_equal(first->learner.parameters[i].data, second->learner.parameters[i].data, bytes);
        found = 1;
    }
    assert_true(found);
    if (imp_training_load(second, path)) fail_msg("%s", imp_error(context));
    remove(path);
    for (int i = 0; i < first->learner.parameter_count; i++)
        assert_memory_equal(first->learner.parameters[i].data, second->learner.parameters[i].data,
                            first->lengths[i] * sizeof(float));
    first->source = bench_source; /* both validate on the same crops */
    assert_int_equal(imp_training_validate(first, 1, losses), IMP_OK);
    assert_int_equal(imp_training_validate(second, 1, again), IMP_OK);
    assert_memory_equal(losses, again, sizeof losses);
    imp_training_free(first);
    imp_training_free(second);
    imp_recipe_free(recipe);
    imp_context_free(context);
}

void bench_descend(const char *recipe, double rate) {
    bench on;
    double first = 0;
    bench_begin(&on, recipe, 2);
    for (int step = 0; step < 8; step++) {
        double square = 0;
        bench_evaluate(&on, on.gradients);
        if (step == 0) first = on.losses[0];
        for (int i = 0; i < on.learner.parameter_count; i++)
            for (size_t k = 0; on.gradients[i] && k < bench_length(&on, i); k++)
                square += (double)on.gradients[i][k] * (double)on.gradients[i][k];
        for (int i = 0; i < on.learner.parameter_count; i++)
            for (size_t k = 0; on.gradients[i] && k < bench_length(&on, i); k++)
                on.learner.parameters[i].data[k] -= (float)(rate / sqrt(square) * (double)on.gradients[i][k]);
        assert_int_equal(on.learner.refresh(on.learner.user), IMP_OK);
    }
    if (!(on.losses[0] < first)) fail_msg("the loss goes from %g to %g", first, on.losses[0]);
    bench_end(&on);
}
