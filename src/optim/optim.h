/* Optimisers on flat float arrays, step-wise: the caller evaluates loss and gradient, the optimiser says
 * where to evaluate next.
 *
 * Work is cut into chunks that n alone fixes and sums are doubles added chunk by chunk, so that every result
 * is the same for any number of threads. None of the objects keeps a pointer to x or gradient between calls.
 */
#ifndef IMP_OPTIM_OPTIM_H
#define IMP_OPTIM_OPTIM_H

#include <stddef.h>
#include <stdint.h>

#include "impasto.h"

/* ---- Adam (Kingma and Ba, arXiv 1412.6980), its details as PyTorch has them -------------------------------------- */

typedef struct imp_adam imp_adam;

/* n floats; betas in [0, 1), epsilon > 0 (PyTorch's defaults: 0.9, 0.999, 1e-8). Holds 2 n floats. */
int imp_adam_create(imp_context *context, size_t n, double beta1, double beta2, double epsilon, imp_adam **adam);

/* x -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon), after m and v took in the gradient. */
void imp_adam_step(imp_adam *adam, double learning_rate, float *x, const float *gradient);

/* The moments themselves and the number of steps taken: to read them, and to fill those of a new object with
   resized ones. Any pointer may be NULL. */
void imp_adam_state(imp_adam *adam, float **m, float **v, int64_t *steps);

/* Carries a step count (>= 0) over to a new object, so that the bias correction goes on where it was. */
void imp_adam_set_steps(imp_adam *adam, int64_t steps);

/* AdamW (Loshchilov and Hutter, arXiv 1711.05101): every step multiplies x by 1 - rate * decay first. 0, as it is made:
   plain Adam, to the bit. */
void imp_adam_set_decay(imp_adam *adam, double decay);

void imp_adam_free(imp_adam *adam);

/* ---- Schedules and averages -------------------------------------------------------------------------------------- */

/* PyTorch's StepLR: initial * gamma^(iteration / step_size), iteration from 0. step_size <= 0: no decay. */
double imp_step_lr(double initial, int64_t step_size, double gamma, int64_t iteration);

typedef enum imp_schedule_kind {
    IMP_SCHEDULE_CONSTANT,
    IMP_SCHEDULE_STEP,  /* imp_step_lr */
    IMP_SCHEDULE_COSINE /* half a wave from the initial rate down to its least share (arXiv 1608.03983, no restarts) */
} imp_schedule_kind;

typedef struct imp_schedule {
    imp_schedule_kind kind;
    double initial;    /* the rate after the warm-up */
    int64_t warm_up;   /* steps over which the rate rises evenly, the last of them at initial; 0: none */
    int64_t steps;     /* of the whole, the warm-up too */
    int64_t step_size; /* IMP_SCHEDULE_STEP: counted from the end of the warm-up */
    double gamma;
    double least; /* IMP_SCHEDULE_COSINE: the share of initial that the rate tends to */
} imp_schedule;

/* The rate of a step, from 0 on. */
double imp_schedule_rate(const imp_schedule *schedule, int64_t step);

/* Gradients of several arrays, as training has one for each parameter. */
typedef struct imp_gradients {
    float *const *arrays; /* [count]; NULL: left out */
    const size_t *lengths;
    double *squares; /* [count], for the sums of each */
    int count;
} imp_gradients;

/* The norm of all together; where it is finite and over most, all are scaled down to that, as
   torch.nn.utils.clip_grad_norm_ does. most 0: they stay. */
double imp_clip_norm(imp_context *context, const imp_gradients *gradients, double most);

/* Exponential average of iterates without the bias of its start: average = sum of decay^(step - k) x_k over
   the sum of those weights, k = 1..step. step counts from 1; at step 1 average becomes x. decay in [0, 1). */
void imp_average_add(imp_context *context, size_t n, double decay, int64_t step, const float *x, float *average);

/* ---- L-BFGS (Nocedal and Wright, Numerical Optimization, chapters 3 and 7) --------------------------------------- */

typedef struct imp_lbfgs imp_lbfgs;

typedef struct imp_lbfgs_options {
    int history;          /* pairs kept, 1..IMP_LBFGS_MAX_HISTORY */
    int line_search;      /* 0: every step is learning_rate long, as torch.optim.LBFGS; 1: strong Wolfe */
    double learning_rate; /* > 0; 1 is the method's own */
    /* The first step, and each one along the steepest descent, moves x by this root-mean-square. 0: PyTorch's
       rule instead, min(1, 1 / |g|_1) times learning_rate, and PyTorch's absolute bound 1e-10 for keeping a
       pair: both depend on the scale of the loss. */
    double first_step;
    /* Turns v [n] into P v in place, P symmetric and positive definite: what the inverse Hessian is taken for, times a
       number, before the pairs correct it. NULL: P = 1. Never fails; user is its first argument. */
    void (*precondition)(void *user, float *v);
    void *user;
} imp_lbfgs_options;

#define IMP_LBFGS_MAX_HISTORY 200

/* What a step did besides stepping; bits. */
typedef enum imp_lbfgs_event {
    IMP_LBFGS_PUT_BACK = 1,  /* the point just evaluated was bad: x is a shorter step from the last good point */
    IMP_LBFGS_FORGOT = 2,    /* the history was dropped; the step is along the steepest descent */
    IMP_LBFGS_SKIPPED = 4,   /* the curvature along the last step was not positive: its pair was not kept */
    IMP_LBFGS_SEARCHING = 8, /* line search: the point just evaluated was a trial that did not end the search */
    IMP_LBFGS_STILL = 16     /* the gradient is zero: x was not moved */
} imp_lbfgs_event;

typedef struct imp_lbfgs_report {
    unsigned events;
    double step;      /* length along the direction that x now lies at */
    double best_loss; /* least finite loss seen by this object; infinite when none */
    int improved;     /* the point just evaluated is that best */
} imp_lbfgs_report;

/* Holds (2 history + 3) n floats. For a picture of another size make a new one. */
int imp_lbfgs_create(imp_context *context, size_t n, const imp_lbfgs_options *options, imp_lbfgs **lbfgs);

/* loss and gradient were evaluated at x; moves x to the next point to evaluate. A loss or gradient that is
   not finite, or a loss far above the best, puts x back to a shorter step from the last good point; after a
   few of those the history is dropped. The first evaluation must be finite: IMP_ERR_NUMERIC otherwise, x
   unchanged. report may be NULL. */
int imp_lbfgs_step(imp_lbfgs *lbfgs, float *x, double loss, const float *gradient, imp_lbfgs_report *report);

void imp_lbfgs_free(imp_lbfgs *lbfgs);

#endif
