/* Painting with a feed-forward network. */
#include "style/styler.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/image.h"
#include "graph/plan.h"
#include "style/image.h"

struct imp_styler {
    imp_context *context;
    const imp_model *model;
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
                         .model = model,
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

/* ---- The public interface ---------------------------------------------------------------------------------------- */

const char *imp_model_style_name(const imp_model *model, int index) {
    return model && index >= 0 && index < imp_model_style_count(model) && model->style_names ? model->style_names[index]
                                                                                             : NULL;
}

static int find_element(imp_context *context, const char *precision, imp_element *element) {
    int half = (context->cpu_features & IMP_CPU_AVX512_BF16) != 0;
    if (precision && strcmp(precision, "auto") != 0) {
        half = strcmp(precision, "bf16") == 0;
        if (!half && strcmp(precision, "f32") != 0)
            return imp_fail(context, IMP_ERR_ARGUMENT, "precision \"%.20s\": there are f32, bf16 and auto", precision);
    }
    *element = half ? IMP_ELEMENT_BF16 : IMP_ELEMENT_F32;
    return IMP_OK;
}

int imp_styler_create(imp_context *context, const imp_model *model, int width, int height, const char *precision,
                      imp_styler **styler) {
    imp_element element = IMP_ELEMENT_F32;
    if (styler) *styler = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!model || !styler) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_create: model or styler is NULL");
    int status = find_element(context, precision, &element);
    return status ? status : imp_styler_make(context, model, width, height, 1, element, styler);
}

/* Paints planes in place; photo: the same planes, kept for the blend. */
static int paint_and_blend(imp_styler *styler, float *planes, const float *shares, double strength) {
    size_t floats = 3 * (size_t)styler->width * (size_t)styler->height;
    float *painted = imp_allocate_zero(styler->context, floats, sizeof *painted);
    if (!painted) return IMP_ERR_MEMORY;
    int status = imp_styler_paint(styler, planes, shares, painted);
    float share = (float)strength;
    for (size_t i = 0; i < floats && !status; i++) planes[i] += share * (painted[i] - planes[i]);
    imp_release(styler->context, painted);
    return status;
}

static int check_run(const imp_styler *styler, const imp_image *photo, const float *shares, double strength,
                     imp_depth depth) {
    imp_context *context = styler->context;
    if (depth != IMP_DEPTH_8 && depth != IMP_DEPTH_16 && depth != IMP_DEPTH_F32)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_run: depth is %d, not 1, 2 or 4", (int)depth);
    if (!(strength >= 0 && strength <= 1))
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_run: a strength of %g; it must be from 0 to 1",
                        strength);
    for (int i = 0; i < imp_model_style_count(styler->model); i++)
        if (!isfinite(shares[i]))
            return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_run: the share of style %d is no number", i);
    int status = imp_image_check(context, photo, "photo");
    if (status) return status;
    if (photo->width == styler->width && photo->height == styler->height) return IMP_OK;
    return imp_fail(context, IMP_ERR_ARGUMENT, "a photo of %dx%d for a styler of %dx%d", photo->width, photo->height,
                    styler->width, styler->height);
}

int imp_styler_run(imp_styler *styler, const imp_image *photo, const float *shares, double strength, imp_depth depth,
                   imp_image *out) {
    float *planes = NULL;
    if (!styler) return IMP_ERR_ARGUMENT;
    imp_context *context = styler->context;
    if (!photo || !shares || !out)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_run: photo, shares or out is NULL");
    *out = (imp_image){.size = sizeof *out};
    int status = check_run(styler, photo, shares, strength, depth);
    if (!status) status = imp_image_to_planes(context, photo, styler->width, styler->height, &planes);
    if (!status) status = paint_and_blend(styler, planes, shares, strength);
    if (!status) status = imp_planes_to_image(context, planes, styler->width, styler->height, depth, out);
    imp_release(context, planes);
    return status;
}
