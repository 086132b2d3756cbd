/* Picture files: recognised by their content when read, by their ending when written. */
#include "impasto_picture.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/image.h"
#include "base/memory.h"
#include "picture/codec.h"

#define MAX_FILE_BYTES ((uint64_t)1 << 31) /* of a picture file: IMP_PICTURE_MAX_PIXELS of 16-bit RGBA */
#define DEFAULT_QUALITY 92
/* bytes of a name in an error, which must leave room for the rest; longer ones lose their front */
#define LONGEST_NAME 256
#define SHOWN_BYTES 16 /* of an unknown file */

static const imp_codec *const codecs[] = {&imp_codec_jpeg, &imp_codec_png,  &imp_codec_webp, &imp_codec_tiff,
                                          &imp_codec_avif, &imp_codec_heif, &imp_codec_gif};
#define CODECS (sizeof codecs / sizeof codecs[0])

int imp_codec_check_size(imp_context *context, uint64_t width, uint64_t height) {
    if (width == 0 || height == 0)
        return imp_fail(context, IMP_ERR_FORMAT, "it has no pixels (%llu x %llu)", (unsigned long long)width,
                        (unsigned long long)height);
    if (width <= IMP_IMAGE_MAX_SIDE && height <= IMP_IMAGE_MAX_SIDE && width * height <= IMP_PICTURE_MAX_PIXELS)
        return IMP_OK;
    return imp_fail(context, IMP_ERR_UNSUPPORTED,
                    "%llu x %llu pixels, more than are read (%d a side, %llu in all); make it smaller first",
                    (unsigned long long)width, (unsigned long long)height, IMP_IMAGE_MAX_SIDE,
                    (unsigned long long)IMP_PICTURE_MAX_PIXELS);
}

/* ---- What an unknown file is ------------------------------------------------------------------------------------- */

/* Files that people take for pictures, or that are pictures of another kind. */
typedef struct known_start {
    size_t offset;
    const char *start; /* letters in either case */
    const char *words;
} known_start;

static const known_start known_starts[] = {
    {0, "<!doctype html", "an HTML page, not a picture; the download went wrong"},
    {0, "<html", "an HTML page, not a picture; the download went wrong"},
    {0, "version https://git-lfs", "a Git LFS pointer, not the picture itself; run `git lfs pull`"},
    {0, "<svg", "SVG pictures aren't read; convert it to PNG"},
    {0, "<?xml", "an XML file (SVG?), which isn't read; convert it to PNG"},
    {0, "%PDF", "PDF files aren't read; convert a page to PNG"},
    {0, "8BPS", "Photoshop files aren't read; save it as PNG or JPEG"},
    {0, "gimp xcf", "GIMP files aren't read; export it as PNG or JPEG"},
    {0, "\xFF\x0A", "JPEG XL pictures aren't read; convert it to PNG"},
    {4, "JXL \r\n", "JPEG XL pictures aren't read; convert it to PNG"},
    {4, "jP  \r\n", "JPEG 2000 pictures aren't read; convert it to PNG"},
    {4, "ftyp", "a video or another MP4-like file, not a picture that Impasto knows"},
};

static const char *skip_blanks(const char *text, size_t *length) {
    while (*length && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')) text++, --*length;
    return text;
}

/* The reason why no codec took it, which is IMP_ERR_FORMAT. */
static int fail_unknown(imp_context *context, const imp_source *source) {
    size_t length = source->length;
    const char *text = skip_blanks((const char *)source->bytes, &length);
    for (size_t i = 0; i < sizeof known_starts / sizeof known_starts[0]; i++) {
        const known_start *known = &known_starts[i];
        size_t known_length = strlen(known->start);
        if (length >= known->offset + known_length &&
            strncasecmp(text + known->offset, known->start, known_length) == 0)
            return imp_fail(context, IMP_ERR_FORMAT, "%s", known->words);
    }
    if (length >= 10 && memcmp(text, "BM", 2) == 0 && memcmp(text + 6, "\0\0\0\0", 4) == 0)
        return imp_fail(context, IMP_ERR_FORMAT, "BMP pictures aren't read; convert it to PNG");
    size_t shown = 0;
    while (shown < length && shown < SHOWN_BYTES && text[shown] >= ' ' && text[shown] <= '~') shown++;
    if (shown >= SHOWN_BYTES || (shown && shown == length) || (shown && (text[shown] == '\n' || text[shown] == '\r')))
        return imp_fail(context, IMP_ERR_FORMAT, "not a picture that Impasto knows (it begins with \"%.*s\")",
                        (int)shown, text);
    char hex[4 * 3 + 1] = "";
    for (size_t i = 0; i < 4 && i < source->length; i++) snprintf(hex + 3 * i, 4, " %02x", source->bytes[i]);
    return imp_fail(context, IMP_ERR_FORMAT, "not a picture that Impasto knows (it begins with the bytes%s)", hex);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Puts the name, or the end of a long one, before the error. */
static int name_failure(imp_context *context, int status, const char *name) {
    size_t length = strlen(name);
    if (length <= LONGEST_NAME) return imp_fail_prefix(context, status, "%s: ", name);
    name += length - LONGEST_NAME;
    while (((unsigned char)*name & 0xC0) == 0x80) name++; /* not into the middle of a UTF-8 character */
    return imp_fail_prefix(context, status, "...%s: ", name);
}

/* The codec that takes the source; NULL with the error. */
static const imp_codec *find_decoder(imp_context *context, const imp_source *source) {
    for (size_t i = 0; i < CODECS; i++)
        if (codecs[i]->recognise(source->bytes, source->length)) return codecs[i];
    if (source->length == 0)
        imp_fail(context, IMP_ERR_FORMAT, "the file is empty");
    else
        fail_unknown(context, source);
    return NULL;
}

int imp_picture_decode(imp_context *context, const void *bytes, size_t length, const char *name, imp_image *image) {
    if (!context || !image || !name || (!bytes && length))
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_decode: an argument is NULL");
    *image = (imp_image){.size = sizeof *image};
    imp_source source = {bytes, length, name};
    const imp_codec *codec = find_decoder(context, &source);
    int status = codec ? codec->decode(context, codec, &source, image) : IMP_ERR_FORMAT;
    return status ? name_failure(context, status, name) : IMP_OK;
}

int imp_picture_read(imp_context *context, const char *path, imp_image *image) {
    uint8_t *bytes;
    size_t length;
    if (!context || !path || !image)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_read: an argument is NULL");
    *image = (imp_image){.size = sizeof *image};
    int status = imp_file_read(context, path, MAX_FILE_BYTES, &bytes, &length);
    if (status) return status;
    status = imp_picture_decode(context, bytes, length, path, image);
    imp_release(context, bytes);
    return status;
}

int imp_picture_decode_size(imp_context *context, const void *bytes, size_t length, const char *name, int *width,
                            int *height) {
    if (!context || !name || !width || !height || (!bytes && length))
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_decode_size: an argument is NULL");
    *width = *height = 0;
    imp_source source = {bytes, length, name};
    const imp_codec *codec = find_decoder(context, &source);
    int status = codec ? codec->find_size(context, codec, &source, width, height) : IMP_ERR_FORMAT;
    return status ? name_failure(context, status, name) : IMP_OK;
}

int imp_picture_size(imp_context *context, const char *path, int *width, int *height) {
    uint8_t *bytes;
    size_t length;
    if (!context || !path || !width || !height)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_size: an argument is NULL");
    *width = *height = 0;
    int status = imp_file_read(context, path, MAX_FILE_BYTES, &bytes, &length);
    if (status) return status;
    status = imp_picture_decode_size(context, bytes, length, path, width, height);
    imp_release(context, bytes);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static const char *name_ending(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot ? dot : "";
}

static int has_ending(const imp_codec *codec, const char *ending) {
    size_t length = strlen(ending);
    for (const char *at = codec->endings; length > 1 && (at = strchr(at, '.')); at++)
        if (strncasecmp(at, ending, length) == 0 && at[length] == ' ') return 1;
    return 0;
}

/* The codec that path's ending asks for, able to write; NULL with the error. */
static int find_encoder(imp_context *context, const char *path, const imp_codec **found) {
    const char *ending = name_ending(path);
    for (size_t i = 0; i < CODECS; i++) {
        if (!codecs[i]->encode || !has_ending(codecs[i], ending)) continue;
        *found = codecs[i];
        int status = codecs[i]->can_encode ? codecs[i]->can_encode(context, codecs[i]) : IMP_OK;
        return status ? name_failure(context, status, path) : IMP_OK;
    }
    char known[128];
    size_t used = 0;
    for (size_t i = 0; i < CODECS; i++)
        if (codecs[i]->encode)
            used += (size_t)snprintf(known + used, sizeof known - used, "%.*s", (int)strlen(codecs[i]->endings) - 1,
                                     codecs[i]->endings);
    imp_fail(context, IMP_ERR_ARGUMENT,
             *ending ? "no picture format ends in \"%.16s\"; these can be written:%s"
                     : "the name has no ending%s that says the picture format; these can be written:%s",
             ending, known);
    return name_failure(context, IMP_ERR_ARGUMENT, path);
}

int imp_picture_can_write(imp_context *context, const char *path) {
    const imp_codec *codec;
    if (!context || !path) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_can_write: an argument is NULL");
    int status = find_encoder(context, path, &codec);
    return status ? status : imp_file_can_write(context, path);
}

/* Image and quality, and the codec for them; name ends as the format's files do. */
static int check_writing(imp_context *context, const char *name, const imp_image *image, int quality,
                         const imp_codec **codec) {
    *codec = NULL;
    if (quality < 0 || quality > 100)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: quality %d is not 1 to 100 (or 0 for %d)", name, quality,
                        DEFAULT_QUALITY);
    int status = imp_image_check(context, image, name);
    return status ? status : find_encoder(context, name, codec);
}

int imp_picture_write(imp_context *context, const char *path, const imp_image *image, int quality) {
    const imp_codec *codec;
    imp_file_writer writer;
    if (!context || !path) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_write: an argument is NULL");
    int status = check_writing(context, path, image, quality, &codec);
    if (!status) status = imp_file_writer_open(context, path, &writer);
    if (status) return status;
    status = codec->encode(context, codec, image, quality ? quality : DEFAULT_QUALITY, writer.stream);
    if (!status) return imp_file_writer_commit(context, &writer);
    imp_file_writer_abandon(context, &writer);
    return name_failure(context, status, path);
}

int imp_picture_encode(imp_context *context, const char *ending, const imp_image *image, int quality, FILE *stream) {
    const imp_codec *codec;
    if (!context || !ending || !stream)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_picture_encode: an argument is NULL");
    int status = check_writing(context, ending, image, quality, &codec);
    return status ? status : codec->encode(context, codec, image, quality ? quality : DEFAULT_QUALITY, stream);
}
