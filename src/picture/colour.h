/* From the colours of a file (an ICC profile, or a PNG's gamma and primaries) to sRGB, by Little CMS. */
#ifndef IMP_PICTURE_COLOUR_H
#define IMP_PICTURE_COLOUR_H

#include "base/context.h"

typedef enum imp_colour_space {
    IMP_SPACE_GREY,
    IMP_SPACE_RGB,
    IMP_SPACE_CMYK,         /* 0 is no ink */
    IMP_SPACE_CMYK_INVERTED /* 0 is full ink, as Adobe writes JPEGs */
} imp_colour_space;

/* What a file says about its colours. All zero: nothing, so they are taken as sRGB. */
typedef struct imp_colour_origin {
    const void *profile; /* ICC; goes before the rest */
    size_t length;
    double gamma;      /* exponent from light to sample, 0.45455 for sRGB's; 0: not given */
    int has_primaries; /* x, y of white, red, green, blue */
    double primaries[8];
} imp_colour_origin;

typedef struct imp_colour imp_colour;

/* What converts samples of depth 8 or 16 to sRGB: grey to grey, the others to RGB; alpha: 1 when another channel
   follows the colours, which stays as it is. *colour is NULL when nothing is to be done, or when the profile is of no
   use, which a warning with name then says. Fails only for lack of memory. */
int imp_colour_open(imp_context *context, const imp_colour_origin *origin, imp_colour_space space, imp_depth depth,
                    int alpha, const char *name, imp_colour **colour);
/* May be called from several threads at once. in and out may be the same where their channels are as many. */
void imp_colour_row(const imp_colour *colour, const void *in, void *out, int pixels);
void imp_colour_close(imp_colour *colour);

/* Converts grey or RGB pixels in place. */
int imp_colour_apply(imp_context *context, const imp_colour_origin *origin, imp_image *image, const char *name);

/* An ICC profile that says sRGB, or grey with sRGB's curve; released by imp_release. The same bytes every time. */
int imp_colour_srgb_profile(imp_context *context, int grey, uint8_t **bytes, size_t *length);

#endif
