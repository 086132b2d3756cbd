/* A model: a network joined with its weights, and what its file says of itself. */
#ifndef IMP_MODELS_MODEL_H
#define IMP_MODELS_MODEL_H

#include "formats/tensors.h"
#include "graph/network.h"

struct imp_model {
    imp_network network;
    char *origin, *licence; /* from network.allocator                                                               */
};

/* A network that this library knows: its layers as data. */
typedef struct imp_architecture {
    const char *name; /* "vgg19"                                                                                    */
    /* Fills layers and parameters (names and shapes, data NULL) up to and with the last convolution. */
    int (*build)(imp_context *context, imp_network *network);
} imp_architecture;
const imp_architecture *imp_architecture_find(const char *name);
const imp_architecture *imp_architecture_at(int index); /* NULL past the last                                       */

#endif
