/* Training on a toy: stages, averages, what is refused, and failures that change nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failing_allocator.h"
#include "toy_learner.h"
#include "unit.h"

#define RECIPE(more, stages)                                                                                           \
    "{\"task\": \"features\", \"network\": {\"architecture\": \"toy\"}, \"loss_network\": {\"model\": \"none\"}, "     \
    "\"losses\": {\"features\": {\"x\": 1}}, \"data\": {\"sources\": [{}], \"crop\": 16}, \"batch\": 2, " more         \
    "\"stages\": [" stages "]}"

/* What one test trains with. */
typedef struct bench {
    imp_context *context;
    imp_recipe *recipe;
    imp_training_source source;
    imp_learner learner;
    imp_training *training;
    toy it;
} bench;

static void begin(bench *on, const char *recipe, int *bad) {
    on->context = make_context(1, 0);
    if (imp_recipe_read(on->context, recipe, strlen(recipe), "r.json", &on->recipe))
        fail_msg("%s", imp_error(on->context));
    on->source = toy_source(bad);
    on->learner = toy_learner(&on->it, on->recipe);
    if (imp_train_create(on->context, on->recipe, &on->source, &on->learner, &on->training))
        fail_msg("%s", imp_error(on->context));
}

static void end(bench *on) {
    imp_training_free(on->training);
    assert_int_equal(on->it.released, 1);
    imp_recipe_free(on->recipe);
    imp_context_free(on->context);
}

static imp_training_progress steps(bench *on, int count) {
    imp_training_progress progress = {.size = sizeof progress};
    for (int i = 0; i < count; i++)
        if (imp_training_step(on->training, &progress)) fail_msg("%s", imp_error(on->context));
    return progress;
}

static void it_learns(void **state) {
    bench on;
    imp_training_progress progress, first;
    (void)state;
    begin(&on, RECIPE("", "{\"steps\": 400, \"learning_rate\": 0.03, \"schedule\": \"cosine\"}"), NULL);
    first = steps(&on, 1);
    assert_true(first.step == 1 && first.steps == 400 && !first.done && first.stage == 1 && first.stages == 1);
    assert_true(first.learning_rate == 0.03 && first.gradient_norm > 0.1);
    assert_true(fabs(first.losses[0] - first.losses[1] - first.losses[2]) < 1e-12);
    progress = steps(&on, 399);
    assert_true(progress.done && progress.step == 400 && progress.seconds_left == 0);
    assert_true(progress.pictures_per_second > 0 && progress.learning_rate < 1e-4);
    /* The opposite can be told exactly: what is left is a matter of steps. */
    assert_true(progress.losses[1] < 0.05 * first.losses[1]);
    /* The wind cannot: a gust's variance is 1/12, over 10 of them its mean rarely leaves this range. */
    assert_true(progress.losses[2] > 0.02 && progress.losses[2] < 0.2);
    float bias = on.it.bias[0];
    assert_true(imp_training_step(on.training, &progress) == IMP_OK && progress.done);
    assert_true(on.it.bias[0] == bias); /* after the last step it does nothing */
    assert_string_equal(imp_training_loss_name(on.training, 1), "opposite");
    assert_null(imp_training_loss_name(on.training, 3));
    end(&on);
}

static void stages_freeze_to_the_bit(void **state) {
    bench on;
    toy before;
    (void)state;
    begin(&on,
          RECIPE("\"optimizer\": {\"decay\": 0.1}, ",
                 "{\"steps\": 5, \"train\": [\"mix.b*\", \"wind.weigh?\"]}, {\"steps\": 5, \"train\": [\"*.weight\"]}, "
                 "{\"steps\": 5, \"train\": [\"m*s\"]}"),
          NULL);
    before = on.it;
    assert_int_equal(steps(&on, 5).stage, 1);
    assert_memory_equal(on.it.mix, before.mix, sizeof before.mix);
    assert_true(on.it.bias[0] != before.bias[0] && on.it.wind[9] != before.wind[9]);
    before = on.it;
    assert_int_equal(steps(&on, 5).stage, 2);
    assert_memory_equal(on.it.bias, before.bias, sizeof before.bias);
    assert_true(on.it.mix[8] != before.mix[8] && on.it.wind[0] != before.wind[0]);
    before = on.it;
    assert_int_equal(steps(&on, 5).stage, 3);
    assert_memory_equal(on.it.wind, before.wind, sizeof before.wind);
    assert_memory_equal(on.it.mix, before.mix, sizeof before.mix);
    assert_true(on.it.bias[2] != before.bias[2] && on.it.mean[0] != before.mean[0]);
    end(&on);
}

/* The first step of Adam is the rate long whatever the gradient; the decay pulls weights, and not biases. */
static void decay_is_of_weights(void **state) {
    bench on;
    toy before;
    (void)state;
    begin(&on, RECIPE("\"optimizer\": {\"decay\": 2, \"clip\": 1e-3}, ", "{\"steps\": 1, \"learning_rate\": 0.01}"),
          NULL);
    before = on.it;
    imp_training_progress progress = steps(&on, 1);
    assert_true(progress.gradient_norm > 0.1); /* the norm before clipping */
    for (int i = 0; i < 10; i++) {
        double moved = on.it.wind[i] - before.wind[i] * (1 - 0.01 * 2);
        assert_true(fabs(fabs(moved) - 0.01) < 1e-4); /* epsilon beside gradients that were clipped to 1e-4 and less */
    }
    for (int i = 0; i < 3; i++) assert_true(fabs(fabs(on.it.bias[i] - before.bias[i]) - 0.01) < 1e-4);
    end(&on);
}

static void rates_are_multiplied(void **state) {
    bench on;
    toy before;
    (void)state;
    begin(&on,
          RECIPE("\"optimizer\": {\"rates\": {\"*.weight\": 3, \"wind.*\": 0.5}}, ",
                 "{\"steps\": 1, \"learning_rate\": 0.01}"),
          NULL);
    before = on.it;
    steps(&on, 1);
    /* As long as the rate whatever the gradient, but for epsilon; of two that mean wind.weight the last counts. */
    for (int i = 0; i < 9; i++) assert_true(fabs(fabs(on.it.mix[i] - before.mix[i]) - 0.03) < 1e-4);
    for (int i = 0; i < 10; i++) assert_true(fabs(fabs(on.it.wind[i] - before.wind[i]) - 0.005) < 1e-4);
    for (int i = 0; i < 3; i++) assert_true(fabs(fabs(on.it.bias[i] - before.bias[i]) - 0.01) < 1e-4);
    end(&on);
}

static void averages_paint_and_are_exported(void **state) {
    char path[] = "/tmp/impasto-training-XXXXXX";
    bench on;
    float sum[3] = {0}, weights = 0, exported[12];
    toy before;
    uint8_t black[3] = {0, 0, 0};
    const imp_image photo = {sizeof photo, 1, 1, 3, IMP_DEPTH_8, 3, black};
    imp_image out;
    double losses[IMP_TRAINING_MAX_LOSSES], again[IMP_TRAINING_MAX_LOSSES];
    (void)state;
    begin(&on, RECIPE("\"optimizer\": {\"average\": 0.5}, ", "{\"steps\": 50, \"learning_rate\": 0.05}"), NULL);
    for (int k = 0; k < 6; k++) {
        steps(&on, 1);
        weights = 0.5f * weights + 1;
        for (int i = 0; i < 3; i++) sum[i] = 0.5f * sum[i] + on.it.bias[i];
    }
    before = on.it;
    int file = mkstemp(path);
    assert_int_equal(imp_training_export(on.training, path, IMP_STORAGE_F32), IMP_OK);
    assert_int_equal(read(file, exported, sizeof exported), sizeof exported);
    close(file);
    unlink(path);
    for (int i = 0; i < 3; i++) assert_true(fabsf(exported[9 + i] - sum[i] / weights) < 1e-6f); /* f32, six steps */
    assert_true(fabsf(exported[9] - on.it.bias[0]) > 0.01f);                                    /* not the last ones */
    /* No style is in the recipe. */
    assert_int_equal(imp_training_paint(on.training, &photo, 0, &out), IMP_ERR_ARGUMENT);
    assert_null(out.pixels);
    /* Validation changes nothing, and says the same again; 3 crops are 2 batches. */
    assert_int_equal(imp_training_validate(on.training, 3, losses), IMP_OK);
    assert_int_equal(imp_training_validate(on.training, 4, again), IMP_OK);
    assert_memory_equal(losses, again, sizeof losses);
    assert_true(losses[0] > 0);
    assert_memory_equal(on.it.bias, before.bias, sizeof before.bias);
    assert_memory_equal(on.it.mean, before.mean, sizeof before.mean);
    assert_int_equal(imp_training_validate(on.training, 0, losses), IMP_ERR_ARGUMENT);
    steps(&on, 1);
    assert_memory_equal(on.it.copy + 9, before.bias, sizeof before.bias); /* evaluated at the weights themselves */
    end(&on);
}

#define STYLE_RECIPE(more)                                                                                             \
    "{\"network\": {\"architecture\": \"toy\"}, \"loss_network\": {\"model\": \"none\"}, " more                        \
    "\"losses\": {\"content\": {\"x\": 1}, \"style\": {\"x\": 1}}, \"styles\": [{\"name\": \"a\", \"picture\": "       \
    "\"a\"}, "                                                                                                         \
    "{\"name\": \"b\", \"picture\": \"b\"}], \"data\": {\"sources\": [{}], \"crop\": 16}, \"stages\": [{\"steps\": "   \
    "9}]}"

/* A validation of one crop looks at two where there are two styles. */
static void validation_sees_every_style(void **state) {
    bench on;
    double one[IMP_TRAINING_MAX_LOSSES], two[IMP_TRAINING_MAX_LOSSES], three[IMP_TRAINING_MAX_LOSSES];
    (void)state;
    begin(&on, STYLE_RECIPE("\"batch\": 1, "), NULL);
    assert_int_equal(imp_training_validate(on.training, 1, one), IMP_OK);
    assert_int_equal(imp_training_validate(on.training, 2, two), IMP_OK);
    assert_int_equal(imp_training_validate(on.training, 3, three), IMP_OK);
    assert_memory_equal(one, two, sizeof one);
    assert_true(three[0] != two[0]);
    end(&on);
}

static void painting(void **state) {
    bench on;
    const uint8_t grey = 100;
    const imp_image photo = {sizeof photo, 1, 1, 1, IMP_DEPTH_8, 1, (void *)(uintptr_t)&grey};
    imp_image first, second;
    (void)state;
    begin(&on, STYLE_RECIPE(""), NULL);
    for (int i = 0; i < 9; i++) on.it.mix[i] = i % 4 == 0 ? 0.5f : 0; /* half of each colour */
    imp_training_free(on.training);
    on.learner.refresh(&on.it);
    on.it.released = 0;
    assert_int_equal(imp_train_create(on.context, on.recipe, &on.source, &on.learner, &on.training), IMP_OK);
    assert_int_equal(imp_training_paint(on.training, &photo, 0, &first), IMP_OK);
    assert_int_equal(imp_training_paint(on.training, &photo, 1, &second), IMP_OK);
    assert_int_equal(((uint8_t *)first.pixels)[2], 50);
    assert_int_equal(((uint8_t *)second.pixels)[2], 51); /* the toy's other style */
    imp_image_release(on.context, &first);
    imp_image_release(on.context, &second);
    assert_int_equal(imp_training_paint(on.training, &photo, 2, &first), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_training_paint(on.training, NULL, 0, &first), IMP_ERR_ARGUMENT);
    on.training->learner.paint = NULL;
    assert_int_equal(imp_training_paint(on.training, &photo, 0, &first), IMP_ERR_UNSUPPORTED);
    end(&on);
}

static void failures_change_nothing(void **state) {
    bench on;
    toy before;
    imp_training_progress progress = {.size = sizeof progress};
    int bad = 4; /* the third step's first crop */
    (void)state;
    begin(&on, RECIPE("", "{\"steps\": 50}"), &bad);
    steps(&on, 2);
    before = on.it;
    assert_int_equal(imp_training_step(on.training, &progress), IMP_ERR_NUMERIC);
    assert_non_null(strstr(imp_error(on.context), "step 3: the loss is nan"));
    assert_memory_equal(on.it.mix, before.mix, sizeof before.mix);
    bad = -4;
    assert_int_equal(imp_training_step(on.training, &progress), IMP_ERR_IO);
    assert_string_equal(imp_error(on.context), "there is no crop 4 of \"train\"");
    bad = 0;
    on.it.fail = 1;
    assert_int_equal(imp_training_step(on.training, &progress), IMP_ERR_MEMORY);
    assert_memory_equal(on.it.mix, before.mix, sizeof before.mix);
    assert_int_equal(steps(&on, 1).step, 3);
    end(&on);
}

/* A gradient whose squares a float does not hold is as good as infinite; clipped, it is as good as any. */
static void a_gradient_must_fit(void **state) {
    static const char *const recipes[] = {RECIPE("", "{\"steps\": 9}"),
                                          RECIPE("\"optimizer\": {\"clip\": 1}, ", "{\"steps\": 9}")};
    (void)state;
    for (int clipped = 0; clipped < 2; clipped++) {
        bench on;
        begin(&on, recipes[clipped], NULL);
        on.it.bias[1] = 1e20f;
        on.training->stale = 1;
        assert_int_equal(imp_training_step(on.training, NULL), clipped ? IMP_OK : IMP_ERR_NUMERIC);
        if (!clipped) assert_non_null(strstr(imp_error(on.context), "e+20: lower \"learning_rate\""));
        end(&on);
    }
}

static void patterns_must_mean_something(void **state) {
    bench on;
    (void)state;
    begin(&on, RECIPE("", "{\"steps\": 1}"), NULL);
    imp_recipe *recipe;
    imp_training *training;
    const char *const texts[] = {
        RECIPE("", "{\"steps\": 1}, {\"steps\": 1, \"train\": [\"*.bias\", \"mix.wight\"]}"),
        RECIPE("\"optimizer\": {\"rates\": {\"*.bias\": 2, \"mix.wight\": 2}}, ", "{\"steps\": 1}")};
    const char *const places[] = {"stage 2", "\"rates\""};
    for (int i = 0; i < 2; i++) {
        char words[128];
        snprintf(words, sizeof words,
                 "%s: no parameter of toy has a name like \"mix.wight\"; did you mean \"mix.weight\"?", places[i]);
        assert_int_equal(imp_recipe_read(on.context, texts[i], strlen(texts[i]), "r.json", &recipe), IMP_OK);
        assert_int_equal(imp_train_create(on.context, recipe, &on.source, &on.learner, &training), IMP_ERR_ARGUMENT);
        assert_null(training);
        assert_string_equal(imp_error(on.context), words);
        assert_int_equal(on.it.released, 1); /* the learner goes with the failure */
        on.it.released = 0;
        imp_recipe_release(recipe);
    }
    end(&on);
}

static void misuse(void **state) {
    bench on;
    imp_training *training;
    imp_training_progress wrong = {.size = 1};
    imp_training_source empty = {.size = sizeof empty};
    (void)state;
    begin(&on, RECIPE("", "{\"steps\": 1}"), NULL);
    assert_int_equal(imp_training_step(NULL, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_training_step(on.training, &wrong), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_training_create(on.context, on.recipe, &empty, &training), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_training_create(on.context, on.recipe, NULL, &training), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_training_create(on.context, NULL, &on.source, &training), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_training_export(on.training, NULL, IMP_STORAGE_F32), IMP_ERR_ARGUMENT);
    imp_training_free(NULL);
    end(&on);
}

/* Everything that allocates, once. */
static int train(imp_context *context, void *user) {
    const char *path = user;
    const char *text = RECIPE("", "{\"steps\": 4}");
    imp_recipe *recipe;
    imp_training *training = NULL;
    imp_training_source source = toy_source(NULL);
    double losses[IMP_TRAINING_MAX_LOSSES];
    toy it;
    int status = imp_recipe_read(context, text, strlen(text), "r.json", &recipe);
    if (!status) {
        imp_learner learner = toy_learner(&it, recipe);
        status = imp_train_create(context, recipe, &source, &learner, &training);
    }
    for (int i = 0; i < 2 && !status; i++) status = imp_training_step(training, NULL);
    if (!status) status = imp_training_validate(training, 1, losses);
    if (!status) status = imp_training_save(training, path);
    if (!status) status = imp_training_load(training, path);
    imp_training_free(training);
    imp_recipe_free(recipe);
    return status;
}

static void every_allocation_may_fail(void **state) {
    char path[] = "/tmp/impasto-training-XXXXXX";
    (void)state;
    int file = mkstemp(path);
    assert_int_equal(imp_test_every_allocation(train, path), 0);
    close(file);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns),
        cmocka_unit_test(stages_freeze_to_the_bit),
        cmocka_unit_test(decay_is_of_weights),
        cmocka_unit_test(rates_are_multiplied),
        cmocka_unit_test(averages_paint_and_are_exported),
        cmocka_unit_test(validation_sees_every_style),
        cmocka_unit_test(painting),
        cmocka_unit_test(failures_change_nothing),
        cmocka_unit_test(a_gradient_must_fit),
        cmocka_unit_test(patterns_must_mean_something),
        cmocka_unit_test(misuse),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
