/* The table of operations: shape, halo, forward and backward of each, together. A new kind of layer
   is one more row here. */
#ifndef IMP_GRAPH_OPERATION_H
#define IMP_GRAPH_OPERATION_H

#include "graph/compiled.h"

/* How a node's backward shall bring its part into the gradient of its input's map. */
typedef struct imp_contribution {
    int accumulate;      /* others were there before */
    const imp_map *mask; /* the input's whole value, where the ReLU's mask is to be applied; else NULL */
} imp_contribution;

typedef struct imp_operation {
    const char *name;
    int inputs;      /* 2: reads the layer's second input too */
    int fuses_relu;  /* forward can apply a ReLU at its end */
    int fuses_pool;  /* and 2x2 pooling after that, where no gradients by parameters are wanted */
    int any_windows; /* can run in windows of rows: graph/strips.h */

    /* The shape of the value that layer makes from maps of in's and second's shapes, into channels, height and width of
       out. IMP_ERR_ARGUMENT with the error set when no pixel is left or the shapes do not fit. */
    int (*shape)(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                 imp_view *out);
    /* Halo pixels that forward reads around its input's value, and backward around
       its output's gradient; NULL: none. */
    int (*value_halo)(const imp_plan *plan, const imp_layer *layer);
    int (*gradient_halo)(const imp_plan *plan, const imp_node *node);
    /* Whether backward reads the values of the node's inputs; NULL: no. */
    int (*backward_reads_inputs)(const imp_plan *plan, const imp_node *node);
    /* Weights that the node needs from the backend; NULL: none. */
    int (*prepare)(imp_plan *plan, imp_node *node);
    /* Floats of scratch that forward, or backward, takes; NULL: none. */
    size_t (*scratch)(const imp_plan *plan, const imp_node *node, int backward);
    /* Floats that forward leaves for backward; NULL, or 0: none. */
    size_t (*state)(const imp_plan *plan, const imp_node *node);
    /* Floating-point operations of one pass over a picture; backward by the input has as many. */
    double (*operations)(const imp_layer *layer, const imp_view *in, const imp_view *out);

    void (*forward)(imp_plan *plan, const imp_node *node);
    /* From node->gradient to the gradients by its parameters, which it adds to; NULL: it has none. Before backward. */
    void (*parameter_gradients)(imp_plan *plan, const imp_node *node);
    /* From node->gradient to the gradient of its input, or with second of its second input. */
    void (*backward)(imp_plan *plan, const imp_node *node, int second, const imp_contribution *contribution);
} imp_operation;

const imp_operation *imp_operation_find(imp_operation_kind kind); /* NULL: unknown */

/* The input of a part of a network: a map that whoever runs the plan keeps. It has neither forward nor backward. */
extern const imp_operation imp_operation_kept;

/* What a convolution's node asks of the backend; backward without its contribution. */
imp_map_convolution imp_convolution_job(const imp_plan *plan, const imp_node *node, int backward);

/* The pooling that a node does or ends in, of windows [begin, end) of its value, or of the gradient of this. */
imp_map_pooling imp_pooling_job(const imp_plan *plan, const imp_node *node, const imp_map *windows, int begin, int end);

/* Floats of the node's choices: a state of operations. */
size_t imp_choices_floats(const imp_plan *plan, const imp_node *node);

/* The rows of a table, by the files that they are in. */
extern const imp_operation imp_operation_input;
extern const imp_operation imp_operation_convolution;
extern const imp_operation imp_operation_relu, imp_operation_activation, imp_operation_add, imp_operation_concat,
    imp_operation_scale;
extern const imp_operation imp_operation_pool, imp_operation_max_pool, imp_operation_average;
extern const imp_operation imp_operation_norm;
extern const imp_operation imp_operation_enlarge, imp_operation_resize, imp_operation_shuffle, imp_operation_unshuffle;

/* Shape rule and operations of what changes values only. */
int imp_same_shape(const imp_plan *plan, const imp_layer *layer, const imp_view *in, const imp_view *second,
                   imp_view *out);
double imp_one_operation(const imp_layer *layer, const imp_view *in, const imp_view *out);

/* Backward of what reads its input's value. */
int imp_reads_inputs(const imp_plan *plan, const imp_node *node);

/* Numbers of one kind for the channels, in whole blocks, of all pictures. */
static inline size_t imp_plan_channels(const imp_plan *plan, const imp_node *node) {
    return (size_t)plan->options.batch * (size_t)imp_blocks(node->value.view.channels) * IMP_BLOCK;
}

static inline const imp_layer *imp_node_layer(const imp_plan *plan, const imp_node *node) {
    return &plan->network->layers[node->layer];
}

static inline const imp_node *imp_node_input(const imp_plan *plan, const imp_node *node, int second) {
    return &plan->nodes[second ? node->second : node->input];
}

#endif
