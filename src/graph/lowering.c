/* Lowering: layers up to the taps become fused nodes, with shapes, halos and layouts. */
#include <math.h>
#include <string.h>

#include "graph/operation.h"

#define MAX_BATCH 1024 /* pictures; far above what memory lets through */
#define MAX_KERNEL 64  /* pixels; with MAX_PADDING and IMP_IMAGE_MAX_SIDE it keeps all sizes within an int */
#define MAX_PADDING 64
#define MAX_CHANNELS (1 << 20)

static int check_options(imp_context *context, const imp_plan_options *options) {
    if (options->batch < 1 || options->batch > MAX_BATCH)
        return imp_fail(context, IMP_ERR_ARGUMENT, "a batch of %d pictures; 1 to %d can be had", options->batch,
                        MAX_BATCH);
    if (options->width < 1 || options->height < 1 || options->width > IMP_IMAGE_MAX_SIDE ||
        options->height > IMP_IMAGE_MAX_SIDE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "a picture of %dx%d; each side must be 1 to %d pixels",
                        options->width, options->height, IMP_IMAGE_MAX_SIDE);
    if (options->tap_count < 1 || !options->taps)
        return imp_fail(context, IMP_ERR_ARGUMENT, "no layer is given whose features are wanted");
    if (options->pooling != IMP_POOL_MAX && options->pooling != IMP_POOL_AVERAGE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "pooling %d is unknown", (int)options->pooling);
    if (options->first_padding != IMP_PADDING_ZERO && options->first_padding != IMP_PADDING_REPLICATE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "padding %d is unknown", (int)options->first_padding);
    if (!isfinite(options->average_scale) || options->average_scale <= 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "averages cannot be multiplied by %g",
                        (double)options->average_scale);
    return IMP_OK;
}

static int check_taps(imp_context *context, const imp_network *network, const imp_plan_options *options) {
    for (int i = 0; i < options->tap_count; i++) {
        const imp_tap *tap = &options->taps[i];

        if (tap->layer < 0 || tap->layer >= network->layer_count)
            return imp_fail(context, IMP_ERR_ARGUMENT, "the network has no layer %d", tap->layer);
        if (!tap->use || (tap->use & ~(unsigned)(IMP_TAP_STATISTICS | IMP_TAP_MAP | IMP_TAP_OUTPUT)))
            return imp_fail(context, IMP_ERR_ARGUMENT, "layer %s: nothing known is wanted of it",
                            network->layers[tap->layer].name);
        for (int j = 0; j < i; j++)
            if (options->taps[j].layer == tap->layer)
                return imp_fail(context, IMP_ERR_ARGUMENT, "layer %s is tapped twice",
                                network->layers[tap->layer].name);
    }
    return IMP_OK;
}

static int check_parameter(const imp_network *network, int index, const int64_t *shape, int dimensions) {
    const imp_parameter *parameter;

    if (index < 0 || index >= network->parameter_count) return 0;
    parameter = &network->parameters[index];
    return parameter->data && parameter->dimensions == dimensions &&
           memcmp(parameter->shape, shape, (size_t)dimensions * sizeof *shape) == 0;
}

/* Networks come from our own tables, but a mistake there must be an error and not a crash. */
static int check_layer(imp_context *context, const imp_network *network, int index) {
    const imp_layer *layer = &network->layers[index];
    int input_is_right = index == 0 ? layer->kind == IMP_OPERATION_INPUT && layer->input == -1
                                    : layer->kind != IMP_OPERATION_INPUT && layer->input >= 0 && layer->input < index;

    if (!imp_operation_find(layer->kind) || !input_is_right || layer->channels < 1 || layer->channels > MAX_CHANNELS)
        return imp_fail(context, IMP_ERR_FORMAT, "layer %s of network %s: wrong kind, input or channels", layer->name,
                        network->architecture);
    if (layer->kind == IMP_OPERATION_CONVOLUTION) {
        const int64_t shape[] = {layer->channels, network->layers[layer->input].channels, layer->kernel, layer->kernel};

        if (layer->kernel < 1 || layer->kernel > MAX_KERNEL || layer->stride < 1 || layer->padding < 0 ||
            layer->padding > MAX_PADDING || !check_parameter(network, layer->weight, shape, 4) ||
            (layer->bias >= 0 && !check_parameter(network, layer->bias, shape, 1)))
            return imp_fail(context, IMP_ERR_FORMAT, "layer %s of network %s: wrong kernel, padding or weights",
                            layer->name, network->architecture);
    }
    return IMP_OK;
}

static int tap_of_layer(const imp_plan *plan, int layer) {
    for (int i = 0; i < plan->options.tap_count; i++)
        if (plan->taps[i].layer == layer) return i;
    return -1;
}

/* Whether the ReLU in this layer can be the end of the node that makes its input: nobody else
   sees the value before it. */
static int can_fuse(const imp_plan *plan, const int *needed, int relu) {
    const imp_layer *layers = plan->network->layers;
    int input = layers[relu].input, readers = 0;

    if (layers[relu].kind != IMP_OPERATION_RELU || !imp_operation_find(layers[input].kind)->fuses_relu) return 0;
    for (int i = input + 1; i < plan->network->layer_count; i++) readers += needed[i] && layers[i].input == input;
    return readers == 1 && tap_of_layer(plan, input) < 0 && layers[relu].channels == layers[input].channels;
}

/* needed[layer]: whether a tap's value depends on it. */
static void find_needed(const imp_plan *plan, int *needed) {
    for (int i = 0; i < plan->options.tap_count; i++) needed[plan->taps[i].layer] = 1;
    for (int i = plan->network->layer_count - 1; i > 0; i--)
        if (needed[i] && i > plan->options.input_layer) needed[plan->network->layers[i].input] = 1;
}

/* node_of[layer]: the node that makes the layer's value. */
static void make_nodes(imp_plan *plan, const int *needed, int *node_of) {
    for (int i = 0; i < plan->network->layer_count; i++) {
        const imp_layer *layer = &plan->network->layers[i];
        int kept = i > 0 && i == plan->options.input_layer;
        int fused = needed[i] && !kept && can_fuse(plan, needed, i);
        imp_node *node;

        if (!needed[i]) continue;
        node_of[i] = fused ? node_of[layer->input] : plan->node_count++;
        node = &plan->nodes[node_of[i]];
        if (fused) {
            node->relu = 1;
        } else {
            *node = (imp_node){
                .operation = kept ? &imp_operation_kept : imp_operation_find(layer->kind),
                .layer = i,
                .input = layer->input < 0 || kept ? -1 : node_of[layer->input],
                .relu = !kept && layer->kind == IMP_OPERATION_RELU,
                .last_consumer = -1,
            };
            if (node->input >= 0) node->level = plan->nodes[node->input].level + (layer->kind == IMP_OPERATION_POOL);
        }
        node->tap = tap_of_layer(plan, i);
        if (node->tap >= 0) plan->tap_nodes[node->tap] = node_of[i];
    }
    for (int i = 0; i < plan->node_count; i++) {
        int input = plan->nodes[i].input;

        if (input >= 0) plan->nodes[input].last_consumer = i;
    }
    for (int i = plan->node_count - 1; i > 0; i--) {
        const imp_node *node = &plan->nodes[i];
        imp_node *input = &plan->nodes[node->input];
        int reach = node->reach << (node->level - input->level);

        if (node->operation->value_halo)
            reach += node->operation->value_halo(plan, &plan->network->layers[node->layer]);
        if (reach > input->reach) input->reach = reach;
    }
}

static int lay_out_map(imp_plan *plan, const imp_node *node, imp_map *map, int halo) {
    const imp_view shape = map->view;

    if (imp_map_layout(map, plan->options.element, plan->options.batch, shape.channels, shape.height, shape.width,
                       halo))
        return IMP_OK;
    return imp_fail(plan->context, IMP_ERR_MEMORY, "out of memory: the map of layer %s is larger than any memory",
                    plan->network->layers[node->layer].name);
}

static int infer_shapes(imp_plan *plan) {
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];
        const imp_layer *layer = &plan->network->layers[node->layer];
        const imp_view *in = node->input < 0 ? NULL : &plan->nodes[node->input].value.view;
        imp_view *out = &node->value.view;
        int status = node->operation->shape(plan, layer, in, out);

        if (status != IMP_OK) return status;
        if (out->channels != layer->channels)
            return imp_fail(plan->context, IMP_ERR_FORMAT, "layer %s of network %s: %d channels where %d come in",
                            layer->name, plan->network->architecture, layer->channels, out->channels);
        node->gradient.view = *out;
        node->work[IMP_WORK_FORWARD].operations = plan->options.batch * node->operation->operations(layer, in, out);
        node->work[IMP_WORK_BACKWARD].operations = node->work[IMP_WORK_FORWARD].operations;
    }
    return IMP_OK;
}

/* The halo of a value is the widest that a reader needs; that of a gradient is what its own node's backward reads. */
static int choose_layouts(imp_plan *plan) {
    int status = IMP_OK;

    for (int i = 0; i < plan->node_count && status == IMP_OK; i++) {
        imp_node *node = &plan->nodes[i];
        int halo = 0;

        for (int j = i + 1; j < plan->node_count; j++) {
            const imp_node *reader = &plan->nodes[j];
            int wanted = reader->input != i || !reader->operation->value_halo
                             ? 0
                             : reader->operation->value_halo(plan, &plan->network->layers[reader->layer]);

            if (wanted > halo) halo = wanted;
        }
        status = lay_out_map(plan, node, &node->value, halo);
        if (status != IMP_OK || !plan->options.backward) continue;
        halo = node->operation->gradient_halo ? node->operation->gradient_halo(plan, node) : 0;
        if (node->input < 0 && imp_plan_replicates(plan)) halo = node->value.halo;
        status = lay_out_map(plan, node, &node->gradient, halo);
    }
    return status;
}

int imp_plan_lower(imp_plan *plan) {
    const imp_network *network = plan->network;
    int *needed, status = check_options(plan->context, &plan->options);

    if (status == IMP_OK) status = check_taps(plan->context, network, &plan->options);
    for (int i = 0; i < network->layer_count && status == IMP_OK; i++) status = check_layer(plan->context, network, i);
    if (status != IMP_OK) return status;

    plan->taps = imp_plan_allocate(plan, (size_t)plan->options.tap_count, sizeof *plan->taps);
    plan->tap_nodes = imp_plan_allocate(plan, (size_t)plan->options.tap_count, sizeof *plan->tap_nodes);
    plan->nodes = imp_plan_allocate(plan, (size_t)network->layer_count, sizeof *plan->nodes);
    needed = imp_allocate_zero(plan->context, 2 * (size_t)network->layer_count, sizeof *needed);
    if (!plan->taps || !plan->tap_nodes || !plan->nodes || !needed) {
        imp_release(plan->context, needed);
        return IMP_ERR_MEMORY;
    }
    memcpy(plan->taps, plan->options.taps, (size_t)plan->options.tap_count * sizeof *plan->taps);
    plan->options.taps = plan->taps;
    find_needed(plan, needed);
    make_nodes(plan, needed, needed + network->layer_count);
    imp_release(plan->context, needed);

    status = infer_shapes(plan);
    return status == IMP_OK ? choose_layouts(plan) : status;
}
