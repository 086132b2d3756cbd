/* What a sample of crops tells of a network: the second moments of its maps. */
#ifndef IMP_STYLE_MOMENTS_H
#define IMP_STYLE_MOMENTS_H

#include "graph/plan.h"
#include "style/recipe.h"

typedef struct imp_moments {
    int layers;
    /* [layers] of the network: [channels, channels], a mean over pixels, added up over crops; NULL for layers that are
       neither a ReLU nor a pool that is read */
    double **of;
} imp_moments;

/* Over count crops (rounded up to the recipe's batches) of the source's "sample". Released by imp_moments_release, after a
   failure too. */
int imp_moments_measure(imp_context *context, const imp_network *network, const imp_recipe *recipe, imp_element element,
                        const imp_training_source *source, int count, imp_moments *moments);
void imp_moments_release(imp_context *context, imp_moments *moments);

#endif
