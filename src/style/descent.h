/* The descent: the optimiser of one scale's picture, with what it carries from scale to scale and
   the average of its iterates. */
#ifndef IMP_STYLE_DESCENT_H
#define IMP_STYLE_DESCENT_H

#include "style/settings.h"

typedef struct imp_descent imp_descent;

/* For planes of that scale's canvas, its margin included. previous: the coarser scale's descent, whose Adam moments are
   carried over resized; NULL on the first scale. settings outlive it. */
int imp_descent_create(imp_context *context, const imp_settings *settings, int scale, const imp_descent *previous,
                       imp_descent **descent);

/* Bytes that create takes for that size. */
uint64_t imp_descent_measure(const imp_settings *settings, const imp_canvas *canvas, int history);

/* loss and gradient were evaluated at planes; moves planes. iteration: over all scales, from 0, for the schedule. */
int imp_descent_step(imp_descent *descent, int iteration, float *planes, double loss, const float *gradient);

/* The picture that this descent stands for while it is at planes: the average of iterates where the preset wants it,
   else the best evaluated point of L-BFGS, else planes. Valid until the next step; never NULL. */
const float *imp_descent_picture(const imp_descent *descent, const float *planes);

/* The last point whose loss was finite (of L-BFGS: the best one), to go back to; NULL when there was none. */
const float *imp_descent_last_good(const imp_descent *descent);

void imp_descent_free(imp_descent *descent);

#endif
