/* Scores: SSIM and PSNR beside scikit-image's figures, the others by hand and by what must hold; evaluations on a small
 * network, their failures and their memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "failing_allocator.h"
#include "graph/packed.h"
#include "impasto_picture.h"
#include "painting_fixture.h"
#include "style/image.h"
#include "style/metrics.h"
#include "unit.h"

/* ---- Pixels ------------------------------------------------------------------------------------------------------ */

/* Beside figures of scikit-image 0.26: both sum in double from 8-bit samples; sums in another order differ by 1e-13. */
#define FIGURE_TOLERANCE 1e-11

static float *planes_of(const char *name, int *width, int *height) {
    char path[4096];
    imp_image image = {.size = sizeof image};
    float *planes;
    snprintf(path, sizeof path, "%s/tests/data/%s", getenv("IMPASTO_SOURCE"), name);
    if (imp_picture_read(shared.context, path, &image)) fail_msg("%s", imp_error(shared.context));
    *width = image.width;
    *height = image.height;
    assert_int_equal(imp_image_to_planes(shared.context, &image, image.width, image.height, &planes), IMP_OK);
    imp_image_release(shared.context, &image);
    return planes;
}

typedef struct figures {
    const char *a, *b;
    double gaussian, uniform, psnr;
} figures;

static void figures_of_scikit_image(void **state) {
    /* structural_similarity(a, b, data_range=255, channel_axis=-1) alone and with gaussian_weights=True, sigma=1.5,
       use_sample_covariance=False; peak_signal_noise_ratio(a, b, data_range=255). Grey is three equal colours here. */
    static const figures known[] = {
        {"ssim_camera.png", "ssim_camera_noisy.png", 0.3579642362365813, 0.36745183279103666, 22.40935284991332},
        {"chelsea_starry_256_content.png", "chelsea_starry_256_style.png", 0.06825927464346533, 0.05595961149887226,
         9.971235661853143},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int width, height;
        double gaussian, uniform;
        float *a = planes_of(known[i].a, &width, &height), *b = planes_of(known[i].b, &width, &height);
        assert_int_equal(imp_ssim(shared.context, imp_ssim_window_find("gaussian"), a, b, 3, height, width, &gaussian),
                         IMP_OK);
        assert_int_equal(imp_ssim(shared.context, imp_ssim_window_find("uniform"), a, b, 3, height, width, &uniform),
                         IMP_OK);
        assert_true(fabs(gaussian - known[i].gaussian) < FIGURE_TOLERANCE);
        assert_true(fabs(uniform - known[i].uniform) < FIGURE_TOLERANCE);
        double psnr = imp_psnr(a, b, 3 * (size_t)width * (size_t)height);
        assert_true(fabs(psnr - known[i].psnr) < FIGURE_TOLERANCE * known[i].psnr);
        imp_release(shared.context, a);
        imp_release(shared.context, b);
    }
    assert_int_equal(imp_ssim_window_find("square"), -1);
    assert_null(imp_ssim_window_name(2));
}

enum { SIDE = 13 };

static void fill(float *plane, float even, float odd) {
    for (int i = 0; i < SIDE * SIDE; i++) plane[i] = i % SIDE % 2 ? odd : even;
}

static void pixels_by_hand(void **state) {
    float a[3 * SIDE * SIDE], b[SIDE * SIDE];
    double value, least = 0.01 * 255 * 0.01 * 255;
    (void)state;
    fill(a, 100, 100);
    fill(b, 50, 50);
    /* Without variances the means alone remain. */
    assert_int_equal(imp_ssim(shared.context, 0, a, b, 1, SIDE, SIDE, &value), IMP_OK);
    assert_true(fabs(value - (2 * 5000 + least) / (12500 + least)) < 1e-9); /* rounding of E[x^2] - E[x]^2 over K2 */
    assert_int_equal(imp_ssim(shared.context, 0, a, a, 1, SIDE, SIDE, &value), IMP_OK);
    assert_true(fabs(value - 1) < 1e-12);                                            /* the same, where it cancels */
    assert_true(fabs(imp_psnr(a, b, SIDE * SIDE) - 20 * log10(255.0 / 50)) < 1e-12); /* rounding of the logarithm */
    assert_true(isinf(imp_psnr(a, a, SIDE * SIDE)) && imp_psnr(a, a, SIDE * SIDE) > 0);
    assert_int_equal(imp_ssim(shared.context, 0, a, b, 1, SIDE, 10, &value), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(shared.context), "11 a side"));
}

static void detail_by_hand(void **state) {
    float planes[3 * SIDE * SIDE];
    double value, weights = 0, alternating = 0;
    (void)state;
    for (int c = 0; c < 3; c++) fill(planes + c * SIDE * SIDE, 77, 77);
    assert_int_equal(imp_texture_detail(shared.context, planes, SIDE, SIDE, &value), IMP_OK);
    assert_true(value < 1e-4); /* the luma's own rounding in f32 */
    /* Stripes of one pixel: blurred, 10 to each side of grey become 10 times the window's sum with signs. */
    for (int c = 0; c < 3; c++) fill(planes + c * SIDE * SIDE, 110, 90);
    for (int i = -5; i <= 5; i++) {
        double weight = exp(-i * i / (2 * 1.5 * 1.5));
        weights += weight;
        alternating += i % 2 ? -weight : weight;
    }
    assert_int_equal(imp_texture_detail(shared.context, planes, SIDE, SIDE, &value), IMP_OK);
    assert_true(fabs(value - 10 * fabs(1 - alternating / weights)) < 1e-4);
}

/* ---- Features ---------------------------------------------------------------------------------------------------- */

enum { CHANNELS = 4, PLACES = 3000, AXES = 64 }; /* PLACES: over one chunk, and no multiple of anything */

static float noise(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u; /* Numerical Recipes' generator */
    return (float)(*seed >> 8) / (1 << 23) - 1;
}

static double distance(imp_context *context, const float *a, size_t count_a, const float *b, size_t count_b,
                       int channels, int directions, uint64_t seed) {
    imp_sliced *sliced;
    double value;
    assert_int_equal(imp_sliced_create(context, a, channels, count_a, directions, seed, &sliced), IMP_OK);
    assert_int_equal(imp_sliced_distance(context, sliced, b, count_b, &value), IMP_OK);
    imp_sliced_free(context, sliced);
    return value;
}

static void sliced_of_one_dimension_by_hand(void **state) {
    /* The axis is 1 or -1, which changes no distance. Sorted: -3 -1 0 2, and -2 -1 1 4: differences 1 0 1 2. */
    const float a[] = {2, -1, 0, -3}, b[] = {4, -2, 1, -1};
    /* Halves at 0 and 2 beside quarters at 0 1 2 3: differences 0 1 0 1. Thirds beside halves: 0..1/3 1/3..1/2 1/2..2/3
       2/3..1 at 0 3 3 6 and 0 0 2 2. */
    const float two[] = {2, 0}, four[] = {3, 1, 0, 2}, three[] = {6, 3, 0};
    (void)state;
    assert_true(fabs(distance(shared.context, a, 4, b, 4, 1, 3, 1) - 6.0 / 4) <
                1e-12); /* small whole numbers, but for */
    assert_true(fabs(distance(shared.context, two, 2, four, 4, 1, 1, 1) - 0.5) < 1e-12); /* the last division */
    assert_true(fabs(distance(shared.context, four, 4, two, 2, 1, 1, 1) - 0.5) < 1e-12);
    assert_true(fabs(distance(shared.context, two, 2, three, 3, 1, 1, 1) - (9.0 + 1 + 2 * 16) / 6) < 1e-12);
}

static void sliced_sees_sets_alone(void **state) {
    static float a[CHANNELS * PLACES], turned[CHANNELS * PLACES], moved[CHANNELS * PLACES];
    unsigned seed = 5;
    (void)state;
    for (int i = 0; i < CHANNELS * PLACES; i++) a[i] = noise(&seed);
    for (int c = 0; c < CHANNELS; c++)
        for (int i = 0; i < PLACES; i++) {
            turned[c * PLACES + i] = a[c * PLACES + (PLACES - 1 - i) * 7 % PLACES]; /* 7 and 3000 share no factor */
            moved[c * PLACES + i] = a[c * PLACES + i] + (float)c;
        }
    assert_true(distance(shared.context, a, PLACES, a, PLACES, CHANNELS, AXES, 1) == 0);
    assert_true(distance(shared.context, a, PLACES, turned, PLACES, CHANNELS, AXES, 1) == 0);
    /* A shift by v: the mean of (v axis)^2, |v|^2 / c with a deviation of 0.25 |v|^2 by direction (the square of a
       coordinate on the sphere in 4 dimensions); five deviations of the mean of 4096. */
    double shift = distance(shared.context, a, PLACES, moved, PLACES, CHANNELS, IMP_MAX_DIRECTIONS, 1);
    assert_true(fabs(shift / 14 - 0.25) < 5 * 0.25 / 64);
    double other = distance(shared.context, a, PLACES, moved, PLACES, CHANNELS, AXES, 2);
    assert_true(other != distance(shared.context, a, PLACES, moved, PLACES, CHANNELS, AXES, 3));
    imp_context *context = make_context(3, 0);
    assert_true(other == distance(context, a, PLACES, moved, PLACES, CHANNELS, AXES, 2));
    imp_context_free(context);
}

static void correlation_by_hand(void **state) {
    const float a[] = {1, 2, 3, 4}, b[] = {2, 4, 6, 8}, down[] = {4, 3, 2, 1}, other[] = {1, 3, 2, 4},
                flat[] = {5, 5, 5, 5};
    (void)state;
    assert_true(imp_correlation(a, a, 4) == 1 && imp_correlation(a, b, 4) == 1 && imp_correlation(a, down, 4) == -1);
    assert_true(fabs(imp_correlation(a, other, 4) - 0.8) < 1e-15); /* 4 of 5 */
    assert_true(imp_correlation(a, other, 4) == imp_correlation(other, a, 4));
    assert_true(imp_correlation(a, flat, 4) == 0 && imp_correlation(flat, flat, 4) == 0);
}

/* ---- Evaluations ------------------------------------------------------------------------------------------------- */

static imp_evaluation_options small_options(void) {
    imp_evaluation_options options;
    imp_evaluation_options_default(&options);
    options.content_layers = "conv2_2";
    options.style_layers = "conv1_1,conv2_1:0.5";
    return options;
}

static imp_evaluation *evaluation_of(const imp_image *photo, const imp_image *style) {
    imp_evaluation_options options = small_options();
    imp_evaluation *evaluation;
    assert_int_equal(imp_evaluation_create(shared.context, shared.model, &options, &evaluation), IMP_OK);
    assert_int_equal(imp_evaluation_set_pair(evaluation, photo, style, WIDTH, HEIGHT), IMP_OK);
    return evaluation;
}

static imp_scores scores_of(imp_evaluation *evaluation, const imp_image *picture) {
    imp_scores scores = {.size = sizeof scores};
    if (imp_evaluation_score(evaluation, picture, &scores)) fail_msg("%s", imp_error(shared.context));
    return scores;
}

static void the_same_is_best(void **state) {
    (void)state;
    imp_evaluation *evaluation = evaluation_of(&shared.photos[0], &shared.style);
    imp_scores photo = scores_of(evaluation, &shared.photos[0]), other = scores_of(evaluation, &shared.photos[1]);
    imp_scores style = scores_of(evaluation, &shared.style);
    assert_true(photo.ssim > 1 - 1e-12 && isinf(photo.psnr) && photo.content_loss == 0);
    assert_true(other.ssim < 0.5 && other.psnr < 20 && other.content_loss > 0); /* noise beside noise */
    /* The same pixels through the same network, but by two plans, whose sums need not round alike. */
    assert_true(style.gram_similarity > 1 - 1e-9 && style.style_loss < 1e-9 * other.style_loss);
    assert_true(style.sliced_wasserstein < 1e-9 * other.sliced_wasserstein);
    assert_true(other.gram_similarity < 1 - 1e-6 && other.texture_detail > 10);
    imp_evaluation_free(evaluation);
}

static void style_scores_are_symmetric(void **state) {
    (void)state;
    imp_evaluation *there = evaluation_of(&shared.photos[0], &shared.style);
    imp_evaluation *back = evaluation_of(&shared.photos[0], &shared.photos[1]);
    imp_scores a = scores_of(there, &shared.photos[1]), b = scores_of(back, &shared.style);
    /* As above: the painting's statistics come from a plan of its own. */
    assert_true(fabs(a.gram_similarity - b.gram_similarity) < 1e-6);
    assert_true(fabs(a.sliced_wasserstein - b.sliced_wasserstein) < 1e-6 * a.sliced_wasserstein);
    imp_evaluation_free(there);
    imp_evaluation_free(back);
}

static void layers_add_up(void **state) {
    imp_layer_scores layers[2] = {{.size = sizeof layers[0]}, {.size = sizeof layers[0]}};
    (void)state;
    imp_evaluation *evaluation = evaluation_of(&shared.photos[0], &shared.style);
    imp_scores scores = scores_of(evaluation, &shared.photos[1]);
    for (int i = 0; i < 2; i++) assert_int_equal(imp_evaluation_layer(evaluation, i, &layers[i]), IMP_OK);
    assert_string_equal(layers[0].name, "conv1_1");
    assert_string_equal(layers[1].name, "conv2_1");
    assert_true(scores.style_loss == layers[0].style_loss + 0.5 * layers[1].style_loss);
    assert_true(scores.gram_similarity == layers[0].gram_similarity / 2 + layers[1].gram_similarity / 2);
    assert_true(scores.sliced_wasserstein == layers[0].sliced_wasserstein + layers[1].sliced_wasserstein);
    assert_int_equal(imp_evaluation_layer(evaluation, 2, &layers[0]), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_layer(evaluation, -1, &layers[0]), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_layer(evaluation, 0, NULL), IMP_ERR_ARGUMENT);
    imp_evaluation_free(evaluation);
}

static void losses_are_those_of_a_painting(void **state) {
    imp_painting_options options = tiny_options("adam");
    imp_progress losses = {.size = sizeof losses};
    (void)state;
    options.preset = "classic";
    options.start_image = &shared.photos[1];
    imp_painting *painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_losses(painting, &losses, NULL), IMP_OK);
    imp_painting_free(painting);
    imp_evaluation *evaluation = evaluation_of(&shared.photos[0], &shared.style);
    imp_scores scores = scores_of(evaluation, &shared.photos[1]);
    /* Float sums in plans of another memory layout. */
    assert_true(fabs(scores.content_loss / losses.content_loss - 1) < 1e-5);
    assert_true(fabs(scores.style_loss / losses.style_loss - 1) < 1e-5);
    imp_evaluation_free(evaluation);
}

/* A map of more places than are compared, and pictures of another size than the pair. */
static void large_maps_are_sampled(void **state) {
    imp_evaluation_options options = small_options();
    imp_evaluation *evaluation;
    (void)state;
    options.directions = 8;
    assert_int_equal(imp_evaluation_create(shared.context, shared.model, &options, &evaluation), IMP_OK);
    assert_int_equal(imp_evaluation_set_pair(evaluation, &shared.photos[0], &shared.style, 10 * WIDTH, 10 * HEIGHT),
                     IMP_OK);
    imp_scores style = scores_of(evaluation, &shared.style), photo = scores_of(evaluation, &shared.photos[0]);
    assert_true(style.sliced_wasserstein < 1e-9 * photo.sliced_wasserstein);
    assert_true(photo.content_loss == 0 && photo.ssim > 1 - 1e-12);
    imp_evaluation_free(evaluation);
}

/* Stripes four columns wide, from that column on. */
static imp_image stripes(int shift) {
    enum { LARGE = 512 };
    imp_image image;
    assert_int_equal(imp_image_create(shared.context, LARGE, LARGE, 3, IMP_DEPTH_8, &image), IMP_OK);
    for (size_t y = 0; y < LARGE; y++)
        for (size_t x = 0; x < LARGE; x++)
            memset((uint8_t *)image.pixels + y * image.stride + 3 * x, (x + (size_t)shift) % 4 * 80, 3);
    return image;
}

/* Of 512 columns every fourth would do for 65536 places in the simplest way, and stripes that are moved aside would look
   like others. Beside them a picture without, which looks like others. */
static void places_are_not_columns(void **state) {
    imp_evaluation_options options = small_options();
    imp_layer_scores moved = {.size = sizeof moved}, flat = {.size = sizeof flat};
    imp_image here = stripes(0), aside = stripes(1);
    imp_evaluation *evaluation;
    (void)state;
    options.directions = 8;
    assert_int_equal(imp_evaluation_create(shared.context, shared.model, &options, &evaluation), IMP_OK);
    assert_int_equal(imp_evaluation_set_pair(evaluation, &here, &here, here.width, here.height), IMP_OK);
    scores_of(evaluation, &aside);
    assert_int_equal(imp_evaluation_layer(evaluation, 0, &moved), IMP_OK);
    for (int y = 0; y < here.height; y++)
        memset((uint8_t *)here.pixels + (size_t)y * here.stride, 120, 3 * (size_t)here.width);
    scores_of(evaluation, &here);
    assert_int_equal(imp_evaluation_layer(evaluation, 0, &flat), IMP_OK);
    /* Places fall on the four columns as often but for some in a hundred. */
    if (!(moved.sliced_wasserstein < 0.02 * flat.sliced_wasserstein))
        fail_msg("moved: %g, flat: %g", moved.sliced_wasserstein, flat.sliced_wasserstein);
    imp_evaluation_free(evaluation);
    imp_image_release(shared.context, &here);
    imp_image_release(shared.context, &aside);
}

static void what_cannot_be(void **state) {
    imp_evaluation_options options = small_options();
    imp_evaluation *evaluation = NULL;
    imp_scores scores = {.size = sizeof scores};
    imp_image broken = shared.style;
    (void)state;
    broken.channels = 5;
    struct {
        imp_evaluation_options options;
        const char *words;
    } wrong[5];
    for (size_t i = 0; i < 5; i++) wrong[i].options = options;
    wrong[0].options.style_layers = "conv9_9", wrong[0].words = "conv9_9";
    wrong[1].options.style_loss = "grams", wrong[1].words = "grams";
    wrong[2].options.ssim_window = "square", wrong[2].words = "there are gaussian and uniform";
    wrong[3].options.directions = IMP_MAX_DIRECTIONS + 1, wrong[3].words = "from 0 to 4096";
    wrong[4].options.directions = -1, wrong[4].words = "from 0 to 4096";
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(imp_evaluation_create(shared.context, shared.model, &wrong[i].options, &evaluation),
                         IMP_ERR_ARGUMENT);
        assert_null(evaluation);
        assert_non_null(strstr(imp_error(shared.context), wrong[i].words));
    }
    assert_int_equal(imp_evaluation_create(shared.context, NULL, NULL, &evaluation), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_create(shared.context, shared.model, &options, &evaluation), IMP_OK);
    assert_int_equal(imp_evaluation_score(evaluation, &shared.style, &scores), IMP_ERR_STATE);
    assert_int_equal(imp_evaluation_set_pair(evaluation, &shared.photos[0], &broken, WIDTH, HEIGHT), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_set_pair(evaluation, NULL, &shared.style, WIDTH, HEIGHT), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_set_pair(evaluation, &shared.photos[0], &shared.style, 15, HEIGHT),
                     IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_set_pair(evaluation, &shared.photos[0], &shared.style, WIDTH, 65536),
                     IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_set_pair(evaluation, &shared.photos[0], &shared.style, WIDTH, HEIGHT), IMP_OK);
    assert_int_equal(imp_evaluation_score(evaluation, &broken, &scores), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_score(evaluation, &shared.style, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_evaluation_score(NULL, &shared.style, &scores), IMP_ERR_ARGUMENT);
    imp_evaluation_free(evaluation);
    imp_evaluation_free(NULL);
}

/* Weights so large that noise overflows and a picture of the network's own mean colour, which they see as next to
   nothing, does not. */
static void features_that_overflow_are_told(void **state) {
    imp_network *network = &shared.model->network;
    const size_t values = imp_parameter_count(&network->parameters[0]), pixels = (size_t)WIDTH * HEIGHT;
    float *weights = network->parameters[0].data, kept[108];
    static float mean[HEIGHT * WIDTH * 3];
    imp_image style = {sizeof style, WIDTH, HEIGHT, 3, IMP_DEPTH_F32, WIDTH * 3 * sizeof(float), mean};
    imp_scores scores = {.size = sizeof scores};
    (void)state;
    assert_true(values * sizeof(float) == sizeof kept);
    for (size_t i = 0; i < 3 * pixels; i++) mean[i] = network->preprocessing->mean[2 - i % 3] / 255; /* BGR there */
    memcpy(kept, weights, sizeof kept);
    imp_packed_release(network); /* of the weights as they were */
    for (size_t i = 0; i < values; i++) weights[i] *= 1e18f;
    imp_evaluation *evaluation = evaluation_of(&shared.photos[0], &style);
    int status = imp_evaluation_score(evaluation, &shared.photos[1], &scores);
    int pair = imp_evaluation_set_pair(evaluation, &shared.photos[0], &shared.style, WIDTH, HEIGHT);
    imp_evaluation_free(evaluation);
    memcpy(weights, kept, sizeof kept);
    imp_packed_release(network);
    assert_int_equal(status, IMP_ERR_NUMERIC);
    assert_int_equal(pair, IMP_ERR_NUMERIC);
    assert_non_null(strstr(imp_error(shared.context), "not finite"));
}

/* After a failure, a second try must work as if nothing had been. */
static int evaluate_whole(imp_context *context, void *user) {
    const imp_evaluation_options *options = user;
    imp_evaluation *evaluation = NULL;
    imp_scores scores = {.size = sizeof scores};
    int status = imp_evaluation_create(context, shared.model, options, &evaluation), failed = IMP_OK;
    for (int i = 0; i < 2 && !status; i++) {
        status = imp_evaluation_set_pair(evaluation, &shared.photos[i], &shared.style, WIDTH, HEIGHT);
        if (!status) status = imp_evaluation_score(evaluation, &shared.photos[2], &scores);
        if (status == IMP_ERR_MEMORY && !failed) {
            failed = status;
            status = imp_evaluation_set_pair(evaluation, &shared.photos[i], &shared.style, WIDTH, HEIGHT);
            if (!status) status = imp_evaluation_score(evaluation, &shared.photos[2], &scores);
        }
    }
    imp_evaluation_free(evaluation);
    return status ? status : failed;
}

static void every_allocation_may_fail(void **state) {
    imp_evaluation_options options = small_options();
    (void)state;
    assert_int_equal(imp_test_every_allocation(evaluate_whole, &options), 0);
    options.style_loss = "wasserstein";
    assert_int_equal(imp_test_every_allocation(evaluate_whole, &options), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_of_scikit_image),
        cmocka_unit_test(pixels_by_hand),
        cmocka_unit_test(detail_by_hand),
        cmocka_unit_test(sliced_of_one_dimension_by_hand),
        cmocka_unit_test(sliced_sees_sets_alone),
        cmocka_unit_test(correlation_by_hand),
        cmocka_unit_test(the_same_is_best),
        cmocka_unit_test(style_scores_are_symmetric),
        cmocka_unit_test(layers_add_up),
        cmocka_unit_test(losses_are_those_of_a_painting),
        cmocka_unit_test(large_maps_are_sampled),
        cmocka_unit_test(places_are_not_columns),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(features_that_overflow_are_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, painting_set_up, painting_tear_down);
}
