/* PNG files, by libpng, with all memory through the context. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/image.h"
#include "base/memory.h"
#include "picture/codec.h"
#include "picture/colour.h"
#include "picture/exif.h"
#include "picture/pixels.h"

#define SIGNATURE_BYTES 8
#define CHUNK_BYTES 12                     /* of a chunk without data: length, name, checksum */
#define MAX_CHUNKS 1000                    /* of the kinds that libpng keeps: bounds memory against hostile files */
#define MAX_CHUNK_BYTES ((size_t)64 << 20) /* of one, unpacked; a colour profile is the largest that matters */

/* libpng goes on without a chunk for which there was no memory; a picture must not lose its colours that way. */
typedef struct png_memory {
    imp_context *context;
    int failed;
} png_memory;

/* Everything that a longjmp must find again lives here, not in local variables. */
typedef struct png_reading {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    png_memory memory;
    imp_context *context;
    const imp_source *source;
    size_t offset;
    imp_image *image;   /* NULL: only its size is asked for */
    unsigned row, rows; /* where reading is, for messages; rows is 0 before the pixels */
    int status;
} png_reading;

/* ---- Errors and memory ------------------------------------------------------------------------------------------- */

static void stop_reading(png_structp png, png_const_charp words) {
    png_reading *reading = png_get_error_ptr(png);
    if (!reading->status) reading->status = imp_fail(reading->context, IMP_ERR_FORMAT, "damaged PNG: %s", words);
    longjmp(reading->jump, 1);
}

static void log_warning(png_structp png, png_const_charp words) {
    png_reading *reading = png_get_error_ptr(png);
    if (reading->image) /* who reads the pixels is told */
        imp_log(reading->context, IMP_LOG_WARNING, "%s: %s", reading->source->name, words);
}

static png_voidp take(png_structp png, png_alloc_size_t bytes) {
    png_memory *memory = png_get_mem_ptr(png);
    void *taken = imp_allocate(memory->context, bytes);
    if (!taken) memory->failed = 1;
    return taken;
}

static void give(png_structp png, png_voidp taken) {
    imp_release(((png_memory *)png_get_mem_ptr(png))->context, taken);
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
    png_reading *reading = png_get_io_ptr(png);
    if (count > reading->source->length - reading->offset) {
        if (reading->rows && reading->row < reading->rows)
            reading->status = imp_fail(reading->context, IMP_ERR_FORMAT, "truncated PNG: the data ends in row %u of %u",
                                       reading->row + 1, reading->rows);
        else
            reading->status = imp_fail(reading->context, IMP_ERR_FORMAT, "truncated PNG: the data ends %s",
                                       reading->rows ? "after the last row" : "in its header");
        png_error(png, "truncated");
    }
    memcpy(out, reading->source->bytes + reading->offset, count);
    reading->offset += count;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Asks libpng for 8 or 16 bits in the machine's byte order, grey or RGB, alpha where the file has any. */
static void set_transforms(png_structp png, png_infop info) {
    png_set_expand(png); /* palettes, fewer than 8 bits, and transparency by colour */
    if (png_get_bit_depth(png, info) == 16) {
        const uint16_t one = 1;
        if (*(const uint8_t *)&one) png_set_swap(png);
    }
}

/* All up to the pixels. */
static int read_header(png_reading *reading) {
    png_read_info(reading->png, reading->info);
    return imp_codec_check_size(reading->context, png_get_image_width(reading->png, reading->info),
                                png_get_image_height(reading->png, reading->info));
}

/* Creates the image; returns the number of passes, or a negative status. */
static int prepare_image(png_reading *reading) {
    png_structp png = reading->png;
    int width = (int)png_get_image_width(png, reading->info), height = (int)png_get_image_height(png, reading->info);
    set_transforms(png, reading->info);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, reading->info);
    imp_depth depth = png_get_bit_depth(png, reading->info) == 16 ? IMP_DEPTH_16 : IMP_DEPTH_8;
    int status =
        imp_image_create(reading->context, width, height, png_get_channels(png, reading->info), depth, reading->image);
    if (status) return status;
    if (png_get_rowbytes(png, reading->info) != reading->image->stride)
        return imp_fail(reading->context, IMP_ERR_FORMAT, "damaged PNG: rows of %zu bytes",
                        png_get_rowbytes(png, reading->info));
    return passes;
}

/* Colour as the file tells it. sRGB chunk: nothing to do. A profile goes before gamma and primaries. */
static void read_origin(const png_reading *reading, imp_colour_origin *origin) {
    png_structp png = reading->png;
    png_infop info = reading->info;
    png_charp name;
    png_bytep profile;
    png_uint_32 length;
    int compression, intent;
    double *at = origin->primaries;
    if (png_get_sRGB(png, info, &intent)) return;
    if (png_get_iCCP(png, info, &name, &compression, &profile, &length)) {
        origin->profile = profile;
        origin->length = length;
        return;
    }
    png_get_gAMA(png, info, &origin->gamma);
    if (png_get_cHRM(png, info, &at[0], &at[1], &at[2], &at[3], &at[4], &at[5], &at[6], &at[7]))
        origin->has_primaries = 1;
}

static int exif_orientation(const png_reading *reading) {
    png_bytep exif;
    png_uint_32 length;
    if (!png_get_eXIf_1(reading->png, reading->info, &length, &exif)) return 1;
    return imp_exif_orientation(exif, length);
}

/* Without an image only the header is read. */
static int run_reading(png_reading *reading) {
    if (setjmp(reading->jump)) return reading->status;
    reading->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, reading, stop_reading, log_warning, &reading->memory,
                                            take, give);
    reading->info = reading->png ? png_create_info_struct(reading->png) : NULL;
    if (!reading->info) return imp_fail(reading->context, IMP_ERR_MEMORY, "out of memory: PNG picture");
    png_structp png = reading->png;
    png_set_read_fn(png, reading, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* imp_codec_check_size says it better */
    png_set_chunk_cache_max(png, MAX_CHUNKS);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE); /* or a fuzzer gets no further than the checksums */
#endif
    int status = read_header(reading);
    if (status || !reading->image) return status;
    int passes = prepare_image(reading);
    if (passes < 0) return passes;
    const imp_image *image = reading->image;
    reading->rows = (unsigned)image->height;
    for (int pass = 0; pass < passes; pass++)
        for (reading->row = 0; reading->row < reading->rows; reading->row++)
            png_read_row(png, (png_bytep)image->pixels + reading->row * image->stride, NULL);
    png_read_end(png, reading->info); /* EXIF data may follow the pixels */
    return IMP_OK;
}

static int decode(imp_context *context, const imp_codec *codec, const imp_source *source, imp_image *image) {
    (void)codec;
    png_reading reading = {.memory = {context, 0}, .context = context, .source = source, .image = image};
    int status = run_reading(&reading);
    if (reading.memory.failed) status = imp_fail(context, IMP_ERR_MEMORY, "out of memory: PNG picture");
    if (!status) {
        imp_colour_origin origin = {0};
        read_origin(&reading, &origin);
        status = imp_colour_apply(context, &origin, image, source->name);
    }
    if (!status) status = imp_exif_apply(context, exif_orientation(&reading), image);
    png_destroy_read_struct(&reading.png, &reading.info, NULL);
    if (status) imp_image_release(context, image);
    return status;
}

/* Whether EXIF data seem to come behind the pixels, where libpng finds and checks them once it has decoded these. */
static int has_exif_at_end(const imp_source *source) {
    size_t at = SIGNATURE_BYTES, behind = 0;
    while (source->length - at >= CHUNK_BYTES) {
        const uint8_t *chunk = source->bytes + at;
        size_t length = png_get_uint_32(chunk);
        if (memcmp(chunk + 4, "IDAT", 4) == 0) behind = 1;
        if (behind && memcmp(chunk + 4, "eXIf", 4) == 0) return 1;
        if (length > source->length - at - CHUNK_BYTES) return 0;
        at += CHUNK_BYTES + length;
    }
    return 0;
}

/* The size of what decode makes. */
static int decode_size(imp_context *context, const imp_codec *codec, const imp_source *source, int *width,
                       int *height) {
    imp_image image = {.size = sizeof image};
    int status = decode(context, codec, source, &image);
    if (status) return status;
    *width = image.width;
    *height = image.height;
    imp_image_release(context, &image);
    return IMP_OK;
}

static int find_size(imp_context *context, const imp_codec *codec, const imp_source *source, int *width, int *height) {
    png_reading reading = {.memory = {context, 0}, .context = context, .source = source};
    int status = run_reading(&reading), late = 0;
    if (reading.memory.failed) status = imp_fail(context, IMP_ERR_MEMORY, "out of memory: PNG picture");
    if (!status) {
        late = !png_get_valid(reading.png, reading.info, PNG_INFO_eXIf) && has_exif_at_end(source);
        *width = (int)png_get_image_width(reading.png, reading.info);
        *height = (int)png_get_image_height(reading.png, reading.info);
        imp_exif_apply_to_size(exif_orientation(&reading), width, height);
    }
    png_destroy_read_struct(&reading.png, &reading.info, NULL);
    return late ? decode_size(context, codec, source, width, height) : status;
}

static int recognise(const uint8_t *bytes, size_t length) {
    return length >= SIGNATURE_BYTES && png_sig_cmp(bytes, 0, SIGNATURE_BYTES) == 0;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

typedef struct png_writing {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    png_memory memory;
    imp_context *context;
    const imp_image *image;
    FILE *stream;
    void *row;
    int status;
} png_writing;

static void stop_writing(png_structp png, png_const_charp words) {
    png_writing *writing = png_get_error_ptr(png);
    if (!writing->status) writing->status = imp_fail(writing->context, IMP_ERR_UNSUPPORTED, "PNG: %s", words);
    longjmp(writing->jump, 1);
}

static void heed_nothing(png_structp png, png_const_charp words) {
    (void)png;
    (void)words;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
    png_writing *writing = png_get_io_ptr(png);
    if (fwrite(bytes, 1, count, writing->stream) == count) return;
    writing->status = imp_fail(writing->context, IMP_ERR_IO, "the file could not be written");
    png_error(png, "write");
}

static void flush_nothing(png_structp png) {
    (void)png;
}

static int run_writing(png_writing *writing) {
    static const int colour_types[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                       PNG_COLOR_TYPE_RGB_ALPHA};
    const imp_image *image = writing->image;
    int deep = image->depth != IMP_DEPTH_8;
    if (setjmp(writing->jump)) return writing->status;
    writing->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, writing, stop_writing, heed_nothing,
                                             &writing->memory, take, give);
    writing->info = writing->png ? png_create_info_struct(writing->png) : NULL;
    if (!writing->info) return imp_fail(writing->context, IMP_ERR_MEMORY, "out of memory: PNG picture");
    png_set_write_fn(writing->png, writing, write_bytes, flush_nothing);
    png_set_IHDR(writing->png, writing->info, (png_uint_32)image->width, (png_uint_32)image->height, deep ? 16 : 8,
                 colour_types[image->channels], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(writing->png, writing->info, PNG_sRGB_INTENT_PERCEPTUAL);
    png_write_info(writing->png, writing->info);
    const uint16_t one = 1;
    if (deep && *(const uint8_t *)&one) png_set_swap(writing->png);
    for (int y = 0; y < image->height; y++) {
        if (deep)
            imp_pixels_row_16(image, y, writing->row);
        else
            imp_pixels_row_8(image, y, writing->row);
        png_write_row(writing->png, writing->row);
    }
    png_write_end(writing->png, NULL);
    return IMP_OK;
}

static int encode(imp_context *context, const imp_codec *codec, const imp_image *image, int quality, FILE *stream) {
    (void)codec;
    (void)quality;
    png_writing writing = {.memory = {context, 0}, .context = context, .image = image, .stream = stream};
    writing.row = imp_allocate_zero(context, (size_t)image->width * (size_t)image->channels, sizeof(uint16_t));
    if (!writing.row) return IMP_ERR_MEMORY;
    int status = run_writing(&writing);
    if (writing.memory.failed) status = imp_fail(context, IMP_ERR_MEMORY, "out of memory: PNG picture");
    png_destroy_write_struct(&writing.png, &writing.info);
    imp_release(context, writing.row);
    return status;
}

const imp_codec imp_codec_png = {.name = "PNG",
                                 .endings = " .png ",
                                 .vips_format = -1,
                                 .recognise = recognise,
                                 .decode = decode,
                                 .find_size = find_size,
                                 .encode = encode};
