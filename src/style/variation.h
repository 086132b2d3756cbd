/* Total variation: the sum of squared differences to the neighbours, which smooths. */
#ifndef IMP_STYLE_VARIATION_H
#define IMP_STYLE_VARIATION_H

#include "base/context.h"

/* The nine-point squared form of crowsonkb/style-transfer-pytorch, of p = planes / 255, padded by one pixel
   of replication: 2 (mean dx^2 / 3 + mean dy^2 / 3 + mean d1^2 / 12 + mean d2^2 / 12) dx, dy: forward
   differences of each pixel; d1, d2: both diagonals of each 2x2 window of the padded plane; means over all
   planes. planes: [plane_count, height, width] on the 0..255 scale. *value: that loss, not weighted. gradient
   (same shape; may be NULL) gets weight times the derivative by planes (on their 0..255 scale) added. */
int imp_variation(imp_context *context, const float *planes, int plane_count, int height, int width, double weight,
                  double *value, float *gradient);

#endif
