/* Reading pictures: every kind of JPEG and PNG, orientation, colour. */
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "impasto_picture.h"
#include "picture_files.h"
#include "unit.h"

/* JPEG at quality 100: a step of quantisation in each of three components, rounded again in the conversion to RGB. */
#define JPEG_TOLERANCE 3

static char last_log[512];

static void keep_log(void *user, imp_log_level level, const char *message) {
    (void)user;
    (void)level;
    strncpy(last_log, message, sizeof last_log - 1);
}

static int setup(void **state) {
    imp_context_options options;
    imp_context *context;
    imp_context_options_default(&options);
    options.threads = 2;
    options.log = keep_log;
    int status = imp_context_create(&options, &context);
    *state = context;
    return status;
}

static int teardown(void **state) {
    imp_context_free(*state);
    return 0;
}

/* Decodes and frees file, whose size alone must be the same. */
static imp_image decode(imp_context *context, test_file file) {
    imp_image image;
    int width, height;
    last_log[0] = 0;
    if (imp_picture_decode_size(context, file.bytes, file.length, "cat", &width, &height))
        fail_msg("%s", imp_error(context));
    assert_string_equal(last_log, "");
    int status = imp_picture_decode(context, file.bytes, file.length, "cat", &image);
    free(file.bytes);
    if (status) fail_msg("%s", imp_error(context));
    assert_int_equal(width, image.width);
    assert_int_equal(height, image.height);
    return image;
}

static int sample(const imp_image *image, int x, int y, int c) {
    const uint8_t *row = (const uint8_t *)image->pixels + (size_t)y * image->stride;
    int index = x * image->channels + c;
    return image->depth == IMP_DEPTH_16 ? ((const uint16_t *)(const void *)row)[index] : row[index];
}

/* The image's pixels against the pattern, channel by channel, and frees it. */
static void expect_pattern(imp_context *context, imp_image *image, test_pattern *pattern, unsigned most,
                           int tolerance) {
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++)
            for (int c = 0; c < image->channels; c++) {
                int expected = (int)pattern(x, y, c, most), found = sample(image, x, y, c);
                if (abs(found - expected) > tolerance)
                    fail_msg("(%d, %d) channel %d is %d, not %d", x, y, c, found, expected);
            }
    imp_image_release(context, image);
}

/* ---- JPEG -------------------------------------------------------------------------------------------------------- */

static void jpeg_kinds(void **state) {
    const test_jpeg kinds[] = {
        {.components = 1},           {.components = 1, .progressive = 1}, {.components = 3},
        {.components = 3, .rgb = 1}, {.components = 3, .progressive = 1}, {.components = 3, .arithmetic = 1},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        test_jpeg recipe = kinds[i];
        recipe.width = 37;
        recipe.height = 21;
        recipe.pattern = test_slope;
        imp_image image = decode(*state, test_jpeg_make(&recipe));
        assert_int_equal(image.width, 37);
        assert_int_equal(image.height, 21);
        assert_int_equal(image.channels, recipe.components);
        assert_int_equal(image.depth, IMP_DEPTH_8);
        assert_string_equal(last_log, "");
        expect_pattern(*state, &image, test_slope, 255, JPEG_TOLERANCE);
    }
}

/* Inverted inks, as Adobe writes them, are light: each colour is its ink times black. */
static unsigned light_of_inks(int x, int y, int c, unsigned most) {
    return (test_slope(x, y, c, most) * test_slope(x, y, 3, most) + 127) / 255;
}

static unsigned light_of_plain_inks(int x, int y, int c, unsigned most) {
    return ((255 - test_slope(x, y, c, most)) * (255 - test_slope(x, y, 3, most)) + 127) / 255;
}

static void jpeg_inks_without_profile(void **state) {
    test_jpeg recipe = {.width = 37, .height = 21, .components = 4, .pattern = test_slope};
    imp_image image = decode(*state, test_jpeg_make(&recipe));
    assert_int_equal(image.channels, 3);
    expect_pattern(*state, &image, light_of_inks, 255, JPEG_TOLERANCE);
    recipe.ycck = 1;
    image = decode(*state, test_jpeg_make(&recipe));
    expect_pattern(*state, &image, light_of_inks, 255, JPEG_TOLERANCE);
    recipe.ycck = 0;
    recipe.without_adobe = 1;
    image = decode(*state, test_jpeg_make(&recipe));
    expect_pattern(*state, &image, light_of_plain_inks, 255, JPEG_TOLERANCE);
}

/* Columns 0..7 have no ink, 8..15 half black, 16..23 full black; as Adobe has it, inverted. */
static unsigned black_steps(int x, int y, int c, unsigned most) {
    (void)y;
    if (c < 3) return most;
    return x < 8 ? most : x < 16 ? most / 2 : 0;
}

static void jpeg_inks_with_profile(void **state) {
    test_file profile = test_cmyk_profile();
    test_jpeg recipe = {.width = 24,
                        .height = 8,
                        .components = 4,
                        .profile = profile.bytes,
                        .profile_length = profile.length,
                        .pattern = black_steps};
    imp_image image = decode(*state, test_jpeg_make(&recipe));
    for (int c = 0; c < 3; c++) {
        assert_in_range(sample(&image, 4, 4, c), 254, 255);
        assert_in_range(sample(&image, 12, 4, c), 116, 122); /* L* = 50 is 119 in sRGB; the table has 9 steps */
        assert_in_range(sample(&image, 20, 4, c), 0, 2);
    }
    assert_string_equal(last_log, "");
    imp_image_release(*state, &image);
    free(profile.bytes);
}

/* ---- Orientation ------------------------------------------------------------------------------------------------- */

#define UPRIGHT_WIDTH 24
#define UPRIGHT_HEIGHT 16

static int stored_orientation;

/* The stored picture whose upright form is test_slope: the upright place whose stored place is (x, y), by search. */
static unsigned turned_slope(int x, int y, int c, unsigned most) {
    for (int v = 0; v < UPRIGHT_HEIGHT; v++)
        for (int u = 0; u < UPRIGHT_WIDTH; u++) {
            int stored_x, stored_y;
            test_exif_place(stored_orientation, UPRIGHT_WIDTH, UPRIGHT_HEIGHT, u, v, &stored_x, &stored_y);
            if (stored_x == x && stored_y == y) return test_slope(u, v, c, most);
        }
    return 0;
}

static void orientations(void **state) {
    for (int orientation = 1; orientation <= 8; orientation++) {
        int turned = orientation >= 5;
        int width = turned ? UPRIGHT_HEIGHT : UPRIGHT_WIDTH, height = turned ? UPRIGHT_WIDTH : UPRIGHT_HEIGHT;
        stored_orientation = orientation;
        test_jpeg jpeg = {
            .width = width, .height = height, .components = 3, .orientation = orientation, .pattern = turned_slope};
        imp_image image = decode(*state, test_jpeg_make(&jpeg));
        assert_int_equal(image.width, UPRIGHT_WIDTH);
        expect_pattern(*state, &image, test_slope, 255, JPEG_TOLERANCE);
        test_png png = {.width = width,
                        .height = height,
                        .colour_type = PNG_COLOR_TYPE_RGB,
                        .bits = 16,
                        .orientation = orientation,
                        .exif_at_end = orientation % 2,
                        .pattern = turned_slope};
        image = decode(*state, test_png_make(&png));
        assert_int_equal(image.height, UPRIGHT_HEIGHT);
        expect_pattern(*state, &image, test_slope, 65535, 0);
    }
}

static void wild_orientation_is_upright(void **state) {
    test_jpeg recipe = {.width = 8, .height = 16, .components = 1, .orientation = 9, .pattern = test_slope};
    imp_image image = decode(*state, test_jpeg_make(&recipe));
    expect_pattern(*state, &image, test_slope, 255, JPEG_TOLERANCE);
}

/* ---- PNG --------------------------------------------------------------------------------------------------------- */

/* The 8-bit value that stands for a sample of few bits. */
static unsigned widened_noise_1(int x, int y, int c, unsigned most) {
    (void)most;
    return test_noise(x, y, c, 1) * 255;
}
static unsigned widened_noise_2(int x, int y, int c, unsigned most) {
    (void)most;
    return test_noise(x, y, c, 3) * 85;
}
static unsigned widened_noise_4(int x, int y, int c, unsigned most) {
    (void)most;
    return test_noise(x, y, c, 15) * 17;
}

/* Through the palette of picture_files.c. */
static unsigned palette_noise(int x, int y, int c, unsigned most) {
    unsigned index = test_noise(x, y, 0, most);
    return c == 0 ? index : c == 1 ? 255 - index : c == 2 ? index ^ 85 : index == 1 ? 77 : 255;
}
static unsigned palette_noise_4(int x, int y, int c, unsigned most) {
    (void)most;
    return palette_noise(x, y, c, 15);
}

typedef struct png_kind {
    int colour_type, bits, transparent, channels;
    test_pattern *expected;
} png_kind;

static void png_kinds(void **state) {
    static const png_kind kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1, 0, 1, widened_noise_1},   {PNG_COLOR_TYPE_GRAY, 2, 0, 1, widened_noise_2},
        {PNG_COLOR_TYPE_GRAY, 4, 0, 1, widened_noise_4},   {PNG_COLOR_TYPE_GRAY, 8, 0, 1, test_noise},
        {PNG_COLOR_TYPE_GRAY, 16, 0, 1, test_noise},       {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 0, 2, test_noise},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16, 0, 2, test_noise}, {PNG_COLOR_TYPE_RGB, 8, 0, 3, test_noise},
        {PNG_COLOR_TYPE_RGB, 16, 0, 3, test_noise},        {PNG_COLOR_TYPE_RGB_ALPHA, 8, 0, 4, test_noise},
        {PNG_COLOR_TYPE_RGB_ALPHA, 16, 0, 4, test_noise},  {PNG_COLOR_TYPE_PALETTE, 4, 0, 3, palette_noise_4},
        {PNG_COLOR_TYPE_PALETTE, 8, 0, 3, palette_noise},  {PNG_COLOR_TYPE_PALETTE, 8, 1, 4, palette_noise},
    };
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        const png_kind *kind = &kinds[i / 2];
        test_png recipe = {.width = 19,
                           .height = 13,
                           .colour_type = kind->colour_type,
                           .bits = kind->bits,
                           .interlaced = i % 2,
                           .transparent = kind->transparent,
                           .pattern = test_noise};
        imp_image image = decode(*state, test_png_make(&recipe));
        assert_int_equal(image.width, 19);
        assert_int_equal(image.height, 13);
        assert_int_equal(image.channels, kind->channels);
        assert_int_equal(image.depth, kind->bits == 16 ? IMP_DEPTH_16 : IMP_DEPTH_8);
        expect_pattern(*state, &image, kind->expected, kind->bits == 16 ? 65535 : 255, 0);
    }
}

static void png_transparent_colour(void **state) {
    for (int bits = 8; bits <= 16; bits += 8) {
        test_png recipe = {.width = 5,
                           .height = 4,
                           .colour_type = PNG_COLOR_TYPE_RGB,
                           .bits = bits,
                           .transparent = 1,
                           .pattern = test_noise};
        imp_image image = decode(*state, test_png_make(&recipe));
        assert_int_equal(image.channels, 4);
        assert_int_equal(sample(&image, 0, 0, 3), 0);
        assert_int_equal(sample(&image, 1, 0, 3), bits == 16 ? 65535 : 255);
        imp_image_release(*state, &image);
    }
}

/* ---- Colour ------------------------------------------------------------------------------------------------------ */

/* What linear light v (0..1) is in sRGB. */
static double srgb_of(double v) {
    return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

static unsigned light_slope(int x, int y, int c, unsigned most) {
    return (unsigned)(srgb_of(test_slope(x, y, c, most) / (double)most) * most + 0.5);
}

/* The same with a last channel that stays. */
static unsigned light_slope_alpha(int x, int y, int c, unsigned most) {
    return c == 3 ? test_slope(x, y, c, most) : light_slope(x, y, c, most);
}

/* Little CMS computes in 16 bits, and its curves are tables: a step of 8 bits; of 16 bits 0.2 %, in the steep darks. */
#define COLOUR_TOLERANCE_8 1
#define COLOUR_TOLERANCE_16 130

static void png_profile_to_srgb(void **state) {
    test_file profile = test_linear_profile(0, 0);
    for (int bits = 8; bits <= 16; bits += 8) {
        test_png recipe = {.width = 40,
                           .height = 30,
                           .colour_type = PNG_COLOR_TYPE_RGB_ALPHA,
                           .bits = bits,
                           .profile = profile.bytes,
                           .profile_length = profile.length,
                           .pattern = test_slope};
        imp_image image = decode(*state, test_png_make(&recipe));
        expect_pattern(*state, &image, light_slope_alpha, bits == 16 ? 65535 : 255,
                       bits == 16 ? COLOUR_TOLERANCE_16 : COLOUR_TOLERANCE_8);
    }
    free(profile.bytes);
}

static void png_gamma_to_srgb(void **state) {
    test_png recipe = {
        .width = 40, .height = 30, .colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .gamma = 1.0, .pattern = test_slope};
    imp_image image = decode(*state, test_png_make(&recipe));
    expect_pattern(*state, &image, light_slope, 255, COLOUR_TOLERANCE_8);
    recipe.colour_type = PNG_COLOR_TYPE_GRAY;
    image = decode(*state, test_png_make(&recipe));
    expect_pattern(*state, &image, light_slope, 255, COLOUR_TOLERANCE_8);
    recipe.gamma = 0.45455; /* sRGB's, as PNG writes it: nothing changes */
    image = decode(*state, test_png_make(&recipe));
    expect_pattern(*state, &image, test_slope, 255, 0);
    recipe.srgb = 1; /* goes before any gamma */
    image = decode(*state, test_png_make(&recipe));
    expect_pattern(*state, &image, test_slope, 255, 0);
}

/* Flat blocks of 8, so that JPEG leaves each as it is. */
static unsigned blocks(int x, int y, int c, unsigned most) {
    (void)y;
    (void)c;
    return (unsigned)(x / 8 * 60 + 20) * (most / 255);
}
static unsigned light_blocks(int x, int y, int c, unsigned most) {
    return (unsigned)(srgb_of(blocks(x, y, c, most) / (double)most) * most + 0.5);
}

static void jpeg_profile_to_srgb(void **state) {
    for (int grey = 0; grey < 2; grey++) {
        test_file profile = test_linear_profile(grey, 1);
        assert_true(profile.length > 65536); /* more than one marker holds */
        test_jpeg recipe = {.width = 32,
                            .height = 8,
                            .components = grey ? 1 : 3,
                            .profile = profile.bytes,
                            .profile_length = profile.length,
                            .pattern = blocks};
        imp_image image = decode(*state, test_jpeg_make(&recipe));
        /* A step of JPEG's is up to 3 steps in the darks of the curve. */
        expect_pattern(*state, &image, light_blocks, 255, 4);
        free(profile.bytes);
    }
}

static void broken_profiles_are_ignored(void **state) {
    test_file profile = test_linear_profile(0, 0);
    test_jpeg recipe = {.width = 16, .height = 8, .components = 1, .pattern = test_slope};
    recipe.profile = profile.bytes; /* RGB, for a grey picture */
    recipe.profile_length = profile.length;
    imp_image image = decode(*state, test_jpeg_make(&recipe));
    assert_string_equal(last_log,
                        "cat: its colour profile is ignored: it is made for other colours than the picture's");
    expect_pattern(*state, &image, test_slope, 255, JPEG_TOLERANCE);
    recipe.components = 3;
    recipe.profile_length = profile.length / 2;
    image = decode(*state, test_jpeg_make(&recipe));
    assert_non_null(strstr(last_log, "cat: its colour profile is ignored: "));
    expect_pattern(*state, &image, test_slope, 255, JPEG_TOLERANCE);
    for (size_t i = 0; i < profile.length; i++) { /* whatever a byte does: it is read */
        recipe.profile_length = profile.length;
        profile.bytes[i] ^= 0xFF;
        image = decode(*state, test_jpeg_make(&recipe));
        imp_image_release(*state, &image);
        profile.bytes[i] ^= 0xFF;
    }
    free(profile.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpeg_kinds),
        cmocka_unit_test(jpeg_inks_without_profile),
        cmocka_unit_test(jpeg_inks_with_profile),
        cmocka_unit_test(orientations),
        cmocka_unit_test(wild_orientation_is_upright),
        cmocka_unit_test(png_kinds),
        cmocka_unit_test(png_transparent_colour),
        cmocka_unit_test(png_profile_to_srgb),
        cmocka_unit_test(png_gamma_to_srgb),
        cmocka_unit_test(jpeg_profile_to_srgb),
        cmocka_unit_test(broken_profiles_are_ignored),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
