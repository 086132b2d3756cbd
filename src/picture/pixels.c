/* Conversion of samples between depths, and of transparency to white. */
#include "picture/pixels.h"

#include <string.h>

#include "base/image.h"

/* Comparisons with NaN are false, so that it becomes 0. */
static inline float clamp_unit(float value) {
    return value > 0 ? (value < 1 ? value : 1) : 0;
}

void imp_pixels_row_8(const imp_image *image, int y, uint8_t *out) {
    const void *row = (const uint8_t *)image->pixels + (size_t)y * image->stride;
    size_t count = (size_t)image->width * (size_t)image->channels;
    const uint16_t *samples_16 = row;
    const float *samples_f32 = row;
    switch (image->depth) {
    case IMP_DEPTH_8:
        memcpy(out, row, count);
        break;
    case IMP_DEPTH_16: /* 65535 is 257 * 255 */
        for (size_t i = 0; i < count; i++) out[i] = (uint8_t)((samples_16[i] + 128u) / 257u);
        break;
    case IMP_DEPTH_F32:
        for (size_t i = 0; i < count; i++) out[i] = (uint8_t)(clamp_unit(samples_f32[i]) * 255 + 0.5f);
        break;
    }
}

void imp_pixels_row_16(const imp_image *image, int y, uint16_t *out) {
    const void *row = (const uint8_t *)image->pixels + (size_t)y * image->stride;
    size_t count = (size_t)image->width * (size_t)image->channels;
    const uint8_t *samples_8 = row;
    const float *samples_f32 = row;
    switch (image->depth) {
    case IMP_DEPTH_8:
        for (size_t i = 0; i < count; i++) out[i] = (uint16_t)(samples_8[i] * 257);
        break;
    case IMP_DEPTH_16:
        memcpy(out, row, count * sizeof *out);
        break;
    case IMP_DEPTH_F32:
        for (size_t i = 0; i < count; i++) out[i] = (uint16_t)(clamp_unit(samples_f32[i]) * 65535 + 0.5f);
        break;
    }
}

/* One sample on the scale 0..1. */
static float sample(const void *row, size_t index, imp_depth depth) {
    if (depth == IMP_DEPTH_8) return (float)((const uint8_t *)row)[index] / 255;
    if (depth == IMP_DEPTH_16) return (float)((const uint16_t *)row)[index] / 65535;
    return clamp_unit(((const float *)row)[index]);
}

void imp_pixels_row_8_on_white(const imp_image *image, int y, uint8_t *out) {
    if (image->channels % 2) {
        imp_pixels_row_8(image, y, out);
        return;
    }
    const void *row = (const uint8_t *)image->pixels + (size_t)y * image->stride;
    size_t channels = (size_t)image->channels, colours = channels - 1;
    for (size_t x = 0; x < (size_t)image->width; x++) {
        float alpha = sample(row, x * channels + colours, image->depth);
        for (size_t c = 0; c < colours; c++) {
            float value = sample(row, x * channels + c, image->depth);
            *out++ = (uint8_t)((1 + (value - 1) * alpha) * 255 + 0.5f);
        }
    }
}
