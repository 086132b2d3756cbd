/* The strong Wolfe line search: bracketing, then narrowing with cubic interpolation (Nocedal and Wright,
   algorithms 3.5 and 3.6). */
#include "optim/linesearch.h"

#include <math.h>

#define DECREASE 1e-4    /* c1: part of the decrease by the slope that a step must bring */
#define CURVATURE 0.9    /* c2: part of the slope that may be left, the usual one for quasi-Newton directions */
#define TRIALS 12        /* evaluations of one search: each costs as much as an iteration without a search */
#define GROWTH_LEAST 2.0 /* a step that is too short is lengthened by at least this, */
#define GROWTH_MOST 10.0 /* and at most this: what is known lies far behind by then */
#define MARGIN 0.1       /* part of the bracket that a trial keeps away from its ends */
#define BACK_OFF 0.2     /* where the far end could not be evaluated, part of the bracket that is tried */
#define NARROWEST 1e-9   /* bracket's width by its end, under which losses in double no longer tell points apart */

void imp_line_search_begin(imp_line_search *search, double loss, double slope, double t) {
    imp_line_point start = {.t = 0, .loss = loss, .slope = slope};
    *search = (imp_line_search){.start = start, .low = start, .high = start, .best = start, .t = t};
}

/* The minimum of the cubic through both points with their slopes; NAN where there is none. */
static double cubic_minimum(const imp_line_point *a, const imp_line_point *b) {
    double width = b->t - a->t;
    double one = a->slope + b->slope - 3 * (b->loss - a->loss) / width;
    double square = one * one - a->slope * b->slope;
    if (!(square >= 0)) return NAN;
    double two = width > 0 ? sqrt(square) : -sqrt(square);
    return b->t - width * (b->slope + two - one) / (b->slope - a->slope + 2 * two);
}

static double extrapolate(const imp_line_point *before, const imp_line_point *here) {
    double least = here->t * GROWTH_LEAST, most = here->t * GROWTH_MOST, t = cubic_minimum(before, here);
    /* A cubic without a minimum ahead says that the loss falls on and on. */
    if (!(t > here->t)) return most;
    return fmin(fmax(t, least), most);
}

static double interpolate(const imp_line_point *low, const imp_line_point *high) {
    double width = high->t - low->t;
    if (!isfinite(high->loss) || !isfinite(high->slope)) return low->t + BACK_OFF * width;
    double part = (cubic_minimum(low, high) - low->t) / width;
    if (!isfinite(part)) part = 0.5;
    return low->t + fmin(fmax(part, MARGIN), 1 - MARGIN) * width;
}

static imp_line_verdict give_up(const imp_line_search *search) {
    if (!(search->best.t > 0)) return IMP_LINE_FAILED;
    return search->best.t == search->t ? IMP_LINE_TAKE : IMP_LINE_BEST;
}

imp_line_verdict imp_line_search_next(imp_line_search *search, double loss, double slope) {
    imp_line_point here = {.t = search->t, .loss = loss, .slope = slope};
    const imp_line_point *start = &search->start;
    int usable = isfinite(loss) && isfinite(slope);
    if (!usable) here.loss = INFINITY;
    if (usable && loss < search->best.loss) search->best = here;

    int high = !usable || loss > start->loss + DECREASE * here.t * start->slope || loss >= search->low.loss;
    if (!high && fabs(slope) <= -CURVATURE * start->slope) return IMP_LINE_TAKE;
    if (++search->trials >= TRIALS) return give_up(search);

    if (high) {
        search->high = here;
        search->bracket = 1;
    } else if (!search->bracket) {
        imp_line_point before = search->low;
        search->low = here;
        if (slope < 0) {
            search->t = extrapolate(&before, &here);
            return isfinite(search->t) ? IMP_LINE_TRY : give_up(search);
        }
        search->high = before;
        search->bracket = 1;
    } else {
        if (slope * (search->high.t - search->low.t) >= 0) search->high = search->low;
        search->low = here;
    }
    if (fabs(search->high.t - search->low.t) <= NARROWEST * fmax(search->high.t, search->low.t)) return give_up(search);
    search->t = interpolate(&search->low, &search->high);
    return IMP_LINE_TRY;
}
