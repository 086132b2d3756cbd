/* MobileNetV3-small as a student of VGG19. */
#include "models/mobilenet.h"

#include <stdio.h>

#include "models/builder.h"
#include "models/thin.h"

#define OWN_CHANNELS 32
#define FIRST_CHANNELS 16
#define SQUEEZE 4    /* an excitation has a quarter of the block's channels, */
#define SQUEEZE_OF 8 /* in multiples of 8 */

typedef enum activation { IDENTITY, RELU, HARD_SWISH } activation;

/* A row of the paper's table 2. */
typedef struct block {
    int kernel, expanded, channels, squeezes;
    activation activation;
    int stride;
} block;

static const block blocks[] = {
    {3, 16, 16, 1, RELU, 2},        {3, 72, 24, 0, RELU, 2},        {3, 88, 24, 0, RELU, 1},
    {5, 96, 40, 1, HARD_SWISH, 2},  {5, 240, 40, 1, HARD_SWISH, 1}, {5, 240, 40, 1, HARD_SWISH, 1},
    {5, 120, 48, 1, HARD_SWISH, 1}, {5, 144, 48, 1, HARD_SWISH, 1},
};
#define BLOCKS (int)(sizeof blocks / sizeof *blocks)

/* Where layers of VGG19 are read: behind a block, which has maps of that size (0: the first convolution), or where it is
   wide, behind its expansion; and how many channels a layer of adaptation has before the readouts (0: there is none). */
#define LAYERS_READ 2 /* at one place, at most */
typedef struct reading {
    int block, is_expanded, adapted;
    const char *layers[LAYERS_READ];
} reading;

static const reading readings[] = {
    {0, 0, 0, {"conv2_1"}},
    {2, 1, 0, {"conv3_1"}},
    {4, 1, 96, {"conv4_1", "conv4_2"}}, /* as many channels as the expansion has */
    {BLOCKS, 0, 0, {"conv5_1"}},
};

enum { NORMS };

const imp_architecture_option imp_mobilenet_options[] = {
    {IMP_OPTION_NORMS, 1, 0, 1, "Batch norms in training; a model file has them folded into the convolutions."},
    {NULL, 0, 0, 0, NULL},
};

static int activate(imp_builder *builder, int input, activation kind, const char *name, int number) {
    int layer;

    if (kind == IDENTITY) return input;
    layer =
        imp_builder_layer(builder, kind == RELU ? IMP_OPERATION_RELU : IMP_OPERATION_ACTIVATION, input, name, number);
    if (kind == HARD_SWISH) imp_builder_last(builder)->activation = IMP_ACTIVATION_HARD_SWISH;
    return layer;
}

/* A convolution of the body, its norm and activation. depthwise: channels is not looked at. */
typedef struct step {
    const char *name;
    int depthwise, channels, kernel, stride;
    activation activation;
} step;

static int add_step(imp_builder *builder, int input, const step *one, int norms, int number) {
    char name[IMP_NAME_LENGTH];
    int layer;

    builder->no_bias = norms;
    layer = one->depthwise
                ? imp_builder_depthwise(builder, input, one->name, number, one->kernel, one->stride)
                : imp_builder_convolution(builder, input, one->name, number, one->channels, one->kernel, one->stride);
    builder->no_bias = 0;
    snprintf(name, sizeof name, "%s.norm", one->name);
    if (norms) layer = imp_builder_batch_norm(builder, layer, name, number);
    snprintf(name, sizeof name, "%s.act", one->name);
    return activate(builder, layer, one->activation, name, number);
}

/* Squeeze and excite (Hu et al., arXiv 1709.01507). */
static int add_excitation(imp_builder *builder, int input, int channels, int number) {
    int squeezed = (channels / SQUEEZE + SQUEEZE_OF / 2) / SQUEEZE_OF * SQUEEZE_OF;
    int layer = imp_builder_layer(builder, IMP_OPERATION_AVERAGE, input, "block%d.mean", number);
    int scaled;

    if (squeezed < SQUEEZE_OF) squeezed = SQUEEZE_OF;
    layer = imp_builder_convolution(builder, layer, "block%d.squeeze", number, squeezed, 1, 1);
    layer = activate(builder, layer, RELU, "block%d.squeeze.relu", number);
    layer = imp_builder_convolution(builder, layer, "block%d.excite", number, channels, 1, 1);
    layer = imp_builder_layer(builder, IMP_OPERATION_ACTIVATION, layer, "block%d.gate", number);
    imp_builder_last(builder)->activation = IMP_ACTIVATION_HARD_SIGMOID;
    scaled = imp_builder_layer(builder, IMP_OPERATION_SCALE, input, "block%d.scale", number);
    imp_builder_last(builder)->second = layer;
    return scaled;
}

/* The readouts of a place. A square of pixels tells VGG19's channels better than one alone. */
static void add_readouts(imp_builder *builder, int input, int norms, int number, int is_expanded) {
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        const reading *at = &readings[i];
        const step adapt = {"block%d.adapt", 0, at->adapted, 3, 1, RELU};
        int layer = input;

        if (at->block != number || at->is_expanded != is_expanded) continue;
        if (at->adapted) layer = add_step(builder, layer, &adapt, norms, number);
        for (int k = 0; k < LAYERS_READ && at->layers[k]; k++)
            imp_builder_convolution(builder, layer, at->layers[k], 0, imp_thin_readout_of(at->layers[k])->directions, 3,
                                    1);
    }
}

/* Expand, filter each channel by itself, project; beside it the input where the shapes are the same. */
static int add_block(imp_builder *builder, int input, const block *row, int norms, int number) {
    int layer = input, before = builder->failed ? 0 : builder->network->layers[input].channels;
    const step expand = {"block%d.expand", 0, row->expanded, 1, 1, row->activation};
    const step filter = {"block%d.depth", 1, 0, row->kernel, row->stride, row->activation};
    const step project = {"block%d.project", 0, row->channels, 1, 1, IDENTITY};

    if (row->expanded != before) layer = add_step(builder, layer, &expand, norms, number);
    add_readouts(builder, layer, norms, number, 1);
    layer = add_step(builder, layer, &filter, norms, number);
    if (row->squeezes) layer = add_excitation(builder, layer, row->expanded, number);
    layer = add_step(builder, layer, &project, norms, number);
    if (row->stride == 1 && row->channels == before)
        layer = imp_builder_add(builder, layer, input, "block%d.sum", number);
    return layer;
}

int imp_mobilenet_build(imp_context *context, const int *options, imp_network *network) {
    const imp_thin_readout *readout = imp_thin_readout_of("conv1_1");
    const step first = {"first", 0, FIRST_CHANNELS, 3, 1, HARD_SWISH};
    imp_builder builder;
    int layer;

    imp_builder_begin(&builder, context, "mobilenetv3", 1, network);
    layer = imp_builder_convolution(&builder, 0, IMP_THIN_OWN, 0, OWN_CHANNELS, 3, 1);
    layer = activate(&builder, layer, RELU, IMP_THIN_OWN ".relu", 0);
    imp_builder_convolution(&builder, layer, readout->layer, 0, readout->directions, 1, 1);
    layer = imp_builder_pool(&builder, layer, 1);
    layer = add_step(&builder, layer, &first, options[NORMS], 0);
    add_readouts(&builder, layer, options[NORMS], 0, 0);
    for (int number = 1; number <= BLOCKS; number++) {
        layer = add_block(&builder, layer, &blocks[number - 1], options[NORMS], number);
        add_readouts(&builder, layer, options[NORMS], number, 0);
    }
    return imp_builder_end(&builder);
}
