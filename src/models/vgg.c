/* The VGG networks as tables: layers and parameters from the input to the last pool. */
#include "models/vgg.h"

#include <stdio.h>

#include "models/builder.h"

#define KERNEL 3

const imp_vgg imp_vgg16 = {"vgg16", 5, {2, 2, 3, 3, 3}, {64, 128, 256, 512, 512}};
const imp_vgg imp_vgg19 = {"vgg19", 5, {2, 2, 4, 4, 4}, {64, 128, 256, 512, 512}};

int imp_vgg_add_block(imp_builder *builder, const imp_vgg *vgg, int block, int count, int input) {
    char name[IMP_NAME_LENGTH];

    for (int number = 1; number <= count; number++) {
        snprintf(name, sizeof name, "conv%d_%%d", block);
        input = imp_builder_convolution(builder, input, name, number, vgg->channels[block - 1], KERNEL, 1);
        snprintf(name, sizeof name, "relu%d_%%d", block);
        input = imp_builder_layer(builder, IMP_OPERATION_RELU, input, name, number);
    }
    return imp_builder_pool(builder, input, block);
}

int imp_vgg_build(imp_context *context, const imp_vgg *vgg, imp_network *network) {
    imp_builder builder;
    int layer = 0;

    imp_builder_begin(&builder, context, vgg->name, 1, network);
    for (int block = 1; block <= vgg->blocks; block++)
        layer = imp_vgg_add_block(&builder, vgg, block, vgg->convolutions[block - 1], layer);
    return imp_builder_end(&builder);
}
