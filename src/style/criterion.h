/* The criterion: what one scale's pictures are compared with, and how far off they are. A part for each network, with a
 * plan for that size, each photo's content, the styles' statistics, which all of them share; in go planes, out come
 * losses of each picture and the gradient by pixel. */
#ifndef IMP_STYLE_CRITERION_H
#define IMP_STYLE_CRITERION_H

#include "style/loss_part.h"

typedef struct imp_criterion imp_criterion;

/* For batch pictures of width x height. settings and what the list of networks points to outlive the criterion. */
int imp_criterion_create(imp_context *context, imp_loss_networks networks, const imp_settings *settings, int batch,
                         int width, int height, imp_criterion **criterion);

/* What a criterion takes: with its content, in the cheapest way within memory bytes (0: no limit), or the one that takes
   the least where there is none. operations: of one evaluation. */
int imp_criterion_measure(imp_context *context, imp_loss_networks networks, const imp_settings *settings, int batch,
                          int width, int height, uint64_t memory, imp_strips_cost *cost);

/* The same while a style of that size is added. */
int imp_criterion_measure_style(imp_context *context, imp_loss_networks networks, const imp_settings *settings,
                                int batch, int width, int height, int style_width, int style_height, uint64_t memory,
                                imp_strips_cost *cost);

/* style: planes [3, height, width] on 0..255, of any size that reaches the deepest style layer. memory: that the
   criterion may take meanwhile; 0: no limit. */
int imp_criterion_add_style(imp_criterion *criterion, const float *style, int width, int height, double weight,
                            uint64_t memory);

/* Once, after the last style. */
int imp_criterion_finish_styles(imp_criterion *criterion);

/* content: planes [batch, 3, height, width] of the criterion's own size. Once, after the styles; again only where it
   failed. memory: that the criterion may take from now on; 0: no limit. */
int imp_criterion_set_content(imp_criterion *criterion, const float *content, uint64_t memory);

/* Losses [batch] at planes [batch, 3, height, width]; gradient of each picture's objective by its planes, written: of
   the total, with the content's part times lead. */
int imp_criterion_evaluate(imp_criterion *criterion, const float *planes, double lead, imp_losses *losses,
                           float *gradient);

int imp_criterion_profile(const imp_criterion *criterion, int index, imp_node_profile *profile);

void imp_criterion_free(imp_criterion *criterion);

#endif
