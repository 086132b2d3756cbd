/* The ResNets as tables: a stem, then stages of blocks whose output is added to their input. */
#include "models/resnet.h"

#include <stdio.h>

#define STEM_KERNEL 7
#define KERNEL 3
#define EXPANSION 4 /* of a bottleneck */

const imp_resnet imp_resnet18 = {"resnet18", 0, {2, 2, 2, 2}, 64};
const imp_resnet imp_resnet50 = {"resnet50", 1, {3, 4, 6, 3}, 64};

/* A block while it is built; its layers are called prefix + their own name. */
typedef struct block {
    imp_builder *builder;
    char prefix[IMP_NAME_LENGTH];
    int convolutions; /* so far */
} block;

static int add_convolution(block *to, int input, int channels, int kernel, int stride) {
    char name[IMP_NAME_LENGTH + 16];

    snprintf(name, sizeof name, "%s.conv%%d", to->prefix);
    return imp_builder_convolution(to->builder, input, name, ++to->convolutions, channels, kernel, stride);
}

static int add_relu(block *to, int input) {
    char name[IMP_NAME_LENGTH + 16];

    snprintf(name, sizeof name, "%s.relu%%d", to->prefix);
    return imp_builder_layer(to->builder, IMP_OPERATION_RELU, input, name, to->convolutions);
}

static int add_sum(block *to, int input, int second) {
    char name[IMP_NAME_LENGTH + 16];
    int sum;

    snprintf(name, sizeof name, "%s.add", to->prefix);
    sum = imp_builder_add(to->builder, input, second, name, 0);
    return imp_builder_layer(to->builder, IMP_OPERATION_RELU, sum, to->prefix, 0);
}

/* What is added: the input, through a 1x1 convolution where its shape is another. */
static int add_shortcut(block *to, int input, int channels, int stride, int is_same) {
    char name[IMP_NAME_LENGTH + 16];

    if (is_same) return input;
    snprintf(name, sizeof name, "%s.downsample.0", to->prefix);
    return imp_builder_convolution(to->builder, input, name, 0, channels, 1, stride);
}

static int add_block(imp_builder *builder, const imp_resnet *resnet, int stage, int number, int input, int inputs) {
    int channels = resnet->channels << stage, stride = stage > 0 && number == 0 ? 2 : 1;
    int outputs = channels * (resnet->is_bottleneck ? EXPANSION : 1), layer = input;
    block one = {.builder = builder};

    snprintf(one.prefix, sizeof one.prefix, "layer%d.%d", stage + 1, number);
    if (resnet->is_bottleneck) {
        layer = add_relu(&one, add_convolution(&one, layer, channels, 1, 1));
        layer = add_relu(&one, add_convolution(&one, layer, channels, KERNEL, stride));
        layer = add_convolution(&one, layer, outputs, 1, 1);
    } else {
        layer = add_relu(&one, add_convolution(&one, layer, channels, KERNEL, stride));
        layer = add_convolution(&one, layer, channels, KERNEL, 1);
    }
    return add_sum(&one, layer, add_shortcut(&one, input, outputs, stride, stride == 1 && inputs == outputs));
}

int imp_resnet_build(imp_context *context, const imp_resnet *resnet, imp_network *network) {
    imp_builder builder;
    int layer, inputs = resnet->channels;

    imp_builder_begin(&builder, context, resnet->name, 1, network);
    layer = imp_builder_convolution(&builder, 0, "conv1", 0, resnet->channels, STEM_KERNEL, 2);
    layer = imp_builder_layer(&builder, IMP_OPERATION_RELU, layer, "relu", 0);
    layer = imp_builder_layer(&builder, IMP_OPERATION_MAX_POOL, layer, "maxpool", 0);
    imp_builder_last(&builder)->kernel = KERNEL;
    imp_builder_last(&builder)->stride = 2;
    imp_builder_last(&builder)->padding = KERNEL / 2;
    for (int stage = 0; stage < IMP_RESNET_STAGES; stage++)
        for (int number = 0; number < resnet->blocks[stage]; number++) {
            layer = add_block(&builder, resnet, stage, number, layer, inputs);
            inputs = imp_builder_last(&builder)->channels;
        }
    return imp_builder_end(&builder);
}
