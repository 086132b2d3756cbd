/* Operations that change the number of pixels without weights: enlarging, resizing, shuffling between pixels and channels. */
#include "graph/operation.h"

/* Sizes that go past what a picture may have are refused here, before anything is multiplied with them. */
static int set_shape(const imp_plan *plan, const imp_layer *layer, imp_view *out, int channels, int height, int width) {
    if (height < 1 || width < 1 || height > IMP_IMAGE_MAX_SIDE || width > IMP_IMAGE_MAX_SIDE)
        return imp_fail(plan->context, IMP_ERR_ARGUMENT, "layer %s would have %dx%d pixels; each side must be 1 to %d",
                        layer->name, width, height, IMP_IMAGE_MAX_SIDE);
    out->channels = channels;
    out->height = height;
    out->width = width;
    return IMP_OK;
}

static int larger_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                        imp_view *out) {
    (void)second;
    return set_shape(plan, layer, out, in->channels, in->height * layer->factor, in->width * layer->factor);
}

/* ---- Nearest neighbour by a whole factor ------------------------------------------------------------------------- */

static void enlarge_forward(imp_plan *plan, const imp_node *node) {
    plan->backend->enlarge(plan->context, imp_node_layer(plan, node)->factor, &imp_node_input(plan, node, 0)->value,
                           &node->value);
}

static void enlarge_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    plan->backend->enlarge_backward(plan->context, imp_node_layer(plan, node)->factor, &node->gradient,
                                    &imp_node_input(plan, node, second)->gradient, how->accumulate, how->mask);
}

const imp_operation imp_operation_enlarge = {
    .name = "enlarge",
    .shape = larger_shape,
    .operations = imp_one_operation,
    .forward = enlarge_forward,
    .backward = enlarge_backward,
};

/* ---- Bilinear ---------------------------------------------------------------------------------------------------- */

static double resize_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    return 6 * imp_one_operation(layer, in, out); /* three blends of two */
}

static void resize_forward(imp_plan *plan, const imp_node *node) {
    plan->backend->resize(plan->context, &imp_node_input(plan, node, 0)->value, &node->value);
}

static void resize_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    plan->backend->resize_backward(plan->context, &node->gradient, &imp_node_input(plan, node, second)->gradient,
                                   how->accumulate, how->mask);
}

const imp_operation imp_operation_resize = {
    .name = "resize",
    .shape = larger_shape,
    .operations = resize_operations,
    .forward = resize_forward,
    .backward = resize_backward,
};

/* ---- Between squares of pixels and channels (Shi et al., arXiv 1609.05158) --------------------------------------- */

static int shuffle_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                         imp_view *out) {
    int square = layer->factor * layer->factor;

    (void)second;
    if (in->channels % square)
        return imp_fail(plan->context, IMP_ERR_FORMAT, "layer %s: %d channels are no multiple of %d", layer->name,
                        in->channels, square);
    return set_shape(plan, layer, out, in->channels / square, in->height * layer->factor, in->width * layer->factor);
}

static int unshuffle_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                           imp_view *out) {
    (void)second;
    if (in->height % layer->factor || in->width % layer->factor)
        return imp_fail(plan->context, IMP_ERR_ARGUMENT, "layer %s: both sides of %dx%d must be multiples of %d",
                        layer->name, in->width, in->height, layer->factor);
    return set_shape(plan, layer, out, in->channels * layer->factor * layer->factor, in->height / layer->factor,
                     in->width / layer->factor);
}

static void shuffle_forward(imp_plan *plan, const imp_node *node) {
    plan->backend->shuffle(plan->context, &imp_node_input(plan, node, 0)->value, &node->value, 0, NULL);
}

static void shuffle_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    plan->backend->shuffle(plan->context, &node->gradient, &imp_node_input(plan, node, second)->gradient,
                           how->accumulate, how->mask);
}

const imp_operation imp_operation_shuffle = {
    .name = "shuffle",
    .shape = shuffle_shape,
    .operations = imp_one_operation,
    .forward = shuffle_forward,
    .backward = shuffle_backward,
};

const imp_operation imp_operation_unshuffle = {
    .name = "unshuffle",
    .shape = unshuffle_shape,
    .operations = imp_one_operation,
    .forward = shuffle_forward,
    .backward = shuffle_backward,
};
