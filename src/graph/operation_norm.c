/* Instance norm, conditional on the picture's style (Ulyanov et al., arXiv 1607.08022; Dumoulin et al., arXiv 1610.07629).
 *
 * Of each picture and channel, with mean m and variance v over its n pixels and r = 1 / sqrt(v + epsilon):
 *     y = scale r (x - m) + shift
 * scale and shift are mixed of the styles' rows by imp_plan_set_styles. With g the gradient by y,
 *     G = sum g,  P = sum g (x - m):    by shift: G,  by scale: r P,
 *     by x:  scale r (g - G / n - r^2 P / n (x - m))
 * so that both ways are one blend of maps with numbers for each channel. */
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

static int style_count(const imp_parameter *parameter) {
    return (int)parameter->shape[0];
}

/* How much of a style a picture has. */
static float share_of(const imp_plan *plan, int picture, int style, int styles) {
    return plan->styles ? plan->styles[(size_t)picture * (size_t)styles + (size_t)style] : style == 0;
}

/* A picture's row of the parameter [styles, channels]. */
static float mixed(const imp_plan *plan, const imp_parameter *parameter, int picture, int channel) {
    int styles = style_count(parameter);
    float sum = 0;

    for (int style = 0; style < styles; style++) {
        float share = share_of(plan, picture, style, styles);

        if (share != 0) sum += share * parameter->data[style * parameter->shape[1] + channel];
    }
    return sum;
}

/* sums and squares: of the deviations from mean, which they correct. Into the state, and the blend's addends. */
static void finish_channel(const imp_plan *plan, const imp_node *node, const norm_state *state, int picture,
                           int channel, size_t index, float square, float *addend) {
    const imp_layer *layer = imp_node_layer(plan, node);
    const imp_view *view = &node->value.view;
    float pixels = (float)view->height * (float)view->width;
    float rate = 1 / sqrtf(square / pixels + IMP_NORM_EPSILON);
    float scale = mixed(plan, &plan->network->parameters[layer->weight], picture, channel) * rate;

    state->rate[index] = rate;
    state->scale[index] = scale;
    *addend = mixed(plan, &plan->network->parameters[layer->bias], picture, channel) - scale * state->mean[index];
}

static void norm_forward(imp_plan *plan, const imp_node *node) {
    const imp_map *in = &imp_node_input(plan, node, 0)->value;
    norm_state state = state_of(plan, node);
    size_t all = imp_plan_channels(plan, node), stride = all / (size_t)plan->options.batch;
    float *sum = imp_node_region(plan, node, IMP_REGION_SCRATCH), *square = sum + all, *addend = square + all;
    float pixels = (float)in->view.height * (float)in->view.width;
    imp_map_blend job = {.x = in, .out = &node->value, .x_factor = state.scale, .addend = addend, .relu = node->relu};

    plan->backend->channel_products(plan->context, in, NULL, NULL, NULL, state.mean, NULL);
    for (size_t i = 0; i < all; i++) state.mean[i] /= pixels;
    plan->backend->channel_products(plan->context, in, in, state.mean, state.mean, sum, square);
    for (size_t i = 0; i < all; i++) {
        int channel = (int)(i % stride);

        state.rate[i] = state.scale[i] = addend[i] = 0;
        if (channel < in->view.channels)
            finish_channel(plan, node, &state, (int)(i / stride), channel, i, square[i], &addend[i]);
    }
    plan->backend->blend(plan->context, &job);
}

/* Sums of the gradient, and of the gradient times the deviation from the mean, [batch, channels]. */
static void gradient_sums(imp_plan *plan, const imp_node *node, float *sum, float *product) {
    norm_state state = state_of(plan, node);

    plan->backend->channel_products(plan->context, &node->gradient, &imp_node_input(plan, node, 0)->value, NULL,
                                    state.mean, sum, product);
}

static void add_row(const imp_plan *plan, int picture, const imp_parameter *parameter, const float *values,
                    float *gradient) {
    int styles = style_count(parameter), channels = (int)parameter->shape[1];

    for (int style = 0; style < styles; style++) {
        float share = share_of(plan, picture, style, styles);

        for (int c = 0; c < channels && share != 0; c++) gradient[style * channels + c] += share * values[c];
    }
}

static void norm_parameter_gradients(imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node);
    const imp_parameter *parameters = plan->network->parameters;
    norm_state state = state_of(plan, node);
    size_t all = imp_plan_channels(plan, node), stride = all / (size_t)plan->options.batch;
    float *sum = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH), *product = sum + all;
    float *scale = plan->parameter_gradients[layer->weight], *shift = plan->parameter_gradients[layer->bias];

    gradient_sums(plan, node, sum, product);
    for (size_t i = 0; i < all; i++) product[i] *= state.rate[i];
    for (int picture = 0; picture < plan->options.batch; picture++) {
        size_t row = (size_t)picture * stride;

        if (scale) add_row(plan, picture, &parameters[layer->weight], product + row, scale);
        if (shift) add_row(plan, picture, &parameters[layer->bias], sum + row, shift);
    }
}

static void norm_backward(imp_plan *plan, const imp_node *node, int second, const imp_contribution *how) {
    const imp_node *input = imp_node_input(plan, node, second);
    norm_state state = state_of(plan, node);
    size_t all = imp_plan_channels(plan, node);
    float *sum = imp_node_region(plan, node, IMP_REGION_BACKWARD_SCRATCH), *product = sum + all;
    float *factor = product + all, *addend = factor + all;
    float pixels = (float)input->value.view.height * (float)input->value.view.width;
    imp_map_blend job = {.x = &node->gradient,
                         .y = &input->value,
                         .out = &input->gradient,
                         .x_factor = state.scale,
                         .y_factor = factor,
                         .addend = addend,
                         .accumulate = how->accumulate,
                         .mask = how->mask};

    gradient_sums(plan, node, sum, product);
    for (size_t i = 0; i < all; i++) {
        factor[i] = -state.scale[i] * state.rate[i] * state.rate[i] * product[i] / pixels;
        addend[i] = -state.scale[i] * sum[i] / pixels - factor[i] * state.mean[i];
    }
    plan->backend->blend(plan->context, &job);
}

const imp_operation imp_operation_instance_norm = {
    .name = "instance norm",
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
