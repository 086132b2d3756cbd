/* The steps of a training. */
#include "style/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/image.h"
#include "base/memory.h"
#include "base/structs.h"
#include "style/image.h"
#include "style/trainee.h"

#define MOST_NORM 1e18 /* of a gradient: Adam keeps its squares as floats */

/* ---- Making ------------------------------------------------------------------------------------------------------ */

/* Whether name is like pattern, in which * stands for any characters and ? for one. */
static int is_like(const char *pattern, const char *name) {
    const char *star = NULL, *from = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            from = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) { /* the last star takes one character more */
            pattern = star + 1;
            name = ++from;
        } else {
            return 0;
        }
    }
    return pattern[strspn(pattern, "*")] == 0;
}

static const char *parameter_at(const void *user, int index) {
    const imp_learner *learner = user;
    return index < learner->parameter_count ? learner->parameters[index].name : NULL;
}

static int is_meant(const imp_training *training, const char *pattern, int i) {
    const imp_learner_parameter *parameter = &training->learner.parameters[i];
    return !parameter->state && is_like(pattern, parameter->name);
}

/* IMP_ERR_ARGUMENT: a pattern that means no parameter. stage: from 1 on; 0: it is one of "rates". */
static int check_pattern(const imp_training *training, int stage, const char *pattern) {
    const imp_learner *learner = &training->learner;
    char place[32];
    for (int i = 0; i < learner->parameter_count; i++)
        if (is_meant(training, pattern, i)) return IMP_OK;
    snprintf(place, sizeof place, stage ? "stage %d" : "\"rates\"", stage);
    const char *nearest = imp_nearest_name(pattern, parameter_at, learner);
    return imp_fail(training->context, IMP_ERR_ARGUMENT,
                    "%s: no parameter of %.60s has a name like \"%.60s\"; %s \"%.100s\"%s", place,
                    learner->architecture, pattern, nearest ? "did you mean" : "the first one is",
                    nearest ? nearest : learner->parameters[0].name, nearest ? "?" : "");
}

/* Marks what a pattern of a stage means. */
static int choose(imp_training *training, int stage, const char *pattern) {
    int status = check_pattern(training, stage + 1, pattern);
    for (int i = 0; i < training->learner.parameter_count && !status; i++)
        if (is_meant(training, pattern, i)) training->trained[i].stages |= (uint64_t)1 << stage;
    return status;
}

static int choose_rates(imp_training *training) {
    const imp_recipe_numbers *rates = &training->recipe->optimizer.rates;
    int status = IMP_OK;
    for (int i = 0; i < training->learner.parameter_count; i++) training->trained[i].rate = 1;
    for (int k = 0; k < rates->count && !status; k++) {
        status = check_pattern(training, 0, rates->items[k].name);
        for (int i = 0; i < training->learner.parameter_count && !status; i++)
            if (is_meant(training, rates->items[k].name, i)) training->trained[i].rate = rates->items[k].value;
    }
    return status;
}

static int choose_all(imp_training *training) {
    const imp_recipe *recipe = training->recipe;
    for (int k = 0; k < recipe->stage_count; k++) {
        const imp_recipe_texts *patterns = &recipe->stages[k].train;
        int status = patterns->count ? IMP_OK : choose(training, k, "*");
        for (int i = 0; i < patterns->count && !status; i++) status = choose(training, k, patterns->items[i]);
        if (status) return status;
    }
    return choose_rates(training);
}

/* What the steps need for parameter i, as far as any stage trains it. */
static int prepare_parameter(imp_training *training, int i) {
    imp_context *context = training->context;
    const imp_recipe_optimizer *optimizer = &training->recipe->optimizer;
    const imp_learner_parameter *parameter = &training->learner.parameters[i];
    imp_trained *trained = &training->trained[i];
    size_t length = training->lengths[i];
    if (optimizer->average > 0 && (trained->stages || parameter->state)) {
        trained->average = imp_allocate_zero(context, length, sizeof(float));
        if (!trained->average) return IMP_ERR_MEMORY;
        memcpy(trained->average, parameter->data, length * sizeof(float));
    }
    if (!trained->stages) return IMP_OK;
    trained->gradient = imp_allocate_zero(context, length, sizeof(float));
    if (!trained->gradient) return IMP_ERR_MEMORY;
    int status =
        imp_adam_create(context, length, optimizer->beta1, optimizer->beta2, optimizer->epsilon, &trained->adam);
    if (!status && parameter->decays) imp_adam_set_decay(trained->adam, optimizer->decay);
    return status;
}

static int allocate(imp_training *training) {
    imp_context *context = training->context;
    size_t count = (size_t)training->learner.parameter_count, batch = (size_t)training->recipe->batch;
    size_t side = (size_t)training->recipe->data.crop, crop = 3 * side * side; /* bounded by the table of keys */
    training->trained = imp_allocate_zero(context, count, sizeof *training->trained);
    training->lengths = training->trained ? imp_allocate_zero(context, count, sizeof *training->lengths) : NULL;
    training->gradients = training->lengths ? imp_allocate_zero(context, count, sizeof *training->gradients) : NULL;
    training->squares = training->gradients ? imp_allocate_zero(context, count, sizeof *training->squares) : NULL;
    training->crops = training->squares ? imp_allocate_zero(context, batch, crop * sizeof(float)) : NULL;
    if (!training->crops) return IMP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const imp_learner_parameter *parameter = &training->learner.parameters[i];
        training->lengths[i] = 1;
        for (int k = 0; k < parameter->dimensions; k++) training->lengths[i] *= (size_t)parameter->shape[k];
    }
    int status = choose_all(training);
    for (size_t i = 0; i < count && !status; i++) status = prepare_parameter(training, (int)i);
    return status;
}

int imp_train_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                     const imp_learner *learner, imp_training **training) {
    imp_training *made = imp_allocate_zero(context, 1, sizeof *made);
    *training = NULL;
    if (!made) {
        learner->release(learner->user);
        return IMP_ERR_MEMORY;
    }
    *made = (imp_training){
        .context = context, .recipe = recipe, .source = *source, .learner = *learner, .begin = imp_seconds()};
    int status = allocate(made);
    if (status) {
        imp_training_free(made);
        return status;
    }
    *training = made;
    return IMP_OK;
}

int imp_training_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                        imp_training **training) {
    imp_training_source ours = {.size = sizeof ours};
    imp_learner learner;
    if (training) *training = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!recipe || !training)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_training_create: recipe or training is NULL");
    int status = imp_struct_read(context, source, &ours, sizeof ours, "training source");
    if (!status && (!ours.crop || !ours.picture || !ours.model))
        status = imp_fail(context, IMP_ERR_ARGUMENT, "training source: a callback is NULL");
    if (!status) status = imp_learner_create(context, recipe, &ours, &learner);
    return status ? status : imp_train_create(context, recipe, &ours, &learner, training);
}

void imp_training_free(imp_training *training) {
    if (!training) return;
    imp_context *context = training->context;
    for (int i = 0; training->trained && i < training->learner.parameter_count; i++) {
        imp_adam_free(training->trained[i].adam);
        imp_release(context, training->trained[i].gradient);
        imp_release(context, training->trained[i].average);
    }
    imp_release(context, training->trained);
    imp_release(context, training->lengths);
    imp_release(context, training->gradients);
    imp_release(context, training->squares);
    imp_release(context, training->crops);
    training->learner.release(training->learner.user);
    imp_release(context, training);
}

/* ---- Stepping ---------------------------------------------------------------------------------------------------- */

int imp_training_refresh(imp_training *training) {
    if (!training->stale) return IMP_OK;
    int status = training->learner.refresh(training->learner.user);
    if (!status) training->stale = 0;
    return status;
}

void imp_training_swap(imp_training *training) {
    for (int i = 0; i < training->learner.parameter_count; i++) {
        float *average = training->trained[i].average, *data = training->learner.parameters[i].data;
        for (size_t k = 0; average && k < training->lengths[i]; k++) {
            float kept = average[k];
            average[k] = data[k];
            data[k] = kept;
        }
        if (average) training->stale = 1;
    }
}

/* The stage that the step belongs to, and how many steps went before it. */
static int find_stage(const imp_recipe *recipe, int64_t step, int64_t *before) {
    int stage = 0;
    *before = 0;
    while (stage + 1 < recipe->stage_count && step >= *before + recipe->stages[stage].steps)
        *before += recipe->stages[stage++].steps;
    return stage;
}

static double find_rate(const imp_recipe_stage *stage, int64_t step) {
    const imp_schedule schedule = {.kind = (imp_schedule_kind)stage->schedule,
                                   .initial = stage->learning_rate,
                                   .warm_up = stage->warm_up,
                                   .steps = stage->steps,
                                   .step_size = stage->step_size,
                                   .gamma = stage->gamma,
                                   .least = stage->least};
    return imp_schedule_rate(&schedule, step);
}

static int take_crops(imp_training *training, const char *set, uint64_t first) {
    return imp_recipe_take_crops(training->context, training->recipe, &training->source, set, first, training->crops);
}

/* Losses and gradients of the batch at hand; nothing has changed when they are not finite. */
static int evaluate(imp_training *training, int stage, imp_training_progress *progress) {
    const imp_learner *learner = &training->learner;
    for (int i = 0; i < learner->parameter_count; i++)
        training->gradients[i] = training->trained[i].stages >> stage & 1 ? training->trained[i].gradient : NULL;
    int status =
        learner->evaluate(learner->user, training->step, training->crops, progress->losses, training->gradients);
    if (status) return status;
    const imp_gradients gradients = {training->gradients, training->lengths, training->squares,
                                     learner->parameter_count};
    double clip = training->recipe->optimizer.clip;
    progress->gradient_norm = imp_clip_norm(training->context, &gradients, clip);
    int fits = isfinite(progress->gradient_norm) && (clip > 0 || progress->gradient_norm <= MOST_NORM);
    if (isfinite(progress->losses[0]) && fits) return IMP_OK;
    return imp_fail(training->context, IMP_ERR_NUMERIC,
                    "step %lld: the loss is %g and the gradient's norm %g: lower \"learning_rate\" of stage %d, or set "
                    "\"clip\" in \"optimizer\"",
                    (long long)training->step + 1, progress->losses[0], progress->gradient_norm, stage + 1);
}

static void update(imp_training *training, double rate) {
    double decay = training->recipe->optimizer.average;
    training->step++;
    if (training->learner.follow) training->learner.follow(training->learner.user);
    for (int i = 0; i < training->learner.parameter_count; i++) {
        imp_trained *trained = &training->trained[i];
        float *data = training->learner.parameters[i].data;
        if (training->gradients[i]) imp_adam_step(trained->adam, rate * trained->rate, data, training->gradients[i]);
        if (trained->average)
            imp_average_add(training->context, training->lengths[i], decay, training->step, data, trained->average);
    }
    training->stale = 1;
}

static void tell_time(const imp_training *training, imp_training_progress *progress) {
    int64_t done = training->step - training->begin_step;
    progress->seconds = imp_seconds() - training->begin;
    if (done < 1 || !(progress->seconds > 0)) return;
    progress->pictures_per_second = (double)done * training->recipe->batch / progress->seconds;
    progress->seconds_left = progress->seconds / (double)done * (double)(progress->steps - progress->step);
}

static int make_step(imp_training *training, imp_training_progress *progress) {
    const imp_recipe *recipe = training->recipe;
    int64_t before;
    int stage = find_stage(recipe, training->step, &before);
    int status = imp_training_refresh(training);
    if (!status) status = take_crops(training, "train", (uint64_t)training->step * (uint64_t)recipe->batch);
    if (!status) status = evaluate(training, stage, progress);
    if (status) return status;
    progress->learning_rate = find_rate(&recipe->stages[stage], training->step - before);
    update(training, progress->learning_rate);
    return IMP_OK;
}

/* Completes what a step told, into the caller's struct. */
static void tell(const imp_training *training, imp_training_progress *ours, imp_training_progress *progress) {
    int64_t before;
    ours->step = training->step;
    ours->steps = training->recipe->steps;
    ours->stages = training->recipe->stage_count;
    ours->done = ours->step >= ours->steps;
    ours->stage = 1 + find_stage(training->recipe, ours->step > 0 ? ours->step - 1 : 0, &before);
    tell_time(training, ours);
    imp_struct_write(progress, ours, sizeof *ours);
}

int imp_training_step(imp_training *training, imp_training_progress *progress) {
    imp_training_progress ours = {.size = sizeof ours};
    if (!training) return IMP_ERR_ARGUMENT;
    int status = progress ? imp_struct_check(training->context, progress, "training progress") : IMP_OK;
    if (!status && training->step < training->recipe->steps) status = make_step(training, &ours);
    if (!status && progress) tell(training, &ours, progress);
    return status;
}

int imp_training_tell(const imp_training *training, imp_training_progress *progress) {
    imp_training_progress ours = {.size = sizeof ours};
    if (!training) return IMP_ERR_ARGUMENT;
    int status = imp_struct_check(training->context, progress, "training progress");
    if (!status) tell(training, &ours, progress);
    return status;
}

const char *imp_training_loss_name(const imp_training *training, int index) {
    return training && index >= 0 && index < training->learner.loss_count ? training->learner.losses[index] : NULL;
}

/* ---- What the averaged weights do -------------------------------------------------------------------------------- */

/* Over whole batches, without gradients. */
static int add_losses(imp_training *training, int batches, double *sums) {
    const imp_learner *learner = &training->learner;
    memset(training->gradients, 0, (size_t)learner->parameter_count * sizeof *training->gradients);
    for (int k = 0; k < batches; k++) {
        double losses[IMP_TRAINING_MAX_LOSSES] = {0};
        int status = take_crops(training, "validation", (uint64_t)k * (uint64_t)training->recipe->batch);
        if (!status) status = learner->evaluate(learner->user, k, training->crops, losses, training->gradients);
        if (status) return status;
        for (int i = 0; i < learner->loss_count; i++) sums[i] += losses[i];
    }
    return IMP_OK;
}

int imp_training_validate(imp_training *training, int count, double *losses) {
    if (!training) return IMP_ERR_ARGUMENT;
    if (!losses || count < 1)
        return imp_fail(training->context, IMP_ERR_ARGUMENT, "imp_training_validate: losses is NULL or count %d",
                        count);
    if (count < training->recipe->style_count) count = training->recipe->style_count;
    int batches = (count + training->recipe->batch - 1) / training->recipe->batch;
    double sums[IMP_TRAINING_MAX_LOSSES] = {0};
    imp_training_swap(training);
    int status = imp_training_refresh(training);
    if (!status) status = add_losses(training, batches, sums);
    imp_training_swap(training);
    if (!status) status = imp_training_refresh(training);
    for (int i = 0; i < IMP_TRAINING_MAX_LOSSES && !status; i++) losses[i] = sums[i] / batches;
    return status;
}

/* Checks what the caller gave, and has the learner paint planes in place of out. */
static int paint_planes(imp_training *training, const imp_image *photo, int style, float *planes, float *out) {
    int status = imp_image_fill_planes(training->context, photo, photo->width, photo->height, planes);
    imp_training_swap(training);
    if (!status) status = imp_training_refresh(training);
    if (!status)
        status = training->learner.paint(training->learner.user, style, planes, photo->width, photo->height, out);
    imp_training_swap(training);
    return status ? status : imp_training_refresh(training);
}

int imp_training_paint(imp_training *training, const imp_image *photo, int style, imp_image *out) {
    if (!training) return IMP_ERR_ARGUMENT;
    imp_context *context = training->context;
    if (!photo || !out) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_training_paint: photo or out is NULL");
    *out = (imp_image){.size = sizeof *out};
    int status = imp_image_check(context, photo, "photo");
    if (status) return status;
    if (!training->learner.paint)
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "%.60s paints nothing", training->learner.architecture);
    if (style < 0 || style >= training->recipe->style_count)
        return imp_fail(context, IMP_ERR_ARGUMENT, "there is no style %d; the recipe has %d", style,
                        training->recipe->style_count);
    size_t pixels = (size_t)photo->width * (size_t)photo->height;
    float *planes = imp_allocate_zero(context, pixels, 2 * 3 * sizeof(float)); /* the photo's, then the result's */
    if (!planes) return IMP_ERR_MEMORY;
    status = paint_planes(training, photo, style, planes, planes + 3 * pixels);
    if (!status)
        status = imp_planes_to_image(context, planes + 3 * pixels, photo->width, photo->height, IMP_DEPTH_8, out);
    imp_release(context, planes);
    return status;
}

int imp_training_export(imp_training *training, const char *path, imp_storage storage) {
    if (!training) return IMP_ERR_ARGUMENT;
    if (!path || (storage != IMP_STORAGE_F32 && storage != IMP_STORAGE_F16 && storage != IMP_STORAGE_BF16))
        return imp_fail(training->context, IMP_ERR_ARGUMENT, "imp_training_export: path is NULL or storage unknown");
    imp_training_swap(training);
    int status = imp_training_refresh(training);
    if (!status) status = training->learner.write(training->learner.user, path, storage);
    imp_training_swap(training);
    return status ? status : imp_training_refresh(training);
}
