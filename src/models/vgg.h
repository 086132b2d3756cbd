/* Networks of the VGG family (Simonyan and Zisserman, arXiv 1409.1556): blocks of 3x3
   convolutions, ReLUs and a pool. */
#ifndef IMP_MODELS_VGG_H
#define IMP_MODELS_VGG_H

#include "models/builder.h"

#define IMP_VGG_MAX_BLOCKS 5

typedef struct imp_vgg {
    const char *name;
    int blocks;
    int convolutions[IMP_VGG_MAX_BLOCKS]; /* of each block, at most 9 */
    int channels[IMP_VGG_MAX_BLOCKS];
} imp_vgg;

extern const imp_vgg imp_vgg16, imp_vgg19;

/* Adds count convolutions of block 1 and on, with their ReLUs, and its pool; returns the pool's layer. */
int imp_vgg_add_block(imp_builder *builder, const imp_vgg *vgg, int block, int count, int input);

int imp_vgg_build(imp_context *context, const imp_vgg *vgg, imp_network *network);

#endif
