/* Operations that join or change values where they are: ReLU, other activations, sums, products, channels side by side. */
#include "graph/operation.h"

/* ---- ReLU on its own: the mask of its gradient belongs to its value, as that of a fused one does ----------------- */

static void relu_forward(imp_plan *plan, const imp_node *node) {
    imp_map in = imp_plan_needed(plan, node, &imp_node_input(plan, node, 0)->value);
    imp_map out = imp_plan_needed(plan, node, &node->value);

    plan->backend->relu(plan->context, &in, &out);
}

/* The gradient as it is, of a sum too. */
static void pass_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    const imp_node *input = imp_node_input(plan, node, second);
    imp_map from = imp_plan_needed(plan, input, &node->gradient), to = imp_plan_needed(plan, input, &input->gradient);
    imp_map mask = imp_plan_needed(plan, input, &input->value);

    plan->backend->pass(plan->context, &from, &to, how->accumulate, how->mask ? &mask : NULL);
}

const imp_operation imp_operation_relu = {
    .name = "relu",
    .any_windows = 1,
    .shape = imp_same_shape,
    .operations = imp_one_operation,
    .forward = relu_forward,
    .backward = pass_backward,
};

/* ---- Other activations ------------------------------------------------------------------------------------------- */

static void activation_forward(imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);

    plan->backend->activate(plan->context, layer->activation, layer->slope, &imp_node_input(plan, node, 0)->value,
                            &node->value);
}

static void activation_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    const imp_layer *layer = imp_node_layer(plan, node);
    const imp_node *input = imp_node_input(plan, node, second);

    plan->backend->activate_backward(plan->context, layer->activation, layer->slope, &input->value, &node->gradient,
                                     &input->gradient, how->accumulate, how->mask);
}

const imp_operation imp_operation_activation = {
    .name = "activation",
    .shape = imp_same_shape,
    .backward_reads_inputs = imp_reads_inputs,
    .operations = imp_one_operation,
    .forward = activation_forward,
    .backward = activation_backward,
};

/* ---- Sum --------------------------------------------------------------------------------------------------------- */

static int add_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                     imp_view *out) {
    if (in->channels != second->channels || in->height != second->height || in->width != second->width)
        return imp_fail(plan->context, IMP_ERR_FORMAT, "layer %s: a sum of maps of %dx%dx%d and %dx%dx%d", layer->name,
                        in->channels, in->height, in->width, second->channels, second->height, second->width);
    return imp_same_shape(plan, layer, in, second, out);
}

static void add_forward(imp_plan *plan, const imp_node *node) {
    imp_map_blend job = {.x = &imp_node_input(plan, node, 0)->value,
                         .y = &imp_node_input(plan, node, 1)->value,
                         .out = &node->value,
                         .relu = node->relu};

    plan->backend->blend(plan->context, &job);
}

const imp_operation imp_operation_add = {
    .name = "add",
    .inputs = 2,
    .fuses_relu = 1,
    .shape = add_shape,
    .operations = imp_one_operation,
    .forward = add_forward,
    .backward = pass_backward,
};

/* ---- Channels side by side --------------------------------------------------------------------------------------- */

static int concat_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                        imp_view *out) {
    if (in->height != second->height || in->width != second->width)
        return imp_fail(plan->context, IMP_ERR_FORMAT, "layer %s: maps of %dx%d and %dx%d side by side", layer->name,
                        in->height, in->width, second->height, second->width);
    if (in->channels % IMP_BLOCK)
        return imp_fail(plan->context, IMP_ERR_UNSUPPORTED,
                        "layer %s: the first map of several side by side has %d channels, no multiple of %d",
                        layer->name, in->channels, IMP_BLOCK);
    imp_same_shape(plan, layer, in, second, out);
    out->channels = in->channels + second->channels;
    return IMP_OK;
}

/* The part of a map of the node's shape that is of one of its inputs. */
static imp_map concat_part(const imp_plan *plan, const imp_node *node, const imp_map *map, int second) {
    int first = imp_blocks(imp_node_input(plan, node, 0)->value.view.channels);

    return imp_map_blocks(map, second ? first : 0, imp_node_input(plan, node, second)->value.view.channels);
}

static void concat_forward(imp_plan *plan, const imp_node *node) {
    for (int second = 0; second < 2; second++) {
        imp_map part = concat_part(plan, node, &node->value, second);

        plan->backend->pass(plan->context, &imp_node_input(plan, node, second)->value, &part, 0, NULL);
    }
}

static void concat_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    imp_map part = concat_part(plan, node, &node->gradient, second);

    plan->backend->pass(plan->context, &part, &imp_node_input(plan, node, second)->gradient, how->accumulate,
                        how->mask);
}

const imp_operation imp_operation_concat = {
    .name = "concat",
    .inputs = 2,
    .shape = concat_shape,
    .operations = imp_one_operation,
    .forward = concat_forward,
    .backward = concat_backward,
};

/* ---- A map times a number for each channel (Hu et al., arXiv 1709.01507) ----------------------------------------- */

static int scale_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                       imp_view *out) {
    if (in->channels != second->channels || second->height != 1 || second->width != 1)
        return imp_fail(plan->context, IMP_ERR_FORMAT, "layer %s: %d channels times a map of %dx%dx%d", layer->name,
                        in->channels, second->channels, second->height, second->width);
    return imp_same_shape(plan, layer, in, second, out);
}

static size_t scale_scratch(const imp_plan *plan, const imp_node *node, int backward) {
    return (backward ? 2 : 1) * imp_plan_channels(plan, node);
}

/* The second input's one pixel, of every picture. */
static float *scale_factors(imp_plan *plan, const imp_node *node, imp_region_kind region) {
    float *factors = imp_node_region(plan, node, region);

    plan->backend->channel_products(plan->context, &imp_node_input(plan, node, 1)->value, NULL, NULL, NULL, factors,
                                    NULL);
    return factors;
}

static void scale_forward(imp_plan *plan, const imp_node *node) {
    imp_map_blend job = {.x = &imp_node_input(plan, node, 0)->value,
                         .out = &node->value,
                         .x_factor = scale_factors(plan, node, IMP_REGION_SCRATCH)};

    plan->backend->blend(plan->context, &job);
}

static void scale_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    const imp_node *to = imp_node_input(plan, node, second);
    float *factors = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH);

    if (second) {
        float *products = factors + imp_plan_channels(plan, node);

        plan->backend->channel_products(plan->context, &node->gradient, &imp_node_input(plan, node, 0)->value, NULL,
                                        NULL, factors, products);
        plan->backend->fill_channels(plan->context, products, 1, &to->gradient, how->accumulate, how->mask);
    } else {
        imp_map_blend job = {.x = &node->gradient,
                             .out = &to->gradient,
                             .x_factor = scale_factors(plan, node, IMP_REGION_BACKWARD_SCRATCH),
                             .accumulate = how->accumulate,
                             .mask = how->mask};

        plan->backend->blend(plan->context, &job);
    }
}

const imp_operation imp_operation_scale = {
    .name = "scale",
    .inputs = 2,
    .shape = scale_shape,
    .backward_reads_inputs = imp_reads_inputs,
    .scratch = scale_scratch,
    .operations = imp_one_operation,
    .forward = scale_forward,
    .backward = scale_backward,
};
