/* Names of models with weights become open models. */
#include "cli/features.h"

#include <string.h>

#include "cli/models_folder.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/system.h"

static bool is_file(const void *user, const char *path) {
    (void)user;
    return imp_cli_is_file(path);
}

/* One "vgg19:0.5", of that length. */
static int open_one(imp_context *context, const char *item, size_t length, imp_cli_features *out) {
    char name[IMP_CLI_WEIGHTED];
    imp_weighted_model *one = &out->models[out->count];
    int code = imp_cli_split_weight("features", item, length, is_file, NULL, name, &one->weight);
    if (!code) code = imp_cli_open_model(context, name, &out->opened[out->count]);
    one->model = out->opened[out->count];
    if (!code) out->count++;
    return code;
}

/* The items of a list. */
static int open_list(imp_context *context, const char *list, imp_cli_features *out) {
    int code = 0;
    for (const char *at = list; at && !code;) {
        const char *comma = strchr(at, ',');
        size_t length = comma ? (size_t)(comma - at) : strlen(at);
        if (length == 0)
            return imp_cli_fail(IMP_CLI_USAGE, "--features: '%s' is no list of models such as vgg19:1,resnet50:0.5",
                                list);
        if (out->count == IMP_MAX_MODELS)
            return imp_cli_fail(IMP_CLI_USAGE, "--features: more than %d models", IMP_MAX_MODELS);
        code = open_one(context, at, length, out);
        at = comma ? comma + 1 : NULL;
    }
    return code;
}

int imp_cli_features_open(imp_context *context, const char *model, const char *features, const char *sketch,
                          imp_cli_features *out) {
    int code;
    *out = (imp_cli_features){0};
    if (model && features) return imp_cli_fail(IMP_CLI_USAGE, "--model and --features exclude each other");
    if (features) {
        code = open_list(context, features, out);
    } else {
        code = imp_cli_open_model(context, model, &out->opened[0]);
        out->models[0] = (imp_weighted_model){out->opened[0], 1};
        out->count = 1;
    }
    if (code || !sketch) return code;
    code = imp_cli_open_model(context, sketch, &out->opened[IMP_MAX_MODELS]);
    out->sketch = out->opened[IMP_MAX_MODELS];
    return code;
}

void imp_cli_features_free(imp_cli_features *features) {
    for (int i = 0; i <= IMP_MAX_MODELS; i++) imp_model_free(features->opened[i]);
    *features = (imp_cli_features){0};
}

void imp_cli_features_apply(const imp_cli_features *features, imp_painting_options *options) {
    options->models = features->models;
    options->model_count = features->count;
    options->sketch = features->sketch;
}

size_t imp_cli_features_limit(const imp_cli_features *features, size_t limit) {
    /* The first one's share has what the program itself takes. */
    size_t left = imp_cli_limit_beside(features->models[0].model, limit);
    for (int i = 1; i <= IMP_MAX_MODELS; i++) {
        imp_model_info info = {.size = sizeof info};
        if (!features->opened[i]) continue;
        imp_model_get_info(features->opened[i], &info);
        uint64_t taken = info.parameter_count * sizeof(float);
        left = left > taken ? (size_t)(left - taken) : 1; /* 0 would be no limit */
    }
    return left;
}
