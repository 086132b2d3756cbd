/* The VGG networks as tables: layers and parameters from the input to the last pool. */
#include "models/vgg.h"

#include <stdio.h>
#include <string.h>

#include "models/model.h"

#define INPUT_CHANNELS 3
#define KERNEL 3

static const imp_vgg vgg16 = {"vgg16", 5, {2, 2, 3, 3, 3}, {64, 128, 256, 512, 512}};
static const imp_vgg vgg19 = {"vgg19", 5, {2, 2, 4, 4, 4}, {64, 128, 256, 512, 512}};

static int build_vgg16(imp_context *context, imp_network *network) {
    return imp_vgg_build(context, &vgg16, network);
}

static int build_vgg19(imp_context *context, imp_network *network) {
    return imp_vgg_build(context, &vgg19, network);
}

const imp_architecture imp_architectures[] = {
    {"vgg16", build_vgg16},
    {"vgg19", build_vgg19},
    {NULL, NULL},
};

const imp_architecture *imp_architecture_find(const imp_architecture *known, const char *name) {
    for (; known->name; known++)
        if (strcmp(known->name, name) == 0) return known;
    return NULL;
}

/* A parameter called after its layer; its index, or -1 when there is no memory. */
static int add_parameter(imp_network *network, const char *layer, const char *suffix, int dimensions, int outputs,
                         int inputs) {
    imp_parameter *parameter = &network->parameters[network->parameter_count];
    size_t bytes = strlen(layer) + strlen(suffix) + 1;

    *parameter = (imp_parameter){
        .dtype = imp_dtype_name(IMP_F32),
        .dimensions = dimensions,
        .shape = {outputs, inputs, KERNEL, KERNEL},
        .name = imp_allocator_take(&network->allocator, bytes),
    };
    if (dimensions == 1) parameter->shape[1] = parameter->shape[2] = parameter->shape[3] = 0;
    if (!parameter->name) return -1;
    snprintf(parameter->name, bytes, "%s%s", layer, suffix);
    return network->parameter_count++;
}

static imp_layer *add_layer(imp_network *network, imp_operation_kind kind, int channels) {
    imp_layer *layer = &network->layers[network->layer_count];

    *layer = (imp_layer){
        .kind = kind,
        .input = network->layer_count - 1,
        .channels = channels,
        .kernel = 1,
        .stride = 1,
        .weight = -1,
        .bias = -1,
    };
    network->layer_count++;
    return layer;
}

/* A convolution and its ReLU; 0 when there is no memory. */
static int add_convolution(imp_network *network, int block, int number, int inputs, int channels) {
    imp_layer *layer = add_layer(network, IMP_OPERATION_CONVOLUTION, channels);

    snprintf(layer->name, sizeof layer->name, "conv%d_%d", block, number);
    layer->kernel = KERNEL;
    layer->padding = KERNEL / 2;
    layer->weight = add_parameter(network, layer->name, ".weight", 4, channels, inputs); /* [out, in, 3, 3] */
    layer->bias = add_parameter(network, layer->name, ".bias", 1, channels, 0);          /* [out] */
    if (layer->weight < 0 || layer->bias < 0) return 0;
    layer = add_layer(network, IMP_OPERATION_RELU, channels);
    snprintf(layer->name, sizeof layer->name, "relu%d_%d", block, number);
    return 1;
}

static int add_layers(const imp_vgg *vgg, imp_network *network) {
    imp_layer *layer = add_layer(network, IMP_OPERATION_INPUT, INPUT_CHANNELS);

    snprintf(layer->name, sizeof layer->name, "input");
    for (int block = 0; block < vgg->blocks; block++) {
        for (int number = 0; number < vgg->convolutions[block]; number++) {
            int inputs = network->layers[network->layer_count - 1].channels;
            if (!add_convolution(network, block + 1, number + 1, inputs, vgg->channels[block])) return 0;
        }
        layer = add_layer(network, IMP_OPERATION_POOL, vgg->channels[block]);
        snprintf(layer->name, sizeof layer->name, "pool%d", block + 1);
        layer->kernel = 2;
        layer->stride = 2;
    }
    return 1;
}

int imp_vgg_build(imp_context *context, const imp_vgg *vgg, imp_network *network) {
    size_t convolutions = 0, layers, parameters;

    for (int block = 0; block < vgg->blocks; block++) convolutions += (size_t)vgg->convolutions[block];
    layers = 1 + 2 * convolutions + (size_t)vgg->blocks;
    parameters = 2 * convolutions;
    *network = (imp_network){.allocator = imp_context_allocator(context)};
    snprintf(network->architecture, sizeof network->architecture, "%s", vgg->name);
    network->layers = imp_allocator_take(&network->allocator, layers * sizeof *network->layers);
    network->parameters = imp_allocator_take(&network->allocator, parameters * sizeof *network->parameters);
    if (network->layers && network->parameters && add_layers(vgg, network)) return IMP_OK;
    imp_network_release(network);
    return imp_fail(context, IMP_ERR_MEMORY, "out of memory: building the network %s", vgg->name);
}
