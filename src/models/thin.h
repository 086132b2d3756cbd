/* `thin`: VGG19's features from a fifteenth of its work, taught by VGG19 (after Wang et al., arXiv 2003.08436, and Chiu and
 * Gurari, CVPR 2022).
 *
 * The layers of VGG19 with fewer channels, and a readout at each layer that losses look at: a 1x1 convolution without a ReLU
 * to the leading directions U of the uncentred second moments of VGG19's map F there. It is taught to be s U^T F, with s
 * so chosen that a loss with VGG19's weights has VGG19's size: what U does not hold of a Gram matrix is small, and
 *     gram loss of k directions = s^4 / k^4 |U^T (G - A) U|^2    beside    1 / c^4 |G - A|^2:  s = k / c
 *     content loss              = s^2 / k |U^T (F - C)|^2        beside    1 / c |F - C|^2:    s = sqrt(k / c)
 * The first layer has filters of VGG19's own, those that tell all others best; they do not train. */
#ifndef IMP_MODELS_THIN_H
#define IMP_MODELS_THIN_H

#include "models/model.h"

extern const imp_architecture_option imp_thin_options[];
int imp_thin_build(imp_context *context, const int *options, imp_network *network);

/* A readout: the layer's name, in the student and in VGG19, and how many directions. */
typedef struct imp_thin_readout {
    const char *layer;
    int directions, channels; /* of VGG19's map */
    int is_content;
} imp_thin_readout;

#define IMP_THIN_READOUTS 6
#define IMP_THIN_OWN "trunk1_1" /* the layer that does not train */
extern const imp_thin_readout imp_thin_readouts[IMP_THIN_READOUTS];

/* NULL: the layer is not read. */
const imp_thin_readout *imp_thin_readout_of(const char *layer);

/* s of a readout. */
float imp_thin_scale(const imp_thin_readout *readout);

/* VGG19 up to conv5_1 with a layer "LAYER.readout" for each readout behind its ReLU: the teacher. Weights are not made: those
   of VGG19 come first, in its order, and those of the readouts after them. */
int imp_thin_build_teacher(imp_context *context, imp_network *network);

#endif
