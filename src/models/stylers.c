/* Feed-forward networks that paint. */
#include "models/stylers.h"

#include <string.h>

#include "models/builder.h"

#define KERNEL 3
#define SQUARE 2 /* pixels along a square of the input and the output */
#define COLOURS (3 * SQUARE * SQUARE)
#define LAST "up2" /* its sum with the skip is the picture */
#define SKIP "skip"

enum { FINE_CHANNELS, FINE_BLOCKS, FINE_STYLES };

const imp_architecture_option imp_fine_options[] = {
    {"channels", 96, 16, 512, "Channels of the trunk, at a quarter of the size; half of them at half of it."},
    {"blocks", 6, 1, 32, "Residual blocks of two convolutions each."},
    {IMP_OPTION_STYLES, 1, 1, 4096, "Styles that it can paint."},
    {NULL, 0, 0, 0, NULL},
};

static int reflected(imp_builder *builder, int input, const char *name, int number, int channels, int stride) {
    int index = imp_builder_convolution(builder, input, name, number, channels, KERNEL, stride);

    imp_builder_last(builder)->padding_mode = IMP_PADDING_REFLECT;
    return index;
}

static int relu(imp_builder *builder, int input, const char *name, int number) {
    return imp_builder_layer(builder, IMP_OPERATION_RELU, input, name, number);
}

static int add_block(imp_builder *builder, int input, int number, int channels, int styles) {
    int layer = reflected(builder, input, "block%d.first", number, channels, 1);

    layer = imp_builder_norm(builder, layer, "block%d.first.norm", number, styles);
    layer = relu(builder, layer, "block%d.relu", number);
    layer = reflected(builder, layer, "block%d.second", number, channels, 1);
    layer = imp_builder_norm(builder, layer, "block%d.second.norm", number, styles);
    return imp_builder_add(builder, input, layer, "block%d.sum", number);
}

int imp_fine_build(imp_context *context, const int *options, imp_network *network) {
    int channels = options[FINE_CHANNELS], half = channels / 2, styles = options[FINE_STYLES];
    imp_builder builder;
    int layer, skip;

    imp_builder_begin(&builder, context, "fine", SQUARE, network);
    layer = reflected(&builder, 0, "down1", 0, half, 1);
    layer = relu(&builder, layer, "down1.relu", 0);
    layer = reflected(&builder, layer, "down2", 0, channels, 2);
    layer = imp_builder_norm(&builder, layer, "down2.norm", 0, styles);
    layer = relu(&builder, layer, "down2.relu", 0);
    for (int i = 1; i <= options[FINE_BLOCKS]; i++) layer = add_block(&builder, layer, i, channels, styles);
    layer = imp_builder_layer(&builder, IMP_OPERATION_ENLARGE, layer, "enlarge", 0);
    imp_builder_last(&builder)->factor = 2;
    layer = reflected(&builder, layer, "up1", 0, half, 1);
    layer = relu(&builder, layer, "up1.relu", 0);
    layer = reflected(&builder, layer, LAST, 0, COLOURS, 1);
    skip = imp_builder_convolution(&builder, 0, SKIP, 0, COLOURS, 1, 1);
    /* No tanh: where it had come to its ends, black and white, no gradient would lead back. */
    imp_builder_add(&builder, layer, skip, IMP_STYLER_OUTPUT, 0);
    return imp_builder_end(&builder);
}

/* ---- First weights ----------------------------------------------------------------------------------------------- */

/* What the network says at first, beside the photo. */
#define FIRST_SHARE 0.1f

/* A square's pixels all say the same (Aitken et al., arXiv 1707.02937), so that no pattern is there from the beginning. */
static void begin_last(const imp_parameter *weight) {
    size_t row = imp_parameter_count(weight) / COLOURS, square = SQUARE * SQUARE;

    for (size_t o = 0; o < COLOURS; o++)
        for (size_t i = 0; i < row; i++)
            weight->data[o * row + i] = (o % square ? 1 : FIRST_SHARE) * weight->data[(o - o % square) * row + i];
}

/* The photo as it is: [COLOURS, COLOURS, 1, 1]. */
static void begin_skip(const imp_parameter *weight) {
    for (size_t i = 0; i < (size_t)COLOURS * COLOURS; i++) weight->data[i] = i % (COLOURS + 1) == 0;
}

void imp_fine_begin(const imp_network *network) {
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];

        if (strcmp(layer->name, LAST) == 0) begin_last(&network->parameters[layer->weight]);
        if (strcmp(layer->name, SKIP) == 0) begin_skip(&network->parameters[layer->weight]);
    }
}
