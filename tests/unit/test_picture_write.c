/* Writing pictures: what is written is read again; names, depths, failures; and the formats of the vips module. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "failing_allocator.h"
#include "impasto_picture.h"
#include "picture_files.h"
#include "unit.h"

static char folder[] = "/tmp/impasto-picture-XXXXXX";
static int has_module; /* beside the folder of this program, where the build leaves it */

static const char *in_folder(const char *name) {
    static char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int files_in_folder(void) {
    DIR *open = opendir(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open));) count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(open);
    return count;
}

/* Where the build leaves the module: one folder above this program. */
static void find_module(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    if (length <= 0 || getenv("IMPASTO_MODULES")) return;
    path[length] = 0;
    *strrchr(path, '/') = 0;
    *strrchr(path, '/') = 0;
    setenv("IMPASTO_MODULES", path, 1);
}

static int setup(void **state) {
    imp_context_options options;
    imp_context *context;
    imp_context_options_default(&options);
    options.threads = 2;
    assert_non_null(mkdtemp(folder));
    find_module();
    int status = imp_context_create(&options, &context);
    *state = context;
    if (!status) has_module = imp_picture_can_write(context, in_folder("a.webp")) == IMP_OK;
    return status;
}

static int teardown(void **state) {
    imp_context_free(*state);
    return rmdir(folder);
}

/* A picture of a pattern; depth and channels as asked for. */
static imp_image make(imp_context *context, int channels, imp_depth depth, test_pattern *pattern) {
    imp_image image;
    assert_int_equal(imp_image_create(context, 40, 30, channels, depth, &image), IMP_OK);
    for (int i = 0; i < 40 * 30 * channels; i++) {
        int x = i / channels % 40, y = i / channels / 40, c = i % channels;
        if (depth == IMP_DEPTH_8)
            ((uint8_t *)image.pixels)[i] = (uint8_t)pattern(x, y, c, 255);
        else if (depth == IMP_DEPTH_16)
            ((uint16_t *)image.pixels)[i] = (uint16_t)pattern(x, y, c, 65535);
        else
            ((float *)image.pixels)[i] = (float)pattern(x, y, c, 65535) / 65535;
    }
    return image;
}

/* Writes image and reads it again; the file is removed. */
static imp_image through_file(imp_context *context, const char *name, const imp_image *image, int quality) {
    imp_image back;
    int width, height;
    if (imp_picture_write(context, in_folder(name), image, quality) ||
        imp_picture_size(context, in_folder(name), &width, &height) ||
        imp_picture_read(context, in_folder(name), &back))
        fail_msg("%s", imp_error(context));
    assert_true(width == back.width && height == back.height);
    assert_int_equal(files_in_folder(), 1);
    unlink(in_folder(name));
    return back;
}

static int largest_difference(const imp_image *a, const imp_image *b) {
    int most = 0;
    assert_true(a->width == b->width && a->height == b->height && a->channels == b->channels && a->depth == b->depth);
    for (int i = 0; i < a->width * a->height * a->channels; i++) {
        int one = a->depth == IMP_DEPTH_8 ? ((uint8_t *)a->pixels)[i] : ((uint16_t *)a->pixels)[i];
        int other = a->depth == IMP_DEPTH_8 ? ((uint8_t *)b->pixels)[i] : ((uint16_t *)b->pixels)[i];
        if (abs(one - other) > most) most = abs(one - other);
    }
    return most;
}

/* ---- PNG and JPEG ------------------------------------------------------------------------------------------------ */

static void png_keeps_every_pixel(void **state) {
    for (int channels = 1; channels <= 4; channels++)
        for (int deep = 0; deep < 2; deep++) {
            imp_image image = make(*state, channels, deep ? IMP_DEPTH_16 : IMP_DEPTH_8, test_noise);
            imp_image back = through_file(*state, "a.PNG", &image, 0);
            assert_int_equal(largest_difference(&image, &back), 0);
            imp_image_release(*state, &back);
            imp_image_release(*state, &image);
        }
}

static void floats_become_16_bits_in_png(void **state) {
    imp_image image = make(*state, 3, IMP_DEPTH_F32, test_noise), words = make(*state, 3, IMP_DEPTH_16, test_noise);
    float *samples = image.pixels;
    samples[0] = NAN, samples[1] = -3, samples[2] = 1e30f;
    ((uint16_t *)words.pixels)[0] = ((uint16_t *)words.pixels)[1] = 0;
    ((uint16_t *)words.pixels)[2] = 65535;
    imp_image back = through_file(*state, "a.png", &image, 0);
    assert_int_equal(largest_difference(&words, &back), 0);
    imp_image_release(*state, &back);
    imp_image_release(*state, &words);
    imp_image_release(*state, &image);
}

static void jpeg_takes_every_depth(void **state) {
    static const imp_depth depths[] = {IMP_DEPTH_8, IMP_DEPTH_16, IMP_DEPTH_F32};
    for (int channels = 1; channels <= 3; channels += 2)
        for (int i = 0; i < 3; i++) {
            imp_image image = make(*state, channels, depths[i], test_slope);
            imp_image bytes = make(*state, channels, IMP_DEPTH_8, test_slope);
            imp_image back = through_file(*state, "a.jpeg", &image, 100);
            /* At quality 100: a step of quantisation for each component, rounded again in the conversion to RGB. */
            assert_in_range(largest_difference(&bytes, &back), 0, 3);
            imp_image_release(*state, &back);
            imp_image_release(*state, &bytes);
            imp_image_release(*state, &image);
        }
}

static unsigned half_transparent(int x, int y, int c, unsigned most) {
    (void)y;
    return c == 3 ? (x < 16 ? 0 : most) : 0;
}

static void jpeg_puts_transparency_on_white(void **state) {
    imp_image image = make(*state, 4, IMP_DEPTH_8, half_transparent);
    imp_image back = through_file(*state, "a.jpg", &image, 0);
    assert_int_equal(back.channels, 3);
    const uint8_t *row = back.pixels;
    assert_in_range(row[3 * 4], 250, 255); /* the edge is on a block's border, so that it doesn't ring */
    assert_in_range(row[3 * 30], 0, 5);
    imp_image_release(*state, &back);
    imp_image_release(*state, &image);
}

/* What goes into a stream is what goes into a file. */
static void streams_take_what_files_do(void **state) {
    imp_image image = make(*state, 3, IMP_DEPTH_8, test_slope), broken = image;
    char *bytes = NULL;
    uint8_t *file;
    size_t length = 0, file_length;
    FILE *stream = open_memstream(&bytes, &length);
    assert_int_equal(imp_picture_encode(*state, ".jpg", &image, 80, stream), IMP_OK);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(imp_picture_write(*state, in_folder("a.jpg"), &image, 80), IMP_OK);
    assert_int_equal(imp_file_read(*state, in_folder("a.jpg"), 1 << 20, &file, &file_length), IMP_OK);
    assert_int_equal(file_length, length);
    assert_memory_equal(file, bytes, length);
    unlink(in_folder("a.jpg"));
    imp_release(*state, file);
    free(bytes);
    broken.channels = 5;
    assert_int_equal(imp_picture_encode(*state, ".jpg", &broken, 80, stdout), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_encode(*state, ".jpg", &image, 101, stdout), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_encode(*state, ".xyz", &image, 80, stdout), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_encode(*state, NULL, &image, 80, stdout), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_encode(*state, ".jpg", &image, 80, NULL), IMP_ERR_ARGUMENT);
    imp_image_release(*state, &image);
}

static void quality_counts(void **state) {
    imp_image image = make(*state, 3, IMP_DEPTH_8, test_noise);
    long sizes[3];
    const int qualities[3] = {10, 0, 100};
    for (int i = 0; i < 3; i++) {
        struct stat about;
        assert_int_equal(imp_picture_write(*state, in_folder("a.jpg"), &image, qualities[i]), IMP_OK);
        assert_int_equal(stat(in_folder("a.jpg"), &about), 0);
        sizes[i] = (long)about.st_size;
    }
    assert_true(sizes[0] < sizes[1] && sizes[1] < sizes[2]);
    assert_int_equal(imp_picture_write(*state, in_folder("a.jpg"), &image, -1), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_write(*state, in_folder("a.jpg"), &image, 101), IMP_ERR_ARGUMENT);
    unlink(in_folder("a.jpg"));
    imp_image_release(*state, &image);
}

static void files_are_the_same_every_time_and_say_srgb(void **state) {
    imp_image image = make(*state, 3, IMP_DEPTH_8, test_slope);
    static const char *const names[] = {"a.jpg", "a.png"}, *const tags[] = {"ICC_PROFILE", "sRGB"};
    for (int i = 0; i < 2; i++) {
        uint8_t *bytes[2];
        size_t lengths[2];
        for (int k = 0; k < 2; k++) {
            assert_int_equal(imp_picture_write(*state, in_folder(names[i]), &image, 0), IMP_OK);
            assert_int_equal(imp_file_read(*state, in_folder(names[i]), 1 << 20, &bytes[k], &lengths[k]), IMP_OK);
        }
        assert_int_equal(lengths[0], lengths[1]);
        assert_memory_equal(bytes[0], bytes[1], lengths[0]);
        assert_non_null(memmem(bytes[0], lengths[0], tags[i], strlen(tags[i])));
        imp_release(*state, bytes[0]);
        imp_release(*state, bytes[1]);
        unlink(in_folder(names[i]));
    }
    imp_image_release(*state, &image);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

static void expect_refused(imp_context *context, const char *path, const imp_image *image, int status,
                           const char *words) {
    assert_int_equal(imp_picture_can_write(context, path), status);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    assert_int_equal(imp_picture_write(context, path, image, 0), status);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    assert_int_equal(files_in_folder(), 0);
}

static void names_that_cannot_be_written(void **state) {
    imp_image image = make(*state, 3, IMP_DEPTH_8, test_slope);
    const char *known = "these can be written: .jpg .jpeg .jpe .jfif .png .webp .tif .tiff .avif";
    expect_refused(*state, in_folder("a.foo"), &image, IMP_ERR_ARGUMENT, "a.foo: no picture format ends in \".foo\"");
    expect_refused(*state, in_folder("a.foo"), &image, IMP_ERR_ARGUMENT, known);
    expect_refused(*state, in_folder("a"), &image, IMP_ERR_ARGUMENT, "a: the name has no ending");
    expect_refused(*state, in_folder("a."), &image, IMP_ERR_ARGUMENT, known);
    expect_refused(*state, in_folder("a.gif"), &image, IMP_ERR_ARGUMENT, known);
    expect_refused(*state, in_folder("a.jp"), &image, IMP_ERR_ARGUMENT, known);
    expect_refused(*state, "/nowhere.png/a", &image, IMP_ERR_ARGUMENT, "has no ending");
    expect_refused(*state, in_folder("b/a.png"), &image, IMP_ERR_IO, "b/a.png: there is no folder ");
    assert_int_equal(imp_picture_can_write(*state, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_can_write(*state, in_folder("a.Png")), IMP_OK);
    assert_int_equal(files_in_folder(), 0);
    imp_image_release(*state, &image);
}

static void images_that_cannot_be_written(void **state) {
    imp_image image = make(*state, 3, IMP_DEPTH_8, test_slope), bad = image;
    bad.stride = 3;
    assert_int_equal(imp_picture_write(*state, in_folder("a.png"), &bad, 0), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_picture_write(*state, in_folder("a.png"), NULL, 0), IMP_ERR_ARGUMENT);
    imp_image_release(*state, &image);
    assert_int_equal(imp_image_create(*state, IMP_IMAGE_MAX_SIDE, 1, 1, IMP_DEPTH_8, &image), IMP_OK);
    assert_int_equal(imp_picture_write(*state, in_folder("a.jpg"), &image, 0), IMP_ERR_UNSUPPORTED);
    assert_non_null(
        strstr(imp_error(*state), "a.jpg: 65535 x 1 pixels, more than the 65500 a side of a JPEG; write a PNG"));
    assert_int_equal(files_in_folder(), 0);
    imp_image_release(*state, &image);
}

static int write_scenario(imp_context *context, void *user) {
    uint8_t pixels[5 * 4 * 4] = {1, 2, 3};
    imp_image image = {sizeof image, 5, 4, 4, IMP_DEPTH_8, 20, pixels};
    return imp_picture_write(context, in_folder(user), &image, 0);
}

static void every_allocation_may_fail(void **state) {
    char *names[] = {"a.png", "a.jpg", "a.tif"};
    (void)state;
    for (int i = 0; i < 2 + has_module; i++) {
        assert_int_equal(imp_test_every_allocation(write_scenario, names[i]), 0);
        unlink(in_folder(names[i]));
        assert_int_equal(files_in_folder(), 0);
    }
}

/* ---- The vips module --------------------------------------------------------------------------------------------- */

static void without_the_module_the_message_says_so(void **state) {
    static const char *const starts[] = {"RIFF\x1A\0\0\0WEBPVP8L", "II*\0\x08\0\0\0", "GIF89a\1\0\1\0",
                                         "\0\0\0\x18"
                                         "ftypheic\0\0\0\0mif1heic",
                                         "\0\0\0\x1C"
                                         "ftypmif1\0\0\0\0mif1avif"};
    static const char *const names[] = {"WebP", "TIFF", "GIF", "HEIF", "AVIF"};
    static const size_t lengths[] = {16, 8, 10, 24, 24};
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", getenv("IMPASTO_MODULES"));
    setenv("IMPASTO_MODULES", folder, 1);
    for (int i = 0; i < 5; i++) {
        imp_image image;
        char words[256];
        snprintf(words, sizeof words,
                 "cat: %s pictures need the vips module of Impasto, which is built where libvips-dev is installed; or "
                 "convert it to PNG or JPEG",
                 names[i]);
        assert_int_equal(imp_picture_decode(*state, starts[i], lengths[i], "cat", &image), IMP_ERR_UNSUPPORTED);
        assert_string_equal(imp_error(*state), words);
        int width, height;
        assert_int_equal(imp_picture_decode_size(*state, starts[i], lengths[i], "cat", &width, &height),
                         IMP_ERR_UNSUPPORTED);
        assert_string_equal(imp_error(*state), words);
    }
    imp_image image = make(*state, 3, IMP_DEPTH_8, test_slope);
    expect_refused(*state, in_folder("a.webp"), &image, IMP_ERR_UNSUPPORTED,
                   "a.webp: WebP pictures need the vips module of Impasto, which is built where libvips-dev is "
                   "installed; or write a PNG or JPEG");
    imp_image_release(*state, &image);
    setenv("IMPASTO_MODULES", kept, 1);
}

static void module_that_is_no_module(void **state) {
    char kept[4096];
    FILE *file = fopen(in_folder("impasto_vips.so"), "wb");
    assert_non_null(file);
    fputs("not a shared object", file);
    fclose(file);
    snprintf(kept, sizeof kept, "%s", getenv("IMPASTO_MODULES"));
    setenv("IMPASTO_MODULES", folder, 1);
    assert_int_equal(imp_picture_can_write(*state, in_folder("a.avif")), IMP_ERR_UNSUPPORTED);
    assert_non_null(strstr(imp_error(*state), "a.avif: AVIF pictures need libvips, which cannot be loaded: "));
    setenv("IMPASTO_MODULES", kept, 1);
    unlink(in_folder("impasto_vips.so"));
}

static void module_keeps_pictures(void **state) {
    if (!has_module) skip();
    for (int channels = 1; channels <= 4; channels++)
        for (int deep = 0; deep < 2; deep++) {
            imp_image image = make(*state, channels, deep ? IMP_DEPTH_16 : IMP_DEPTH_8, test_noise);
            imp_image back = through_file(*state, "a.tiff", &image, 0);
            assert_int_equal(largest_difference(&image, &back), 0);
            imp_image_release(*state, &back);
            imp_image_release(*state, &image);
        }
    static const char *const names[] = {"a.webp", "a.avif"};
    for (int i = 0; i < 2; i++) {
        if (imp_picture_can_write(*state, in_folder(names[i]))) continue; /* a libvips without that saver */
        imp_image image = make(*state, 3, IMP_DEPTH_8, test_slope);
        imp_image back = through_file(*state, names[i], &image, 100);
        /* Both halve the resolution of colour, so that a slope's steps of 4 are off by some. */
        assert_in_range(largest_difference(&image, &back), 0, 12);
        imp_image_release(*state, &back);
        imp_image_release(*state, &image);
    }
}

static void module_refuses_cut_files(void **state) {
    if (!has_module) skip();
    static const char *const names[] = {"a.webp", "a.tif"};
    for (int i = 0; i < 2; i++) {
        imp_image image = make(*state, 3, IMP_DEPTH_8, test_noise), back;
        uint8_t *bytes;
        size_t length;
        assert_int_equal(imp_picture_write(*state, in_folder(names[i]), &image, 0), IMP_OK);
        assert_int_equal(imp_file_read(*state, in_folder(names[i]), 1 << 20, &bytes, &length), IMP_OK);
        /* The profile stands at the end of both, and pixels without it are a picture. */
        for (size_t cut = 16; cut < length / 3; cut += length / 13) {
            assert_int_equal(imp_picture_decode(*state, bytes, cut, "cat", &back), IMP_ERR_FORMAT);
            assert_ptr_equal(strstr(imp_error(*state), "cat: truncated or damaged "), imp_error(*state));
            assert_null(back.pixels);
        }
        imp_release(*state, bytes);
        imp_image_release(*state, &image);
        unlink(in_folder(names[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_keeps_every_pixel),
        cmocka_unit_test(floats_become_16_bits_in_png),
        cmocka_unit_test(jpeg_takes_every_depth),
        cmocka_unit_test(jpeg_puts_transparency_on_white),
        cmocka_unit_test(streams_take_what_files_do),
        cmocka_unit_test(quality_counts),
        cmocka_unit_test(files_are_the_same_every_time_and_say_srgb),
        cmocka_unit_test(names_that_cannot_be_written),
        cmocka_unit_test(images_that_cannot_be_written),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(without_the_module_the_message_says_so),
        cmocka_unit_test(module_that_is_no_module),
        cmocka_unit_test(module_keeps_pictures),
        cmocka_unit_test(module_refuses_cut_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
