/* Which of a model's styles a picture is painted in, and how much of each. */
#include "cli/style_shares.h"

#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

enum { MOST_LISTED = 20, LIST_TEXT = MOST_LISTED * 104 + 64 }; /* names have 100 bytes at most */

int imp_cli_check_styler(const imp_model *model, const char *model_name) {
    if (imp_model_style_name(model, 0)) return 0;
    imp_model_info info = {.size = sizeof info};
    imp_model_get_info(model, &info);
    return imp_cli_fail(IMP_CLI_USAGE,
                        "--model: %s is a network %s, which paints nothing by itself: it is for 'impasto optimize'; "
                        "models that paint are made by 'impasto train'",
                        model_name, info.architecture);
}

static const char *name_at(const void *model, int index) {
    return imp_model_style_name(model, index);
}

static int find_style(const imp_model *model, const char *name) {
    for (int i = 0; imp_model_style_name(model, i); i++)
        if (strcmp(imp_model_style_name(model, i), name) == 0) return i;
    return -1;
}

static bool is_style(const void *model, const char *name) {
    return find_style(model, name) >= 0;
}

/* The names that there are, first (which may be NULL) before the others. */
static const char *list_names(char text[LIST_TEXT], const imp_model *model, const char *first, const char *model_name) {
    int listed = 0, others = 0;
    size_t used = 0;
    if (first) {
        used = (size_t)snprintf(text, LIST_TEXT, "%s", first);
        listed = 1;
    }
    for (int i = 0; imp_model_style_name(model, i); i++) {
        const char *name = imp_model_style_name(model, i);
        if (name == first) continue;
        if (listed == MOST_LISTED)
            others++;
        else
            used += (size_t)snprintf(text + used, LIST_TEXT - used, "%s%s", listed++ ? ", " : "", name);
    }
    if (others) snprintf(text + used, LIST_TEXT - used, " and %d more, see impasto model info %s", others, model_name);
    return text;
}

/* Adds the style that text[0..length) names to the shares. */
static int add_style(const imp_model *model, const char *model_name, const char *text, size_t length, float *shares) {
    char name[IMP_CLI_WEIGHTED], names[LIST_TEXT];
    double share;
    int code = imp_cli_split_weight("style", text, length, is_style, model, name, &share);
    if (code) return code;
    int index = find_style(model, name);
    if (index < 0)
        return imp_cli_fail(IMP_CLI_USAGE, "--style: the model has no '%s'; it has: %s", name,
                            list_names(names, model, imp_nearest_name(name, name_at, model), model_name));
    shares[index] += (float)share;
    return 0;
}

/* Up to the next comma that is in no name. */
static size_t item_length(const imp_model *model, const char *text) {
    size_t known = 0;
    for (int i = 0; imp_model_style_name(model, i); i++) {
        const char *name = imp_model_style_name(model, i);
        size_t length = strlen(name);
        if (strncmp(text, name, length) == 0 && strchr(",:", text[length]) && length > known) known = length;
    }
    return known + strcspn(text + known, ",");
}

static int add_list(const imp_model *model, const char *model_name, const char *text, float *shares) {
    int code = 0;
    while (!code) {
        size_t length = item_length(model, text);
        code = add_style(model, model_name, text, length, shares);
        if (text[length] == '\0') break;
        text += length + 1;
    }
    return code;
}

int imp_cli_style_shares(const imp_model *model, const char *model_name, const imp_cli_texts *texts, float **shares) {
    char names[LIST_TEXT];
    int count = 0, code = 0;
    float sum = 0;
    while (imp_model_style_name(model, count)) count++;
    *shares = calloc((size_t)count + 1, sizeof **shares);
    if (!*shares) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    if (texts->count == 0 && count > 1)
        return imp_cli_fail(IMP_CLI_USAGE, "--style is missing: which style to paint in; the model has: %s",
                            list_names(names, model, NULL, model_name));
    if (texts->count == 0) (*shares)[0] = 1;
    for (int i = 0; i < texts->count && !code; i++) code = add_list(model, model_name, texts->items[i], *shares);
    for (int i = 0; i < count; i++) sum += (*shares)[i];
    for (int i = 0; i < count && !code; i++) (*shares)[i] /= sum;
    return code;
}

void imp_cli_print_shares(const imp_model *model, const float *shares) {
    bool first = true;
    for (int i = 0; imp_model_style_name(model, i); i++) {
        if (shares[i] <= 0) continue;
        if (!first) fputs(", ", stdout);
        imp_cli_print_text(imp_model_style_name(model, i));
        if (shares[i] < 1) printf(" %.3g", (double)shares[i]);
        first = false;
    }
}

void imp_cli_print_shares_json(const imp_model *model, const float *shares) {
    const char *before = "[{\"name\":";
    for (int i = 0; imp_model_style_name(model, i); i++) {
        if (shares[i] <= 0) continue;
        fputs(before, stdout);
        imp_json_text(stdout, imp_model_style_name(model, i));
        fputs(",\"share\":", stdout);
        imp_json_number(stdout, (double)shares[i]);
        putchar('}');
        before = ",{\"name\":";
    }
    putchar(']');
}
