/* The budget: what a painting takes in memory at each scale, and how it keeps within a limit: by the cheapest way to run
 * the network that fits (graph/strips.h), and where none does, or only with much more work, by fewer pairs of L-BFGS. */
#ifndef IMP_STYLE_BUDGET_H
#define IMP_STYLE_BUDGET_H

#include "style/criterion.h"

typedef struct imp_budget {
    imp_context *context;
    int photos;               /* painted together */
    imp_settings *settings;   /* whose scales are filled in: history, memory, windows, operations */
    const imp_canvas *styles; /* [style_count] the sizes that the final scale wants */
    int style_count;
    uint64_t limit; /* bytes for all of the painting; 0: none */
} imp_budget;

/* Fills in the scale, and tells the most bytes that are held while it is at work. IMP_ERR_MEMORY where even the least
   is over the limit. */
int imp_budget_scale(const imp_budget *budget, int scale, uint64_t *bytes);

/* Logs how the scale keeps to the memory limit, where it has to do something for it. */
void imp_budget_tell(imp_context *context, const imp_settings *settings, const imp_scale *scale);

#endif
