/* Colour transfer: statistics after matching, chroma and luma after keeping, grey and constant pictures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "style/colour.h"
#include "unit.h"

#define PIXELS 5000

/* Colours along three axes of a seed's choosing, around a mean, inside 0..255 nearly always. */
static float *colours(size_t count, uint64_t seed, double spread) {
    float *planes = malloc(3 * count * sizeof *planes);
    double axes[3][3], mean[3];
    imp_random random;
    imp_random_seed(&random, seed);
    for (int i = 0; i < 3; i++) {
        mean[i] = 80 + 90 * imp_random_uniform(&random);
        for (int j = 0; j < 3; j++) axes[i][j] = spread * imp_random_normal(&random);
    }
    for (size_t p = 0; p < count; p++) {
        double t[3];
        for (int j = 0; j < 3; j++) t[j] = imp_random_normal(&random);
        for (size_t i = 0; i < 3; i++)
            planes[i * count + p] = (float)(mean[i] + axes[i][0] * t[0] + axes[i][1] * t[1] + axes[i][2] * t[2]);
    }
    return planes;
}

static void measure(const float *planes, size_t count, double mean[3], double covariance[3][3]) {
    for (size_t i = 0; i < 3; i++) {
        mean[i] = 0;
        for (size_t p = 0; p < count; p++) mean[i] += planes[i * count + p] / (double)count;
    }
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            covariance[i][j] = 0;
            for (size_t p = 0; p < count; p++)
                covariance[i][j] +=
                    (planes[i * count + p] - mean[i]) * (planes[j * count + p] - mean[j]) / (double)count;
        }
}

static int all_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return 0;
    return 1;
}

static void matched_colours_have_the_photos_statistics(void **state) {
    float *style = colours(PIXELS, 1, 12), *photo = colours(PIXELS / 3, 2, 20),
          *again = malloc(3 * PIXELS * sizeof(float));
    double mean[3], wanted_mean[3], covariance[3][3], wanted[3][3];
    (void)state;
    memcpy(again, style, 3 * PIXELS * sizeof(float));
    imp_context *one = make_context(1, 0), *three = make_context(3, 0);
    assert_int_equal(imp_colour_match(one, style, PIXELS, photo, PIXELS / 3), IMP_OK);
    assert_int_equal(imp_colour_match(three, again, PIXELS, photo, PIXELS / 3), IMP_OK);
    assert_memory_equal(style, again, 3 * PIXELS * sizeof(float));
    measure(style, PIXELS, mean, covariance);
    measure(photo, PIXELS / 3, wanted_mean, wanted);
    double size = wanted[0][0] + wanted[1][1] + wanted[2][2];
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(mean[i] - wanted_mean[i]) < 1e-3); /* f32 pixels */
        /* The variance of rounding, 1/12, that is added to the style's least eigenvalue of some tens. */
        for (int j = 0; j < 3; j++) assert_true(fabs(covariance[i][j] - wanted[i][j]) < 0.005 * size);
    }
    free(style);
    free(photo);
    free(again);
    imp_context_free(one);
    imp_context_free(three);
}

static void a_picture_matched_to_itself_stays(void **state) {
    imp_context *context = make_context(1, 0);
    float *style = colours(PIXELS, 3, 20), *before = malloc(3 * PIXELS * sizeof(float));
    (void)state;
    memcpy(before, style, 3 * PIXELS * sizeof(float));
    assert_int_equal(imp_colour_match(context, style, PIXELS, before, PIXELS), IMP_OK);
    /* 1/12 against a variance of hundreds along most axes: under one level of 8 bits. */
    for (size_t i = 0; i < 3 * PIXELS; i++) assert_true(fabsf(style[i] - before[i]) < 1);
    free(style);
    free(before);
    imp_context_free(context);
}

static void grey_and_constant_pictures(void **state) {
    imp_context *context = make_context(1, 0);
    (void)state;
    for (int style_kind = 0; style_kind < 4; style_kind++)
        for (int photo_kind = 0; photo_kind < 4; photo_kind++) {
            float *pictures[2] = {colours(PIXELS, 4, 20), colours(PIXELS, 5, 20)};
            int kinds[2] = {style_kind, photo_kind};
            for (int k = 0; k < 2; k++)
                for (size_t i = 0; i < 3 * PIXELS; i++) {
                    if (kinds[k] == 1) pictures[k][i] = pictures[k][i % PIXELS]; /* grey */
                    if (kinds[k] == 2) pictures[k][i] = 77;
                    if (kinds[k] == 3) pictures[k][i] = 128 + (float)(i % 2); /* flat but for the last bit */
                }
            assert_int_equal(imp_colour_match(context, pictures[0], PIXELS, pictures[1], PIXELS), IMP_OK);
            assert_true(all_finite(pictures[0], 3 * PIXELS));
            double mean[3], wanted[3], covariance[3][3];
            measure(pictures[0], PIXELS, mean, covariance);
            measure(pictures[1], PIXELS, wanted, covariance);
            for (int i = 0; i < 3; i++) assert_true(fabs(mean[i] - wanted[i]) < 1e-2); /* f32 pixels and transform */
            free(pictures[0]);
            free(pictures[1]);
        }
    float pixel[3] = {1, 2, 3}, target[3] = {9, 8, 7};
    assert_int_equal(imp_colour_match(context, pixel, 1, target, 1), IMP_OK);
    for (int i = 0; i < 3; i++) assert_true(fabsf(pixel[i] - target[i]) < 1e-5f);
    assert_int_equal(imp_colour_match(context, pixel, 0, target, 1), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_colour_match(context, pixel, 1, target, 0), IMP_ERR_ARGUMENT);
    imp_context_free(context);
}

static void kept_colours(void **state) {
    imp_context *context = make_context(3, 0);
    float *painted = colours(PIXELS, 6, 20), *photo = colours(PIXELS, 7, 20),
          *before = malloc(3 * PIXELS * sizeof(float));
    (void)state;
    memcpy(before, painted, 3 * PIXELS * sizeof(float));
    imp_colour_keep(context, painted, photo, PIXELS);
    for (size_t p = 0; p < PIXELS; p++) {
        const float *now = painted + p, *old = before + p, *from = photo + p;
        double luma = 0.299 * now[0] + 0.587 * now[PIXELS] + 0.114 * now[2 * PIXELS];
        double wanted = 0.299 * old[0] + 0.587 * old[PIXELS] + 0.114 * old[2 * PIXELS];
        /* f32 on the 0..255 scale: 1.5e-5 each of a few operations. */
        assert_true(fabs(luma - wanted) < 2e-4);
        /* Cb and Cr differ by the differences of channels alone. */
        assert_true(fabs(((double)now[2 * PIXELS] - now[0]) - ((double)from[2 * PIXELS] - from[0])) < 2e-4);
        assert_true(fabs(((double)now[PIXELS] - now[0]) - ((double)from[PIXELS] - from[0])) < 2e-4);
    }
    free(painted);
    free(photo);
    free(before);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matched_colours_have_the_photos_statistics),
        cmocka_unit_test(a_picture_matched_to_itself_stays),
        cmocka_unit_test(grey_and_constant_pictures),
        cmocka_unit_test(kept_colours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
