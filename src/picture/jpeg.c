/* JPEG files, by libjpeg-turbo. Its memory doesn't come through the context (it has its own allocator), but is bounded
 * by what the context's limit leaves. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

#include "base/image.h"
#include "base/memory.h"
#include "picture/codec.h"
#include "picture/colour.h"
#include "picture/exif.h"
#include "picture/pixels.h"

#define MAX_SCANS 500 /* of a progressive file; each costs a pass over the whole picture, and real ones have 10 */
#define MARKER_EXIF (JPEG_APP0 + 1)
#define MARKER_ICC (JPEG_APP0 + 2)
#define MARKER_LIMIT 0xFFFF    /* bytes of a marker that are kept: all */
#define WITHOUT_SUBSAMPLING 90 /* quality from which colour keeps its full resolution */

/* Everything that a longjmp must find again lives here, not in local variables. */
typedef struct jpeg_reading {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr input;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    imp_context *context;
    const imp_source *source;
    imp_image *image;   /* NULL: only its size is asked for */
    int orientation;    /* of EXIF */
    uint8_t *inks;      /* a row of CMYK */
    imp_colour *colour; /* from CMYK */
    JOCTET *profile;    /* by malloc */
    unsigned profile_length;
    int started, ended, warned; /* decompression began; the bytes have run out; a warning was logged */
    int status;
} jpeg_reading;

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* The status for an error of libjpeg, whose words go into the context. */
static int fail_by_code(imp_context *context, j_common_ptr jpeg, const char *doing) {
    char words[JMSG_LENGTH_MAX];
    (*jpeg->err->format_message)(jpeg, words);
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return imp_fail(context, IMP_ERR_MEMORY, "out of memory: JPEG picture");
    case JERR_FILE_WRITE:
        return imp_fail(context, IMP_ERR_IO, "the file could not be written");
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "a kind of JPEG that isn't supported: %s", words);
    default:
        return imp_fail(context, IMP_ERR_FORMAT, "%s: %s", doing, words);
    }
}

static void stop_reading(j_common_ptr jpeg) {
    jpeg_reading *reading = jpeg->client_data;
    reading->status = fail_by_code(reading->context, jpeg, "damaged JPEG");
    longjmp(reading->jump, 1);
}

/* The first row that isn't whole, counted from 1. */
static unsigned row_reached(const struct jpeg_decompress_struct *jpeg) {
    uint64_t row = (uint64_t)jpeg->input_iMCU_row * (unsigned)jpeg->max_v_samp_factor * DCTSIZE + 1;
    return row < jpeg->image_height ? (unsigned)row : jpeg->image_height;
}

static void stop_truncated(jpeg_reading *reading) {
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    if (!reading->started && jpeg->input_scan_number == 0)
        reading->status = imp_fail(reading->context, IMP_ERR_FORMAT, "truncated JPEG: the data ends in its header");
    else if (jpeg->progressive_mode || jpeg->buffered_image)
        reading->status =
            imp_fail(reading->context, IMP_ERR_FORMAT, "truncated JPEG: the data ends in row %u of %u of scan %d",
                     row_reached(jpeg), jpeg->image_height, jpeg->input_scan_number);
    else
        reading->status = imp_fail(reading->context, IMP_ERR_FORMAT, "truncated JPEG: the data ends in row %u of %u",
                                   row_reached(jpeg), jpeg->image_height);
    longjmp(reading->jump, 1);
}

/* Warnings (level -1). What can be shown all the same is logged once; the end of a scan's data before its last row is
   an error, unless the next marker says that only a part in the middle is lost (a restart marker). */
static void heed_message(j_common_ptr common, int level) {
    jpeg_reading *reading = common->client_data;
    char words[JMSG_LENGTH_MAX];
    if (level >= 0) return;
    int marker = reading->jpeg.unread_marker, restart = marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7;
    if (common->err->msg_code == JWRN_HIT_MARKER && !restart) stop_truncated(reading);
    if (reading->warned++ || !reading->image) return; /* who reads the pixels is told */
    (*common->err->format_message)(common, words);
    imp_log(reading->context, IMP_LOG_WARNING, "%s: %s", reading->source->name, words);
}

static void print_nothing(j_common_ptr jpeg) {
    (void)jpeg;
}

/* ---- Input ------------------------------------------------------------------------------------------------------- */

static void source_nothing(j_decompress_ptr jpeg) {
    (void)jpeg;
}

/* The bytes have run out. A baseline file that lacks only its end marker is whole: it is given one, and
   JWRN_HIT_MARKER tells when pixels were missing. Elsewhere missing bytes pass for zeros without a warning, so they
   are an error at once. */
static boolean source_ended(j_decompress_ptr jpeg) {
    static const JOCTET end[] = {0xFF, JPEG_EOI};
    jpeg_reading *reading = jpeg->client_data;
    if (!reading->started || jpeg->progressive_mode || jpeg->arith_code || jpeg_has_multiple_scans(jpeg) ||
        reading->ended)
        stop_truncated(reading);
    reading->ended = 1;
    reading->input.next_input_byte = end;
    reading->input.bytes_in_buffer = sizeof end;
    return TRUE;
}

static void source_skip(j_decompress_ptr jpeg, long count) {
    jpeg_reading *reading = jpeg->client_data;
    if (count <= 0) return;
    if ((unsigned long)count > reading->input.bytes_in_buffer) stop_truncated(reading);
    reading->input.next_input_byte += count;
    reading->input.bytes_in_buffer -= (size_t)count;
}

static void count_scans(j_common_ptr common) {
    jpeg_reading *reading = common->client_data;
    if (reading->jpeg.input_scan_number <= MAX_SCANS) return;
    reading->status = imp_fail(reading->context, IMP_ERR_FORMAT, "damaged JPEG: more than %d scans", MAX_SCANS);
    longjmp(reading->jump, 1);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static void open_decompressor(jpeg_reading *reading) {
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    const imp_context *context = reading->context;
    jpeg->err = jpeg_std_error(&reading->errors);
    reading->errors.error_exit = stop_reading;
    reading->errors.emit_message = heed_message;
    reading->errors.output_message = print_nothing;
    jpeg->client_data = reading;
    jpeg_create_decompress(jpeg);
    size_t limit = context->options.memory_limit, held = atomic_load(&context->memory_now);
    if (limit) jpeg->mem->max_memory_to_use = held < limit ? (long)(limit - held) : 1;
    reading->input = (struct jpeg_source_mgr){.next_input_byte = reading->source->bytes,
                                              .bytes_in_buffer = reading->source->length,
                                              .init_source = source_nothing,
                                              .fill_input_buffer = source_ended,
                                              .skip_input_data = source_skip,
                                              .resync_to_restart = jpeg_resync_to_restart,
                                              .term_source = source_nothing};
    jpeg->src = &reading->input;
    reading->progress.progress_monitor = count_scans;
    jpeg->progress = &reading->progress;
}

static int exif_orientation(const struct jpeg_decompress_struct *jpeg) {
    static const char name[6] = "Exif\0";
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        if (marker->marker == MARKER_EXIF && marker->data_length > sizeof name &&
            memcmp(marker->data, name, sizeof name) == 0)
            return imp_exif_orientation(marker->data + sizeof name, marker->data_length - sizeof name);
    return 1;
}

/* Size and orientation. */
static int read_header(jpeg_reading *reading) {
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    jpeg_save_markers(jpeg, MARKER_EXIF, MARKER_LIMIT);
    jpeg_save_markers(jpeg, MARKER_ICC, MARKER_LIMIT);
    jpeg_read_header(jpeg, TRUE);
    reading->orientation = exif_orientation(jpeg);
    return imp_codec_check_size(reading->context, jpeg->image_width, jpeg->image_height);
}

/* Chooses the colours that are decoded to; image is created. */
static int prepare_image(jpeg_reading *reading) {
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    if (!jpeg_read_icc_profile(jpeg, &reading->profile, &reading->profile_length)) reading->profile = NULL;
    int inks = 0;
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
        jpeg->out_color_space = JCS_GRAYSCALE;
        break;
    case JCS_YCbCr:
    case JCS_RGB:
        jpeg->out_color_space = JCS_RGB;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        jpeg->out_color_space = JCS_CMYK;
        inks = 1;
        break;
    default:
        return imp_fail(reading->context, IMP_ERR_UNSUPPORTED, "a kind of JPEG that isn't supported: %d components",
                        jpeg->num_components);
    }
    int status = imp_image_create(reading->context, (int)jpeg->image_width, (int)jpeg->image_height,
                                  jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3, IMP_DEPTH_8, reading->image);
    if (status || !inks) return status;
    reading->inks = imp_allocate_zero(reading->context, (size_t)jpeg->image_width, 4);
    if (!reading->inks) return IMP_ERR_MEMORY;
    imp_colour_origin origin = {.profile = reading->profile, .length = reading->profile_length};
    return imp_colour_open(reading->context, &origin, jpeg->saw_Adobe_marker ? IMP_SPACE_CMYK_INVERTED : IMP_SPACE_CMYK,
                           IMP_DEPTH_8, 0, reading->source->name, &reading->colour);
}

/* Without a profile each ink takes its colour away from white, and black takes all. */
static void plain_cmyk_row(const uint8_t *inks, int inverted, uint8_t *out, int pixels) {
    unsigned flip = inverted ? 0 : 255;
    for (int x = 0; x < pixels; x++, inks += 4)
        for (int c = 0; c < 3; c++) *out++ = (uint8_t)(((inks[c] ^ flip) * (inks[3] ^ flip) + 127) / 255);
}

static void read_rows(jpeg_reading *reading) {
    struct jpeg_decompress_struct *jpeg = &reading->jpeg;
    const imp_image *image = reading->image;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *out = (uint8_t *)image->pixels + jpeg->output_scanline * image->stride;
        JSAMPROW row = reading->inks ? reading->inks : out;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (reading->colour)
            imp_colour_row(reading->colour, reading->inks, out, image->width);
        else if (reading->inks)
            plain_cmyk_row(reading->inks, jpeg->saw_Adobe_marker, out, image->width);
    }
}

/* Without an image only the header is read. */
static int run_reading(jpeg_reading *reading) {
    if (setjmp(reading->jump)) return reading->status;
    open_decompressor(reading);
    int status = read_header(reading);
    if (status || !reading->image) return status;
    status = prepare_image(reading);
    if (status) return status;
    reading->started = 1;
    read_rows(reading);
    return IMP_OK;
}

static int decode(imp_context *context, const imp_codec *codec, const imp_source *source, imp_image *image) {
    (void)codec;
    jpeg_reading reading = {.context = context, .source = source, .image = image};
    int status = run_reading(&reading);
    if (!status && !reading.inks) {
        imp_colour_origin origin = {.profile = reading.profile, .length = reading.profile_length};
        status = imp_colour_apply(context, &origin, image, source->name);
    }
    if (!status) status = imp_exif_apply(context, reading.orientation, image);
    jpeg_destroy_decompress(&reading.jpeg);
    free(reading.profile);
    imp_colour_close(reading.colour);
    imp_release(context, reading.inks);
    if (status) imp_image_release(context, image);
    return status;
}

static int find_size(imp_context *context, const imp_codec *codec, const imp_source *source, int *width, int *height) {
    (void)codec;
    jpeg_reading reading = {.context = context, .source = source};
    int status = run_reading(&reading);
    if (!status) {
        *width = (int)reading.jpeg.image_width;
        *height = (int)reading.jpeg.image_height;
        imp_exif_apply_to_size(reading.orientation, width, height);
    }
    jpeg_destroy_decompress(&reading.jpeg);
    return status;
}

static int recognise(const uint8_t *bytes, size_t length) {
    return length >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

typedef struct jpeg_writing {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf jump;
    imp_context *context;
    const imp_image *image;
    uint8_t *row, *profile;
    size_t profile_length;
    int status;
} jpeg_writing;

static void stop_writing(j_common_ptr jpeg) {
    jpeg_writing *writing = jpeg->client_data;
    writing->status = fail_by_code(writing->context, jpeg, "JPEG");
    longjmp(writing->jump, 1);
}

static void heed_nothing(j_common_ptr jpeg, int level) {
    (void)jpeg;
    (void)level;
}

static void open_compressor(jpeg_writing *writing, int quality, FILE *stream) {
    struct jpeg_compress_struct *jpeg = &writing->jpeg;
    int grey = writing->image->channels < 3;
    jpeg->err = jpeg_std_error(&writing->errors);
    writing->errors.error_exit = stop_writing;
    writing->errors.emit_message = heed_nothing;
    writing->errors.output_message = print_nothing;
    jpeg->client_data = writing;
    jpeg_create_compress(jpeg);
    jpeg_stdio_dest(jpeg, stream);
    jpeg->image_width = (JDIMENSION)writing->image->width;
    jpeg->image_height = (JDIMENSION)writing->image->height;
    jpeg->input_components = grey ? 1 : 3;
    jpeg->in_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->optimize_coding = TRUE;
    if (quality >= WITHOUT_SUBSAMPLING)
        for (int c = 0; c < jpeg->num_components; c++)
            jpeg->comp_info[c].h_samp_factor = jpeg->comp_info[c].v_samp_factor = 1;
}

static int run_writing(jpeg_writing *writing, int quality, FILE *stream) {
    if (setjmp(writing->jump)) return writing->status;
    open_compressor(writing, quality, stream);
    jpeg_start_compress(&writing->jpeg, TRUE);
    jpeg_write_icc_profile(&writing->jpeg, writing->profile, (unsigned)writing->profile_length);
    while (writing->jpeg.next_scanline < writing->jpeg.image_height) {
        imp_pixels_row_8_on_white(writing->image, (int)writing->jpeg.next_scanline, writing->row);
        JSAMPROW row = writing->row;
        jpeg_write_scanlines(&writing->jpeg, &row, 1);
    }
    jpeg_finish_compress(&writing->jpeg);
    return IMP_OK;
}

static int encode(imp_context *context, const imp_codec *codec, const imp_image *image, int quality, FILE *stream) {
    (void)codec;
    if (image->width > JPEG_MAX_DIMENSION || image->height > JPEG_MAX_DIMENSION)
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "%d x %d pixels, more than the %ld a side of a JPEG; write a PNG",
                        image->width, image->height, JPEG_MAX_DIMENSION);
    jpeg_writing writing = {.context = context, .image = image};
    int status = imp_colour_srgb_profile(context, image->channels < 3, &writing.profile, &writing.profile_length);
    if (!status) {
        writing.row = imp_allocate_zero(context, (size_t)image->width, 3);
        status = writing.row ? run_writing(&writing, quality, stream) : IMP_ERR_MEMORY;
        jpeg_destroy_compress(&writing.jpeg);
    }
    imp_release(context, writing.row);
    imp_release(context, writing.profile);
    return status;
}

const imp_codec imp_codec_jpeg = {.name = "JPEG",
                                  .endings = " .jpg .jpeg .jpe .jfif ",
                                  .vips_format = -1,
                                  .recognise = recognise,
                                  .decode = decode,
                                  .find_size = find_size,
                                  .encode = encode};
