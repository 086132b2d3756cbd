/* The table of picture formats, and what every codec shares. Errors of a codec don't name the file: the
   caller puts its name before. */
#ifndef IMP_PICTURE_CODEC_H
#define IMP_PICTURE_CODEC_H

#include <stdio.h>

#include "base/context.h"
#include "impasto_picture.h"

/* A picture file in memory; name stands in warnings. */
typedef struct imp_source {
    const uint8_t *bytes;
    size_t length;
    const char *name;
} imp_source;

typedef struct imp_codec imp_codec;
struct imp_codec {
    const char *name;    /* "JPEG" */
    const char *endings; /* of file names, each with a space before and after: " .jpg .jpeg "; "" when not written */
    int vips_format;     /* imp_vips_format of a codec in the module; -1 otherwise */
    int (*recognise)(const uint8_t *bytes, size_t length);
    /* image is created upright and in sRGB. */
    int (*decode)(imp_context *context, const imp_codec *codec, const imp_source *source, imp_image *image);
    /* The size that decode would give the image, without decoding it; written on success. */
    int (*find_size)(imp_context *context, const imp_codec *codec, const imp_source *source, int *width, int *height);
    /* Whether encode can work at all; NULL: it can. */
    int (*can_encode)(imp_context *context, const imp_codec *codec);
    /* image is checked, quality is 1..100. */
    int (*encode)(imp_context *context, const imp_codec *codec, const imp_image *image, int quality, FILE *stream);
};

extern const imp_codec imp_codec_jpeg, imp_codec_png, imp_codec_webp, imp_codec_tiff, imp_codec_avif, imp_codec_heif,
    imp_codec_gif;

/* Refuses a picture with more pixels, or longer sides, than are read; before any memory is taken for it. */
int imp_codec_check_size(imp_context *context, uint64_t width, uint64_t height);

#endif
