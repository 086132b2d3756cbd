/* What an evaluation is made of: scores of pixels, and the distance of two sets of features. All of them are the same
 * bits for any number of threads. docs/metrics.md has definitions and sources. */
#ifndef IMP_STYLE_METRICS_H
#define IMP_STYLE_METRICS_H

#include "base/context.h"

/* The window's index in imp_ssim_window_name; -1: there is no such window. */
int imp_ssim_window_find(const char *name);

/* Mean SSIM of planes [channels, height, width] on 0..255 over all places where the window fits; IMP_ERR_ARGUMENT where
   it fits nowhere. */
int imp_ssim(imp_context *context, int window, const float *a, const float *b, int channels, int height, int width,
             double *value);

/* Of count values on 0..255, in decibels; infinite where they are equal. */
double imp_psnr(const float *a, const float *b, size_t count);

/* Root mean square of what the luma of planes [3, height, width] differs by from itself blurred by SSIM's Gaussian
   window; IMP_ERR_ARGUMENT where that fits nowhere. */
int imp_texture_detail(imp_context *context, const float *planes, int height, int width, double *value);

/* Pearson's correlation of count values; 0 where one of them does not vary. */
double imp_correlation(const float *a, const float *b, size_t count);

/* One side of a sliced Wasserstein distance: features projected on random directions, the projections sorted. */
typedef struct imp_sliced imp_sliced;

/* features: [channels, count], for the call alone. */
int imp_sliced_create(imp_context *context, const float *features, int channels, size_t count, int directions,
                      uint64_t seed, imp_sliced **sliced);

/* The mean over the directions of the squared distance (Wasserstein-2) to these [channels, count] on each; count need
   not be the other side's. */
int imp_sliced_distance(imp_context *context, const imp_sliced *sliced, const float *features, size_t count,
                        double *value);

void imp_sliced_free(imp_context *context, imp_sliced *sliced);

#endif
