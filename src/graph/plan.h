/* A plan: a network compiled for one shape, batch and set of taps; forward, losses' statistics, backward to the pixels.
 *
 * Compiling lowers the layers up to the last tap to fused nodes (convolution + bias + ReLU; ReLU mask in backward),
 * gives each tensor its layout (blocked with a halo, kernels/kernels.h), places all of them in one arena by
 * liveness, and asks the backend for the kernels.
 *
 * Losses are statistics: a tap yields sums that add over strips, tiles and pictures of a batch. style/ maps them to
 * a loss and to a gradient by statistic, and backward brings that into the feature map. A tap that is used as a map
 * (content) is compared with a kept target. */
#ifndef IMP_GRAPH_PLAN_H
#define IMP_GRAPH_PLAN_H

#include "graph/network.h"

typedef struct imp_plan imp_plan;

typedef enum imp_tap_use {
    IMP_TAP_STATISTICS = 1,
    IMP_TAP_MAP = 2,    /* keep the map for imp_plan_map_loss and imp_plan_copy_map */
    IMP_TAP_OUTPUT = 4, /* the last layer of a part of the network: graph/strips.h */
    IMP_TAP_PLANES = 8  /* a picture: its map is read, and its gradient given, as planes */
} imp_tap_use;

typedef struct imp_tap {
    int layer;    /* of the network */
    unsigned use; /* imp_tap_use bits */
} imp_tap;

typedef struct imp_plan_options {
    int batch, height, width;
    const imp_tap *taps; /* each layer at most once */
    int tap_count;
    imp_pool_kind pooling;
    float average_scale;       /* multiplies averages (2 keeps the scale of activations); 1 is plain */
    imp_padding first_padding; /* of layers that read the input, where these say zero; REFLECT is not for this */
    imp_element element;       /* of all maps and their gradients; bf16 is half the memory */
    int backward;              /* 0: activations are freed as soon as nothing needs them */
    int training;              /* with backward: the gradients are by the parameters, not by the pixels */
    int input_layer;           /* not 0: a part of the network from this layer's output on, of that height and width */
} imp_plan_options;

/* Additive statistics of one picture's feature map F [channels, count]. */
typedef struct imp_statistics {
    int channels;
    double count;        /* pixels summed over */
    const float *sum;    /* [channels] */
    const float *second; /* [channels, channels], F F^T, symmetric */
} imp_statistics;

/* A feature map kept outside a plan, [batch, channels, height, width] in the plan's own layout. */
typedef struct imp_map_target imp_map_target;
void imp_map_target_free(imp_context *context, imp_map_target *target);

/* The gradient of the loss by one tap of one picture: dLoss/dF = by_second F + by_sum 1^T + map_weight (F - target). */
typedef struct imp_tap_gradient {
    const float *by_second; /* [channels, channels], symmetric, or NULL */
    const float *by_sum;    /* [channels], or NULL */
    float map_weight;       /* 0: no map loss */
    const imp_map_target *target;
    const float *planes; /* of a tap with IMP_TAP_PLANES: dLoss/dplanes, [3, height, width]; NULL: none */
} imp_tap_gradient;

/* The memory that a plan of these options takes, in bytes, and its floating-point operations for one forward (and, with
   options->backward, one backward) pass, without making it. bytes includes the packed weights it would add to the
   network. IMP_ERR_ARGUMENT: a picture too small for the network's pools up to the last tap, a size out of range. */
int imp_plan_measure(imp_context *context, const imp_network *network, const imp_plan_options *options, uint64_t *bytes,
                     double *operations);

int imp_plan_create(imp_context *context, const imp_network *network, const imp_plan_options *options, imp_plan **plan);
void imp_plan_free(imp_plan *plan);

/* pixels: [batch, 3, height, width] floats, RGB planes, 0..255. */
void imp_plan_forward(imp_plan *plan, const float *pixels);

/* How much of each style the pictures have, [batch, styles], for the norms of the passes that follow; kept by the caller.
   NULL, as at first: all of the first style. */
void imp_plan_set_styles(imp_plan *plan, const float *styles);

/* Where the gradient by a parameter, summed over the batch, is added to in backward passes: as many floats as the
   parameter has, kept by the caller. NULL, as at first: nowhere; what leads only to such parameters is not computed. */
void imp_plan_set_parameter_gradient(imp_plan *plan, int parameter, float *gradient);

/* Between forward and backward: mean and variance (as of n - 1 values) of each channel over the batch, as the batch norm in a
   layer saw them; returns 0, and writes nothing, when it does not train, so that it took those that are kept. */
int imp_plan_batch_moments(const imp_plan *plan, int layer, float *mean, float *variance);

/* After forward. tap: index into options->taps. Valid until the next forward, over a backward too; all zero for a
   tap without IMP_TAP_STATISTICS. A NaN on the way shows in the sums. */
imp_statistics imp_plan_statistics(const imp_plan *plan, int tap, int picture);

/* A copy of a tap's map, to be a target. Like the next two it needs IMP_TAP_MAP and a forward pass before it; the
   map stays until the next. */
int imp_plan_copy_map(imp_plan *plan, int tap, imp_map_target **target);

/* IMP_ERR_ARGUMENT: the target's shape or batch is not that of the tap's map. */
int imp_plan_check_target(const imp_plan *plan, int tap, const imp_map_target *target);

/* Sum of (F - target)^2 over one picture, and over how many values. NaN with the error set for a target that does not pass
   imp_plan_check_target; without, for maps that are not finite. */
double imp_plan_map_loss(imp_plan *plan, int tap, int picture, const imp_map_target *target, double *values);

/* The map as plain [channels, height, width] floats, for tests and tools; out holds imp_plan_tap_shape's product. */
void imp_plan_tap_shape(const imp_plan *plan, int tap, int *channels, int *height, int *width);
void imp_plan_read_map(const imp_plan *plan, int tap, int picture, float *out);

/* The map of a tap with IMP_TAP_PLANES, of factor x factor pixels in 3 factor^2 channels as PyTorch's PixelShuffle has them
   and on the scale -1..1, as planes on 0..255 that may lie outside. planes: [batch, 3, height, width]. */
void imp_plan_read_planes(const imp_plan *plan, int tap, float *planes);

/* gradients: [tap_count * batch], picture fastest; all zero where a tap of a picture has none. pixel_gradient:
   [batch, 3, height, width], written; NULL for a plan that trains. Once after each forward, whose maps it overwrites.
   IMP_ERR_ARGUMENT for a target of another shape. */
int imp_plan_backward(imp_plan *plan, const imp_tap_gradient *gradients, float *pixel_gradient);

/* What ran, for --verbose, summed over all calls so far: forward's nodes in their order, then backward's. Returns 0
   past the last. */
int imp_plan_profile(const imp_plan *plan, int index, imp_node_profile *profile);

#endif
