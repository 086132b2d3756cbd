/* Options over the preset: checks, names, scales. */
#include "style/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"

#define MAX_LEARNING_RATE 1e4 /* forty times the range of a pixel */
#define MAX_ITERATIONS 10000000
#define MAX_TIME_LIMIT 1e7 /* seconds: four months */
#define DEFAULT_LONGER_SIDE 512
#define LEAST_LONGER_SIDE 16
#define SKETCH_SHARE 0.5 /* of the last scale's iterations, where there is a sketch and nobody says */

void imp_painting_options_default(imp_painting_options *options) {
    if (!options) return;
    *options = (imp_painting_options){.size = sizeof *options,
                                      .iterations = -1,
                                      .content_weight = IMP_PRESET_VALUE,
                                      .style_weight = IMP_PRESET_VALUE,
                                      .variation_weight = IMP_PRESET_VALUE,
                                      .learning_rate = IMP_PRESET_VALUE,
                                      .least_gain = IMP_PRESET_VALUE,
                                      .sketch_share = IMP_PRESET_VALUE};
}

/* Value of an option that may be left to the preset; what: its name in messages. */
static int resolve_number(imp_context *context, double given, double from_preset, double most, const char *what,
                          double *out) {
    if (given == IMP_PRESET_VALUE) {
        *out = from_preset;
        return IMP_OK;
    }
    if (!(given >= 0 && given <= most))
        return imp_fail(context, IMP_ERR_ARGUMENT, "the %s is %g; it must be a number from 0 to %g", what, given, most);
    *out = given;
    return IMP_OK;
}

/* name after those that a message lists already, in a list of IMP_ERROR_LENGTH bytes. */
static void append_name(char *list, const char *name) {
    size_t used = strlen(list);
    snprintf(list + used, IMP_ERROR_LENGTH - used, "%s%s", used ? ", " : "", name);
}

/* Index of name in a NULL-ended list of choices, into *out. */
static int resolve_choice(imp_context *context, const char *given, const char *from_preset, const char *const *choices,
                          const char *what, int *out) {
    const char *name = given ? given : from_preset;
    char list[IMP_ERROR_LENGTH] = "";
    for (int i = 0; choices[i]; i++) {
        if (!strcmp(name, choices[i])) {
            *out = i;
            return IMP_OK;
        }
        append_name(list, choices[i]);
    }
    return imp_fail(context, IMP_ERR_ARGUMENT, "unknown %s \"%s\"; there are %s", what, name, list);
}

/* The networks that the options name, or the one model. */
static int list_models(imp_context *context, const imp_model *model, const imp_painting_options *options,
                       imp_weighted_model *models, int *count) {
    *count = options->models ? options->model_count : 1;
    if (*count < 1 || *count > IMP_MAX_MODELS)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%d networks in the losses; there may be 1 to %d", *count,
                        IMP_MAX_MODELS);
    models[0] = (imp_weighted_model){model, 1};
    for (int i = 0; i < *count && options->models; i++) {
        models[i] = options->models[i];
        if (!models[i].model) return imp_fail(context, IMP_ERR_ARGUMENT, "network %d of the losses is NULL", i + 1);
        if (!(models[i].weight > 0 && models[i].weight <= IMP_MAX_WEIGHT))
            return imp_fail(context, IMP_ERR_ARGUMENT,
                            "the weight of %s in the losses is %g; it must be above 0 and up to %g",
                            models[i].model->network.architecture, models[i].weight, IMP_MAX_WEIGHT);
    }
    return IMP_OK;
}

/* The sketch's network, whose layers are named as those of the others. */
static int resolve_sketch(imp_context *context, const imp_weighted_model *models, int count,
                          const imp_painting_options *options, imp_settings *settings) {
    imp_weighted_model all[IMP_MAX_MODELS + 1];
    imp_loss_network *sketch = &settings->networks[count];
    int content = 0, style = 0;
    if (!options->sketch) return IMP_OK;
    memcpy(all, models, (size_t)count * sizeof *all);
    all[count] = (imp_weighted_model){options->sketch, 1};
    int status =
        resolve_number(context, options->sketch_share, SKETCH_SHARE, 1, "sketch's share", &settings->sketch_share);
    if (!status) status = imp_loss_network_resolve(context, all, count + 1, count, options, settings->preset, sketch);
    if (status) return status;
    for (int i = 0; i < count; i++) {
        content += settings->networks[i].content_count;
        style += settings->networks[i].style_count;
    }
    if ((content && !sketch->content_count) || (style && !sketch->style_count))
        return imp_fail(context, IMP_ERR_ARGUMENT, "the sketch's network, %s, has none of the %s layers",
                        options->sketch->network.architecture, sketch->content_count ? "style" : "content");
    settings->has_sketch = 1;
    return IMP_OK;
}

static int resolve_networks(imp_context *context, const imp_model *model, const imp_painting_options *options,
                            imp_settings *settings) {
    imp_weighted_model models[IMP_MAX_MODELS];
    int status = list_models(context, model, options, models, &settings->network_count);
    for (int i = 0; i < settings->network_count && !status; i++)
        status = imp_loss_network_resolve(context, models, settings->network_count, i, options, settings->preset,
                                          &settings->networks[i]);
    return status ? status : resolve_sketch(context, models, settings->network_count, options, settings);
}

static int resolve_losses(imp_context *context, const imp_model *model, const imp_painting_options *options,
                          imp_settings *settings) {
    const imp_preset *preset = settings->preset;
    int status = resolve_number(context, options->content_weight, preset->content_weight, IMP_MAX_WEIGHT,
                                "content weight", &settings->content_weight);
    if (!status)
        status = resolve_number(context, options->style_weight, preset->style_weight, IMP_MAX_WEIGHT, "style weight",
                                &settings->style_weight);
    if (!status)
        status = resolve_number(context, options->variation_weight, preset->variation_weight, IMP_MAX_WEIGHT,
                                "total variation weight", &settings->variation_weight);
    if (!status) status = resolve_networks(context, model, options, settings);
    if (status) return status;
    if (settings->content_weight == 0 && settings->style_weight == 0 && settings->variation_weight == 0)
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "the content weight, the style weight and the total variation weight are all 0: nothing is "
                        "left to paint by");

    const char *name = options->style_loss ? options->style_loss : preset->style_loss;
    settings->style_loss = imp_style_loss_find(name);
    if (settings->style_loss) return IMP_OK;
    char list[IMP_ERROR_LENGTH] = "";
    for (int i = 0; imp_style_loss_at(i); i++) append_name(list, imp_style_loss_at(i)->name);
    return imp_fail(context, IMP_ERR_ARGUMENT, "unknown style loss \"%s\"; there are %s", name, list);
}

imp_element imp_fast_element(const imp_context *context) {
    return context->cpu_features & IMP_CPU_FAST_BF16 ? IMP_ELEMENT_BF16 : IMP_ELEMENT_F32;
}

static int resolve_choices(imp_context *context, const imp_painting_options *options, imp_settings *settings) {
    const imp_preset *preset = settings->preset;
    int optimizer, pooling, padding, precision;
    int status =
        resolve_choice(context, options->optimizer, preset->optimizer,
                       (const char *const[]){"adam", "lbfgs", "lbfgs-linesearch", NULL}, "optimizer", &optimizer);
    if (!status)
        status = resolve_choice(context, options->pooling, preset->pooling,
                                (const char *const[]){"max", "average", NULL}, "pooling", &pooling);
    if (!status)
        status = resolve_choice(context, options->padding, preset->padding,
                                (const char *const[]){"zero", "replicate", NULL}, "padding", &padding);
    if (!status)
        status = resolve_choice(context, options->precision, preset->precision,
                                (const char *const[]){"f32", "bf16", "auto", NULL}, "precision", &precision);
    if (!status)
        status = resolve_choice(context, options->start, preset->start, (const char *const[]){"content", "noise", NULL},
                                "start picture", &settings->start_from_noise);
    if (status) return status;
    settings->optimizer = (imp_optimizer)optimizer;
    settings->pooling = pooling ? IMP_POOL_AVERAGE : IMP_POOL_MAX;
    settings->padding = padding ? IMP_PADDING_REPLICATE : IMP_PADDING_ZERO;
    settings->element = precision == 2 ? imp_fast_element(context) : precision ? IMP_ELEMENT_BF16 : IMP_ELEMENT_F32;

    /* A preset's rate is meant for its optimiser; under another one the optimiser's usual step counts. */
    double rate = preset->learning_rate;
    if (options->optimizer && strcmp(options->optimizer, preset->optimizer))
        rate = settings->optimizer == IMP_OPTIMIZER_ADAM ? 2.0 : 1.0;
    if (options->learning_rate == 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "the learning rate is 0; it must be greater");
    return resolve_number(context, options->learning_rate, rate, MAX_LEARNING_RATE, "learning rate",
                          &settings->learning_rate);
}

imp_plan_options imp_settings_plan_options(const imp_settings *settings, const imp_tap *taps, int tap_count, int width,
                                           int height) {
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

imp_loss_networks imp_settings_networks(const imp_settings *settings, int is_sketch) {
    if (is_sketch) return (imp_loss_networks){&settings->networks[settings->network_count], 1};
    return (imp_loss_networks){settings->networks, settings->network_count};
}

int imp_settings_least_side(const imp_settings *settings) {
    int most = 1;
    for (int i = 0; i < settings->network_count + settings->has_sketch; i++) {
        int side = imp_loss_network_least_side(&settings->networks[i]);
        if (side > most) most = side;
    }
    return most;
}

imp_canvas imp_settings_style_canvas(const imp_settings *settings, const imp_canvas *whole, const imp_canvas *beside) {
    double side = (beside->width > beside->height ? beside->width : beside->height) * settings->style_scale;
    return imp_canvas_fit(whole, side, imp_settings_least_side(settings));
}

/* Iterations of scale index (0: the coarsest) before the caller's own number. */
static int planned_iterations(const imp_preset *preset, int index) {
    if (index == 0) return preset->first_iterations;
    double iterations = preset->second_iterations * pow(preset->iteration_ratio, index - 1);
    return (int)fmax(preset->least_iterations, round(iterations));
}

/* Shares total iterations out over the scales as the preset would, by rounding the running sum so that all are used. */
static void share_iterations(imp_settings *settings, int total) {
    double planned = 0, sum = 0;
    int given = 0;
    for (int i = 0; i < settings->scale_count; i++) planned += settings->scales[i].iterations;
    for (int i = 0; i < settings->scale_count; i++) {
        sum += settings->scales[i].iterations;
        int until = (int)round(total * (sum / planned));
        settings->scales[i].iterations = until - given;
        given = until;
    }
}

/* The final size and count - 1 coarser ones before it, each smaller by growth. */
static void list_scales(imp_settings *settings, int width, int height, double growth, int count, int least) {
    settings->scale_count = count;
    for (int i = 0; i < count; i++) {
        double factor = pow(growth, i + 1 - count);
        settings->scales[i].canvas = (imp_canvas){(int)fmax(least, round(width * factor)),
                                                  (int)fmax(least, round(height * factor)), settings->preset->margin};
        settings->scales[i].iterations = planned_iterations(settings->preset, i);
        settings->scales[i].history = settings->preset->history;
    }
}

/* The sketch's network paints all scales but the last, and the first share of that: which is two then. */
static void share_with_sketch(imp_settings *settings) {
    imp_scale *last = &settings->scales[settings->scale_count - 1];
    int iterations = (int)fmin(round(settings->sketch_share * last->iterations), last->iterations - 1);
    for (int i = 0; i < settings->scale_count - 1; i++) settings->scales[i].is_sketch = 1;
    if (iterations < 1) return;
    last[1] = last[0];
    last[0].is_sketch = 1;
    last[0].iterations = iterations;
    last[1].iterations -= iterations;
    settings->scale_count++;
}

/* The sizes from coarse to fine: from the preset's smallest side to the final one by equal factors as near to its
   growth as they come. Left out at the coarse end are those whose shorter side is under twice what the loss layers
   need: a map of one pixel says nothing of texture. */
static int resolve_scales(imp_context *context, int width, int height, int iterations, imp_settings *settings) {
    const imp_preset *preset = settings->preset;
    int least = imp_settings_least_side(settings);
    if (width < least || height < least)
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "the picture would be %d x %d pixels, and the deepest loss layer needs %d on the shorter side: "
                        "take a larger size "
                        "(enlarge a small photo) or layers nearer the input",
                        width, height, least);
    double longer = width > height ? width : height, shorter = width > height ? height : width;
    int count = 1;
    if (preset->smallest_side && longer > preset->smallest_side)
        count += (int)round(log(longer / preset->smallest_side) / log(preset->growth));
    double growth = count > 1 ? pow(longer / preset->smallest_side, 1.0 / (count - 1)) : 1;
    while (count > 1 && shorter * pow(growth, 1 - count) < 2 * least) count--;
    if (count > IMP_MAX_SCALES) count = IMP_MAX_SCALES;
    list_scales(settings, width, height, growth, count, least);
    if (iterations < 0) return IMP_OK;
    share_iterations(settings, iterations);
    /* Too few for every scale: the coarsest give theirs up, since the final one is what is seen. */
    while (iterations > 0 && count > 1 && settings->scales[count - 1].iterations == 0) {
        list_scales(settings, width, height, growth, --count, least);
        share_iterations(settings, iterations);
    }
    return IMP_OK;
}

int imp_settings_size(imp_context *context, int photo_width, int photo_height, int longer_side, int enlarge, int *width,
                      int *height) {
    int photo_side = photo_width > photo_height ? photo_width : photo_height;
    int side = longer_side ? longer_side : DEFAULT_LONGER_SIDE;
    if (side < LEAST_LONGER_SIDE || side > IMP_IMAGE_MAX_SIDE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "the size is %d; it must be from %d to %d pixels", longer_side,
                        LEAST_LONGER_SIDE, IMP_IMAGE_MAX_SIDE);
    if (side > photo_side && !enlarge) side = photo_side;
    *width = (int)fmax(1, round((double)photo_width * side / photo_side));
    *height = (int)fmax(1, round((double)photo_height * side / photo_side));
    return IMP_OK;
}

static int check_style_side(imp_context *context, const imp_painting_options *options) {
    if (options->style_side && (options->style_side < LEAST_LONGER_SIDE || options->style_side > IMP_IMAGE_MAX_SIDE))
        return imp_fail(context, IMP_ERR_ARGUMENT, "the style size is %d; it must be from %d to %d pixels",
                        options->style_side, LEAST_LONGER_SIDE, IMP_IMAGE_MAX_SIDE);
    return IMP_OK;
}

int imp_settings_resolve(imp_context *context, const imp_model *model, int photo_width, int photo_height,
                         const imp_painting_options *options, imp_settings *settings) {
    memset(settings, 0, sizeof *settings);
    settings->preset = imp_preset_find(options->preset);
    if (!settings->preset) {
        const char *names[16] = {0};
        for (int i = 0; i < 15 && imp_preset_name(i); i++) names[i] = imp_preset_name(i);
        int ignored;
        return resolve_choice(context, options->preset, "", names, "preset", &ignored);
    }
    if (options->iterations < -1 || options->iterations > MAX_ITERATIONS)
        return imp_fail(context, IMP_ERR_ARGUMENT, "the iterations are %d; they must be from 0 to %d",
                        options->iterations, MAX_ITERATIONS);
    if (!(options->time_limit >= 0 && options->time_limit <= MAX_TIME_LIMIT))
        return imp_fail(context, IMP_ERR_ARGUMENT, "the time limit is %g seconds; it must be from 0 to %g",
                        options->time_limit, MAX_TIME_LIMIT);
    if ((int)options->keep_colors < IMP_COLORS_OF_STYLE || (int)options->keep_colors > IMP_COLORS_AFTER)
        return imp_fail(context, IMP_ERR_ARGUMENT, "keep_colors is %d; it must be 0, 1 or 2",
                        (int)options->keep_colors);

    int width = 0, height = 0;
    int status = resolve_losses(context, model, options, settings);
    if (!status) status = resolve_choices(context, options, settings);
    if (!status)
        status = imp_settings_size(context, photo_width, photo_height, options->longer_side, options->enlarge, &width,
                                   &height);
    if (!status) status = check_style_side(context, options);
    if (!status) status = resolve_scales(context, width, height, options->iterations, settings);
    if (status) return status;
    if (settings->has_sketch) share_with_sketch(settings);
    settings->style_scale = options->style_side ? (double)options->style_side / (width > height ? width : height)
                                                : settings->preset->style_scale;
    settings->longer_side = options->longer_side;
    settings->enlarge = options->enlarge;
    settings->keep_colors = options->keep_colors;
    settings->time_limit = options->time_limit;
    /* Who asks for so many iterations or so much time shall have them. */
    int open_end = options->iterations < 0 && options->time_limit == 0;
    status = resolve_number(context, options->least_gain, open_end ? settings->preset->least_gain : 0, 1, "least gain",
                            &settings->least_gain);
    if (status) return status;
    settings->count_iterations = options->iterations >= 0 || options->time_limit == 0;
    settings->seed = options->seed;
    return IMP_OK;
}

int imp_settings_is_last(const imp_settings *settings, int scale) {
    for (int i = scale + 1; i < settings->scale_count; i++)
        if (settings->scales[i].iterations > 0) return 0;
    return 1;
}

int imp_settings_iterations(const imp_settings *settings) {
    int iterations = 0;
    for (int i = 0; i < settings->scale_count; i++) iterations += settings->scales[i].iterations;
    return iterations;
}
