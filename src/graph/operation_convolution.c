/* Convolution with bias and an optional ReLU: any kernel, stride and dilation; all channels with all, or in groups. */
#include "graph/operation.h"

/* Pixels that a kernel reaches past its first one. */
static int extent(const imp_layer *layer) {
    return (layer->kernel - 1) * imp_layer_dilation(layer);
}

static int convolution_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                             imp_view *out) {
    int height = in->height + 2 * layer->padding - extent(layer) - 1;
    int width = in->width + 2 * layer->padding - extent(layer) - 1;

    (void)second;
    if (height < 0 || width < 0)
        return imp_fail(
            plan->context, IMP_ERR_ARGUMENT,
            "a picture of %dx%d is too small: layer %s would see %dx%d; use a larger picture or earlier layers",
            plan->options.width, plan->options.height, layer->name, in->width, in->height);
    out->channels = layer->channels;
    out->height = height / layer->stride + 1;
    out->width = width / layer->stride + 1;
    return IMP_OK;
}

static int convolution_value_halo(const imp_plan *plan, const imp_layer *layer) {
    (void)plan;
    return layer->padding;
}

/* Pixels of the input's halo whose gradient is wanted too: those that were copied from pixels inside. */
static int wanted_halo(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);

    return imp_node_input(plan, node, 0)->padding != IMP_PADDING_ZERO ? layer->padding : 0;
}

static int backward_pad(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);

    return extent(layer) - layer->padding + wanted_halo(plan, node);
}

static int halo_of(int pad) {
    return pad > 0 ? pad : 0;
}

/* In pixels of the gradient, which lie a stride apart; what the stride leaves over at the far side counts as padding. */
static int convolution_gradient_halo(const imp_plan *plan, const imp_node *node) {
    int stride = imp_node_layer(plan, node)->stride;

    return halo_of(backward_pad(plan, node) + stride - 1) / stride;
}

static int convolution_reads_inputs(const imp_plan *plan, const imp_node *node) {
    (void)node;
    return plan->options.training;
}

static double convolution_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    return 2.0 * layer->kernel * layer->kernel * in->channels / imp_layer_groups(layer) * out->channels * out->height *
           out->width;
}

static int convolution_prepare(imp_plan *plan, imp_node *node) {
    int status = IMP_OK;

    for (int backward = 0; backward <= (plan->options.backward != 0) && status == IMP_OK; backward++) {
        imp_map_convolution job = imp_convolution_job(plan, node, backward);

        status =
            plan->backend->weights(plan->context, plan->network, node->layer, backward, &job, &node->weights[backward]);
    }
    return status;
}

static imp_map_convolution forward_job(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);

    /* A stride of 1 where there are windows: rows of the input are those of the output. */
    return (imp_map_convolution){
        .in = imp_plan_needed(plan, node, &imp_node_input(plan, node, 0)->value),
        .out = imp_plan_needed(plan, node, &node->value),
        .rows = node->value.view.height,
        .weights = node->weights[0],
        .kernel = layer->kernel,
        .stride = layer->stride,
        .pad = layer->padding,
        .dilation = imp_layer_dilation(layer),
        .groups = imp_layer_groups(layer),
        .relu = node->relu,
        .scratch = imp_node_region(plan, node, IMP_REGION_SCRATCH),
    };
}

static imp_map_convolution backward_job(const imp_plan *plan, const imp_node *node) {
    const imp_node *input = imp_node_input(plan, node, 0);
    const imp_layer *layer = imp_node_layer(plan, node);
    /* Into the halo too: all rows, those that nothing depends on too, which are zero. */
    int halo = wanted_halo(plan, node), all = halo > 0 || layer->stride > 1;
    imp_map out = imp_map_extended(&input->gradient, halo);

    return (imp_map_convolution){
        .in = all ? node->gradient : imp_plan_needed(plan, input, &node->gradient),
        .out = all ? out : imp_plan_needed(plan, input, &out),
        .rows = out.view.height,
        .weights = node->weights[1],
        .kernel = layer->kernel,
        .stride = 1,
        .pad = backward_pad(plan, node),
        .dilation = imp_layer_dilation(layer),
        .groups = imp_layer_groups(layer),
        .spread = layer->stride,
        .scratch = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH),
    };
}

imp_map_convolution imp_convolution_job(const imp_plan *plan, const imp_node *node, int backward) {
    return backward ? backward_job(plan, node) : forward_job(plan, node);
}

static imp_map_weight_gradient gradient_job(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);
    float *const *gradients = plan->parameter_gradients;

    return (imp_map_weight_gradient){
        .in = &imp_node_input(plan, node, 0)->value,
        .gradient = &node->gradient,
        .kernel = layer->kernel,
        .stride = layer->stride,
        .pad = layer->padding,
        .dilation = imp_layer_dilation(layer),
        .groups = imp_layer_groups(layer),
        .weights = gradients[layer->weight],
        .bias = layer->bias < 0 ? NULL : gradients[layer->bias],
        .scratch = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH),
    };
}

static size_t convolution_scratch(const imp_plan *plan, const imp_node *node, int backward) {
    imp_map_convolution job = imp_convolution_job(plan, node, backward);
    size_t floats = plan->backend->convolution_scratch(plan->context, &job, plan->any_threads), gradient = 0;

    if (backward && plan->options.training) {
        imp_map_weight_gradient by_weights = gradient_job(plan, node);

        gradient = plan->backend->weight_gradient_scratch(&by_weights);
    }
    return floats > gradient ? floats : gradient;
}

static void convolution_forward(imp_plan *plan, const imp_node *node) {
    imp_map_convolution job = forward_job(plan, node);

    plan->backend->convolve(plan->context, &job);
}

static void convolution_parameter_gradients(imp_plan *plan, const imp_node *node) {
    imp_map_weight_gradient job = gradient_job(plan, node);

    plan->backend->weight_gradient(plan->context, &job);
}

static void convolution_backward(imp_plan *plan, const imp_node *node, int second,
                                 const imp_contribution *contribution) {
    imp_map_convolution job = backward_job(plan, node);
    const imp_node *input = imp_node_input(plan, node, second);
    int halo = wanted_halo(plan, node);
    imp_map mask = halo ? imp_map_extended(&input->value, halo) : imp_plan_needed(plan, input, &input->value);

    job.accumulate = contribution->accumulate;
    if (contribution->mask) job.mask = &mask;
    plan->backend->convolve(plan->context, &job);
}

const imp_operation imp_operation_convolution = {
    .name = "convolution",
    .fuses_relu = 1,
    .any_windows = 1,
    .shape = convolution_shape,
    .value_halo = convolution_value_halo,
    .gradient_halo = convolution_gradient_halo,
    .backward_reads_inputs = convolution_reads_inputs,
    .prepare = convolution_prepare,
    .scratch = convolution_scratch,
    .operations = convolution_operations,
    .forward = convolution_forward,
    .parameter_gradients = convolution_parameter_gradients,
    .backward = convolution_backward,
};
