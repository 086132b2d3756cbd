/* Rows of an image in the form in which a file takes them. */
#ifndef IMP_PICTURE_PIXELS_H
#define IMP_PICTURE_PIXELS_H

#include "base/context.h"

/* Row y as samples of 8 bits, rounded to the nearest; not a number becomes 0. */
void imp_pixels_row_8(const imp_image *image, int y, uint8_t *out);
void imp_pixels_row_16(const imp_image *image, int y, uint16_t *out);

/* The same without the alpha channel: composited on white. */
void imp_pixels_row_8_on_white(const imp_image *image, int y, uint8_t *out);

#endif
