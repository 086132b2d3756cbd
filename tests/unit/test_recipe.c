/* Recipes: what a good one says, and the line that each bad one is refused with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_allocator.h"
#include "optim/optim.h"
#include "style/losses.h"
#include "style/recipe.h"
#include "unit.h"

#define NAME "r.json"

static imp_context *context;

static int setup(void **state) {
    (void)state;
    context = make_context(1, 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    imp_context_free(context);
    return 0;
}

static const char whole[] =
    "{\n"
    " \"note\": [\"anything\", {\"at\": \"all\"}],\n"
    " \"task\": \"style\",\n"
    " \"network\": {\"architecture\": \"fine\", \"options\": {\"channels\": 24, \"code\": 8},\n"
    "  \"precision\": \"bf16\", \"note\": \"{\\\"[,\"},\n"
    " \"loss_network\": {\"model\": \"vgg19\"},\n"
    " \"losses\": {\"content\": {\"conv3_2\": 1}, \"style\": {\"conv1_1\": 1, \"conv2_1\": 0.5},\n"
    "  \"style_loss\": \"gram-l1\", \"per_style\": true, \"style_weight\": 1e3},\n"
    " \"styles\": [{\"name\": \"night\", \"picture\": \"a.jpg\"},\n"
    "  {\"name\": \"wave\", \"picture\": \"b.jpg\", \"side\": 512}],\n"
    " \"data\": {\"sources\": [{\"pictures\": \"photos\", \"share\": 3}, {}], \"crop\": 128},\n"
    " \"seed\": 9007199254740993,\n"
    " \"stages\": [{\"steps\": 10, \"train\": [\"norm.*\"]},\n"
    "  {\"steps\": 20, \"schedule\": \"cosine\", \"warm_up\": 5, \"learning_rate\": 0.01}]\n"
    "}\n";

static void all_is_read(void **state) {
    imp_recipe *recipe;
    (void)state;
    assert_int_equal(imp_recipe_read(context, whole, strlen(whole), NAME, &recipe), IMP_OK);
    assert_int_equal(recipe->task, IMP_RECIPE_STYLE);
    assert_string_equal(recipe->network.architecture, "fine");
    assert_int_equal(recipe->network.precision, IMP_RECIPE_BF16);
    assert_int_equal(recipe->network.options.count, 2);
    assert_string_equal(recipe->network.options.items[1].name, "code");
    assert_true(recipe->network.options.items[1].value == 8);
    assert_string_equal(recipe->teacher.model, "vgg19");
    assert_int_equal(recipe->teacher.precision, IMP_RECIPE_F32);
    assert_int_equal(recipe->losses.style.count, 2);
    assert_true(recipe->losses.style.items[1].value == 0.5 && recipe->losses.style_weight == 1000);
    assert_string_equal(imp_style_loss_at(recipe->losses.style_loss)->name, "gram-l1");
    assert_true(recipe->losses.per_style && recipe->losses.content_weight == 1);
    assert_int_equal(recipe->style_count, 2);
    assert_int_equal(recipe->styles[0].side, 256);
    assert_int_equal(recipe->styles[1].side, 512);
    assert_int_equal(recipe->data.count, 2);
    assert_string_equal(recipe->data.sources[0].pictures, "photos");
    assert_string_equal(recipe->data.sources[1].pictures, "");
    assert_true(recipe->data.sources[0].share == 3 && recipe->data.sources[1].share == 1 && recipe->data.flip);
    assert_true(recipe->seed == 9007199254740993u); /* one more than a double could tell */
    assert_true(recipe->optimizer.beta2 == 0.999 && recipe->optimizer.clip == 0);
    assert_int_equal(recipe->stage_count, 2);
    assert_int_equal(recipe->steps, 30);
    assert_string_equal(recipe->stages[0].train.items[0], "norm.*");
    assert_int_equal(recipe->stages[1].schedule, IMP_SCHEDULE_COSINE);
    assert_int_equal(recipe->stages[1].train.count, 0);
    assert_string_equal(recipe->text, whole);
    imp_recipe_release(recipe);
}

static void the_public_view(void **state) {
    imp_recipe *recipe;
    imp_recipe_info info = {.size = sizeof info};
    const char *pictures;
    double share;
    (void)state;
    assert_int_equal(imp_recipe_parse(context, whole, strlen(whole), NAME, &recipe), IMP_OK);
    assert_int_equal(imp_recipe_get_info(recipe, &info), IMP_OK);
    assert_string_equal(info.task, "style");
    assert_int_equal(info.crop_side, 128);
    assert_int_equal(info.source_count, 2);
    assert_int_equal(imp_recipe_get_source(recipe, 0, &pictures, &share), IMP_OK);
    assert_string_equal(pictures, "photos");
    assert_int_equal(imp_recipe_get_source(recipe, 2, &pictures, &share), IMP_ERR_ARGUMENT);
    assert_string_equal(imp_recipe_style_name(recipe, 1), "wave");
    assert_null(imp_recipe_style_name(recipe, 2));
    assert_null(imp_recipe_stage_name(recipe, -1));
    imp_recipe_free(recipe);
    imp_recipe_free(NULL);
    assert_int_equal(imp_recipe_parse(context, NULL, 0, NAME, &recipe), IMP_ERR_ARGUMENT);
    assert_null(recipe);
}

/* Every key once, groups before their members. */
static void keys_are_told(void **state) {
    imp_recipe_key_info info = {.size = sizeof info};
    int found = 0, count = 0;
    (void)state;
    for (; imp_recipe_get_key(count, &info) == IMP_OK; count++) {
        assert_true(info.takes[0] && info.help[0]);
        if (!strcmp(info.path, "stages[].learning_rate")) {
            assert_string_equal(info.takes, "a number above 0 and up to 10");
            assert_string_equal(info.initial, "0.001");
            found++;
        }
        if (!strcmp(info.path, "losses.style_loss")) assert_non_null(strstr(info.takes, "gram-mean-deviation"));
        if (!strcmp(info.path, "network.architecture")) assert_string_equal(info.initial, "needed");
    }
    assert_int_equal(found, 1);
    assert_true(count > 50 && imp_recipe_get_key(-1, &info) == IMP_ERR_ARGUMENT);
}

/* whole with the first `from` replaced by `to`, read; the message must hold words. */
static void refused(const char *from, const char *to, const char *words) {
    char text[2 * sizeof whole];
    imp_recipe *recipe;
    const char *at = strstr(whole, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    int status = imp_recipe_read(context, text, strlen(text), NAME, &recipe);
    assert_true(status == IMP_ERR_ARGUMENT || status == IMP_ERR_FORMAT);
    assert_null(recipe);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" does not say \"%s\"", imp_error(context), words);
}

static void bad_values_are_named_with_their_line(void **state) {
    (void)state;
    refused("\"warm_up\"", "\"warmup\"",
            "r.json, line 14: there is no key \"warmup\" in a stage; did you mean \"warm_up\"?");
    refused("\"seed\"", "\"zebra\"", "line 12: there is no key \"zebra\" in the recipe");
    refused("\"architecture\"", "\"arch\"",
            "line 4: there is no key \"arch\" in the network; did you mean \"architecture\"?");
    refused("\"architecture\": \"fine\", ", "", "line 4: the network needs the key \"architecture\"");
    refused("\"fine\"", "\"\"", "line 4: \"architecture\" must be a text that is not empty");
    refused("\"bf16\"", "\"bf15\"", "line 5: \"precision\" is \"bf15\"; did you mean \"bf16\"?");
    refused("\"bf16\"", "\"zzz\"", "line 5: \"precision\" must be one of f32, bf16, auto");
    refused("\"bf16\"", "16", "line 5: \"precision\" must be one of");
    refused("\"code\": 8", "\"code\": \"8\"", "line 4: \"code\" in \"options\" must be a number");
    refused("0.5", "-0.5", "line 7: \"conv2_1\" in \"style\" must be a number from 0");
    refused("true", "1", "line 8: \"per_style\" must be true or false");
    refused("512", "512.0", "line 10: \"side\" must be a whole number from 16 to 4096");
    refused("512", "15", "line 10: \"side\" must be");
    refused("128", "99999999999999999999", "line 11");
    refused("3}, {}", "0}, {}", "line 11: \"share\" must be a number above 0");
    refused("{}]", "7]", "line 11: a source must be an object");
    refused("9007199254740993", "-1", "line 12: \"seed\" must be a whole number from 0");
    refused("[\"norm.*\"]", "\"norm.*\"", "line 13: \"train\" must be a list");
    refused("[\"norm.*\"]", "[\"norm.*\",\n 4]", "line 14: \"train\" holds something that is not a text");
    refused("0.01", "0", "line 14: \"learning_rate\" must be a number above 0");
    refused("\"steps\": 20, ", "", "line 14: a stage needs the key \"steps\"");
}

static void bad_wholes_are_refused(void **state) {
    (void)state;
    refused("\"warm_up\": 5", "\"warm_up\": 21", "r.json: the warm-up of stage 2 is longer than its 20 steps");
    refused("\"steps\": 10", "\"steps\": 10000000", "more than 10000000");
    refused("\"wave\"", "\"night\"", "two styles have the name \"night\"");
    refused("\"crop\": 128", "\"least_scale\": 3", "\"least_scale\" is 3, more than \"most_scale\", 1.5");
    refused("\"task\": \"style\"", "\"task\": \"features\"", "gives no \"features\" layers");
    refused("\"style\": {\"conv1_1\": 1, \"conv2_1\": 0.5},", "", "gives no \"style\" layers");
    refused("\"conv1_1\": 1, \"conv2_1\": 0.5", "\"conv1_1\": 0, \"conv2_1\": 0",
            "\"style\" layers or all weights are 0");
    refused("\"content\": {\"conv3_2\": 1}", "\"content\": {}", "no \"content\" layers");
    refused("\"conv3_2\": 1",
            "\"1\": 1, \"2\": 1, \"3\": 1, \"4\": 1, \"5\": 1, \"6\": 1, \"7\": 1, \"8\": 1, \"9\": 1",
            "line 7: \"content\" must be an object of up to 8 numbers");
    refused("\"night\"", "\"night\\nwave\"", "has more than one line");
#define TEN "0123456789"
    refused("\"night\"", "\"" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "x\"", "is longer than 100 bytes");
    refused("\"task\"", "\"task", "line 3");
    refused("\"seed\"", "\"task\"", "line 12");
    refused("}\n", "\n", "r.json, line");
}

/* What is for the task style alone. */
static void the_task_features_takes_less(void **state) {
    static const char *const more[] = {"\"style_loss\": \"gram-l1\"", "\"per_style\": true", "\"variation_weight\": 1",
                                       "\"content_weight\": 2"};
    char text[512];
    imp_recipe *recipe;
    (void)state;
    for (size_t i = 0; i <= sizeof more / sizeof *more; i++) {
        const char *value = i < sizeof more / sizeof *more ? more[i] : "\"content_weight\": 1, \"per_style\": false";
        snprintf(text, sizeof text,
                 "{\"task\": \"features\", \"network\": {\"architecture\": \"thin\"}, \"loss_network\": {\"model\": "
                 "\"vgg19\"}, \"losses\": {\"features\": {\"conv1_1\": 1}, %s}, \"data\": {\"sources\": [{}]}, "
                 "\"stages\": [{\"steps\": 1}]}",
                 value);
        int good = i == sizeof more / sizeof *more;
        assert_int_equal(imp_recipe_read(context, text, strlen(text), NAME, &recipe), good ? IMP_OK : IMP_ERR_ARGUMENT);
        if (!good) assert_non_null(strstr(imp_error(context), "\"losses\" are for the task style"));
        imp_recipe_release(recipe);
    }
}

static void no_recipe_at_all(void **state) {
    static const char *const texts[] = {
        "", "[]", "7", "\"\"", "{", "{}", "\xff", "{\"data\":{\"sources\":[[[[[[", "{\"stages\":[]}", "null"};
    imp_recipe *recipe;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(imp_recipe_read(context, texts[i], strlen(texts[i]), NAME, &recipe) < 0);
        assert_true(strncmp(imp_error(context), NAME, strlen(NAME)) == 0);
    }
    assert_true(imp_recipe_read(context, "{\0}", 3, NAME, &recipe) < 0);
    char *text = malloc(IMP_RECIPE_MOST_BYTES + 1);
    memset(text, ' ', IMP_RECIPE_MOST_BYTES + 1);
    assert_int_equal(imp_recipe_read(context, text, IMP_RECIPE_MOST_BYTES + 1, NAME, &recipe), IMP_ERR_FORMAT);
    free(text);
}

static int read_whole(imp_context *with, void *user) {
    imp_recipe *recipe;
    (void)user;
    int status = imp_recipe_read(with, whole, strlen(whole), NAME, &recipe);
    imp_recipe_release(recipe);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(read_whole, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_read),
        cmocka_unit_test(the_public_view),
        cmocka_unit_test(keys_are_told),
        cmocka_unit_test(bad_values_are_named_with_their_line),
        cmocka_unit_test(bad_wholes_are_refused),
        cmocka_unit_test(the_task_features_takes_less),
        cmocka_unit_test(no_recipe_at_all),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
