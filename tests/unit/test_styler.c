/* Painting at once with a small random `fine` network of three styles, through the public interface. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "failing_allocator.h"
#include "style/styler.h"
#include "unit.h"

enum { STYLES = 3, WIDTH = 23, HEIGHT = 17, FLOATS = 3 * WIDTH * HEIGHT };

static const float second_style[STYLES] = {0, 1, 0};

/* Numbers from 0 to 1, the same for a seed (xorshift32 of Marsaglia). */
static float next_number(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return (float)(*seed >> 8) / (float)(1 << 24);
}

/* A style is a row of scales and shifts of each norm; a training begins with all alike. */
static int make_model(imp_context *context, imp_model **model) {
    const int options[] = {16, 1, STYLES};
    uint32_t seed = 5;
    int status = imp_model_make(context, imp_architecture_find(imp_architectures, "fine"), options, model);
    if (!status) status = imp_model_set_preprocessing(context, *model, "signed");
    if (!status) status = imp_model_set_styles(context, *model, "one\ntwo\nthree");
    if (!status) status = imp_model_initialize(context, *model, 1);
    for (int i = 0; i < (*model ? (*model)->network.parameter_count : 0) && !status; i++) {
        const imp_parameter *one = &(*model)->network.parameters[i];
        if (!strstr(one->name, ".norm.")) continue;
        for (size_t k = 0; k < imp_parameter_count(one); k++) one->data[k] += next_number(&seed) - 0.5f;
    }
    return status;
}

typedef struct bench {
    imp_context *context;
    imp_model *model;
} bench;

static void begin(bench *on, int threads) {
    on->context = make_context(threads, 0);
    if (make_model(on->context, &on->model)) fail_msg("%s", imp_error(on->context));
}

static void end(bench *on) {
    imp_model_free(on->model);
    imp_context_free(on->context);
}

/* A photo of floats from 0.3 to 0.7, so that what is painted of it seldom leaves 0..1. */
static imp_image make_photo(int width, int height, uint32_t seed, float *samples) {
    for (int i = 0; i < 3 * width * height; i++) samples[i] = 0.3f + 0.4f * next_number(&seed);
    return (imp_image){sizeof(imp_image), width, height, 3, IMP_DEPTH_F32, 3 * sizeof(float) * (size_t)width, samples};
}

static int is_inside(float sample) {
    return sample > 0 && sample < 1;
}

/* Paints the photo into samples, [3 * width * height]. */
static void paint(const bench *on, const imp_image *photo, const float *shares, double strength, int keep,
                  const char *precision, float *samples) {
    imp_styler *styler;
    imp_image out;
    if (imp_styler_create(on->context, on->model, photo->width, photo->height, precision, &styler))
        fail_msg("%s", imp_error(on->context));
    imp_styler_keep_colors(styler, keep);
    if (imp_styler_run(styler, photo, shares, strength, IMP_DEPTH_F32, &out)) fail_msg("%s", imp_error(on->context));
    assert_true(out.width == photo->width && out.height == photo->height && out.channels == 3);
    memcpy(samples, out.pixels, 3 * sizeof(float) * (size_t)out.width * (size_t)out.height);
    imp_image_release(on->context, &out);
    imp_styler_free(styler);
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

static int mirrored(int i, int size) {
    return i < size ? i : 2 * (size - 1) - i;
}

/* A side that is no multiple of 4 is reflected up to one, and cut off again. */
static void odd_sizes_are_reflected(void **state) {
    enum { WIDE = 24, HIGH = 20 };
    static float small[FLOATS], large[3 * WIDE * HIGH], painted[FLOATS], whole[3 * WIDE * HIGH];
    bench on;
    (void)state;
    begin(&on, 1);
    imp_image photo = make_photo(WIDTH, HEIGHT, 7, small);
    for (int y = 0; y < HIGH; y++)
        for (int x = 0; x < WIDE; x++)
            memcpy(large + 3 * (y * WIDE + x), small + 3 * (mirrored(y, HEIGHT) * WIDTH + mirrored(x, WIDTH)),
                   3 * sizeof(float));
    imp_image padded = {sizeof padded, WIDE, HIGH, 3, IMP_DEPTH_F32, 3 * sizeof(float) * WIDE, large};
    paint(&on, &photo, second_style, 1, 0, "f32", painted);
    paint(&on, &padded, second_style, 1, 0, "f32", whole);
    for (int y = 0; y < HEIGHT; y++)
        assert_memory_equal(painted + 3 * y * WIDTH, whole + 3 * y * WIDE, 3 * sizeof(float) * WIDTH);
    end(&on);
}

static void every_size_is_painted(void **state) {
    static const int sizes[][2] = {{1, 1}, {2, 1}, {3, 5}, {4, 4}, {8, 3}, {1, 40}, {9, 31}};
    static float samples[3 * 40 * 40], painted[3 * 40 * 40];
    bench on;
    (void)state;
    begin(&on, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        imp_image photo = make_photo(sizes[i][0], sizes[i][1], 9, samples);
        paint(&on, &photo, second_style, 1, 0, "f32", painted);
        assert_memory_not_equal(painted, samples, 3 * sizeof(float));
        for (int k = 0; k < 3 * photo.width * photo.height; k++) assert_true(isfinite(painted[k]));
    }
    end(&on);
}

/* What the trunk says is added to the photo, and nothing bends the sum: without a trunk black and white stay what they are. */
static void the_photo_is_where_it_starts(void **state) {
    static float samples[FLOATS], painted[FLOATS];
    bench on;
    uint32_t seed = 15;
    (void)state;
    begin(&on, 1);
    for (int i = 0; i < on.model->network.parameter_count; i++) {
        const imp_parameter *one = &on.model->network.parameters[i];
        if (strncmp(one->name, "up2.", 4) == 0) memset(one->data, 0, imp_parameter_count(one) * sizeof(float));
    }
    imp_image photo = make_photo(WIDTH, HEIGHT, 15, samples);
    for (int i = 0; i < FLOATS; i++) samples[i] = floorf(11 * next_number(&seed)) / 10;
    paint(&on, &photo, second_style, 1, 0, "f32", painted);
    for (int i = 0; i < FLOATS; i++)
        assert_true(fabsf(painted[i] - samples[i]) < 1e-6f); /* some roundings of up to 1 */
    end(&on);
}

/* Whoever stands beside a picture does not show in it. */
static void two_are_as_one_by_one(void **state) {
    static float planes[2 * FLOATS], together[2 * FLOATS], alone[FLOATS];
    const float shares[2 * STYLES] = {0, 0.25f, 0.75f, 1, 0, 0};
    static const imp_element elements[] = {IMP_ELEMENT_F32, IMP_ELEMENT_BF16};
    bench on;
    uint32_t seed = 3;
    (void)state;
    begin(&on, 2);
    for (int i = 0; i < 2 * FLOATS; i++) planes[i] = 255 * next_number(&seed);
    for (int k = 0; k < 2; k++) {
        imp_styler *styler;
        assert_int_equal(imp_styler_make(on.context, on.model, WIDTH, HEIGHT, 2, elements[k], &styler), IMP_OK);
        imp_styler_paint(styler, planes, shares, together);
        imp_styler_free(styler);
        assert_int_equal(imp_styler_make(on.context, on.model, WIDTH, HEIGHT, 1, elements[k], &styler), IMP_OK);
        for (int i = 0; i < 2; i++) {
            imp_styler_paint(styler, planes + i * FLOATS, shares + i * STYLES, alone);
            assert_memory_equal(alone, together + i * FLOATS, sizeof alone);
        }
        imp_styler_free(styler);
    }
    end(&on);
}

/* ---- Styles and strength ----------------------------------------------------------------------------------------- */

/* Half of two styles is the style whose scales and shifts are halfway between theirs. */
static void styles_mix(void **state) {
    static float samples[FLOATS], first[FLOATS], second[FLOATS], mixed[FLOATS], between[FLOATS];
    const float one[STYLES] = {1, 0, 0}, half[STYLES] = {0.5f, 0.5f, 0};
    bench on, other;
    (void)state;
    begin(&on, 1);
    begin(&other, 1);
    for (int i = 0; i < other.model->network.parameter_count; i++) {
        const imp_parameter *parameter = &other.model->network.parameters[i];
        if (!strstr(parameter->name, ".norm.")) continue;
        for (int64_t c = 0; c < parameter->shape[1]; c++)
            parameter->data[c] = 0.5f * (parameter->data[c] + parameter->data[parameter->shape[1] + c]);
    }
    imp_image photo = make_photo(WIDTH, HEIGHT, 11, samples);
    paint(&on, &photo, one, 1, 0, "f32", first);
    paint(&on, &photo, second_style, 1, 0, "f32", second);
    paint(&on, &photo, half, 1, 0, "f32", mixed);
    paint(&other, &photo, one, 1, 0, "f32", between);
    double difference = 0;
    for (int i = 0; i < FLOATS; i++) {
        difference += fabs((double)first[i] - (double)second[i]);
        assert_true(fabsf(mixed[i] - between[i]) <
                    1e-5f); /* float has 6e-8, a dozen layers' sums some hundred of those */
    }
    assert_true(difference / FLOATS > 1e-3); /* a hundred of those tolerances */
    end(&on);
    end(&other);
}

static void strength_blends(void **state) {
    static float samples[FLOATS], none[FLOATS], half[FLOATS], whole[FLOATS];
    bench on;
    (void)state;
    begin(&on, 1);
    imp_image photo = make_photo(WIDTH, HEIGHT, 13, samples);
    for (int i = 0; i < FLOATS; i++)
        samples[i] = (samples[i] - 0.3f) / 0.4f; /* so that paint goes beyond black and white */
    paint(&on, &photo, second_style, 0, 0, "f32", none);
    paint(&on, &photo, second_style, 0.5, 0, "f32", half);
    paint(&on, &photo, second_style, 1, 0, "f32", whole);
    int cut = 0;
    for (int i = 0; i < FLOATS; i++) {
        assert_true(fabsf(none[i] - samples[i]) < 1e-6f);                     /* a rounding to 0..255 and one back */
        assert_true(fabsf(half[i] - 0.5f * (samples[i] + whole[i])) < 1e-6f); /* the same, and that of the blend */
        cut += !is_inside(whole[i]) && is_inside(samples[i]);
    }
    assert_true(cut > 0);
    end(&on);
}

/* What is kept are the differences between the colours of a pixel. */
static void hues_are_kept(void **state) {
    static float samples[FLOATS], kept[FLOATS], painted[FLOATS];
    bench on;
    int inside = 0;
    (void)state;
    begin(&on, 1);
    imp_image photo = make_photo(WIDTH, HEIGHT, 15, samples);
    paint(&on, &photo, second_style, 1, 1, "f32", kept);
    paint(&on, &photo, second_style, 1, 0, "f32", painted);
    assert_memory_not_equal(kept, painted, sizeof kept);
    assert_memory_not_equal(kept, samples, sizeof kept);
    for (int i = 0; i < FLOATS; i += 3) {
        if (!is_inside(kept[i]) || !is_inside(kept[i + 1]) || !is_inside(kept[i + 2])) continue;
        for (int c = 1; c < 3; c++)
            assert_true(fabsf(kept[i + c] - kept[i] - (samples[i + c] - samples[i])) < 1e-6f); /* roundings of float */
        inside++;
    }
    assert_true(inside > WIDTH * HEIGHT / 2);
    end(&on);
}

static void threads_do_not_show(void **state) {
    static float samples[FLOATS], one[FLOATS], many[FLOATS];
    static const char *const precisions[] = {"f32", "bf16"};
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int threads = 1; threads <= 5; threads += 2) {
            bench on;
            begin(&on, threads);
            imp_image photo = make_photo(WIDTH, HEIGHT, 17, samples);
            paint(&on, &photo, second_style, 1, 0, precisions[k], threads == 1 ? one : many);
            if (threads > 1) assert_memory_equal(many, one, sizeof one);
            end(&on);
        }
}

/* ---- Memory and profile ------------------------------------------------------------------------------------------ */

/* 256 x 192: what small blocks take shows no more. */
static void the_estimate_holds(void **state) {
    enum { WIDE = 256, HIGH = 192 };
    static float samples[3 * WIDE * HIGH];
    static const char *const precisions[] = {"f32", "bf16"};
    uint64_t bytes[2];
    bench on;
    (void)state;
    begin(&on, 1);
    imp_image photo = make_photo(WIDE, HIGH, 19, samples), out;
    for (int k = 0; k < 2; k++) {
        imp_estimate estimate = {.size = sizeof estimate};
        imp_context_info info = {.size = sizeof info};
        imp_styler *styler;
        assert_int_equal(imp_styler_estimate(on.context, on.model, WIDE, HIGH, precisions[k], &estimate), IMP_OK);
        assert_true(estimate.width == WIDE && estimate.height == HIGH);
        /* Multiplications and additions of a pixel: 2 (864 + 1152 + 864 + 144) / 4 + 2 (1152 + 2 * 2304) / 16 of its
           convolutions, and a few for norms, sums and ReLUs. */
        assert_true(estimate.operations > 2232.0 * WIDE * HIGH && estimate.operations < 2400.0 * WIDE * HIGH);
        bytes[k] = estimate.bytes;
        /* As much as it tells suffices, a byte less does not. */
        for (int less = 1; less >= 0; less--) {      /* last the one that packs weights, which then are there */
            imp_context *tight = make_context(1, 0); /* to know what it takes itself */
            assert_int_equal(imp_context_get_info(tight, &info), IMP_OK);
            imp_context_free(tight);
            tight = make_context(1, info.memory_now + (size_t)estimate.bytes - (size_t)less);
            int status = imp_styler_create(tight, on.model, WIDE, HIGH, precisions[k], &styler);
            assert_int_equal(status, less ? IMP_ERR_MEMORY : IMP_OK);
            if (less) {
                assert_null(styler);
                assert_non_null(strstr(imp_error(tight), "to paint 256 x 192 pixels at once takes"));
            } else {
                assert_int_equal(imp_styler_run(styler, &photo, second_style, 1, IMP_DEPTH_F32, &out), IMP_OK);
                assert_int_equal(imp_context_get_info(tight, &info), IMP_OK);
                /* It is no more than needed: the rest is for structs, rows and weights that a plan may pack. */
                assert_true((double)info.memory_peak > 0.9 * (double)estimate.bytes);
                imp_image_release(tight, &out);
                imp_styler_free(styler);
            }
            imp_context_free(tight);
        }
    }
    assert_true(bytes[1] < bytes[0]);
    end(&on);
}

static void the_profile_has_the_runs(void **state) {
    static float samples[FLOATS];
    imp_node_profile node = {.size = sizeof node};
    imp_styler *styler;
    imp_image out;
    bench on;
    int nodes = 0;
    (void)state;
    begin(&on, 1);
    imp_image photo = make_photo(WIDTH, HEIGHT, 21, samples);
    assert_int_equal(imp_styler_create(on.context, on.model, WIDTH, HEIGHT, NULL, &styler), IMP_OK);
    assert_int_equal(imp_styler_profile(styler, 0, &node), IMP_ERR_ARGUMENT);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(imp_styler_run(styler, &photo, second_style, 1, IMP_DEPTH_8, &out), IMP_OK);
        imp_image_release(on.context, &out);
    }
    while (imp_styler_profile(styler, nodes, &node) == IMP_OK) {
        assert_true(node.calls == 2 && node.name[0] && !node.backward);
        nodes++;
    }
    assert_true(nodes > 5); /* its convolutions are eight */
    assert_int_equal(imp_styler_profile(styler, -1, &node), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_profile(NULL, 0, &node), IMP_ERR_ARGUMENT);
    imp_styler_free(styler);
    end(&on);
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

static void expect_run(imp_styler *styler, imp_context *context, const imp_image *photo, const float *shares,
                       double strength, imp_depth depth, const char *words) {
    imp_image out;
    assert_int_equal(imp_styler_run(styler, photo, shares, strength, depth, &out), IMP_ERR_ARGUMENT);
    assert_null(out.pixels);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
}

static void bad_runs_are_refused(void **state) {
    static float samples[FLOATS];
    const float no_number[STYLES] = {0, NAN, 0};
    imp_styler *styler;
    bench on;
    (void)state;
    begin(&on, 1);
    imp_image photo = make_photo(WIDTH, HEIGHT, 23, samples), other = photo, empty = {.size = sizeof empty};
    other.width--;
    assert_int_equal(imp_styler_create(on.context, on.model, WIDTH, HEIGHT, "f32", &styler), IMP_OK);
    expect_run(styler, on.context, &other, second_style, 1, IMP_DEPTH_8, "a photo of 22x17 for a styler of 23x17");
    expect_run(styler, on.context, &empty, second_style, 1, IMP_DEPTH_8, "photo");
    expect_run(styler, on.context, NULL, second_style, 1, IMP_DEPTH_8, "NULL");
    expect_run(styler, on.context, &photo, NULL, 1, IMP_DEPTH_8, "NULL");
    expect_run(styler, on.context, &photo, no_number, 1, IMP_DEPTH_8, "the share of style 1");
    expect_run(styler, on.context, &photo, second_style, 1.5, IMP_DEPTH_8, "strength");
    expect_run(styler, on.context, &photo, second_style, NAN, IMP_DEPTH_8, "strength");
    expect_run(styler, on.context, &photo, second_style, 1, (imp_depth)3, "depth");
    assert_int_equal(imp_styler_run(styler, &photo, second_style, 1, IMP_DEPTH_8, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_run(NULL, &photo, second_style, 1, IMP_DEPTH_8, &other), IMP_ERR_ARGUMENT);
    imp_styler_keep_colors(NULL, 1);
    imp_styler_free(styler);
    imp_styler_free(NULL);
    end(&on);
}

static void bad_stylers_are_refused(void **state) {
    imp_estimate estimate = {.size = sizeof estimate}, none = {.size = 0};
    imp_styler *styler;
    imp_model *vgg = NULL;
    bench on;
    (void)state;
    begin(&on, 1);
    const struct {
        int width, height;
        const char *precision, *words;
    } bad[] = {{0, 8, "f32", "0x8"}, {8, 65536, "f32", "8x65536"}, {8, -1, "f32", "8x-1"}, {8, 8, "f16", "f16"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(
            imp_styler_create(on.context, on.model, bad[i].width, bad[i].height, bad[i].precision, &styler),
            IMP_ERR_ARGUMENT);
        assert_null(styler);
        assert_non_null(strstr(imp_error(on.context), bad[i].words));
    }
    assert_int_equal(imp_model_make(on.context, imp_architecture_find(imp_architectures, "vgg16"), NULL, &vgg), IMP_OK);
    assert_null(imp_model_style_name(vgg, 0));
    assert_int_equal(imp_styler_create(on.context, vgg, 32, 32, "f32", &styler), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(on.context), "vgg16 is no network that paints"));
    assert_int_equal(imp_styler_estimate(on.context, vgg, 32, 32, "f32", &estimate), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_estimate(on.context, on.model, 32, 32, "f32", &none), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_estimate(on.context, NULL, 32, 32, "f32", &estimate), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_estimate(NULL, on.model, 32, 32, "f32", &estimate), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_create(on.context, NULL, 8, 8, "f32", &styler), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_create(on.context, on.model, 8, 8, "f32", NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_styler_create(NULL, on.model, 8, 8, "f32", &styler), IMP_ERR_ARGUMENT);
    imp_model_free(vgg);
    end(&on);
}

static void names_are_told(void **state) {
    bench on;
    (void)state;
    begin(&on, 1);
    assert_string_equal(imp_model_style_name(on.model, 0), "one");
    assert_string_equal(imp_model_style_name(on.model, 2), "three");
    assert_null(imp_model_style_name(on.model, STYLES));
    assert_null(imp_model_style_name(on.model, -1));
    assert_null(imp_model_style_name(NULL, 0));
    end(&on);
}

static int paint_once(imp_context *context, void *user) {
    static float samples[3 * 8 * 8];
    imp_model *model = NULL;
    imp_styler *styler = NULL;
    imp_image photo = make_photo(8, 8, 25, samples), out = {.size = sizeof out};
    (void)user;
    int status = make_model(context, &model);
    if (!status) status = imp_styler_create(context, model, 8, 8, "f32", &styler);
    if (!status) imp_styler_keep_colors(styler, 1);
    if (!status) status = imp_styler_run(styler, &photo, second_style, 0.5, IMP_DEPTH_8, &out);
    imp_image_release(context, &out);
    imp_styler_free(styler);
    imp_model_free(model);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(paint_once, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_sizes_are_reflected),
        cmocka_unit_test(every_size_is_painted),
        cmocka_unit_test(the_photo_is_where_it_starts),
        cmocka_unit_test(two_are_as_one_by_one),
        cmocka_unit_test(styles_mix),
        cmocka_unit_test(strength_blends),
        cmocka_unit_test(hues_are_kept),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(the_estimate_holds),
        cmocka_unit_test(the_profile_has_the_runs),
        cmocka_unit_test(bad_runs_are_refused),
        cmocka_unit_test(bad_stylers_are_refused),
        cmocka_unit_test(names_are_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("styler", tests, NULL, NULL);
}
