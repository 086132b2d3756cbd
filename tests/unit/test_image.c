/* Images in memory: creating, checking, resampling against Pillow, planes and back. */
#include <math.h>
#include <string.h>

#include "base/image.h"
#include "base/memory.h"
#include "failing_allocator.h"
#include "style/canvas.h"
#include "style/image.h"
#include "unit.h"

/* Float sums of at most 35 products of values below 255 against Pillow's in double, printed with 4 decimals. */
#define PILLOW_TOLERANCE 2e-4f

static int setup(void **state) {
    *state = make_context(3, 0);
    return 0;
}

static int teardown(void **state) {
    imp_context_free(*state);
    return 0;
}

/* ---- Resampling -------------------------------------------------------------------------------------------------- */

static void fill_formula(float *plane, int width, int height) {
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) plane[y * width + x] = (float)((x * 37 + y * 59 + x * y * 11) % 256);
}

/* Pillow 13, Image.fromarray(float32).resize((out_width, out_height), filter) of the formula above. */
typedef struct pillow_case {
    imp_filter filter;
    int width, height, out_width, out_height;
    float values[20];
} pillow_case;

static const pillow_case pillow_cases[] = {
    {IMP_FILTER_BILINEAR,
     7,
     5,
     4,
     3,
     {47.1361f, 112.0514f, 166.8629f, 149.2313f, 146.1958f, 155.3867f, 127.4133f, 133.6243f, 175.7891f, 135.3314f,
      126.4857f, 121.6939f}},
    {IMP_FILTER_BICUBIC,
     7,
     5,
     4,
     3,
     {37.1457f, 114.9974f, 171.2750f, 150.3019f, 152.2269f, 159.6440f, 124.9608f, 128.3412f, 180.0088f, 133.8961f,
      124.5123f, 120.2132f}},
    {IMP_FILTER_LANCZOS,
     7,
     5,
     4,
     3,
     {31.0179f, 118.3097f, 172.4850f, 152.0526f, 159.0109f, 164.2133f, 121.9103f, 123.3425f, 179.0006f, 132.5544f,
      122.2417f, 119.6116f}},
    {IMP_FILTER_BILINEAR, 3, 2, 5, 4, {0.0000f,   14.8000f, 37.0000f, 59.2000f,  74.0000f,  14.7500f, 30.6500f,
                                       54.5000f,  78.3500f, 94.2500f, 44.2500f,  62.3500f,  89.5000f, 116.6500f,
                                       134.7500f, 59.0000f, 78.2000f, 107.0000f, 135.8000f, 155.0000f}},
    {IMP_FILTER_BICUBIC, 3, 2, 5, 4, {-7.9251f,  5.8180f,  30.8235f, 55.8290f,  69.5721f,  9.2570f,  24.2395f,
                                      51.5000f,  78.7605f, 93.7430f, 43.3279f,  60.7680f,  92.5000f, 124.2320f,
                                      141.6721f, 60.5100f, 79.1894f, 113.1765f, 147.1635f, 165.8429f}},
    {IMP_FILTER_LANCZOS, 3, 2, 5, 4, {-12.9950f, -2.4270f, 24.7166f, 51.8601f,  62.4282f,  10.7591f, 22.6808f,
                                      53.3009f,  83.9211f, 95.8428f, 41.8377f,  55.5303f,  90.6991f, 125.8678f,
                                      139.5604f, 65.5919f, 80.6381f, 119.2834f, 157.9288f, 172.9750f}},
};

static void resampling_is_pillows(void **state) {
    for (size_t i = 0; i < sizeof pillow_cases / sizeof pillow_cases[0]; i++) {
        const pillow_case *one = &pillow_cases[i];
        int in_size = one->width * one->height, out_size = one->out_width * one->out_height;
        float in[6 * 35], out[6 * 20]; /* six channels: more than are resampled at once */
        for (int c = 0; c < 6; c++) fill_formula(in + c * in_size, one->width, one->height);
        assert_int_equal(imp_planes_resize(*state, in, 6, one->height, one->width, out, one->out_height, one->out_width,
                                           one->filter),
                         IMP_OK);
        for (int k = 0; k < 6 * out_size; k++) assert_float_equal(out[k], one->values[k % out_size], PILLOW_TOLERANCE);
    }
}

static void same_size_is_a_copy(void **state) {
    float in[35], out[35];
    fill_formula(in, 7, 5);
    assert_int_equal(imp_planes_resize(*state, in, 1, 5, 7, out, 5, 7, IMP_FILTER_LANCZOS), IMP_OK);
    assert_memory_equal(in, out, sizeof in);
}

static void threads_do_not_change_pixels(void **state) {
    enum { width = 61, height = 43, out_width = 29, out_height = 77 };
    static float in[width * height], one[out_width * out_height], three[out_width * out_height];
    imp_context_options options;
    imp_context *single;
    imp_context_options_default(&options);
    options.threads = 1;
    assert_int_equal(imp_context_create(&options, &single), IMP_OK);
    fill_formula(in, width, height);
    assert_int_equal(imp_planes_resize(single, in, 1, height, width, one, out_height, out_width, IMP_FILTER_BICUBIC),
                     IMP_OK);
    assert_int_equal(imp_planes_resize(*state, in, 1, height, width, three, out_height, out_width, IMP_FILTER_BICUBIC),
                     IMP_OK);
    assert_memory_equal(one, three, sizeof one);
    imp_context_free(single);
}

/* ---- Images to planes and back ----------------------------------------------------------------------------------- */

static imp_image describe(void *pixels, int width, int height, int channels, imp_depth depth) {
    return (imp_image){sizeof(imp_image), width, height, channels, depth, (size_t)width * channels * depth, pixels};
}

static void planes_of_every_depth(void **state) {
    uint8_t bytes[2 * 3] = {0, 128, 255, 10, 20, 30};
    uint16_t words[2 * 3] = {0, 128 * 257, 65535, 10 * 257, 20 * 257, 30 * 257};
    float floats[2 * 3] = {-1, 128 / 255.0f, 7, 10 / 255.0f, 20 / 255.0f, 30 / 255.0f}; /* out of range: clamped */
    imp_image images[3] = {describe(bytes, 2, 1, 3, IMP_DEPTH_8), describe(words, 2, 1, 3, IMP_DEPTH_16),
                           describe(floats, 2, 1, 3, IMP_DEPTH_F32)};
    const float expected[6] = {0, 10, 128, 20, 255, 30};
    for (int i = 0; i < 3; i++) {
        float *planes;
        imp_image back;
        assert_int_equal(imp_image_to_planes(*state, &images[i], 2, 1, &planes), IMP_OK);
        /* A sample takes two roundings in float on the way. */
        for (int k = 0; k < 6; k++) assert_float_equal(planes[k], expected[k], 1e-4f);
        assert_int_equal(imp_planes_to_image(*state, planes, 2, 1, IMP_DEPTH_8, &back), IMP_OK);
        assert_memory_equal(back.pixels, bytes, sizeof bytes);
        imp_image_release(*state, &back);
        assert_null(back.pixels);
        imp_release(*state, planes);
    }
}

static void grey_and_alpha_become_rgb_on_white(void **state) {
    uint8_t grey_alpha[2 * 2] = {100, 255, 100, 0};
    uint8_t rgba[4] = {0, 100, 255, 51}; /* a fifth */
    imp_image images[2] = {describe(grey_alpha, 2, 1, 2, IMP_DEPTH_8), describe(rgba, 1, 1, 4, IMP_DEPTH_8)};
    float *planes;
    assert_int_equal(imp_image_to_planes(*state, &images[0], 2, 1, &planes), IMP_OK);
    for (int c = 0; c < 3; c++) {
        assert_float_equal(planes[2 * c], 100, 1e-4f);
        assert_float_equal(planes[2 * c + 1], 255, 1e-4f);
    }
    imp_release(*state, planes);
    assert_int_equal(imp_image_to_planes(*state, &images[1], 1, 1, &planes), IMP_OK);
    assert_float_equal(planes[0], 204, 1e-4f);
    assert_float_equal(planes[1], 224, 1e-4f);
    assert_float_equal(planes[2], 255, 1e-4f);
    imp_release(*state, planes);
}

/* Lanczos overshoots at an edge; planes stay within 0..255 all the same. */
static void planes_are_clamped(void **state) {
    uint8_t edge[8] = {0, 0, 0, 0, 255, 255, 255, 255};
    imp_image image = describe(edge, 8, 1, 1, IMP_DEPTH_8);
    float *planes;
    assert_int_equal(imp_image_to_planes(*state, &image, 21, 1, &planes), IMP_OK);
    float least = 1, most = 0;
    for (int i = 0; i < 63; i++) {
        least = fminf(least, planes[i]);
        most = fmaxf(most, planes[i]);
    }
    assert_true(least == 0 && most == 255);
    imp_release(*state, planes);
}

static void planes_round_and_survive_nan(void **state) {
    const float planes[3 * 2] = {NAN, 0.49f, -5, 254.5f, 1e30f, INFINITY};
    const uint8_t expected_8[6] = {0, 0, 255, 0, 255, 255};
    const uint16_t expected_16[6] = {0, 0, 65535, 126, 65407, 65535}; /* 0.49 * 257 = 125.93; 254.5 * 257 = 65406.5 */
    imp_image out;
    assert_int_equal(imp_planes_to_image(*state, planes, 2, 1, IMP_DEPTH_8, &out), IMP_OK);
    assert_memory_equal(out.pixels, expected_8, sizeof expected_8);
    imp_image_release(*state, &out);
    assert_int_equal(imp_planes_to_image(*state, planes, 2, 1, IMP_DEPTH_16, &out), IMP_OK);
    assert_memory_equal(out.pixels, expected_16, sizeof expected_16);
    imp_image_release(*state, &out);
    assert_int_equal(imp_planes_to_image(*state, planes, 2, 1, IMP_DEPTH_F32, &out), IMP_OK);
    assert_true(((float *)out.pixels)[0] == 0);
    assert_float_equal(((float *)out.pixels)[2], 1, 1e-6f);
    imp_image_release(*state, &out);
}

/* What is transparent must not lend its colour to what isn't. */
static void resizing_respects_alpha(void **state) {
    uint8_t pixels[4 * 4] = {255, 0, 0, 255, 255, 0, 0, 255, 0, 255, 0, 0, 0, 255, 0, 0};
    imp_image image = describe(pixels, 4, 1, 4, IMP_DEPTH_8), out;
    assert_int_equal(imp_image_resize(*state, &image, 2, 1, &out), IMP_OK);
    const uint8_t *made = out.pixels;
    assert_int_equal(out.channels, 4);
    for (int x = 0; x < 2; x++)
        if (made[4 * x + 3]) assert_true(made[4 * x] == 255 && made[4 * x + 1] == 0);
    assert_true(made[3] > made[7]);
    imp_image_release(*state, &out);
}

static void resizing_keeps_depth_and_stride(void **state) {
    uint16_t pixels[2][8] = {{1000, 2000, 7, 7, 7, 7, 7, 7}, {3000, 4000, 7, 7, 7, 7, 7, 7}};
    imp_image image = describe(pixels, 2, 2, 1, IMP_DEPTH_16), out;
    image.stride = sizeof pixels[0];
    assert_int_equal(imp_image_resize(*state, &image, 1, 1, &out), IMP_OK);
    assert_int_equal(out.depth, IMP_DEPTH_16);
    assert_int_equal(*(uint16_t *)out.pixels, 2500);
    imp_image_release(*state, &out);
}

/* ---- Bad arguments ----------------------------------------------------------------------------------------------- */

static void expect_fit(int width, int height, double side, int least, int new_width, int new_height) {
    imp_canvas fitted = imp_canvas_fit(&(imp_canvas){width, height, 0}, side, least);
    assert_int_equal(fitted.width, new_width);
    assert_int_equal(fitted.height, new_height);
}

static void a_longer_side_keeps_proportions(void **state) {
    (void)state;
    expect_fit(100, 75, 50, 1, 50, 38); /* 37.5: rounded, not cut */
    expect_fit(75, 100, 50, 1, 38, 50);
    expect_fit(1000, 10, 64, 16, 64, 16);
    expect_fit(2, 1, 1e6, 1, IMP_IMAGE_MAX_SIDE, IMP_IMAGE_MAX_SIDE);
}

static void expect_refused(imp_context *context, const imp_image *image, const char *words) {
    imp_image out = {.pixels = &out};
    assert_int_equal(imp_image_check(context, image, "photo"), IMP_ERR_ARGUMENT);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    assert_int_equal(imp_image_resize(context, image, 3, 3, &out), IMP_ERR_ARGUMENT);
    assert_null(out.pixels);
}

static void bad_images_are_refused(void **state) {
    static uint8_t pixels[64];
    const imp_image good = describe(pixels, 2, 2, 3, IMP_DEPTH_8);
    imp_image bad;
    assert_int_equal(imp_image_check(*state, &good, "photo"), IMP_OK);
    expect_refused(*state, NULL, "photo: no image");
    bad = good, bad.size = 0, expect_refused(*state, &bad, "size field is 0");
    bad = good, bad.width = 0, expect_refused(*state, &bad, "0 x 2 pixels");
    bad = good, bad.height = -1, expect_refused(*state, &bad, "2 x -1 pixels");
    bad = good, bad.width = IMP_IMAGE_MAX_SIDE + 1, expect_refused(*state, &bad, "65536 x 2 pixels");
    bad = good, bad.channels = 5, expect_refused(*state, &bad, "5 channels");
    bad = good, bad.channels = 0, expect_refused(*state, &bad, "0 channels");
    bad = good, bad.depth = (imp_depth)3, expect_refused(*state, &bad, "depth 3");
    bad = good, bad.pixels = NULL, expect_refused(*state, &bad, "no pixels");
    bad = good, bad.stride = 5, expect_refused(*state, &bad, "stride of 5 bytes is less than a row of 6");
    bad = good, bad.stride = SIZE_MAX, expect_refused(*state, &bad, "too large");
    bad = good, bad.depth = IMP_DEPTH_16, bad.stride = 12, bad.pixels = pixels + 1;
    expect_refused(*state, &bad, "not aligned");
}

static void bad_sizes_are_refused(void **state) {
    imp_image out = {.pixels = &out};
    assert_int_equal(imp_image_create(*state, 0, 5, 3, IMP_DEPTH_8, &out), IMP_ERR_ARGUMENT);
    assert_null(out.pixels);
    assert_int_equal(imp_image_create(*state, 5, 65536, 3, IMP_DEPTH_8, &out), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_image_create(*state, 5, 5, 3, IMP_DEPTH_8, NULL), IMP_ERR_ARGUMENT);
    imp_image_release(*state, NULL);
    imp_image_release(*state, &out);
    uint8_t pixel = 7;
    imp_image image = describe(&pixel, 1, 1, 1, IMP_DEPTH_8);
    assert_int_equal(imp_image_resize(*state, &image, 0, 1, &out), IMP_ERR_ARGUMENT);
    assert_null(out.pixels);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static int resize_scenario(imp_context *context, void *user) {
    uint8_t pixels[5 * 4 * 4] = {1, 2, 3};
    imp_image image = describe(pixels, 5, 4, 4, IMP_DEPTH_8), out, painted;
    float *planes = NULL;
    (void)user;
    int status = imp_image_resize(context, &image, 3, 7, &out);
    if (!status) status = imp_image_to_planes(context, &out, 2, 2, &planes);
    if (!status) status = imp_planes_to_image(context, planes, 2, 2, IMP_DEPTH_16, &painted);
    if (!status) imp_image_release(context, &painted);
    imp_release(context, planes);
    imp_image_release(context, &out);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(resize_scenario, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resampling_is_pillows),
        cmocka_unit_test(same_size_is_a_copy),
        cmocka_unit_test(threads_do_not_change_pixels),
        cmocka_unit_test(planes_of_every_depth),
        cmocka_unit_test(grey_and_alpha_become_rgb_on_white),
        cmocka_unit_test(planes_are_clamped),
        cmocka_unit_test(planes_round_and_survive_nan),
        cmocka_unit_test(resizing_respects_alpha),
        cmocka_unit_test(resizing_keeps_depth_and_stride),
        cmocka_unit_test(a_longer_side_keeps_proportions),
        cmocka_unit_test(bad_images_are_refused),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
