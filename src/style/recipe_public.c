/* What the public interface tells of recipes: their settings, and the keys that there are. */
#include <stdio.h>
#include <string.h>

#include "base/structs.h"
#include "models/model.h"
#include "style/recipe.h"

int imp_recipe_parse(imp_context *context, const char *text, size_t length, const char *name, imp_recipe **recipe) {
    if (recipe) *recipe = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!text || !name || !recipe)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_recipe_parse: text, name or recipe is NULL");
    return imp_recipe_read(context, text, length, name, recipe);
}

void imp_recipe_free(imp_recipe *recipe) {
    imp_recipe_release(recipe);
}

static const char *root_choice(const char *name, int index) {
    for (const imp_recipe_key *key = imp_recipe_root.keys; key->name; key++)
        if (!strcmp(key->name, name)) return key->choice(index);
    return "";
}

int imp_recipe_get_info(const imp_recipe *recipe, imp_recipe_info *info) {
    if (!recipe || imp_struct_check(NULL, info, "recipe info")) return IMP_ERR_ARGUMENT;
    const imp_recipe_data *data = &recipe->data;
    const imp_recipe_validation *validation = &recipe->validation;
    const imp_recipe_info ours = {.size = sizeof ours,
                                  .text = recipe->text,
                                  .task = root_choice("task", recipe->task),
                                  .architecture = recipe->network.architecture,
                                  .loss_network = recipe->teacher.model,
                                  .batch = recipe->batch,
                                  .source_count = data->count,
                                  .style_count = recipe->style_count,
                                  .stage_count = recipe->stage_count,
                                  .steps = recipe->steps,
                                  .seed = recipe->seed,
                                  .crop_side = data->crop,
                                  .flip = data->flip,
                                  .least_scale = data->least_scale,
                                  .most_scale = data->most_scale,
                                  .validation = validation->pictures,
                                  .validation_side = validation->side,
                                  .validation_count = validation->count,
                                  .validation_every = validation->every,
                                  .checkpoint_every = recipe->checkpoint_every};
    imp_struct_write(info, &ours, sizeof ours);
    return IMP_OK;
}

int imp_recipe_get_source(const imp_recipe *recipe, int index, const char **pictures, double *share) {
    if (!recipe || index < 0 || index >= recipe->data.count) return IMP_ERR_ARGUMENT;
    if (pictures) *pictures = recipe->data.sources[index].pictures;
    if (share) *share = recipe->data.sources[index].share;
    return IMP_OK;
}

const char *imp_recipe_style_name(const imp_recipe *recipe, int index) {
    return recipe && index >= 0 && index < recipe->style_count ? recipe->styles[index].name : NULL;
}

const char *imp_recipe_stage_name(const imp_recipe *recipe, int index) {
    return recipe && index >= 0 && index < recipe->stage_count ? recipe->stages[index].name : NULL;
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static void tell_initial(const imp_recipe_key *key, char *text, size_t bytes) {
    text[0] = 0;
    if (key->required)
        snprintf(text, bytes, "needed");
    else if (key->kind == IMP_RECIPE_NUMBER || key->kind == IMP_RECIPE_WHOLE)
        snprintf(text, bytes, "%g", key->number);
    else if (key->kind == IMP_RECIPE_SEED)
        snprintf(text, bytes, "0");
    else if (key->kind == IMP_RECIPE_FLAG)
        snprintf(text, bytes, "%s", key->number ? "true" : "false");
    else if (key->kind == IMP_RECIPE_CHOICE)
        snprintf(text, bytes, "%s", key->choice((int)key->number));
}

/* The key that is *left keys behind the group's first one, a group's own keys behind its own. */
static const imp_recipe_key *find_key(const imp_recipe_group *group, const char *above, int *left,
                                      imp_recipe_key_info *info) {
    for (const imp_recipe_key *key = group->keys; key->name; key++) {
        char path[sizeof info->path];
        if (key->kind == IMP_RECIPE_NOTE && group != &imp_recipe_root) continue; /* told once */
        snprintf(path, sizeof path, "%s%s%s", above, key->name, key->kind == IMP_RECIPE_GROUPS ? "[]" : "");
        if ((*left)-- == 0) {
            memcpy(info->path, path, sizeof path);
            return key;
        }
        if (!key->group) continue;
        strncat(path, ".", sizeof path - strlen(path) - 1);
        const imp_recipe_key *found = find_key(key->group, path, left, info); /* as deep as the table */
        if (found) return found;
    }
    return NULL;
}

/* Behind the keys: the numbers that architectures take, but for that of the styles, which are counted. */
static int tell_option(int index, imp_recipe_key_info *info) {
    for (const imp_architecture *one = imp_architectures; one->name; one++)
        for (int i = 0; i < imp_architecture_option_count(one); i++) {
            const imp_architecture_option *option = &one->options[i];
            if (!strcmp(option->name, IMP_OPTION_STYLES) || index-- > 0) continue;
            snprintf(info->path, sizeof info->path, "network.options.%s of %s", option->name, one->name);
            snprintf(info->takes, sizeof info->takes, "a whole number from %d to %d", option->least, option->most);
            snprintf(info->initial, sizeof info->initial, "%d", option->initial);
            info->help = option->help;
            return 1;
        }
    return 0;
}

int imp_recipe_get_key(int index, imp_recipe_key_info *info) {
    imp_recipe_key_info ours = {.size = sizeof ours};
    if (imp_struct_check(NULL, info, "recipe key") || index < 0) return IMP_ERR_ARGUMENT;
    const imp_recipe_key *key = find_key(&imp_recipe_root, "", &index, &ours);
    if (!key && !tell_option(index, &ours)) return IMP_ERR_ARGUMENT;
    if (key) {
        imp_recipe_range(key, ours.takes);
        tell_initial(key, ours.initial, sizeof ours.initial);
        ours.help = key->help;
    }
    imp_struct_write(info, &ours, sizeof ours);
    return IMP_OK;
}
