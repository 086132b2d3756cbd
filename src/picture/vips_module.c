/* The module over libvips: WebP, TIFF, AVIF/HEIF and GIF files, each by the one loader named for it, so that a file can
 * never reach another of libvips' many loaders (some hand files to whole programs). */
#include <string.h>

#include <vips/vips.h>

#include "picture/vips.h"

#define EXPORT __attribute__((visibility("default")))
#define STRIP_ROWS 64 /* decoded and copied at a time */

typedef struct opened {
    VipsImage *image;
} opened;

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* libvips' words, a line each, joined into one line. Its buffer is shared by all threads of the process. */
static void take_words(char *error, size_t size) {
    char *words = vips_error_buffer_copy();
    g_strchomp(words);
    for (char *at = words; *at; at++)
        if (*at == '\n') *at = ';';
    g_strlcpy(error, *words ? words : "libvips gives no reason", size);
    g_free(words);
}

static void print_nothing(const char *domain, GLogLevelFlags level, const char *words, void *user) {
    (void)domain;
    (void)level;
    (void)words;
    (void)user;
}

static int start_vips(char *error, size_t error_size) {
    static gsize started; /* 1 failed, 2 fine: GLib's once, since libvips is one for the whole process anyway */
    if (g_once_init_enter(&started)) {
        int fine = VIPS_INIT("impasto") == 0;
        if (fine) g_log_set_handler("VIPS", G_LOG_LEVEL_MASK, print_nothing, NULL);
        g_once_init_leave(&started, fine ? 2 : 1);
    }
    if (started == 2) return 1;
    g_strlcpy(error, "libvips cannot be started", error_size);
    return 0;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static VipsImage *load(const void *bytes, size_t length, imp_vips_format format) {
    VipsImage *image = NULL;
    void *buffer = (void *)(uintptr_t)bytes; /* libvips only reads it */
    switch (format) {
    case IMP_VIPS_WEBP:
        vips_webpload_buffer(buffer, length, &image, "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL);
        break;
    case IMP_VIPS_TIFF:
        vips_tiffload_buffer(buffer, length, &image, "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL);
        break;
    case IMP_VIPS_HEIF:
        vips_heifload_buffer(buffer, length, &image, "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL);
        break;
    case IMP_VIPS_GIF:
        vips_gifload_buffer(buffer, length, &image, "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL);
        break;
    }
    return image;
}

/* Takes over image; NULL when the step failed. */
static VipsImage *next(VipsImage *image, int result, VipsImage **made) {
    g_object_unref(image);
    return result == 0 ? *made : NULL;
}

static int is_deep(const VipsImage *image) {
    return vips_image_get_format(image) != VIPS_FORMAT_UCHAR && vips_image_get_format(image) != VIPS_FORMAT_CHAR;
}

/* Upright, with the bands and the format that Impasto takes. RGB keeps its profile for the caller; CMYK, Lab and the
   like are converted here, by the profile where there is one. Each step is lazy: no pixel is decoded yet. */
static VipsImage *normalise(VipsImage *image) {
    VipsImage *made = NULL;
    image = next(image, vips_autorot(image, &made, NULL), &made);
    if (!image) return NULL;
    VipsInterpretation kind = vips_image_guess_interpretation(image);
    int deep = is_deep(image), mono = kind == VIPS_INTERPRETATION_B_W || kind == VIPS_INTERPRETATION_GREY16;
    int plain = mono || kind == VIPS_INTERPRETATION_sRGB || kind == VIPS_INTERPRETATION_RGB ||
                kind == VIPS_INTERPRETATION_RGB16;
    VipsInterpretation target = mono   ? (deep ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W)
                                : deep ? VIPS_INTERPRETATION_RGB16
                                       : VIPS_INTERPRETATION_sRGB;
    image = next(image, vips_colourspace(image, &made, target, NULL), &made);
    if (image && !plain) {
        image = next(image, vips_copy(image, &made, NULL), &made);
        if (image) vips_image_remove(image, VIPS_META_ICC_NAME);
    }
    int bands = mono ? 1 : 3, most = bands + 1;
    if (image && vips_image_get_bands(image) > most) /* extra samples beyond one alpha */
        image = next(image, vips_extract_band(image, &made, 0, "n", most, NULL), &made);
    if (!image) return NULL;
    return next(image, vips_cast(image, &made, deep ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR, NULL), &made);
}

static void module_close(void *handle) {
    opened *picture = handle;
    if (!picture) return;
    if (picture->image) g_object_unref(picture->image);
    g_free(picture);
}

static void *module_open(const void *bytes, size_t length, imp_vips_format format, imp_vips_picture *about, char *error,
                         size_t error_size) {
    if (!start_vips(error, error_size)) return NULL;
    opened *picture = g_try_malloc0(sizeof *picture);
    if (!picture) {
        g_strlcpy(error, "out of memory", error_size);
        return NULL;
    }
    picture->image = load(bytes, length, format);
    if (picture->image) picture->image = normalise(picture->image);
    if (!picture->image) {
        take_words(error, error_size);
        module_close(picture);
        return NULL;
    }
    *about = (imp_vips_picture){.width = vips_image_get_width(picture->image),
                                .height = vips_image_get_height(picture->image),
                                .channels = vips_image_get_bands(picture->image),
                                .depth = is_deep(picture->image) ? 2 : 1};
    if (vips_image_get_typeof(picture->image, VIPS_META_ICC_NAME))
        vips_image_get_blob(picture->image, VIPS_META_ICC_NAME, &about->profile, &about->profile_length);
    return picture;
}

static int module_read(void *handle, void *pixels, size_t stride, char *error, size_t error_size) {
    VipsImage *image = ((opened *)handle)->image;
    VipsRegion *region = vips_region_new(image);
    size_t row = VIPS_IMAGE_SIZEOF_LINE(image);
    int fine = region != NULL;
    for (int top = 0; fine && top < image->Ysize; top += STRIP_ROWS) {
        VipsRect strip = {0, top, image->Xsize, VIPS_MIN(STRIP_ROWS, image->Ysize - top)};
        fine = vips_region_prepare(region, &strip) == 0;
        for (int y = top; fine && y < top + strip.height; y++)
            memcpy((uint8_t *)pixels + (size_t)y * stride, VIPS_REGION_ADDR(region, 0, y), row);
    }
    if (region) g_object_unref(region);
    if (!fine) take_words(error, error_size);
    return fine;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static int module_can_save(imp_vips_format format) {
    char words[1];
    if (!start_vips(words, sizeof words)) return 0;
    const char *saver = format == IMP_VIPS_WEBP   ? "webpsave_buffer"
                        : format == IMP_VIPS_TIFF ? "tiffsave_buffer"
                        : format == IMP_VIPS_HEIF ? "heifsave_buffer"
                                                  : NULL;
    return saver && vips_type_find("VipsOperation", saver) != 0;
}

static int save(VipsImage *image, imp_vips_format format, int quality, void **bytes, size_t *length) {
    switch (format) {
    case IMP_VIPS_WEBP:
        return vips_webpsave_buffer(image, bytes, length, "Q", quality, NULL) == 0;
    case IMP_VIPS_TIFF:
        return vips_tiffsave_buffer(image, bytes, length, "compression", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE,
                                    "predictor", VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL, NULL) == 0;
    case IMP_VIPS_HEIF:
        return vips_heifsave_buffer(image, bytes, length, "Q", quality, "compression",
                                    VIPS_FOREIGN_HEIF_COMPRESSION_AV1, NULL) == 0;
    case IMP_VIPS_GIF:
        break;
    }
    return 0;
}

static int module_save(const imp_vips_picture *picture, const void *pixels, imp_vips_format format, int quality,
                       void **bytes, size_t *length, char *error, size_t error_size) {
    if (!start_vips(error, error_size)) return 0;
    size_t size = (size_t)picture->width * (size_t)picture->height * (size_t)(picture->channels * picture->depth);
    int mono = picture->channels < 3, deep = picture->depth == 2;
    VipsInterpretation kind = mono ? (deep ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W)
                                   : (deep ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB);
    VipsImage *made = NULL,
              *image = vips_image_new_from_memory(pixels, size, picture->width, picture->height, picture->channels,
                                                  deep ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR);
    if (image) image = next(image, vips_copy(image, &made, "interpretation", kind, NULL), &made);
    if (image) vips_image_set_blob_copy(image, VIPS_META_ICC_NAME, picture->profile, picture->profile_length);
    int fine = image && save(image, format, quality, bytes, length);
    if (image) g_object_unref(image);
    if (!fine) take_words(error, error_size);
    return fine;
}

static void module_release(void *bytes) {
    g_free(bytes);
}

EXPORT const imp_vips_module *imp_vips_module_get(void);

EXPORT const imp_vips_module *imp_vips_module_get(void) {
    static const imp_vips_module module = {.version = IMP_VIPS_INTERFACE,
                                           .open = module_open,
                                           .read = module_read,
                                           .close = module_close,
                                           .can_save = module_can_save,
                                           .save = module_save,
                                           .release = module_release};
    return &module;
}
