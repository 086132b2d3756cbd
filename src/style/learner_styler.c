/* A styler learns to paint: its pictures of crops are compared with the crops (content) and with paintings (style), as a
 * loss network sees them (Johnson et al., arXiv 1603.08155). */
#include "style/networks.h"
#include "style/style_bank.h"
#include "style/styler.h"
#include "style/trainee.h"
#include "style/variation.h"

#include <string.h>

#define SAMPLE_CROPS 64 /* whose style losses tell the sizes: a batch may be one crop, or noise alone */
enum { LOSS_TOTAL, LOSS_CONTENT, LOSS_STYLE, LOSS_VARIATION, LOSS_COUNT };
static const char *const loss_names[LOSS_COUNT] = {"total", "content", "style", "variation"};

typedef struct styler_learner {
    imp_context *context;
    const imp_recipe *recipe;
    imp_trainee trainee;
    imp_model *teacher;
    imp_element element; /* of the teacher's maps */
    imp_style_bank bank;
    int content_count, content[IMP_RECIPE_CONTENT_LAYERS];
    double content_weights[IMP_RECIPE_CONTENT_LAYERS];
    int tap_count; /* the style layers, then content layers that are none of them */
    imp_tap taps[IMP_BANK_LAYERS + IMP_RECIPE_CONTENT_LAYERS];
    int content_taps[IMP_RECIPE_CONTENT_LAYERS]; /* index among taps */

    imp_plan *painter; /* the network that trains */
    imp_plan *photos;  /* the teacher's, of crops: content layers */
    imp_plan *critic;  /* the teacher's, of painted crops, with backward */
    imp_map_target *targets[IMP_RECIPE_CONTENT_LAYERS];
    float *painted, *gradient;     /* [batch, 3, side, side] */
    float *styles;                 /* [batch, styles] */
    int *chosen;                   /* [batch] style of each picture */
    imp_tap_gradient *terms;       /* [tap_count, batch] of the critic */
    imp_tap_gradient *paint_terms; /* [batch] */
    float **by_second, **by_sum;   /* [style layers] each [batch, ...] */
} styler_learner;

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static int find_taps(styler_learner *learner) {
    const imp_recipe_losses *losses = &learner->recipe->losses;
    int status = imp_recipe_find_layers(learner->context, &learner->teacher->network, &losses->content, "content",
                                        learner->content, learner->content_weights, IMP_RECIPE_CONTENT_LAYERS);
    if (status) return status;
    learner->content_count = losses->content.count;
    for (int i = 0; i < learner->bank.layer_count; i++)
        imp_taps_add(learner->taps, &learner->tap_count, learner->bank.layers[i], IMP_TAP_STATISTICS);
    for (int i = 0; i < learner->content_count; i++)
        learner->content_taps[i] = imp_taps_add(learner->taps, &learner->tap_count, learner->content[i], IMP_TAP_MAP);
    return IMP_OK;
}

static int make_plans(styler_learner *learner) {
    const imp_network *network = &learner->trainee.model->network;
    imp_tap paint = {imp_network_find_tap(network, IMP_STYLER_OUTPUT), IMP_TAP_PLANES},
            content[IMP_RECIPE_CONTENT_LAYERS];
    if (paint.layer < 0)
        return imp_fail(learner->context, IMP_ERR_ARGUMENT, "%s paints nothing: it cannot learn styles",
                        network->architecture);
    imp_plan_options options = imp_recipe_plan_options(learner->recipe, learner->trainee.element, &paint, 1);
    options.backward = options.training = 1;
    int status = imp_plan_create(learner->context, network, &options, &learner->painter);
    for (int i = 0; i < learner->content_count; i++) content[i] = (imp_tap){learner->content[i], IMP_TAP_MAP};
    options = imp_recipe_plan_options(learner->recipe, learner->element, content, learner->content_count);
    if (!status) status = imp_plan_create(learner->context, &learner->teacher->network, &options, &learner->photos);
    options = imp_recipe_plan_options(learner->recipe, learner->element, learner->taps, learner->tap_count);
    options.backward = 1;
    if (!status) status = imp_plan_create(learner->context, &learner->teacher->network, &options, &learner->critic);
    if (!status) imp_plan_set_styles(learner->painter, learner->styles);
    return status;
}

static int make_buffers(styler_learner *learner) {
    imp_context *context = learner->context;
    size_t batch = (size_t)learner->recipe->batch, side = (size_t)learner->recipe->data.crop;
    size_t layers = (size_t)learner->bank.layer_count, floats = 3 * side * side * batch;
    if (!(learner->painted = imp_allocate_zero(context, floats, sizeof(float))) ||
        !(learner->gradient = imp_allocate_zero(context, floats, sizeof(float))) ||
        !(learner->styles = imp_allocate_zero(context, batch, (size_t)learner->recipe->style_count * sizeof(float))) ||
        !(learner->chosen = imp_allocate_zero(context, batch, sizeof(int))) ||
        !(learner->terms = imp_allocate_zero(context, batch, (size_t)learner->tap_count * sizeof *learner->terms)) ||
        !(learner->paint_terms = imp_allocate_zero(context, batch, sizeof *learner->paint_terms)) ||
        !(learner->by_second = imp_allocate_zero(context, layers, sizeof(float *))) ||
        !(learner->by_sum = imp_allocate_zero(context, layers, sizeof(float *))))
        return IMP_ERR_MEMORY;
    unsigned parts = imp_style_loss_at(learner->recipe->losses.style_loss)->gradient;
    for (size_t i = 0; i < layers; i++) {
        size_t channels = (size_t)learner->teacher->network.layers[learner->bank.layers[i]].channels;
        learner->by_second[i] = imp_allocate_zero(context, channels * channels, batch * sizeof(float));
        if (!learner->by_second[i]) return IMP_ERR_MEMORY;
        learner->by_sum[i] = imp_allocate_zero(context, channels, batch * sizeof(float));
        if (!learner->by_sum[i]) return IMP_ERR_MEMORY;
        for (size_t k = 0; k < batch; k++) {
            imp_tap_gradient *term = &learner->terms[i * batch + k];
            if (parts & IMP_STYLE_BY_SECOND) term->by_second = learner->by_second[i] + k * channels * channels;
            if (parts & IMP_STYLE_BY_SUM) term->by_sum = learner->by_sum[i] + k * channels;
        }
    }
    return IMP_OK;
}

/* ---- Losses ------------------------------------------------------------------------------------------------------ */

/* Which style each picture of the step gets: one after the other, so that a network learns each equally often, and that
   whoever looks at as many pictures as there are styles sees all of them. The crops beside them are random already. */
static void choose_styles(styler_learner *learner, int64_t number) {
    int styles = learner->recipe->style_count, batch = learner->recipe->batch;
    memset(learner->styles, 0, (size_t)batch * (size_t)styles * sizeof(float));
    for (int i = 0; i < batch; i++) {
        learner->chosen[i] = (int)((number * batch + i) % styles);
        learner->styles[i * styles + learner->chosen[i]] = 1;
    }
}

/* The content layers' maps of the crops. */
static int keep_content(styler_learner *learner, const float *crops) {
    imp_map_targets_free(learner->context, learner->targets, IMP_RECIPE_CONTENT_LAYERS);
    int status = IMP_OK;
    imp_plan_forward(learner->photos, crops);
    for (int i = 0; i < learner->content_count && !status; i++)
        status = imp_plan_copy_map(learner->photos, i, &learner->targets[i]);
    return status;
}

/* Content loss mean((s F - s C)^2) of a picture at one layer, s the feature scale, as in criterion.c. */
static void evaluate_content(styler_learner *learner, int index, int picture, double *losses) {
    int batch = learner->recipe->batch, tap = learner->content_taps[index];
    double values, scale = learner->teacher->preprocessing.feature_scale;
    double sum = imp_plan_map_loss(learner->critic, tap, picture, learner->targets[index], &values);
    double factor = learner->content_weights[index] * scale * scale / values / batch;
    imp_tap_gradient *term = &learner->terms[tap * batch + picture];
    term->target = learner->targets[index];
    term->map_weight = (float)(2 * learner->recipe->losses.content_weight * factor);
    losses[LOSS_CONTENT] += factor * sum;
}

static int evaluate_style(styler_learner *learner, int layer, int picture, double *losses) {
    int batch = learner->recipe->batch;
    double value, share = learner->bank.weights[layer] / batch;
    imp_statistics statistics = imp_plan_statistics(learner->critic, layer, picture);
    size_t channels = (size_t)statistics.channels, at = (size_t)picture * channels;
    int status = imp_style_bank_evaluate(&learner->bank, learner->chosen[picture], layer, &statistics,
                                         learner->recipe->losses.style_weight * share, &value,
                                         learner->by_second[layer] + at * channels, learner->by_sum[layer] + at);
    if (!status) losses[LOSS_STYLE] += share * value;
    return status;
}

/* Losses of the painted crops and their gradient by pixels. */
static int criticise(styler_learner *learner, double *losses, int backward) {
    const imp_recipe_losses *weights = &learner->recipe->losses;
    int side = learner->recipe->data.crop;
    size_t floats = 3 * (size_t)side * (size_t)side;
    int status = IMP_OK;
    imp_plan_forward(learner->critic, learner->painted);
    for (int i = 0; i < learner->recipe->batch && !status; i++) {
        for (int k = 0; k < learner->content_count; k++) evaluate_content(learner, k, i, losses);
        for (int k = 0; k < learner->bank.layer_count && !status; k++) status = evaluate_style(learner, k, i, losses);
    }
    if (!status && backward) status = imp_plan_backward(learner->critic, learner->terms, learner->gradient);
    for (int i = 0; i < learner->recipe->batch && !status && weights->variation_weight > 0; i++) {
        double value;
        status = imp_variation(learner->context, learner->painted + (size_t)i * floats, 3, side, side,
                               weights->variation_weight / learner->recipe->batch, &value,
                               backward ? learner->gradient + (size_t)i * floats : NULL);
        losses[LOSS_VARIATION] += value / learner->recipe->batch;
    }
    losses[LOSS_TOTAL] = weights->content_weight * losses[LOSS_CONTENT] + weights->style_weight * losses[LOSS_STYLE] +
                         weights->variation_weight * losses[LOSS_VARIATION];
    return status;
}

/* From the gradient by the painted pixels to those by the painter's parameters. */
static int teach(styler_learner *learner) {
    size_t side = (size_t)learner->recipe->data.crop, floats = 3 * side * side;
    for (int i = 0; i < learner->recipe->batch; i++)
        learner->paint_terms[i].planes = learner->gradient + (size_t)i * floats;
    return imp_plan_backward(learner->painter, learner->paint_terms, NULL);
}

static int evaluate(void *user, int64_t number, const float *crops, double *losses, float *const *gradients) {
    styler_learner *learner = user;
    int backward = imp_trainee_want(&learner->trainee, learner->painter, gradients);
    for (int i = 0; i < LOSS_COUNT; i++) losses[i] = 0;
    choose_styles(learner, number);
    int status = keep_content(learner, crops);
    if (status) return status;
    imp_plan_forward(learner->painter, crops);
    imp_plan_read_planes(learner->painter, 0, learner->painted);
    status = criticise(learner, losses, backward);
    return status || !backward ? status : teach(learner);
}

/* ---- The rest of a learner --------------------------------------------------------------------------------------- */

/* Adds the style losses of a batch of crops in all styles to sums [styles, style layers]. */
static int add_losses(styler_learner *learner, const float *crops, double *sums) {
    int batch = learner->recipe->batch, layers = learner->bank.layer_count, status = IMP_OK;
    imp_plan_forward(learner->critic, crops);
    for (int i = 0; i < layers * batch && !status; i++) {
        imp_statistics statistics = imp_plan_statistics(learner->critic, i / batch, i % batch);
        for (int style = 0; style < learner->recipe->style_count && !status; style++) {
            double value; /* the gradient is for nothing here */
            status = imp_style_bank_evaluate(&learner->bank, style, i / batch, &statistics, 1, &value,
                                             learner->by_second[i / batch], learner->by_sum[i / batch]);
            if (!status) sums[style * layers + i / batch] += value;
        }
    }
    return status;
}

/* The sizes of losses are those of untouched crops. They are a state: a training that goes on has to go on with the same
   weights of losses, whatever crops it would find them by. */
static int measure_styles(styler_learner *learner, const imp_training_source *source) {
    imp_style_bank *bank = &learner->bank;
    const int64_t shape[] = {learner->recipe->style_count, bank->layer_count};
    float *crops = learner->painted; /* free until the first step */
    double *sums = imp_allocate_zero(learner->context, (size_t)(shape[0] * shape[1]), sizeof *sums);
    int status = sums ? IMP_OK : IMP_ERR_MEMORY, count = 0;
    for (; count < SAMPLE_CROPS && !status; count += learner->recipe->batch) {
        status = imp_recipe_take_crops(learner->context, learner->recipe, source, "sample", (uint64_t)count, crops);
        if (!status) status = add_losses(learner, crops, sums);
    }
    if (!status) imp_style_bank_set_sizes(bank, sums, count);
    imp_release(learner->context, sums);
    imp_trainee_add_state(&learner->trainee, "style_sizes", 2, shape, bank->sizes)->values = IMP_VALUES_ABOVE_0;
    return status;
}

static int refresh(void *user) {
    styler_learner *learner = user;
    return imp_trainee_refresh(&learner->trainee);
}

static int paint(void *user, int style, const float *planes, int width, int height, float *out) {
    styler_learner *learner = user;
    imp_styler *styler;
    int status =
        imp_styler_make(learner->context, learner->trainee.model, width, height, 1, learner->trainee.element, &styler);
    if (status) return status;
    memset(learner->styles, 0, (size_t)learner->recipe->style_count * sizeof(float));
    learner->styles[style] = 1;
    imp_styler_paint(styler, planes, learner->styles, out);
    imp_styler_free(styler);
    return IMP_OK;
}

static int write(void *user, const char *path, imp_storage storage) {
    styler_learner *learner = user;
    return imp_model_save(learner->context, learner->trainee.model, path, storage);
}

static void release(void *user) {
    styler_learner *learner = user;
    imp_context *context = learner->context;
    imp_map_targets_free(learner->context, learner->targets, IMP_RECIPE_CONTENT_LAYERS);
    imp_plan_free(learner->painter);
    imp_plan_free(learner->photos);
    imp_plan_free(learner->critic);
    for (int i = 0; i < learner->bank.layer_count; i++) {
        if (learner->by_second) imp_release(context, learner->by_second[i]);
        if (learner->by_sum) imp_release(context, learner->by_sum[i]);
    }
    imp_release(context, learner->by_second);
    imp_release(context, learner->by_sum);
    imp_release(context, learner->painted);
    imp_release(context, learner->gradient);
    imp_release(context, learner->styles);
    imp_release(context, learner->chosen);
    imp_release(context, learner->terms);
    imp_release(context, learner->paint_terms);
    imp_style_bank_release(&learner->bank);
    imp_trainee_release(&learner->trainee);
    imp_model_free(learner->teacher);
    imp_release(context, learner);
}

int imp_styler_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                              imp_learner *learner) {
    int status = imp_recipe_check_crop(context, recipe, IMP_STYLER_MULTIPLE);
    if (status) return status;
    styler_learner *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    made->context = context;
    made->recipe = recipe;
    made->element = imp_recipe_element(context, recipe->teacher.precision);
    status = imp_trainee_create(context, recipe, source, &made->trainee);
    if (!status) status = imp_recipe_open_teacher(context, recipe, source, &made->teacher);
    if (!status)
        status = imp_style_bank_create(context, &made->teacher->network, recipe, source, made->element, &made->bank);
    if (!status) status = find_taps(made);
    if (!status) status = make_buffers(made);
    if (!status) status = make_plans(made);
    if (!status && recipe->losses.per_style) status = measure_styles(made, source);
    if (status) {
        release(made);
        return status;
    }
    *learner = (imp_learner){.user = made,
                             /* The sizes of losses are those of one network's maps. */
                             .teacher = recipe->losses.per_style ? imp_network_checksum(&made->teacher->network) : 0,
                             .architecture = made->trainee.model->network.architecture,
                             .parameters = made->trainee.parameters,
                             .parameter_count = made->trainee.parameter_count,
                             .losses = loss_names,
                             .loss_count = recipe->losses.variation_weight > 0 ? LOSS_COUNT : LOSS_VARIATION,
                             .evaluate = evaluate,
                             .refresh = refresh,
                             .paint = paint,
                             .write = write,
                             .release = release};
    return IMP_OK;
}
