/* Instance norm, conditional on the picture's style (Ulyanov et al., arXiv 1607.08022; Dumoulin et al., arXiv 1610.07629),
 * and batch norm (Ioffe and Szegedy, arXiv 1502.03167).
 *
 * Of each channel, with mean m and variance v over n pixels and r = 1 / sqrt(v + epsilon):
 *     y = scale r (x - m) + shift
 * The pixels are those of one picture, or of the whole batch. For instances scale and shift are mixed of the styles' rows
 * by imp_plan_set_styles. With g the gradient by y, and sums over the same pixels,
 *     G = sum g,  P = sum g (x - m):    by shift: G,  by scale: r P,
 *     by x:  scale r (g - G / n - r^2 P / n (x - m))
 * so that both ways are one blend of maps with numbers for each channel. A batch norm that does not train has a mean and
 * a variance that no x changes: by x it is scale r g. */
#include <math.h>

#include "graph/operation.h"

/* What forward leaves for backward, each [batch, channels in whole blocks]. */
typedef struct norm_state {
    float *mean, *rate, *scale;
} norm_state;

#define STATE_ARRAYS 3
#define SCRATCH_ARRAYS 4

static size_t norm_state_floats(const imp_plan *plan, const imp_node *node) {
    return STATE_ARRAYS * imp_plan_channels(plan, node);
}

static size_t norm_scratch(const imp_plan *plan, const imp_node *node, int backward) {
    (void)backward;
    return SCRATCH_ARRAYS * imp_plan_channels(plan, node);
}

static norm_state state_of(const imp_plan *plan, const imp_node *node) {
    size_t channels = imp_plan_channels(plan, node);
    float *memory = imp_node_region(plan, node, IMP_REGION_STATE);

    return (norm_state){memory, memory + channels, memory + 2 * channels};
}

static double norm_operations(const imp_layer *layer, const imp_view *in, const imp_view *out) {
    (void)layer;
    (void)in;
    return 6.0 * out->channels * out->height * out->width; /* sum, difference, square, sum, scale and shift */
}

static float pixels_of(const imp_node *node) {
    return (float)node->value.view.height * (float)node->value.view.width;
}

static int is_batch_norm(const imp_plan *plan, const imp_node *node) {
    return imp_node_layer(plan, node)->kind == IMP_OPERATION_BATCH_NORM;
}

/* Whether mean and variance are the parameters. */
static int takes_kept(const imp_plan *plan, const imp_node *node) {
    return is_batch_norm(plan, node) && !imp_plan_trains(plan, node);
}

/* ---- Scales and shifts ------------------------------------------------------------------------------------------- */

/* Rows of a scale or shift: of an instance norm [styles, channels], of a batch norm [channels]. */
static int style_count(const imp_parameter *parameter) {
    return parameter->dimensions == 2 ? (int)parameter->shape[0] : 1;
}

static int channel_count(const imp_parameter *parameter) {
    return (int)parameter->shape[parameter->dimensions - 1];
}

/* How much of a row a picture has. */
static float share_of(const imp_plan *plan, const imp_parameter *parameter, int picture, int style) {
    int styles = style_count(parameter);

    if (!plan->styles || parameter->dimensions != 2) return style == 0;
    return plan->styles[(size_t)picture * (size_t)styles + (size_t)style];
}

static float mixed(const imp_plan *plan, const imp_parameter *parameter, int picture, int channel) {
    float sum = 0;

    for (int style = 0; style < style_count(parameter); style++) {
        float share = share_of(plan, parameter, picture, style);

        if (share != 0) sum += share * parameter->data[style * channel_count(parameter) + channel];
    }
    return sum;
}

/* Adds values, times factors where these are given, to the gradients by the rows that the picture has. */
static void add_row(const imp_plan *plan, int picture, const imp_parameter *parameter, const float *values,
                    const float *factors, float *gradient) {
    int channels = channel_count(parameter);

    for (int style = 0; style < style_count(parameter); style++) {
        float share = share_of(plan, parameter, picture, style);

        for (int c = 0; c < channels && share != 0; c++)
            gradient[style * channels + c] += share * values[c] * (factors ? factors[c] : 1);
    }
}

/* ---- Forward ----------------------------------------------------------------------------------------------------- */

/* Sums over a picture's pixels become means over them, or over those of the whole batch. */
static void take_means(const imp_plan *plan, const imp_node *node, float *sums) {
    size_t all = imp_plan_channels(plan, node), batch = (size_t)plan->options.batch, stride = all / batch;
    float pixels = pixels_of(node);

    for (size_t i = 0; i < all; i++) sums[i] /= pixels;
    for (size_t c = 0; c < stride && is_batch_norm(plan, node); c++) {
        double sum = 0;

        for (size_t picture = 0; picture < batch; picture++) sum += (double)sums[picture * stride + c];
        for (size_t picture = 0; picture < batch; picture++) sums[picture * stride + c] = (float)(sum / (double)batch);
    }
}

/* Means and variances of the input, all [batch, channels in whole blocks]. scratch: as many floats. The squares are of the
   deviations from the mean, so that a large mean does not drown them. */
static void measure(imp_plan *plan, const imp_node *node, float *mean, float *variance, float *scratch) {
    const imp_map *in = &imp_node_input(plan, node, 0)->value;

    plan->backend->channel_products(plan->context, in, NULL, NULL, NULL, mean, NULL);
    take_means(plan, node, mean);
    plan->backend->channel_products(plan->context, in, in, mean, mean, scratch, variance);
    take_means(plan, node, variance);
}

static void take_kept(const imp_plan *plan, const imp_node *node, float *mean, float *variance) {
    const imp_layer *layer = imp_node_layer(plan, node);
    const imp_parameter *parameters = plan->network->parameters;
    size_t all = imp_plan_channels(plan, node), stride = all / (size_t)plan->options.batch;

    for (size_t i = 0; i < all; i++) {
        size_t channel = i % stride;
        int is_there = channel < (size_t)layer->channels;

        mean[i] = is_there ? parameters[layer->mean].data[channel] : 0;
        variance[i] = is_there ? parameters[layer->variance].data[channel] : 0;
    }
}

/* Into the state, and the blend's addends. */
static void finish_channel(const imp_plan *plan, const imp_node *node, const norm_state *state, int picture,
                           int channel, size_t index, float variance, float *addend) {
    const imp_layer *layer = imp_node_layer(plan, node);
    const imp_parameter *parameters = plan->network->parameters;
    float rate = 1 / sqrtf(variance + IMP_NORM_EPSILON);
    float scale = mixed(plan, &parameters[layer->weight], picture, channel) * rate;

    state->rate[index] = rate;
    state->scale[index] = scale;
    *addend = mixed(plan, &parameters[layer->bias], picture, channel) - scale * state->mean[index];
}

static void norm_forward(imp_plan *plan, const imp_node *node) {
    const imp_map *in = &imp_node_input(plan, node, 0)->value;
    norm_state state = state_of(plan, node);
    size_t all = imp_plan_channels(plan, node), stride = all / (size_t)plan->options.batch;
    float *variance = imp_node_region(plan, node, IMP_REGION_SCRATCH), *addend = variance + all;
    imp_map_blend job = {.x = in, .out = &node->value, .x_factor = state.scale, .addend = addend, .relu = node->relu};

    if (takes_kept(plan, node))
        take_kept(plan, node, state.mean, variance);
    else
        measure(plan, node, state.mean, variance, addend);
    for (size_t i = 0; i < all; i++) {
        int channel = (int)(i % stride);

        state.rate[i] = state.scale[i] = addend[i] = 0;
        if (channel < in->view.channels)
            finish_channel(plan, node, &state, (int)(i / stride), channel, i, variance[i], &addend[i]);
    }
    plan->backend->blend(plan->context, &job);
}

int imp_plan_batch_moments(const imp_plan *plan, int layer, float *mean, float *variance) {
    const imp_node *node = plan->nodes;

    if (!plan->can_go_back) return 0; /* backward has overwritten what forward left */
    while (node < plan->nodes + plan->node_count && node->layer != layer) node++;
    if (node == plan->nodes + plan->node_count || !is_batch_norm(plan, node) || takes_kept(plan, node)) return 0;

    norm_state state = state_of(plan, node);
    double count = (double)pixels_of(node) * plan->options.batch;

    for (int c = 0; c < node->value.view.channels; c++) {
        double rate = (double)state.rate[c], of_count = 1 / (rate * rate) - (double)IMP_NORM_EPSILON;

        mean[c] = state.mean[c];
        variance[c] = (float)((of_count > 0 ? of_count : 0) * (count > 1 ? count / (count - 1) : 1));
    }
    return 1;
}

/* ---- Backward ---------------------------------------------------------------------------------------------------- */

/* Sums of the gradient, and of the gradient times the deviation from the mean, [batch, channels in whole blocks]. */
static void gradient_sums(imp_plan *plan, const imp_node *node, float *sum, float *product) {
    norm_state state = state_of(plan, node);

    plan->backend->channel_products(plan->context, &node->gradient, &imp_node_input(plan, node, 0)->value, NULL,
                                    state.mean, sum, product);
}

static void norm_parameter_gradients(imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);
    const imp_parameter *parameters = plan->network->parameters;
    norm_state state = state_of(plan, node);
    size_t all = imp_plan_channels(plan, node), stride = all / (size_t)plan->options.batch;
    float *sum = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH), *product = sum + all;
    float *scale = plan->parameter_gradients[layer->weight], *shift = plan->parameter_gradients[layer->bias];

    gradient_sums(plan, node, sum, product);
    for (int picture = 0; picture < plan->options.batch; picture++) {
        size_t row = (size_t)picture * stride;

        if (scale) add_row(plan, picture, &parameters[layer->weight], product + row, state.rate + row, scale);
        if (shift) add_row(plan, picture, &parameters[layer->bias], sum + row, NULL, shift);
    }
}

static void norm_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    const imp_node *input = imp_node_input(plan, node, second);
    norm_state state = state_of(plan, node);
    size_t all = imp_plan_channels(plan, node);
    float *sum = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH), *product = sum + all;
    float *factor = product + all, *addend = factor + all;
    imp_map_blend job = {.x = &node->gradient,
                         .out = &input->gradient,
                         .x_factor = state.scale,
                         .accumulate = how->accumulate,
                         .mask = how->mask};

    if (!takes_kept(plan, node)) {
        job.y = &input->value;
        job.y_factor = factor;
        job.addend = addend;
        /* Else norm_parameter_gradients has left them there. */
        if (!imp_plan_trains(plan, node)) gradient_sums(plan, node, sum, product);
        take_means(plan, node, sum);
        take_means(plan, node, product);
        for (size_t i = 0; i < all; i++) {
            factor[i] = -state.scale[i] * state.rate[i] * state.rate[i] * product[i];
            addend[i] = -state.scale[i] * sum[i] - factor[i] * state.mean[i];
        }
    }
    plan->backend->blend(plan->context, &job);
}

const imp_operation imp_operation_norm = {
    .name = "norm",
    .fuses_relu = 1,
    .shape = imp_same_shape,
    .backward_reads_inputs = imp_reads_inputs,
    .scratch = norm_scratch,
    .state = norm_state_floats,
    .operations = norm_operations,
    .forward = norm_forward,
    .parameter_gradients = norm_parameter_gradients,
    .backward = norm_backward,
};
