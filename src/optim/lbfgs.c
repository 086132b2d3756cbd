/* L-BFGS (Liu and Nocedal 1989): the history of pairs, the two-loop recursion, and what happens when a step
 * turns out bad. Without a line search and with first_step 0 it walks as torch.optim.LBFGS does, as long as
 * no step is bad. */
#include <math.h>

#include "base/memory.h"
#include "optim/linesearch.h"
#include "optim/optim.h"
#include "optim/vectors.h"

/* A loss over this many times the best is a bad step. PyTorch's own trajectories on style losses rise by up
   to 1.15 before they fall on, and are left alone. */
#define BAD_RISE 2.0
#define SHORTEN 0.25          /* a bad step is repeated at this part of its length */
#define PATIENCE 3            /* bad steps in a row after which the history is at fault */
#define LEAST_CURVATURE 1e-10 /* PyTorch's bound on y . s */
#define LEAST_COSINE 1e-6     /* the bound on y . s by |y| |s| otherwise: above what rounding in f32 makes of zero */

typedef enum lbfgs_state {
    AT_START, /* no point is known */
    AT_TRIAL, /* x lies at x0 + t d */
    AT_BEST   /* the same, and it was evaluated before: it is taken whatever its slope */
} lbfgs_state;

struct imp_lbfgs {
    imp_context *context;
    imp_lbfgs_options options;
    imp_vectors vectors;
    lbfgs_state state;
    float *x0, *g0, *d;  /* [n]: the last good point, its gradient, the direction from there */
    float *s, *y;        /* [history, n]: rings */
    double *rho, *alpha; /* [history] */
    int oldest, pairs;
    double scale;           /* y . s / y . P y of the last pair: this times P stands for the inverse Hessian; 0: none */
    double loss0, slope, t; /* slope: d . g0 */
    double norm_squared, norm_one; /* of g0 */
    double best_loss;
    int64_t iterations;
    int failures; /* bad steps in a row */
    imp_line_search search;
};

static float *ring_at(const imp_lbfgs *lbfgs, float *ring, int pair) {
    return ring + (size_t)((lbfgs->oldest + pair) % lbfgs->options.history) * lbfgs->vectors.n;
}

static int check_options(imp_context *context, const imp_lbfgs_options *options) {
    if (options->history < 1 || options->history > IMP_LBFGS_MAX_HISTORY)
        return imp_fail(context, IMP_ERR_ARGUMENT, "L-BFGS: a history of %d pairs; it must be 1 to %d",
                        options->history, IMP_LBFGS_MAX_HISTORY);
    if (!(options->learning_rate > 0) || !isfinite(options->learning_rate))
        return imp_fail(context, IMP_ERR_ARGUMENT, "L-BFGS: the learning rate is %g; it must be positive",
                        options->learning_rate);
    if (!(options->first_step >= 0) || !isfinite(options->first_step))
        return imp_fail(context, IMP_ERR_ARGUMENT, "L-BFGS: the first step is %g; it must not be negative",
                        options->first_step);
    return IMP_OK;
}

static int allocate(imp_lbfgs *lbfgs, size_t n) {
    imp_context *context = lbfgs->context;
    size_t history = (size_t)lbfgs->options.history, row, ring;
    if (!imp_multiply(n, sizeof(float), &row) || !imp_multiply(row, history, &ring))
        return imp_fail(context, IMP_ERR_MEMORY, "out of memory: L-BFGS with %zu pairs of %zu values", history, n);
    int status = imp_vectors_create(context, n, &lbfgs->vectors);
    if (status) return status;
    float **rows[] = {&lbfgs->x0, &lbfgs->g0, &lbfgs->d};
    for (int k = 0; k < 3; k++)
        if (!(*rows[k] = imp_allocate(context, row))) return IMP_ERR_MEMORY;
    if (!(lbfgs->s = imp_allocate(context, ring)) || !(lbfgs->y = imp_allocate(context, ring))) return IMP_ERR_MEMORY;
    if (!(lbfgs->rho = imp_allocate_zero(context, history, sizeof(double)))) return IMP_ERR_MEMORY;
    return (lbfgs->alpha = imp_allocate_zero(context, history, sizeof(double))) ? IMP_OK : IMP_ERR_MEMORY;
}

int imp_lbfgs_create(imp_context *context, size_t n, const imp_lbfgs_options *options, imp_lbfgs **lbfgs) {
    *lbfgs = NULL;
    int status = check_options(context, options);
    if (status) return status;
    imp_lbfgs *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    made->context = context;
    made->options = *options;
    made->best_loss = INFINITY;
    status = allocate(made, n);
    if (status) {
        imp_lbfgs_free(made);
        return status;
    }
    *lbfgs = made;
    return IMP_OK;
}

void imp_lbfgs_free(imp_lbfgs *lbfgs) {
    if (!lbfgs) return;
    imp_context *context = lbfgs->context;
    imp_vectors_release(&lbfgs->vectors);
    imp_release(context, lbfgs->x0);
    imp_release(context, lbfgs->g0);
    imp_release(context, lbfgs->d);
    imp_release(context, lbfgs->s);
    imp_release(context, lbfgs->y);
    imp_release(context, lbfgs->rho);
    imp_release(context, lbfgs->alpha);
    imp_release(context, lbfgs);
}

/* ---- Directions -------------------------------------------------------------------------------------------------- */

/* v becomes P v. */
static void precondition(imp_lbfgs *lbfgs, float *v) {
    if (lbfgs->options.precondition) lbfgs->options.precondition(lbfgs->options.user, v);
}

/* y . P y of the newest pair; d is free meanwhile. */
static double curvature_of_newest(imp_lbfgs *lbfgs) {
    const float *y = ring_at(lbfgs, lbfgs->y, lbfgs->pairs - 1);
    double sum;
    imp_vector_pass copy = {.out = lbfgs->d, .a = y, .scale = 1};
    imp_vectors_scale(&lbfgs->vectors, &copy);
    precondition(lbfgs, lbfgs->d);
    imp_vector_pass product = {.a = lbfgs->d, .b = y};
    imp_vectors_dot(&lbfgs->vectors, &product, &sum);
    return sum;
}

/* Keeps the pair from (x0, g0) to (x, gradient) where the curvature along it is positive. */
static unsigned take_pair(imp_lbfgs *lbfgs, const float *x, const float *gradient) {
    imp_vectors *vectors = &lbfgs->vectors;
    int relative = lbfgs->options.first_step > 0;
    imp_vector_pass pass = {.a = gradient, .b = lbfgs->g0, .c = lbfgs->d, .scale = lbfgs->t};
    if (relative) {
        pass.c = x;
        pass.d = lbfgs->x0;
    }
    double sums[IMP_VECTOR_SUMS];
    imp_vectors_pair(vectors, &pass, sums);
    double ys = sums[0], yy = sums[1], ss = sums[2];
    double least = relative ? LEAST_COSINE * sqrt(yy) * sqrt(ss) : LEAST_CURVATURE;
    if (!(ys > least) || !isfinite(1 / ys) || !isfinite(ys / yy)) return IMP_LBFGS_SKIPPED;

    if (lbfgs->pairs == lbfgs->options.history)
        lbfgs->oldest = (lbfgs->oldest + 1) % lbfgs->options.history;
    else
        lbfgs->pairs++;
    int newest = lbfgs->pairs - 1;
    imp_vector_pass difference = {.out = ring_at(lbfgs, lbfgs->y, newest), .a = gradient, .b = lbfgs->g0};
    imp_vectors_subtract(vectors, &difference);
    imp_vector_pass move = {
        .out = ring_at(lbfgs, lbfgs->s, newest), .a = relative ? x : lbfgs->d, .b = lbfgs->x0, .scale = lbfgs->t};
    if (relative)
        imp_vectors_subtract(vectors, &move);
    else
        imp_vectors_scale(vectors, &move);
    lbfgs->rho[(lbfgs->oldest + newest) % lbfgs->options.history] = 1 / ys;
    lbfgs->scale = ys / (lbfgs->options.precondition ? curvature_of_newest(lbfgs) : yy);
    return 0;
}

/* d = -P g0, and the step that suits it. */
static void set_steepest(imp_lbfgs *lbfgs) {
    double length_squared = lbfgs->norm_squared;
    imp_vector_pass pass = {.out = lbfgs->d, .a = lbfgs->g0, .scale = -1};
    imp_vectors_scale(&lbfgs->vectors, &pass);
    lbfgs->slope = -lbfgs->norm_squared;
    if (lbfgs->options.precondition) {
        precondition(lbfgs, lbfgs->d);
        imp_vector_pass product = {.a = lbfgs->d, .b = lbfgs->g0};
        imp_vectors_dot(&lbfgs->vectors, &product, &lbfgs->slope);
        product.b = lbfgs->d;
        imp_vectors_dot(&lbfgs->vectors, &product, &length_squared);
    }
    const imp_lbfgs_options *options = &lbfgs->options;
    double known = options->learning_rate * lbfgs->scale, first = INFINITY;
    if (options->first_step > 0)
        first = options->first_step * sqrt((double)lbfgs->vectors.n / length_squared);
    else if (!(known > 0))
        first = options->learning_rate * (lbfgs->iterations ? 1 : fmin(1, 1 / lbfgs->norm_one));
    lbfgs->t = known > 0 ? fmin(known, first) : first;
}

/* d = -H g0 by the two-loop recursion; each pass changes d and takes the product with the vector that comes next. */
static void set_quasi_newton(imp_lbfgs *lbfgs) {
    imp_vectors *vectors = &lbfgs->vectors;
    int history = lbfgs->options.history, newest = lbfgs->pairs - 1;
    double product;
    imp_vector_pass negate = {.out = lbfgs->d, .a = lbfgs->g0, .scale = -1};
    imp_vectors_scale(vectors, &negate);
    imp_vector_pass pass = {.out = lbfgs->d, .a = lbfgs->d, .b = ring_at(lbfgs, lbfgs->s, newest), .scale = 1};
    imp_vectors_dot(vectors, &pass, &product);
    for (int pair = newest; pair >= 0; pair--) {
        int slot = (lbfgs->oldest + pair) % history;
        lbfgs->alpha[slot] = lbfgs->rho[slot] * product;
        pass.a = ring_at(lbfgs, lbfgs->y, pair);
        pass.factor = -lbfgs->alpha[slot];
        pass.b = ring_at(lbfgs, lbfgs->s, pair ? pair - 1 : 0);
        imp_vectors_update(vectors, &pass, &product);
    }
    precondition(lbfgs, lbfgs->d);
    pass = (imp_vector_pass){.out = lbfgs->d, .b = ring_at(lbfgs, lbfgs->y, 0), .scale = lbfgs->scale};
    imp_vectors_update(vectors, &pass, &product);
    pass.scale = 1;
    for (int pair = 0; pair <= newest; pair++) {
        int slot = (lbfgs->oldest + pair) % history;
        pass.a = ring_at(lbfgs, lbfgs->s, pair);
        pass.factor = lbfgs->alpha[slot] - lbfgs->rho[slot] * product;
        pass.b = pair < newest ? ring_at(lbfgs, lbfgs->y, pair + 1) : lbfgs->g0;
        imp_vectors_update(vectors, &pass, &product);
    }
    lbfgs->slope = product;
    lbfgs->t = lbfgs->options.learning_rate;
}

static unsigned forget(imp_lbfgs *lbfgs) {
    lbfgs->pairs = 0;
    lbfgs->oldest = 0;
    set_steepest(lbfgs);
    return IMP_LBFGS_FORGOT;
}

static void move_to_step(imp_lbfgs *lbfgs, float *x) {
    imp_vector_pass pass = {.out = x, .a = lbfgs->x0, .b = lbfgs->d, .scale = lbfgs->t};
    imp_vectors_move(&lbfgs->vectors, &pass);
    lbfgs->state = AT_TRIAL;
}

static void begin_search(imp_lbfgs *lbfgs) {
    if (lbfgs->options.line_search) imp_line_search_begin(&lbfgs->search, lbfgs->loss0, lbfgs->slope, lbfgs->t);
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* The point just evaluated becomes the one to step from. */
static unsigned accept(imp_lbfgs *lbfgs, float *x, double loss, const float *gradient, const double *norms, int keep) {
    unsigned events = 0;
    if (lbfgs->state == AT_TRIAL && keep) events |= take_pair(lbfgs, x, gradient);
    imp_vector_pass point = {.out = lbfgs->x0, .a = x, .scale = 1};
    imp_vectors_scale(&lbfgs->vectors, &point);
    imp_vector_pass slope = {.out = lbfgs->g0, .a = gradient, .scale = 1};
    imp_vectors_scale(&lbfgs->vectors, &slope);
    lbfgs->loss0 = loss;
    lbfgs->norm_squared = norms[0];
    lbfgs->norm_one = norms[1];
    lbfgs->failures = 0;
    if (!(lbfgs->norm_squared > 0)) {
        lbfgs->state = AT_START;
        lbfgs->t = 0;
        return events | IMP_LBFGS_STILL;
    }
    if (!keep) {
        events |= forget(lbfgs);
    } else if (lbfgs->pairs == 0) {
        set_steepest(lbfgs);
    } else {
        set_quasi_newton(lbfgs);
        if (!(lbfgs->slope < 0) || !isfinite(lbfgs->slope)) events |= forget(lbfgs);
    }
    lbfgs->iterations++;
    begin_search(lbfgs);
    move_to_step(lbfgs, x);
    return events;
}

/* The point just evaluated is bad: a shorter step from the last good one, at last along the steepest descent. */
static unsigned put_back(imp_lbfgs *lbfgs, float *x) {
    unsigned events = IMP_LBFGS_PUT_BACK;
    lbfgs->failures++;
    if (lbfgs->failures == PATIENCE && lbfgs->pairs > 0)
        events |= forget(lbfgs);
    else
        lbfgs->t *= SHORTEN;
    move_to_step(lbfgs, x);
    return events;
}

/* Nothing along the ray was better: the steepest descent from the last good point instead. */
static unsigned restart_search(imp_lbfgs *lbfgs, float *x) {
    unsigned events = IMP_LBFGS_PUT_BACK | forget(lbfgs);
    /* A steepest descent that fails as well was too long: each failure in a row starts shorter. */
    lbfgs->t *= pow(SHORTEN, lbfgs->failures++);
    begin_search(lbfgs);
    move_to_step(lbfgs, x);
    return events;
}

static unsigned step_with_search(imp_lbfgs *lbfgs, float *x, double loss, const float *gradient, const double *norms) {
    double slope;
    imp_vector_pass pass = {.a = gradient, .b = lbfgs->d};
    imp_vectors_dot(&lbfgs->vectors, &pass, &slope);
    if (!isfinite(norms[0])) slope = NAN;
    switch (imp_line_search_next(&lbfgs->search, loss, slope)) {
    case IMP_LINE_TAKE:
        return accept(lbfgs, x, loss, gradient, norms, 1);
    case IMP_LINE_TRY:
        lbfgs->t = lbfgs->search.t;
        move_to_step(lbfgs, x);
        return IMP_LBFGS_SEARCHING | (isfinite(loss) && isfinite(slope) ? 0 : IMP_LBFGS_PUT_BACK);
    case IMP_LINE_BEST:
        lbfgs->t = lbfgs->search.best.t;
        move_to_step(lbfgs, x);
        lbfgs->state = AT_BEST;
        return IMP_LBFGS_PUT_BACK;
    case IMP_LINE_FAILED:
        break;
    }
    return restart_search(lbfgs, x);
}

int imp_lbfgs_step(imp_lbfgs *lbfgs, float *x, double loss, const float *gradient, imp_lbfgs_report *report) {
    double norms[IMP_VECTOR_SUMS];
    imp_vector_pass pass = {.a = gradient};
    imp_vectors_norms(&lbfgs->vectors, &pass, norms);
    int finite = isfinite(loss) && isfinite(norms[0]);
    if (lbfgs->state == AT_START && !finite)
        return imp_fail(lbfgs->context, IMP_ERR_NUMERIC,
                        "L-BFGS: the loss or its gradient is not finite at the start; lower the weights");
    int improved = finite && loss < lbfgs->best_loss;
    int bad = !finite || loss > lbfgs->best_loss + (BAD_RISE - 1) * fabs(lbfgs->best_loss);
    if (improved) lbfgs->best_loss = loss;

    unsigned events;
    if (lbfgs->state == AT_START)
        events = accept(lbfgs, x, loss, gradient, norms, 1);
    else if (lbfgs->state == AT_BEST)
        events = finite ? accept(lbfgs, x, loss, gradient, norms, 0) : restart_search(lbfgs, x);
    else if (lbfgs->options.line_search)
        events = step_with_search(lbfgs, x, loss, gradient, norms);
    else
        events = bad ? put_back(lbfgs, x) : accept(lbfgs, x, loss, gradient, norms, 1);
    if (report)
        *report =
            (imp_lbfgs_report){.events = events, .step = lbfgs->t, .best_loss = lbfgs->best_loss, .improved = improved};
    return IMP_OK;
}
