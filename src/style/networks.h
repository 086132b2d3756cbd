/* The networks that a painting's losses look at, and at which of their layers. */
#ifndef IMP_STYLE_NETWORKS_H
#define IMP_STYLE_NETWORKS_H

#include "graph/plan.h"
#include "models/model.h"
#include "style/preset.h"

#define IMP_MAX_LOSS_LAYERS 64 /* more than any network here has */
#define IMP_MAX_WEIGHT 1e15    /* of a loss; beyond it, f32 gradients overflow whatever the picture */

typedef struct imp_loss_layer {
    int layer; /* of the network */
    double weight;
} imp_loss_layer;

/* A network's part in the losses. Weights of layers are those within the network times its own. */
typedef struct imp_loss_network {
    const imp_network *network;
    imp_loss_layer content[IMP_MAX_LOSS_LAYERS], style[IMP_MAX_LOSS_LAYERS];
    int content_count, style_count;
} imp_loss_network;

/* Networks whose losses are added; kept by whoever made the list. */
typedef struct imp_loss_networks {
    const imp_loss_network *each;
    int count;
} imp_loss_networks;

/* "conv1_1:256,layer2.3" into the layers of one of several models, each of which takes those that it has; a name that
   none of them has is an error. Lists that the options leave open are the network's own, or the preset's. */
int imp_loss_network_resolve(imp_context *context, const imp_weighted_model *models, int count, int index,
                             const imp_painting_options *options, const imp_preset *preset, imp_loss_network *out);

/* The tap of a layer among taps [count], which grows by it when it is new; its index. Layers may serve several losses. */
int imp_taps_add(imp_tap *taps, int *count, int layer, unsigned use);

/* The shortest side that reaches a layer: a pixel is left after the pools and strides before it. */
int imp_layer_least_side(const imp_network *network, int layer);

/* The same for the deepest of all its layers. */
int imp_loss_network_least_side(const imp_loss_network *network);

#endif
