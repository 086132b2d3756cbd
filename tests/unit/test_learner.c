/* Learners: a styler and a student of real networks, small ones: gradients, threads, files, failures. And what a student
 * begins with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "failing_allocator.h"
#include "graph/packed.h"
#include "graph/plan.h"
#include "models/fold.h"
#include "models/vgg.h"
#include "style/directions.h"
#include "style/moments.h"
#include "style/student_start.h"
#include "style/style_bank.h"
#include "style/styler.h"
#include "style/trainee.h"
#include "style/training.h"

#define STYLER(more)                                                                                                   \
    "{\"task\": \"style\", \"network\": {\"architecture\": \"fine\", \"options\": {\"channels\": 16, \"blocks\": 1}}," \
    " \"loss_network\": {\"model\": \"tiny\"}, \"losses\": {\"content\": {\"conv2_2\": 1}, \"content_weight\": 2,"     \
    " \"style\": {\"conv1_1\": 1, \"conv2_1\": 0.5}, \"variation_weight\": 1" more "}, \"styles\": ["                  \
    "{\"name\": \"one\", \"picture\": \"a\", \"side\": 16}, {\"name\": \"two\", \"picture\": \"b\", \"side\": 20}],"   \
    " \"data\": {\"sources\": [{}], \"crop\": 16}, \"batch\": 3, \"seed\": 5, \"stages\": [{\"steps\": 1}]}"

#define STUDENT(name, options)                                                                                         \
    "{\"task\": \"features\", \"network\": {\"architecture\": \"" name "\"" options "},"                               \
    " \"loss_network\": {\"model\": \"vgg19\"}, \"losses\": {\"features\": {\"conv2_1\": 1, \"conv4_2\": 0.5},"        \
    " \"style\": {\"conv3_1\": 1}, \"style_weight\": 0.1},"                                                            \
    " \"data\": {\"sources\": [{}], \"crop\": 32}, \"batch\": 4, \"seed\": 5, \"stages\": [{\"steps\": 1}]}"

/* ---- Where pictures and models come from ------------------------------------------------------------------------- */

/* A picture of soft blobs, so that layers see more than noise. */
static float pixel_of(uint64_t number, int c, int y, int x) {
    double a = (double)(number % 7 + 1), b = (double)(number % 5 + 2);
    return (float)(127.5 + 60 * sin(0.3 * a * x + c) + 60 * cos(0.2 * b * y - c * (double)(number % 3)));
}

static int crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    (void)user;
    (void)set;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) planes[(c * side + y) * side + x] = pixel_of(number, c, y, x);
    return IMP_OK;
}

/* "line" is one pixel high. */
static int picture(void *user, imp_context *context, const char *name, imp_image *image) {
    int height = strcmp(name, "line") == 0 ? 1 : 20, status;
    status = imp_image_create(context, 24, height, 3, IMP_DEPTH_8, image);
    (void)user;
    for (int y = 0; y < height && !status; y++)
        for (int x = 0; x < 24; x++)
            for (int c = 0; c < 3; c++)
                ((uint8_t *)image->pixels)[(size_t)y * image->stride + (size_t)(3 * x + c)] =
                    (uint8_t)pixel_of((uint64_t)name[0], c, 3 * y, x);
    return status;
}

static int build_tiny(imp_context *context, const int *options, imp_network *network) {
    static const imp_vgg tiny = {"tiny", 2, {1, 2}, {8, 20}};
    (void)options;
    return imp_vgg_build(context, &tiny, network);
}

/* Of random weights: "tiny", or a known network. */
static int model(void *user, imp_context *context, const char *name, imp_model **made) {
    static const imp_architecture tiny = {.name = "tiny", .build = build_tiny};
    const imp_architecture *known = imp_architecture_find(imp_architectures, name);
    (void)user;
    int status = imp_model_make(context, known ? known : &tiny, NULL, made);
    if (!status) status = imp_model_set_preprocessing(context, *made, "torchvision");
    if (!status) status = imp_model_set_words(context, *made, "random", "none");
    if (!status) status = imp_model_initialize(context, *made, 3);
    if (status) {
        imp_model_free(*made);
        *made = NULL;
    }
    return status;
}

static const imp_training_source source = {.size = sizeof source, .crop = crop, .picture = picture, .model = model};

/* ---- A learner with what it needs -------------------------------------------------------------------------------- */

#define MOST_PARAMETERS 192

typedef struct bench {
    imp_context *context;
    imp_recipe *recipe;
    imp_learner learner;
    float *crops;
    float *gradients[MOST_PARAMETERS], *others[MOST_PARAMETERS];
    double losses[IMP_TRAINING_MAX_LOSSES];
} bench;

static size_t length_of(const bench *on, int i) {
    size_t length = 1;
    for (int k = 0; k < on->learner.parameters[i].dimensions; k++) length *= (size_t)on->learner.parameters[i].shape[k];
    return length;
}

static void begin(bench *on, const char *recipe, int threads) {
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = threads;
    *on = (bench){0};
    assert_int_equal(imp_context_create(&options, &on->context), IMP_OK);
    if (imp_recipe_read(on->context, recipe, strlen(recipe), "r.json", &on->recipe) ||
        imp_learner_create(on->context, on->recipe, &source, &on->learner))
        fail_msg("%s", imp_error(on->context));
    int side = on->recipe->data.crop;
    size_t floats = 3 * (size_t)side * (size_t)side;
    on->crops = calloc((size_t)on->recipe->batch * floats, sizeof(float));
    for (int i = 0; i < on->recipe->batch; i++) crop(NULL, "train", (uint64_t)i, side, on->crops + (size_t)i * floats);
    assert_true(on->learner.parameter_count <= MOST_PARAMETERS);
    for (int i = 0; i < on->learner.parameter_count; i++)
        if (!on->learner.parameters[i].state) {
            on->gradients[i] = calloc(length_of(on, i), sizeof(float));
            on->others[i] = calloc(length_of(on, i), sizeof(float));
        }
}

static void end(bench *on) {
    for (int i = 0; i < on->learner.parameter_count; i++) {
        free(on->gradients[i]);
        free(on->others[i]);
    }
    free(on->crops);
    on->learner.release(on->learner.user);
    imp_recipe_free(on->recipe);
    imp_context_free(on->context);
}

static void evaluate_step(bench *on, int64_t number, float *const *gradients) {
    if (on->learner.evaluate(on->learner.user, number, on->crops, on->losses, gradients))
        fail_msg("%s", imp_error(on->context));
}

static void evaluate(bench *on, float *const *gradients) {
    evaluate_step(on, 7, gradients);
}

/* The loss's slope along all parameters at once, in the gradient's own direction, where it is the gradient's length. Losses
   in float are known to 1e-6; ReLUs and maxima bend the way. */
#define SLOPE_TOLERANCE 3e-2

static void check_slope(bench *on, double step) {
    double square = 0, losses[2];
    evaluate(on, on->gradients);
    for (int i = 0; i < on->learner.parameter_count; i++)
        for (size_t k = 0; on->gradients[i] && k < length_of(on, i); k++)
            square += (double)on->gradients[i][k] * (double)on->gradients[i][k];
    assert_true(square > 0 && isfinite(square));
    for (int side = 0; side < 2; side++) {
        double by = (side ? 2 : -1) * step / sqrt(square); /* back, and forward past the middle */
        for (int i = 0; i < on->learner.parameter_count; i++)
            for (size_t k = 0; on->gradients[i] && k < length_of(on, i); k++)
                on->learner.parameters[i].data[k] += (float)(by * (double)on->gradients[i][k]);
        assert_int_equal(on->learner.refresh(on->learner.user), IMP_OK);
        evaluate(on, on->others); /* with gradients, since a batch norm takes other means without */
        losses[side] = on->losses[0];
    }
    double slope = (losses[1] - losses[0]) / (2 * step);
    if (!(fabs(slope / sqrt(square) - 1) <= SLOPE_TOLERANCE))
        fail_msg("the loss goes up by %g, the gradient's length is %g", slope, sqrt(square));
}

static void a_stylers_gradient_is_its_losses_slope(void **state) {
    bench on;
    (void)state;
    begin(&on, STYLER(""), 2);
    check_slope(&on, 1e-3);
    assert_true(on.losses[0] == 2 * on.losses[1] + on.losses[2] + on.losses[3]); /* those are before their weights */
    end(&on);
    begin(&on, STYLER(", \"per_style\": true, \"style_loss\": \"gram-mean-deviation\""), 2);
    check_slope(&on, 1e-3);
    end(&on);
}

static void a_students_gradient_is_its_losses_slope(void **state) {
    bench on;
    (void)state;
    begin(&on, STUDENT("thin", ", \"options\": {\"channels\": 8}"), 2);
    check_slope(&on, 1e-3);
    assert_true(on.losses[1] > 0 && on.losses[2] > 0 && on.losses[0] == on.losses[1] + 0.1 * on.losses[2]);
    end(&on);
    begin(&on, STUDENT("mobilenetv3", ""), 2);
    check_slope(&on, 1e-3);
    end(&on);
}

/* The same bits for any number of threads, from the first weights on. */
static void threads_change_nothing(void **state) {
    bench one, three;
    (void)state;
    begin(&one, STYLER(", \"per_style\": true"), 1);
    begin(&three, STYLER(", \"per_style\": true"), 3);
    evaluate(&one, one.gradients);
    evaluate(&three, three.gradients);
    assert_memory_equal(one.losses, three.losses, (size_t)one.learner.loss_count * sizeof(double));
    for (int i = 0; i < one.learner.parameter_count; i++)
        if (one.gradients[i])
            assert_memory_equal(one.gradients[i], three.gradients[i], length_of(&one, i) * sizeof(float));
        else /* a state, found with the first sample */
            assert_memory_equal(one.learner.parameters[i].data, three.learner.parameters[i].data,
                                length_of(&one, i) * sizeof(float));
    end(&one);
    end(&three);
}

/* ---- Sizes of styles --------------------------------------------------------------------------------------------- */

enum { STYLES = 2, LAYERS = 2, PICTURES = 3 }; /* of STYLER */

/* A bank of STYLER's styles, and a plan that has seen some pictures. */
typedef struct bank_bench {
    imp_context *context;
    imp_recipe *recipe;
    imp_model *teacher;
    imp_style_bank bank;
    imp_plan *plan;
} bank_bench;

static void begin_bank(bank_bench *on) {
    const char *text = STYLER(", \"per_style\": true");
    static float crops[PICTURES * 3 * 16 * 16];
    assert_int_equal(imp_context_create(NULL, &on->context), IMP_OK);
    assert_int_equal(imp_recipe_read(on->context, text, strlen(text), "r.json", &on->recipe), IMP_OK);
    assert_int_equal(model(NULL, on->context, "tiny", &on->teacher), IMP_OK);
    assert_int_equal(
        imp_style_bank_create(on->context, &on->teacher->network, on->recipe, &source, IMP_ELEMENT_F32, &on->bank),
        IMP_OK);
    assert_true(on->bank.layer_count == LAYERS && on->recipe->style_count == STYLES && on->recipe->batch == PICTURES);
    imp_tap taps[LAYERS];
    for (int i = 0; i < LAYERS; i++) taps[i] = (imp_tap){on->bank.layers[i], IMP_TAP_STATISTICS};
    imp_plan_options options = imp_recipe_plan_options(on->recipe, IMP_ELEMENT_F32, taps, LAYERS);
    assert_int_equal(imp_plan_create(on->context, &on->teacher->network, &options, &on->plan), IMP_OK);
    assert_int_equal(imp_recipe_take_crops(on->context, on->recipe, &source, "sample", 0, crops), IMP_OK);
    assert_int_equal(imp_plan_forward(on->plan, crops), IMP_OK);
}

static void end_bank(bank_bench *on) {
    imp_plan_free(on->plan);
    imp_style_bank_release(&on->bank);
    imp_model_free(on->teacher);
    imp_recipe_free(on->recipe);
    imp_context_free(on->context);
}

/* The pictures' losses in all styles, by their sizes. */
static void sum_losses(bank_bench *on, double *sums) {
    float by_second[20 * 20], by_sum[20]; /* of the widest layer */
    for (int i = 0; i < STYLES * LAYERS; i++) {
        sums[i] = 0;
        for (int k = 0; k < PICTURES; k++) {
            imp_statistics statistics = imp_plan_statistics(on->plan, i % LAYERS, k);
            double value;
            assert_int_equal(
                imp_style_bank_evaluate(&on->bank, i / LAYERS, i % LAYERS, &statistics, 1, &value, by_second, by_sum),
                IMP_OK);
            sums[i] += value;
        }
    }
}

/* The pictures that tell the sizes have a mean loss of 1, whatever the style and layer. */
static void styles_weigh_alike(void **state) {
    double sums[STYLES * LAYERS];
    bank_bench on;
    (void)state;
    begin_bank(&on);
    sum_losses(&on, sums);
    assert_true(sums[0] > 0 && fabs(sums[0] / sums[LAYERS] - 1) > 0.01);
    imp_style_bank_set_sizes(&on.bank, sums, PICTURES);
    sum_losses(&on, sums);
    for (int i = 0; i < STYLES * LAYERS; i++) assert_true(fabs(sums[i] / PICTURES - 1) < 1e-6); /* sizes are floats */
    end_bank(&on);
}

/* A style with no loss to speak of does not weigh without bound; where none has any, sizes are 1. */
static void sizes_have_a_floor(void **state) {
    const double sums[STYLES * LAYERS] = {12, 0, 0, 0}, few[STYLES * LAYERS] = {0.03, 8, 12, 4};
    bank_bench on;
    (void)state;
    begin_bank(&on);
    imp_style_bank_set_sizes(&on.bank, sums, 4);
    assert_true(on.bank.sizes[0] == 3 && on.bank.sizes[1] == 1 && on.bank.sizes[3] == 1);
    assert_true(fabsf(on.bank.sizes[2] - 3e-3f) < 1e-8f);
    imp_style_bank_set_sizes(&on.bank, few, 4); /* small, and above the floor */
    assert_true(fabsf(on.bank.sizes[0] - 7.5e-3f) < 1e-8f);
    assert_true(on.bank.sizes[1] == 2 && on.bank.sizes[2] == 3 && on.bank.sizes[3] == 1);
    end_bank(&on);
}

/* ---- Going on ---------------------------------------------------------------------------------------------------- */

static int other_crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    return crop(user, set, number + 1, side, planes);
}

static imp_training *training_of(imp_context *context, const imp_recipe *recipe, const imp_training_source *from) {
    imp_training *training;
    if (imp_training_create(context, recipe, from, &training)) fail_msg("%s", imp_error(context));
    return training;
}

/* What other crops tell gives way to what the checkpoint has: sizes of styles, readouts, running means. */
static void go_on(const char *text, const char *name) {
    imp_context *context;
    imp_recipe *recipe;
    imp_training_source another = source;
    char path[64];
    double losses[IMP_TRAINING_MAX_LOSSES], again[IMP_TRAINING_MAX_LOSSES];
    int found = 0;
    another.crop = other_crop;
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    assert_int_equal(imp_recipe_read(context, text, strlen(text), "r.json", &recipe), IMP_OK);
    imp_training *first = training_of(context, recipe, &another), *second = training_of(context, recipe, &source);
    assert_int_equal(imp_training_step(first, NULL), IMP_OK);
    snprintf(path, sizeof path, "learner_%ld.checkpoint", (long)getpid());
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
    first->source = source; /* both validate on the same crops */
    assert_int_equal(imp_training_validate(first, 1, losses), IMP_OK);
    assert_int_equal(imp_training_validate(second, 1, again), IMP_OK);
    assert_memory_equal(losses, again, sizeof losses);
    imp_training_free(first);
    imp_training_free(second);
    imp_recipe_free(recipe);
    imp_context_free(context);
}

static void checkpoints_hold_what_samples_told(void **state) {
    (void)state;
    go_on(STYLER(", \"per_style\": true"), "style_sizes");
    go_on(STUDENT("thin", ", \"options\": {\"channels\": 8}"), "conv3_1.readout.weight");
}

/* Two styles on batches of three: each crop of a step has one, and gets the other in the next. */
static void styles_take_turns(void **state) {
    static float *const none[MOST_PARAMETERS];
    double first[IMP_TRAINING_MAX_LOSSES];
    bench on;
    (void)state;
    begin(&on, STYLER(""), 2);
    for (int64_t number = 0; number < 6; number++) {
        evaluate_step(&on, number, none);
        if (number == 0) memcpy(first, on.losses, sizeof first);
        assert_true((on.losses[2] == first[2]) == (number % 2 == 0));
    }
    end(&on);
}

/* A few steps of plain descent make the loss smaller, for both tasks. */
static void descend(const char *recipe, double rate) {
    bench on;
    double first = 0;
    begin(&on, recipe, 2);
    for (int step = 0; step < 8; step++) {
        double square = 0;
        evaluate(&on, on.gradients);
        if (step == 0) first = on.losses[0];
        for (int i = 0; i < on.learner.parameter_count; i++)
            for (size_t k = 0; on.gradients[i] && k < length_of(&on, i); k++)
                square += (double)on.gradients[i][k] * (double)on.gradients[i][k];
        for (int i = 0; i < on.learner.parameter_count; i++)
            for (size_t k = 0; on.gradients[i] && k < length_of(&on, i); k++)
                on.learner.parameters[i].data[k] -= (float)(rate / sqrt(square) * (double)on.gradients[i][k]);
        assert_int_equal(on.learner.refresh(on.learner.user), IMP_OK);
    }
    if (!(on.losses[0] < first)) fail_msg("the loss goes from %g to %g", first, on.losses[0]);
    end(&on);
}

static void both_learn(void **state) {
    (void)state;
    descend(STYLER(""), 1e-2);
    descend(STUDENT("thin", ", \"options\": {\"channels\": 8}"), 1e-2);
}

/* ---- Batch norm -------------------------------------------------------------------------------------------------- */

/* Running means and variances come to what a batch has, so that the loss by them, in evaluations without gradients, comes to
   the one in training. Those change nothing. */
static void norms_keep_what_they_saw(void **state) {
    static float *const none[MOST_PARAMETERS];
    enum { EVALUATIONS = 60 }; /* 0.9^60 of the first numbers is left: 0.2 % */
    double training, before, after;
    bench on;
    (void)state;
    begin(&on, STUDENT("mobilenetv3", ""), 2);
    evaluate(&on, none);
    before = on.losses[0];
    evaluate(&on, none);
    assert_true(on.losses[0] == before);
    for (int i = 0; i < EVALUATIONS; i++) {
        evaluate(&on, on.gradients);
        on.learner.follow(on.learner.user);
    }
    training = on.losses[0];
    evaluate(&on, none);
    after = on.losses[0];
    /* What is left, and n - 1 in variances of as few as 4 values a picture at the last layers. */
    if (!(fabs(after / training - 1) < 0.1 && fabs(before / training - 1) > 0.2))
        fail_msg("the loss is %g in training, %g by the first means and %g by those kept", training, before, after);
    end(&on);
}

/* A tap's map of four small pictures. */
static float *map_of(imp_context *context, const imp_network *network, const char *name, size_t *count) {
    enum { SIDE = 32, BATCH = 2 };
    static float pixels[BATCH * 3 * SIDE * SIDE];
    const imp_tap tap = {imp_network_find_tap(network, name), IMP_TAP_MAP};
    const imp_plan_options options = {
        .batch = BATCH, .height = SIDE, .width = SIDE, .taps = &tap, .tap_count = 1, .average_scale = 1};
    int channels, height, width;
    imp_plan *plan;
    for (uint64_t i = 0; i < BATCH; i++) crop(NULL, "train", i, SIDE, pixels + i * 3 * SIDE * SIDE);
    if (imp_plan_create(context, network, &options, &plan)) fail_msg("%s", imp_error(context));
    assert_int_equal(imp_plan_forward(plan, pixels), IMP_OK);
    imp_plan_tap_shape(plan, 0, &channels, &height, &width);
    *count = (size_t)channels * (size_t)height * (size_t)width;
    float *values = calloc(*count, sizeof *values);
    imp_plan_read_map(plan, 0, 1, values);
    imp_plan_free(plan);
    return values;
}

static imp_model *random_norms(imp_context *context) {
    const imp_architecture *known = imp_architecture_find(imp_architectures, "mobilenetv3");
    imp_random random;
    imp_model *made;
    assert_int_equal(model(NULL, context, known->name, &made), IMP_OK);
    imp_random_seed(&random, 1);
    for (int i = 0; i < made->network.layer_count; i++) {
        const imp_layer *layer = &made->network.layers[i];
        if (layer->kind != IMP_OPERATION_BATCH_NORM) continue;
        for (int c = 0; c < layer->channels; c++) {
            const imp_parameter *all = made->network.parameters;
            all[layer->weight].data[c] = (float)(1 + 0.3 * imp_random_normal(&random));
            all[layer->bias].data[c] = (float)(0.3 * imp_random_normal(&random));
            all[layer->mean].data[c] = (float)(0.3 * imp_random_normal(&random));
            all[layer->variance].data[c] = (float)exp(imp_random_normal(&random));
        }
    }
    return made;
}

static void folded_norms_give_the_same(void **state) {
    imp_context *context;
    imp_model *made, *folded;
    double squares = 0, difference = 0;
    size_t count, again;
    (void)state;
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    made = random_norms(context);
    assert_int_equal(imp_model_fold_norms(context, made, &folded), IMP_OK);
    assert_true(folded->network.parameter_count < made->network.parameter_count);
    float *one = map_of(context, &made->network, "conv5_1", &count);
    float *other = map_of(context, &folded->network, "conv5_1", &again);
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++) {
        squares += (double)one[i] * (double)one[i];
        difference += ((double)one[i] - (double)other[i]) * ((double)one[i] - (double)other[i]);
    }
    /* Some twenty layers in float, each a rounding or two of 6e-8 away. */
    if (!(squares > 0 && sqrt(difference / squares) < 1e-5)) fail_msg("off by %g", sqrt(difference / squares));
    free(one);
    free(other);
    imp_model_free(made);
    imp_model_free(folded);
    imp_context_free(context);
}

static int make_and_fold(imp_context *context, void *user) {
    imp_model *made, *folded = NULL;
    int status = model(user, context, "mobilenetv3", &made);
    if (!status) status = imp_model_fold_norms(context, made, &folded);
    imp_model_free(made);
    imp_model_free(folded);
    return status;
}

/* What is written is what paints. */
static void a_file_paints_the_same(void **state) {
    enum { WIDTH = 21, HEIGHT = 18, FLOATS = 3 * WIDTH * HEIGHT }; /* no multiples of 4 */
    static float planes[FLOATS], painted[FLOATS], again[FLOATS];
    const float shares[] = {0, 1};
    char path[64];
    imp_model *opened;
    imp_styler *styler;
    bench on;
    (void)state;
    begin(&on, STYLER(""), 2);
    for (int i = 0; i < FLOATS; i++) planes[i] = pixel_of(4, i / (WIDTH * HEIGHT), i / WIDTH % HEIGHT, i % WIDTH);
    assert_int_equal(on.learner.paint(on.learner.user, 1, planes, WIDTH, HEIGHT, painted), IMP_OK);
    snprintf(path, sizeof path, "learner_%ld.safetensors", (long)getpid());
    assert_int_equal(on.learner.write(on.learner.user, path, IMP_STORAGE_F32), IMP_OK);
    assert_int_equal(imp_model_open(on.context, path, &opened), IMP_OK);
    remove(path);
    assert_string_equal(imp_model_style_name(opened, 0), "one");
    assert_string_equal(imp_model_style_name(opened, 1), "two");
    assert_null(imp_model_style_name(opened, 2));
    assert_int_equal(imp_styler_make(on.context, opened, WIDTH, HEIGHT, 1, IMP_ELEMENT_F32, &styler), IMP_OK);
    assert_int_equal(imp_styler_paint(styler, planes, shares, again), IMP_OK);
    assert_memory_equal(painted, again, sizeof again);
    imp_styler_free(styler);
    imp_model_free(opened);
    end(&on);
}

static int make_and_evaluate(imp_context *context, void *user) {
    const char *text = user;
    float *gradients[MOST_PARAMETERS] = {0};
    double losses[IMP_TRAINING_MAX_LOSSES];
    imp_learner learner = {0};
    imp_recipe *recipe = NULL;
    int status = imp_recipe_read(context, text, strlen(text), "r.json", &recipe);
    if (!status) status = imp_learner_create(context, recipe, &source, &learner);
    if (!status) {
        float *crops = calloc(3 * 3 * 16 * 16, sizeof(float));
        gradients[0] = calloc(4096, sizeof(float));
        status = learner.evaluate(learner.user, 0, crops, losses, gradients);
        if (!status) status = learner.refresh(learner.user);
        free(gradients[0]);
        free(crops);
        learner.release(learner.user);
    }
    imp_recipe_free(recipe);
    return status;
}

/* VGG19 that sees nothing: made at once. */
static int blank_model(void *user, imp_context *context, const char *name, imp_model **made) {
    const imp_architecture *known = imp_architecture_find(imp_architectures, name);
    (void)user;
    int status = imp_model_make(context, known, NULL, made);
    if (!status) status = imp_model_set_preprocessing(context, *made, "torchvision");
    for (int i = 0; !status && i < (*made)->network.parameter_count; i++) {
        imp_parameter *parameter = &(*made)->network.parameters[i];
        size_t bytes = imp_parameter_count(parameter) * sizeof(float);
        parameter->data = imp_allocator_take(&(*made)->network.allocator, bytes);
        if (parameter->data)
            memset(parameter->data, 0, bytes);
        else
            status = imp_fail(context, IMP_ERR_MEMORY, "out of memory: a blank model");
    }
    if (!status) return IMP_OK;
    imp_model_free(*made);
    *made = NULL;
    return status;
}

static int make_student(imp_context *context, void *user) {
    const char *text =
        "{\"task\": \"features\", \"network\": {\"architecture\": \"thin\", \"options\": {\"channels\": 4}},"
        " \"loss_network\": {\"model\": \"vgg19\"}, \"losses\": {\"features\": {\"conv2_1\": 1}, \"style\":"
        " {\"conv3_1\": 1}}, \"data\": {\"sources\": [{}], \"crop\": 16}, \"batch\": 2,"
        " \"stages\": [{\"steps\": 1}]}";
    static const imp_training_source blank = {
        .size = sizeof blank, .crop = crop, .picture = picture, .model = blank_model};
    imp_training *training = NULL;
    imp_recipe *recipe = NULL;
    (void)user;
    int status = imp_recipe_read(context, text, strlen(text), "r.json", &recipe);
    if (!status) status = imp_training_create(context, recipe, &blank, &training);
    if (!status) status = imp_training_step(training, NULL);
    imp_training_free(training);
    imp_recipe_free(recipe);
    return status;
}

/* What a student's making is made of, with a network that is small. */
static int measure_and_choose(imp_context *context, void *user) {
    enum { WIDTH = 20, KEPT = 5 };
    const char *text = STYLER("");
    imp_recipe *recipe = NULL;
    imp_model *tiny = NULL;
    imp_moments all = {0};
    float directions[KEPT * WIDTH], others[WIDTH * KEPT];
    int kept[KEPT], last;
    double share;
    int status = imp_recipe_read(context, text, strlen(text), "r.json", &recipe);
    if (!status) status = model(user, context, "tiny", &tiny);
    if (!status)
        status = imp_moments_measure(context, &tiny->network, recipe, IMP_ELEMENT_F32, &source, PICTURES, &all);
    last = status ? -1 : imp_network_find_tap(&tiny->network, "conv2_2");
    if (!status) status = imp_leading_directions(context, all.of[last], WIDTH, KEPT, directions, &share);
    if (!status) status = imp_choose_channels(context, all.of[last], WIDTH, KEPT, kept);
    if (!status) status = imp_tell_channels(context, all.of[last], WIDTH, kept, KEPT, others);
    imp_moments_release(context, &all);
    imp_model_free(tiny);
    imp_recipe_free(recipe);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(measure_and_choose, NULL), 0);
    assert_int_equal(imp_test_some_allocations(make_student, NULL, 131), 0); /* with all of VGG19: seconds each */
    assert_int_equal(imp_test_every_allocation(make_and_evaluate, STYLER(", \"per_style\": true")), 0);
    assert_int_equal(imp_test_every_allocation(make_and_fold, NULL), 0);
}

static void refuse(const char *recipe, const char *words) {
    imp_context *context;
    imp_recipe *read;
    imp_learner learner;
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    if (imp_recipe_read(context, recipe, strlen(recipe), "r.json", &read)) fail_msg("%s", imp_error(context));
    assert_int_not_equal(imp_learner_create(context, read, &source, &learner), IMP_OK);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    imp_recipe_free(read);
    imp_context_free(context);
}

static int no_crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    (void)user, (void)set, (void)number, (void)side, (void)planes;
    return IMP_ERR_UNSUPPORTED;
}

/* Whatever was wrong with a crop stays known. */
static void a_missing_crop_keeps_its_status(void **state) {
    const char *const recipes[] = {STYLER(", \"per_style\": true"), STUDENT("thin", "")};
    imp_training_source none = source;
    (void)state;
    none.crop = no_crop;
    for (int i = 0; i < 2; i++) {
        imp_context *context;
        imp_recipe *recipe;
        imp_learner learner;
        assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
        assert_int_equal(imp_recipe_read(context, recipes[i], strlen(recipes[i]), "r.json", &recipe), IMP_OK);
        assert_int_equal(imp_learner_create(context, recipe, &none, &learner), IMP_ERR_UNSUPPORTED);
        assert_string_equal(imp_error(context), "there is no crop 0 of \"sample\"");
        imp_recipe_free(recipe);
        imp_context_free(context);
    }
}

/* It is made as high as its layers need, as an evaluation does. */
static void a_painting_may_be_a_line(void **state) {
    bench on;
    (void)state;
    begin(&on,
          "{\"task\": \"style\", \"network\": {\"architecture\": \"fine\"}, \"loss_network\": {\"model\": \"tiny\"},"
          " \"losses\": {\"content\": {\"conv2_2\": 1}, \"style\": {\"conv2_1\": 1}}, \"styles\": [{\"name\": \"one\","
          " \"picture\": \"line\", \"side\": 16}], \"data\": {\"sources\": [{}], \"crop\": 16},"
          " \"stages\": [{\"steps\": 1}]}",
          2);
    end(&on);
}

static void wrong_recipes_are_refused(void **state) {
#define WITH(network, losses)                                                                                          \
    "{\"task\": \"style\", \"network\": " network ", \"loss_network\": {\"model\": \"tiny\"}, \"losses\": " losses     \
    ", \"styles\": [{\"name\": \"one\", \"picture\": \"a\"}], \"data\": {\"sources\": [{}], \"crop\": 16},"            \
    " \"stages\": [{\"steps\": 1}]}"
#define CROPS(task, name, more, side)                                                                                  \
    "{\"task\": \"" task "\", \"network\": {\"architecture\": \"" name "\"}, \"loss_network\": {\"model\": \"none\"}," \
    " " more ", \"data\": {\"sources\": [{}], \"crop\": " side "}, \"stages\": [{\"steps\": 1}]}"
#define LOSSES "{\"content\": {\"conv2_2\": 1}, \"style\": {\"conv1_1\": 1}}"
    (void)state;
    refuse(WITH("{\"architecture\": \"fin\"}", LOSSES), "did you mean \"fine\"");
    refuse(WITH("{\"architecture\": \"vgg19\"}", LOSSES), "paints nothing");
    refuse(WITH("{\"architecture\": \"fine\", \"options\": {\"chanels\": 16}}", LOSSES), "did you mean \"channels\"");
    refuse(WITH("{\"architecture\": \"fine\", \"options\": {\"channels\": 5000}}", LOSSES), "from 16 to 512");
    refuse(WITH("{\"architecture\": \"fine\", \"options\": {\"channels\": 16.5}}", LOSSES), "no whole number");
    refuse(WITH("{\"architecture\": \"fine\"}", "{\"content\": {\"conv2_2\": 1}, \"style\": {\"conv1_3\": 1}}"),
           "no layer \"conv1_3\"");
    refuse(CROPS("style", "fine", "\"losses\": " LOSSES ", \"styles\": [{\"name\": \"a\", \"picture\": \"a\"}]", "250"),
           "\"crop\" in \"data\" is 250; fine needs a multiple of 4");
    refuse(CROPS("features", "thin", "\"losses\": {\"features\": {\"conv2_1\": 1}}", "40"),
           "\"crop\" in \"data\" is 40; thin needs a multiple of 16");
    refuse(
        "{\"task\": \"features\", \"network\": {\"architecture\": \"thin\"}, \"loss_network\": {\"model\": \"tiny\"},"
        " \"losses\": {\"features\": {\"conv2_1\": 1}}, \"data\": {\"sources\": [{}], \"crop\": 32},"
        " \"stages\": [{\"steps\": 1}]}",
        "learnt from vgg19");
}

/* ---- Directions and channels ------------------------------------------------------------------------------------- */

enum { SIZE = 12, RANK = 4 };

/* A A^T of random A [SIZE, RANK]: all is in RANK directions, and RANK channels tell all others. */
static void make_moments(double *moments) {
    double factor[SIZE * RANK];
    imp_random random;
    imp_random_seed(&random, 11);
    for (int i = 0; i < SIZE * RANK; i++) factor[i] = imp_random_normal(&random);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            moments[i * SIZE + j] = 0;
            for (int k = 0; k < RANK; k++) moments[i * SIZE + j] += factor[i * RANK + k] * factor[j * RANK + k];
        }
}

static void directions_hold_what_there_is(void **state) {
    double moments[SIZE * SIZE], share;
    float directions[RANK * SIZE];
    imp_context *context;
    (void)state;
    make_moments(moments);
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    assert_int_equal(imp_leading_directions(context, moments, SIZE, RANK, directions, &share), IMP_OK);
    assert_true(fabs(share - 1) < 1e-9); /* all, but for the rounding of doubles */
    for (int i = 0; i < RANK; i++)
        for (int k = 0; k < RANK; k++) {
            double dot = 0;
            for (int j = 0; j < SIZE; j++) dot += (double)directions[i * SIZE + j] * (double)directions[k * SIZE + j];
            assert_true(fabs(dot - (i == k)) < 1e-6); /* directions are floats */
        }
    assert_int_equal(imp_leading_directions(context, moments, SIZE, RANK - 1, directions, &share), IMP_OK);
    assert_true(share > 0.5 && share < 1 - 1e-6);
    imp_context_free(context);
}

static void few_channels_tell_the_others(void **state) {
    double moments[SIZE * SIZE];
    float others[SIZE * RANK];
    int kept[RANK];
    imp_context *context;
    (void)state;
    make_moments(moments);
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    assert_int_equal(imp_choose_channels(context, moments, SIZE, RANK, kept), IMP_OK);
    assert_int_equal(imp_tell_channels(context, moments, SIZE, kept, RANK, others), IMP_OK);
    for (int c = 0; c < SIZE; c++) {
        double left = moments[c * SIZE + c]; /* |c - sum others kept|^2 */
        for (int i = 0; i < RANK; i++) {
            double factor = (double)others[c * RANK + i];
            left -= 2 * factor * moments[c * SIZE + kept[i]];
            for (int k = 0; k < RANK; k++)
                left += factor * (double)others[c * RANK + k] * moments[kept[i] * SIZE + kept[k]];
        }
        assert_true(fabs(left) < 1e-4 * (1 + moments[c * SIZE + c])); /* the ridge, and floats */
    }
    imp_context_free(context);
}

/* A convolution of kept channels is that of all channels when the others are what they are told to be. */
static void kept_weights_give_the_same(void **state) {
    enum { IN = 3, KEPT = 2, OUT = 4, KERNEL = 2 };
    const float weights[OUT * IN * KERNEL] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6};
    const float others[IN * KEPT] = {1, 0, 0, 1, 0.5f, -2}; /* the third is half the first less twice the second */
    const int outs[] = {3, 1};
    float kept[2 * KEPT * KERNEL];
    (void)state;
    imp_keep_weights(weights, IN, KERNEL, outs, 2, others, KEPT, kept);
    for (int o = 0; o < 2; o++)
        for (int k = 0; k < KERNEL; k++) {
            const float *row = weights + outs[o] * IN * KERNEL + k;
            assert_true(kept[(o * KEPT + 0) * KERNEL + k] == row[0] + 0.5f * row[2 * KERNEL]);
            assert_true(kept[(o * KEPT + 1) * KERNEL + k] == row[KERNEL] - 2 * row[2 * KERNEL]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stylers_gradient_is_its_losses_slope),
        cmocka_unit_test(a_students_gradient_is_its_losses_slope),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(styles_weigh_alike),
        cmocka_unit_test(sizes_have_a_floor),
        cmocka_unit_test(checkpoints_hold_what_samples_told),
        cmocka_unit_test(styles_take_turns),
        cmocka_unit_test(both_learn),
        cmocka_unit_test(norms_keep_what_they_saw),
        cmocka_unit_test(folded_norms_give_the_same),
        cmocka_unit_test(a_file_paints_the_same),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_missing_crop_keeps_its_status),
        cmocka_unit_test(a_painting_may_be_a_line),
        cmocka_unit_test(wrong_recipes_are_refused),
        cmocka_unit_test(directions_hold_what_there_is),
        cmocka_unit_test(few_channels_tell_the_others),
        cmocka_unit_test(kept_weights_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
