/* What a compiled plan consists of: nodes in the order in which they run, and the regions of
   the arena that they use. */
#ifndef IMP_GRAPH_COMPILED_H
#define IMP_GRAPH_COMPILED_H

#include "graph/backend.h"

/* What a node may hold in the arena. */
typedef enum imp_region_kind {
    IMP_REGION_VALUE,       /* the map that it writes */
    IMP_REGION_GRADIENT,    /* of the loss by that map */
    IMP_REGION_STATISTICS,  /* of a tap: sum and second moments of all pictures */
    IMP_REGION_PARTIALS,    /* scratch while statistics are taken */
    IMP_REGION_TAP_WEIGHTS, /* scratch while a gradient by statistics enters the map */
    IMP_REGION_SCRATCH,     /* of the operation, forward and backward */
    IMP_REGION_BACKWARD_SCRATCH,
    IMP_REGION_STATE, /* what forward leaves for backward */
    IMP_REGION_KINDS
} imp_region_kind;

/* A piece of the arena that is needed from moment begin to moment end, both included; floats = 0: none. */
typedef struct imp_region {
    size_t floats, offset;
    int begin, end;
    int placed;
} imp_region;

typedef enum imp_work_kind {
    IMP_WORK_FORWARD,
    IMP_WORK_STATISTICS,
    IMP_WORK_TAP_GRADIENT,
    IMP_WORK_BACKWARD,
    IMP_WORK_KINDS
} imp_work_kind;

#define IMP_KERNEL_NAME_LENGTH 48

/* What ran for a node, and how long it took. */
typedef struct imp_work_record {
    char kernel[IMP_KERNEL_NAME_LENGTH];
    int calls;
    double seconds;
    double operations; /* of one call */
} imp_work_record;

typedef struct imp_node {
    const struct imp_operation *operation;
    int layer;         /* whose name, shape and parameters it has */
    int input;         /* the node whose value it reads; -1 for the input node */
    int second;        /* the other one; -1: none */
    int level;         /* pools between the plan's input and its value */
    int reach;         /* rows on either side of an own one that the plan's output depends on: see imp_plan_needed */
    int relu;          /* the value is clamped at 0, so that its gradient is masked by value > 0 */
    int pool;          /* the layer of the 2x2 pooling that a convolution's node ends in; -1: none */
    int pooled_relu;   /* a ReLU between the two: choices are the mask */
    int tap;           /* index into the plan's taps; -1: none */
    int last_consumer; /* the last node that reads the value; -1: none */

    imp_padding padding; /* how the value's halo is filled, and where its gradient goes */
    imp_map value, gradient;
    imp_view unpooled; /* a convolution's result before its pool: a shape alone */
    imp_map choices;   /* imp_pooling's, in IMP_REGION_STATE; batch 0: none */
    imp_region regions[IMP_REGION_KINDS];
    imp_layer_weights weights[2]; /* forward and backward */

    /* Within a backward pass: whether the gradient is wanted, contributions to it that are still to come, and whether one
       was written. */
    int wanted, pending, written;
    imp_work_record work[IMP_WORK_KINDS];
} imp_node;

struct imp_plan {
    imp_context *context;
    const imp_network *network;
    const imp_backend *backend;
    imp_plan_options options; /* taps points to the plan's own copy */
    imp_tap *taps;
    int *tap_nodes; /* [tap_count] index of the node that writes the tapped map */
    imp_node *nodes;
    int node_count;
    float *arena;
    size_t arena_floats;
    size_t bytes;                /* of the plan's own memory, the arena included */
    const float *pixels;         /* of the forward pass that runs: the first row that it sees */
    float *pixel_gradient;       /* of the backward pass that runs */
    const float *styles;         /* imp_plan_set_styles */
    float **parameter_gradients; /* [parameter_count] of the caller; NULL where the plan does not train */
    size_t plane;                /* of both: floats from one plane to the next */
    int ran;                     /* a forward pass is done: statistics and kept maps are there */
    int can_go_back;             /* nothing has run since the forward pass: all values are there */

    /* Of a part (graph/strips.h): whether it is run in several windows of rows, then where its window begins in the
       picture and which of the window's rows are its own, all counted at its input; and the gradient of the part's
       whole output; view.at NULL: none. any_threads: as in backend.h. */
    int is_part, any_threads, has_windows, first_row, own_begin, own_end;
    imp_map output_gradient;
};

/* plan.c: everything but the arena and the weights: cheap, whatever the size. *plan is set on failure too, for
   imp_plan_free. part: of strips, IMP_PLAN_LIMITED where these have a memory limit. */
typedef enum imp_plan_part { IMP_PLAN_WHOLE, IMP_PLAN_PART, IMP_PLAN_LIMITED } imp_plan_part;
int imp_plan_compile(imp_context *context, const imp_network *network, const imp_plan_options *options,
                     imp_plan_part part, imp_plan **plan);

/* plan.c: points the nodes to the arena, asks the backend for weights, walks the nodes forward. again: for what
   backward reads alone, without statistics, and without a part's output where that leaves nothing for backward. */
void imp_plan_place(imp_plan *plan, float *arena);
int imp_plan_prepare(imp_plan *plan);
void imp_plan_run(imp_plan *plan, int again);

/* Makes the plan one that runs in windows, with so many rows of its own below begin others; operations are those of such
   a window from here on. */
void imp_plan_set_window(imp_plan *plan, int begin, int rows);

/* Operations of all that one forward pass does, and with backward those of one backward pass. */
double imp_plan_operations(const imp_plan *plan, int backward);

/* Bytes of weights that the plan would add to the network. */
uint64_t imp_plan_missing_weights(const imp_plan *plan);

/* backward.c: gradients as in imp_plan_backward, unchecked. Returns whether any came to the input. */
int imp_plan_run_backward(imp_plan *plan, const imp_tap_gradient *gradients);

/* Those rows of a map of the node's shape that are the plan's own. first_row: 0 for a map of the plan, plan->first_row
   for one of the whole picture. */
static inline imp_map imp_plan_own(const imp_plan *plan, const imp_node *node, const imp_map *map, int first_row) {
    if (!plan->has_windows) return *map;
    return imp_map_rows(map, (first_row + plan->own_begin) >> node->level, (first_row + plan->own_end) >> node->level);
}

/* Those rows of a map of the node's shape on which the plan's own rows depend. In a window work is done on these alone:
   in values the others are not there, in gradients they are zero, or Winograd's rounding of it. */
static inline int imp_plan_needed_begin(const imp_plan *plan, const imp_node *node) {
    int begin = (plan->own_begin >> node->level) - node->reach;

    return !plan->has_windows || begin < 0 ? 0 : begin;
}

static inline int imp_plan_needed_end(const imp_plan *plan, const imp_node *node) {
    int end = (plan->own_end >> node->level) + node->reach, height = node->value.view.height;

    return !plan->has_windows || end > height ? height : end;
}

static inline imp_map imp_plan_needed(const imp_plan *plan, const imp_node *node, const imp_map *map) {
    return imp_map_band(map, imp_plan_needed_begin(plan, node), imp_plan_needed_end(plan, node));
}

/* Whether the node's own parameters get a gradient in the backward passes from here on. */
static inline int imp_plan_trains(const imp_plan *plan, const imp_node *node) {
    const imp_layer *layer = &plan->network->layers[node->layer];
    float *const *gradients = plan->parameter_gradients;

    return gradients &&
           ((layer->weight >= 0 && gradients[layer->weight]) || (layer->bias >= 0 && gradients[layer->bias]));
}

/* plan.c: count x bytes for the plan, cleared and counted in plan->bytes; NULL with the error set. */
void *imp_plan_allocate(imp_plan *plan, size_t count, size_t bytes);

/* lowering.c: fills nodes, with shapes and layouts, for options; everything but memory. On failure imp_plan_free
   ends the plan. */
int imp_plan_lower(imp_plan *plan);

/* memory.c: fills each node's regions and places them in the arena. */
int imp_plan_lay_out(imp_plan *plan);

/* memory.c: gives each of count regions an offset, so that none that are needed at once overlap. Returns the floats of
   all together; 0: overflow. */
size_t imp_regions_place(imp_region *regions, int count);

struct imp_map_target {
    const imp_backend *backend;
    imp_map map;
    float *memory;
};

/* plan.c: one picture's part of a tap's statistics: sums [batch, channels], then second moments [batch, channels,
   channels] of a map of this shape; all zero where memory is NULL. */
imp_statistics imp_statistics_at(const imp_view *shape, int batch, const float *memory, int picture);

/* plan.c: counts a call that began at the moment `since`. */
void imp_work_record_add(imp_work_record *record, double since);

/* A node's region in the arena; NULL when it has none. */
static inline float *imp_node_region(const imp_plan *plan, const imp_node *node, imp_region_kind kind) {
    return node->regions[kind].floats ? plan->arena + node->regions[kind].offset : NULL;
}

#endif
