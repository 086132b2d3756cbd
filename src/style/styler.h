/* Painting with a feed-forward network: planes in, planes out. */
#ifndef IMP_STYLE_STYLER_H
#define IMP_STYLE_STYLER_H

#include "models/stylers.h"

/* What imp_styler_create makes. For batch pictures of width x height, of any size: they are padded to whole squares
   inside. model outlives the styler; where its weights change it must be refreshed (imp_network_refresh).
   IMP_ERR_ARGUMENT: the model paints nothing. */
int imp_styler_make(imp_context *context, const imp_model *model, int width, int height, int batch, imp_element element,
                    imp_styler **styler);

/* planes, out: [batch, 3, height, width] on 0..255. styles: how much of each style, [batch, styles]. */
void imp_styler_paint(imp_styler *styler, const float *planes, const float *styles, float *out);

void imp_styler_free(imp_styler *styler);

#endif
