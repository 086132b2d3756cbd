/* The thin student of VGG19, and VGG19 with its readouts as the teacher. */
#include "models/thin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/builder.h"
#include "models/vgg.h"

#define KERNEL 3
#define BLOCKS 5

enum { THIN_CHANNELS };

const imp_architecture_option imp_thin_options[] = {
    {"channels", 16, 4, 64,
     "Unit of its widths: two in the first and second block, four in the third, eight in the others; 32 would be "
     "VGG19's in the first block, 64 in the others."},
    {NULL, 0, 0, 0, NULL},
};

/* So many directions hold of the Gram matrices of photographs and paintings 99.99, 99.94, 99.88, 99.95 and 99.3 %; of the
   content at conv4_2 they hold 87 % of the energy. */
const imp_thin_readout imp_thin_readouts[IMP_THIN_READOUTS] = {
    {"conv1_1", 16, 64, 0},  {"conv2_1", 32, 128, 0},  {"conv3_1", 64, 256, 0},
    {"conv4_1", 64, 512, 0}, {"conv4_2", 128, 512, 1}, {"conv5_1", 128, 512, 0},
};

static const int convolutions[BLOCKS] = {2, 2, 4, 4, 1};
static const int widths[BLOCKS] = {2, 2, 4, 8, 8};

float imp_thin_scale(const imp_thin_readout *readout) {
    float share = (float)readout->directions / (float)readout->channels;

    return readout->is_content ? sqrtf(share) : share;
}

const imp_thin_readout *imp_thin_readout_of(const char *layer) {
    for (int i = 0; i < IMP_THIN_READOUTS; i++)
        if (strcmp(imp_thin_readouts[i].layer, layer) == 0) return &imp_thin_readouts[i];
    return NULL;
}

/* A convolution of the trunk and its ReLU; behind them a readout that has the name of VGG19's layer. */
static int add_convolution(imp_builder *builder, int input, int block, int number, int channels) {
    char layer[IMP_NAME_LENGTH], name[IMP_NAME_LENGTH];
    const imp_thin_readout *readout;

    snprintf(layer, sizeof layer, "conv%d_%d", block, number);
    readout = imp_thin_readout_of(layer);
    snprintf(name, sizeof name, "trunk%d_%d", block, number);
    input = imp_builder_convolution(builder, input, name, 0, channels, KERNEL, 1);
    snprintf(name, sizeof name, "trunk%d_%d.relu", block, number);
    input = imp_builder_layer(builder, IMP_OPERATION_RELU, input, name, 0);
    if (readout) imp_builder_convolution(builder, input, layer, 0, readout->directions, 1, 1);
    return input;
}

/* Unlike VGG19's, the second layer comes after the first pool: no loss looks at it, and at the full size it would be a
   quarter of all work. */
int imp_thin_build(imp_context *context, const int *options, imp_network *network) {
    imp_builder builder;
    int layer = 0;

    imp_builder_begin(&builder, context, "thin", 1, network);
    layer = add_convolution(&builder, layer, 1, 1, widths[0] * options[THIN_CHANNELS]);
    layer = imp_builder_pool(&builder, layer, 1);
    layer = add_convolution(&builder, layer, 1, 2, widths[0] * options[THIN_CHANNELS]);
    for (int block = 2; block <= BLOCKS; block++) {
        for (int number = 1; number <= convolutions[block - 1]; number++)
            layer = add_convolution(&builder, layer, block, number, options[THIN_CHANNELS] * widths[block - 1]);
        if (block < BLOCKS) layer = imp_builder_pool(&builder, layer, block);
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
