/* Painting with a feed-forward network. */
#include "style/styler.h"

#include <string.h>

#include "graph/plan.h"

struct imp_styler {
    imp_context *context;
    imp_plan *plan;
    int batch, width, height;        /* of the pictures */
    int padded_width, padded_height; /* of what the network sees */
    float *in, *out;                 /* [batch, 3, padded_height, padded_width] */
};

static int next_multiple(int size) {
    return (size + IMP_STYLER_MULTIPLE - 1) / IMP_STYLER_MULTIPLE * IMP_STYLER_MULTIPLE;
}

int imp_styler_make(imp_context *context, const imp_model *model, int width, int height, int batch, imp_element element,
                    imp_styler **styler) {
    const imp_tap tap = {imp_network_find_tap(&model->network, IMP_STYLER_OUTPUT), IMP_TAP_PLANES};
    *styler = NULL;
    if (tap.layer < 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s is no network that paints", model->network.architecture);
    if (width < 1 || height < 1 || width > IMP_IMAGE_MAX_SIDE || height > IMP_IMAGE_MAX_SIDE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "a picture of %dx%d; each side must be 1 to %d pixels", width,
                        height, IMP_IMAGE_MAX_SIDE);
    imp_styler *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    *made = (imp_styler){.context = context,
                         .batch = batch,
                         .width = width,
                         .height = height,
                         .padded_width = next_multiple(width),
                         .padded_height = next_multiple(height)};
    const imp_plan_options options = {.batch = batch,
                                      .height = made->padded_height,
                                      .width = made->padded_width,
                                      .taps = &tap,
                                      .tap_count = 1,
                                      .average_scale = 1,
                                      .element = element};
    int status = imp_plan_create(context, &model->network, &options, &made->plan);
    size_t floats = 3 * (size_t)batch * (size_t)made->padded_width * (size_t)made->padded_height;
    if (!status) made->in = imp_allocate_zero(context, floats, sizeof(float));
    if (!status && made->in) made->out = imp_allocate_zero(context, floats, sizeof(float));
    if (!status && !made->out) status = IMP_ERR_MEMORY;
    if (status) {
        imp_styler_free(made);
        return status;
    }
    *styler = made;
    return IMP_OK;
}

void imp_styler_free(imp_styler *styler) {
    if (!styler) return;
    imp_plan_free(styler->plan);
    imp_release(styler->context, styler->in);
    imp_release(styler->context, styler->out);
    imp_release(styler->context, styler);
}

/* A position past the end, reflected; at most IMP_STYLER_MULTIPLE - 1 past it, but never before the first. */
static int reflected(int i, int size) {
    int back = 2 * (size - 1) - i;
    return i < size ? i : back < 0 ? 0 : back;
}

static void pad(const imp_styler *styler, const float *planes) {
    for (int plane = 0; plane < 3 * styler->batch; plane++)
        for (int y = 0; y < styler->padded_height; y++) {
            const float *from =
                planes +
                ((size_t)plane * (size_t)styler->height + (size_t)reflected(y, styler->height)) * (size_t)styler->width;
            float *to =
                styler->in + ((size_t)plane * (size_t)styler->padded_height + (size_t)y) * (size_t)styler->padded_width;
            memcpy(to, from, (size_t)styler->width * sizeof(float));
            for (int x = styler->width; x < styler->padded_width; x++) to[x] = from[reflected(x, styler->width)];
        }
}

static void cut(const imp_styler *styler, float *planes) {
    for (int plane = 0; plane < 3 * styler->batch; plane++)
        for (int y = 0; y < styler->height; y++)
            memcpy(planes + ((size_t)plane * (size_t)styler->height + (size_t)y) * (size_t)styler->width,
                   styler->out +
                       ((size_t)plane * (size_t)styler->padded_height + (size_t)y) * (size_t)styler->padded_width,
                   (size_t)styler->width * sizeof(float));
}

int imp_styler_paint(imp_styler *styler, const float *planes, const float *styles, float *out) {
    pad(styler, planes);
    imp_plan_set_styles(styler->plan, styles);
    int status = imp_plan_forward(styler->plan, styler->in);
    if (status) return status;
    imp_plan_read_planes(styler->plan, 0, styler->out);
    cut(styler, out);
    return IMP_OK;
}
