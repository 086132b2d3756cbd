/* Students of all of VGG19, seconds of work each: under the address sanitizer one of them has to do, and under the thread
 * sanitizer none, since it has no threads that other plans have not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failing_allocator.h"
#include "learner_bench.h"
#include "style/training.h"
#include "unit.h"

#ifdef __SANITIZE_THREAD__
#define SKIPPED 77 /* as meson knows it */

int main(void) {
    return SKIPPED;
}

#else

static void a_students_gradient_is_its_losses_slope(void **state) {
    bench on;
    (void)state;
    bench_begin(&on, STUDENT("thin", ", \"options\": {\"channels\": 8}"), 2);
    bench_check_slope(&on, 1e-3);
    assert_true(on.losses[1] > 0 && on.losses[2] > 0 && on.losses[0] == on.losses[1] + 0.1 * on.losses[2]);
    bench_end(&on);
}

#ifndef __SANITIZE_ADDRESS__

/* Readouts that say as much as those of random maps; the largest weight that they had before. */
static float let_readouts_speak(bench *on) {
    float largest = 0; /* of a normal deviation of 0.12 at most */
    for (int i = 0; i < on->learner.parameter_count; i++) {
        const imp_learner_parameter *one = &on->learner.parameters[i];
        size_t count = bench_length(on, i);
        if (strncmp(one->name, "conv", 4) != 0 || strncmp(one->name, "conv1_1", 7) == 0 || one->state) continue;
        for (size_t k = 0; k < count; k++) {
            largest = fmaxf(largest, fabsf(one->data[k]));
            one->data[k] = 0.04f * (bench_pixel((uint64_t)i, 0, (int)(k / 16), (int)(k % 16)) / 255 - 0.5f);
        }
    }
    assert_int_equal(on->learner.refresh(on->learner.user), IMP_OK);
    return largest;
}

/* It begins with readouts that say next to nothing, whose loss is the teacher's energy: 1 times the weights of the features (1
   and 0.5) and a tenth of the Gram matrices' (1); up to a hundredth of readouts as large as its own, or less. */
static void the_one_with_norms_too(void **state) {
    static float *const none[MOST_PARAMETERS];
    bench on;
    (void)state;
    bench_begin(&on, STUDENT("mobilenetv3", ""), 2);
    bench_evaluate(&on, none);
    assert_float_equal(on.losses[0], 1.6, 0.02);
    assert_true(let_readouts_speak(&on) < 0.01f);
    bench_check_slope(&on, 1e-3);
    bench_end(&on);
}

/* Also a layer that only Gram matrices teach, conv3_1. */
static void its_readouts_learn(void **state) {
    double first;
    bench on;
    (void)state;
    bench_begin(&on, STUDENT("mobilenetv3", ""), 2);
    bench_evaluate(&on, on.gradients);
    first = on.losses[2];
    for (int step = 0; step < 40; step++) {
        for (int i = 0; i < on.learner.parameter_count; i++)
            for (size_t k = 0; on.gradients[i] && k < bench_length(&on, i); k++)
                on.learner.parameters[i].data[k] -= copysignf(1e-2f, on.gradients[i][k]); /* as Adam's first steps */
        assert_int_equal(on.learner.refresh(on.learner.user), IMP_OK);
        bench_evaluate(&on, on.gradients);
        if (on.losses[2] < 0.9 * first) break;
    }
    if (!(on.losses[2] < 0.9 * first)) fail_msg("the Gram loss goes from %g to %g", first, on.losses[2]);
    bench_end(&on);
}

/* The model as it is written: its feature scale, and its own first kernels, which are VGG19's times its unit. */
static float written_scale(const char *recipe, float *kernels, size_t count) {
    imp_model_info info = {.size = sizeof info};
    const char *path = "student_test.safetensors";
    imp_model *model;
    bench on;
    bench_begin(&on, recipe, 2);
    if (on.learner.write(on.learner.user, path, IMP_STORAGE_F32) || imp_model_open(on.context, path, &model))
        fail_msg("%s", imp_error(on.context));
    remove(path);
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    const imp_parameter *first = &model->network.parameters[0];
    assert_string_equal(first->name, "trunk1_1.weight");
    assert_int_equal(imp_parameter_count(first), count);
    memcpy(kernels, first->data, count * sizeof *kernels);
    imp_model_free(model);
    bench_end(&on);
    return info.feature_scale;
}

static void norms_have_the_losses_unit(void **state) {
    enum { KERNELS = 32 * 3 * 3 * 3 };
    float thin[KERNELS], normed[KERNELS];
    (void)state;
    assert_true(written_scale(STUDENT("thin", ""), thin, KERNELS) == 1.0f / 255);
    assert_true(written_scale(STUDENT("mobilenetv3", ""), normed, KERNELS) == 1);
    /* Of the first channels: which are the last that tell the others best is a matter of roundings. */
    for (int i = 0; i < KERNELS / 4; i++)
        assert_true(fabsf(255 * normed[i] - thin[i]) <= 1e-6f * fabsf(thin[i])); /* a rounding of 6e-8 or two */
}

static void it_learns(void **state) {
    (void)state;
    bench_descend(STUDENT("thin", ", \"options\": {\"channels\": 8}"), 1e-2);
}

static void checkpoints_hold_readouts(void **state) {
    (void)state;
    bench_go_on(STUDENT("thin", ", \"options\": {\"channels\": 8}"), "conv3_1.readout.weight");
}

/* Running means and variances come to what a batch has, so that the loss by them, in evaluations without gradients, comes to
   the one in training. Those change nothing. */
static void norms_keep_what_they_saw(void **state) {
    static float *const none[MOST_PARAMETERS];
    /* 0.9^90 of the first numbers is left: a variance of 8e-5, where maps have 1e-2 and more. */
    enum { EVALUATIONS = 90 };
    double training, before, after;
    bench on;
    (void)state;
    bench_begin(&on, STUDENT("mobilenetv3", ""), 2);
    let_readouts_speak(&on);
    bench_evaluate(&on, none);
    before = on.losses[0];
    bench_evaluate(&on, none);
    assert_true(on.losses[0] == before);
    for (int i = 0; i < EVALUATIONS; i++) {
        bench_evaluate(&on, on.gradients);
        on.learner.follow(on.learner.user);
    }
    training = on.losses[0];
    bench_evaluate(&on, none);
    after = on.losses[0];
    /* What is left, and n - 1 in variances of as few as 4 values a picture at the last layers. */
    if (!(fabs(after / training - 1) < 0.1 && fabs(before / training - 1) > 0.2))
        fail_msg("the loss is %g in training, %g by the first means and %g by those kept", training, before, after);
    bench_end(&on);
}

/* VGG19 that sees nothing: made at once. */
static int blank_model(void *user, imp_context *context, const char *name, imp_model **made) {
    const imp_architecture *known = imp_architecture_find(imp_architectures, name);
    (void)user;
    int status = imp_model_make(context, known, NULL, made);
    if (!status) status = imp_model_set_preprocessing(context, *made, "torchvision");
    for (int i = 0; !status && i < (*made)->network.parameter_count; i++) {
        imp_parameter *parameter = &(*made)->network.parameters[i];
        size_t bytes = imp_parameter_count(parameter) * sizeof(float);
        parameter->data = imp_allocator_take(&(*made)->network.allocator, bytes);
        if (parameter->data)
            memset(parameter->data, 0, bytes);
        else
            status = imp_fail(context, IMP_ERR_MEMORY, "out of memory: a blank model");
    }
    if (!status) return IMP_OK;
    imp_model_free(*made);
    *made = NULL;
    return status;
}

static int make_student(imp_context *context, void *user) {
    const char *text =
        "{\"task\": \"features\", \"network\": {\"architecture\": \"thin\", \"options\": {\"channels\": 4}},"
        " \"loss_network\": {\"model\": \"vgg19\"}, \"losses\": {\"features\": {\"conv2_1\": 1}, \"style\":"
        " {\"conv3_1\": 1}}, \"data\": {\"sources\": [{}], \"crop\": 16}, \"batch\": 2,"
        " \"stages\": [{\"steps\": 1}]}";
    imp_training_source blank = bench_source;
    imp_training *training = NULL;
    imp_recipe *recipe = NULL;
    (void)user;
    blank.model = blank_model;
    int status = imp_recipe_read(context, text, strlen(text), "r.json", &recipe);
    if (!status) status = imp_training_create(context, recipe, &blank, &training);
    if (!status) status = imp_training_step(training, NULL);
    imp_training_free(training);
    imp_recipe_free(recipe);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_some_allocations(make_student, NULL, 661), 0); /* seconds each */
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_students_gradient_is_its_losses_slope),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(the_one_with_norms_too),
        cmocka_unit_test(its_readouts_learn),
        cmocka_unit_test(norms_have_the_losses_unit),
        cmocka_unit_test(it_learns),
        cmocka_unit_test(checkpoints_hold_readouts),
        cmocka_unit_test(norms_keep_what_they_saw),
        cmocka_unit_test(allocations_may_fail),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
