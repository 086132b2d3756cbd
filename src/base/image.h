/* Whether an image that a caller describes can be used, and the sizes that follow from it. */
#ifndef IMP_BASE_IMAGE_H
#define IMP_BASE_IMAGE_H

#include "base/context.h"

/* Checks every field of image before its pixels are touched; what names it in the error ("photo", "style"):
   "photo: 5 channels, not 1 to 4". Returns IMP_OK or IMP_ERR_ARGUMENT. */
int imp_image_check(imp_context *context, const imp_image *image, const char *what);

/* Width, height, channels and depth within their bounds; the same error. */
int imp_image_check_shape(imp_context *context, int width, int height, int channels, imp_depth depth, const char *what);

static inline size_t imp_image_row_bytes(const imp_image *image) {
    return (size_t)image->width * (size_t)image->channels * (size_t)image->depth;
}

#endif
