/* What a sample of crops tells of a network: the second moments of its maps. */
#ifndef IMP_STYLE_MOMENTS_H
#define IMP_STYLE_MOMENTS_H

#include "graph/plan.h"

typedef struct imp_moments {
    int layers;
    double *
        *of; /* [layers] of the network: [channels, channels], a mean over pixels, added up over crops; NULL for layers
                    that are neither a ReLU nor a pool */
} imp_moments;

/* Over count crops (rounded up to whole batches) of the source's "sample". how: size, batch, padding and type of maps; its
   taps are ours. Released by imp_moments_release, after a failure too. */
int imp_moments_measure(imp_context *context, const imp_network *network, const imp_plan_options *how,
                        const imp_training_source *source, int count, imp_moments *moments);
void imp_moments_release(imp_context *context, imp_moments *moments);

#endif
