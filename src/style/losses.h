/* Style losses on additive statistics: a table of them, and for each the value and the gradient by statistic.
 *
 * With F the feature map [c, n] of one layer, s the model's feature scale and f = s F what the losses see:
 *     M = f f^T / n  second raw moments,  mu = f 1 / n  means,  C = M - mu mu^T  covariance,  sd = sqrt(diag
 * C). Primed ones are the target's: weighted means of M and mu over the style pictures (those mix linearly;
 * covariances do not).
 */
#ifndef IMP_STYLE_LOSSES_H
#define IMP_STYLE_LOSSES_H

#include "graph/plan.h"

typedef enum imp_style_part {
    IMP_STYLE_BY_SECOND = 1, /* the gradient has a part by_second F */
    IMP_STYLE_BY_SUM = 2     /* the gradient has a part by_sum 1^T */
} imp_style_part;

/* What one layer should look like, with the workspace for comparing with it. */
typedef struct imp_style_target imp_style_target;

typedef struct imp_style_loss {
    const char *name, *description;
    unsigned gradient; /* imp_style_part bits: which parts an evaluation writes */
    /* losses.c's own: what target_finish precomputes (may be NULL), and the loss at the statistics that
       evaluate put into target. */
    int (*prepare)(imp_style_target *target);
    double (*evaluate)(imp_style_target *target);
} imp_style_loss;

/* "gram", "gram-l1", "gram-normalized", "wasserstein", "mean-deviation", "gram-mean-deviation". NULL: unknown
 * name, past the last. */
const imp_style_loss *imp_style_loss_find(const char *name);
const imp_style_loss *imp_style_loss_at(int index);

int imp_style_target_create(imp_context *context, const imp_style_loss *loss, int channels, double feature_scale,
                            imp_style_target **target);

/* Bytes that a target takes, from create to the evaluations. */
uint64_t imp_style_target_measure(const imp_context *context, const imp_style_loss *loss, int channels);

/* Adds a style picture's statistics; weight > 0 counts against the other pictures' weights. */
int imp_style_target_add(imp_style_target *target, const imp_statistics *statistics, double weight);

/* After the last add and before the first evaluation. IMP_ERR_NUMERIC where the statistics are not finite. */
int imp_style_target_finish(imp_style_target *target);

/* *value is the loss (not weighted); by_second [c, c] (symmetric) and by_sum [c] are written so that
   weight * dLoss/dF = by_second F + by_sum 1^T, the feature scale and the count included; parts that the loss
   does not have (loss->gradient) are left alone and may be NULL. Parallel inside: called by the thread that
   owns the context. A value that is not finite is the caller's to act on; the status is about memory and
   arguments only. */
int imp_style_evaluate(imp_style_target *target, const imp_statistics *statistics, double weight, double *value,
                       float *by_second, float *by_sum);

void imp_style_target_free(imp_style_target *target);

#endif
