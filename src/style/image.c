/* Images of the public interface: their memory, and the way to float planes and back. */
#include "style/image.h"

#include <string.h>

#include "base/image.h"
#include "base/memory.h"
#include "base/thread.h"
#include "style/resample.h"

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

int imp_image_create(imp_context *context, int width, int height, int channels, imp_depth depth, imp_image *image) {
    if (!context) return IMP_ERR_ARGUMENT;
    if (!image) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_image_create: image is NULL");
    *image = (imp_image){.size = sizeof *image};
    int status = imp_image_check_shape(context, width, height, channels, depth, "imp_image_create");
    if (status) return status;
    imp_image made = {sizeof made, width, height, channels, depth, 0, NULL};
    made.stride = imp_image_row_bytes(&made);
    made.pixels = imp_allocate_zero(context, (size_t)height, made.stride);
    if (!made.pixels) return IMP_ERR_MEMORY;
    *image = made;
    return IMP_OK;
}

void imp_image_release(imp_context *context, imp_image *image) {
    if (!context || !image) return;
    imp_release(context, image->pixels);
    *image = (imp_image){.size = sizeof *image};
}

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

/* Comparisons with NaN are false, so that it becomes 0. */
static inline float clamp(float value, float most) {
    return value > 0 ? (value < most ? value : most) : 0;
}

/* A sample on the 0..255 scale. */
static inline float load_sample(const uint8_t *row, size_t index, imp_depth depth) {
    if (depth == IMP_DEPTH_8) return row[index];
    if (depth == IMP_DEPTH_16) return ((const uint16_t *)(const void *)row)[index] * (1 / 257.0f);
    return clamp(((const float *)(const void *)row)[index], 1) * 255;
}

/* A value on the 0..255 scale, clamped and rounded. */
static inline void store_sample(uint8_t *row, size_t index, imp_depth depth, float value) {
    value = clamp(value, 255);
    if (depth == IMP_DEPTH_8)
        row[index] = (uint8_t)(value + 0.5f);
    else if (depth == IMP_DEPTH_16)
        ((uint16_t *)(void *)row)[index] = (uint16_t)(value * 257 + 0.5f);
    else
        ((float *)(void *)row)[index] = value * (1 / 255.0f);
}

static const uint8_t *image_row(const imp_image *image, int y) {
    return (const uint8_t *)image->pixels + (size_t)y * image->stride;
}

/* ---- To planes --------------------------------------------------------------------------------------------------- */

/* Row y as three rows of RGB on white. */
static void opaque_row(const void *user, int y, float *scratch, const float *rows[IMP_RESAMPLE_MAX_CHANNELS]) {
    const imp_image *image = user;
    const uint8_t *row = image_row(image, y);
    size_t width = (size_t)image->width, channels = (size_t)image->channels;
    int colour = image->channels >= 3, alpha = image->channels % 2 == 0;
    for (size_t c = 0; c < 3; c++) {
        float *out = scratch + c * width;
        rows[c] = out;
        for (size_t x = 0; x < width; x++) out[x] = load_sample(row, x * channels + (colour ? c : 0), image->depth);
        for (size_t x = 0; alpha && x < width; x++) {
            float opacity = load_sample(row, x * channels + channels - 1, image->depth) * (1 / 255.0f);
            out[x] = IMP_WHITE + (out[x] - IMP_WHITE) * opacity;
        }
    }
}

static void clamp_range(void *user, int64_t begin, int64_t end, int thread) {
    float *values = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) values[i] = clamp(values[i], 255);
}

int imp_image_fill_planes(imp_context *context, const imp_image *image, int width, int height, float *planes) {
    int status = imp_resample(context, opaque_row, image, 3, image->height, image->width, planes, height, width,
                              IMP_FILTER_LANCZOS);
    if (!status) imp_parallel(context, (int64_t)3 * width * height, clamp_range, planes);
    return status;
}

int imp_image_to_planes(imp_context *context, const imp_image *image, int width, int height, float **planes) {
    float *made = imp_allocate_zero(context, (size_t)width * (size_t)height, 3 * sizeof(float));
    *planes = NULL;
    if (!made) return IMP_ERR_MEMORY;
    int status = imp_image_fill_planes(context, image, width, height, made);
    if (status) {
        imp_release(context, made);
        return status;
    }
    *planes = made;
    return IMP_OK;
}

/* ---- From planes ------------------------------------------------------------------------------------------------- */

typedef struct plane_writing {
    const float *planes; /* [channels][height][width] */
    imp_image *image;
    int premultiplied; /* the colours are multiplied by the last channel, which is alpha */
} plane_writing;

static void write_rows(void *user, int64_t begin, int64_t end, int thread) {
    const plane_writing *job = user;
    imp_image *image = job->image;
    size_t width = (size_t)image->width, channels = (size_t)image->channels, plane = width * (size_t)image->height;
    (void)thread;
    for (int64_t y = begin; y < end; y++) {
        uint8_t *row = (uint8_t *)image->pixels + (size_t)y * image->stride;
        const float *from = job->planes + (size_t)y * width;
        for (size_t c = 0; c < channels; c++) {
            int divide = job->premultiplied && c + 1 < channels;
            const float *values = from + c * plane, *alpha = from + (channels - 1) * plane;
            for (size_t x = 0; x < width; x++) {
                float value = values[x];
                if (divide) value = alpha[x] > 0 ? value * 255 / alpha[x] : 0;
                store_sample(row, x * channels + c, image->depth, value);
            }
        }
    }
}

int imp_planes_to_image(imp_context *context, const float *planes, int width, int height, imp_depth depth,
                        imp_image *out) {
    int status = imp_image_create(context, width, height, 3, depth, out);
    if (status) return status;
    plane_writing job = {planes, out, 0};
    imp_parallel(context, height, write_rows, &job);
    return IMP_OK;
}

/* ---- Resizing an image ------------------------------------------------------------------------------------------- */

/* Row y of every channel, colours multiplied by alpha where there is one, so that what is transparent lends
 * no colour. */
static void premultiplied_row(const void *user, int y, float *scratch, const float *rows[IMP_RESAMPLE_MAX_CHANNELS]) {
    const imp_image *image = user;
    const uint8_t *row = image_row(image, y);
    size_t width = (size_t)image->width, channels = (size_t)image->channels;
    int alpha = image->channels % 2 == 0;
    for (size_t c = 0; c < channels; c++) {
        float *out = scratch + c * width;
        rows[c] = out;
        for (size_t x = 0; x < width; x++) out[x] = load_sample(row, x * channels + c, image->depth);
        for (size_t x = 0; alpha && c + 1 < channels && x < width; x++)
            out[x] *= load_sample(row, x * channels + channels - 1, image->depth) * (1 / 255.0f);
    }
}

int imp_image_resize(imp_context *context, const imp_image *image, int width, int height, imp_image *out) {
    if (!context) return IMP_ERR_ARGUMENT;
    if (!out) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_image_resize: out is NULL");
    imp_image made = {0};
    float *planes = NULL;
    int status = imp_image_check(context, image, "imp_image_resize");
    if (!status) status = imp_image_create(context, width, height, image->channels, image->depth, &made);
    if (!status) {
        size_t count = (size_t)width * (size_t)height;
        planes = imp_allocate_zero(context, count, (size_t)image->channels * sizeof(float));
        if (!planes) status = IMP_ERR_MEMORY;
    }
    if (!status)
        status = imp_resample(context, premultiplied_row, image, image->channels, image->height, image->width, planes,
                              height, width, IMP_FILTER_LANCZOS);
    if (status) {
        imp_image_release(context, &made);
    } else {
        plane_writing job = {planes, &made, image->channels % 2 == 0};
        imp_parallel(context, height, write_rows, &job);
    }
    imp_release(context, planes);
    *out = made;
    out->size = sizeof *out;
    return status;
}
