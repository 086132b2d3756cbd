/* The canvas: cut, resample, mirror. */
#include "style/canvas.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

int imp_canvas_width(const imp_canvas *canvas) {
    return canvas->width + 2 * canvas->margin;
}

int imp_canvas_height(const imp_canvas *canvas) {
    return canvas->height + 2 * canvas->margin;
}

imp_canvas imp_canvas_bare(const imp_canvas *canvas) {
    return (imp_canvas){canvas->width, canvas->height, 0};
}

imp_canvas imp_canvas_fit(const imp_canvas *whole, double side, int least) {
    double factor = side / (whole->width > whole->height ? whole->width : whole->height);
    return (imp_canvas){.width = (int)fmin(IMP_IMAGE_MAX_SIDE, fmax(least, round(whole->width * factor))),
                        .height = (int)fmin(IMP_IMAGE_MAX_SIDE, fmax(least, round(whole->height * factor)))};
}

int imp_canvas_is_same(const imp_canvas *a, const imp_canvas *b) {
    return a->width == b->width && a->height == b->height && a->margin == b->margin;
}

size_t imp_canvas_floats(const imp_canvas *canvas) {
    return (size_t)3 * (size_t)imp_canvas_width(canvas) * (size_t)imp_canvas_height(canvas);
}

/* Index of the pixel that shows at i when a row of count pixels is mirrored at both ends,
   however far i lies outside. */
static int mirror(int i, int count) {
    int period = count > 1 ? 2 * (count - 1) : 1;
    i = (i % period + period) % period;
    return i < count ? i : period - i;
}

/* The picture inside a canvas, without its margin. */
static void cut(const float *planes, const imp_canvas *canvas, float *out) {
    size_t row = (size_t)imp_canvas_width(canvas), plane = row * (size_t)imp_canvas_height(canvas);
    const float *first = planes + (size_t)canvas->margin * (row + 1);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < canvas->height; y++, out += canvas->width)
            memcpy(out, first + (size_t)c * plane + (size_t)y * row, (size_t)canvas->width * sizeof *out);
}

static void extend(const float *picture, const imp_canvas *canvas, float *out) {
    int width = imp_canvas_width(canvas), height = imp_canvas_height(canvas);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < height; y++, out += width) {
            size_t row = (size_t)c * (size_t)canvas->height + (size_t)mirror(y - canvas->margin, canvas->height);
            const float *from = picture + row * (size_t)canvas->width;
            for (int x = 0; x < width; x++) out[x] = from[mirror(x - canvas->margin, canvas->width)];
        }
}

int imp_canvas_transfer(imp_context *context, const float *planes, const imp_canvas *from, const imp_canvas *to,
                        imp_filter filter, float *out) {
    int same = from->width == to->width && from->height == to->height, status = IMP_OK;
    if (imp_canvas_is_same(from, to)) {
        memcpy(out, planes, imp_canvas_floats(to) * sizeof *out);
        return IMP_OK;
    }
    if (same && to->margin == 0) {
        cut(planes, from, out);
        return IMP_OK;
    }
    imp_canvas bare_from = imp_canvas_bare(from), bare_to = imp_canvas_bare(to);
    float *picture = from->margin ? imp_allocate(context, imp_canvas_floats(&bare_from) * sizeof(float)) : NULL;
    float *resized = !same && to->margin ? imp_allocate(context, imp_canvas_floats(&bare_to) * sizeof(float)) : NULL;
    if ((from->margin && !picture) || (!same && to->margin && !resized)) status = IMP_ERR_MEMORY;
    if (picture && !status) cut(planes, from, picture);
    const float *bare = picture ? picture : planes;
    if (!same && !status)
        status = imp_planes_resize(context, bare, 3, from->height, from->width, resized ? resized : out, to->height,
                                   to->width, filter);
    if (to->margin && !status) extend(same ? bare : resized, to, out);
    imp_release(context, resized);
    imp_release(context, picture);
    return status;
}

int imp_canvas_paint(imp_context *context, const float *planes, const imp_canvas *from, const imp_canvas *to,
                     imp_filter filter, float *out) {
    size_t count = imp_canvas_floats(to);
    int status = imp_canvas_transfer(context, planes, from, to, filter, out);
    for (size_t i = 0; i < count && !status; i++) out[i] = fminf(fmaxf(out[i], 0), 255);
    return status;
}
