/* The thin student of VGG19, and VGG19 with its readouts as the teacher. */
#include "models/thin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/builder.h"
#include "models/vgg.h"

#define KERNEL 3
#define BLOCKS 5
#define OWN_CHANNELS 64 /* of VGG19's conv1_1 */

enum { THIN_CHANNELS };

const imp_architecture_option imp_thin_options[] = {
    {"channels", 16, 4, 64, "Channels of the first block; 2, 4, 8 and 8 times as many of the next ones."},
    {NULL, 0, 0, 0, NULL},
};

/* conv5_1 and conv4_1 hold less of their Gram matrices' energy in few directions than the first layers. */
const imp_thin_readout imp_thin_readouts[IMP_THIN_READOUTS] = {
    {"conv2_1", 48, 128, 0},  {"conv3_1", 64, 256, 0},  {"conv4_1", 128, 512, 0},
    {"conv4_2", 128, 512, 1}, {"conv5_1", 128, 512, 0},
};

static const int convolutions[BLOCKS] = {2, 2, 4, 4, 1};
static const int widths[BLOCKS] = {1, 2, 4, 8, 8};

float imp_thin_scale(const imp_thin_readout *readout) {
    float share = (float)readout->directions / (float)readout->channels;

    return readout->is_content ? sqrtf(share) : share;
}

static const imp_thin_readout *readout_of(const char *layer) {
    for (int i = 0; i < IMP_THIN_READOUTS; i++)
        if (strcmp(imp_thin_readouts[i].layer, layer) == 0) return &imp_thin_readouts[i];
    return NULL;
}

/* A convolution of the trunk and its ReLU; behind them a readout that has the name of VGG19's layer. */
static int add_convolution(imp_builder *builder, int input, int block, int number, int channels) {
    char layer[IMP_NAME_LENGTH], name[IMP_NAME_LENGTH];
    const imp_thin_readout *readout;

    snprintf(layer, sizeof layer, "conv%d_%d", block, number);
    readout = readout_of(layer);
    snprintf(name, sizeof name, "trunk%d_%d", block, number);
    input = imp_builder_convolution(builder, input, name, 0, channels, KERNEL, 1);
    snprintf(name, sizeof name, "trunk%d_%d.relu", block, number);
    input = imp_builder_layer(builder, IMP_OPERATION_RELU, input, name, 0);
    if (readout) imp_builder_convolution(builder, input, layer, 0, readout->directions, 1, 1);
    return input;
}

int imp_thin_build(imp_context *context, const int *options, imp_network *network) {
    imp_builder builder;
    int layer;

    imp_builder_begin(&builder, context, "thin", 1, network);
    layer = imp_builder_convolution(&builder, 0, "conv1_1", 0, OWN_CHANNELS, KERNEL, 1);
    imp_builder_layer(&builder, IMP_OPERATION_RELU, layer, "relu1_1", 0);
    layer = 0;
    for (int block = 1; block <= BLOCKS; block++) {
        for (int number = 1; number <= convolutions[block - 1]; number++)
            layer = add_convolution(&builder, layer, block, number, options[THIN_CHANNELS] * widths[block - 1]);
        if (block == BLOCKS) break;
        layer = imp_builder_layer(&builder, IMP_OPERATION_POOL, layer, "pool%d", block);
        imp_builder_last(&builder)->kernel = 2;
        imp_builder_last(&builder)->stride = 2;
    }
    return imp_builder_end(&builder);
}

int imp_thin_build_teacher(imp_context *context, imp_network *network) {
    imp_builder builder;
    int layer = 0;

    imp_builder_begin(&builder, context, "vgg19 with readouts", 1, network);
    for (int block = 1; block <= BLOCKS; block++)
        layer = imp_vgg_add_block(&builder, &imp_vgg19, block, convolutions[block - 1], layer);
    for (int i = 0; i < IMP_THIN_READOUTS && !builder.failed; i++) {
        const imp_thin_readout *readout = &imp_thin_readouts[i];
        char name[IMP_NAME_LENGTH];

        snprintf(name, sizeof name, "%s.readout", readout->layer);
        imp_builder_convolution(&builder, imp_network_find_tap(network, readout->layer), name, 0, readout->directions,
                                1, 1);
    }
    return imp_builder_end(&builder);
}
