/* Evaluation: a picture beside a photo and a painting, by pixels and by the features of a network. */
#include "style/metrics.h"

#include <math.h>
#include <string.h>

#include "base/image.h"
#include "base/memory.h"
#include "base/structs.h"
#include "style/image.h"
#include "style/settings.h"

/* Of a larger map so many places stand for all in the sliced Wasserstein distance: all of conv1_1 at 256 x 256. It bounds
   the time of sorting, and the memory that sorted projections take: 33 MB for 128 directions. The map itself is read whole. */
#define MOST_PLACES 65536

/* A painting's style at one layer, and how near the last picture came to it. */
typedef struct style_layer {
    const char *name;
    int tap;                  /* of the pictures' plan */
    imp_style_target *target; /* these three are the pair's */
    float *second;            /* [channels, channels]: the Gram matrix but for a factor, which no correlation sees */
    imp_sliced *features;
    imp_layer_scores scores;
} style_layer;

typedef struct content_layer {
    int tap;
    imp_map_target *target; /* the pair's */
} content_layer;

struct imp_evaluation {
    imp_context *context;
    const imp_model *model;
    imp_settings settings; /* layers, style loss, what a plan needs; its sizes mean nothing */
    int window, directions;
    uint64_t seed;
    style_layer style[IMP_MAX_LOSS_LAYERS];
    content_layer content[IMP_MAX_LOSS_LAYERS];
    imp_tap taps[2 * IMP_MAX_LOSS_LAYERS]; /* of the pictures' plan */
    int tap_count;
    /* The pair; plan is NULL without one. */
    int width, height;
    float *photo; /* [3, height, width] */
    imp_plan *plan;
    float *by_second, *by_sum; /* [c, c] and [c] of the widest layer: losses come with their gradients */
};

/* ---- Beginning --------------------------------------------------------------------------------------------------- */

void imp_evaluation_options_default(imp_evaluation_options *options) {
    if (options) *options = (imp_evaluation_options){.size = sizeof *options};
}

/* What the evaluation looks at. */
static const imp_loss_network *seen_by(const imp_evaluation *evaluation) {
    return &evaluation->settings.networks[0];
}

static void list_layers(imp_evaluation *evaluation) {
    const imp_loss_network *seen = seen_by(evaluation);
    const imp_layer *layers = seen->network->layers;
    for (int i = 0; i < seen->style_count; i++) {
        const imp_layer *layer = &layers[seen->style[i].layer];
        if (layer->kind == IMP_OPERATION_RELU && layers[layer->input].kind == IMP_OPERATION_CONVOLUTION)
            layer = &layers[layer->input];
        evaluation->style[i].name = layer->name;
        evaluation->style[i].scores.name = layer->name;
        evaluation->style[i].tap = imp_taps_add(evaluation->taps, &evaluation->tap_count, seen->style[i].layer,
                                                IMP_TAP_STATISTICS | IMP_TAP_MAP);
    }
    for (int i = 0; i < seen->content_count; i++)
        evaluation->content[i].tap =
            imp_taps_add(evaluation->taps, &evaluation->tap_count, seen->content[i].layer, IMP_TAP_MAP);
}

/* Checks names and numbers. What a painting says of layers and losses holds here too, by the classic preset: one scale,
   f32, no margin. */
static int resolve(imp_evaluation *evaluation, const imp_evaluation_options *options) {
    imp_context *context = evaluation->context;
    imp_painting_options painting;
    imp_painting_options_default(&painting);
    painting.preset = "classic";
    painting.content_layers = options->content_layers;
    painting.style_layers = options->style_layers;
    painting.style_loss = options->style_loss;
    const int side = 512; /* any that reaches all layers */
    int status = imp_settings_resolve(context, evaluation->model, side, side, &painting, &evaluation->settings);
    if (status) return status;
    evaluation->window = options->ssim_window ? imp_ssim_window_find(options->ssim_window) : 0;
    if (evaluation->window < 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "unknown window \"%s\" of SSIM; there are %s and %s",
                        options->ssim_window, imp_ssim_window_name(0), imp_ssim_window_name(1));
    if (options->directions < 0 || options->directions > IMP_MAX_DIRECTIONS)
        return imp_fail(context, IMP_ERR_ARGUMENT, "the directions are %d; they must be from 0 to %d",
                        options->directions, IMP_MAX_DIRECTIONS);
    evaluation->directions = options->directions;
    evaluation->seed = options->seed;
    return IMP_OK;
}

int imp_evaluation_create(imp_context *context, const imp_model *model, const imp_evaluation_options *options,
                          imp_evaluation **out) {
    imp_evaluation_options complete;
    if (out) *out = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!out || !model)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_evaluation_create: model or evaluation is NULL");
    imp_evaluation_options_default(&complete);
    int status = options ? imp_struct_read(context, options, &complete, sizeof complete, "evaluation options") : IMP_OK;
    if (status) return status;
    imp_evaluation *evaluation = imp_allocate_zero(context, 1, sizeof *evaluation);
    if (!evaluation) return IMP_ERR_MEMORY;
    evaluation->context = context;
    evaluation->model = model;
    status = resolve(evaluation, &complete);
    if (!status) list_layers(evaluation);
    if (status)
        imp_evaluation_free(evaluation);
    else
        *out = evaluation;
    return status;
}

static void release_pair(imp_evaluation *evaluation) {
    imp_context *context = evaluation->context;
    for (int i = 0; i < seen_by(evaluation)->style_count; i++) {
        style_layer *layer = &evaluation->style[i];
        imp_style_target_free(layer->target);
        imp_release(context, layer->second);
        imp_sliced_free(context, layer->features);
        layer->target = NULL;
        layer->second = NULL;
        layer->features = NULL;
    }
    for (int i = 0; i < seen_by(evaluation)->content_count; i++) {
        imp_map_target_free(context, evaluation->content[i].target);
        evaluation->content[i].target = NULL;
    }
    imp_plan_free(evaluation->plan);
    imp_release(context, evaluation->photo);
    imp_release(context, evaluation->by_second);
    imp_release(context, evaluation->by_sum);
    evaluation->plan = NULL;
    evaluation->photo = evaluation->by_second = evaluation->by_sum = NULL;
}

void imp_evaluation_free(imp_evaluation *evaluation) {
    if (!evaluation) return;
    release_pair(evaluation);
    imp_release(evaluation->context, evaluation);
}

/* ---- The pair ---------------------------------------------------------------------------------------------------- */

static int make_plan(const imp_evaluation *evaluation, const imp_tap *taps, int tap_count, int width, int height,
                     imp_plan **plan) {
    imp_plan_options options = imp_settings_plan_options(&evaluation->settings, taps, tap_count, width, height);
    return imp_plan_create(evaluation->context, &evaluation->model->network, &options, plan);
}

/* The place that stands for part i of places in kept parts: one in it, by a hash (golden ratio, Knuth). The first of each
   would all lie in some columns of the map where kept and its width have factors in common. */
static size_t chosen_place(uint64_t i, uint64_t places, uint64_t kept) {
    uint64_t inside = i * 0x9E3779B9u % kept; /* of kept; all products here are below 2^48, as places are below 2^32 */
    return (size_t)((i * places + inside * places / kept) / kept);
}

/* A tap's features as *features [channels, *count]: at all places of the map, or at MOST_PLACES of them. */
static int read_features(const imp_evaluation *evaluation, const imp_plan *plan, int tap, float **features,
                         size_t *count) {
    int channels, height, width;
    imp_plan_tap_shape(plan, tap, &channels, &height, &width);
    size_t places = (size_t)height * (size_t)width, kept = places < MOST_PLACES ? places : MOST_PLACES;
    *features = imp_allocate_zero(evaluation->context, (size_t)channels, places * sizeof(float));
    if (!*features) return IMP_ERR_MEMORY;
    imp_plan_read_map(plan, tap, 0, *features);
    for (size_t c = 0; c < (size_t)channels && kept < places; c++)
        for (size_t i = 0; i < kept; i++)
            (*features)[c * kept + i] = (*features)[c * places + chosen_place(i, places, kept)];
    float scale = evaluation->model->network.preprocessing->feature_scale;
    for (size_t i = 0; i < (size_t)channels * kept; i++) (*features)[i] *= scale;
    *count = kept;
    return IMP_OK;
}

/* Seeds of neighbouring layers are apart by one: the generator's own seeding spreads them. */
static int set_features(imp_evaluation *evaluation, const imp_plan *plan, int index, int channels) {
    float *features;
    size_t count;
    int directions = evaluation->directions ? evaluation->directions : channels;
    int status = read_features(evaluation, plan, index, &features, &count);
    if (status) return status;
    status = imp_sliced_create(evaluation->context, features, channels, count, directions,
                               evaluation->seed + (uint64_t)index, &evaluation->style[index].features);
    imp_release(evaluation->context, features);
    return status;
}

static int set_style_layer(imp_evaluation *evaluation, const imp_plan *plan, int index) {
    imp_context *context = evaluation->context;
    style_layer *layer = &evaluation->style[index];
    imp_statistics statistics = imp_plan_statistics(plan, index, 0);
    size_t values = (size_t)statistics.channels * (size_t)statistics.channels;
    layer->second = imp_allocate_zero(context, values, sizeof(float));
    if (!layer->second) return IMP_ERR_MEMORY;
    memcpy(layer->second, statistics.second, values * sizeof(float));
    int status = imp_style_target_create(context, evaluation->settings.style_loss, statistics.channels,
                                         evaluation->model->network.preprocessing->feature_scale, &layer->target);
    if (!status) status = imp_style_target_add(layer->target, &statistics, 1);
    if (!status) status = imp_style_target_finish(layer->target);
    return status ? status : set_features(evaluation, plan, index, statistics.channels);
}

/* By a plan of its own size, which goes no further than the style layers need. */
static int set_style(imp_evaluation *evaluation, const imp_image *style) {
    const imp_loss_network *seen = seen_by(evaluation);
    imp_tap taps[IMP_MAX_LOSS_LAYERS];
    imp_canvas whole = {style->width, style->height, 0}, beside = {evaluation->width, evaluation->height, 0};
    imp_canvas canvas = imp_settings_style_canvas(&evaluation->settings, &whole, &beside);
    imp_plan *plan = NULL;
    float *planes;
    for (int i = 0; i < seen->style_count; i++)
        taps[i] = (imp_tap){seen->style[i].layer, IMP_TAP_STATISTICS | IMP_TAP_MAP};
    int status = imp_image_to_planes(evaluation->context, style, canvas.width, canvas.height, &planes);
    if (status) return status;
    status = make_plan(evaluation, taps, seen->style_count, canvas.width, canvas.height, &plan);
    if (!status) imp_plan_forward(plan, planes);
    for (int i = 0; i < seen->style_count && !status; i++) status = set_style_layer(evaluation, plan, i);
    imp_plan_free(plan);
    imp_release(evaluation->context, planes);
    return status;
}

static int make_gradients(imp_evaluation *evaluation) {
    const imp_loss_network *seen = seen_by(evaluation);
    size_t widest = 0;
    for (int i = 0; i < seen->style_count; i++) {
        size_t channels = (size_t)seen->network->layers[seen->style[i].layer].channels;
        if (channels > widest) widest = channels;
    }
    evaluation->by_second = imp_allocate_zero(evaluation->context, widest * widest, sizeof(float));
    evaluation->by_sum = imp_allocate_zero(evaluation->context, widest, sizeof(float));
    return evaluation->by_second && evaluation->by_sum ? IMP_OK : IMP_ERR_MEMORY;
}

/* The plan that all pictures of the pair go through, the photo first. */
static int set_photo(imp_evaluation *evaluation, const imp_image *photo) {
    int status =
        imp_image_to_planes(evaluation->context, photo, evaluation->width, evaluation->height, &evaluation->photo);
    if (!status)
        status = make_plan(evaluation, evaluation->taps, evaluation->tap_count, evaluation->width, evaluation->height,
                           &evaluation->plan);
    if (!status) imp_plan_forward(evaluation->plan, evaluation->photo);
    for (int i = 0; i < seen_by(evaluation)->content_count && !status; i++)
        status = imp_plan_copy_map(evaluation->plan, evaluation->content[i].tap, &evaluation->content[i].target);
    return status;
}

static int check_pair(const imp_evaluation *evaluation, const imp_image *photo, const imp_image *style, int width,
                      int height) {
    imp_context *context = evaluation->context;
    int least = imp_settings_least_side(&evaluation->settings);
    if (least < IMP_EVALUATION_LEAST_SIDE) least = IMP_EVALUATION_LEAST_SIDE;
    if (!photo || !style) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_evaluation_set_pair: photo or style is NULL");
    int status = imp_image_check(context, photo, "photo");
    if (!status) status = imp_image_check(context, style, "style");
    if (status) return status;
    if (width < least || height < least || width > IMP_IMAGE_MAX_SIDE || height > IMP_IMAGE_MAX_SIDE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "pictures of %d x %d pixels; each side must be from %d to %d", width,
                        height, least, IMP_IMAGE_MAX_SIDE);
    return IMP_OK;
}

int imp_evaluation_set_pair(imp_evaluation *evaluation, const imp_image *photo, const imp_image *style, int width,
                            int height) {
    if (!evaluation) return IMP_ERR_ARGUMENT;
    release_pair(evaluation);
    int status = check_pair(evaluation, photo, style, width, height);
    if (status) return status;
    evaluation->width = width;
    evaluation->height = height;
    status = set_style(evaluation, style);
    if (!status) status = make_gradients(evaluation);
    if (!status) status = set_photo(evaluation, photo);
    if (status) release_pair(evaluation);
    return status;
}

/* ---- Scores ------------------------------------------------------------------------------------------------------ */

double imp_correlation(const float *a, const float *b, size_t count) {
    double mean_a = 0, mean_b = 0, squares_a = 0, squares_b = 0, products = 0;
    for (size_t i = 0; i < count; i++) {
        mean_a += a[i];
        mean_b += b[i];
    }
    mean_a /= (double)count;
    mean_b /= (double)count;
    for (size_t i = 0; i < count; i++) {
        double from_a = a[i] - mean_a, from_b = b[i] - mean_b;
        squares_a += from_a * from_a;
        squares_b += from_b * from_b;
        products += from_a * from_b;
    }
    return squares_a > 0 && squares_b > 0 ? products / sqrt(squares_a * squares_b) : 0;
}

static int score_pixels(const imp_evaluation *evaluation, const float *planes, imp_scores *scores) {
    imp_context *context = evaluation->context;
    int width = evaluation->width, height = evaluation->height;
    scores->psnr = imp_psnr(planes, evaluation->photo, 3 * (size_t)width * (size_t)height);
    int status = imp_ssim(context, evaluation->window, planes, evaluation->photo, 3, height, width, &scores->ssim);
    return status ? status : imp_texture_detail(context, planes, height, width, &scores->texture_detail);
}

static void score_content(const imp_evaluation *evaluation, imp_scores *scores) {
    double scale = evaluation->model->network.preprocessing->feature_scale;
    for (int i = 0; i < seen_by(evaluation)->content_count; i++) {
        double values;
        const content_layer *layer = &evaluation->content[i];
        double sum = imp_plan_map_loss(evaluation->plan, layer->tap, 0, layer->target, &values);
        scores->content_loss += seen_by(evaluation)->content[i].weight * scale * scale * sum / values;
    }
}

static int score_style(imp_evaluation *evaluation, int index, imp_scores *scores) {
    style_layer *layer = &evaluation->style[index];
    imp_layer_scores *own = &layer->scores;
    imp_statistics statistics = imp_plan_statistics(evaluation->plan, layer->tap, 0);
    size_t channels = (size_t)statistics.channels, count;
    float *features;
    int status =
        imp_style_evaluate(layer->target, &statistics, 1, &own->style_loss, evaluation->by_second, evaluation->by_sum);
    if (!status) status = read_features(evaluation, evaluation->plan, layer->tap, &features, &count);
    if (status) return status;
    status = imp_sliced_distance(evaluation->context, layer->features, features, count, &own->sliced_wasserstein);
    imp_release(evaluation->context, features);
    own->gram_similarity = imp_correlation(statistics.second, layer->second, channels * channels);
    scores->style_loss += seen_by(evaluation)->style[index].weight * own->style_loss;
    scores->gram_similarity += own->gram_similarity / seen_by(evaluation)->style_count;
    scores->sliced_wasserstein += own->sliced_wasserstein;
    return status;
}

static int score_planes(imp_evaluation *evaluation, const float *planes, imp_scores *scores) {
    int status = score_pixels(evaluation, planes, scores);
    if (status) return status;
    imp_plan_forward(evaluation->plan, planes);
    score_content(evaluation, scores);
    for (int i = 0; i < seen_by(evaluation)->style_count && !status; i++) status = score_style(evaluation, i, scores);
    if (!status && !isfinite(scores->content_loss + scores->style_loss))
        return imp_fail(evaluation->context, IMP_ERR_NUMERIC,
                        "the features of the picture are not finite; is the model damaged?");
    return status;
}

int imp_evaluation_score(imp_evaluation *evaluation, const imp_image *picture, imp_scores *scores) {
    imp_scores ours = {.size = sizeof ours};
    float *planes;
    if (!evaluation) return IMP_ERR_ARGUMENT;
    imp_context *context = evaluation->context;
    int status = imp_struct_check(context, scores, "scores");
    if (!status && !picture) status = imp_fail(context, IMP_ERR_ARGUMENT, "imp_evaluation_score: picture is NULL");
    if (!status) status = imp_image_check(context, picture, "picture");
    if (status) return status;
    if (!evaluation->plan)
        return imp_fail(context, IMP_ERR_STATE, "imp_evaluation_score: there is no pair to compare with");
    status = imp_image_to_planes(context, picture, evaluation->width, evaluation->height, &planes);
    if (status) return status;
    status = score_planes(evaluation, planes, &ours);
    imp_release(context, planes);
    if (!status) imp_struct_write(scores, &ours, sizeof ours);
    return status;
}

int imp_evaluation_layer(const imp_evaluation *evaluation, int index, imp_layer_scores *scores) {
    if (!evaluation || imp_struct_check(NULL, scores, "layer scores")) return IMP_ERR_ARGUMENT;
    if (index < 0 || index >= seen_by(evaluation)->style_count) return IMP_ERR_ARGUMENT;
    imp_struct_write(scores, &evaluation->style[index].scores, sizeof(imp_layer_scores));
    return IMP_OK;
}
