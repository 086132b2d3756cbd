/* The optimisers: PyTorch's trajectories, bad steps of every kind, line search, threads, allocations. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "failing_allocator.h"
#include "optim/optim.h"
#include "unit.h"

#define VALUES 8

/* ---- Functions to minimise, in doubles --------------------------------------------------------------------------- */

typedef double function(const float *x, int n, float *gradient);

/* sum of a (x - b)^2 / 2 with a from 1 to 18.5, and 0.05 (x[i + 1] - x[i])^4: convex, not quadratic. */
static double convex(const float *x, int n, float *gradient) {
    double loss = 0, slope[VALUES] = {0};
    for (int i = 0; i < n; i++) {
        double a = 1 + 2.5 * i, d = x[i] - (7 * i % 5 - 2.0);
        loss += 0.5 * a * d * d;
        slope[i] += a * d;
        if (i + 1 == n) break;
        double step = (double)x[i + 1] - x[i], cube = step * step * step;
        loss += 0.05 * cube * step;
        slope[i + 1] += 0.2 * cube;
        slope[i] -= 0.2 * cube;
    }
    for (int i = 0; i < n; i++) gradient[i] = (float)slope[i];
    return loss;
}

static double rosenbrock(const float *x, int n, float *gradient) {
    double a = x[0], b = x[1], valley = b - a * a;
    (void)n;
    gradient[0] = (float)(-400 * a * valley - 2 * (1 - a));
    gradient[1] = (float)(200 * valley);
    return 100 * valley * valley + (1 - a) * (1 - a);
}

/* Two wells at -1 and 1 with a ridge of negative curvature between them. */
static double wells(const float *x, int n, float *gradient) {
    double loss = 0;
    for (int i = 0; i < n; i++) {
        double v = x[i];
        loss += v * v * v * v / 4 - v * v / 2 + 0.25;
        gradient[i] = (float)(v * v * v - v);
    }
    return loss;
}

static void start(float *x, int n, float value) {
    for (int i = 0; i < n; i++) x[i] = value;
}

static imp_lbfgs *lbfgs_of(imp_context *context, size_t n, int history, int line_search, double first_step) {
    imp_lbfgs_options options = {
        .history = history, .line_search = line_search, .learning_rate = 1, .first_step = first_step};
    imp_lbfgs *lbfgs;
    assert_int_equal(imp_lbfgs_create(context, n, &options, &lbfgs), IMP_OK);
    return lbfgs;
}

/* ---- Adam and schedules ------------------------------------------------------------------------------------------ */

static void adam_is_pytorchs(void **state) {
    /* torch.optim.Adam, lr 0.1, StepLR(10, 0.5), 25 steps on `convex` in doubles. */
    static const double expected[VALUES] = {-1.0151864, 0.19555139, 1.6908567,   -0.75246445,
                                            0.82776533, -1.0164116, 0.064883311, 1.8748477};
    imp_context *context = make_context(1, 0);
    imp_adam *adam;
    float x[VALUES], gradient[VALUES];
    (void)state;
    start(x, VALUES, 0.5f);
    assert_int_equal(imp_adam_create(context, VALUES, 0.9, 0.999, 1e-8, &adam), IMP_OK);
    for (int k = 0; k < 25; k++) {
        convex(x, VALUES, gradient);
        imp_adam_step(adam, imp_step_lr(0.1, 10, 0.5, k), x, gradient);
    }
    /* 25 steps of 0.1 rounded to f32: some units in the last place of 1, of which 2e-6 is about 20. */
    for (int i = 0; i < VALUES; i++) assert_true(fabs(x[i] - expected[i]) < 2e-6);
    imp_adam_free(adam);
    imp_context_free(context);
}

static void adam_goes_on_where_another_was(void **state) {
    imp_context *context = make_context(1, 0);
    imp_adam *whole, *first, *second;
    float x[VALUES], y[VALUES], gradient[VALUES], *from, *to, *from_v, *to_v;
    int64_t steps;
    (void)state;
    start(x, VALUES, 0.5f);
    start(y, VALUES, 0.5f);
    imp_adam_create(context, VALUES, 0.9, 0.99, 1e-8, &whole);
    imp_adam_create(context, VALUES, 0.9, 0.99, 1e-8, &first);
    imp_adam_create(context, VALUES, 0.9, 0.99, 1e-8, &second);
    for (int k = 0; k < 10; k++) {
        convex(x, VALUES, gradient);
        imp_adam_step(whole, 0.1, x, gradient);
        if (k == 5) {
            imp_adam_state(first, &from, &from_v, &steps);
            imp_adam_state(second, &to, &to_v, NULL);
            memcpy(to, from, sizeof x);
            memcpy(to_v, from_v, sizeof x);
            assert_int_equal(steps, 5);
            imp_adam_set_steps(second, steps);
        }
        convex(y, VALUES, gradient);
        imp_adam_step(k < 5 ? first : second, 0.1, y, gradient);
    }
    assert_memory_equal(x, y, sizeof x);
    imp_adam_free(whole);
    imp_adam_free(first);
    imp_adam_free(second);
    imp_context_free(context);
}

static void adam_refuses_senseless_options(void **state) {
    imp_context *context = make_context(1, 0);
    imp_adam *adam;
    (void)state;
    assert_int_equal(imp_adam_create(context, 4, 1, 0.9, 1e-8, &adam), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_adam_create(context, 4, 0.9, -0.1, 1e-8, &adam), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_adam_create(context, 4, 0.9, NAN, 1e-8, &adam), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_adam_create(context, 4, 0.9, 0.9, 0, &adam), IMP_ERR_ARGUMENT);
    assert_null(adam);
    assert_non_null(strstr(imp_error(context), "epsilon"));
    imp_context_free(context);
}

static void schedules_and_averages(void **state) {
    imp_context *context = make_context(1, 0);
    float average = 7, x[3] = {3, 5, 10};
    (void)state;
    assert_true(imp_step_lr(2, 20, 0.7, 19) == 2);
    assert_true(fabs(imp_step_lr(2, 20, 0.7, 40) - 2 * 0.7 * 0.7) < 1e-15);
    assert_true(imp_step_lr(2, 0, 0.7, 1000) == 2);
    for (int k = 0; k < 3; k++) imp_average_add(context, 1, 0.8, k + 1, &x[k], &average);
    /* f32, a few operations. */
    assert_true(fabs(average - (0.64 * 3 + 0.8 * 5 + 10) / (0.64 + 0.8 + 1)) < 1e-5);
    imp_context_free(context);
}

/* ---- L-BFGS ------------------------------------------------------------------------------------------------------ */

static void lbfgs_is_pytorchs(void **state) {
    /* torch.optim.LBFGS, lr 1, history 4, no line search, on `convex` in doubles. */
    static const double expected[] = {86.25,    65.52407, 11.67345, 9.044541, 8.630887, 8.197204, 7.592045,
                                      7.121505, 7.289746, 7.027901, 7.026337, 7.026275, 7.026273};
    imp_context *context = make_context(1, 0);
    imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, 0, 0);
    imp_lbfgs_report report;
    float x[VALUES], gradient[VALUES];
    (void)state;
    start(x, VALUES, 0.5f);
    for (size_t k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        double loss = convex(x, VALUES, gradient);
        /* PyTorch's own f32 run differs from its f64 run by 6e-7; 5e-6 leaves room for another order of sums. */
        assert_true(fabs(loss - expected[k]) < 5e-6 * expected[k]);
        assert_int_equal(imp_lbfgs_step(lbfgs, x, loss, gradient, &report), IMP_OK);
        assert_int_equal(report.events, 0);
        assert_int_equal(report.improved, k != 8);
    }
    imp_lbfgs_free(lbfgs);
    imp_context_free(context);
}

/* PyTorch's plain steps leap to a loss of 1e13 here and stay stuck at 2.3. */
static void lbfgs_damps_leaps(void **state) {
    imp_context *context = make_context(1, 0);
    imp_lbfgs *lbfgs = lbfgs_of(context, 2, 4, 0, 0);
    imp_lbfgs_report report;
    float x[2] = {-1.2f, 1}, gradient[2];
    unsigned events = 0;
    (void)state;
    for (int k = 0; k < 150; k++) {
        double loss = rosenbrock(x, 2, gradient);
        assert_int_equal(imp_lbfgs_step(lbfgs, x, loss, gradient, &report), IMP_OK);
        events |= report.events;
    }
    assert_true(events & IMP_LBFGS_PUT_BACK);
    /* The valley's floor falls from 4 to 0 along its length: 1e-6 is at its end. */
    assert_true(report.best_loss < 1e-6);
    imp_lbfgs_free(lbfgs);
    imp_context_free(context);
}

static void line_search_descends(void **state) {
    imp_context *context = make_context(1, 0);
    (void)state;
    for (int first = 0; first < 2; first++) {
        imp_lbfgs *lbfgs = lbfgs_of(context, 2, 4, 1, first ? 0.1 : 0);
        imp_lbfgs_report report = {0};
        float x[2] = {-1.2f, 1}, gradient[2];
        double last = INFINITY;
        for (int k = 0; k < 60; k++) {
            double loss = rosenbrock(x, 2, gradient);
            assert_int_equal(imp_lbfgs_step(lbfgs, x, loss, gradient, &report), IMP_OK);
            if (report.events & (IMP_LBFGS_SEARCHING | IMP_LBFGS_PUT_BACK)) continue;
            /* A point that ends a search is lower than where it began, up to f32's rounding of the valley's floor. */
            assert_true(loss <= last + 1e-10);
            last = loss;
        }
        assert_true(report.best_loss < 1e-9);
        imp_lbfgs_free(lbfgs);
    }
    imp_context_free(context);
}

static double with_a_cliff(const float *x, int n, float *gradient) {
    double loss = rosenbrock(x, n, gradient);
    if (x[0] > 1.05f) gradient[0] = NAN;
    if (x[0] < -1.21f) return NAN;
    return x[1] > 1.2f ? INFINITY : loss;
}

static void steps_that_cannot_be_evaluated_are_shortened(void **state) {
    imp_context *context = make_context(1, 0);
    (void)state;
    for (int line_search = 0; line_search < 2; line_search++) {
        imp_lbfgs *lbfgs = lbfgs_of(context, 2, 4, line_search, 0.2);
        imp_lbfgs_report report;
        float x[2] = {-1.2f, 1}, gradient[2];
        unsigned events = 0;
        for (int k = 0; k < 200; k++) {
            double loss = with_a_cliff(x, 2, gradient);
            assert_int_equal(imp_lbfgs_step(lbfgs, x, loss, gradient, &report), IMP_OK);
            assert_true(isfinite(x[0]) && isfinite(x[1]));
            events |= report.events;
        }
        assert_true(events & IMP_LBFGS_PUT_BACK);
        assert_true(report.best_loss < 1e-5);
        imp_lbfgs_free(lbfgs);
    }
    imp_context_free(context);
}

/* Where every step fails x closes in on the start, and the optimiser never gives up. */
static void hopeless_steps_end_at_the_start(void **state) {
    imp_context *context = make_context(1, 0);
    (void)state;
    for (int line_search = 0; line_search < 2; line_search++) {
        imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, line_search, 0.5);
        imp_lbfgs_report report;
        float x[VALUES], gradient[VALUES];
        start(x, VALUES, 0.5f);
        double loss = convex(x, VALUES, gradient);
        imp_lbfgs_step(lbfgs, x, loss, gradient, &report);
        for (int k = 0; k < 300; k++) {
            assert_int_equal(imp_lbfgs_step(lbfgs, x, k % 2 ? NAN : 1e30, gradient, &report), IMP_OK);
            assert_true(report.events & (IMP_LBFGS_PUT_BACK | IMP_LBFGS_SEARCHING));
        }
        for (int i = 0; i < VALUES; i++) assert_true(fabsf(x[i] - 0.5f) < 1e-4f);
        assert_true(report.best_loss == loss);
        imp_lbfgs_free(lbfgs);
    }
    imp_context_free(context);
}

static void bad_steps_drop_the_history(void **state) {
    imp_context *context = make_context(1, 0);
    imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, 0, 0);
    imp_lbfgs_report report;
    float x[VALUES], gradient[VALUES];
    (void)state;
    start(x, VALUES, 0.5f);
    for (int k = 0; k < 5; k++) imp_lbfgs_step(lbfgs, x, convex(x, VALUES, gradient), gradient, &report);
    for (int k = 0; k < 3; k++) imp_lbfgs_step(lbfgs, x, INFINITY, gradient, &report);
    assert_int_equal(report.events, IMP_LBFGS_PUT_BACK | IMP_LBFGS_FORGOT);
    for (int k = 0; k < 20; k++) imp_lbfgs_step(lbfgs, x, convex(x, VALUES, gradient), gradient, &report);
    assert_true(report.best_loss < 7.0263); /* the minimum is 7.026272 */
    imp_lbfgs_free(lbfgs);
    imp_context_free(context);
}

static void negative_curvature_is_skipped(void **state) {
    imp_context *context = make_context(1, 0);
    (void)state;
    for (int line_search = 0; line_search < 2; line_search++) {
        imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, line_search, 0.01);
        imp_lbfgs_report report;
        float x[VALUES], gradient[VALUES];
        unsigned events = 0;
        for (int i = 0; i < VALUES; i++) x[i] = 0.01f * (float)(i - 3) + 0.003f;
        for (int k = 0; k < 80; k++) {
            imp_lbfgs_step(lbfgs, x, wells(x, VALUES, gradient), gradient, &report);
            events |= report.events;
        }
        /* A search goes on until the curvature is positive, so it has nothing to skip. */
        if (!line_search) assert_true(events & IMP_LBFGS_SKIPPED);
        assert_true(report.best_loss < 1e-4);
        imp_lbfgs_free(lbfgs);
    }
    imp_context_free(context);
}

static void starts_and_ends(void **state) {
    imp_context *context = make_context(1, 0);
    imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, 0, 0);
    imp_lbfgs_report report;
    float x[VALUES], before[VALUES], gradient[VALUES];
    (void)state;
    start(x, VALUES, 0.5f);
    memcpy(before, x, sizeof x);
    convex(x, VALUES, gradient);
    assert_int_equal(imp_lbfgs_step(lbfgs, x, NAN, gradient, &report), IMP_ERR_NUMERIC);
    assert_memory_equal(x, before, sizeof x);
    start(gradient, VALUES, 0);
    assert_int_equal(imp_lbfgs_step(lbfgs, x, 1, gradient, &report), IMP_OK);
    assert_int_equal(report.events, IMP_LBFGS_STILL);
    assert_memory_equal(x, before, sizeof x);
    imp_lbfgs_free(lbfgs);
    imp_context_free(context);
}

/* With first_step the loss's unit does not matter. */
static void scale_of_the_loss_does_not_matter(void **state) {
    imp_context *context = make_context(1, 0);
    float x[2][VALUES], gradient[VALUES];
    (void)state;
    for (int run = 0; run < 2; run++) {
        double scale = run ? 0x1p-40 : 1; /* a power of two rounds nothing */
        imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, 0, 0.1);
        start(x[run], VALUES, 0.5f);
        for (int k = 0; k < 12; k++) {
            double loss = scale * convex(x[run], VALUES, gradient);
            for (int i = 0; i < VALUES; i++) gradient[i] *= (float)scale;
            imp_lbfgs_step(lbfgs, x[run], loss, gradient, NULL);
        }
        imp_lbfgs_free(lbfgs);
    }
    /* Square roots of the scale round differently by a unit in the last place, which twelve steps may amplify. */
    for (int i = 0; i < VALUES; i++) assert_true(fabsf(x[0][i] - x[1][i]) < 1e-4f);
    imp_context_free(context);
}

/* P = diag(a^2). */
static void by_squares(void *user, float *v) {
    const float *a = user;
    for (int i = 0; i < VALUES; i++) v[i] *= a[i] * a[i];
}

/* L-BFGS with P = A^2 on f(x) walks as plain L-BFGS on f(A z), x = A z: the first step too, since the steepest descent
   along A^2 g, made as long in x, lies at the same place when the length is measured there. */
static void a_precondition_is_a_change_of_variables(void **state) {
    float a[VALUES], x[VALUES], z[VALUES], moved[VALUES], gradient[VALUES], first[VALUES];
    imp_context *context = make_context(1, 0);
    double squares = 0, squares_z = 0;
    (void)state;
    for (int i = 0; i < VALUES; i++) a[i] = 0.5f + 0.25f * (float)i;
    start(x, VALUES, 0.5f);
    convex(x, VALUES, first);
    for (int i = 0; i < VALUES; i++) {
        z[i] = x[i] / a[i];
        squares_z += (double)a[i] * first[i] * a[i] * first[i];
        squares += pow((double)a[i] * a[i] * first[i], 2);
    }
    imp_lbfgs_options options = {
        .history = 4, .learning_rate = 1, .first_step = 0.1, .precondition = by_squares, .user = a};
    imp_lbfgs *conditioned, *plain = lbfgs_of(context, VALUES, 4, 0, 0.1 * sqrt(squares_z / squares));
    assert_int_equal(imp_lbfgs_create(context, VALUES, &options, &conditioned), IMP_OK);
    for (int k = 0; k < 12; k++) {
        double loss = convex(x, VALUES, gradient);
        imp_lbfgs_step(conditioned, x, loss, gradient, NULL);
        for (int i = 0; i < VALUES; i++) moved[i] = a[i] * z[i];
        loss = convex(moved, VALUES, gradient);
        for (int i = 0; i < VALUES; i++) gradient[i] *= a[i];
        imp_lbfgs_step(plain, z, loss, gradient, NULL);
    }
    /* Rounding differs by units in the last place, which twelve steps may amplify; unconditioned it is off by 0.1. */
    for (int i = 0; i < VALUES; i++) assert_true(fabsf(x[i] - a[i] * z[i]) < 1e-3f);
    imp_lbfgs_free(conditioned);
    imp_lbfgs_free(plain);
    imp_context_free(context);
}

static void projection_between_steps(void **state) {
    imp_context *context = make_context(1, 0);
    imp_lbfgs *lbfgs = lbfgs_of(context, VALUES, 4, 0, 0.1);
    float x[VALUES], gradient[VALUES];
    double loss = 0;
    (void)state;
    start(x, VALUES, 0.5f);
    for (int k = 0; k < 60; k++) {
        loss = convex(x, VALUES, gradient);
        imp_lbfgs_step(lbfgs, x, loss, gradient, NULL);
        for (int i = 0; i < VALUES; i++) x[i] = fminf(fmaxf(x[i], 0), 1);
    }
    /* In the box [0, 1] the wished 2, -2 and -1 lie outside: the best there, by a long projected gradient
       descent, is 45.74; the start has 86.25. */
    assert_true(loss < 60);
    imp_lbfgs_free(lbfgs);
    imp_context_free(context);
}

static void threads_do_not_change_the_path(void **state) {
    enum { MANY = 50003 };
    static float x[2][MANY], gradient[MANY];
    (void)state;
    for (int run = 0; run < 2; run++) {
        imp_context *context = make_context(run ? 3 : 1, 0);
        imp_lbfgs *lbfgs = lbfgs_of(context, MANY, 5, 0, 0.1);
        imp_adam *adam;
        assert_int_equal(imp_adam_create(context, MANY, 0.9, 0.999, 1e-8, &adam), IMP_OK);
        start(x[run], MANY, 0);
        for (int k = 0; k < 12; k++) {
            double loss = 0;
            for (int i = 0; i < MANY; i++) {
                float a = 1 + (float)(i % 7), d = x[run][i] - (float)(i % 11);
                loss += 0.5 * a * d * d;
                gradient[i] = a * d;
            }
            if (k < 8)
                imp_lbfgs_step(lbfgs, x[run], loss, gradient, NULL);
            else
                imp_adam_step(adam, 0.1, x[run], gradient);
        }
        imp_lbfgs_free(lbfgs);
        imp_adam_free(adam);
        imp_context_free(context);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

static void lbfgs_refuses_senseless_options(void **state) {
    static const imp_lbfgs_options options[] = {
        {.history = 0, .learning_rate = 1},
        {.history = IMP_LBFGS_MAX_HISTORY + 1, .learning_rate = 1},
        {.history = 4, .learning_rate = 0},
        {.history = 4, .learning_rate = NAN},
        {.history = 4, .learning_rate = 1, .first_step = -1},
        {.history = 4, .learning_rate = 1, .first_step = INFINITY},
    };
    imp_context *context = make_context(1, 0);
    imp_lbfgs *lbfgs;
    (void)state;
    for (size_t k = 0; k < sizeof options / sizeof options[0]; k++) {
        assert_int_equal(imp_lbfgs_create(context, 4, &options[k], &lbfgs), IMP_ERR_ARGUMENT);
        assert_null(lbfgs);
        assert_non_null(strstr(imp_error(context), "L-BFGS"));
    }
    imp_lbfgs_options huge = {.history = 200, .learning_rate = 1};
    assert_int_equal(imp_lbfgs_create(context, SIZE_MAX / 8, &huge, &lbfgs), IMP_ERR_MEMORY);
    imp_lbfgs_free(NULL);
    imp_adam_free(NULL);
    imp_context_free(context);
}

static int create_both(imp_context *context, void *user) {
    imp_lbfgs_options options = {.history = 3, .learning_rate = 1};
    imp_lbfgs *lbfgs;
    imp_adam *adam;
    (void)user;
    int status = imp_lbfgs_create(context, 100, &options, &lbfgs);
    if (status) return status;
    status = imp_adam_create(context, 100, 0.9, 0.999, 1e-8, &adam);
    imp_adam_free(adam);
    imp_lbfgs_free(lbfgs);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(create_both, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_is_pytorchs),
        cmocka_unit_test(adam_goes_on_where_another_was),
        cmocka_unit_test(adam_refuses_senseless_options),
        cmocka_unit_test(schedules_and_averages),
        cmocka_unit_test(lbfgs_is_pytorchs),
        cmocka_unit_test(lbfgs_damps_leaps),
        cmocka_unit_test(line_search_descends),
        cmocka_unit_test(steps_that_cannot_be_evaluated_are_shortened),
        cmocka_unit_test(hopeless_steps_end_at_the_start),
        cmocka_unit_test(bad_steps_drop_the_history),
        cmocka_unit_test(negative_curvature_is_skipped),
        cmocka_unit_test(starts_and_ends),
        cmocka_unit_test(scale_of_the_loss_does_not_matter),
        cmocka_unit_test(a_precondition_is_a_change_of_variables),
        cmocka_unit_test(projection_between_steps),
        cmocka_unit_test(threads_do_not_change_the_path),
        cmocka_unit_test(lbfgs_refuses_senseless_options),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
