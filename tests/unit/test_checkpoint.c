/* Checkpoints: the same bits after going on, what is refused, full disks, and a process that is killed. */
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "toy_learner.h"
#include "unit.h"

#define STAGES                                                                                                         \
    "{\"steps\": 4, \"train\": [\"mix.*\"], \"warm_up\": 2}, {\"steps\": 6, \"learning_rate\": 0.02, \"schedule\": "   \
    "\"cosine\"}"

/* Of two styles, so that their names matter. */
static const char recipe_text[] =
    "{\"network\": {\"architecture\": \"toy\"}, \"loss_network\": {\"model\": \"none\"}, \"losses\": {\"content\": "
    "{\"x\": 1}, \"style\": "
    "{\"x\": 1}}, \"styles\": [{\"name\": \"a\", \"picture\": \"a\"}, {\"name\": \"b\", \"picture\": \"b\"}], "
    "\"data\": {\"sources\": [{}], \"crop\": 16}, \"optimizer\": {\"average\": 0.9, \"decay\": 0.01, \"clip\": 0.5}, "
    "\"stages\": [" STAGES "]}";

static char folder[] = "/tmp/impasto-checkpoint-XXXXXX";
static char path[sizeof folder + 32];

typedef struct run {
    imp_context *context;
    imp_recipe *recipe;
    imp_training_source source;
    imp_training *training;
    toy it;
} run;

static void begin_with(run *on, const char *text, int threads) {
    on->context = make_context(threads, 0);
    if (imp_recipe_read(on->context, text, strlen(text), "r.json", &on->recipe)) fail_msg("%s", imp_error(on->context));
    on->source = toy_source(NULL);
    imp_learner learner = toy_learner(&on->it, on->recipe);
    assert_int_equal(imp_train_create(on->context, on->recipe, &on->source, &learner, &on->training), IMP_OK);
}

static void begin(run *on) {
    begin_with(on, recipe_text, 1);
}

static void end(run *on) {
    imp_training_free(on->training);
    imp_recipe_free(on->recipe);
    imp_context_free(on->context);
}

static void steps(run *on, int count) {
    for (int i = 0; i < count; i++) assert_int_equal(imp_training_step(on->training, NULL), IMP_OK);
}

/* Weights, states, and averages: those by painting. */
static void assert_same(run *a, run *b) {
    double first[IMP_TRAINING_MAX_LOSSES], second[IMP_TRAINING_MAX_LOSSES];
    assert_memory_equal(a->it.mix, b->it.mix, sizeof a->it.mix);
    assert_memory_equal(a->it.bias, b->it.bias, sizeof a->it.bias);
    assert_memory_equal(a->it.wind, b->it.wind, sizeof a->it.wind);
    assert_memory_equal(a->it.mean, b->it.mean, sizeof a->it.mean);
    assert_int_equal(imp_training_validate(a->training, 4, first), IMP_OK);
    assert_int_equal(imp_training_validate(b->training, 4, second), IMP_OK);
    assert_memory_equal(first, second, sizeof first);
}

/* Saved at every step, before, at and after the change of stages. */
static void going_on_makes_the_same_bits(void **state) {
    run whole;
    (void)state;
    begin(&whole);
    steps(&whole, 10);
    for (int at = 0; at <= 10; at++) {
        run before, after;
        imp_training_progress progress = {.size = sizeof progress};
        begin(&before);
        steps(&before, at);
        assert_int_equal(imp_training_save(before.training, path), IMP_OK);
        end(&before);
        begin_with(&after, recipe_text, 3);
        steps(&after, 3); /* whatever it was */
        assert_int_equal(imp_training_load(after.training, path), IMP_OK);
        steps(&after, 10 - at);
        assert_same(&whole, &after);
        assert_int_equal(imp_training_step(after.training, &progress), IMP_OK);
        assert_true(progress.done && progress.step == 10);
        end(&after);
    }
    end(&whole);
}

/* Loads what is at path into a training of text, which must refuse it with words and stay as it was. */
static void refused_by(const char *text, const char *words) {
    run other;
    begin_with(&other, text, 1);
    steps(&other, 1);
    toy before = other.it;
    assert_true(imp_training_load(other.training, path) < 0);
    assert_memory_equal(imp_error(other.context), path, strlen(path));
    if (!strstr(imp_error(other.context), words))
        fail_msg("\"%s\" does not say \"%s\"", imp_error(other.context), words);
    assert_memory_equal(&other.it, &before, sizeof before);
    end(&other);
}

static void replace(char *text, size_t bytes, const char *from, const char *to) {
    const char *at = strstr(recipe_text, from);
    assert_non_null(at);
    snprintf(text, bytes, "%.*s%s%s", (int)(at - recipe_text), recipe_text, to, at + strlen(from));
}

static void write_checkpoint(int count) {
    run on;
    begin(&on);
    steps(&on, count);
    assert_int_equal(imp_training_save(on.training, path), IMP_OK);
    end(&on);
}

static void other_recipes_are_refused(void **state) {
    char text[2 * sizeof recipe_text];
    run longer;
    (void)state;
    write_checkpoint(6);
    replace(text, sizeof text, "\"name\": \"b\"", "\"name\": \"c\"");
    refused_by(text, "of other styles than the recipe has");
    replace(text, sizeof text, "\"picture\": \"b\"", "\"picture\": \"c\"");
    refused_by(text, "of styles with other pictures than the recipe has");
    replace(text, sizeof text, "\"steps\": 6", "\"steps\": 1");
    refused_by(text, "of step 6, and the recipe's stages end at 5");
    /* More may be asked of it. */
    replace(text, sizeof text, "\"steps\": 6", "\"steps\": 60");
    begin_with(&longer, text, 1);
    assert_int_equal(imp_training_load(longer.training, path), IMP_OK);
    steps(&longer, 2);
    /* Another network, by its name and by its shapes. */
    longer.training->learner.architecture = "toad";
    assert_int_equal(imp_training_load(longer.training, path), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(longer.context), "a checkpoint of toy, and the recipe trains toad"));
    longer.training->learner.architecture = "toy";
    longer.it.parameters[0].shape[0] = 9;
    longer.it.parameters[0].shape[1] = 1;
    assert_int_equal(imp_training_load(longer.training, path), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(longer.context), "weight/mix.weight has another shape"));
    end(&longer);
}

/* By the loss network's checksum, where the learner is bound to one; a checkpoint of before that passes. */
static void other_teachers_are_refused(void **state) {
    run on;
    (void)state;
    write_checkpoint(1);
    begin(&on);
    on.training->learner.teacher = 0x0123abcd;
    assert_int_equal(imp_training_load(on.training, path), IMP_OK);
    assert_int_equal(imp_training_save(on.training, path), IMP_OK);
    assert_int_equal(imp_training_load(on.training, path), IMP_OK);
    on.training->learner.teacher++;
    assert_int_equal(imp_training_load(on.training, path), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(on.context), "learnt from another loss network than \"none\""));
    on.training->learner.teacher = 0;
    assert_int_equal(imp_training_load(on.training, path), IMP_OK);
    end(&on);
}

/* Stages that train more than the checkpoint's did need moments that it has not. */
static void other_stages(void **state) {
    char text[2 * sizeof recipe_text];
    run less;
    (void)state;
    replace(text, sizeof text, STAGES, "{\"steps\": 9, \"train\": [\"mix.bias\"]}");
    begin_with(&less, text, 1);
    steps(&less, 2);
    assert_int_equal(imp_training_save(less.training, path), IMP_OK);
    refused_by(recipe_text, "of stages that train less");
    write_checkpoint(2);
    assert_int_equal(imp_training_load(less.training, path), IMP_OK);
    end(&less);
}

static size_t read_file(uint8_t bytes[1 << 16]) {
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    size_t length = fread(bytes, 1, 1 << 16, stream);
    fclose(stream);
    assert_true(length < 1 << 16);
    return length;
}

static void write_file(const uint8_t *bytes, size_t length) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, length, stream), length);
    assert_int_equal(fclose(stream), 0);
}

static void damaged_files_are_refused(void **state) {
    static uint8_t bytes[1 << 16];
    const int64_t one = 1;
    const float value = 1;
    const imp_tensor_source source = {"steps", 1, &one, &value};
    run on;
    (void)state;
    write_checkpoint(6);
    size_t length = read_file(bytes);
    bytes[length - 30] ^= 1;
    write_file(bytes, length);
    refused_by(recipe_text, "damaged: its checksum is wrong");
    write_file(bytes, length / 2);
    refused_by(recipe_text, "");
    write_file(bytes, 0);
    refused_by(recipe_text, "the file is empty");
    unlink(path);
    refused_by(recipe_text, "No such file");
    begin(&on);
    assert_int_equal(imp_safetensors_write(on.context, path, &source, 1, IMP_F32, NULL, 0), IMP_OK);
    refused_by(recipe_text, "not a checkpoint of a training");
    on.it.wind[3] = 0.0f / (float)(on.it.fail); /* not a number */
    assert_int_equal(imp_training_save(on.training, path), IMP_OK);
    refused_by(recipe_text, "weight/wind.weight has a value that is not finite");
    on.it.wind[3] = 1;
    float *second;
    imp_adam_state(on.training->trained[0].adam, NULL, &second, NULL);
    second[8] = -1e-20f;
    assert_int_equal(imp_training_save(on.training, path), IMP_OK);
    refused_by(recipe_text, "second/mix.weight has a value that is not finite or below 0");
    end(&on);
}

/* What a parameter may not be, such as a variance below 0: nothing is taken from such a file. */
static void values_out_of_range_are_refused(void **state) {
    const struct {
        imp_learner_values values;
        float value;
        const char *words; /* NULL: it is good */
    } cases[] = {{IMP_VALUES_ANY, -1, NULL},
                 {IMP_VALUES_ANY, INFINITY, "weight/mean has a value that is not finite"},
                 {IMP_VALUES_FROM_0, 0, NULL},
                 {IMP_VALUES_FROM_0, -1e-20f, "weight/mean has a value that is not finite or below 0"},
                 {IMP_VALUES_ABOVE_0, FLT_TRUE_MIN, NULL},
                 {IMP_VALUES_ABOVE_0, 0, "weight/mean has a value that is not finite or not above 0"},
                 {IMP_VALUES_ABOVE_0, -1, "weight/mean has a value that is not finite or not above 0"},
                 {IMP_VALUES_ABOVE_0, NAN, "weight/mean has a value that is not finite or not above 0"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run on;
        begin(&on);
        on.it.parameters[3].values = cases[i].values;
        for (int k = 0; k < 3; k++) on.it.mean[k] = on.training->trained[3].average[k] = 1;
        on.it.mean[1] = cases[i].value;
        assert_int_equal(imp_training_save(on.training, path), IMP_OK);
        on.it.mean[1] = 2;
        assert_int_equal(imp_training_load(on.training, path), cases[i].words ? IMP_ERR_FORMAT : IMP_OK);
        if (cases[i].words) assert_non_null(strstr(imp_error(on.context), cases[i].words));
        assert_true(on.it.mean[1] == (cases[i].words ? 2 : cases[i].value));
        end(&on);
    }
}

/* A checkpoint without averages: they begin with its weights. */
static void an_average_may_begin_later(void **state) {
    char text[2 * sizeof recipe_text];
    double weights[IMP_TRAINING_MAX_LOSSES], average[IMP_TRAINING_MAX_LOSSES];
    run without, with;
    (void)state;
    replace(text, sizeof text, "\"average\": 0.9", "\"average\": 0");
    begin_with(&without, text, 1);
    steps(&without, 6);
    assert_int_equal(imp_training_save(without.training, path), IMP_OK);
    begin(&with);
    steps(&with, 2); /* whatever its averages were */
    if (imp_training_load(with.training, path)) fail_msg("%s", imp_error(with.context));
    assert_same(&without, &with);
    steps(&without, 1);
    steps(&with, 1);
    assert_memory_equal(without.it.wind, with.it.wind, sizeof with.it.wind);
    assert_int_equal(imp_training_validate(without.training, 4, weights), IMP_OK);
    assert_int_equal(imp_training_validate(with.training, 4, average), IMP_OK);
    assert_true(weights[0] != average[0]);
    end(&without);
    end(&with);
}

/* With a limit on files' sizes, in the header and in the data: the checkpoint that is there stays. */
static void a_full_disk_keeps_the_last_one(void **state) {
    static uint8_t before[1 << 16], after[1 << 16];
    struct rlimit old, limit;
    run on;
    (void)state;
    write_checkpoint(3);
    size_t length = read_file(before);
    begin(&on);
    steps(&on, 5);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t most = 0; most < length; most += length / 4 + 1) {
        limit = (struct rlimit){most, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int status = imp_training_save(on.training, path);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, IMP_ERR_IO);
        assert_non_null(strstr(imp_error(on.context), "File too large"));
        assert_int_equal(read_file(after), length);
        assert_memory_equal(before, after, length);
    }
    assert_int_equal(imp_training_save(on.training, "/dev/full"), IMP_ERR_IO);
    assert_int_equal(imp_training_save(on.training, "/no/such/folder/x"), IMP_ERR_IO);
    steps(&on, 1); /* and the training goes on */
    end(&on);
}

/* Killed at any moment, what is there is a whole checkpoint, of one of the steps. */
static void a_kill_keeps_the_last_one(void **state) {
    (void)state;
    write_checkpoint(0);
    for (int k = 0; k < 5; k++) {
        run on;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            begin(&on);
            for (;;) imp_training_save(on.training, path);
        }
        usleep(3000 + 4000 * (useconds_t)k); /* some dozen saves, and another moment each time */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        begin(&on);
        assert_int_equal(imp_training_load(on.training, path), IMP_OK);
        end(&on);
    }
}

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/c.safetensors", folder);
    return 0;
}

static int teardown(void **state) {
    char command[sizeof folder + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder); /* those that were killed left temporary files */
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(going_on_makes_the_same_bits),    cmocka_unit_test(other_recipes_are_refused),
        cmocka_unit_test(other_teachers_are_refused),      cmocka_unit_test(other_stages),
        cmocka_unit_test(damaged_files_are_refused),       cmocka_unit_test(an_average_may_begin_later),
        cmocka_unit_test(values_out_of_range_are_refused), cmocka_unit_test(a_full_disk_keeps_the_last_one),
        cmocka_unit_test(a_kill_keeps_the_last_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
