/* The operations that networks consist of, each with its shape rule, forward and backward. */
#include "graph/operation.h"

/* ---- Input: pixels to the preprocessed map, or a map that is kept outside ---------------------------------------- */

static int input_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, imp_view *out) {
    (void)in;
    out->channels = plan->options.input_layer ? layer->channels : 3;
    out->height = plan->options.height;
    out->width = plan->options.width;
    return IMP_OK;
}

static double input_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    return 2.0 * out->channels * out->height * out->width; /* minus the mean, times the scale */
}

static void input_forward(imp_plan *plan, const imp_node *node) {
    plan->backend->load_pixels(plan->context, plan->network->preprocessing, plan->pixels, plan->plane, &node->value,
                               imp_plan_replicates(plan));
}

static void input_backward(imp_plan *plan, const imp_node *node, const imp_contribution *contribution) {
    (void)contribution;
    plan->backend->store_pixel_gradient(plan->context, plan->network->preprocessing, &node->gradient,
                                        imp_plan_replicates(plan), plan->has_windows, plan->pixel_gradient,
                                        plan->plane);
}

static double no_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    (void)out;
    return 0;
}

/* ---- Convolution, with bias and an optional ReLU ----------------------------------------------------------------- */

static int convolution_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, imp_view *out) {
    int height = in->height + 2 * layer->padding - layer->kernel;
    int width = in->width + 2 * layer->padding - layer->kernel;

    if (height < 0 || width < 0)
        return imp_fail(
            plan->context, IMP_ERR_ARGUMENT,
            "a picture of %dx%d is too small: layer %s would see %dx%d; use a larger picture or earlier layers",
            plan->options.width, plan->options.height, layer->name, in->width, in->height);
    if (plan->options.backward && layer->stride != 1)
        return imp_fail(plan->context, IMP_ERR_UNSUPPORTED, "layer %s: no gradient of a convolution with stride %d",
                        layer->name, layer->stride);
    out->channels = layer->channels;
    out->height = height / layer->stride + 1;
    out->width = width / layer->stride + 1;
    return IMP_OK;
}

static int convolution_value_halo(const imp_plan *plan, const imp_layer *layer) {
    (void)plan;
    return layer->padding;
}

/* Pixels of the input's halo whose gradient is wanted too: those that replicate padding copied from the edge. */
static int wanted_halo(const imp_plan *plan, const imp_node *node) {
    const imp_node *input = &plan->nodes[node->input];

    return input->input < 0 && imp_plan_replicates(plan) ? input->value.halo : 0;
}

static int backward_pad(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = &plan->network->layers[node->layer];

    return layer->kernel - 1 - layer->padding + wanted_halo(plan, node);
}

static int convolution_gradient_halo(const imp_plan *plan, const imp_node *node) {
    int pad = backward_pad(plan, node);

    return pad > 0 ? pad : 0;
}

static double convolution_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    return 2.0 * layer->kernel * layer->kernel * in->channels * out->channels * out->height * out->width;
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
    const imp_layer *layer = &plan->network->layers[node->layer];

    /* A stride of 1 where there are windows: rows of the input are those of the output. */
    return (imp_map_convolution){
        .in = imp_plan_needed(plan, node, &plan->nodes[node->input].value),
        .out = imp_plan_needed(plan, node, &node->value),
        .rows = node->value.view.height,
        .weights = node->weights[0],
        .kernel = layer->kernel,
        .stride = layer->stride,
        .pad = layer->padding,
        .relu = node->relu,
        .scratch = imp_node_region(plan, node, IMP_REGION_SCRATCH),
    };
}

static imp_map_convolution backward_job(const imp_plan *plan, const imp_node *node) {
    const imp_node *input = &plan->nodes[node->input];
    /* Into the halo of the pixels: all rows, those that nothing depends on too, which are zero. */
    int all = wanted_halo(plan, node) > 0;
    imp_map out = all ? imp_map_extended(&input->gradient) : input->gradient;

    return (imp_map_convolution){
        .in = all ? node->gradient : imp_plan_needed(plan, input, &node->gradient),
        .out = all ? out : imp_plan_needed(plan, input, &out),
        .rows = out.view.height,
        .weights = node->weights[1],
        .kernel = plan->network->layers[node->layer].kernel,
        .stride = 1,
        .pad = backward_pad(plan, node),
        .scratch = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH),
    };
}

imp_map_convolution imp_convolution_job(const imp_plan *plan, const imp_node *node, int backward) {
    return backward ? backward_job(plan, node) : forward_job(plan, node);
}

static size_t convolution_scratch(const imp_plan *plan, const imp_node *node, int backward) {
    imp_map_convolution job = imp_convolution_job(plan, node, backward);

    return plan->backend->convolution_scratch(plan->context, &job, plan->any_threads);
}

static void convolution_forward(imp_plan *plan, const imp_node *node) {
    imp_map_convolution job = forward_job(plan, node);

    plan->backend->convolve(plan->context, &job);
}

static void convolution_backward(imp_plan *plan, const imp_node *node, const imp_contribution *contribution) {
    imp_map_convolution job = backward_job(plan, node);
    const imp_node *input = &plan->nodes[node->input];
    imp_map mask = imp_plan_needed(plan, input, &input->value);

    job.accumulate = contribution->accumulate;
    if (contribution->mask) job.mask = &mask;
    plan->backend->convolve(plan->context, &job);
}

/* ---- ReLU on its own: the mask of its gradient belongs to its value, as that of a fused one does ----------------- */

static int same_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, imp_view *out) {
    (void)plan;
    (void)layer;
    out->channels = in->channels;
    out->height = in->height;
    out->width = in->width;
    return IMP_OK;
}

static double relu_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    return 1.0 * out->channels * out->height * out->width;
}

static void relu_forward(imp_plan *plan, const imp_node *node) {
    imp_map in = imp_plan_needed(plan, node, &plan->nodes[node->input].value);
    imp_map out = imp_plan_needed(plan, node, &node->value);

    plan->backend->relu(plan->context, &in, &out);
}

static void relu_backward(imp_plan *plan, const imp_node *node, const imp_contribution *contribution) {
    const imp_node *input = &plan->nodes[node->input];
    imp_map from = imp_plan_needed(plan, input, &node->gradient), to = imp_plan_needed(plan, input, &input->gradient);
    imp_map mask = imp_plan_needed(plan, input, &input->value);

    plan->backend->pass(plan->context, &from, &to, contribution->accumulate, contribution->mask ? &mask : NULL);
}

/* ---- Pooling, 2x2 with stride 2 ---------------------------------------------------------------------------------- */

static int pool_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, imp_view *out) {
    if (in->height < 2 || in->width < 2)
        return imp_fail(
            plan->context, IMP_ERR_ARGUMENT,
            "a picture of %dx%d is too small: layer %s would see %dx%d; use a larger picture or earlier layers",
            plan->options.width, plan->options.height, layer->name, in->width, in->height);
    out->channels = in->channels;
    out->height = in->height / 2;
    out->width = in->width / 2;
    return IMP_OK;
}

static int pool_reads_input(const imp_plan *plan) {
    return plan->options.pooling == IMP_POOL_MAX;
}

static double pool_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    return 4.0 * out->channels * out->height * out->width; /* three comparisons or sums, and a store */
}

static imp_map_pool pool_job(const imp_plan *plan, const imp_node *node) {
    const imp_node *input = &plan->nodes[node->input];

    return (imp_map_pool){
        .kind = plan->options.pooling,
        .average_scale = plan->options.average_scale,
        .in = imp_plan_needed(plan, input, &input->value),
        .out = imp_plan_needed(plan, node, &node->value),
    };
}

static void pool_forward(imp_plan *plan, const imp_node *node) {
    imp_map_pool job = pool_job(plan, node);

    plan->backend->pool(plan->context, &job);
}

static void pool_backward(imp_plan *plan, const imp_node *node, const imp_contribution *contribution) {
    imp_map_pool job = pool_job(plan, node);
    const imp_node *input = &plan->nodes[node->input];
    imp_map from = imp_plan_needed(plan, node, &node->gradient), to = imp_plan_needed(plan, input, &input->gradient);

    plan->backend->pool_backward(plan->context, &job, &from, &to, contribution->accumulate,
                                 contribution->mask ? &job.in : NULL);
}

/* -------------------------------------------------------------------------------------------------------------- */

static const imp_operation operations[] = {
    [IMP_OPERATION_INPUT] =
        {
            .name = "pixels",
            .shape = input_shape,
            .operations = input_operations,
            .forward = input_forward,
            .backward = input_backward,
        },
    [IMP_OPERATION_CONVOLUTION] =
        {
            .name = "convolution",
            .fuses_relu = 1,
            .shape = convolution_shape,
            .value_halo = convolution_value_halo,
            .gradient_halo = convolution_gradient_halo,
            .prepare = convolution_prepare,
            .scratch = convolution_scratch,
            .operations = convolution_operations,
            .forward = convolution_forward,
            .backward = convolution_backward,
        },
    [IMP_OPERATION_RELU] =
        {
            .name = "relu",
            .shape = same_shape,
            .operations = relu_operations,
            .forward = relu_forward,
            .backward = relu_backward,
        },
    [IMP_OPERATION_POOL] =
        {
            .name = "pool",
            .shape = pool_shape,
            .backward_reads_input = pool_reads_input,
            .operations = pool_operations,
            .forward = pool_forward,
            .backward = pool_backward,
        },
};

const imp_operation imp_operation_kept = {
    .name = "kept map",
    .shape = input_shape,
    .operations = no_operations,
};

const imp_operation *imp_operation_find(imp_operation_kind kind) {
    return (size_t)kind < sizeof operations / sizeof operations[0] ? &operations[kind] : NULL;
}

int imp_plan_replicates(const imp_plan *plan) {
    return plan->options.first_padding == IMP_PADDING_REPLICATE && plan->options.input_layer == 0;
}
