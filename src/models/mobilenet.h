/* `mobilenetv3`: VGG19's features from the body of MobileNetV3-small (Howard et al., arXiv 1905.02244), with the readouts of
 * models/thin.h where it is wide at each size, and at its end.
 *
 * MobileNetV3's first convolution halves the picture, so that fine brush strokes and colours are lost to it; before it there
 * is a layer at the full size with filters of VGG19's own, as thin has it, which conv1_1 is read from, and VGG19's pool in
 * place of the stride: an optimiser finds the grid that a stride does not see. conv4_1, on which most of a style loss
 * hangs, and conv4_2 have a layer of adaptation. While it is taught,
 * batch norms are behind its body's convolutions, as in the paper; the model file has them folded in. */
#ifndef IMP_MODELS_MOBILENET_H
#define IMP_MODELS_MOBILENET_H

#include "models/model.h"

extern const imp_architecture_option imp_mobilenet_options[];
int imp_mobilenet_build(imp_context *context, const int *options, imp_network *network);

#endif
