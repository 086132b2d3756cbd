/* What is no picture, or a broken one: one clear line, nothing created, nothing leaked. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failing_allocator.h"
#include "impasto_picture.h"
#include "picture_files.h"
#include "unit.h"

static size_t memory_held(const imp_context *context) {
    imp_context_info info = {.size = sizeof info};
    assert_int_equal(imp_context_get_info(context, &info), IMP_OK);
    return info.memory_now;
}

static size_t memory_at_first;

static int setup(void **state) {
    imp_context *context = make_context(1, (size_t)32 << 20); /* changed bytes of a size must not cost gigabytes */
    *state = context;
    memory_at_first = memory_held(context);
    return 0;
}

static int teardown(void **state) {
    assert_int_equal(memory_held(*state), memory_at_first);
    imp_context_free(*state);
    return 0;
}

/* Decoding gives status and words that begin with start and hold part. */
static void expect_failure(imp_context *context, const void *bytes, size_t length, int status, const char *start,
                           const char *part) {
    imp_image image = {.pixels = &image};
    int given = imp_picture_decode(context, bytes, length, "cat.jpg", &image);
    if (given != status || strncmp(imp_error(context), start, strlen(start)) != 0 || !strstr(imp_error(context), part))
        fail_msg("status %d, \"%s\"; expected %d, \"%s ... %s\"", given, imp_error(context), status, start, part);
    assert_null(image.pixels);
}

/* The same of the size alone. */
static void expect_no_size(imp_context *context, const void *bytes, size_t length, int status, const char *start) {
    int width = 1, height = 1;
    int given = imp_picture_decode_size(context, bytes, length, "cat.jpg", &width, &height);
    if (given != status || strncmp(imp_error(context), start, strlen(start)) != 0)
        fail_msg("status %d, \"%s\"; expected %d, \"%s ...\"", given, imp_error(context), status, start);
    assert_true(width == 0 && height == 0);
}

/* ---- Not a picture ----------------------------------------------------------------------------------------------- */

typedef struct stranger {
    const char *bytes;
    size_t length;
    const char *words;
} stranger;
#define STRANGER(text) text, sizeof text - 1

static void strangers_are_named(void **state) {
    static const stranger strangers[] = {
        {STRANGER("Hello"), "cat.jpg: not a picture that Impasto knows (it begins with \"Hello\")"},
        {STRANGER("Hello world, this is long"),
         "cat.jpg: not a picture that Impasto knows (it begins with \"Hello world, thi\")"},
        {STRANGER("Hello\nworld"), "cat.jpg: not a picture that Impasto knows (it begins with \"Hello\")"},
        {STRANGER("\x7F"
                  "ELF\2"),
         "cat.jpg: not a picture that Impasto knows (it begins with the bytes 7f 45 4c 46)"},
        {STRANGER("\n\n <!DOCTYPE HTML>\n<html>"), "cat.jpg: an HTML page, not a picture; the download went wrong"},
        {STRANGER("<html lang=\"en\">"), "cat.jpg: an HTML page, not a picture; the download went wrong"},
        {STRANGER("version https://git-lfs.github.com/spec/v1\noid"),
         "cat.jpg: a Git LFS pointer, not the picture itself; run `git lfs pull`"},
        {STRANGER("<svg xmlns=\"\">"), "cat.jpg: SVG pictures aren't read; convert it to PNG"},
        {STRANGER("%PDF-1.7"), "cat.jpg: PDF files aren't read; convert a page to PNG"},
        {STRANGER("BM\x3A\x12\0\0\0\0\0\0\x36\0\0\0"), "cat.jpg: BMP pictures aren't read; convert it to PNG"},
        {STRANGER("BMW 2002"), "cat.jpg: not a picture that Impasto knows (it begins with \"BMW 2002\")"},
        {STRANGER("\0\0\0\x0CJXL \r\n\x87\n"), "cat.jpg: JPEG XL pictures aren't read; convert it to PNG"},
        {STRANGER(""), "cat.jpg: the file is empty"},
    };
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        /* A copy of just this length, so that reading past it shows. */
        char *copy = malloc(strangers[i].length + 1);
        memcpy(copy, strangers[i].bytes, strangers[i].length);
        copy = realloc(copy, strangers[i].length ? strangers[i].length : 1);
        expect_failure(*state, copy, strangers[i].length, IMP_ERR_FORMAT, strangers[i].words, "");
        assert_string_equal(imp_error(*state), strangers[i].words);
        expect_no_size(*state, copy, strangers[i].length, IMP_ERR_FORMAT, strangers[i].words);
        free(copy);
    }
}

static void long_names_leave_room_for_the_reason(void **state) {
    char name[2000];
    imp_image image;
    memset(name, 'x', sizeof name);
    memcpy(name + sizeof name - 9, "/cat.jpg", 9);
    assert_int_equal(imp_picture_decode(*state, "Hello", 5, name, &image), IMP_ERR_FORMAT);
    assert_non_null(
        strstr(imp_error(*state), "x/cat.jpg: not a picture that Impasto knows (it begins with \"Hello\")"));
    assert_ptr_equal(strstr(imp_error(*state), "..."), imp_error(*state));
}

static void paths_without_a_file(void **state) {
    imp_image image = {.pixels = &image};
    assert_int_equal(imp_picture_read(*state, "/nowhere/cat.jpg", &image), IMP_ERR_IO);
    assert_string_equal(imp_error(*state), "/nowhere/cat.jpg: No such file or directory");
    assert_null(image.pixels);
    assert_int_equal(imp_picture_read(*state, "/", &image), IMP_ERR_IO);
    assert_string_equal(imp_error(*state), "/: is a folder");
    assert_int_equal(imp_picture_read(*state, NULL, &image), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_read(*state, "/", NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_decode(*state, NULL, 5, "cat.jpg", &image), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_decode(*state, "x", 1, NULL, &image), IMP_ERR_ARGUMENT);
}

static void paths_without_a_size(void **state) {
    int width = 1, height = 1;
    assert_int_equal(imp_picture_size(*state, "/nowhere/cat.jpg", &width, &height), IMP_ERR_IO);
    assert_string_equal(imp_error(*state), "/nowhere/cat.jpg: No such file or directory");
    assert_true(width == 0 && height == 0);
    assert_int_equal(imp_picture_size(*state, NULL, &width, &height), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_size(*state, "/", NULL, &height), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_size(*state, "/", &width, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_decode_size(*state, NULL, 5, "cat.jpg", &width, &height), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_decode_size(*state, "x", 1, NULL, &width, &height), IMP_ERR_ARGUMENT);
}

/* ---- Cut and damaged --------------------------------------------------------------------------------------------- */

static const test_jpeg small_jpeg = {
    .width = 40, .height = 48, .components = 3, .orientation = 6, .pattern = test_slope};
static const test_png small_png = {
    .width = 20, .height = 30, .colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .orientation = 6, .pattern = test_noise};

static void cut_jpeg_is_truncated(void **state) {
    for (int kind = 0; kind < 3; kind++) {
        test_jpeg recipe = small_jpeg;
        recipe.progressive = kind == 1;
        recipe.arithmetic = kind == 2;
        test_file file = test_jpeg_make(&recipe);
        /* The last two bytes are the end marker, without which a baseline picture is whole all the same. */
        size_t needed = kind == 0 ? file.length - 2 : file.length;
        for (size_t length = 3; length < needed; length++)
            expect_failure(*state, file.bytes, length, IMP_ERR_FORMAT, "cat.jpg: truncated JPEG: the data ends in ",
                           "");
        if (kind == 0) {
            expect_failure(*state, file.bytes, file.length / 2, IMP_ERR_FORMAT,
                           "cat.jpg: truncated JPEG: the data ends in row ", " of 48");
            imp_image image;
            assert_int_equal(imp_picture_decode(*state, file.bytes, needed, "cat.jpg", &image), IMP_OK);
            imp_image_release(*state, &image);
        }
        free(file.bytes);
    }
}

static void cut_png_is_truncated(void **state) {
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        test_png recipe = small_png;
        recipe.interlaced = interlaced;
        test_file file = test_png_make(&recipe);
        for (size_t length = 8; length < file.length; length++)
            expect_failure(*state, file.bytes, length, IMP_ERR_FORMAT, "cat.jpg: truncated PNG: the data ends ", "");
        expect_failure(*state, file.bytes, file.length / 2, IMP_ERR_FORMAT,
                       "cat.jpg: truncated PNG: the data ends in row ", " of 30");
        free(file.bytes);
    }
}

/* The size is found once the header is there, whatever comes behind it. */
static void size_needs_the_header_alone(void **state) {
    for (int png = 0; png < 2; png++) {
        test_file file = png ? test_png_make(&small_png) : test_jpeg_make(&small_jpeg);
        /* Behind the name of the pixels' chunk, or the scan's header of 14 bytes. */
        const char *pixels = png ? "IDAT" : "\xFF\xDA";
        uint8_t *at = memmem(file.bytes, file.length, pixels, strlen(pixels));
        assert_non_null(at);
        size_t header = (size_t)(at - file.bytes) + (png ? 4 : 14);
        for (size_t length = 8; length <= file.length; length++) {
            int width, height;
            /* A copy of just this length, so that reading past it shows. */
            uint8_t *copy = malloc(length);
            memcpy(copy, file.bytes, length);
            if (length < header) {
                expect_no_size(*state, copy, length, IMP_ERR_FORMAT,
                               png ? "cat.jpg: truncated PNG" : "cat.jpg: truncated");
            } else {
                assert_int_equal(imp_picture_decode_size(*state, copy, length, "cat.jpg", &width, &height), IMP_OK);
                assert_int_equal(width, png ? small_png.height : small_jpeg.height); /* on its side */
                assert_int_equal(height, png ? small_png.width : small_jpeg.width);
            }
            free(copy);
        }
        free(file.bytes);
    }
}

/* A picture that can be read has that size. */
static void expect_size(imp_context *context, test_file file, const imp_image *image) {
    int width, height;
    assert_int_equal(imp_picture_decode_size(context, file.bytes, file.length, "cat.jpg", &width, &height), IMP_OK);
    assert_true(width == image->width && height == image->height);
}

/* Each byte of the file changed in turn: an error with the name, or a picture; sanitizers watch the rest. */
static void change_every_byte(imp_context *context, test_file file) {
    size_t failed = 0;
    for (size_t i = 0; i < file.length; i++)
        for (int change = 0; change < 3; change++) {
            const uint8_t changes[3] = {0xFF, 0x01, 0x80};
            imp_image image;
            file.bytes[i] ^= changes[change];
            if (imp_picture_decode(context, file.bytes, file.length, "cat.jpg", &image)) {
                failed++;
                assert_ptr_equal(strstr(imp_error(context), "cat.jpg: "), imp_error(context));
                assert_null(image.pixels);
            } else {
                expect_size(context, file, &image);
            }
            imp_image_release(context, &image);
            file.bytes[i] ^= changes[change];
        }
    assert_true(failed > 0);
}

static void changed_bytes_do_no_harm(void **state) {
    test_file file = test_jpeg_make(&small_jpeg);
    change_every_byte(*state, file);
    free(file.bytes);
    test_png late = small_png;
    for (late.exif_at_end = 0; late.exif_at_end < 2; late.exif_at_end++) {
        file = test_png_make(&late);
        change_every_byte(*state, file);
        free(file.bytes);
    }
    test_jpeg progressive = small_jpeg;
    progressive.progressive = 1;
    file = test_jpeg_make(&progressive);
    change_every_byte(*state, file);
    free(file.bytes);
}

static void png_checksums_are_heeded(void **state) {
    test_png recipe = small_png;
    recipe.orientation = 0;
    test_file file = test_png_make(&recipe);
    file.bytes[file.length - 14] ^= 1; /* the end chunk is 12 bytes long, before it stands the checksum of the pixels */
    expect_failure(*state, file.bytes, file.length, IMP_ERR_FORMAT, "cat.jpg: damaged PNG: ", "");
    free(file.bytes);
}

/* ---- Too large --------------------------------------------------------------------------------------------------- */

static void write_32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* ISO 3309, as PNG has it. */
static uint32_t png_checksum(const uint8_t *bytes, size_t length) {
    uint32_t sum = 0xFFFFFFFF;
    for (size_t i = 0; i < length; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) sum = sum & 1 ? sum >> 1 ^ 0xEDB88320 : sum >> 1;
    }
    return ~sum;
}

static void enormous_pictures_are_refused(void **state) {
    test_file file = test_png_make(&small_png);
    write_32(file.bytes + 16, 100000); /* IHDR: length, name, width, height, 5 bytes, checksum */
    write_32(file.bytes + 20, 100000);
    write_32(file.bytes + 29, png_checksum(file.bytes + 12, 17));
    expect_failure(*state, file.bytes, file.length, IMP_ERR_UNSUPPORTED,
                   "cat.jpg: 100000 x 100000 pixels, more than are read (65535 a side, 268435456 in all)", "");
    expect_no_size(*state, file.bytes, file.length, IMP_ERR_UNSUPPORTED, "cat.jpg: 100000 x 100000 pixels");
    free(file.bytes);
    file = test_jpeg_make(&small_jpeg);
    static const uint8_t frame[] = {0xFF, 0xC0, 0, 17, 8};
    uint8_t *at = memmem(file.bytes, file.length, frame, sizeof frame);
    assert_non_null(at);
    write_32(at + sizeof frame, 0xFDE8FDE8); /* 65000 rows of 65000 */
    expect_failure(*state, file.bytes, file.length, IMP_ERR_UNSUPPORTED, "cat.jpg: 65000 x 65000 pixels", "");
    expect_no_size(*state, file.bytes, file.length, IMP_ERR_UNSUPPORTED, "cat.jpg: 65000 x 65000 pixels");
    free(file.bytes);
}

static void memory_limit_is_kept(void **state) {
    imp_context_options options;
    imp_context *context;
    (void)state;
    imp_context_options_default(&options);
    options.threads = 1;
    options.memory_limit = 1 << 20;
    assert_int_equal(imp_context_create(&options, &context), IMP_OK);
    /* A progressive JPEG's coefficients are twice its samples: the image fits, what libjpeg wants doesn't. */
    test_jpeg jpeg = {.width = 500, .height = 500, .components = 3, .progressive = 1, .pattern = test_slope};
    test_file file = test_jpeg_make(&jpeg);
    expect_failure(context, file.bytes, file.length, IMP_ERR_MEMORY, "cat.jpg: out of memory", "");
    free(file.bytes);
    test_png png = {.width = 700, .height = 700, .colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .pattern = test_slope};
    file = test_png_make(&png);
    expect_failure(context, file.bytes, file.length, IMP_ERR_MEMORY, "cat.jpg: out of memory", "");
    free(file.bytes);
    imp_context_free(context);
}

/* ---- Memory that fails ------------------------------------------------------------------------------------------- */

static int decode_scenario(imp_context *context, void *user) {
    const test_file *file = user;
    imp_image image;
    int status = imp_picture_decode(context, file->bytes, file->length, "cat", &image);
    imp_image_release(context, &image);
    return status;
}

static int size_scenario(imp_context *context, void *user) {
    const test_file *file = user;
    int width, height;
    return imp_picture_decode_size(context, file->bytes, file->length, "cat", &width, &height);
}

static void every_allocation_may_fail(void **state) {
    test_file linear = test_linear_profile(1, 0); /* grey, which is quickest to prepare */
    test_jpeg jpeg = small_jpeg;
    test_png with_profile = small_png, with_gamma = small_png;
    (void)state;
    jpeg.profile = with_profile.profile = linear.bytes;
    jpeg.profile_length = with_profile.profile_length = linear.length;
    jpeg.components = 1;
    with_profile.colour_type = with_gamma.colour_type = PNG_COLOR_TYPE_GRAY;
    with_profile.interlaced = 1;
    with_gamma.gamma = 0.7;
    with_gamma.exif_at_end = 1;
    test_png in_colour = {
        .width = 2, .height = 3, .colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .gamma = 0.5, .pattern = test_noise};
    test_file files[4] = {test_jpeg_make(&jpeg), test_png_make(&with_profile), test_png_make(&with_gamma),
                          test_png_make(&in_colour)};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(imp_test_every_allocation(decode_scenario, &files[i]), 0);
        assert_int_equal(imp_test_every_allocation(size_scenario, &files[i]), 0);
        free(files[i].bytes);
    }
    free(linear.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_are_named),      cmocka_unit_test(long_names_leave_room_for_the_reason),
        cmocka_unit_test(paths_without_a_file),     cmocka_unit_test(cut_jpeg_is_truncated),
        cmocka_unit_test(cut_png_is_truncated),     cmocka_unit_test(changed_bytes_do_no_harm),
        cmocka_unit_test(png_checksums_are_heeded), cmocka_unit_test(enormous_pictures_are_refused),
        cmocka_unit_test(memory_limit_is_kept),     cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(paths_without_a_size),     cmocka_unit_test(size_needs_the_header_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
