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

/* In pixels of the gradient, which lie a stride apart; what the stride leaves over at the far side counts as padding. That of
   a pooled result is not there. */
static int convolution_gradient_halo(const imp_plan *plan, const imp_node *node) {
    int stride = imp_node_layer(plan, node)->stride;

    if (node->pool >= 0) return 0;
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

/* What a pooled result was before, as a shape alone. Cannot overflow: lowering tried. */
static imp_map unpooled_shape(const imp_plan *plan, const imp_node *node, int height, int width, int halo) {
    imp_map shape;

    imp_map_layout(&shape, plan->options.element, plan->options.batch, node->value.view.channels, height, width, halo);
    return shape;
}

/* The rows of the input that rows [begin, end) of the result lie in, where there are windows: then its convolutions keep
   the size. */
static imp_map forward_input(const imp_plan *plan, const imp_node *node, int begin, int end) {
    const imp_map *input = &imp_node_input(plan, node, 0)->value;

    return plan->has_windows ? imp_map_band(input, begin, end) : *input;
}

/* What forward reads and writes. Of a pooled result two rows for each: what is left over is not computed. */
static void set_result(const imp_plan *plan, const imp_node *node, imp_map_convolution *job) {
    int begin = imp_plan_needed_begin(plan, node), end = imp_plan_needed_end(plan, node);

    if (node->pool < 0) {
        job->in = forward_input(plan, node, begin, end);
        job->out = imp_map_band(&node->value, begin, end);
        job->rows = node->value.view.height;
        return;
    }
    job->pool = IMP_POOL_BEHIND;
    job->pooling = imp_pooling_job(plan, node, &node->value, begin, end);
    job->in = forward_input(plan, node, 2 * begin, 2 * end);
    job->out = unpooled_shape(plan, node, 2 * (end - begin), 2 * node->value.view.width, 0);
    job->rows = 2 * node->value.view.height;
}

static imp_map_convolution forward_job(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);
    imp_map_convolution job = {
        .weights = node->weights[0],
        .kernel = layer->kernel,
        .stride = layer->stride,
        .pad = layer->padding,
        .dilation = imp_layer_dilation(layer),
        .groups = imp_layer_groups(layer),
        .relu = node->relu,
        .scratch = imp_node_region(plan, node, IMP_REGION_SCRATCH),
    };

    set_result(plan, node, &job);
    return job;
}

/* Into a halo: all rows, those that nothing depends on too, which are zero. */
static int writes_all_rows(const imp_plan *plan, const imp_node *node) {
    return !plan->has_windows || wanted_halo(plan, node) > 0 || imp_node_layer(plan, node)->stride > 1;
}

/* The first row of the input's gradient that backward writes. Of pooled pixels whole windows are read: a row that comes with
   them is zero but for rounding. */
static int backward_begin(const imp_plan *plan, const imp_node *node) {
    int begin = imp_plan_needed_begin(plan, imp_node_input(plan, node, 0));

    if (writes_all_rows(plan, node)) return 0;
    return node->pool >= 0 ? begin - begin % 2 : begin;
}

/* Of the input's value or gradient what backward writes. */
static imp_map backward_rows(const imp_plan *plan, const imp_node *node, const imp_map *map) {
    int end = imp_plan_needed_end(plan, imp_node_input(plan, node, 0));

    if (writes_all_rows(plan, node)) return imp_map_extended(map, wanted_halo(plan, node));
    return imp_map_band(map, backward_begin(plan, node), end);
}

/* What backward reads. */
static void set_gradient(const imp_plan *plan, const imp_node *node, imp_map_convolution *job) {
    int begin = backward_begin(plan, node), rows = job->out.view.height, all = writes_all_rows(plan, node);

    if (node->pool < 0) {
        job->in = all ? node->gradient : imp_map_band(&node->gradient, begin, begin + rows);
        return;
    }
    job->pool = IMP_POOL_BEFORE;
    job->pooling = imp_pooling_job(plan, node, &node->gradient, begin / 2, node->gradient.view.height);
    job->in = unpooled_shape(plan, node, all ? node->unpooled.height : rows, node->unpooled.width, halo_of(job->pad));
}

static imp_map_convolution backward_job(const imp_plan *plan, const imp_node *node) {
    const imp_node *input = imp_node_input(plan, node, 0);
    const imp_layer *layer = imp_node_layer(plan, node);
    imp_map_convolution job = {
        .out = backward_rows(plan, node, &input->gradient),
        .rows = input->gradient.view.height + 2 * wanted_halo(plan, node),
        .weights = node->weights[1],
        .kernel = layer->kernel,
        .stride = 1,
        .pad = backward_pad(plan, node),
        .dilation = imp_layer_dilation(layer),
        .groups = imp_layer_groups(layer),
        .spread = layer->stride,
        .scratch = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH),
    };

    set_gradient(plan, node, &job);
    return job;
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
    imp_map mask = backward_rows(plan, node, &input->value);

    job.accumulate = contribution->accumulate;
    if (contribution->mask) job.mask = &mask;
    plan->backend->convolve(plan->context, &job);
}

const imp_operation imp_operation_convolution = {
    .name = "convolution",
    .fuses_relu = 1,
    .fuses_pool = 1,
    .any_windows = 1,
    .shape = convolution_shape,
    .value_halo = convolution_value_halo,
    .gradient_halo = convolution_gradient_halo,
    .backward_reads_inputs = convolution_reads_inputs,
    .prepare = convolution_prepare,
    .scratch = convolution_scratch,
    .state = imp_choices_floats,
    .operations = convolution_operations,
    .forward = convolution_forward,
    .parameter_gradients = convolution_parameter_gradients,
    .backward = convolution_backward,
};
