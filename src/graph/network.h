/* A network: layers as data, and the weights that they use. It never changes once it is complete, but where it trains
 * (graph/packed.h), and may be shared by any number of plans and threads; weights packed for a kernel are kept in it, so
 * that they are packed once. */
#ifndef IMP_GRAPH_NETWORK_H
#define IMP_GRAPH_NETWORK_H

#include "base/memory.h"
#include "kernels/kernels.h"

#define IMP_NAME_LENGTH 32 /* bytes of a layer's or parameter's short name, its end included */
#define IMP_MAX_DIMENSIONS 8

typedef enum imp_operation_kind {
    IMP_OPERATION_INPUT,       /* pixels, preprocessed; squares of factor x factor of them side by side in channels */
    IMP_OPERATION_CONVOLUTION, /* square kernel; a linear layer is one of 1x1 on a map of one pixel */
    IMP_OPERATION_RELU,
    IMP_OPERATION_POOL,          /* 2x2, stride 2; maximum or average is the plan's choice */
    IMP_OPERATION_MAX_POOL,      /* kernel, stride, padding (which never wins) */
    IMP_OPERATION_ACTIVATION,    /* activation, slope */
    IMP_OPERATION_INSTANCE_NORM, /* each picture's channel to mean 0 and deviation 1, then times weight plus bias: those of
                                    the picture's style */
    IMP_OPERATION_BATCH_NORM, /* the same for the channels of all pictures together; where it does not train, with the
                                    mean and variance that were kept */
    IMP_OPERATION_ADD,        /* input + second */
    IMP_OPERATION_CONCAT,     /* channels of input, then of second */
    IMP_OPERATION_SCALE,      /* input times second, a map of one pixel: squeeze and excite */
    IMP_OPERATION_AVERAGE,    /* of all pixels, to a map of one pixel */
    IMP_OPERATION_ENLARGE,    /* every pixel factor x factor times */
    IMP_OPERATION_RESIZE,     /* bilinear, to factor times the size */
    IMP_OPERATION_SHUFFLE,    /* channels to squares of factor x factor pixels, as PyTorch's PixelShuffle */
    IMP_OPERATION_UNSHUFFLE   /* the reverse */
} imp_operation_kind;

/* With what the halo of a map is filled: zeros, the edge's pixels, or those on the other side of the edge. */
typedef enum imp_padding { IMP_PADDING_ZERO, IMP_PADDING_REPLICATE, IMP_PADDING_REFLECT } imp_padding;

typedef struct imp_layer {
    imp_operation_kind kind;
    char name[IMP_NAME_LENGTH]; /* "conv1_1", "relu1_1", "pool1" */
    int input;                  /* index of the layer whose output this one takes; -1 for the input */
    int channels;               /* of the output */
    int kernel, stride, padding;
    int weight, bias;          /* indices into parameters; -1: none. Of norms: [styles, channels] or [channels] */
    int mean, variance;        /* of batch norms, beside scale and shift; [channels], as theirs are */
    int second;                /* the other input, of operations that have two */
    int dilation, groups;      /* of convolutions; 0 means 1 */
    imp_padding padding_mode;  /* of convolutions; all readers of a map with padding have the same */
    int factor;                /* of resizing and shuffling; of the input 0 means 1 */
    imp_activation activation; /* of IMP_OPERATION_ACTIVATION */
    float slope;               /* of a leaky ReLU */
} imp_layer;

/* What norms add to a variance, as PyTorch's do. */
#define IMP_NORM_EPSILON 1e-5f

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
    const char *name; /* "caffe", "torchvision", "signed" */
    int imported;     /* networks of other programs may have it */
    int order[3];
    float mean[3], scale[3];
    float feature_scale; /* losses see the feature maps multiplied by this */
} imp_preprocessing;

/* "caffe": BGR minus (103.939, 116.779, 123.68), feature scale 1/255. "torchvision": RGB / 255 minus mean, over
   deviation, scale 1. "signed": RGB to -1..1, scale 1. NULL for an unknown name. */
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

static inline int imp_layer_dilation(const imp_layer *layer) {
    return layer->dilation ? layer->dilation : 1;
}

/* Whether each channel has a kernel of its own. */
static inline int imp_is_depthwise(int groups, int in_channels, int out_channels) {
    return groups > 1 && groups == in_channels && groups == out_channels;
}

static inline int imp_layer_groups(const imp_layer *layer) {
    return layer->groups ? layer->groups : 1;
}

/* The layer whose output losses see under this name: "conv4_2" and "relu4_2" both mean the map after the ReLU;
   "pool4" the pooled map. -1 when there is none. */
int imp_network_find_tap(const imp_network *network, const char *name);

/* Releases layers, parameters and packed weights, not the struct itself. */
void imp_network_release(imp_network *network);

#endif
