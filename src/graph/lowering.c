/* Lowering: layers up to the taps become fused nodes, with shapes, halos and layouts. */
#include <math.h>
#include <string.h>

#include "graph/operation.h"

#define MAX_BATCH 1024 /* pictures; far above what memory lets through */
#define MAX_KERNEL 64  /* pixels; with MAX_PADDING and IMP_IMAGE_MAX_SIDE it keeps all sizes within an int */
#define MAX_PADDING 64
#define MAX_CHANNELS (1 << 20)
#define MAX_FACTOR 16
#define MAX_STYLES (1 << 16)

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
    if (options->training && !options->backward)
        return imp_fail(context, IMP_ERR_ARGUMENT, "training without a backward pass");
    if (!isfinite(options->average_scale) || options->average_scale <= 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "averages cannot be multiplied by %g",
                        (double)options->average_scale);
    return IMP_OK;
}

/* Whether so many channels are those of a square of pixels. */
static int is_picture(int channels) {
    for (int factor = 1; factor <= MAX_FACTOR; factor++)
        if (3 * factor * factor == channels) return 1;
    return 0;
}

static int check_taps(imp_context *context, const imp_network *network, const imp_plan_options *options) {
    for (int i = 0; i < options->tap_count; i++) {
        const imp_tap *tap = &options->taps[i];

        if (tap->layer < 0 || tap->layer >= network->layer_count)
            return imp_fail(context, IMP_ERR_ARGUMENT, "the network has no layer %d", tap->layer);
        if (!tap->use || (tap->use & ~(unsigned)(IMP_TAP_STATISTICS | IMP_TAP_MAP | IMP_TAP_OUTPUT | IMP_TAP_PLANES)))
            return imp_fail(context, IMP_ERR_ARGUMENT, "layer %s: nothing known is wanted of it",
                            network->layers[tap->layer].name);
        if ((tap->use & IMP_TAP_PLANES) && !is_picture(network->layers[tap->layer].channels))
            return imp_fail(context, IMP_ERR_ARGUMENT,
                            "layer %s makes no picture: of its %d channels no square of pixels",
                            network->layers[tap->layer].name, network->layers[tap->layer].channels);
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

static int check_convolution(const imp_network *network, const imp_layer *layer) {
    int groups = imp_layer_groups(layer), in = network->layers[layer->input].channels;
    const int64_t shape[] = {layer->channels, groups > 0 ? in / groups : 0, layer->kernel, layer->kernel};

    return layer->kernel >= 1 && layer->kernel <= MAX_KERNEL && layer->stride >= 1 && layer->stride <= MAX_KERNEL &&
           layer->padding >= 0 && layer->padding <= MAX_PADDING && layer->dilation >= 0 &&
           layer->dilation <= MAX_PADDING && groups >= 1 && in % groups == 0 && layer->channels % groups == 0 &&
           check_parameter(network, layer->weight, shape, 4) &&
           (layer->bias < 0 || check_parameter(network, layer->bias, shape, 1));
}

/* Scales and shifts of a norm: a row for each style. */
static int check_norm(const imp_network *network, const imp_layer *layer) {
    int64_t shape[] = {0, layer->channels};

    if (layer->weight < 0 || layer->weight >= network->parameter_count) return 0;
    shape[0] = network->parameters[layer->weight].shape[0];
    return shape[0] > 0 && shape[0] <= MAX_STYLES && check_parameter(network, layer->weight, shape, 2) &&
           check_parameter(network, layer->bias, shape, 2);
}

static int check_batch_norm(const imp_network *network, const imp_layer *layer) {
    const int64_t shape[] = {layer->channels};

    return check_parameter(network, layer->weight, shape, 1) && check_parameter(network, layer->bias, shape, 1) &&
           check_parameter(network, layer->mean, shape, 1) && check_parameter(network, layer->variance, shape, 1);
}

static int check_numbers(const imp_network *network, const imp_layer *layer) {
    switch (layer->kind) {
    case IMP_OPERATION_CONVOLUTION:
        return check_convolution(network, layer);
    case IMP_OPERATION_INSTANCE_NORM:
        return check_norm(network, layer);
    case IMP_OPERATION_BATCH_NORM:
        return check_batch_norm(network, layer);
    case IMP_OPERATION_MAX_POOL:
        return layer->kernel >= 1 && layer->kernel <= MAX_KERNEL && layer->stride >= 1 && layer->stride <= MAX_KERNEL &&
               layer->padding >= 0 && 2 * layer->padding <= layer->kernel;
    case IMP_OPERATION_INPUT:
        return layer->factor >= 0 && layer->factor <= MAX_FACTOR && is_picture(layer->channels);
    case IMP_OPERATION_ENLARGE:
    case IMP_OPERATION_RESIZE:
    case IMP_OPERATION_SHUFFLE:
    case IMP_OPERATION_UNSHUFFLE:
        return layer->factor >= 1 && layer->factor <= MAX_FACTOR;
    default:
        return 1;
    }
}

/* Networks come from our own tables, but a mistake there must be an error and not a crash. */
static int check_layer(imp_context *context, const imp_network *network, int index) {
    const imp_layer *layer = &network->layers[index];
    const imp_operation *operation = imp_operation_find(layer->kind);
    int input_is_right = index == 0 ? layer->kind == IMP_OPERATION_INPUT && layer->input == -1
                                    : layer->kind != IMP_OPERATION_INPUT && layer->input >= 0 && layer->input < index;

    if (operation && operation->inputs == 2)
        input_is_right = input_is_right && layer->second >= 0 && layer->second < index;
    if (!operation || !input_is_right || layer->channels < 1 || layer->channels > MAX_CHANNELS)
        return imp_fail(context, IMP_ERR_FORMAT, "layer %s of network %s: wrong kind, input or channels", layer->name,
                        network->architecture);
    if (!check_numbers(network, layer))
        return imp_fail(context, IMP_ERR_FORMAT, "layer %s of network %s: wrong kernel, padding, factor or weights",
                        layer->name, network->architecture);
    return IMP_OK;
}

static int tap_of_layer(const imp_plan *plan, int layer) {
    for (int i = 0; i < plan->options.tap_count; i++)
        if (plan->taps[i].layer == layer) return i;
    return -1;
}

static int reads(const imp_layer *layer, int input) {
    return layer->input == input || (imp_operation_find(layer->kind)->inputs == 2 && layer->second == input);
}

/* Whether the layer can be the end of the node that makes its input: nobody else sees the value before it. */
static int reads_alone(const imp_plan *plan, const int *needed, int layer) {
    const imp_layer *layers = plan->network->layers;
    int input = layers[layer].input, readers = 0;

    for (int i = input + 1; i < plan->network->layer_count; i++) readers += needed[i] && reads(&layers[i], input);
    return readers == 1 && tap_of_layer(plan, input) < 0 && layers[layer].channels == layers[input].channels;
}

static int can_fuse_relu(const imp_plan *plan, const int *needed, int relu) {
    const imp_layer *layers = plan->network->layers;

    return layers[relu].kind == IMP_OPERATION_RELU && imp_operation_find(layers[layers[relu].input].kind)->fuses_relu &&
           reads_alone(plan, needed, relu);
}

/* In training the gradient before the pool is asked for. With a stride rows of the input are not those of the result, as
   set_result has it. */
static int can_fuse_pool(const imp_plan *plan, const int *needed, int pool, const imp_node *node) {
    return plan->network->layers[pool].kind == IMP_OPERATION_POOL && node->operation->fuses_pool && node->pool < 0 &&
           imp_node_layer(plan, node)->stride == 1 && !plan->options.training && reads_alone(plan, needed, pool);
}

/* needed[layer]: whether a tap's value depends on it. */
static void find_needed(const imp_plan *plan, int *needed) {
    for (int i = 0; i < plan->options.tap_count; i++) needed[plan->taps[i].layer] = 1;
    for (int i = plan->network->layer_count - 1; i > 0; i--)
        if (needed[i] && i > plan->options.input_layer) {
            const imp_layer *layer = &plan->network->layers[i];

            needed[layer->input] = 1;
            if (imp_operation_find(layer->kind)->inputs == 2) needed[layer->second] = 1;
        }
}

/* What the readers of each value make of it: how long it is needed, and which rows around. */
static void find_readers(imp_plan *plan) {
    for (int i = 0; i < plan->node_count; i++) {
        const imp_node *node = &plan->nodes[i];

        if (node->input >= 0) plan->nodes[node->input].last_consumer = i;
        if (node->second >= 0) plan->nodes[node->second].last_consumer = i;
    }
    /* Windows are of networks whose nodes have one input. */
    for (int i = plan->node_count - 1; i > 0; i--) {
        const imp_node *node = &plan->nodes[i];
        imp_node *input = &plan->nodes[node->input];
        int reach = node->reach << (node->level - input->level);

        if (node->operation->value_halo) reach += node->operation->value_halo(plan, imp_node_layer(plan, node));
        if (reach > input->reach) input->reach = reach;
    }
}

static void end_in_pool(imp_node *node, int pool) {
    node->pool = pool;
    node->level++;
    node->pooled_relu = node->relu;
    node->relu = 0;
}

/* node_of[layer]: the node that makes the layer's value. */
static void make_nodes(imp_plan *plan, const int *needed, int *node_of) {
    for (int i = 0; i < plan->network->layer_count; i++) {
        const imp_layer *layer = &plan->network->layers[i];
        int kept = i > 0 && i == plan->options.input_layer;
        int fused = needed[i] && !kept && can_fuse_relu(plan, needed, i);
        int pooled = needed[i] && !kept && i > 0 && can_fuse_pool(plan, needed, i, &plan->nodes[node_of[layer->input]]);
        imp_node *node;

        if (!needed[i]) continue;
        node_of[i] = fused || pooled ? node_of[layer->input] : plan->node_count++;
        node = &plan->nodes[node_of[i]];
        if (fused) {
            node->relu = 1;
        } else if (pooled) {
            end_in_pool(node, i);
        } else {
            *node = (imp_node){
                .operation = kept ? &imp_operation_kept : imp_operation_find(layer->kind),
                .layer = i,
                .input = layer->input < 0 || kept ? -1 : node_of[layer->input],
                .second = imp_operation_find(layer->kind)->inputs == 2 && !kept ? node_of[layer->second] : -1,
                .relu = !kept && layer->kind == IMP_OPERATION_RELU,
                .pool = -1,
                .last_consumer = -1,
            };
            if (node->input >= 0) node->level = plan->nodes[node->input].level + (layer->kind == IMP_OPERATION_POOL);
        }
        node->tap = tap_of_layer(plan, i);
        if (node->tap >= 0) plan->tap_nodes[node->tap] = node_of[i];
    }
    find_readers(plan);
}

/* Of the layer whose output the value is. */
static const char *value_name(const imp_plan *plan, const imp_node *node) {
    return plan->network->layers[node->pool >= 0 ? node->pool : node->layer].name;
}

static int lay_out_map(imp_plan *plan, const imp_node *node, imp_map *map, int halo) {
    const imp_view shape = map->view;

    if (imp_map_layout(map, plan->options.element, plan->options.batch, shape.channels, shape.height, shape.width,
                       halo))
        return IMP_OK;
    return imp_fail(plan->context, IMP_ERR_MEMORY, "out of memory: the map of layer %s is larger than any memory",
                    value_name(plan, node));
}

/* The value, which has the shape of a convolution's result, becomes pooled. That result may still be a map for a while,
   with a halo as the way back reads it. */
static int pool_value(imp_plan *plan, imp_node *node) {
    const imp_layer *layer = imp_node_layer(plan, node), *pool = &plan->network->layers[node->pool];
    imp_map whole = node->value;
    imp_view *out = &node->value.view;
    int status = lay_out_map(plan, node, &whole, layer->kernel * imp_layer_dilation(layer));

    node->unpooled = whole.view;
    if (status == IMP_OK) status = imp_operation_pool.shape(plan, pool, &node->unpooled, NULL, out);
    if (status != IMP_OK) return status;
    node->work[IMP_WORK_FORWARD].operations +=
        plan->options.batch * imp_operation_pool.operations(pool, &node->unpooled, out);
    return IMP_OK;
}

static int infer_shapes(imp_plan *plan) {
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];
        const imp_layer *layer = &plan->network->layers[node->layer];
        const imp_view *in = node->input < 0 ? NULL : &plan->nodes[node->input].value.view;
        const imp_view *second = node->second < 0 ? NULL : &plan->nodes[node->second].value.view;
        imp_view *out = &node->value.view;
        int status = node->operation->shape(plan, layer, in, second, out);

        if (status != IMP_OK) return status;
        if (out->channels != layer->channels)
            return imp_fail(plan->context, IMP_ERR_FORMAT, "layer %s of network %s: %d channels where %d come in",
                            layer->name, plan->network->architecture, layer->channels, out->channels);
        node->work[IMP_WORK_FORWARD].operations = plan->options.batch * node->operation->operations(layer, in, out);
        if (node->pool >= 0) status = pool_value(plan, node);
        if (status != IMP_OK) return status;
        node->gradient.view = *out;
        node->work[IMP_WORK_BACKWARD].operations = node->work[IMP_WORK_FORWARD].operations;
        if (plan->options.training && node->operation->parameter_gradients)
            node->work[IMP_WORK_BACKWARD].operations *= 2;
    }
    return IMP_OK;
}

/* Widest halo that a reader of the node's value needs, and how it is to be filled. */
static int find_halo(imp_plan *plan, int index, int *halo) {
    imp_node *node = &plan->nodes[index];
    int padded = 0;

    for (int i = index + 1; i < plan->node_count; i++) {
        const imp_node *reader = &plan->nodes[i];
        const imp_layer *layer = imp_node_layer(plan, reader);
        imp_padding mode = layer->padding_mode;
        int wanted =
            reader->input != index || !reader->operation->value_halo ? 0 : reader->operation->value_halo(plan, layer);

        if (wanted == 0) continue;
        if (mode == IMP_PADDING_ZERO && node->input < 0 && plan->options.input_layer == 0)
            mode = plan->options.first_padding;
        if (padded && mode != node->padding)
            return imp_fail(plan->context, IMP_ERR_UNSUPPORTED, "layers that read %s pad it in different ways",
                            value_name(plan, node));
        node->padding = mode;
        padded = 1;
        if (wanted > *halo) *halo = wanted;
    }
    if (node->padding == IMP_PADDING_REFLECT && (*halo >= node->value.view.height || *halo >= node->value.view.width))
        return imp_fail(plan->context, IMP_ERR_ARGUMENT,
                        "a picture of %dx%d is too small: %d pixels cannot be reflected at layer %s's %dx%d",
                        plan->options.width, plan->options.height, *halo, value_name(plan, node),
                        node->value.view.width, node->value.view.height);
    return IMP_OK;
}

/* What pooling leaves for the way back: which pixels a window's gradient goes to, unless to all. */
static void lay_out_choices(const imp_plan *plan, imp_node *node) {
    const imp_view *value = &node->value.view;

    if (!plan->options.backward || (node->operation != &imp_operation_pool && node->pool < 0) ||
        (plan->options.pooling == IMP_POOL_AVERAGE && !node->pooled_relu))
        return;
    /* Cannot overflow: the value, of larger elements, did not. */
    imp_map_layout(&node->choices, IMP_ELEMENT_BYTE, plan->options.batch, value->channels, value->height, value->width,
                   0);
}

/* The halo of a value is the widest that a reader needs; that of a gradient is what its own node's backward reads, or
   what readers bring back into it. */
static int choose_layouts(imp_plan *plan) {
    int status = IMP_OK;

    for (int i = 0; i < plan->node_count && status == IMP_OK; i++) {
        imp_node *node = &plan->nodes[i];
        int value = 0;

        status = find_halo(plan, i, &value);
        if (status == IMP_OK) status = lay_out_map(plan, node, &node->value, value);
        if (status == IMP_OK) lay_out_choices(plan, node);
    }
    for (int i = 0; i < plan->node_count && status == IMP_OK && plan->options.backward; i++) {
        imp_node *node = &plan->nodes[i];
        int halo = node->operation->gradient_halo ? node->operation->gradient_halo(plan, node) : 0;

        if (node->padding != IMP_PADDING_ZERO && node->value.halo > halo) halo = node->value.halo;
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
    if (plan->options.training && network->parameter_count > 0) {
        size_t count = (size_t)network->parameter_count;

        plan->parameter_gradients = imp_plan_allocate(plan, count, sizeof *plan->parameter_gradients);
        if (!plan->parameter_gradients) return IMP_ERR_MEMORY;
    }
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
