/* Fuzzes the reader of recipes: what it takes keeps within its bounds, what it refuses is refused with words. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "style/recipe.h"

#define MEMORY_LIMIT ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void fail(const char *what) {
    fprintf(stderr, "fuzzer: %s\n", what);
    abort();
}

static void check(const imp_recipe *recipe) {
    int64_t steps = 0;
    if (recipe->stage_count < 1 || recipe->data.count < 1) fail("an empty recipe");
    for (int i = 0; i < recipe->stage_count; i++) {
        const imp_recipe_stage *stage = &recipe->stages[i];
        if (stage->steps < 1 || stage->warm_up > stage->steps || !(stage->learning_rate > 0)) fail("a bad stage");
        for (int k = 0; k < stage->train.count; k++)
            if (!stage->train.items[k]) fail("a pattern that is missing");
        steps += stage->steps;
    }
    if (steps != recipe->steps || steps > IMP_RECIPE_MOST_STEPS) fail("too many steps");
    for (int i = 0; i < recipe->style_count; i++)
        if (!recipe->styles[i].name[0] || !recipe->styles[i].picture[0]) fail("a style without a name");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    imp_context_options options;
    imp_context_info before = {.size = sizeof before}, after = {.size = sizeof after};
    imp_context *context;
    imp_recipe *recipe;
    imp_context_options_default(&options);
    options.threads = 1;
    options.memory_limit = MEMORY_LIMIT;
    if (imp_context_create(&options, &context)) fail("no context");
    imp_context_get_info(context, &before);
    if (imp_recipe_read(context, (const char *)bytes, length, "fuzz", &recipe) == IMP_OK)
        check(recipe);
    else if (!imp_error(context)[0] || recipe)
        fail("a failure without words, or with a recipe");
    imp_recipe_release(recipe);
    imp_context_get_info(context, &after);
    if (before.memory_now != after.memory_now) fail("memory was left behind");
    imp_context_free(context);
    return 0;
}
