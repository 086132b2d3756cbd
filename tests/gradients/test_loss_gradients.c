/* Every loss against finite differences: the derivative along random directions through the feature map or
   the pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "style/losses.h"
#include "style/variation.h"

#define CHANNELS 24
#define PIXELS 200
#define VALUES (CHANNELS * PIXELS)
#define SCALE 0.7
#define DIRECTIONS 6

static imp_context *context_of(void) {
    imp_context *context;
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    return context;
}

/* Rectified normal numbers over a mixture, so that channels correlate as features do. */
static void fill(double *map, uint64_t seed) {
    imp_random random;
    double weights[CHANNELS][CHANNELS];
    imp_random_seed(&random, seed);
    for (int i = 0; i < CHANNELS; i++)
        for (int k = 0; k < CHANNELS; k++) weights[i][k] = imp_random_normal(&random) / (1 + k);
    for (int p = 0; p < PIXELS; p++) {
        double source[CHANNELS];
        for (int k = 0; k < CHANNELS; k++) source[k] = imp_random_normal(&random);
        for (int i = 0; i < CHANNELS; i++) {
            double value = 0.3;
            for (int k = 0; k < CHANNELS; k++) value += weights[i][k] * source[k];
            map[i * PIXELS + p] = fmax(value, 0);
        }
    }
}

static imp_statistics measure(const double *map, float *sum, float *second) {
    for (int i = 0; i < CHANNELS; i++) {
        double total = 0;
        for (int p = 0; p < PIXELS; p++) total += map[i * PIXELS + p];
        sum[i] = (float)total;
        for (int j = 0; j < CHANNELS; j++) {
            double product = 0;
            for (int p = 0; p < PIXELS; p++) product += map[i * PIXELS + p] * map[j * PIXELS + p];
            second[i * CHANNELS + j] = (float)product;
        }
    }
    return (imp_statistics){.channels = CHANNELS, .count = PIXELS, .sum = sum, .second = second};
}

static double evaluate(imp_style_target *target, const double *map, double weight, float *by_second, float *by_sum) {
    float sum[CHANNELS], second[CHANNELS * CHANNELS];
    imp_statistics statistics = measure(map, sum, second);
    double value;
    assert_int_equal(imp_style_evaluate(target, &statistics, weight, &value, by_second, by_sum), IMP_OK);
    return value;
}

/* The gradient by the feature map, times a direction. */
static double along(const double *map, const double *direction, const float *by_second, const float *by_sum) {
    double total = 0;
    for (int i = 0; i < CHANNELS; i++)
        for (int p = 0; p < PIXELS; p++) {
            double slope = by_sum[i];
            for (int j = 0; j < CHANNELS; j++) slope += by_second[i * CHANNELS + j] * map[j * PIXELS + p];
            total += slope * direction[i * PIXELS + p];
        }
    return total;
}

static void check_loss(imp_context *context, const imp_style_loss *loss, double *map, const double *style) {
    static float sum[CHANNELS], second[CHANNELS * CHANNELS], unused_second[CHANNELS * CHANNELS];
    static double direction[VALUES], moved[VALUES];
    float by_second[CHANNELS * CHANNELS], by_sum[CHANNELS] = {0}, unused_sum[CHANNELS];
    imp_style_target *target;
    imp_statistics statistics = measure(style, sum, second);
    double weight = 3;
    assert_int_equal(imp_style_target_create(context, loss, CHANNELS, SCALE, &target), IMP_OK);
    assert_int_equal(imp_style_target_add(target, &statistics, 1), IMP_OK);
    assert_int_equal(imp_style_target_finish(target), IMP_OK);
    evaluate(target, map, weight, by_second, by_sum);

    imp_random random;
    imp_random_seed(&random, 5);
    for (int k = 0; k < DIRECTIONS; k++) {
        /* Noise, and along the map itself, where the derivative is large, and along single channels. */
        for (int i = 0; i < VALUES; i++) {
            direction[i] = imp_random_normal(&random);
            if (k % 3 == 1) direction[i] = map[i];
            if (k % 3 == 2) direction[i] = i / PIXELS == (k == 2 ? 5 : 10) ? map[i] - 0.2 : 0;
        }
        double step = 2e-3, values[2], slope = along(map, direction, by_second, by_sum);
        for (int side = 0; side < 2; side++) {
            for (int i = 0; i < VALUES; i++) moved[i] = map[i] + (side ? step : -step) * direction[i];
            values[side] = evaluate(target, moved, weight, unused_second, unused_sum);
        }
        double difference = weight * (values[1] - values[0]) / (2 * step);
        /* Statistics in f32 give the values an error of about 1e-7, over twice the step 2.5e-5 of the
           value; L1 losses have kinks that the step crosses, some 1 % of their slope. */
        double kinks = loss == imp_style_loss_find("gram-l1") || loss == imp_style_loss_find("gram-normalized");
        double bound = (kinks ? 0.01 : 0.001) * fabs(slope) + 1e-4 * weight * fabs(values[0]);
        if (fabs(slope - difference) > bound)
            print_error("%s, direction %d: slope %g, by differences %g\n", loss->name, k, slope, difference);
        assert_true(fabs(slope - difference) <= bound);
        assert_true(k % 3 != 1 || fabs(slope) > 10 * bound); /* or the test could not fail */
    }
    imp_style_target_free(target);
}

static void style_losses(void **state) {
    static double map[VALUES], style[VALUES];
    imp_context *context = context_of();
    (void)state;
    fill(map, 1);
    fill(style, 2);
    for (int k = 0; imp_style_loss_at(k); k++) check_loss(context, imp_style_loss_at(k), map, style);
    imp_context_free(context);
}

/* A channel that does not vary, and one that is zero: where square roots are steepest. */
static void style_losses_at_dead_channels(void **state) {
    static double map[VALUES], style[VALUES];
    imp_context *context = context_of();
    (void)state;
    fill(map, 3);
    fill(style, 4);
    for (int p = 0; p < PIXELS; p++) {
        map[5 * PIXELS + p] = 0;
        style[5 * PIXELS + p] = 0;
        map[6 * PIXELS + p] = 0.5;
        style[7 * PIXELS + p] = 0;
    }
    for (int k = 0; imp_style_loss_at(k); k++) check_loss(context, imp_style_loss_at(k), map, style);
    imp_context_free(context);
}

static void total_variation(void **state) {
    enum { PLANES = 3, HEIGHT = 9, WIDTH = 11, COUNT = PLANES * HEIGHT * WIDTH };
    imp_context *context = context_of();
    float planes[COUNT], gradient[COUNT] = {0};
    imp_random random;
    double value, before, after, weight = 1e4;
    (void)state;
    imp_random_seed(&random, 6);
    for (int i = 0; i < COUNT; i++) planes[i] = (float)(255 * imp_random_uniform(&random));
    assert_int_equal(imp_variation(context, planes, PLANES, HEIGHT, WIDTH, weight, &value, gradient), IMP_OK);
    for (int i = 0; i < COUNT; i++) {
        float kept = planes[i];
        /* The loss is quadratic, so a wide step is exact; values are doubles of f32 differences. */
        planes[i] = kept + 8;
        assert_int_equal(imp_variation(context, planes, PLANES, HEIGHT, WIDTH, weight, &after, NULL), IMP_OK);
        planes[i] = kept - 8;
        assert_int_equal(imp_variation(context, planes, PLANES, HEIGHT, WIDTH, weight, &before, NULL), IMP_OK);
        planes[i] = kept;
        double difference = weight * (after - before) / 16;
        /* f32 rounds each of eight differences of up to 255 by 1.5e-5, and their weighted sum as much. */
        assert_true(fabs(gradient[i] - difference) < 1e-5 * (fabs(difference) + weight * value / COUNT));
    }
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(style_losses),
        cmocka_unit_test(style_losses_at_dead_channels),
        cmocka_unit_test(total_variation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
