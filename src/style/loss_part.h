/* One network's part in a criterion: its taps, the styles' statistics and each photo's content there, the losses and their
 * gradient by pixel. */
#ifndef IMP_STYLE_LOSS_PART_H
#define IMP_STYLE_LOSS_PART_H

#include "graph/strips.h"
#include "style/settings.h"

typedef struct imp_losses {
    double total, content, style; /* content and style before their weights */
    double variation;
    double objective; /* what the gradient is of: total, with the content's lead */
} imp_losses;

typedef struct imp_loss_part imp_loss_part;

/* Of batch pictures of width x height. settings and network outlive the part. */
int imp_loss_part_create(imp_context *context, const imp_loss_network *network, const imp_settings *settings, int batch,
                         int width, int height, imp_loss_part **part);

/* Bytes that create takes. */
uint64_t imp_loss_part_bytes(imp_context *context, const imp_loss_network *network, const imp_settings *settings,
                             int batch);

/* What running the network takes beside those, with memory bytes for it (0: no limit): for the pictures, and, where
   is_style is not 0, for one style picture of that size. */
int imp_loss_part_measure(imp_context *context, const imp_loss_network *network, const imp_settings *settings,
                          int batch, int width, int height, int is_style, uint64_t memory, imp_strips_cost *cost);

/* As of a criterion; memory: for running the network. */
int imp_loss_part_add_style(imp_loss_part *part, const float *style, int width, int height, double weight,
                            uint64_t memory);
int imp_loss_part_finish_styles(imp_loss_part *part);
int imp_loss_part_set_content(imp_loss_part *part, const float *content, uint64_t memory);

/* Adds content and style to losses [batch]; writes the gradient. */
int imp_loss_part_evaluate(imp_loss_part *part, const float *planes, double lead, imp_losses *losses, float *gradient);

int imp_loss_part_profile(const imp_loss_part *part, int index, imp_node_profile *profile);
void imp_loss_part_free(imp_loss_part *part);

#endif
