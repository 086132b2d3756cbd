/* Colours kept from the photo: the style's colours matched before, or the photo's chroma put back after. */
#ifndef IMP_STYLE_COLOUR_H
#define IMP_STYLE_COLOUR_H

#include "base/context.h"

/* Planes are [3, count], RGB, on the 0..255 scale. */

/* Gives style (changed in place) the mean and covariance of photo's colours: p -> T (p - mean) + mean', T =
   C'^(1/2) C^(-1/2) with symmetric roots (Gatys et al., arXiv 1606.05897). Eigenvalues of C are raised by
   1e-5 of their mean, so that a grey or constant style gets finite colours. Values may leave 0..255: the
   caller clamps where that matters. */
int imp_colour_match(imp_context *context, float *style, size_t style_count, const float *photo, size_t photo_count);

/* Gives painted (changed in place) the photo's chroma under the painting's own luma: full-range Y'CbCr of
   BT.601, what JPEG files and the programs that users know use. */
void imp_colour_keep(imp_context *context, float *painted, const float *photo, size_t count);

#endif
