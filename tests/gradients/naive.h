/* What the graph engine is tested against: networks made of random weights, and the plainest way to run them, in
 * double precision, layer by layer, without blocks, halos or fusion. */
#ifndef IMP_TESTS_NAIVE_H
#define IMP_TESTS_NAIVE_H

#include "base/random.h"
#include "graph/plan.h"

typedef struct naive_layer {
    imp_operation_kind kind;
    int input, channels; /* channels: of convolutions; others have their input's */
    int kernel, padding;
    const char *name; /* NULL: "layer" and its number */
} naive_layer;

/* Fills network with these layers and weights that keep the size of values about the same from layer to layer. A layer
   0 of pixels comes in front of the given ones, so that their numbers begin at 1. Ends the test on failure. */
void naive_network_make(imp_context *context, imp_network *network, const naive_layer *layers, int count,
                        uint64_t seed);

/* The layers of VGG19 up to relu5_1, channels divided by divisor; returns how many. */
int naive_vgg19(naive_layer layers[64], int divisor);

/* Memory of test data: cleared, and the test ends when there is none. */
void *naive_allocate(size_t count, size_t bytes);

typedef struct naive_map {
    int channels, height, width;
    size_t floats;    /* of one picture */
    double *value;    /* [batch, channels, height, width] */
    double *gradient; /* the same, of the loss */
} naive_map;

typedef struct naive_run {
    const imp_network *network;
    const imp_plan_options *options;
    naive_map *maps; /* one for each layer */
} naive_run;

void naive_start(naive_run *run, const imp_network *network, const imp_plan_options *options);
void naive_forward(naive_run *run, const double *pixels);
/* Adds up gradients of all layers, beginning with what the caller left in maps[].gradient; pixel_gradient is
   written. */
void naive_backward(naive_run *run, double *pixel_gradient);
void naive_end(naive_run *run);

/* ---- A loss whose gradient has every kind of term ---------------------------------------------------------------- */

/* sum over taps and pictures of  1/2 <by_second, F F^T> + <by_sum, F 1> + map_weight / 2 |F - target|^2 */
typedef struct naive_term {
    float *by_second, *by_sum; /* NULL: none */
    float map_weight;
    double *target; /* [channels, height, width]; used when map_weight is not 0 */
} naive_term;

/* terms: [tap_count, batch]. */
double naive_loss(const naive_run *run, const naive_term *terms);
/* Writes the loss's gradient by each tap's map into maps[].gradient, and zeros elsewhere. */
void naive_loss_gradient(naive_run *run, const naive_term *terms);

#endif
