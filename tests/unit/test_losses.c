/* Style losses, the matrices under them, and total variation: values, degenerate features, threads, allocations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "failing_allocator.h"
#include "style/losses.h"
#include "style/matrix.h"
#include "style/variation.h"
#include "unit.h"

#define MOST_CHANNELS 130 /* over two panels of the Cholesky factor, and not a multiple of anything */
#define MOST_PIXELS 400

/* ---- Features and their statistics ------------------------------------------------------------------------------- */

typedef struct features {
    int channels, pixels;
    double map[MOST_CHANNELS * MOST_PIXELS];
    float sum[MOST_CHANNELS], second[MOST_CHANNELS * MOST_CHANNELS];
} features;

static imp_statistics measure(features *f) {
    int c = f->channels, n = f->pixels;
    for (int i = 0; i < c; i++) {
        double sum = 0;
        for (int p = 0; p < n; p++) sum += f->map[i * n + p];
        f->sum[i] = (float)sum;
        for (int j = 0; j < c; j++) {
            double product = 0;
            for (int p = 0; p < n; p++) product += f->map[i * n + p] * f->map[j * n + p];
            f->second[i * c + j] = (float)product;
        }
    }
    return (imp_statistics){.channels = c, .count = n, .sum = f->sum, .second = f->second};
}

/* max(0, sin(1.3 i + 0.7 p + phase) (1 + i / 2)) */
static features *waves(int channels, int pixels, double phase) {
    features *f = calloc(1, sizeof *f);
    f->channels = channels;
    f->pixels = pixels;
    for (int i = 0; i < channels; i++)
        for (int p = 0; p < pixels; p++)
            f->map[i * pixels + p] = fmax(0, sin(1.3 * i + 0.7 * p + phase) * (1 + 0.5 * i));
    return f;
}

/* Rectified mixtures of few sources, as feature maps are: covariances that are nearly singular. */
static features *mixtures(int channels, int pixels, uint64_t seed) {
    features *f = calloc(1, sizeof *f);
    imp_random random;
    imp_random_seed(&random, seed);
    f->channels = channels;
    f->pixels = pixels;
    double *weights = calloc((size_t)channels * 8, sizeof *weights), source[8];
    for (int i = 0; i < channels * 8; i++) weights[i] = imp_random_normal(&random);
    for (int p = 0; p < pixels; p++) {
        for (int k = 0; k < 8; k++) source[k] = imp_random_normal(&random) / (1 + k);
        for (int i = 0; i < channels; i++) {
            double value = 0.2;
            for (int k = 0; k < 8; k++) value += weights[i * 8 + k] * source[k];
            f->map[i * pixels + p] = fmax(0, value);
        }
    }
    free(weights);
    return f;
}

static imp_style_target *target_of(imp_context *context, const char *name, double scale, features *style) {
    imp_style_target *target;
    imp_statistics statistics = measure(style);
    const imp_style_loss *loss = imp_style_loss_find(name);
    assert_non_null(loss);
    assert_int_equal(imp_style_target_create(context, loss, style->channels, scale, &target), IMP_OK);
    assert_int_equal(imp_style_target_add(target, &statistics, 1), IMP_OK);
    assert_int_equal(imp_style_target_finish(target), IMP_OK);
    return target;
}

static double evaluate(imp_style_target *target, features *f, float *by_second, float *by_sum) {
    imp_statistics statistics = measure(f);
    double value;
    assert_int_equal(imp_style_evaluate(target, &statistics, 1, &value, by_second, by_sum), IMP_OK);
    return value;
}

/* ---- Losses ------------------------------------------------------------------------------------------------------ */

static void values_are_the_definitions(void **state) {
    /* From the definitions in numpy, doubles: symmetric square roots for the Wasserstein distance. Two
       style pictures with weights 2 and 1, feature scale 1/2. */
    static const struct {
        const char *name;
        double value;
    } expected[] = {
        {"gram", 0.00013788467640338763},         {"gram-l1", 0.006892042072795942},
        {"gram-normalized", 0.10003179997052904}, {"wasserstein", 0.01262298080111104},
        {"mean-deviation", 0.011770842804286998}, {"gram-mean-deviation", 591.9892571244346},
    };
    imp_context *context = make_context(2, 0);
    features *now = waves(5, 12, 0), *first = waves(5, 15, 1), *second = waves(5, 9, 2);
    float by_second[25], by_sum[5];
    (void)state;
    for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        imp_style_target *target;
        imp_statistics a = measure(first), b = measure(second);
        const imp_style_loss *loss = imp_style_loss_find(expected[k].name);
        assert_ptr_equal(loss, imp_style_loss_at((int)k));
        assert_int_equal(imp_style_target_create(context, loss, 5, 0.5, &target), IMP_OK);
        assert_int_equal(imp_style_target_add(target, &a, 2), IMP_OK);
        assert_int_equal(imp_style_target_add(target, &b, 1), IMP_OK);
        assert_int_equal(imp_style_target_finish(target), IMP_OK);
        double value = evaluate(target, now, by_second, by_sum);
        /* Statistics are f32 (6e-8), and differences of them lose a digit; the Wasserstein distance is one of traces
           some twenty-five times its size. */
        double tolerance = strcmp(expected[k].name, "wasserstein") == 0 ? 1e-5 : 1e-6;
        assert_true(fabs(value - expected[k].value) < tolerance * expected[k].value);
        imp_style_target_free(target);
    }
    assert_null(imp_style_loss_at((int)(sizeof expected / sizeof expected[0])));
    assert_null(imp_style_loss_at(-1));
    assert_null(imp_style_loss_find("grammar"));
    free(now);
    free(first);
    free(second);
    imp_context_free(context);
}

static double norm(const float *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i] * values[i];
    return sqrt(sum);
}

static void nothing_is_lost_at_the_target(void **state) {
    imp_context *context = make_context(2, 0);
    features *style = mixtures(70, 300, 1), *other = mixtures(70, 300, 2);
    float *by_second = calloc(2 * 70 * 70, sizeof(float)), *far = by_second + 70 * 70, by_sum[2][70];
    (void)state;
    for (int k = 0; imp_style_loss_at(k); k++) {
        const char *name = imp_style_loss_at(k)->name;
        imp_style_target *target = target_of(context, name, 0.1, style);
        double value = evaluate(target, style, by_second, by_sum[0]), distant = evaluate(target, other, far, by_sum[1]);
        /* The Wasserstein distance is a difference of traces summed in f32, 1e-6 of them; the others are
           exactly zero but for the mean's last bits. */
        assert_true(fabs(value) < 1e-5 * distant);
        /* Its map L^-1 K may be off by the rounding of the smallest eigenvalues, some 1e-3 of the mean one. */
        if (strcmp(name, "gram-l1") != 0 && strcmp(name, "gram-normalized") != 0)
            assert_true(norm(by_second, 70 * 70) < 0.01 * norm(far, 70 * 70));
        imp_style_target_free(target);
    }
    free(by_second);
    free(style);
    free(other);
    imp_context_free(context);
}

enum degenerate { NORMAL, ZERO, CONSTANT, ONE_PIXEL, HUGE_ONES, TINY_ONES, KINDS };

static features *degenerate_features(int kind) {
    features *f = mixtures(70, kind == ONE_PIXEL ? 1 : 100, 7);
    for (int i = 0; i < f->channels * f->pixels; i++) {
        if (kind == ZERO) f->map[i] = 0;
        if (kind == CONSTANT) f->map[i] = i / f->pixels % 5;
        if (kind == HUGE_ONES) f->map[i] *= 1e5;
        if (kind == TINY_ONES) f->map[i] *= 1e-8;
    }
    return f;
}

static void degenerate_features_stay_finite(void **state) {
    imp_context *context = make_context(1, 0);
    float *by_second = calloc(70 * 70, sizeof(float)), by_sum[70];
    (void)state;
    for (int k = 0; imp_style_loss_at(k); k++)
        for (int style = 0; style < KINDS; style++)
            for (int now = 0; now < KINDS; now++) {
                features *a = degenerate_features(style), *b = degenerate_features(now);
                imp_style_target *target = target_of(context, imp_style_loss_at(k)->name, 1, a);
                memset(by_sum, 0, sizeof by_sum);
                double value = evaluate(target, b, by_second, by_sum);
                assert_true(isfinite(value));
                assert_true(isfinite(norm(by_second, 70 * 70)) && isfinite(norm(by_sum, 70)));
                for (int i = 0; i < 70; i++)
                    for (int j = 0; j < i; j++) assert_true(by_second[i * 70 + j] == by_second[j * 70 + i]);
                imp_style_target_free(target);
                free(a);
                free(b);
            }
    free(by_second);
    imp_context_free(context);
}

static void what_is_not_finite_is_told(void **state) {
    imp_context *context = make_context(1, 0);
    features *style = waves(5, 12, 0), *now = waves(5, 12, 1);
    float by_second[25], by_sum[5];
    (void)state;
    for (int k = 0; imp_style_loss_at(k); k++) {
        imp_style_target *target = target_of(context, imp_style_loss_at(k)->name, 1, style), *bad;
        for (int kind = 0; kind < 2; kind++) {
            now->map[17] = kind ? NAN : 1e30; /* its square is infinite in f32 */
            by_second[3] = by_sum[3] = 5;
            assert_true(isnan(evaluate(target, now, by_second, by_sum)));
            assert_true(by_second[3] == 0);
            if (imp_style_loss_at(k)->gradient & IMP_STYLE_BY_SUM) assert_true(by_sum[3] == 0);
            imp_statistics statistics = measure(now);
            assert_int_equal(imp_style_target_create(context, imp_style_loss_at(k), 5, 1, &bad), IMP_OK);
            assert_int_equal(imp_style_target_finish(bad), IMP_ERR_STATE);
            assert_int_equal(imp_style_target_add(bad, &statistics, 1), IMP_OK);
            assert_int_equal(imp_style_target_finish(bad), IMP_ERR_NUMERIC);
            imp_style_target_free(bad);
        }
        now->map[17] = 0;
        imp_statistics statistics = measure(now);
        double value;
        statistics.channels = 4;
        assert_int_equal(imp_style_target_add(target, &statistics, 1), IMP_ERR_ARGUMENT);
        assert_int_equal(imp_style_evaluate(target, &statistics, 1, &value, by_second, by_sum), IMP_ERR_ARGUMENT);
        imp_style_target_free(target);
    }
    imp_style_target_free(NULL);
    free(style);
    free(now);
    imp_context_free(context);
}

static void threads_change_nothing(void **state) {
    enum { C = MOST_CHANNELS };
    features *style = mixtures(C, MOST_PIXELS, 3), *now = mixtures(C, MOST_PIXELS, 4);
    float *results = calloc(2 * (C * C + C), sizeof(float)), *by_second[] = {results, results + C * C + C};
    (void)state;
    for (int k = 0; imp_style_loss_at(k); k++) {
        double value[2];
        for (int run = 0; run < 2; run++) {
            imp_context *context = make_context(run ? 3 : 1, 0);
            imp_style_target *target = target_of(context, imp_style_loss_at(k)->name, 0.1, style);
            value[run] = evaluate(target, now, by_second[run], by_second[run] + C * C);
            imp_style_target_free(target);
            imp_context_free(context);
        }
        assert_true(value[0] == value[1]);
        assert_memory_equal(by_second[0], by_second[1], (C * C + C) * sizeof(float));
    }
    free(results);
    free(style);
    free(now);
}

/* ---- Matrices ---------------------------------------------------------------------------------------------------- */

static float *product(imp_matrices *matrices, const float *a, int turn_a, const float *b, int turn_b) {
    int n = matrices->n;
    float *out = calloc((size_t)n * (size_t)n, sizeof(float));
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < n; k++)
                sum += (double)(turn_a ? a[k * n + i] : a[i * n + k]) * (turn_b ? b[j * n + k] : b[k * n + j]);
            out[i * n + j] = (float)sum;
        }
    return out;
}

static double distance(const float *a, const float *b, int n) {
    double sum = 0;
    for (int i = 0; i < n * n; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

static float *identity(int n) {
    float *out = calloc((size_t)n * (size_t)n, sizeof(float));
    for (int i = 0; i < n; i++) out[i * (n + 1)] = 1;
    return out;
}

static const int sizes[] = {1, 2, 5, 63, 64, 65, 130};

static void cholesky_factors(imp_context *context, int n) {
    imp_matrices matrices;
    size_t bytes = (size_t)n * (size_t)n * sizeof(float);
    features *f = mixtures(n, MOST_PIXELS, (uint64_t)n);
    float *factor = malloc(bytes), *inverse = malloc(bytes), *one = identity(n);
    measure(f);
    assert_int_equal(imp_matrices_create(context, n, &matrices), IMP_OK);
    for (int i = 0; i < n; i++) f->second[i * (n + 1)] += 1; /* eigenvalues from 1 to some hundreds */
    memcpy(factor, f->second, bytes);
    imp_matrix_cholesky(&matrices, factor, 1e-3f, inverse);
    float *back = product(&matrices, factor, 0, factor, 1), *unit = product(&matrices, factor, 0, inverse, 0);
    /* f32 rounds each entry by 6e-8 of its row's norm, here some ten times. */
    assert_true(distance(back, f->second, n) < 1e-6 * norm(f->second, (size_t)n * (size_t)n));
    assert_true(distance(unit, one, n) < 1e-4);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) assert_true(factor[i * n + j] == 0 && inverse[i * n + j] == 0);
    free(f);
    free(factor);
    free(inverse);
    free(one);
    free(back);
    free(unit);
    imp_matrices_release(&matrices);
}

static void polar_factors(imp_context *context, int n) {
    imp_matrices matrices;
    imp_random random;
    size_t count = (size_t)n * (size_t)n;
    float *a = malloc(count * sizeof(float)), *q = malloc(count * sizeof(float)), *one = identity(n);
    imp_random_seed(&random, (uint64_t)n);
    /* Columns from 1 down to 1e-3 in length. */
    for (size_t i = 0; i < count; i++)
        a[i] = (float)(imp_random_normal(&random) * pow(1e-3, (double)(i % (size_t)n) / n));
    memcpy(q, a, count * sizeof(float));
    assert_int_equal(imp_matrices_create(context, n, &matrices), IMP_OK);
    imp_matrix_polar(&matrices, q, 1e-6);
    float *unit = product(&matrices, q, 1, q, 0), *h = product(&matrices, q, 1, a, 0),
          *turned = malloc(count * sizeof(float));
    imp_matrix_transpose(&matrices, h, turned);
    /* Orthogonal to f32's rounding over n columns; H = Q^T A symmetric to that of A. */
    assert_true(distance(unit, one, n) < 2e-6 * n);
    assert_true(distance(h, turned, n) < 1e-5 * norm(a, count));
    for (int i = 0; i < n; i++) assert_true(h[i * (n + 1)] > 0);
    free(a);
    free(q);
    free(one);
    free(unit);
    free(h);
    free(turned);
    imp_matrices_release(&matrices);
}

static void matrices_of_all_sizes(void **state) {
    (void)state;
    for (int set = 0; imp_instruction_set_name(set); set++) {
        imp_context *context = make_context_on(2, 0, imp_instruction_set_name(set));
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            cholesky_factors(context, sizes[k]);
            polar_factors(context, sizes[k]);
        }
        imp_context_free(context);
    }
}

static void singular_matrices_are_factored(void **state) {
    enum { N = 70 };
    imp_context *context = make_context(1, 0);
    imp_matrices matrices;
    static float a[N * N], inverse[N * N];
    (void)state;
    assert_int_equal(imp_matrices_create(context, N, &matrices), IMP_OK);
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < N * N; i++) a[i] = (float)kind; /* zero; of rank one */
        imp_matrix_cholesky(&matrices, a, 1e-6f, inverse);
        assert_true(isfinite(norm(a, N * N)) && isfinite(norm(inverse, N * N)));
    }
    memset(a, 0, sizeof a);
    imp_matrix_polar(&matrices, a, 1e-6);
    assert_true(norm(a, N * N) == 0);
    imp_matrices_release(&matrices);
    imp_matrices_release(&matrices);
    imp_context_free(context);
}

/* ---- Total variation --------------------------------------------------------------------------------------------- */

static void variation_is_the_nine_point_form(void **state) {
    /* From crowsonkb's TVLoss in PyTorch, doubles, pixels (37 k^2 + 11 k) mod 256: the value, and the
       first, the seventh or last, and the last derivative. */
    static const struct {
        int planes, height, width;
        double value, first, middle, last;
    } expected[] = {
        {3, 7, 5, 0.1860847415218811, -7.348618459729572e-05, -2.6062422063959925e-05, -4.611575930299498e-06},
        {1, 1, 1, 0, 0, 0, 0},
        {2, 1, 6, 0.10939870501577538, -0.00011717105142710679, 4.882127142796116e-05, 4.882127142796119e-05},
        {3, 4, 1, 0.11405732837797428, -0.00011482763039856465, -0.00017702593019778718, 4.784484599940198e-05},
    };
    (void)state;
    for (int threads = 1; threads < 4; threads += 2) {
        imp_context *context = make_context(threads, 0);
        for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
            float planes[105], gradient[105];
            int count = expected[k].planes * expected[k].height * expected[k].width;
            double value, alone;
            for (int i = 0; i < count; i++) {
                planes[i] = (float)((37 * i * i + 11 * i) % 256);
                gradient[i] = 1;
            }
            assert_int_equal(imp_variation(context, planes, expected[k].planes, expected[k].height, expected[k].width,
                                           1000, &value, gradient),
                             IMP_OK);
            assert_int_equal(imp_variation(context, planes, expected[k].planes, expected[k].height, expected[k].width,
                                           1000, &alone, NULL),
                             IMP_OK);
            assert_true(fabs(value - expected[k].value) <= 1e-12);
            assert_true(value == alone);
            /* Added to 1 in f32, whose unit in the last place there is 1.2e-7. */
            assert_true(fabs(gradient[0] - 1 - 1000 * expected[k].first) < 5e-7);
            assert_true(fabs(gradient[count > 6 ? 6 : count - 1] - 1 - 1000 * expected[k].middle) < 5e-7);
            assert_true(fabs(gradient[count - 1] - 1 - 1000 * expected[k].last) < 5e-7);
        }
        imp_context_free(context);
    }
}

/* ---- Allocations ------------------------------------------------------------------------------------------------- */

static int compare_once(imp_context *context, void *user) {
    const imp_style_loss *loss = user;
    float sum[3] = {1, 2, 3}, second[9] = {2, 0, 0, 0, 3, 0, 0, 0, 4}, by_second[9], by_sum[3];
    imp_statistics statistics = {.channels = 3, .count = 4, .sum = sum, .second = second};
    imp_style_target *target;
    double value;
    int status = imp_style_target_create(context, loss, 3, 1, &target);
    if (!status) status = imp_style_target_add(target, &statistics, 1);
    if (!status) status = imp_style_target_finish(target);
    if (!status) status = imp_style_evaluate(target, &statistics, 1, &value, by_second, by_sum);
    if (!status) status = imp_variation(context, sum, 1, 1, 3, 1, &value, NULL);
    imp_style_target_free(target);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    for (int k = 0; imp_style_loss_at(k); k++)
        assert_int_equal(imp_test_every_allocation(compare_once, (void *)(uintptr_t)imp_style_loss_at(k)), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_definitions),      cmocka_unit_test(nothing_is_lost_at_the_target),
        cmocka_unit_test(degenerate_features_stay_finite), cmocka_unit_test(what_is_not_finite_is_told),
        cmocka_unit_test(threads_change_nothing),          cmocka_unit_test(matrices_of_all_sizes),
        cmocka_unit_test(singular_matrices_are_factored),  cmocka_unit_test(variation_is_the_nine_point_form),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
