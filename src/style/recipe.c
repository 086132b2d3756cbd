/* Reads a recipe: JSON by Jansson, every value by the table of keys, and each complaint with the line that it is about. */
#include "style/recipe.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "models/model.h"

#define SHOWN "%.60s" /* of a text from the file in a message */

/* Memory that the recipe's fields point to. */
typedef struct block {
    struct block *next;
    max_align_t bytes[];
} block;

typedef struct reader {
    imp_context *context;
    imp_recipe *recipe;
    const char *name;
} reader;

/* Where a value stands: the number of the member or item in what is around it. */
typedef struct place {
    const struct place *above; /* NULL: the whole text */
    size_t ordinal;
} place;

static void *keep(reader *in, size_t count, size_t bytes) {
    size_t all;
    if (!imp_multiply(count, bytes, &all) || all > SIZE_MAX - sizeof(block)) all = SIZE_MAX - sizeof(block);
    block *made = imp_allocate_zero(in->context, 1, sizeof *made + all);
    if (!made) return NULL;
    made->next = in->recipe->blocks;
    in->recipe->blocks = made;
    return made->bytes;
}

void imp_recipe_release(imp_recipe *recipe) {
    if (!recipe) return;
    for (block *at = recipe->blocks, *next; at; at = next) {
        next = at->next;
        imp_release(recipe->context, at);
    }
    imp_release(recipe->context, recipe->text);
    imp_release(recipe->context, recipe);
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

/* Jansson keeps no positions, but the order of members; what it took is well-formed, so that counting is enough. */

static const char *skip_string(const char *at) {
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return *at ? at + 1 : at;
}

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* From inside an object or array to behind the next character of its own that is one of stops. */
static const char *skip_to(const char *at, const char *stops) {
    int depth = 0;
    while (*at) {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        if (depth == 0 && strchr(stops, *at)) return at + 1;
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
        at++;
    }
    return at;
}

/* The member or item at where. */
static const char *find_place(const char *text, const place *where) {
    if (!where) return skip_space(text);
    const char *at = find_place(text, where->above); /* as deep as the table of keys */
    if (*at == '"') {                                /* a member's name: go on to its value */
        const char *colon = skip_space(skip_string(at));
        if (*colon == ':') at = skip_space(colon + 1);
    }
    if (*at) at++;
    for (size_t i = 0; i < where->ordinal; i++) at = skip_to(at, ",");
    return skip_space(at);
}

static int line_of(const reader *in, const place *where) {
    const char *text = in->recipe->text, *end = find_place(text, where);
    int line = 1;
    for (; text < end; text++) line += *text == '\n';
    return line;
}

static int fail_at(reader *in, const place *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail_at(reader *in, const place *where, const char *format, ...) {
    char words[IMP_ERROR_LENGTH];
    va_list values;
    va_start(values, format);
    vsnprintf(words, sizeof words, format, values);
    va_end(values);
    return imp_fail(in->context, IMP_ERR_ARGUMENT, "%s, line %d: %s", in->name, line_of(in, where), words);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static int fail_range(reader *in, const imp_recipe_key *key, const place *where) {
    char range[IMP_RECIPE_RANGE];
    return fail_at(in, where, "\"%s\" must be %s", key->name, imp_recipe_range(key, range));
}

static int in_range(const imp_recipe_key *key, double number) {
    return isfinite(number) && number <= key->maximum && (key->above ? number > key->minimum : number >= key->minimum);
}

static int keep_text(reader *in, const char *text, const char **out) {
    char *copy = keep(in, strlen(text) + 1, 1);
    if (!copy) return IMP_ERR_MEMORY;
    strcpy(copy, text);
    *out = copy;
    return IMP_OK;
}

static int read_text(reader *in, const imp_recipe_key *key, const json_t *value, const place *where, const char **out) {
    if (!json_is_string(value) || (key->required && json_string_length(value) == 0)) return fail_range(in, key, where);
    return keep_text(in, json_string_value(value), out);
}

static const char *choice_at(const void *key, int index) {
    return ((const imp_recipe_key *)key)->choice(index);
}

static int read_choice(reader *in, const imp_recipe_key *key, const json_t *value, const place *where, int *out) {
    if (!json_is_string(value)) return fail_range(in, key, where);
    const char *text = json_string_value(value);
    for (int i = 0; key->choice(i); i++)
        if (!strcmp(text, key->choice(i))) {
            *out = i;
            return IMP_OK;
        }
    const char *nearest = imp_nearest_name(text, choice_at, key);
    if (nearest) return fail_at(in, where, "\"%s\" is \"" SHOWN "\"; did you mean \"%s\"?", key->name, text, nearest);
    return fail_range(in, key, where);
}

static int read_texts(reader *in, const imp_recipe_key *key, const json_t *value, const place *where,
                      imp_recipe_texts *out) {
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > (size_t)key->most) return fail_range(in, key, where);
    out->items = keep(in, count, sizeof *out->items);
    if (!out->items) return IMP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        const place here = {where, i};
        if (!json_is_string(item)) return fail_at(in, &here, "\"%s\" holds something that is not a text", key->name);
        int status = keep_text(in, json_string_value(item), &out->items[i]);
        if (status) return status;
        out->count++;
    }
    return IMP_OK;
}

static int read_numbers(reader *in, const imp_recipe_key *key, json_t *value, const place *where,
                        imp_recipe_numbers *out) {
    const char *name;
    json_t *item;
    size_t count = json_object_size(value);
    if (!json_is_object(value) || count > (size_t)key->most) return fail_range(in, key, where);
    out->items = keep(in, count, sizeof *out->items);
    if (!out->items) return IMP_ERR_MEMORY;
    json_object_foreach(value, name, item) {
        const place here = {where, (size_t)out->count};
        if (!json_is_number(item) || !in_range(key, json_number_value(item)))
            return fail_at(in, &here, "\"" SHOWN "\" in \"%s\" must be a number from %g to %g", name, key->name,
                           key->minimum, key->maximum);
        out->items[out->count].value = json_number_value(item);
        int status = keep_text(in, name, &out->items[out->count++].name);
        if (status) return status;
    }
    return IMP_OK;
}

static int read_number(reader *in, const imp_recipe_key *key, const json_t *value, const place *where, void *out) {
    int whole = key->kind == IMP_RECIPE_WHOLE, seed = key->kind == IMP_RECIPE_SEED;
    if (whole || seed ? !json_is_integer(value) : !json_is_number(value)) return fail_range(in, key, where);
    if (seed ? json_integer_value(value) < 0 : !in_range(key, json_number_value(value)))
        return fail_range(in, key, where);
    if (seed)
        *(uint64_t *)out = (uint64_t)json_integer_value(value);
    else if (whole)
        *(int *)out = (int)json_integer_value(value);
    else
        *(double *)out = json_number_value(value);
    return IMP_OK;
}

/* ---- Groups ------------------------------------------------------------------------------------------------------ */

static void set_defaults(const imp_recipe_group *group, char *base) {
    for (const imp_recipe_key *key = group->keys; key->name; key++) {
        void *out = base + key->offset;
        if (key->kind == IMP_RECIPE_GROUP) set_defaults(key->group, out); /* as deep as the table */
        if (key->kind == IMP_RECIPE_TEXT) *(const char **)out = key->text ? key->text : "";
        if (key->kind == IMP_RECIPE_NUMBER) *(double *)out = key->number;
        if (key->kind == IMP_RECIPE_WHOLE || key->kind == IMP_RECIPE_FLAG || key->kind == IMP_RECIPE_CHOICE)
            *(int *)out = (int)key->number;
    }
}

static int read_group(reader *in, const imp_recipe_group *group, json_t *object, const place *where, char *base);

static int read_groups(reader *in, const imp_recipe_key *key, const json_t *value, const place *where, char *base) {
    size_t count = json_array_size(value), bytes = key->group->bytes;
    if (!json_is_array(value) || count > (size_t)key->most) return fail_range(in, key, where);
    if (key->required && count == 0) return fail_at(in, where, "\"%s\" is empty", key->name);
    char *items = keep(in, count, bytes);
    if (!items) return IMP_ERR_MEMORY;
    memcpy(base + key->list, &items, sizeof items);
    for (size_t i = 0; i < count; i++) {
        const place here = {where, i};
        int status = read_group(in, key->group, json_array_get(value, i), &here, items + i * bytes);
        if (status) return status;
    }
    *(int *)(void *)(base + key->offset) = (int)count;
    return IMP_OK;
}

static int read_value(reader *in, const imp_recipe_key *key, json_t *value, const place *where, char *base) {
    void *out = base + key->offset;
    switch (key->kind) {
    case IMP_RECIPE_TEXT:
        return read_text(in, key, value, where, out);
    case IMP_RECIPE_NUMBER:
    case IMP_RECIPE_WHOLE:
    case IMP_RECIPE_SEED:
        return read_number(in, key, value, where, out);
    case IMP_RECIPE_FLAG:
        if (!json_is_boolean(value)) return fail_range(in, key, where);
        *(int *)out = json_is_true(value);
        return IMP_OK;
    case IMP_RECIPE_CHOICE:
        return read_choice(in, key, value, where, out);
    case IMP_RECIPE_TEXTS:
        return read_texts(in, key, value, where, out);
    case IMP_RECIPE_NUMBERS:
        return read_numbers(in, key, value, where, out);
    case IMP_RECIPE_GROUP:
        return read_group(in, key->group, value, where, out);
    case IMP_RECIPE_GROUPS:
        return read_groups(in, key, value, where, base);
    case IMP_RECIPE_NOTE:
        break;
    }
    return IMP_OK;
}

static const char *key_at(const void *group, int index) {
    return ((const imp_recipe_group *)group)->keys[index].name;
}

static int read_group(reader *in, const imp_recipe_group *group, json_t *object, const place *where, char *base) {
    const char *name;
    json_t *value;
    place here = {where, 0};
    if (!json_is_object(object)) return fail_at(in, where, "%s must be an object: {...}", group->what);
    set_defaults(group, base);
    json_object_foreach(object, name, value) {
        const imp_recipe_key *key = group->keys;
        while (key->name && strcmp(key->name, name)) key++;
        if (!key->name) {
            const char *nearest = imp_nearest_name(name, key_at, group);
            return fail_at(in, &here, "there is no key \"" SHOWN "\" in %s%s%s%s", name, group->what,
                           nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
        }
        int status = read_value(in, key, value, &here, base);
        if (status) return status;
        here.ordinal++;
    }
    for (const imp_recipe_key *key = group->keys; key->name; key++)
        if (key->required && !json_object_get(object, key->name))
            return fail_at(in, where, "%s needs the key \"%s\"", group->what, key->name);
    return IMP_OK;
}

/* ---- What the values say together -------------------------------------------------------------------------------- */

static int fail_whole(reader *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail_whole(reader *in, const char *format, ...) {
    char words[IMP_ERROR_LENGTH];
    va_list values;
    va_start(values, format);
    vsnprintf(words, sizeof words, format, values);
    va_end(values);
    return imp_fail(in->context, IMP_ERR_ARGUMENT, "%s: %s", in->name, words);
}

static double sum_of(const imp_recipe_numbers *weights) {
    double sum = 0;
    for (int i = 0; i < weights->count; i++) sum += weights->items[i].value;
    return sum;
}

/* The names of styles stand in the model file, a line each. */
static int check_style_names(reader *in) {
    const imp_recipe *recipe = in->recipe;
    for (int i = 0; i < recipe->style_count; i++) {
        const char *name = recipe->styles[i].name;
        if (strlen(name) > IMP_STYLE_NAME_LIMIT || strpbrk(name, "\r\n"))
            return fail_whole(in, "the style's name \"" SHOWN "\" is longer than %d bytes or has more than one line",
                              name, IMP_STYLE_NAME_LIMIT);
        for (int j = 0; j < i; j++)
            if (!strcmp(name, recipe->styles[j].name))
                return fail_whole(in, "two styles have the name \"" SHOWN "\"", name);
    }
    return IMP_OK;
}

static int check_style_task(reader *in) {
    const imp_recipe *recipe = in->recipe;
    const imp_recipe_losses *losses = &recipe->losses;
    if (recipe->style_count == 0) return fail_whole(in, "the task is style, and \"styles\" names no painting");
    if (!(sum_of(&losses->style) > 0) || losses->style_weight == 0)
        return fail_whole(in, "the task is style, and \"losses\" gives no \"style\" layers or all weights are 0");
    if (losses->content.count == 0)
        return fail_whole(in, "the task is style, and \"losses\" gives no \"content\" layers; where the photo is to "
                              "count for nothing, set \"content_weight\" to 0");
    if (losses->features.count > 0) return fail_whole(in, "\"features\" in \"losses\" is for the task features");
    return check_style_names(in);
}

static int check_features_task(reader *in) {
    const imp_recipe *recipe = in->recipe;
    const imp_recipe_losses *losses = &recipe->losses;
    if (!(sum_of(&losses->features) > 0))
        return fail_whole(in, "the task is features, and \"losses\" gives no \"features\" layers or all weights are 0");
    if (recipe->style_count > 0 || losses->content.count > 0)
        return fail_whole(in, "\"styles\", and \"content\" in \"losses\", are for the task style");
    if (losses->style_loss != 0 || losses->per_style || losses->variation_weight > 0 ||
        losses->content_weight != IMP_RECIPE_CONTENT_WEIGHT)
        return fail_whole(in,
                          "\"style_loss\", \"per_style\", \"variation_weight\" and \"content_weight\" in \"losses\" "
                          "are for the task style");
    return IMP_OK;
}

static int check_whole(reader *in) {
    imp_recipe *recipe = in->recipe;
    if (recipe->data.least_scale > recipe->data.most_scale)
        return fail_whole(in, "\"least_scale\" is %g, more than \"most_scale\", %g", recipe->data.least_scale,
                          recipe->data.most_scale);
    for (int i = 0; i < recipe->stage_count; i++) {
        if (recipe->stages[i].warm_up > recipe->stages[i].steps)
            return fail_whole(in, "the warm-up of stage %d is longer than its %d steps", i + 1,
                              recipe->stages[i].steps);
        recipe->steps += recipe->stages[i].steps;
    }
    if (recipe->steps > IMP_RECIPE_MOST_STEPS)
        return fail_whole(in, "the stages have %lld steps together, more than %d", (long long)recipe->steps,
                          IMP_RECIPE_MOST_STEPS);
    return recipe->task == IMP_RECIPE_STYLE ? check_style_task(in) : check_features_task(in);
}

static int read_json(reader *in, size_t length) {
    json_error_t error;
    json_t *root = json_loadb(in->recipe->text, length, JSON_REJECT_DUPLICATES, &error);
    if (!root && json_error_code(&error) == json_error_out_of_memory)
        return imp_fail(in->context, IMP_ERR_MEMORY, "%s: out of memory: reading JSON", in->name);
    if (!root) return imp_fail(in->context, IMP_ERR_FORMAT, "%s, line %d: %s", in->name, error.line, error.text);
    int status = read_group(in, &imp_recipe_root, root, NULL, (char *)in->recipe);
    json_decref(root);
    return status ? status : check_whole(in);
}

int imp_recipe_read(imp_context *context, const char *text, size_t length, const char *name, imp_recipe **recipe) {
    *recipe = NULL;
    if (length > IMP_RECIPE_MOST_BYTES)
        return imp_fail(context, IMP_ERR_FORMAT, "%s: %zu bytes, more than the %zu that a recipe may have", name,
                        length, IMP_RECIPE_MOST_BYTES);
    imp_recipe *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    made->context = context;
    reader in = {context, made, name};
    made->text = imp_allocate(context, length + 1);
    int status = made->text ? IMP_OK : IMP_ERR_MEMORY;
    if (!status) {
        memcpy(made->text, text, length);
        made->text[length] = 0;
        status = read_json(&in, length);
    }
    if (status) {
        imp_recipe_release(made);
        return status;
    }
    *recipe = made;
    return IMP_OK;
}
