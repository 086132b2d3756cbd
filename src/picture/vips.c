/* The formats that the vips module decodes and encodes: which files they are, finding the module, and moving pixels. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/image.h"
#include "base/memory.h"
#include "picture/codec.h"
#include "picture/colour.h"
#include "picture/pixels.h"
#include "picture/vips.h"

#define FOLDER_VARIABLE "IMPASTO_MODULES" /* environment: a folder that is looked into first */
#define WORDS 256                         /* bytes of the module's errors */
#define PATH_BYTES 4096

/* ---- Finding the module ------------------------------------------------------------------------------------------ */

/* Opens folder/inside/IMP_VIPS_MODULE_FILE if it is there; words is filled when it is there and cannot be opened. */
static void *open_in(const char *folder, size_t folder_length, const char *inside, char *words) {
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%.*s%s/%s", (int)folder_length, folder, inside, IMP_VIPS_MODULE_FILE);
    if (length < 0 || (size_t)length >= sizeof path || access(path, R_OK) != 0) return NULL;
    /* Never unloaded: GLib, behind libvips, doesn't stand it. */
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!module) snprintf(words, WORDS, "%s", dlerror());
    return module;
}

/* The module in the folder impasto beside this library, as installed, or right beside it, as built. Opened anew for
   every file: a second dlopen costs microseconds, and nothing global is kept. */
static void *open_module(char *words) {
    words[0] = 0;
    const char *folder = secure_getenv(FOLDER_VARIABLE);
    void *module = folder ? open_in(folder, strlen(folder), "", words) : NULL;
    Dl_info self;
    if (!module && dladdr((void *)(uintptr_t)imp_picture_decode, &self) && self.dli_fname) {
        const char *slash = strrchr(self.dli_fname, '/');
        const char *here = slash ? self.dli_fname : ".";
        size_t length = slash ? (size_t)(slash - self.dli_fname) : 1;
        module = open_in(here, length, "/impasto", words);
        if (!module) module = open_in(here, length, "", words);
    }
    return module;
}

static int find_module(imp_context *context, const imp_codec *codec, const char *instead,
                       const imp_vips_module **found) {
    char words[WORDS];
    void *module = open_module(words);
    if (!module && words[0])
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "%s pictures need libvips, which cannot be loaded: %s",
                        codec->name, words);
    if (!module)
        return imp_fail(
            context, IMP_ERR_UNSUPPORTED,
            "%s pictures need the vips module of Impasto, which is built where libvips-dev is installed; or %s PNG "
            "or JPEG",
            codec->name, instead);
    const imp_vips_module *(*get)(void);
    *(void **)&get =
        dlsym(module, IMP_VIPS_MODULE_SYMBOL); /* as POSIX says to turn an object pointer into a function's */
    *found = get ? get() : NULL;
    if (!*found || (*found)->version != IMP_VIPS_INTERFACE)
        return imp_fail(context, IMP_ERR_UNSUPPORTED,
                        "%s pictures need the module %s, and the one installed is of another version of Impasto",
                        codec->name, IMP_VIPS_MODULE_FILE);
    return IMP_OK;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static int read_picture(imp_context *context, const imp_codec *codec, const imp_vips_module *module, void *handle,
                        const imp_vips_picture *about, imp_image *image) {
    char words[WORDS] = "";
    int status = imp_codec_check_size(context, (uint64_t)about->width, (uint64_t)about->height);
    if (!status)
        status = imp_image_create(context, about->width, about->height, about->channels,
                                  about->depth == 2 ? IMP_DEPTH_16 : IMP_DEPTH_8, image);
    if (!status && !module->read(handle, image->pixels, image->stride, words, sizeof words))
        status = imp_fail(context, IMP_ERR_FORMAT, "truncated or damaged %s: %s", codec->name, words);
    return status;
}

/* Opens the picture and reads its header; the handle is closed by the module. */
static int open_picture(imp_context *context, const imp_codec *codec, const imp_source *source,
                        const imp_vips_module **module, void **handle, imp_vips_picture *about) {
    char words[WORDS] = "";
    *handle = NULL;
    int status = find_module(context, codec, "convert it to", module);
    if (status) return status;
    *handle =
        (*module)->open(source->bytes, source->length, (imp_vips_format)codec->vips_format, about, words, sizeof words);
    return *handle ? IMP_OK : imp_fail(context, IMP_ERR_FORMAT, "truncated or damaged %s: %s", codec->name, words);
}

static int find_size(imp_context *context, const imp_codec *codec, const imp_source *source, int *width, int *height) {
    const imp_vips_module *module;
    imp_vips_picture about = {0};
    void *handle;
    int status = open_picture(context, codec, source, &module, &handle, &about);
    if (status) return status;
    status = imp_codec_check_size(context, (uint64_t)about.width, (uint64_t)about.height);
    module->close(handle);
    if (status) return status;
    *width = about.width;
    *height = about.height;
    return IMP_OK;
}

static int decode(imp_context *context, const imp_codec *codec, const imp_source *source, imp_image *image) {
    const imp_vips_module *module;
    imp_vips_picture about = {0};
    void *handle;
    int status = open_picture(context, codec, source, &module, &handle, &about);
    if (status) return status;
    status = read_picture(context, codec, module, handle, &about, image);
    if (!status) {
        imp_colour_origin origin = {.profile = about.profile, .length = about.profile_length};
        status = imp_colour_apply(context, &origin, image, source->name);
    }
    module->close(handle);
    if (status) imp_image_release(context, image);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static int can_encode(imp_context *context, const imp_codec *codec) {
    const imp_vips_module *module;
    int status = find_module(context, codec, "write a", &module);
    if (status) return status;
    if (module->can_save((imp_vips_format)codec->vips_format)) return IMP_OK;
    return imp_fail(context, IMP_ERR_UNSUPPORTED, "the libvips that is installed cannot write %s; write a PNG or JPEG",
                    codec->name);
}

/* image in tight rows of 8 or 16 bits; released by imp_release. */
static void *tight_pixels(imp_context *context, const imp_image *image, int depth) {
    size_t row = (size_t)image->width * (size_t)image->channels * (size_t)depth;
    uint8_t *pixels = imp_allocate_zero(context, (size_t)image->height, row);
    for (int y = 0; pixels && y < image->height; y++) {
        void *out = pixels + (size_t)y * row;
        if (depth == 1)
            imp_pixels_row_8(image, y, out);
        else
            imp_pixels_row_16(image, y, out);
    }
    return pixels;
}

/* Hands about, with its profile, and pixels to the module, and what comes back to stream. */
static int save(imp_context *context, const imp_codec *codec, const imp_vips_picture *about, const void *pixels,
                int quality, FILE *stream) {
    const imp_vips_module *module;
    int status = find_module(context, codec, "write a", &module);
    if (status) return status;
    void *bytes = NULL;
    size_t length = 0;
    char words[WORDS] = "";
    if (!module->save(about, pixels, (imp_vips_format)codec->vips_format, quality, &bytes, &length, words,
                      sizeof words))
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "it cannot be written as %s: %s", codec->name, words);
    if (fwrite(bytes, 1, length, stream) != length)
        status = imp_fail(context, IMP_ERR_IO, "the file could not be written");
    module->release(bytes);
    return status;
}

static int encode(imp_context *context, const imp_codec *codec, const imp_image *image, int quality, FILE *stream) {
    int depth = codec->vips_format == IMP_VIPS_TIFF && image->depth != IMP_DEPTH_8 ? 2 : 1;
    imp_vips_picture about = {image->width, image->height, image->channels, depth, NULL, 0};
    uint8_t *profile = NULL;
    void *pixels = tight_pixels(context, image, depth);
    if (!pixels) return IMP_ERR_MEMORY;
    int status = imp_colour_srgb_profile(context, image->channels < 3, &profile, &about.profile_length);
    about.profile = profile;
    if (!status) status = save(context, codec, &about, pixels, quality, stream);
    imp_release(context, profile);
    imp_release(context, pixels);
    return status;
}

/* ---- Recognition ------------------------------------------------------------------------------------------------- */

static int is_webp(const uint8_t *bytes, size_t length) {
    return length >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

static int is_tiff(const uint8_t *bytes, size_t length) {
    return length >= 4 && (memcmp(bytes, "II*\0", 4) == 0 || memcmp(bytes, "MM\0*", 4) == 0 ||
                           memcmp(bytes, "II+\0", 4) == 0 || memcmp(bytes, "MM\0+", 4) == 0); /* +: BigTIFF */
}

static int is_gif(const uint8_t *bytes, size_t length) {
    return length >= 6 && (memcmp(bytes, "GIF87a", 6) == 0 || memcmp(bytes, "GIF89a", 6) == 0);
}

/* Whether the file type box (ISO 14496-12) names one of these brands, as its own or as one
   that it is compatible with. */
static int has_brand(const uint8_t *bytes, size_t length, const char *brands) {
    if (length < 16 || memcmp(bytes + 4, "ftyp", 4) != 0) return 0;
    size_t box = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    if (box < length) length = box;
    for (size_t at = 8; at + 4 <= length; at += at == 8 ? 8 : 4) { /* a version stands after the first */
        char brand[5] = {(char)bytes[at], (char)bytes[at + 1], (char)bytes[at + 2], (char)bytes[at + 3], 0};
        if (strlen(brand) == 4 && strstr(brands, brand)) return 1;
    }
    return 0;
}

static int is_avif(const uint8_t *bytes, size_t length) {
    return has_brand(bytes, length, "avif avis");
}

static int is_heif(const uint8_t *bytes, size_t length) {
    return has_brand(bytes, length, "heic heix hevc hevx heim heis mif1 msf1");
}

#define IN_MODULE .decode = decode, .find_size = find_size, .can_encode = can_encode

const imp_codec imp_codec_webp = {.name = "WebP",
                                  .endings = " .webp ",
                                  .vips_format = IMP_VIPS_WEBP,
                                  .recognise = is_webp,
                                  .encode = encode,
                                  IN_MODULE};
const imp_codec imp_codec_tiff = {.name = "TIFF",
                                  .endings = " .tif .tiff ",
                                  .vips_format = IMP_VIPS_TIFF,
                                  .recognise = is_tiff,
                                  .encode = encode,
                                  IN_MODULE};
const imp_codec imp_codec_avif = {.name = "AVIF",
                                  .endings = " .avif ",
                                  .vips_format = IMP_VIPS_HEIF,
                                  .recognise = is_avif,
                                  .encode = encode,
                                  IN_MODULE};
const imp_codec imp_codec_heif = {
    .name = "HEIF", .endings = "", .vips_format = IMP_VIPS_HEIF, .recognise = is_heif, IN_MODULE};
const imp_codec imp_codec_gif = {
    .name = "GIF", .endings = "", .vips_format = IMP_VIPS_GIF, .recognise = is_gif, IN_MODULE};
