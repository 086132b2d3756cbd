/* Painting with a feed-forward network. */
#include "style/styler.h"

#include <math.h>
#include <string.h>

#include "base/image.h"
#include "base/memory.h"
#include "base/structs.h"
#include "graph/plan.h"
#include "style/colour.h"
#include "style/image.h"
#include "style/settings.h"

struct imp_styler {
    imp_context *context;
    const imp_model *model;
    imp_plan *plan;
    imp_tap tap;
    imp_element element;
    int batch, width, height;        /* of the pictures */
    int padded_width, padded_height; /* of what the network sees */
    int keep_colors;
    float *in, *out; /* [batch, 3, padded_height, padded_width] */
};

#define SMALL_THINGS (1u << 17) /* bytes: structs, and a header of 64 for each block of memory */

/* Maps at the network's smallest size are reflected by one pixel and so must have two. */
static int padded(int size) {
    int least = size < 2 * IMP_STYLER_MULTIPLE ? 2 * IMP_STYLER_MULTIPLE : size;
    return (least + IMP_STYLER_MULTIPLE - 1) / IMP_STYLER_MULTIPLE * IMP_STYLER_MULTIPLE;
}

/* All of a styler that is not memory. */
static int lay_out(imp_context *context, const imp_model *model, int width, int height, int batch, imp_element element,
                   imp_styler *styler) {
    int layer = imp_network_find_tap(&model->network, IMP_STYLER_OUTPUT);
    if (layer < 0)
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "%s is no network that paints by itself: an imp_painting takes it as the judge of its picture",
                        model->network.architecture);
    if (width < 1 || height < 1 || width > IMP_IMAGE_MAX_SIDE || height > IMP_IMAGE_MAX_SIDE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "a picture of %dx%d; each side must be 1 to %d pixels", width,
                        height, IMP_IMAGE_MAX_SIDE);
    *styler = (imp_styler){.context = context,
                           .model = model,
                           .tap = {layer, IMP_TAP_PLANES},
                           .element = element,
                           .batch = batch,
                           .width = width,
                           .height = height,
                           .padded_width = padded(width),
                           .padded_height = padded(height)};
    return IMP_OK;
}

static imp_plan_options plan_options(const imp_styler *styler) {
    return (imp_plan_options){.batch = styler->batch,
                              .height = styler->padded_height,
                              .width = styler->padded_width,
                              .taps = &styler->tap,
                              .tap_count = 1,
                              .average_scale = 1,
                              .element = styler->element};
}

static size_t padded_floats(const imp_styler *styler) {
    return 3 * (size_t)styler->batch * (size_t)styler->padded_width * (size_t)styler->padded_height;
}

int imp_styler_make(imp_context *context, const imp_model *model, int width, int height, int batch, imp_element element,
                    imp_styler **styler) {
    imp_styler laid;
    *styler = NULL;
    int status = lay_out(context, model, width, height, batch, element, &laid);
    if (status) return status;
    imp_styler *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    *made = laid;
    const imp_plan_options options = plan_options(made);
    status = imp_plan_create(context, &model->network, &options, &made->plan);
    if (!status) made->in = imp_allocate_zero(context, padded_floats(made), sizeof(float));
    if (!status && made->in) made->out = imp_allocate_zero(context, padded_floats(made), sizeof(float));
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

/* A position past the end, reflected, but never before the first. */
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

void imp_styler_paint(imp_styler *styler, const float *planes, const float *styles, float *out) {
    pad(styler, planes);
    imp_plan_set_styles(styler->plan, styles);
    imp_plan_forward(styler->plan, styler->in);
    imp_plan_read_planes(styler->plan, 0, styler->out);
    cut(styler, out);
}

/* ---- The public interface ---------------------------------------------------------------------------------------- */

const char *imp_model_style_name(const imp_model *model, int index) {
    return model && index >= 0 && index < imp_model_style_count(model) && model->style_names ? model->style_names[index]
                                                                                             : NULL;
}

static int find_element(imp_context *context, const char *precision, imp_element *element) {
    if (!precision || strcmp(precision, "auto") == 0)
        *element = imp_fast_element(context);
    else if (strcmp(precision, "bf16") == 0)
        *element = IMP_ELEMENT_BF16;
    else if (strcmp(precision, "f32") == 0)
        *element = IMP_ELEMENT_F32;
    else
        return imp_fail(context, IMP_ERR_ARGUMENT, "precision \"%.20s\": there are f32, bf16 and auto", precision);
    return IMP_OK;
}

/* What a styler and one run of it take, within the context's limit. */
static int estimate(imp_context *context, const imp_model *model, int width, int height, imp_element element,
                    imp_estimate *ours) {
    imp_styler styler;
    int status = lay_out(context, model, width, height, 1, element, &styler);
    if (status) return status;
    const imp_plan_options options = plan_options(&styler);
    *ours = (imp_estimate){.width = width, .height = height, .iterations = 1, .scales = 1};
    status = imp_plan_measure(context, &model->network, &options, &ours->bytes, &ours->operations);
    if (status) return status;
    /* A run has the photo's planes, and beside them those that are painted or the image that they become. */
    uint64_t planes = 3 * (uint64_t)width * (uint64_t)height * sizeof(float);
    uint64_t rows = 3 * (uint64_t)width * sizeof(float) * (uint64_t)context->options.threads;
    ours->bytes += 2 * padded_floats(&styler) * sizeof(float) + 2 * planes + rows + SMALL_THINGS;
    uint64_t limit = context->options.memory_limit;
    uint64_t left = imp_limit_left(limit, atomic_load(&context->memory_now));
    if (limit == 0 || ours->bytes <= left) return IMP_OK;
    return imp_fail(context, IMP_ERR_MEMORY,
                    "out of memory: to paint %d x %d pixels at once takes %.0f MB, and the limit leaves %.0f MB; use a "
                    "smaller picture or raise the limit",
                    width, height, (double)ours->bytes / (1 << 20), (double)left / (1 << 20));
}

int imp_styler_estimate(imp_context *context, const imp_model *model, int width, int height, const char *precision,
                        imp_estimate *theirs) {
    imp_element element = IMP_ELEMENT_F32;
    imp_estimate ours;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!model) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_estimate: model is NULL");
    int status = imp_struct_check(context, theirs, "estimate");
    if (!status) status = find_element(context, precision, &element);
    if (!status) status = estimate(context, model, width, height, element, &ours);
    if (!status) imp_struct_write(theirs, &ours, sizeof ours);
    return status;
}

int imp_styler_create(imp_context *context, const imp_model *model, int width, int height, const char *precision,
                      imp_styler **styler) {
    imp_element element = IMP_ELEMENT_F32;
    imp_estimate needed;
    if (styler) *styler = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!model || !styler) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_styler_create: model or styler is NULL");
    int status = find_element(context, precision, &element);
    if (!status) status = estimate(context, model, width, height, element, &needed);
    return status ? status : imp_styler_make(context, model, width, height, 1, element, styler);
}

void imp_styler_keep_colors(imp_styler *styler, int keep) {
    if (styler) styler->keep_colors = keep != 0;
}

int imp_styler_profile(const imp_styler *styler, int index, imp_node_profile *profile) {
    imp_node_profile ours = {.size = sizeof ours};
    if (!styler) return IMP_ERR_ARGUMENT;
    int status = imp_struct_check(styler->context, profile, "node profile");
    if (status) return status;
    if (index < 0 || !imp_plan_profile(styler->plan, index, &ours)) return IMP_ERR_ARGUMENT;
    imp_struct_write(profile, &ours, sizeof ours);
    return IMP_OK;
}

/* Paints planes in place. */
static int paint_and_blend(imp_styler *styler, float *planes, const float *shares, double strength) {
    size_t pixels = (size_t)styler->width * (size_t)styler->height;
    float *painted = imp_allocate_zero(styler->context, pixels, 3 * sizeof *painted);
    if (!painted) return IMP_ERR_MEMORY;
    imp_styler_paint(styler, planes, shares, painted);
    /* What is darker than black or lighter than white is not shown, so that it is not blended either. */
    for (size_t i = 0; i < 3 * pixels; i++) painted[i] = fminf(fmaxf(painted[i], 0), IMP_WHITE);
    if (styler->keep_colors) imp_colour_keep(styler->context, painted, planes, pixels);
    float share = (float)strength;
    for (size_t i = 0; i < 3 * pixels; i++) planes[i] += share * (painted[i] - planes[i]);
    imp_release(styler->context, painted);
    return IMP_OK;
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
