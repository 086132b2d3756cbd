/* impasto_picture.h: picture files to pixels and back, a library of its own beside the engine (impasto.h), whose
 * conventions for errors, sizes and ownership hold here too.
 *
 * Read: JPEG and PNG (8 and 16 bit) always; WebP, TIFF, AVIF, HEIF and GIF through libvips where Impasto's vips module
 * is installed. The format is told by the content, never by the name. Pixels come out upright (EXIF orientation
 * applied) and in sRGB (an ICC profile, CMYK and YCCK included, applied by lcms2).
 * Written: JPEG, PNG, and with the module WebP, TIFF and AVIF; the format is told by the name's ending.
 *
 * The module, impasto_vips.so, is looked for in the folder impasto beside this library; the environment variable
 * IMPASTO_MODULES names a folder that goes before. Decoded pixels come from the context's memory; libjpeg and libvips
 * take their own working memory from malloc.
 */
#ifndef IMPASTO_PICTURE_H
#define IMPASTO_PICTURE_H

#include "impasto.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest picture that is decoded, in pixels: a bound against files that claim to be enormous. */
#define IMP_PICTURE_MAX_PIXELS ((uint64_t)1 << 28)

/* Reads a picture file; *image is created with 1, 2, 3 or 4 channels and depth 8 or 16 as the file has them, and is
   released by imp_image_release. On failure image->pixels is NULL. */
IMP_API int imp_picture_read(imp_context *context, const char *path, imp_image *image);

/* The same from memory; name stands in messages. */
IMP_API int imp_picture_decode(imp_context *context, const void *bytes, size_t length, const char *name,
                               imp_image *image);

/* The size that the same calls would give the picture, upright, found from the file's header: the pixels are not
   decoded, and may be damaged all the same. On failure both are 0. */
IMP_API int imp_picture_size(imp_context *context, const char *path, int *width, int *height);
IMP_API int imp_picture_decode_size(imp_context *context, const void *bytes, size_t length, const char *name,
                                    int *width, int *height);

/* Writes image to path: to a temporary file beside it, then renamed, so that path is whole or untouched.
   quality: 1..100 for JPEG, WebP and AVIF; 0: 92. PNG keeps 16 bits, JPEG takes 8; an sRGB tag is written. */
IMP_API int imp_picture_write(imp_context *context, const char *path, const imp_image *image, int quality);

/* Writes image to an open stream, in the format whose names end so (".jpg"). */
IMP_API int imp_picture_encode(imp_context *context, const char *ending, const imp_image *image, int quality,
                               FILE *stream);

/* Fails with the same words as imp_picture_write would, before any work is done: an unknown ending, a folder that is
   missing or cannot be written to, a module that is not installed. Leaves nothing behind. */
IMP_API int imp_picture_can_write(imp_context *context, const char *path);

#ifdef __cplusplus
}
#endif
#endif
