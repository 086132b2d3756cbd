/* The orientation that EXIF data gives a picture, and turning its pixels upright. */
#ifndef IMP_PICTURE_EXIF_H
#define IMP_PICTURE_EXIF_H

#include "base/context.h"

/* bytes: a TIFF structure, as it stands in a PNG's eXIf and after "Exif\0\0" in a JPEG's APP1. Returns 1 to 8; 1 when
   there is no valid orientation in it. */
int imp_exif_orientation(const uint8_t *bytes, size_t length);

/* From the size as it is stored to that upright. */
void imp_exif_apply_to_size(int orientation, int *width, int *height);

/* Replaces image by itself turned upright. */
int imp_exif_apply(imp_context *context, int orientation, imp_image *image);

#endif
