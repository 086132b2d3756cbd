/* Builds networks layer by layer, so that an architecture reads as what it is. After a failure the calls do nothing, and the
 * end tells. */
#ifndef IMP_MODELS_BUILDER_H
#define IMP_MODELS_BUILDER_H

#include "graph/network.h"

#define IMP_BUILDER_LAYERS 512 /* and as many parameters: above any network here */

typedef struct imp_builder {
    imp_context *context;
    imp_network *network;
    int failed;
    imp_layer nothing; /* takes what is set after a failure */
    int no_bias;       /* what convolutions from here on lack: a norm follows, which shifts */
} imp_builder;

/* Begins with the input: layer 0, "input", squares of factor x factor pixels. */
void imp_builder_begin(imp_builder *builder, imp_context *context, const char *architecture, int factor,
                       imp_network *network);

/* Each adds a layer that reads layer `input` and returns its index. name is printed with number where it has a %d. */
int imp_builder_layer(imp_builder *builder, imp_operation_kind kind, int input, const char *name, int number);
/* With parameters name.weight and name.bias; padding of half the kernel, so that stride 1 keeps the size. */
int imp_builder_convolution(imp_builder *builder, int input, const char *name, int number, int channels, int kernel,
                            int stride);
/* The same for each channel by itself. */
int imp_builder_depthwise(imp_builder *builder, int input, const char *name, int number, int kernel, int stride);
/* With parameters name.scale and name.shift, [styles, channels]. */
int imp_builder_norm(imp_builder *builder, int input, const char *name, int number, int styles);
/* With parameters name.scale, name.shift, name.mean and name.variance, [channels]. */
int imp_builder_batch_norm(imp_builder *builder, int input, const char *name, int number);
/* VGG's: 2x2 with a stride of 2, "pool1" for number 1. */
int imp_builder_pool(imp_builder *builder, int input, int number);
int imp_builder_add(imp_builder *builder, int input, int second, const char *name, int number);

/* The layer that was added last, to set what is particular about it. */
imp_layer *imp_builder_last(imp_builder *builder);

/* IMP_ERR_MEMORY with the error set and the network released, when any call failed. */
int imp_builder_end(imp_builder *builder);

#endif
