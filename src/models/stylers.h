/* Feed-forward networks that paint: pixels in, pixels out, in one of the styles that they were taught. */
#ifndef IMP_MODELS_STYLERS_H
#define IMP_MODELS_STYLERS_H

#include "models/model.h"

/* `fine`: pixels in squares of 2x2, halved again, residual blocks with conditional instance norm (Johnson et al., arXiv
   1603.08155; Dumoulin et al., arXiv 1610.07629) at a quarter of the size, enlarged by nearest neighbour (Odena et al.,
   2016: no checkerboard), and back to pixels by a shuffle. All kernels are 3x3, all padding reflects. With 96 channels
   and 6 blocks 78 thousand multiplications a pixel, half of Johnson's. */
extern const imp_architecture_option imp_fine_options[];
int imp_fine_build(imp_context *context, const int *options, imp_network *network);
/* Its first pictures are the photo and a little of what the network says. */
void imp_fine_begin(const imp_network *network);

/* The layer "paint" of any styler here is the picture: IMP_TAP_PLANES. Sides must be multiples of this. */
#define IMP_STYLER_MULTIPLE 4
#define IMP_STYLER_OUTPUT "paint"

#endif
