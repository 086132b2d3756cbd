/* Networks of the ResNet family (He et al., arXiv 1512.03385) as torchvision has them, the stride of a bottleneck in its 3x3
   convolution, with their batch norms folded into the convolutions: from the stem to the last block, each block's output
   under its own name ("layer1.0", after its ReLU). */
#ifndef IMP_MODELS_RESNET_H
#define IMP_MODELS_RESNET_H

#include "models/builder.h"

#define IMP_RESNET_STAGES 4

typedef struct imp_resnet {
    const char *name;
    int is_bottleneck;             /* 1x1, 3x3, 1x1 to four times the channels; else two of 3x3 */
    int blocks[IMP_RESNET_STAGES]; /* of each stage; 0: there is none */
    int channels;                  /* of the stem and of the first stage's 3x3 convolutions; twice as many each stage */
} imp_resnet;

extern const imp_resnet imp_resnet18, imp_resnet50;

int imp_resnet_build(imp_context *context, const imp_resnet *resnet, imp_network *network);

#endif
