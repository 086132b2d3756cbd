/* A plan and its naive twin on the same random pixels and the same loss: what the graph tests compare. */
#ifndef IMP_TESTS_FIXTURE_H
#define IMP_TESTS_FIXTURE_H

#include "gradients/naive.h"

/* A context whose memory is full of NaN when it is handed out, so that reading what nobody wrote shows. */
imp_context *fixture_context(int threads, const char *instruction_set);

typedef struct fixture_case {
    const char *name;
    const naive_layer *layers;
    int layer_count;
    const imp_tap *taps;
    int tap_count;
    int batch, height, width;
    imp_pool_kind pooling;
    float average_scale;
    imp_padding padding;
    imp_element element;
} fixture_case;

typedef struct fixture {
    imp_context *context;
    imp_network network;
    imp_plan_options options;
    imp_plan *plan;
    naive_run naive;
    size_t pixel_count; /* of all pictures, 3 channels */
    float *pixels;
    imp_map_target **targets; /* [tap_count]; NULL where no map is compared */
    naive_term *terms;        /* [tap_count, batch]: every kind of term that the tap's use allows */
} fixture;

/* VGG19's own layers, 64 at most, with an eighth of its channels, and taps where the classic method has them; the size
   and the rest are for the caller to fill in. */
fixture_case fixture_vgg19(naive_layer *layers);

/* Another's network with packed weights of its own, from the context's allocator; what is returned is released. */
imp_network fixture_borrow_network(const imp_network *network, const imp_context *context);
void fixture_return_network(imp_network *network);

/* Makes everything and runs both forward. Ends the test on failure. */
void fixture_make(fixture *made, imp_context *context, const fixture_case *what, uint64_t seed);
void fixture_free(fixture *made);

/* Backward of the plan with the terms as they are; gradient has pixel_count floats. */
void fixture_backward(fixture *made, float *gradient);

/* Forward of the naive twin at pixels + step * direction, and its loss. */
double fixture_loss_at(fixture *made, double step, const float *direction);

/* Greatest difference, in units of the root mean square of expected. */
double fixture_error(const float *values, const double *expected, size_t count);

#endif
