/* A painting's settings: the caller's options over the preset, every one checked, names turned into what they mean. */
#ifndef IMP_STYLE_SETTINGS_H
#define IMP_STYLE_SETTINGS_H

#include "style/canvas.h"
#include "style/losses.h"
#include "style/networks.h"

#define IMP_MAX_SCALES 32 /* 65535 pixels is 19 scales above 16 at sqrt 2: more growth steps than any preset takes */

typedef enum imp_optimizer { IMP_OPTIMIZER_ADAM, IMP_OPTIMIZER_LBFGS, IMP_OPTIMIZER_LBFGS_LINE_SEARCH } imp_optimizer;

typedef struct imp_scale {
    imp_canvas canvas;
    int iterations;
    int is_sketch; /* the losses are those of the sketch's network */
    /* Of style/budget.h: pairs of L-BFGS, the preset's until then; bytes for the criterion, and while a style is added
       to it, that style's planes included, 0 without a limit; bytes that the optimisers of all photos keep; windows in which
       the networks are run; floating-point operations of an evaluation, and of the passes over photos and styles before the
       first. */
    int history;
    uint64_t memory, style_memory, optimizers;
    int windows;
    const imp_network *uncut; /* one that cannot run in windows */
    double operations, preparation;
} imp_scale;

typedef struct imp_settings {
    const imp_preset *preset;
    imp_scale scales[IMP_MAX_SCALES + 1]; /* from coarse to the final size, which the sketch's network may have too */
    int scale_count;
    imp_loss_network networks[IMP_MAX_MODELS + 1]; /* those whose losses are added; behind them the sketch's */
    int network_count, has_sketch;
    double sketch_share;
    double content_weight, style_weight, variation_weight;
    const imp_style_loss *style_loss;
    imp_optimizer optimizer;
    double learning_rate;
    imp_pool_kind pooling;
    imp_padding padding;
    imp_element element;
    int start_from_noise;
    int longer_side, enlarge; /* as the options have them */
    double style_scale;       /* the style's longer side over the picture's, at every scale */
    imp_keep_colors keep_colors;
    double time_limit;
    double least_gain; /* share of the loss that ten iterations must gain for a scale to go on; 0: it always goes on */
    int count_iterations; /* 0: the time limit alone ends a scale */
    uint64_t seed;
} imp_settings;

/* model: the only network where the options name none. */
int imp_settings_resolve(imp_context *context, const imp_model *model, int photo_width, int photo_height,
                         const imp_painting_options *options, imp_settings *settings);

/* The size of the result for a photo of that size. */
int imp_settings_size(imp_context *context, int photo_width, int photo_height, int longer_side, int enlarge, int *width,
                      int *height);

/* For a plan that sees one picture of that size as the settings say, forward only. */
imp_plan_options imp_settings_plan_options(const imp_settings *settings, const imp_tap *taps, int tap_count, int width,
                                           int height);

/* The networks of the scales that are the sketch's, or of the others. */
imp_loss_networks imp_settings_networks(const imp_settings *settings, int is_sketch);

/* The shortest side that reaches the deepest loss layer of any network. */
int imp_settings_least_side(const imp_settings *settings);

/* The size of a style picture, of whole size beside the final picture, beside a canvas: proportions kept as far as the
   shorter side reaches the deepest layer. */
imp_canvas imp_settings_style_canvas(const imp_settings *settings, const imp_canvas *whole, const imp_canvas *beside);

/* Whether no scale after that one has iterations. */
int imp_settings_is_last(const imp_settings *settings, int scale);

/* Iterations over all scales. */
int imp_settings_iterations(const imp_settings *settings);

/* What "auto" is as a precision: bf16 where the CPU multiplies it, else f32. */
imp_element imp_fast_element(const imp_context *context);

#endif
