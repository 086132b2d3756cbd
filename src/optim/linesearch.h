/* A search along a ray for a step that meets the strong Wolfe conditions, one evaluation per call: scalars only. */
#ifndef IMP_OPTIM_LINESEARCH_H
#define IMP_OPTIM_LINESEARCH_H

typedef struct imp_line_point {
    double t, loss, slope; /* slope: derivative along the ray; loss infinite: the point could not be evaluated */
} imp_line_point;

typedef enum imp_line_verdict {
    IMP_LINE_TRY,   /* evaluate at search->t */
    IMP_LINE_TAKE,  /* the point just evaluated is a good step */
    IMP_LINE_BEST,  /* no good step was found; the best seen lies at search->best.t > 0, not the last one evaluated */
    IMP_LINE_FAILED /* nothing along the ray was better than its start */
} imp_line_verdict;

typedef struct imp_line_search {
    imp_line_point start, low, high, best;
    double t;    /* to be evaluated */
    int bracket; /* a good step lies between low and high */
    int trials;
} imp_line_search;

/* slope < 0; t > 0 is the first trial. */
void imp_line_search_begin(imp_line_search *search, double loss, double slope, double t);

/* loss and slope at search->t; either may be not finite. */
imp_line_verdict imp_line_search_next(imp_line_search *search, double loss, double slope);

#endif
