/* The descent: Adam or L-BFGS over a picture's planes. */
#include "style/descent.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "optim/optim.h"
#include "style/octaves.h"

#define ADAM_EPSILON 1e-8 /* PyTorch's default */
#define LATER_STEP 0.2    /* of L-BFGS's first step: from the second scale on, the picture is half painted already */

struct imp_descent {
    imp_context *context;
    const imp_settings *settings;
    imp_canvas canvas;
    size_t count; /* floats of a picture */
    imp_adam *adam;
    imp_lbfgs *lbfgs;
    imp_octaves *octaves; /* of L-BFGS, where the preset wants it */
    float *good;          /* Adam: the last point with a finite loss; L-BFGS: the best */
    double good_loss;
    float *average; /* NULL: the preset wants none */
    int64_t steps;
};

/* Adam's moments of the coarser scale, resized; the second ones stay positive. */
static int carry_moments(imp_descent *descent, const imp_descent *previous) {
    float *m, *v, *old_m, *old_v;
    int64_t steps;
    imp_adam_state(descent->adam, &m, &v, NULL);
    imp_adam_state(previous->adam, &old_m, &old_v, &steps);
    int status =
        imp_canvas_transfer(descent->context, old_m, &previous->canvas, &descent->canvas, IMP_FILTER_BICUBIC, m);
    if (!status)
        status =
            imp_canvas_transfer(descent->context, old_v, &previous->canvas, &descent->canvas, IMP_FILTER_BILINEAR, v);
    for (size_t i = 0; i < descent->count && !status; i++) v[i] = fmaxf(v[i], 0);
    imp_adam_set_steps(descent->adam, steps);
    return status;
}

static int create_lbfgs(imp_descent *descent, int scale) {
    const imp_settings *settings = descent->settings;
    const imp_preset *preset = settings->preset;
    int first = 1;
    for (int i = 0; i < scale; i++) first = first && settings->scales[i].iterations == 0;
    imp_lbfgs_options options = {.history = settings->scales[scale].history,
                                 .line_search = settings->optimizer == IMP_OPTIMIZER_LBFGS_LINE_SEARCH,
                                 .learning_rate = settings->learning_rate,
                                 .first_step = preset->first_step * (first ? 1 : LATER_STEP)};
    if (preset->octave_growth > 0) {
        int status = imp_octaves_create(descent->context, imp_canvas_height(&descent->canvas),
                                        imp_canvas_width(&descent->canvas), preset->octave_growth, &descent->octaves);
        if (status) return status;
        options.precondition = imp_octaves_apply;
        options.user = descent->octaves;
    }
    return imp_lbfgs_create(descent->context, descent->count, &options, &descent->lbfgs);
}

static int create_optimizer(imp_descent *descent, int scale, const imp_descent *previous) {
    const imp_settings *settings = descent->settings;
    const imp_preset *preset = settings->preset;
    if (settings->optimizer != IMP_OPTIMIZER_ADAM) return create_lbfgs(descent, scale);
    /* A preset for L-BFGS has no betas: Adam's usual ones. */
    int status = imp_adam_create(descent->context, descent->count, preset->beta1 > 0 ? preset->beta1 : 0.9,
                                 preset->beta2 > 0 ? preset->beta2 : 0.999, ADAM_EPSILON, &descent->adam);
    return status || !previous ? status : carry_moments(descent, previous);
}

/* Averages of iterates smooth Adam's noise; L-BFGS has none, and keeps its best point instead. */
static int averages(const imp_settings *settings) {
    return settings->preset->averaging > 0 && settings->optimizer == IMP_OPTIMIZER_ADAM;
}

int imp_descent_create(imp_context *context, const imp_settings *settings, int scale, const imp_descent *previous,
                       imp_descent **out) {
    const imp_canvas *canvas = &settings->scales[scale].canvas;
    *out = NULL;
    imp_descent *descent = imp_allocate_zero(context, 1, sizeof *descent);
    if (!descent) return IMP_ERR_MEMORY;
    descent->context = context;
    descent->settings = settings;
    descent->canvas = *canvas;
    descent->count = imp_canvas_floats(canvas);
    descent->good_loss = INFINITY;
    descent->good = imp_allocate_zero(context, descent->count, sizeof(float));
    if (averages(settings)) descent->average = imp_allocate_zero(context, descent->count, sizeof(float));
    int status = descent->good && (descent->average || !averages(settings)) ? IMP_OK : IMP_ERR_MEMORY;
    if (!status) status = create_optimizer(descent, scale, previous);
    if (status) {
        imp_descent_free(descent);
        return status;
    }
    *out = descent;
    return IMP_OK;
}

uint64_t imp_descent_measure(const imp_settings *settings, const imp_canvas *canvas, int history) {
    int arrays = 1 + averages(settings); /* good, average */
    int adam = settings->optimizer == IMP_OPTIMIZER_ADAM;
    arrays += adam ? 2 : 2 * history + 3;
    uint64_t octaves = adam || settings->preset->octave_growth == 0
                           ? 0
                           : imp_octaves_measure(imp_canvas_height(canvas), imp_canvas_width(canvas));
    return (uint64_t)arrays * imp_canvas_floats(canvas) * sizeof(float) + octaves;
}

static void project(float *planes, size_t count) {
    for (size_t i = 0; i < count; i++) planes[i] = fminf(fmaxf(planes[i], 0), 255);
}

int imp_descent_step(imp_descent *descent, int iteration, float *planes, double loss, const float *gradient) {
    const imp_settings *settings = descent->settings;
    const imp_preset *preset = settings->preset;
    if (isfinite(loss) && (descent->adam || loss < descent->good_loss)) {
        memcpy(descent->good, planes, descent->count * sizeof(float));
        descent->good_loss = loss;
    }
    if (descent->lbfgs) {
        int status = imp_lbfgs_step(descent->lbfgs, planes, loss, gradient, NULL);
        if (status) return status;
    } else {
        if (!isfinite(loss)) return imp_fail(descent->context, IMP_ERR_NUMERIC, "the loss is not finite");
        double rate =
            imp_step_lr(settings->learning_rate, preset->learning_rate_step, preset->learning_rate_decay, iteration);
        imp_adam_step(descent->adam, rate, planes, gradient);
    }
    if (preset->project && descent->adam) project(planes, descent->count);
    if (descent->average)
        imp_average_add(descent->context, descent->count, preset->averaging, ++descent->steps, planes,
                        descent->average);
    return IMP_OK;
}

const float *imp_descent_last_good(const imp_descent *descent) {
    return isfinite(descent->good_loss) ? descent->good : NULL;
}

const float *imp_descent_picture(const imp_descent *descent, const float *planes) {
    if (descent->average && descent->steps > 0) return descent->average;
    if (descent->lbfgs && isfinite(descent->good_loss)) return descent->good;
    return planes;
}

void imp_descent_free(imp_descent *descent) {
    if (!descent) return;
    imp_adam_free(descent->adam);
    imp_lbfgs_free(descent->lbfgs);
    imp_octaves_free(descent->octaves);
    imp_release(descent->context, descent->good);
    imp_release(descent->context, descent->average);
    imp_release(descent->context, descent);
}
