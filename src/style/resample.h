/* Separable resampling of planes of floats, from any source that can give its rows. */
#ifndef IMP_STYLE_RESAMPLE_H
#define IMP_STYLE_RESAMPLE_H

#include "style/image.h"

#define IMP_RESAMPLE_MAX_CHANNELS 4

/* Points rows[c] at row y of every channel: into the source itself, or into scratch (channels * width floats
 * of the calling thread). */
typedef void imp_row_source(const void *user, int y, float *scratch, const float *rows[IMP_RESAMPLE_MAX_CHANNELS]);

/* Writes out [channels][out_height][out_width], not clamped. Equal sizes give the source's very values. */
int imp_resample(imp_context *context, imp_row_source *source, const void *user, int channels, int height, int width,
                 float *out, int out_height, int out_width, imp_filter filter);

#endif
