/* The presets, as data. */
#include "style/preset.h"

#include <string.h>

static const imp_preset presets[] = {
    {
        .name = "default",
        .description = "coarse to fine with L-BFGS: broad strokes first, then detail",
        .smallest_side = 128,
        .growth = 2.0,
        .first_iterations = 50,
        .second_iterations = 30,
        .iteration_ratio = 2.0 / 3,
        .least_iterations = 12,
        .optimizer = "lbfgs",
        .learning_rate = 1.0,
        .history = 10,
        .first_step = 5.0,
        .octave_growth = 1.5,
        .content_layers = "conv4_2",
        .style_layers = "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1",
        .style_loss = "gram",
        .content_weight = 1.5,
        .style_weight = 1e6,
        .content_lead = 8.0,
        .lead_share = 0.6,
        .precision = "auto",
        .pooling = "max",
        .average_scale = 1.0,
        .padding = "replicate",
        .margin = 24,
        .start = "content",
        .style_scale = 1.0,
    },
    {
        /* Gatys et al. (arXiv 1508.06576) as it is mostly taught: one scale, from the photo, Adam. */
        .name = "classic",
        .description = "Gatys' method to the letter: one scale, Adam, 500 iterations from the photo",
        .first_iterations = 500,
        .optimizer = "adam",
        .learning_rate = 2.0,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .learning_rate_step = 500,
        .learning_rate_decay = 0.7,
        .history = 10,
        .content_layers = "conv4_2",
        .style_layers = "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1",
        .style_loss = "gram",
        .content_weight = 1.0,
        .style_weight = 1e6,
        .precision = "f32",
        .pooling = "max",
        .average_scale = 1.0,
        .padding = "zero",
        .start = "content",
        .style_scale = 1.0,
    },
    {
        /* What classic makes small, reached sooner. conv5_1 is left out: its Gram loss at these weights is a thousandth
           of the whole, and the layers up to it a quarter of the work. */
        .name = "fast",
        .description = "the losses of classic's 500 iterations in about 50: one scale, scaled L-BFGS",
        .first_iterations = 60,
        .optimizer = "lbfgs",
        .learning_rate = 1.0,
        .history = 10,
        .first_step = 20.0,
        .octave_growth = 2.0,
        .content_layers = "conv4_2",
        .style_layers = "conv1_1,conv2_1,conv3_1,conv4_1",
        .style_loss = "gram",
        .content_weight = 1.25,
        .style_weight = 1e6,
        .content_lead = 16.0,
        .lead_share = 0.45,
        .least_gain = 0.03,
        .precision = "auto",
        .pooling = "max",
        .average_scale = 1.0,
        .padding = "zero",
        .start = "content",
        .style_scale = 1.0,
    },
    {
        /* The settings of Katherine Crowson's style-transfer-pytorch: Wasserstein-2 style loss, scales by sqrt 2,
           averaged iterates. Its features are those of a network that takes pixels of deviation 1; ours are on pixels
           in [0, 1], of deviation about 1/4, so squared losses are 16 times smaller and total variation, which looks at
           pixels, is divided by that. */
        .name = "crowsonkb",
        .description = "the settings of style-transfer-pytorch: Wasserstein-2 loss, many scales, averaged iterates",
        .smallest_side = 128,
        .growth = 1.4142135623730951,
        .first_iterations = 1000,
        .second_iterations = 500,
        .iteration_ratio = 1.0,
        .least_iterations = 1,
        .optimizer = "adam",
        .learning_rate = 0.02 * 255,
        .beta1 = 0.9,
        .beta2 = 0.99,
        .history = 10,
        .first_step = 1.0,
        .project = 1,
        .averaging = 0.99,
        .content_layers = "conv4_2",
        .style_layers = "conv1_1:256,conv2_1:64,conv3_1:16,conv4_1:4,conv5_1:1",
        .normalize_layers = 1,
        .style_loss = "wasserstein",
        .content_weight = 0.015,
        .style_weight = 1.0,
        .variation_weight = 2.0 / 16,
        .precision = "f32",
        .pooling = "max",
        .average_scale = 1.0,
        .padding = "replicate",
        .start = "content",
        .style_scale = 1.0,
    },
};
enum { preset_count = sizeof presets / sizeof presets[0] };

const imp_preset *imp_preset_find(const char *name) {
    if (!name) return &presets[0];
    for (int i = 0; i < preset_count; i++)
        if (!strcmp(presets[i].name, name)) return &presets[i];
    return NULL;
}

const char *imp_preset_name(int index) {
    return index >= 0 && index < preset_count ? presets[index].name : NULL;
}

const char *imp_preset_description(int index) {
    return index >= 0 && index < preset_count ? presets[index].description : NULL;
}
