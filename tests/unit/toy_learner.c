/* The toy: a matrix, a bias and something that the wind moves. */
#include "toy_learner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

static const char *const losses[] = {"total", "opposite", "wind"};

/* The mean colour, on 0..1. */
static void mean_of(const toy *it, const float *planes, double mean[3]) {
    int pixels = it->side * it->side;
    for (int c = 0; c < 3; c++) {
        mean[c] = 0;
        for (int i = 0; i < pixels; i++) mean[c] += planes[c * pixels + i];
        mean[c] /= 255.0 * pixels;
    }
}

static double add_crop(const toy *it, const float *planes, double by_mix[9], double by_bias[3], double sum[3]) {
    double mean[3], loss = 0;
    mean_of(it, planes, mean);
    for (int r = 0; r < 3; r++) {
        double error = it->copy[9 + r] - (1 - mean[r]);
        for (int c = 0; c < 3; c++) error += it->copy[3 * r + c] * mean[c];
        loss += error * error / it->batch;
        for (int c = 0; c < 3; c++) by_mix[3 * r + c] += 2 * error * mean[c] / it->batch;
        by_bias[r] += 2 * error / it->batch;
        sum[r] += mean[r] / it->batch;
    }
    return loss;
}

/* sum (wind - gust)^2 / 10, with gusts from the step's number alone. */
static double add_wind(const toy *it, int64_t number, double by_wind[10]) {
    double loss = 0;
    imp_random random;
    imp_random_seed(&random, (uint64_t)number);
    for (int i = 0; i < 10; i++) {
        double error = it->wind[i] - imp_random_uniform(&random);
        loss += error * error / 10;
        by_wind[i] = error / 5;
    }
    return loss;
}

static int evaluate(void *user, int64_t number, const float *crops, double *out, float *const *gradients) {
    toy *it = user;
    double by_mix[9] = {0}, by_bias[3] = {0}, by_wind[10], sum[3] = {0};
    if (it->fail) {
        it->fail = 0;
        return IMP_ERR_MEMORY;
    }
    out[1] = 0;
    for (int i = 0; i < it->batch; i++)
        out[1] += add_crop(it, crops + 3 * i * it->side * it->side, by_mix, by_bias, sum);
    out[2] = add_wind(it, number, by_wind);
    out[0] = out[1] + out[2];
    for (int i = 0; i < 9 && gradients[0]; i++) gradients[0][i] = (float)by_mix[i];
    for (int i = 0; i < 3 && gradients[1]; i++) gradients[1][i] = (float)by_bias[i];
    for (int i = 0; i < 10 && gradients[2]; i++) gradients[2][i] = (float)by_wind[i];
    for (int i = 0; i < 3 && (gradients[0] || gradients[1] || gradients[2]); i++)
        it->mean[i] += 0.1f * ((float)sum[i] - it->mean[i]);
    return IMP_OK;
}

static int refresh(void *user) {
    toy *it = user;
    memcpy(it->copy, it->mix, sizeof it->mix);
    memcpy(it->copy + 9, it->bias, sizeof it->bias);
    it->refreshes++;
    return IMP_OK;
}

static int paint(void *user, int style, const float *planes, int width, int height, float *out) {
    const toy *it = user;
    size_t pixels = (size_t)width * (size_t)height;
    for (size_t i = 0; i < pixels; i++)
        for (size_t r = 0; r < 3; r++) {
            out[r * pixels + i] = 255 * it->copy[9 + r] + (float)style;
            for (size_t c = 0; c < 3; c++) out[r * pixels + i] += it->copy[3 * r + c] * planes[c * pixels + i];
        }
    return IMP_OK;
}

static int write_bias(void *user, const char *path, imp_storage storage) {
    FILE *stream = fopen(path, "wb");
    (void)storage;
    if (!stream) return IMP_ERR_IO;
    size_t written = fwrite(((toy *)user)->copy, sizeof(float), 12, stream);
    return fclose(stream) == 0 && written == 12 ? IMP_OK : IMP_ERR_IO;
}

static void release(void *user) {
    ((toy *)user)->released++;
}

imp_learner toy_learner(toy *made, const imp_recipe *recipe) {
    memset(made, 0, sizeof *made);
    made->batch = recipe->batch;
    made->side = recipe->data.crop;
    made->parameters[0] = (imp_learner_parameter){"mix.weight", 2, {3, 3}, made->mix, .decays = 1};
    made->parameters[1] = (imp_learner_parameter){"mix.bias", 1, {3}, made->bias, .decays = 0};
    made->parameters[2] = (imp_learner_parameter){"wind.weight", 2, {2, 5}, made->wind, .decays = 1};
    made->parameters[3] = (imp_learner_parameter){"mean", 1, {3}, made->mean, .state = 1};
    for (int i = 0; i < 9; i++) made->mix[i] = (float)sin(i);
    for (int i = 0; i < 10; i++) made->wind[i] = (float)cos(i);
    refresh(made);
    return (imp_learner){.user = made,
                         .architecture = "toy",
                         .parameters = made->parameters,
                         .parameter_count = TOY_PARAMETERS,
                         .losses = losses,
                         .loss_count = 3,
                         .evaluate = evaluate,
                         .refresh = refresh,
                         .paint = paint,
                         .write = write_bias,
                         .release = release};
}

static int crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    const int *bad = user;
    int train = !strcmp(set, "train");
    imp_random random;
    imp_random_seed(&random, number + (train ? 0 : 1000000));
    for (int c = 0; c < 3; c++) {
        float value = (float)(255 * imp_random_uniform(&random));
        for (int i = 0; i < side * side; i++) planes[c * side * side + i] = value;
    }
    if (bad && train && *bad > 0 && number >= (uint64_t)*bad) planes[0] = NAN;
    return bad && train && *bad < 0 && number >= (uint64_t) - *bad ? IMP_ERR_IO : IMP_OK;
}

static int picture(void *user, imp_context *context, const char *name, imp_image *image) {
    (void)user, (void)context, (void)name, (void)image;
    return IMP_ERR_IO;
}

static int model(void *user, imp_context *context, const char *name, imp_model **made) {
    (void)user, (void)context, (void)name, (void)made;
    return IMP_ERR_IO;
}

imp_training_source toy_source(int *bad) {
    return (imp_training_source){
        .size = sizeof(imp_training_source), .user = bad, .crop = crop, .picture = picture, .model = model};
}
