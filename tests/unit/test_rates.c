/* What training adds to Adam: decay of the weights, clipping, schedules of the rate; beside figures of PyTorch. */
#include <math.h>
#include <string.h>

#include "optim/optim.h"
#include "unit.h"

#define VALUES 8
#define STEPS 25

/* Of sum of a (x - b)^2 / 2 with a from 1 to 18.5, and 0.05 (x[i + 1] - x[i])^4. */
static void slope(const float *x, float *gradient) {
    double sum[VALUES] = {0};
    for (int i = 0; i < VALUES; i++) {
        sum[i] += (1 + 2.5 * i) * (x[i] - (7 * i % 5 - 2.0));
        if (i + 1 == VALUES) break;
        double step = (double)x[i + 1] - x[i];
        sum[i + 1] += 0.2 * step * step * step;
        sum[i] -= 0.2 * step * step * step;
    }
    for (int i = 0; i < VALUES; i++) gradient[i] = (float)sum[i];
}

/* torch.optim.AdamW, lr 0.1, betas 0.9 and 0.99, weight_decay 0.3; clip_grad_norm_ to 3; LinearLR from 1/5 over 4 steps,
   then CosineAnnealingLR to 0.02 over 20, joined by SequentialLR; 25 steps in doubles. */
static void training_step_is_pytorchs(void **state) {
    static const double expected[VALUES] = {-0.94409206, 0.13986521,  1.4712605,   -0.74265885,
                                            0.78444631,  -0.94567458, 0.065630915, 1.5491266};
    static const double rates[STEPS] = {0.02,          0.04,          0.06,          0.08,          0.1,
                                        0.1,           0.09950753362, 0.09804226065, 0.09564026097, 0.09236067977,
                                        0.08828427125, 0.08351141009, 0.07815961999, 0.07236067977, 0.0662573786,
                                        0.06,          0.0537426214,  0.04763932023, 0.04184038001, 0.03648858991,
                                        0.03171572875, 0.02763932023, 0.02435973903, 0.02195773935, 0.02049246638};
    const imp_schedule schedule = {
        .kind = IMP_SCHEDULE_COSINE, .initial = 0.1, .warm_up = 5, .steps = STEPS, .least = 0.2};
    imp_context *context = make_context(1, 0);
    imp_adam *adam;
    float x[VALUES], gradient[VALUES];
    /* The norm is that of all arrays; one that does not train is left out. */
    float *arrays[] = {gradient, NULL, gradient + 3};
    const size_t lengths[] = {3, 100, VALUES - 3};
    double squares[3], norm = 0;
    const imp_gradients gradients = {arrays, lengths, squares, 3};
    (void)state;
    for (int i = 0; i < VALUES; i++) x[i] = 0.5f;
    assert_int_equal(imp_adam_create(context, VALUES, 0.9, 0.99, 1e-8, &adam), IMP_OK);
    imp_adam_set_decay(adam, 0.3);
    for (int k = 0; k < STEPS; k++) {
        double rate = imp_schedule_rate(&schedule, k);
        assert_true(fabs(rate - rates[k]) < 1e-11); /* printed with ten digits */
        slope(x, gradient);
        norm = imp_clip_norm(context, &gradients, 3);
        if (k == 0) assert_true(fabs(norm - 47.5) < 1e-12); /* exact in f32 */
        imp_adam_step(adam, rate, x, gradient);
    }
    assert_true(fabs(norm - 15.47212115) < 2e-5); /* a slope of up to 18.5 by what x below may be wrong */
    /* 25 steps of up to 0.1 rounded to f32: some units in the last place of 1, of which 2e-6 is about 20. */
    for (int i = 0; i < VALUES; i++) assert_true(fabs(x[i] - expected[i]) < 2e-6);
    imp_adam_free(adam);
    imp_context_free(context);
}

static void clipping_scales_only_what_is_over(void **state) {
    imp_context *context = make_context(1, 0);
    float values[2] = {3, 4}, *arrays[] = {values}, bad[] = {INFINITY, 1}, *bad_arrays[] = {bad};
    const size_t length = 2;
    double square;
    imp_gradients gradients = {arrays, &length, &square, 1};
    (void)state;
    assert_true(imp_clip_norm(context, &gradients, 0) == 5 && values[0] == 3);
    assert_true(imp_clip_norm(context, &gradients, 6) == 5 && values[1] == 4);
    assert_true(imp_clip_norm(context, &gradients, 1) == 5);
    /* The 1e-6 beside the norm, and rounding to f32. */
    assert_true(fabs(values[0] - 0.6) < 1e-6 && fabs(values[1] - 0.8) < 1e-6);
    /* What is not finite is told, and left as it is. */
    gradients.arrays = bad_arrays;
    assert_true(isinf(imp_clip_norm(context, &gradients, 1)) && bad[1] == 1);
    imp_context_free(context);
}

static void schedules(void **state) {
    imp_schedule schedule = {.kind = IMP_SCHEDULE_CONSTANT, .initial = 2, .warm_up = 4, .steps = 100};
    (void)state;
    assert_true(imp_schedule_rate(&schedule, 0) == 0.5 && imp_schedule_rate(&schedule, 3) == 2);
    assert_true(imp_schedule_rate(&schedule, 99) == 2);
    schedule.kind = IMP_SCHEDULE_STEP;
    schedule.step_size = 10;
    schedule.gamma = 0.5;
    assert_true(imp_schedule_rate(&schedule, 13) == 2 && imp_schedule_rate(&schedule, 14) == 1);
    schedule.kind = IMP_SCHEDULE_COSINE;
    schedule.least = 0.25;
    assert_true(imp_schedule_rate(&schedule, 4) == 2);
    assert_true(fabs(imp_schedule_rate(&schedule, 52) - 1.25) < 1e-15); /* the middle of the wave, in doubles */
    assert_true(imp_schedule_rate(&schedule, 100) == 0.5 && imp_schedule_rate(&schedule, 1000) == 0.5);
    /* Nothing is left after the warm-up: there is no wave to divide by. */
    schedule.steps = 4;
    assert_true(imp_schedule_rate(&schedule, 4) == 2);
}

static void threads_do_not_change_the_norm(void **state) {
    enum { ARRAYS = 7, LENGTH = 1000 };
    static float one[ARRAYS][LENGTH], three[ARRAYS][LENGTH];
    float *arrays[ARRAYS];
    size_t lengths[ARRAYS];
    double squares[ARRAYS], norms[2];
    imp_gradients gradients = {arrays, lengths, squares, ARRAYS};
    (void)state;
    for (int k = 0; k < ARRAYS; k++)
        for (int i = 0; i < LENGTH; i++) one[k][i] = three[k][i] = (float)sin(k * LENGTH + i);
    for (int run = 0; run < 2; run++) {
        imp_context *context = make_context(run ? 3 : 1, 0);
        for (int k = 0; k < ARRAYS; k++) {
            arrays[k] = run ? three[k] : one[k];
            lengths[k] = LENGTH - (size_t)k * 100;
        }
        norms[run] = imp_clip_norm(context, &gradients, 1);
        imp_context_free(context);
    }
    assert_true(norms[0] == norms[1]);
    assert_memory_equal(one, three, sizeof one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_step_is_pytorchs),
        cmocka_unit_test(clipping_scales_only_what_is_over),
        cmocka_unit_test(schedules),
        cmocka_unit_test(threads_do_not_change_the_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
