/* Presets: whole recipes as data. What a painting's options leave open comes from here. */
#ifndef IMP_STYLE_PRESET_H
#define IMP_STYLE_PRESET_H

#include "graph/plan.h"

typedef struct imp_preset {
    const char *name, *description;

    /* Scales: from smallest_side (longer side, pixels) to the final size by factors of about
       growth; 0: the final size alone. */
    int smallest_side;
    double growth;
    /* Iterations on the first scale, on the second, and what each further scale has of the one before
       it, not under the least. */
    int first_iterations, second_iterations, least_iterations;
    double iteration_ratio;

    const char *optimizer;
    double learning_rate; /* Adam: on the 0..255 scale */
    double beta1, beta2;
    int learning_rate_step; /* iterations after which the rate is multiplied by learning_rate_decay; 0: never */
    double learning_rate_decay;
    int history;          /* pairs of L-BFGS */
    double first_step;    /* of L-BFGS, in pixel values; 0: PyTorch's rule, which depends on the loss's scale */
    double octave_growth; /* of L-BFGS: style/octaves.h; 0: all octaves alike */
    int project;          /* 1: pixels are put back into 0..255 after every step */
    double averaging;     /* decay of the exponential average of iterates that is the result; 0: the last iterate */

    const char *content_layers, *style_layers, *style_loss;
    double content_weight, style_weight, variation_weight;
    /* The content weight begins at content_lead times itself and comes down to itself in lead_share of the iterations of
       each scale: a content loss once high comes down slowly. A scale too short to come down has none. 0: no lead. */
    double content_lead, lead_share;
    double least_gain;    /* a scale ends when ten iterations gain less than this share of the loss; 0: never */
    int normalize_layers; /* 1: layer weights are divided by their sum */

    const char *precision; /* of feature maps: "f32", "bf16", "auto" */
    const char *pooling;
    double average_scale;
    const char *padding;
    int margin; /* pixels around the picture that are painted and cut off: style/canvas.h */
    const char *start;
    double style_scale; /* the style's longer side over the output's */
} imp_preset;

/* NULL name: the first. NULL when there is none of that name. */
const imp_preset *imp_preset_find(const char *name);

#endif
