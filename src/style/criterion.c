/* The criterion: taps of a network, targets per tap, weighted sums of losses and gradients. */
#include "style/criterion.h"

#include "style/variation.h"

/* One layer that losses look at; a layer may serve content and style. */
typedef struct loss_tap {
    double content_weight, style_weight; /* of the layer, without the global weights */
    int has_content, has_style;
    imp_style_target *style_target;
    float *by_second, *by_sum; /* [batch, channels, channels], [batch, channels] */
} loss_tap;

struct imp_criterion {
    imp_context *context;
    const imp_network *network;
    const imp_settings *settings;
    int batch, width, height;
    imp_strips *strips;
    imp_tap taps[2 * IMP_MAX_LOSS_LAYERS];
    loss_tap losses[2 * IMP_MAX_LOSS_LAYERS];
    int tap_count;
    imp_tap_gradient *gradients; /* [tap_count, batch] */
};

/* The tap of a layer, added when it is new. */
static loss_tap *tap_of_layer(imp_criterion *criterion, int layer, unsigned use) {
    int i = 0;
    while (i < criterion->tap_count && criterion->taps[i].layer != layer) i++;
    if (i == criterion->tap_count) criterion->taps[criterion->tap_count++].layer = layer;
    criterion->taps[i].use |= use;
    return &criterion->losses[i];
}

static void list_taps(imp_criterion *criterion) {
    const imp_settings *settings = criterion->settings;
    for (int i = 0; i < settings->style_count; i++) {
        loss_tap *tap = tap_of_layer(criterion, settings->style[i].layer, IMP_TAP_STATISTICS);
        tap->style_weight = settings->style[i].weight;
        tap->has_style = 1;
    }
    for (int i = 0; i < settings->content_count; i++) {
        loss_tap *tap = tap_of_layer(criterion, settings->content[i].layer, IMP_TAP_MAP);
        tap->content_weight = settings->content[i].weight;
        tap->has_content = 1;
    }
}

static imp_plan_options plan_options(const imp_criterion *criterion, const imp_tap *taps, int tap_count, int width,
                                     int height) {
    const imp_settings *settings = criterion->settings;
    return (imp_plan_options){.batch = 1,
                              .height = height,
                              .width = width,
                              .taps = taps,
                              .tap_count = tap_count,
                              .pooling = settings->pooling,
                              .average_scale = (float)settings->preset->average_scale,
                              .first_padding = settings->padding,
                              .element = settings->element};
}

/* Of the plan that sees the pictures. */
static imp_plan_options picture_options(const imp_criterion *criterion) {
    imp_plan_options options =
        plan_options(criterion, criterion->taps, criterion->tap_count, criterion->width, criterion->height);
    options.batch = criterion->batch;
    options.backward = 1;
    return options;
}

static int create_style_target(imp_criterion *criterion, int index) {
    imp_context *context = criterion->context;
    loss_tap *tap = &criterion->losses[index];
    size_t channels = (size_t)criterion->network->layers[criterion->taps[index].layer].channels;
    size_t batch = (size_t)criterion->batch;
    tap->by_second = imp_allocate_zero(context, channels * channels, batch * sizeof(float));
    tap->by_sum = imp_allocate_zero(context, channels, batch * sizeof(float));
    if (!tap->by_second || !tap->by_sum) return IMP_ERR_MEMORY;
    unsigned parts = criterion->settings->style_loss->gradient;
    for (size_t i = 0; i < batch; i++) {
        imp_tap_gradient *gradient = &criterion->gradients[(size_t)index * batch + i];
        gradient->by_second = parts & IMP_STYLE_BY_SECOND ? tap->by_second + i * channels * channels : NULL;
        gradient->by_sum = parts & IMP_STYLE_BY_SUM ? tap->by_sum + i * channels : NULL;
    }
    return imp_style_target_create(context, criterion->settings->style_loss, (int)channels,
                                   criterion->network->preprocessing->feature_scale, &tap->style_target);
}

int imp_criterion_create(imp_context *context, const imp_network *network, const imp_settings *settings, int batch,
                         int width, int height, imp_criterion **out) {
    *out = NULL;
    imp_criterion *criterion = imp_allocate_zero(context, 1, sizeof *criterion);
    if (!criterion) return IMP_ERR_MEMORY;
    criterion->context = context;
    criterion->network = network;
    criterion->settings = settings;
    criterion->batch = batch;
    criterion->width = width;
    criterion->height = height;
    list_taps(criterion);
    criterion->gradients =
        imp_allocate_zero(context, (size_t)criterion->tap_count * (size_t)batch, sizeof *criterion->gradients);
    int status = criterion->gradients ? IMP_OK : IMP_ERR_MEMORY;
    for (int i = 0; i < criterion->tap_count && !status; i++)
        if (criterion->losses[i].has_style) status = create_style_target(criterion, i);
    if (status) {
        imp_criterion_free(criterion);
        return status;
    }
    *out = criterion;
    return IMP_OK;
}

/* Bytes of all but strips. */
static uint64_t bytes_beside_strips(const imp_criterion *criterion) {
    uint64_t batch = (uint64_t)criterion->batch;
    uint64_t bytes = sizeof *criterion + (uint64_t)criterion->tap_count * batch * sizeof *criterion->gradients;
    for (int i = 0; i < criterion->tap_count; i++) {
        int channels = criterion->network->layers[criterion->taps[i].layer].channels;
        if (!criterion->losses[i].has_style) continue;
        bytes += batch * ((uint64_t)channels + 1) * (uint64_t)channels * sizeof(float); /* by_second, by_sum */
        bytes += imp_style_target_measure(criterion->context, criterion->settings->style_loss, channels);
    }
    return bytes;
}

/* What is left of memory for strips; 0 means no limit in both. */
static uint64_t memory_of_strips(const imp_criterion *criterion, uint64_t memory) {
    return imp_limit_left(memory, bytes_beside_strips(criterion));
}

int imp_criterion_measure(imp_context *context, const imp_network *network, const imp_settings *settings, int batch,
                          int width, int height, uint64_t memory, imp_strips_cost *cost) {
    imp_criterion criterion = {
        .context = context, .network = network, .settings = settings, .batch = batch, .width = width, .height = height};
    list_taps(&criterion);
    imp_plan_options options = picture_options(&criterion);
    int status = imp_strips_measure(context, network, &options, memory_of_strips(&criterion, memory), cost);
    if (!status) cost->bytes += bytes_beside_strips(&criterion);
    return status;
}

/* The taps of a plan that sees a style picture, which goes no further than the deepest style layer, and the losses that
   they are for; how many. */
static int list_style_taps(imp_criterion *criterion, imp_tap *taps, loss_tap **targets) {
    int count = 0;
    for (int i = 0; i < criterion->tap_count; i++)
        if (criterion->losses[i].has_style) {
            targets[count] = &criterion->losses[i];
            taps[count++] = (imp_tap){criterion->taps[i].layer, IMP_TAP_STATISTICS};
        }
    return count;
}

int imp_criterion_measure_style(imp_context *context, const imp_network *network, const imp_settings *settings,
                                int batch, int width, int height, uint64_t memory, imp_strips_cost *cost) {
    imp_criterion criterion = {.context = context, .network = network, .settings = settings, .batch = batch};
    imp_tap taps[IMP_MAX_LOSS_LAYERS];
    loss_tap *targets[IMP_MAX_LOSS_LAYERS];
    list_taps(&criterion);
    imp_plan_options options =
        plan_options(&criterion, taps, list_style_taps(&criterion, taps, targets), width, height);
    int status = imp_strips_measure(context, network, &options, memory_of_strips(&criterion, memory), cost);
    if (!status) cost->bytes += bytes_beside_strips(&criterion);
    return status;
}

int imp_criterion_add_style(imp_criterion *criterion, const float *style, int width, int height, double weight,
                            uint64_t memory) {
    imp_tap taps[IMP_MAX_LOSS_LAYERS];
    loss_tap *targets[IMP_MAX_LOSS_LAYERS];
    int count = list_style_taps(criterion, taps, targets);
    imp_plan_options options = plan_options(criterion, taps, count, width, height);
    imp_strips *strips;
    int status = imp_strips_create(criterion->context, criterion->network, &options,
                                   memory_of_strips(criterion, memory), &strips);
    if (status) return status;
    status = imp_strips_forward(strips, style);
    for (int i = 0; i < count && !status; i++) {
        imp_statistics statistics = imp_strips_statistics(strips, i, 0);
        status = imp_style_target_add(targets[i]->style_target, &statistics, weight);
    }
    imp_strips_free(strips);
    return status;
}

int imp_criterion_finish_styles(imp_criterion *criterion) {
    int status = IMP_OK;
    for (int i = 0; i < criterion->tap_count && !status; i++)
        if (criterion->losses[i].has_style) status = imp_style_target_finish(criterion->losses[i].style_target);
    return status;
}

/* Makes the strips only now, so that they and those of a style picture are never there at the same time. */
int imp_criterion_set_content(imp_criterion *criterion, const float *content, uint64_t memory) {
    imp_plan_options options = picture_options(criterion);
    int status = imp_strips_create(criterion->context, criterion->network, &options,
                                   memory_of_strips(criterion, memory), &criterion->strips);
    return status ? status : imp_strips_keep_targets(criterion->strips, content);
}

/* Style loss of one tap of a picture and its gradient by statistic. */
static int evaluate_style(imp_criterion *criterion, int index, int picture, double *style) {
    loss_tap *tap = &criterion->losses[index];
    double value, weight = criterion->settings->style_weight * tap->style_weight;
    imp_statistics statistics = imp_strips_statistics(criterion->strips, index, picture);
    size_t channels = (size_t)statistics.channels, at = (size_t)picture * channels;
    int status = imp_style_evaluate(tap->style_target, &statistics, weight, &value, tap->by_second + at * channels,
                                    tap->by_sum + at);
    if (!status) *style += tap->style_weight * value;
    return status;
}

/* Content loss mean((s F - s C)^2) of one tap of a picture, s the feature scale, and the factor of F - C in its
   gradient. */
static void evaluate_content(imp_criterion *criterion, int index, int picture, double lead, double *content) {
    loss_tap *tap = &criterion->losses[index];
    double values, scale = criterion->network->preprocessing->feature_scale;
    double sum = imp_strips_map_loss(criterion->strips, index, picture, &values);
    double factor = tap->content_weight * scale * scale / values;
    *content += factor * sum;
    criterion->gradients[index * criterion->batch + picture].map_weight =
        (float)(2 * lead * criterion->settings->content_weight * factor);
}

/* Losses of a picture and their gradients by tap, after the forward pass. */
static int evaluate_taps(imp_criterion *criterion, int picture, double lead, imp_losses *losses) {
    int status = IMP_OK;
    for (int i = 0; i < criterion->tap_count && !status; i++) {
        if (criterion->losses[i].has_content) evaluate_content(criterion, i, picture, lead, &losses->content);
        if (criterion->losses[i].has_style) status = evaluate_style(criterion, i, picture, &losses->style);
    }
    return status;
}

int imp_criterion_evaluate(imp_criterion *criterion, const float *planes, double lead, imp_losses *losses,
                           float *gradient) {
    const imp_settings *settings = criterion->settings;
    size_t floats = 3 * (size_t)criterion->width * (size_t)criterion->height;
    int status = imp_strips_forward(criterion->strips, planes);
    for (int i = 0; i < criterion->batch && !status; i++) {
        losses[i] = (imp_losses){0};
        status = evaluate_taps(criterion, i, lead, &losses[i]);
    }
    if (!status) status = imp_strips_backward(criterion->strips, criterion->gradients, planes, gradient);
    for (int i = 0; i < criterion->batch && !status; i++) {
        size_t at = (size_t)i * floats;
        if (settings->variation_weight > 0)
            status = imp_variation(criterion->context, planes + at, 3, criterion->height, criterion->width,
                                   settings->variation_weight, &losses[i].variation, gradient + at);
        losses[i].total = settings->content_weight * losses[i].content + settings->style_weight * losses[i].style +
                          settings->variation_weight * losses[i].variation;
        losses[i].objective = losses[i].total + (lead - 1) * settings->content_weight * losses[i].content;
    }
    return status;
}

int imp_criterion_profile(const imp_criterion *criterion, int index, imp_node_profile *profile) {
    return imp_strips_profile(criterion->strips, index, profile);
}

void imp_criterion_free(imp_criterion *criterion) {
    if (!criterion) return;
    for (int i = 0; i < criterion->tap_count; i++) {
        loss_tap *tap = &criterion->losses[i];
        imp_style_target_free(tap->style_target);
        imp_release(criterion->context, tap->by_second);
        imp_release(criterion->context, tap->by_sum);
    }
    imp_strips_free(criterion->strips);
    imp_release(criterion->context, criterion->gradients);
    imp_release(criterion->context, criterion);
}
