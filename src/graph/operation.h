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
    int fuses_relu; /* forward can apply a ReLU at its end */

    /* The shape of the value that layer makes from a map of in's shape, into channels, height and width of out.
       IMP_ERR_ARGUMENT with the error set when no pixel is left, IMP_ERR_UNSUPPORTED when a plan with backward
       cannot have it. */
    int (*shape)(const imp_plan *plan, const imp_layer *layer, const imp_view *in, imp_view *out);
    /* Halo pixels that forward reads around its input's value, and backward around
       its output's gradient; NULL: none. */
    int (*value_halo)(const imp_plan *plan, const imp_layer *layer);
    int (*gradient_halo)(const imp_plan *plan, const imp_node *node);
    /* Whether backward reads the value of the node's input. */
    int (*backward_reads_input)(const imp_plan *plan);
    /* Weights that the node needs from the backend; NULL: none. */
    int (*prepare)(imp_plan *plan, imp_node *node);
    /* Floats of scratch that forward, or backward, takes; NULL: none. */
    size_t (*scratch)(const imp_plan *plan, const imp_node *node, int backward);
    /* Floating-point operations of one pass over a picture; backward has as many. */
    double (*operations)(const imp_layer *layer, const imp_view *in, const imp_view *out);

    void (*forward)(imp_plan *plan, const imp_node *node);
    /* From node->gradient to its input's gradient. */
    void (*backward)(imp_plan *plan, const imp_node *node, const imp_contribution *contribution);
} imp_operation;

const imp_operation *imp_operation_find(imp_operation_kind kind); /* NULL: unknown */

/* The input of a part of a network: a map that whoever runs the plan keeps. It has neither forward nor backward. */
extern const imp_operation imp_operation_kept;

/* What a convolution's node asks of the backend; backward without its contribution. */
imp_map_convolution imp_convolution_job(const imp_plan *plan, const imp_node *node, int backward);

/* Whether the halo of the input's map repeats its edge, so that its gradient comes back to the edge. */
int imp_plan_replicates(const imp_plan *plan);

#endif
