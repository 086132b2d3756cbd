/* Pooling: 2x2 with stride 2, as VGG has it; windows of any size; all pixels of a map. */
#include "graph/operation.h"

/* ---- 2x2 with stride 2 ------------------------------------------------------------------------------------------- */

static int pool_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                      imp_view *out) {
    (void)second;
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

static double pool_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    return 4.0 * out->channels * out->height * out->width; /* three comparisons or sums, and a store */
}

imp_map_pooling imp_pooling_job(const imp_plan *plan, const imp_node *node, const imp_map *windows, int begin,
                                int end) {
    imp_map_pooling job = {
        .kind = plan->options.pooling,
        .average_scale = plan->options.average_scale,
        .relu = node->pooled_relu,
        .windows = imp_map_band(windows, begin, end),
    };

    if (node->choices.batch) job.choices = imp_map_band(&node->choices, begin, end);
    return job;
}

size_t imp_choices_floats(const imp_plan *plan, const imp_node *node) {
    (void)plan;
    return imp_map_floats(&node->choices);
}

static imp_map_pooling pool_job(const imp_plan *plan, const imp_node *node, const imp_map *windows) {
    return imp_pooling_job(plan, node, windows, imp_plan_needed_begin(plan, node), imp_plan_needed_end(plan, node));
}

static void pool_forward(imp_plan *plan, const imp_node *node) {
    const imp_node *input = imp_node_input(plan, node, 0);
    imp_map_pooling job = pool_job(plan, node, &node->value);
    imp_map in = imp_plan_needed(plan, input, &input->value);

    plan->backend->pool(plan->context, &job, &in);
}

static void pool_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *contribution) {
    const imp_node *input = imp_node_input(plan, node, second);
    imp_map_pooling job = pool_job(plan, node, &node->gradient);
    imp_map to = imp_plan_needed(plan, input, &input->gradient), mask = imp_plan_needed(plan, input, &input->value);

    plan->backend->pool_backward(plan->context, &job, &to, contribution->accumulate, contribution->mask ? &mask : NULL);
}

const imp_operation imp_operation_pool = {
    .name = "pool",
    .any_windows = 1,
    .shape = pool_shape,
    .state = imp_choices_floats,
    .operations = pool_operations,
    .forward = pool_forward,
    .backward = pool_backward,
};

/* ---- The greatest of any window ---------------------------------------------------------------------------------- */

static int max_pool_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                          imp_view *out) {
    int height = in->height + 2 * layer->padding - layer->kernel;
    int width = in->width + 2 * layer->padding - layer->kernel;

    (void)second;
    if (height < 0 || width < 0)
        return imp_fail(plan->context, IMP_ERR_ARGUMENT, "a picture of %dx%d is too small: layer %s would see %dx%d",
                        plan->options.width, plan->options.height, layer->name, in->width, in->height);
    out->channels = in->channels;
    out->height = height / layer->stride + 1;
    out->width = width / layer->stride + 1;
    return IMP_OK;
}

static double max_pool_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)in;
    return 1.0 * layer->kernel * layer->kernel * out->channels * out->height * out->width;
}

static imp_windows windows_of(const imp_layer *layer) {
    return (imp_windows){.kernel_height = layer->kernel,
                         .kernel_width = layer->kernel,
                         .stride = layer->stride,
                         .pad_y = layer->padding,
                         .pad_x = layer->padding};
}

static void max_pool_forward(imp_plan *plan, const imp_node *node) {
    imp_windows windows = windows_of(imp_node_layer(plan, node));

    plan->backend->max_pool(plan->context, &windows, &imp_node_input(plan, node, 0)->value, &node->value);
}

static void max_pool_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    imp_windows windows = windows_of(imp_node_layer(plan, node));
    const imp_node *input = imp_node_input(plan, node, second);

    plan->backend->max_pool_backward(plan->context, &windows, &input->value, &node->gradient, &input->gradient,
                                     how->accumulate, how->mask);
}

const imp_operation imp_operation_max_pool = {
    .name = "max pool",
    .shape = max_pool_shape,
    .backward_reads_inputs = imp_reads_inputs,
    .operations = max_pool_operations,
    .forward = max_pool_forward,
    .backward = max_pool_backward,
};

/* ---- The mean of all pixels -------------------------------------------------------------------------------------- */

static int average_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                         imp_view *out) {
    (void)plan;
    (void)layer;
    (void)second;
    out->channels = in->channels;
    out->height = out->width = 1;
    return IMP_OK;
}

static double average_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)out;
    return 1.0 * in->channels * in->height * in->width;
}

static size_t average_scratch(const imp_plan *plan, const imp_node *node, int backward) {
    (void)backward;
    return imp_plan_channels(plan, node);
}

static void average_forward(imp_plan *plan, const imp_node *node) {
    const imp_map *in = &imp_node_input(plan, node, 0)->value;
    float *sums = imp_node_region(plan, node, IMP_REGION_SCRATCH);

    plan->backend->channel_products(plan->context, in, NULL, NULL, NULL, sums, NULL);
    plan->backend->fill_channels(plan->context, sums, 1.0f / ((float)in->view.height * (float)in->view.width),
                                 &node->value, 0, NULL);
}

static void average_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    const imp_node *input = imp_node_input(plan, node, second);
    const imp_view *in = &input->value.view;
    float *gradients = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH);

    plan->backend->channel_products(plan->context, &node->gradient, NULL, NULL, NULL, gradients, NULL);
    plan->backend->fill_channels(plan->context, gradients, 1.0f / ((float)in->height * (float)in->width),
                                 &input->gradient, how->accumulate, how->mask);
}

const imp_operation imp_operation_average = {
    .name = "average",
    .shape = average_shape,
    .scratch = average_scratch,
    .operations = average_operations,
    .forward = average_forward,
    .backward = average_backward,
};
