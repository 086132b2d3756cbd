/* A painting: one optimisation as an object with steps. What include/impasto.h says of imp_painting_* holds here;
 * impasto.c checks the caller's structs and calls these. */
#ifndef IMP_STYLE_PAINTING_H
#define IMP_STYLE_PAINTING_H

#include "models/model.h"

/* options is complete (of this version's size), photo checked. */
int imp_paint_create(imp_context *context, const imp_model *model, const imp_image *photo,
                     const imp_painting_options *options, imp_painting **painting);
int imp_paint_add_photo(imp_painting *painting, const imp_image *photo, const imp_image *start);
int imp_paint_photo_count(const imp_painting *painting);
int imp_paint_add_style(imp_painting *painting, const imp_image *style, double weight);
int imp_paint_estimate(imp_painting *painting, imp_estimate *estimate);
int imp_paint_most_photos(imp_painting *painting, int *photos);
int imp_paint_estimate_seconds(imp_painting *painting, double *seconds);
int imp_paint_step(imp_painting *painting);
int imp_paint_losses(imp_painting *painting, float *gradient);
/* index: of a photo that is there. */
void imp_paint_progress(const imp_painting *painting, int index, imp_progress *progress);
int imp_paint_image(imp_painting *painting, int index, imp_depth depth, imp_image *out);
int imp_paint_profile(const imp_painting *painting, int index, imp_node_profile *profile);
imp_context *imp_paint_context(const imp_painting *painting);

#endif
