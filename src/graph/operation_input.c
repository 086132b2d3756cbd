/* The input of a network: pixels to the preprocessed map; or of a part of one: a map that is kept outside. */
#include "graph/operation.h"

static int input_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                       imp_view *out) {
    int factor = plan->options.input_layer || !layer->factor ? 1 : layer->factor;

    (void)in;
    (void)second;
    if (plan->options.height % factor || plan->options.width % factor)
        return imp_fail(plan->context, IMP_ERR_ARGUMENT, "a picture of %dx%d: both sides must be multiples of %d",
                        plan->options.width, plan->options.height, factor);
    out->channels = plan->options.input_layer ? layer->channels : 3 * factor * factor;
    out->height = plan->options.height / factor;
    out->width = plan->options.width / factor;
    return IMP_OK;
}

static double input_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    return 2.0 * out->channels * out->height * out->width; /* minus the mean, times the scale */
}

static double no_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    (void)out;
    return 0;
}

static void input_forward(imp_plan *plan, const imp_node *node) {
    plan->backend->load_pixels(plan->context, plan->network->preprocessing, plan->pixels, plan->plane, &node->value);
}

static void input_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *contribution) {
    (void)second;
    (void)contribution;
    plan->backend->store_pixel_gradient(plan->context, plan->network->preprocessing, &node->gradient, plan->has_windows,
                                        plan->pixel_gradient, plan->plane);
}

const imp_operation imp_operation_input = {
    .name = "pixels",
    .any_windows = 1,
    .shape = input_shape,
    .operations = input_operations,
    .forward = input_forward,
    .backward = input_backward,
};

const imp_operation imp_operation_kept = {
    .name = "kept map",
    .any_windows = 1,
    .shape = input_shape,
    .operations = no_operations,
};
