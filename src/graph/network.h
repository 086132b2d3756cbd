/* A network: layers as data, and the weights that they use. It never changes once it is complete and may be shared
 * by any number of plans and threads; weights packed for a kernel are kept in it, so that they are packed once. */
#ifndef IMP_GRAPH_NETWORK_H
#define IMP_GRAPH_NETWORK_H

#include "base/memory.h"
#include "kernels/kernels.h"

#define IMP_NAME_LENGTH 32 /* bytes of a layer's or parameter's short name, its end included */
#define IMP_MAX_DIMENSIONS 8

typedef enum imp_operation_kind {
    IMP_OPERATION_INPUT,       /* pixels, preprocessed */
    IMP_OPERATION_CONVOLUTION, /* square kernel, with bias */
    IMP_OPERATION_RELU,
    IMP_OPERATION_POOL /* 2x2, stride 2; maximum or average is the plan's choice */
} imp_operation_kind;

typedef struct imp_layer {
    imp_operation_kind kind;
    char name[IMP_NAME_LENGTH]; /* "conv1_1", "relu1_1", "pool1" */
    int input;                  /* index of the layer whose output this one takes; -1 for the input */
    int channels;               /* of the output */
    int kernel, stride, padding;
    int weight, bias; /* indices into parameters; -1: none */
} imp_layer;

typedef struct imp_parameter {
    char *name;        /* "conv1_1.weight" */
    const char *dtype; /* as the file stores it: "F32", "F16", "BF16"; a constant */
    int dimensions;
    int64_t shape[IMP_MAX_DIMENSIONS];
    float *data; /* [out, in, kh, kw] or [out] */
} imp_parameter;

/* How many values it has: the product of its shape. */
size_t imp_parameter_count(const imp_parameter *parameter);

/* What the network's input layer does to a pixel: channel c = (rgb[order[c]] - mean[c]) * scale[c], rgb on the
   0..255 scale. */
typedef struct imp_preprocessing {
    const char *name; /* "caffe", "torchvision" */
    int order[3];
    float mean[3], scale[3];
    float feature_scale; /* losses see the feature maps multiplied by this */
} imp_preprocessing;

/* "caffe": BGR minus (103.939, 116.779, 123.68), feature scale 1/255. "torchvision": RGB / 255 minus mean, over
   deviation, scale 1. NULL for an unknown name. */
const imp_preprocessing *imp_preprocessing_find(const char *name);

struct imp_packed_weights; /* graph/packed.c */

typedef struct imp_network {
    imp_allocator allocator; /* of everything here */
    char architecture[IMP_NAME_LENGTH];
    const imp_preprocessing *preprocessing;
    imp_layer *layers; /* in an order in which each input comes before its use */
    int layer_count;
    imp_parameter *parameters;
    int parameter_count;
    struct imp_packed_weights *packed;
} imp_network;

/* The layer whose output losses see under this name: "conv4_2" and "relu4_2" both mean the map after the ReLU;
   "pool4" the pooled map. -1 when there is none. */
int imp_network_find_tap(const imp_network *network, const char *name);

/* Releases layers, parameters and packed weights, not the struct itself. */
void imp_network_release(imp_network *network);

#endif
