/* Pictures as the painter has them: RGB planes of floats on the 0..255 scale, and their resampling. */
#ifndef IMP_STYLE_IMAGE_H
#define IMP_STYLE_IMAGE_H

#include "base/context.h"

#define IMP_WHITE 255.0f /* of planes */

/* Convolution kernels of resampling, widened when shrinking, normalised for every output pixel, cut at the
 * border: those of Pillow. */
typedef enum imp_filter {
    IMP_FILTER_BILINEAR, /* triangle, support 1 */
    IMP_FILTER_BICUBIC,  /* Keys with a = -0.5, support 2 */
    IMP_FILTER_LANCZOS   /* 3 lobes, support 3 */
} imp_filter;

/* image, checked by imp_image_check before, as *planes [3][height][width] on 0..255: grey expanded, alpha
   composited on white, then resampled by Lanczos in float and clamped. *planes is released by imp_release. */
int imp_image_to_planes(imp_context *context, const imp_image *image, int width, int height, float **planes);

/* The same into memory that is there. */
int imp_image_fill_planes(imp_context *context, const imp_image *image, int width, int height, float *planes);

/* in [channels][height][width] resampled to out [channels][out_height][out_width]; not clamped. in and out do
 * not overlap. */
int imp_planes_resize(imp_context *context, const float *in, int channels, int height, int width, float *out,
                      int out_height, int out_width, imp_filter filter);

/* planes [3][height][width] on 0..255, clamped and rounded to the nearest, as a new image of 3 channels; not
 * a number becomes 0. */
int imp_planes_to_image(imp_context *context, const float *planes, int width, int height, imp_depth depth,
                        imp_image *out);

#endif
