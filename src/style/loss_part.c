/* A part of a criterion: taps of a network, targets per tap, weighted sums of losses and gradients. */
#include "style/loss_part.h"

#include "base/memory.h"
#include "style/losses.h"

/* One layer that losses look at; a layer may serve content and style. */
typedef struct loss_tap {
    double content_weight, style_weight; /* of the layer, without the global weights */
    int has_content, has_style;
    imp_style_target *style_target;
    float *by_second, *by_sum; /* [batch, channels, channels], [batch, channels] */
} loss_tap;

struct imp_loss_part {
    imp_context *context;
    const imp_loss_network *network;
    const imp_settings *settings;
    int batch, width, height;
    imp_strips *strips;
    imp_tap taps[2 * IMP_MAX_LOSS_LAYERS];
    loss_tap losses[2 * IMP_MAX_LOSS_LAYERS];
    int tap_count;
    imp_tap_gradient *gradients; /* [tap_count, batch] */
};

static void list_taps(imp_loss_part *part) {
    const imp_loss_network *network = part->network;
    for (int i = 0; i < network->style_count; i++) {
        int index = imp_taps_add(part->taps, &part->tap_count, network->style[i].layer, IMP_TAP_STATISTICS);
        loss_tap *tap = &part->losses[index];
        tap->style_weight = network->style[i].weight;
        tap->has_style = 1;
    }
    for (int i = 0; i < network->content_count; i++) {
        int index = imp_taps_add(part->taps, &part->tap_count, network->content[i].layer, IMP_TAP_MAP);
        loss_tap *tap = &part->losses[index];
        tap->content_weight = network->content[i].weight;
        tap->has_content = 1;
    }
}

/* Of the plan that sees the pictures. */
static imp_plan_options picture_options(const imp_loss_part *part) {
    imp_plan_options options =
        imp_settings_plan_options(part->settings, part->taps, part->tap_count, part->width, part->height);
    options.batch = part->batch;
    options.backward = 1;
    return options;
}

static int create_style_target(imp_loss_part *part, int index) {
    imp_context *context = part->context;
    loss_tap *tap = &part->losses[index];
    size_t channels = (size_t)part->network->network->layers[part->taps[index].layer].channels;
    size_t batch = (size_t)part->batch;
    tap->by_second = imp_allocate_zero(context, channels * channels, batch * sizeof(float));
    tap->by_sum = imp_allocate_zero(context, channels, batch * sizeof(float));
    if (!tap->by_second || !tap->by_sum) return IMP_ERR_MEMORY;
    unsigned parts = part->settings->style_loss->gradient;
    for (size_t i = 0; i < batch; i++) {
        imp_tap_gradient *gradient = &part->gradients[(size_t)index * batch + i];
        gradient->by_second = parts & IMP_STYLE_BY_SECOND ? tap->by_second + i * channels * channels : NULL;
        gradient->by_sum = parts & IMP_STYLE_BY_SUM ? tap->by_sum + i * channels : NULL;
    }
    return imp_style_target_create(context, part->settings->style_loss, (int)channels,
                                   part->network->network->preprocessing->feature_scale, &tap->style_target);
}

int imp_loss_part_create(imp_context *context, const imp_loss_network *network, const imp_settings *settings, int batch,
                         int width, int height, imp_loss_part **out) {
    *out = NULL;
    imp_loss_part *part = imp_allocate_zero(context, 1, sizeof *part);
    if (!part) return IMP_ERR_MEMORY;
    part->context = context;
    part->network = network;
    part->settings = settings;
    part->batch = batch;
    part->width = width;
    part->height = height;
    list_taps(part);
    part->gradients = imp_allocate_zero(context, (size_t)part->tap_count * (size_t)batch, sizeof *part->gradients);
    int status = part->gradients ? IMP_OK : IMP_ERR_MEMORY;
    for (int i = 0; i < part->tap_count && !status; i++)
        if (part->losses[i].has_style) status = create_style_target(part, i);
    if (status) {
        imp_loss_part_free(part);
        return status;
    }
    *out = part;
    return IMP_OK;
}

/* Bytes of all but strips. */
static uint64_t bytes_beside_strips(const imp_loss_part *part) {
    uint64_t batch = (uint64_t)part->batch;
    uint64_t bytes = sizeof *part + (uint64_t)part->tap_count * batch * sizeof *part->gradients;
    for (int i = 0; i < part->tap_count; i++) {
        int channels = part->network->network->layers[part->taps[i].layer].channels;
        if (!part->losses[i].has_style) continue;
        bytes += batch * ((uint64_t)channels + 1) * (uint64_t)channels * sizeof(float); /* by_second, by_sum */
        bytes += imp_style_target_measure(part->context, part->settings->style_loss, channels);
    }
    return bytes;
}

/* The taps of a plan that sees a style picture, which goes no further than the deepest style layer, and the losses that
   they are for; how many. */
static int list_style_taps(imp_loss_part *part, imp_tap *taps, loss_tap **targets) {
    int count = 0;
    for (int i = 0; i < part->tap_count; i++)
        if (part->losses[i].has_style) {
            targets[count] = &part->losses[i];
            taps[count++] = (imp_tap){part->taps[i].layer, IMP_TAP_STATISTICS};
        }
    return count;
}

uint64_t imp_loss_part_bytes(imp_context *context, const imp_loss_network *network, const imp_settings *settings,
                             int batch) {
    imp_loss_part part = {.context = context, .network = network, .settings = settings, .batch = batch};
    list_taps(&part);
    return bytes_beside_strips(&part);
}

int imp_loss_part_measure(imp_context *context, const imp_loss_network *network, const imp_settings *settings,
                          int batch, int width, int height, int is_style, uint64_t memory, imp_strips_cost *cost) {
    imp_loss_part part = {
        .context = context, .network = network, .settings = settings, .batch = batch, .width = width, .height = height};
    imp_tap taps[IMP_MAX_LOSS_LAYERS];
    loss_tap *targets[IMP_MAX_LOSS_LAYERS];
    list_taps(&part);
    imp_plan_options options = picture_options(&part);
    if (is_style)
        options = imp_settings_plan_options(settings, taps, list_style_taps(&part, taps, targets), width, height);
    *cost = (imp_strips_cost){.parts = 1, .windows = 1};
    if (options.tap_count == 0) return IMP_OK; /* the losses look at the content alone */
    return imp_strips_measure(context, network->network, &options, memory, cost);
}

int imp_loss_part_add_style(imp_loss_part *part, const float *style, int width, int height, double weight,
                            uint64_t memory) {
    imp_tap taps[IMP_MAX_LOSS_LAYERS];
    loss_tap *targets[IMP_MAX_LOSS_LAYERS];
    int count = list_style_taps(part, taps, targets);
    if (count == 0) return IMP_OK;
    imp_plan_options options = imp_settings_plan_options(part->settings, taps, count, width, height);
    imp_strips *strips;
    int status = imp_strips_create(part->context, part->network->network, &options, memory, &strips);
    if (status) return status;
    imp_strips_forward(strips, style);
    for (int i = 0; i < count && !status; i++) {
        imp_statistics statistics = imp_strips_statistics(strips, i, 0);
        status = imp_style_target_add(targets[i]->style_target, &statistics, weight);
    }
    imp_strips_free(strips);
    return status;
}

int imp_loss_part_finish_styles(imp_loss_part *part) {
    int status = IMP_OK;
    for (int i = 0; i < part->tap_count && !status; i++)
        if (part->losses[i].has_style) status = imp_style_target_finish(part->losses[i].style_target);
    return status;
}

/* Makes the strips only now, so that they and those of a style picture are never there at the same time. */
int imp_loss_part_set_content(imp_loss_part *part, const float *content, uint64_t memory) {
    imp_plan_options options = picture_options(part);
    imp_strips_free(part->strips);
    int status = imp_strips_create(part->context, part->network->network, &options, memory, &part->strips);
    if (!status) imp_strips_keep_targets(part->strips, content);
    return status;
}

/* Style loss of one tap of a picture and its gradient by statistic. */
static int evaluate_style(imp_loss_part *part, int index, int picture, double *style) {
    loss_tap *tap = &part->losses[index];
    double value, weight = part->settings->style_weight * tap->style_weight;
    imp_statistics statistics = imp_strips_statistics(part->strips, index, picture);
    size_t channels = (size_t)statistics.channels, at = (size_t)picture * channels;
    int status = imp_style_evaluate(tap->style_target, &statistics, weight, &value, tap->by_second + at * channels,
                                    tap->by_sum + at);
    if (!status) *style += tap->style_weight * value;
    return status;
}

/* Content loss mean((s F - s C)^2) of one tap of a picture, s the feature scale, and the factor of F - C in its
   gradient. */
static void evaluate_content(imp_loss_part *part, int index, int picture, double lead, double *content) {
    loss_tap *tap = &part->losses[index];
    double values, scale = part->network->network->preprocessing->feature_scale;
    double sum = imp_strips_map_loss(part->strips, index, picture, &values);
    double factor = tap->content_weight * scale * scale / values;
    *content += factor * sum;
    part->gradients[index * part->batch + picture].map_weight =
        (float)(2 * lead * part->settings->content_weight * factor);
}

/* Losses of a picture and their gradients by tap, after the forward pass. */
static int evaluate_taps(imp_loss_part *part, int picture, double lead, imp_losses *losses) {
    int status = IMP_OK;
    for (int i = 0; i < part->tap_count && !status; i++) {
        if (part->losses[i].has_content) evaluate_content(part, i, picture, lead, &losses->content);
        if (part->losses[i].has_style) status = evaluate_style(part, i, picture, &losses->style);
    }
    return status;
}

int imp_loss_part_evaluate(imp_loss_part *part, const float *planes, double lead, imp_losses *losses, float *gradient) {
    int status = IMP_OK;
    imp_strips_forward(part->strips, planes);
    for (int i = 0; i < part->batch && !status; i++) {
        imp_losses own = {0}; /* summed by itself: equal networks give equal sums */
        status = evaluate_taps(part, i, lead, &own);
        losses[i].content += own.content;
        losses[i].style += own.style;
    }
    return status ? status : imp_strips_backward(part->strips, part->gradients, planes, gradient);
}

int imp_loss_part_profile(const imp_loss_part *part, int index, imp_node_profile *profile) {
    return imp_strips_profile(part->strips, index, profile);
}

void imp_loss_part_free(imp_loss_part *part) {
    if (!part) return;
    for (int i = 0; i < part->tap_count; i++) {
        loss_tap *tap = &part->losses[i];
        imp_style_target_free(tap->style_target);
        imp_release(part->context, tap->by_second);
        imp_release(part->context, tap->by_sum);
    }
    imp_strips_free(part->strips);
    imp_release(part->context, part->gradients);
    imp_release(part->context, part);
}
