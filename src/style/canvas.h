/* The canvas: a picture with a margin of its own mirror image around it, which is painted too and cut off at
 * the end. Networks pad with zeros, so that close to the border an optimiser paints a frame; the frame then
 * lies in the margin. */
#ifndef IMP_STYLE_CANVAS_H
#define IMP_STYLE_CANVAS_H

#include "base/context.h"
#include "style/image.h"

typedef struct imp_canvas {
    int width, height; /* of the picture */
    int margin;        /* pixels around it, on every side */
} imp_canvas;

int imp_canvas_width(const imp_canvas *canvas); /* the margins included */
int imp_canvas_height(const imp_canvas *canvas);
imp_canvas imp_canvas_bare(const imp_canvas *canvas); /* without its margin */
/* The size that a picture has when its longer side is side: proportions kept as far as no side is shorter than least. */
imp_canvas imp_canvas_fit(const imp_canvas *whole, double side, int least);
int imp_canvas_is_same(const imp_canvas *a, const imp_canvas *b);
size_t imp_canvas_floats(const imp_canvas *canvas); /* of three planes */

/* planes [3, height, width] on one canvas, as they are on another: the margin cut off, the picture resampled where
   the sizes differ, and the other margin mirrored around it. out holds imp_canvas_floats(to), does not overlap
   planes, and is not clamped. */
int imp_canvas_transfer(imp_context *context, const float *planes, const imp_canvas *from, const imp_canvas *to,
                        imp_filter filter, float *out);

/* The same for pixels: clamped to 0..255 where the filter overshoots. */
int imp_canvas_paint(imp_context *context, const float *planes, const imp_canvas *from, const imp_canvas *to,
                     imp_filter filter, float *out);

#endif
