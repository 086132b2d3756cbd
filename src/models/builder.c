/* Networks built layer by layer. */
#include "models/builder.h"

#include <stdio.h>
#include <string.h>

#include "formats/tensors.h"

#define INPUT_CHANNELS 3

void imp_builder_begin(imp_builder *builder, imp_context *context, const char *architecture, int factor,
                       imp_network *network) {
    *builder = (imp_builder){.context = context, .network = network};
    *network = (imp_network){.allocator = imp_context_allocator(context)};
    snprintf(network->architecture, sizeof network->architecture, "%s", architecture);
    network->layers = imp_allocator_take(&network->allocator, IMP_BUILDER_LAYERS * sizeof *network->layers);
    network->parameters = imp_allocator_take(&network->allocator, IMP_BUILDER_LAYERS * sizeof *network->parameters);
    builder->failed = !network->layers || !network->parameters;
    imp_builder_layer(builder, IMP_OPERATION_INPUT, -1, "input", 0);
    if (builder->failed) return;
    network->layers[0].channels = INPUT_CHANNELS * factor * factor;
    network->layers[0].factor = factor;
}

/* name with number in the place of a %d. */
static void write_name(char text[IMP_NAME_LENGTH], const char *name, int number) {
    const char *place = strstr(name, "%d");

    if (place)
        snprintf(text, IMP_NAME_LENGTH, "%.*s%d%s", (int)(place - name), name, number, place + 2);
    else
        snprintf(text, IMP_NAME_LENGTH, "%s", name);
}

int imp_builder_layer(imp_builder *builder, imp_operation_kind kind, int input, const char *name, int number) {
    imp_network *network = builder->network;
    imp_layer *layer;

    if (builder->failed || network->layer_count == IMP_BUILDER_LAYERS) {
        builder->failed = 1;
        return 0;
    }
    layer = &network->layers[network->layer_count];
    *layer = (imp_layer){.kind = kind,
                         .input = input,
                         .channels = input < 0 ? 0 : network->layers[input].channels,
                         .kernel = 1,
                         .stride = 1,
                         .weight = -1,
                         .bias = -1};
    write_name(layer->name, name, number);
    return network->layer_count++;
}

imp_layer *imp_builder_last(imp_builder *builder) {
    imp_network *network = builder->network;

    return builder->failed ? &builder->nothing : &network->layers[network->layer_count - 1];
}

/* A parameter called after the last layer; its index. */
static int add_parameter(imp_builder *builder, const char *suffix, int dimensions, const int64_t *shape) {
    imp_network *network = builder->network;
    const char *layer = imp_builder_last(builder)->name;
    size_t bytes = strlen(layer) + strlen(suffix) + 1;
    imp_parameter *parameter;

    if (builder->failed || network->parameter_count == IMP_BUILDER_LAYERS) {
        builder->failed = 1;
        return -1;
    }
    parameter = &network->parameters[network->parameter_count];
    *parameter = (imp_parameter){.dtype = imp_dtype_name(IMP_F32),
                                 .dimensions = dimensions,
                                 .name = imp_allocator_take(&network->allocator, bytes)};
    if (!parameter->name) {
        builder->failed = 1;
        return -1;
    }
    memcpy(parameter->shape, shape, (size_t)dimensions * sizeof *shape);
    snprintf(parameter->name, bytes, "%s%s", layer, suffix);
    return network->parameter_count++;
}

/* weights: [channels, inputs of a group, kernel, kernel]. */
static int add_convolution(imp_builder *builder, int input, const char *name, int number, int channels, int groups,
                           int kernel, int stride) {
    int index = imp_builder_layer(builder, IMP_OPERATION_CONVOLUTION, input, name, number);
    imp_layer *layer = imp_builder_last(builder);
    const int64_t weight[] = {channels, layer->channels / groups, kernel, kernel}, bias[] = {channels};

    layer->channels = channels;
    layer->groups = groups;
    layer->kernel = kernel;
    layer->stride = stride;
    layer->padding = kernel / 2;
    layer->weight = add_parameter(builder, ".weight", 4, weight);
    if (!builder->no_bias) layer->bias = add_parameter(builder, ".bias", 1, bias);
    return index;
}

int imp_builder_convolution(imp_builder *builder, int input, const char *name, int number, int channels, int kernel,
                            int stride) {
    return add_convolution(builder, input, name, number, channels, 1, kernel, stride);
}

int imp_builder_depthwise(imp_builder *builder, int input, const char *name, int number, int kernel, int stride) {
    int channels = builder->failed ? 1 : builder->network->layers[input].channels;

    return add_convolution(builder, input, name, number, channels, channels, kernel, stride);
}

int imp_builder_norm(imp_builder *builder, int input, const char *name, int number, int styles) {
    int index = imp_builder_layer(builder, IMP_OPERATION_INSTANCE_NORM, input, name, number);
    imp_layer *layer = imp_builder_last(builder);
    const int64_t shape[] = {styles, layer->channels};

    layer->weight = add_parameter(builder, ".scale", 2, shape);
    layer->bias = add_parameter(builder, ".shift", 2, shape);
    return index;
}

int imp_builder_batch_norm(imp_builder *builder, int input, const char *name, int number) {
    int index = imp_builder_layer(builder, IMP_OPERATION_BATCH_NORM, input, name, number);
    imp_layer *layer = imp_builder_last(builder);
    const int64_t shape[] = {layer->channels};

    layer->weight = add_parameter(builder, ".scale", 1, shape);
    layer->bias = add_parameter(builder, ".shift", 1, shape);
    layer->mean = add_parameter(builder, ".mean", 1, shape);
    layer->variance = add_parameter(builder, ".variance", 1, shape);
    return index;
}

int imp_builder_pool(imp_builder *builder, int input, int number) {
    int layer = imp_builder_layer(builder, IMP_OPERATION_POOL, input, "pool%d", number);

    imp_builder_last(builder)->kernel = 2;
    imp_builder_last(builder)->stride = 2;
    return layer;
}

int imp_builder_add(imp_builder *builder, int input, int second, const char *name, int number) {
    int index = imp_builder_layer(builder, IMP_OPERATION_ADD, input, name, number);

    imp_builder_last(builder)->second = second;
    return index;
}

int imp_builder_end(imp_builder *builder) {
    char architecture[IMP_NAME_LENGTH];

    if (!builder->failed) return IMP_OK;
    memcpy(architecture, builder->network->architecture, sizeof architecture);
    imp_network_release(builder->network);
    return imp_fail(builder->context, IMP_ERR_MEMORY, "out of memory: building the network %s", architecture);
}
