/* Strips: a network run over a picture within a memory limit, forward, losses' statistics, backward to the pixels; the
 * result is that of one plan (plan.h) up to rounding.
 *
 * The network is cut at some of its pools into parts. What is kept for the whole picture is the input of each part (and
 * in backward the gradients of two of them). Inside a part work goes in windows: some rows of its own and as many more
 * around them as the part's kernels reach. A window's maps are made, what is wanted of its own rows (the statistics of
 * taps, the losses of maps, the part's output) is added to the whole, and the maps are forgotten; backward makes them
 * once more, takes the gradients of the own rows through them, and adds the result to the gradient of the part's input.
 * Every value that an own row depends on is right, since it lies in the window with all that it depends on itself.
 *
 * That is gradient checkpointing (Chen et al., arXiv 1604.06174) and tiling with global statistics (Galerne et al.,
 * arXiv 2212.13459) in one. With memory for everything there is one part of one window, which is computed once. */
#ifndef IMP_GRAPH_STRIPS_H
#define IMP_GRAPH_STRIPS_H

#include "graph/plan.h"

#define IMP_MAX_PARTS 8

typedef struct imp_strips imp_strips;

/* What a way of running takes. */
typedef struct imp_strips_cost {
    uint64_t bytes;           /* of memory, with the targets and the weights that would be added to the network */
    double operations;        /* of one forward (and, with options->backward, one backward) pass */
    double forward;           /* of them, those of a forward pass alone */
    int parts, windows;       /* windows: of all parts; 1: nothing is computed twice */
    const imp_network *uncut; /* the network, where it is of a kind that runs whole only; else NULL */
} imp_strips_cost;

/* The cheapest way that takes no more than memory bytes (0: no limit); where there is none, the one that takes the
   least. options as for imp_plan_measure, with no more batches than fit an int; the errors are the same. */
int imp_strips_measure(imp_context *context, const imp_network *network, const imp_plan_options *options,
                       uint64_t memory, imp_strips_cost *cost);

/* The same way, made. */
int imp_strips_create(imp_context *context, const imp_network *network, const imp_plan_options *options,
                      uint64_t memory, imp_strips **strips);
void imp_strips_free(imp_strips *strips);

/* A forward pass over pixels [batch, 3, height, width] that keeps the map of each tap with IMP_TAP_MAP as its target. */
void imp_strips_keep_targets(imp_strips *strips, const float *pixels);

/* After targets were kept, where there are taps with IMP_TAP_MAP. */
void imp_strips_forward(imp_strips *strips, const float *pixels);

/* As imp_plan_statistics; valid until the next pass of any kind. */
imp_statistics imp_strips_statistics(const imp_strips *strips, int tap, int picture);

/* After forward: the sum of (F - target)^2 over one picture, and over how many values. */
double imp_strips_map_loss(const imp_strips *strips, int tap, int picture, double *values);

/* As imp_plan_backward, with the pixels of the forward pass before it. Targets are the kept ones, whatever
   gradients[].target is. */
int imp_strips_backward(imp_strips *strips, const imp_tap_gradient *gradients, const float *pixels,
                        float *pixel_gradient);

/* As imp_plan_profile: forward's nodes in their order, then backward's. What was computed twice counts twice. */
int imp_strips_profile(const imp_strips *strips, int index, imp_node_profile *profile);

#endif
