/* Networks as data: names of taps, the preprocessings that are known, release. */
#include "graph/network.h"

#include <string.h>

#include "graph/packed.h"

/* Means of ImageNet as Caffe's VGG release has them (BGR, 0..255) and as torchvision has them (RGB, 0..1). */
static const imp_preprocessing preprocessings[] = {
    {
        .name = "caffe",
        .imported = 1,
        .order = {2, 1, 0},
        .mean = {103.939f, 116.779f, 123.68f},
        .scale = {1.0f, 1.0f, 1.0f},
        .feature_scale = 1.0f / 255.0f,
    },
    {
        .name = "torchvision",
        .imported = 1,
        .order = {0, 1, 2},
        .mean = {0.485f * 255.0f, 0.456f * 255.0f, 0.406f * 255.0f},
        .scale = {1.0f / (0.229f * 255.0f), 1.0f / (0.224f * 255.0f), 1.0f / (0.225f * 255.0f)},
        .feature_scale = 1.0f,
    },
    {
        .name = "signed",
        .order = {0, 1, 2},
        .mean = {127.5f, 127.5f, 127.5f},
        .scale = {1.0f / 127.5f, 1.0f / 127.5f, 1.0f / 127.5f},
        .feature_scale = 1.0f,
    },
};

const imp_preprocessing *imp_preprocessing_find(const char *name) {
    for (size_t i = 0; i < sizeof preprocessings / sizeof preprocessings[0]; i++)
        if (strcmp(preprocessings[i].name, name) == 0) return &preprocessings[i];
    return NULL;
}

size_t imp_parameter_count(const imp_parameter *parameter) {
    size_t count = 1;

    for (int i = 0; i < parameter->dimensions; i++) count *= (size_t)parameter->shape[i];
    return count;
}

int imp_network_find_tap(const imp_network *network, const char *name) {
    int found = -1;

    for (int i = 0; i < network->layer_count && found < 0; i++)
        if (strcmp(network->layers[i].name, name) == 0) found = i;
    if (found < 0 || network->layers[found].kind != IMP_OPERATION_CONVOLUTION) return found;
    for (int i = found + 1; i < network->layer_count; i++)
        if (network->layers[i].kind == IMP_OPERATION_RELU && network->layers[i].input == found) return i;
    return found;
}

void imp_network_release(imp_network *network) {
    const imp_allocator *allocator = &network->allocator;

    imp_packed_release(network);
    for (int i = 0; i < network->parameter_count && network->parameters; i++) {
        imp_allocator_give(allocator, network->parameters[i].name);
        imp_allocator_give(allocator, network->parameters[i].data);
    }
    imp_allocator_give(allocator, network->parameters);
    imp_allocator_give(allocator, network->layers);
    network->parameters = NULL;
    network->layers = NULL;
    network->parameter_count = network->layer_count = 0;
}
