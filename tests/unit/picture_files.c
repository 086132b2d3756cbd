/* Picture files for tests. */
#include "picture_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <lcms2.h>
#include <png.h>

/* A short test needs no care for failures: it ends at once. */
static void *need(void *memory) {
    if (memory) return memory;
    fputs("picture_files: a library failed\n", stderr);
    exit(1);
}

unsigned test_slope(int x, int y, int c, unsigned most) {
    int value = c == 0 ? 4 * x : c == 1 ? 4 * y : c == 2 ? 2 * (x + y) : 30 + x;
    return (unsigned)(value % 256) * (most / 255);
}

unsigned test_noise(int x, int y, int c, unsigned most) {
    return ((unsigned)x * 40503u + (unsigned)y * 30011u + (unsigned)c * 9973u + (unsigned)(x * y) * 7919u) % (most + 1);
}

static const uint8_t exif_start[] = {'M',  'M',  0, '*', 0, 0, 0, 8, 0, 2,                    /* two entries */
                                     0x01, 0x00, 0, 3,   0, 0, 0, 1, 0, 9, 0, 0,              /* of another tag */
                                     0x01, 0x12, 0, 3,   0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}; /* the orientation */
#define EXIF_VALUE 31                                                                         /* its lower byte */

static void exif_fill(uint8_t *out, int orientation) {
    memcpy(out, exif_start, sizeof exif_start);
    out[EXIF_VALUE] = (uint8_t)orientation;
}

/* ---- JPEG -------------------------------------------------------------------------------------------------------- */

static void jpeg_colours(struct jpeg_compress_struct *jpeg, const test_jpeg *recipe) {
    static const J_COLOR_SPACE spaces[] = {JCS_UNKNOWN, JCS_GRAYSCALE, JCS_UNKNOWN, JCS_RGB, JCS_CMYK};
    jpeg->input_components = recipe->components;
    jpeg->in_color_space = spaces[recipe->components];
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, 100, TRUE);
    if (recipe->rgb) jpeg_set_colorspace(jpeg, JCS_RGB);
    if (recipe->ycck) jpeg_set_colorspace(jpeg, JCS_YCCK);
    for (int c = 0; c < jpeg->num_components; c++)
        jpeg->comp_info[c].h_samp_factor = jpeg->comp_info[c].v_samp_factor = 1;
    if (recipe->progressive) jpeg_simple_progression(jpeg);
    if (recipe->without_adobe) jpeg->write_Adobe_marker = FALSE;
    jpeg->arith_code = recipe->arithmetic;
}

test_file test_jpeg_make(const test_jpeg *recipe) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    uint8_t exif[6 + sizeof exif_start] = "Exif\0";
    unsigned char *bytes = NULL;
    unsigned long length = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &length);
    jpeg.image_width = (JDIMENSION)recipe->width;
    jpeg.image_height = (JDIMENSION)recipe->height;
    jpeg_colours(&jpeg, recipe);
    jpeg_start_compress(&jpeg, TRUE);
    exif_fill(exif + 6, recipe->orientation);
    if (recipe->orientation) jpeg_write_marker(&jpeg, JPEG_APP0 + 1, exif, sizeof exif);
    if (recipe->profile) jpeg_write_icc_profile(&jpeg, recipe->profile, (unsigned)recipe->profile_length);
    JSAMPROW row = need(malloc((size_t)recipe->width * 4));
    for (int y = 0; y < recipe->height; y++) {
        for (int x = 0; x < recipe->width; x++)
            for (int c = 0; c < recipe->components; c++)
                row[x * recipe->components + c] = (JSAMPLE)recipe->pattern(x, y, c, 255);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return (test_file){bytes, length};
}

/* ---- PNG --------------------------------------------------------------------------------------------------------- */

static void png_append(png_structp png, png_bytep bytes, size_t count) {
    test_file *file = png_get_io_ptr(png);
    file->bytes = need(realloc(file->bytes, file->length + count));
    memcpy(file->bytes + file->length, bytes, count);
    file->length += count;
}

static void png_flush_nothing(png_structp png) {
    (void)png;
}

static void png_colours(png_structp png, png_infop info, const test_png *recipe) {
    unsigned most = (1u << recipe->bits) - 1;
    if (recipe->colour_type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        png_byte alpha[2] = {255, 77};
        for (int i = 0; i < 256; i++) palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i ^ 85)};
        png_set_PLTE(png, info, palette, (int)most + 1);
        if (recipe->transparent) png_set_tRNS(png, info, alpha, 2, NULL);
    } else if (recipe->transparent) {
        png_color_16 colour = {.red = (png_uint_16)recipe->pattern(0, 0, 0, most),
                               .green = (png_uint_16)recipe->pattern(0, 0, 1, most),
                               .blue = (png_uint_16)recipe->pattern(0, 0, 2, most)};
        colour.gray = colour.red;
        png_set_tRNS(png, info, NULL, 0, &colour);
    }
    if (recipe->gamma > 0) png_set_gAMA(png, info, recipe->gamma);
    if (recipe->srgb) png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    if (recipe->profile)
        png_set_iCCP(png, info, "test", PNG_COMPRESSION_TYPE_BASE, recipe->profile,
                     (png_uint_32)recipe->profile_length);
}

/* Row y, packed as PNG has it. */
static void png_fill_row(const test_png *recipe, int channels, int y, uint8_t *row) {
    unsigned most = (1u << recipe->bits) - 1;
    for (int x = 0; x < recipe->width; x++)
        for (int c = 0; c < channels; c++) {
            unsigned value = recipe->pattern(x, y, c, most);
            int index = x * channels + c;
            if (recipe->bits == 16) {
                row[2 * index] = (uint8_t)(value >> 8);
                row[2 * index + 1] = (uint8_t)value;
            } else {
                int bit = index * recipe->bits;
                row[bit / 8] |= (uint8_t)(value << (8 - recipe->bits - bit % 8));
            }
        }
}

test_file test_png_make(const test_png *recipe) {
    test_file file = {0};
    uint8_t exif[sizeof exif_start];
    png_structp png = need(png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL));
    png_infop info = need(png_create_info_struct(png));
    png_set_write_fn(png, &file, png_append, png_flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)recipe->width, (png_uint_32)recipe->height, recipe->bits, recipe->colour_type,
                 recipe->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_colours(png, info, recipe);
    exif_fill(exif, recipe->orientation);
    if (recipe->orientation && !recipe->exif_at_end) png_set_eXIf_1(png, info, sizeof exif, exif);
    png_write_info(png, info);
    int channels = png_get_channels(png, info);
    size_t row_bytes = png_get_rowbytes(png, info);
    png_bytep pixels = need(calloc((size_t)recipe->height, row_bytes));
    png_bytepp rows = need(calloc((size_t)recipe->height, sizeof *rows));
    for (int y = 0; y < recipe->height; y++) {
        rows[y] = pixels + (size_t)y * row_bytes;
        png_fill_row(recipe, channels, y, rows[y]);
    }
    png_write_image(png, rows);
    if (recipe->orientation && recipe->exif_at_end) png_set_eXIf_1(png, info, sizeof exif, exif);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(rows);
    free(pixels);
    return file;
}

/* ---- Orientation ------------------------------------------------------------------------------------------------- */

void test_exif_place(int orientation, int width, int height, int x, int y, int *stored_x, int *stored_y) {
    /* What stored row 0 and stored column 0 are in the upright picture: top, bottom, left or right. */
    static const char row_0[] = " ttbblrrl", column_0[] = " lrrlttbb";
    const char sides[2] = {column_0[orientation], row_0[orientation]};
    int *stored[2] = {stored_x, stored_y};
    for (int i = 0; i < 2; i++)
        *stored[i] = sides[i] == 't' ? y : sides[i] == 'b' ? height - 1 - y : sides[i] == 'l' ? x : width - 1 - x;
}

/* ---- Profiles ---------------------------------------------------------------------------------------------------- */

static test_file save_profile(cmsHPROFILE profile) {
    cmsUInt32Number length = 0;
    cmsSaveProfileToMem(need(profile), NULL, &length);
    need(length ? profile : NULL);
    test_file file = {need(malloc(length)), length};
    cmsSaveProfileToMem(profile, file.bytes, &length);
    cmsCloseProfile(profile);
    return file;
}

test_file test_linear_profile(int grey, int padded) {
    static uint16_t table[32767]; /* 65,534 bytes in the profile; Little CMS reads no longer ones */
    const int entries = padded ? 32767 : 2;
    for (int i = 0; i < entries; i++) table[i] = (uint16_t)(i * 65535.0 / (entries - 1));
    cmsToneCurve *curve = need(cmsBuildTabulatedToneCurve16(NULL, (cmsUInt32Number)entries, table));
    cmsToneCurve *curves[3] = {curve, curve, curve};
    cmsCIExyY white = {0.3127, 0.3290, 1};
    cmsCIExyYTRIPLE primaries = {{0.64, 0.33, 1}, {0.30, 0.60, 1}, {0.15, 0.06, 1}};
    cmsHPROFILE profile =
        grey ? cmsCreateGrayProfile(cmsD50_xyY(), curve) : cmsCreateRGBProfile(&white, &primaries, curves);
    cmsFreeToneCurve(curve);
    return save_profile(profile);
}

static cmsInt32Number cmyk_to_lab(const cmsUInt16Number in[], cmsUInt16Number out[], void *user) {
    double c = in[0] / 65535.0, m = in[1] / 65535.0, y = in[2] / 65535.0, k = in[3] / 65535.0;
    cmsCIELab lab = {100 * (1 - k) * (1 - (c + m + y) / 3), 0, 0};
    (void)user;
    cmsFloat2LabEncoded(out, &lab);
    return 1;
}

test_file test_cmyk_profile(void) {
    cmsHPROFILE profile = need(cmsCreateProfilePlaceholder(NULL));
    cmsSetProfileVersion(profile, 4.2);
    cmsSetDeviceClass(profile, cmsSigOutputClass);
    cmsSetColorSpace(profile, cmsSigCmykData);
    cmsSetPCS(profile, cmsSigLabData);
    cmsPipeline *pipeline = need(cmsPipelineAlloc(NULL, 4, 3));
    cmsStage *table = need(cmsStageAllocCLut16bit(NULL, 9, 4, 3, NULL));
    cmsStageSampleCLut16bit(table, cmyk_to_lab, NULL, 0);
    /* The tag's form is curves, table, curves. */
    cmsPipelineInsertStage(pipeline, cmsAT_END, cmsStageAllocToneCurves(NULL, 4, NULL));
    cmsPipelineInsertStage(pipeline, cmsAT_END, table);
    cmsPipelineInsertStage(pipeline, cmsAT_END, cmsStageAllocToneCurves(NULL, 3, NULL));
    cmsWriteTag(profile, cmsSigAToB0Tag, pipeline);
    cmsPipelineFree(pipeline);
    return save_profile(profile);
}
